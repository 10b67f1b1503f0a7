//! ICMP and other protocols: echo requests are answered, errors go where the packet they quote belongs.

use super::{About, Act, Decision, Origin, classify::Parsed, known::Known, refuse::Answer};
use crate::{
    conn::{
        connections::Hit,
        entry::{Connection, Direction},
    },
    counters::DropReason,
    forward::{
        self,
        quote::{self, Quote},
        tun::Outer,
    },
    ids::NeighbourId,
    packet::Packet,
    service::snapshot::{Local, Server},
    time::Instant,
    wire::{
        get16,
        headers::Headers,
        icmp::{self, HEADER_LEN},
        ipv4,
    },
};

/// A path MTU below this is not believed: no IPv4 link is that small, but a forger may say so. RFC 1191 3 has 68
/// as the bound; Linux refuses below 552, as we do.
const SMALLEST_PATH_MTU: u16 = 552;

/// An ICMP error goes to the end whose packet it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The connection, and the direction of the error.
    pub hit: Hit,
    /// The quoted packet.
    pub quote: Quote,
    /// Who gets the error next.
    pub neighbour: Option<NeighbourId>,
}

impl Relay {
    /// Rewrites the error for its receiver. What the connection's method does to the client's packets it does to errors
    /// about the server's.
    pub(crate) fn apply(
        &self,
        packet: &mut impl Packet,
        at: &Headers,
        connection: &Connection,
        outer: &Outer,
        last_id: &mut u16,
    ) -> Result<(), DropReason> {
        if connection.method.sees_replies() {
            quote::translate(packet.bytes_mut(), at, &self.quote, connection, self.hit.direction());
            return Ok(());
        }
        forward::apply(packet, at, connection, self.hit.direction(), outer, last_id)
    }
}

/// A router reports that the way between two ends carries only so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// The director's end of the tunnel.
    pub source: u32,
    /// The servers' end.
    pub server: u32,
    /// Bytes of the largest packet that gets through.
    pub mtu: u16,
    /// Whether the other workers are to know.
    pub share: bool,
}

impl Narrow {
    /// Reads a report about a tunnel's packet that was too big, and that is to be believed.
    fn read(message: &[u8], share: bool) -> Option<Narrow> {
        let outer = message.get(HEADER_LEN..).and_then(ipv4::Header::read_cut)?;
        let mtu = get16(message, icmp::MTU);
        let is_it = outer.protocol == ipv4::IPIP
            && (message[0], message[1]) == (icmp::UNREACHABLE, icmp::FRAGMENTATION_NEEDED)
            && mtu >= SMALLEST_PATH_MTU;
        is_it.then_some(Narrow { source: outer.source, server: outer.destination, mtu, share })
    }

    /// Whether the report is about the tunnel to a server.
    #[must_use]
    pub fn concerns(&self, server: &Server) -> bool {
        (server.plan.address.to_bits(), server.tunnel_source.to_bits()) == (self.server, self.source)
    }
}

impl Known {
    #[cold]
    pub(super) fn icmp(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed,
        origin: Origin,
    ) -> Decision {
        let local = self.snapshot.local(parsed.at.destination);
        let is_own = matches!(local, Some(Local::Own(_)));
        let kind = parsed.at.payload(packet.bytes()).first().copied();
        if !self.is_station(parsed.at.source) {
            let answers =
                kind.is_some_and(|kind| kind == icmp::ECHO_REPLY || icmp::concerns_connection(kind));
            let act = if is_own && answers { Act::Deliver } else { Act::Drop };
            return act(DropReason::BadSource).into();
        }
        let act = match kind {
            Some(icmp::ECHO_REQUEST) if local.is_some() => {
                self.answer(now, Answer::Echo, DropReason::RejectLimited)
            }
            Some(kind) if icmp::concerns_connection(kind) && is_own => self.own_error(packet, parsed, origin),
            Some(kind) if icmp::concerns_connection(kind) => return self.icmp_error(packet, parsed, origin),
            Some(icmp::ECHO_REPLY) if is_own => Act::Deliver(DropReason::IcmpUnrelated),
            Some(kind) if icmp::is_error(kind) => Act::Drop(DropReason::IcmpUnrelated),
            _ if local.is_some() => Act::Drop(DropReason::IcmpUnrelated),
            _ => Act::Drop(DropReason::NotForUs),
        };
        act.into()
    }

    /// An error that goes on to one end of a connection. It never refreshes or changes the connection: anyone who
    /// guesses four numbers can send one.
    fn icmp_error(&self, packet: &impl Packet, parsed: &Parsed, origin: Origin) -> Decision {
        let Some(quote) = Quote::read(packet.bytes(), &parsed.at) else {
            return Act::Drop(DropReason::IcmpUnrelated).into();
        };
        let Some(hit) = self.connections.lookup(&quote.answers) else {
            // Whose it is cannot be told from the quote in every port set-up, so everyone else gets to look.
            return match origin {
                Origin::Port => Act::Share(DropReason::IcmpUnrelated).into(),
                Origin::Worker => Act::Drop(DropReason::IcmpUnrelated).into(),
            };
        };
        let connection = self.connections.get(hit.connection());
        let way = self.way(connection, hit.direction());
        let is_gone = self.backends[connection.server].is_gone();
        let act = if hit.direction() == Direction::In && is_gone {
            Act::Drop(DropReason::NoConnection)
        } else if parsed.at.ip_len > way.limit {
            Act::Drop(DropReason::TooBig)
        } else if parsed.at.ttl <= 1 {
            Act::Drop(DropReason::TtlExpired)
        } else {
            Act::Relay(Relay { hit, quote, neighbour: way.neighbour })
        };
        Decision { about: About::Connection(hit), course: act.into() }
    }

    /// An error for the director itself: about a packet of a tunnel, or about one of its own. A router that says how
    /// large a tunnel's packet may be is believed for a while, and clients are told when they next send a larger one:
    /// the "soft state" of RFC 2003 5.
    fn own_error(&self, packet: &impl Packet, parsed: &Parsed, origin: Origin) -> Act {
        let report = Narrow::read(parsed.at.payload(packet.bytes()), origin == Origin::Port);
        match report.filter(|report| self.snapshot.servers.iter().any(|server| report.concerns(server))) {
            Some(report) => Act::Narrow(report),
            None => Act::Deliver(DropReason::IcmpUnrelated),
        }
    }

    /// A protocol without ports, or one that is not known: it can only be unserved.
    #[cold]
    pub(super) fn other_protocol(&self, now: Instant, parsed: &Parsed) -> Act {
        if !self.is_station(parsed.at.source) {
            return Act::Drop(DropReason::BadSource);
        }
        match self.snapshot.local(parsed.at.destination) {
            Some(Local::Vip { unserved, .. }) => self.refuse(now, parsed, unserved, DropReason::Unserved),
            Some(Local::Own(_)) => Act::Drop(DropReason::OwnAddress),
            None => Act::Drop(DropReason::NotForUs),
        }
    }
}
