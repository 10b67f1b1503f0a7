//! What would happen to a packet and why, for operators: see `explain`, which makes it.

use crate::{
    cast::small,
    counters::DropReason,
    family::{Family, Header},
    flow::key::Key,
    ids::{ServerId, ServiceId},
    named::named,
    packet::{HandOver, PortId, WorkerId},
    wire::{
        ethernet::{self, Mac},
        gre, icmp, ipv4, pptp,
        protocol::{self, Protocol},
        put16,
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

/// A packet that has no ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portless {
    /// Generic Routing Encapsulation: the first packet of that call of PPTP, or a packet of no call.
    Gre(Option<u16>),
    /// IPsec's encapsulated payload.
    Esp,
    /// IPsec's authentication header.
    Ah,
}

impl Portless {
    /// Its protocol number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Portless::Gre(_) => protocol::GRE,
            Portless::Esp => protocol::ESP,
            Portless::Ah => protocol::AH,
        }
    }

    /// What stands behind the header of IP: headers without payload.
    fn bytes(self) -> Vec<u8> {
        /// RFC 4302 2.2: 24 bytes, in units of 4 and less 2, with a check value of 12.
        const AH: [u8; 24] = [59, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        /// RFC 4303 2: an SPI that is not reserved, and a number.
        const ESP: [u8; 8] = [0, 0, 1, 0, 0, 0, 0, 1];
        match self {
            Portless::Gre(Some(call)) => pptp::bare(call).to_vec(),
            Portless::Gre(None) => {
                let mut bytes = vec![0; gre::header_len(false)];
                gre::write(&mut bytes, ethernet::IPV4, false);
                bytes
            }
            Portless::Esp => ESP.to_vec(),
            Portless::Ah => AH.to_vec(),
        }
    }
}

/// The same as [`imagined`] of a packet without ports, between the addresses of `ends`.
#[must_use]
pub fn imagined_portless<F: Family>(mac: Mac, ends: &Key<F>, packet: Portless) -> Vec<u8> {
    let l4 = packet.bytes();
    let mut frame = headed::<F>(mac, (ends.source, ends.destination), packet.number(), l4.len());
    let at = frame.len() - l4.len();
    frame[at..].copy_from_slice(&l4);
    frame
}

/// A frame of IP from some host to `mac`, with that many bytes of zero behind its headers.
fn headed<F: Family>(
    mac: Mac,
    (source, destination): (F::Address, F::Address),
    protocol: u8,
    l4_len: usize,
) -> Vec<u8> {
    /// Locally administered, and nobody's.
    const SOMEBODY: Mac = Mac([2, 0, 0, 0, 0, 0]);
    let mut frame = vec![0; ethernet::HEADER_LEN + F::HEADER_LEN + l4_len];
    ethernet::set_addresses(&mut frame, mac, SOMEBODY);
    ethernet::set_ethertype(&mut frame, F::ETHERTYPE);
    let header = Header {
        header_len: F::HEADER_LEN,
        total_len: F::HEADER_LEN + l4_len,
        fragment: ipv4::DONT_FRAGMENT,
        ttl: ipv4::DEFAULT_TTL,
        protocol,
        source,
        destination,
    };
    F::write(&mut frame[ethernet::HEADER_LEN..], &header);
    frame
}

/// A frame to explain: a TCP segment with these flags, a UDP datagram, an echo message (port 0 is that of who is asked), or a packet of SCTP that does what a segment with these
/// flags would (INIT, data, SHUTDOWN, ABORT), without payload but for a datagram's, from some host to `mac`.
#[must_use]
pub fn imagined<F: Family>(mac: Mac, key: &Key<F>, tcp_flags: u8, payload: &[u8]) -> Vec<u8> {
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
    let number = if key.protocol == Protocol::Icmp { F::ICMP } else { key.protocol.number() };
    let mut frame = headed::<F>(mac, (key.source, key.destination), number, l4_len);
    let l4 = &mut frame[ethernet::HEADER_LEN + F::HEADER_LEN..];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{V4, V6};

    fn check<F: Family>(ends: &Key<F>) {
        let (mac, l4_at) = (Mac([2, 0, 0, 0, 0, 9]), ethernet::HEADER_LEN + F::HEADER_LEN);
        let frame = |packet| imagined_portless::<F>(mac, ends, packet);
        for (packet, number, len) in [
            (Portless::Gre(Some(7)), 47, 12),
            (Portless::Gre(None), 47, 4),
            (Portless::Esp, 50, 8),
            (Portless::Ah, 51, 24),
        ] {
            let frame = frame(packet);
            let header = Header::<F>::read(&frame[ethernet::HEADER_LEN..]).expect("a header");
            assert_eq!(
                (header.protocol, header.source, header.destination),
                (number, ends.source, ends.destination)
            );
            assert_eq!((frame.len() - l4_at, header.total_len), (len, F::HEADER_LEN + len), "{packet:?}");
            assert!(F::header_is_right(&frame[ethernet::HEADER_LEN..l4_at]), "{packet:?}");
        }
        let call = frame(Portless::Gre(Some(0x1234)));
        assert_eq!(pptp::call_id(&call[l4_at..]), Some(0x1234));
        assert!(pptp::is_early(&call[l4_at..]), "it is a call's first");
        assert_eq!(pptp::call_id(&frame(Portless::Gre(None))[l4_at..]), None);
    }

    #[test]
    fn packets_without_ports_are_what_they_are_said_to_be() {
        let ends = |source: &str, destination: &str| crate::flow::key::Ends {
            protocol: Protocol::Tcp,
            source: source.parse().expect("an endpoint"),
            destination: destination.parse().expect("an endpoint"),
        };
        check::<V4>(&ends("203.0.113.10:0", "192.0.2.100:0").key::<V4>().expect("of IPv4"));
        check::<V6>(&ends("[2001:db8::1]:0", "[2001:db8::2]:0").key::<V6>().expect("of IPv6"));
    }
}
