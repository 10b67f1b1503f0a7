//! Stage 3 for ICMP: echo requests are answered, errors go where the packet they quote belongs.

use super::{Origin, Worker, classify::Staged};
use crate::{
    conn::{entry::Direction, method::Method},
    counters::DropReason,
    forward::{
        dr,
        embedded::{self, Quote},
        reject,
    },
    packet::{Io, Packet},
    service::snapshot::{Local, Server},
    time::Instant,
    verdict::Verdict,
    wire::{
        get16,
        icmp::{self, HEADER_LEN},
        ipv4,
    },
};

/// A path MTU below this is not believed: no IPv4 link is that small, but a forger may say so. RFC 1191 3 has 68
/// as the bound; Linux refuses below 552, as we do.
const SMALLEST_PATH_MTU: u16 = 552;

impl<P: Packet> Worker<P> {
    #[cold]
    pub(super) fn icmp(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) -> Verdict {
        let local = self.snapshot.local(stage.at.destination);
        let payload = stage.at.payload(packet.bytes());
        let is_own = matches!(local, Some(Local::Own(_)));
        if !self.is_station(stage.at.source) {
            return match payload.first() {
                Some(&kind) if is_own && answers(kind) => Verdict::Deliver(DropReason::BadSource),
                _ => Verdict::Drop(DropReason::BadSource),
            };
        }
        match payload.first() {
            Some(&icmp::ECHO_REQUEST) if local.is_some() => {
                if !self.refusals.allow(now) {
                    return Verdict::Drop(DropReason::RejectLimited);
                }
                reject::echo_reply(packet, &stage.at);
                Verdict::Answer
            }
            Some(&kind) if icmp::is_error(kind) => self.icmp_error(now, packet, stage, origin, local, io),
            Some(&icmp::ECHO_REPLY) if is_own => Verdict::Deliver(DropReason::IcmpUnrelated),
            _ if local.is_some() => Verdict::Drop(DropReason::IcmpUnrelated),
            _ => Verdict::Drop(DropReason::NotForUs),
        }
    }

    fn icmp_error(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        origin: Origin,
        local: Option<Local>,
        io: &mut impl Io<Packet = P>,
    ) -> Verdict {
        if matches!(local, Some(Local::Own(_))) {
            return match self.tunnel_error(now, packet, stage, origin, io) {
                Verdict::Drop(reason) => Verdict::Deliver(reason),
                verdict => verdict,
            };
        }
        let Some(quote) = Quote::read(packet.bytes(), &stage.at) else {
            return Verdict::Drop(DropReason::IcmpUnrelated);
        };
        let Some(found) = self.connections.lookup(&quote.answers) else {
            // Whose it is cannot be told from the quote in every port set-up, so everyone else gets to look.
            if origin == Origin::Port {
                self.share(now, packet, io);
            }
            return Verdict::Drop(DropReason::IcmpUnrelated);
        };
        let connection = *self.connections.get(found.connection());
        // An error never refreshes or changes a connection: anyone who guesses four numbers can send one.
        let backend = &self.backends[connection.server];
        let (neighbour, method, limit) = match found.direction() {
            Direction::In => (backend.neighbour, connection.method, backend.limit),
            Direction::Out => {
                let neighbour = connection.client_neighbour;
                (neighbour, Method::Nat, self.neighbours.mtu(neighbour))
            }
        };
        if found.direction() == Direction::In && backend.is_gone() {
            return Verdict::Drop(DropReason::NoConnection);
        }
        if stage.at.ip_len > limit {
            return Verdict::Drop(DropReason::TooBig);
        }
        if stage.at.ttl <= 1 {
            return Verdict::Drop(DropReason::TtlExpired);
        }
        match method {
            Method::Nat => {
                let frame = packet.bytes_mut();
                embedded::translate(frame, &stage.at, &quote, &connection, found.direction());
            }
            Method::Dr => dr::inbound(packet.bytes_mut(), &stage.at),
            Method::Tun => {
                if let Err(reason) = self.tunnel(packet, &stage.at, connection.server) {
                    return Verdict::Drop(reason);
                }
            }
        }
        Verdict::Forward(neighbour)
    }

    /// An error about a tunnel's outer packet: its sender is the director itself. A router that says how large a
    /// packet may be is believed for a while, and clients are told when they next send a larger one: the "soft
    /// state" of RFC 2003 5.
    fn tunnel_error(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) -> Verdict {
        let Some((outer, mtu)) = about_tunnel(stage.at.payload(packet.bytes())) else {
            return Verdict::Drop(DropReason::IcmpUnrelated);
        };
        let mut concerned = false;
        for (server, backend) in self.snapshot.servers.iter().zip(&mut self.backends) {
            if concerns(server, &outer, mtu) {
                self.narrow_ways += usize::from(backend.narrow(mtu, now));
                concerned = true;
            }
        }
        if !concerned {
            return Verdict::Drop(DropReason::IcmpUnrelated);
        }
        if origin == Origin::Port {
            self.share(now, packet, io);
        }
        Verdict::Host
    }
}

/// Whether such a message answers something that the director itself may have sent.
pub(super) fn answers(kind: u8) -> bool {
    kind == icmp::ECHO_REPLY || icmp::is_error(kind)
}

/// The quoted header of a tunnel's packet that was too big, and the MTU it was too big for.
pub(super) fn about_tunnel(message: &[u8]) -> Option<(ipv4::Header, u16)> {
    let outer = message.get(HEADER_LEN..).and_then(ipv4::Header::read_cut)?;
    let is_it = outer.protocol == ipv4::IPIP
        && (message[0], message[1]) == (icmp::UNREACHABLE, icmp::FRAGMENTATION_NEEDED);
    is_it.then(|| (outer, get16(message, icmp::MTU)))
}

/// Whether such a report is about the tunnel to a server, and to be believed.
pub(super) fn concerns(server: &Server, outer: &ipv4::Header, mtu: u16) -> bool {
    server.plan.address.to_bits() == outer.destination
        && server.tunnel_source.to_bits() == outer.source
        && mtu >= SMALLEST_PATH_MTU
}
