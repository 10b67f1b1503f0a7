//! What would happen to a packet and why, for operators: see `explain`, which makes it.

use crate::{
    cast::small,
    counters::DropReason,
    family::{Family, Header},
    flow::key::Key,
    ids::{ServerId, ServiceId},
    named::named,
    packet::{HandOver, PortId, WorkerId},
    wire::protocol::Protocol,
    wire::{
        ethernet::{self, Mac},
        icmp, ipv4, put16,
        sctp::{self, Chunk, chunk},
        tcp, udp,
    },
};
use std::net::IpAddr;

named! {
    /// What a step of an explanation is about, in the order in which a packet meets them.
    Stage {
        /// The port it arrived on, and what it is.
        Port = "port",
        /// Which worker owns its flow.
        Owner = "owner",
        /// The virtual service it is for, or who else.
        Service = "service",
        /// The connection it belongs to.
        Connection = "connection",
        /// How a server is chosen.
        Scheduler = "scheduler",
        /// What the forwarding method makes of it.
        Method = "method",
        /// Whether it fits the way out.
        Mtu = "mtu",
        /// Who gets it next.
        NextHop = "next-hop",
        /// What happens to it.
        Outcome = "outcome",
    }
}

/// One step of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is about.
    pub stage: Stage,
    /// What was found there, and what follows.
    pub text: String,
}

/// What happens to a packet, as far as can be seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is sent, as this frame.
    Sent {
        /// The port it leaves by.
        port: PortId,
        /// All of it, Ethernet header included.
        frame: Vec<u8>,
    },
    /// It waits for the Ethernet address of its next hop.
    Waits {
        /// The port it will leave by.
        port: PortId,
        /// The next hop.
        next_hop: IpAddr,
        /// All of it but the Ethernet addresses.
        frame: Vec<u8>,
    },
    /// It waits for the first fragment of its datagram.
    Held,
    /// The director answers it, with this frame, out of the port it came in by.
    Answered {
        /// The answer.
        frame: Vec<u8>,
    },
    /// Another worker gets it, and decides.
    HandedOver(WorkerId, HandOver),
    /// It is for the director itself.
    Host,
    /// It ends here.
    Dropped(DropReason),
}

impl Outcome {
    /// One word for what happens to the packet.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Outcome::Sent { .. } => "sent",
            Outcome::Waits { .. } => "waits",
            Outcome::Held => "held",
            Outcome::Answered { .. } => "answered",
            Outcome::HandedOver(..) => "handed-over",
            Outcome::Host => "host",
            Outcome::Dropped(_) => "dropped",
        }
    }
}

/// What a worker would do with a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The worker that explains it.
    pub worker: WorkerId,
    /// Stage by stage.
    pub steps: Vec<Step>,
    /// The service concerned.
    pub service: Option<ServiceId>,
    /// The server that gets it or sent it.
    pub server: Option<ServerId>,
    /// Whether it belongs to a connection that this worker has.
    pub is_known: bool,
    /// What happens to it.
    pub outcome: Outcome,
}

/// A frame to explain: a TCP segment with these flags, a UDP datagram, an echo message (port 0 is that of who is asked), or a packet of SCTP that does what a segment with these
/// flags would (INIT, data, SHUTDOWN, ABORT), without payload but for a datagram's, from some host to `mac`.
#[must_use]
pub fn imagined<F: Family>(mac: Mac, key: &Key<F>, tcp_flags: u8, payload: &[u8]) -> Vec<u8> {
    /// Locally administered, and nobody's.
    const SOMEBODY: Mac = Mac([2, 0, 0, 0, 0, 0]);
    let about = match tcp_flags {
        flags if flags & tcp::RST != 0 => chunk::ABORT,
        flags if flags & tcp::SYN != 0 && flags & tcp::ACK == 0 => chunk::INIT,
        flags if flags & tcp::FIN != 0 => chunk::SHUTDOWN,
        _ => chunk::DATA,
    };
    let begins = about == chunk::INIT;
    let l4_len = match key.protocol {
        Protocol::Tcp => tcp::HEADER_LEN,
        Protocol::Udp => udp::HEADER_LEN + payload.len(),
        Protocol::Sctp if begins => sctp::BARE_INIT_LEN,
        Protocol::Sctp => sctp::ANSWER_LEN,
        Protocol::Icmp => icmp::HEADER_LEN,
    };
    let l4_at = ethernet::HEADER_LEN + F::HEADER_LEN;
    let mut frame = vec![0; l4_at + l4_len];
    ethernet::set_addresses(&mut frame, mac, SOMEBODY);
    ethernet::set_ethertype(&mut frame, F::ETHERTYPE);
    let header = Header {
        header_len: F::HEADER_LEN,
        total_len: F::HEADER_LEN + l4_len,
        fragment: ipv4::DONT_FRAGMENT,
        ttl: ipv4::DEFAULT_TTL,
        protocol: if key.protocol == Protocol::Icmp { F::ICMP } else { key.protocol.number() },
        source: key.source,
        destination: key.destination,
    };
    F::write(&mut frame[ethernet::HEADER_LEN..], &header);
    let l4 = &mut frame[l4_at..];
    let ends = ((key.source, key.source_port), (key.destination, key.destination_port));
    match key.protocol {
        Protocol::Tcp => tcp::write_bare::<F>(l4, ends.0, ends.1, (0, 0, tcp_flags)),
        Protocol::Udp => {
            l4[udp::HEADER_LEN..].copy_from_slice(payload);
            udp::write::<F>(l4, ends.0, ends.1);
        }
        Protocol::Sctp if begins => sctp::write_init(l4, (key.source_port, key.destination_port)),
        Protocol::Sctp => {
            let ports = (key.source_port, key.destination_port);
            sctp::write_bare(l4, ports, (0, Chunk(about), 0));
        }
        // Who is asked has no port.
        Protocol::Icmp => {
            let (is_request, id) = (key.destination_port == 0, key.source_port | key.destination_port);
            l4[0] = if is_request { F::ECHO_REQUEST } else { F::ECHO_REPLY };
            put16(l4, icmp::REST, id);
            let sum = F::message_sum(key.source, key.destination, small(l4.len()));
            icmp::set_checksum(sum, l4);
        }
    }
    frame
}
