//! Stage 3 for a packet of a connection: its state, its time, its counters, and the rewriting of its method.

use super::{Origin, Worker, classify::Staged};
use crate::{
    conn::{
        connections::Candidate,
        entry::Direction,
        method::Method,
        state::State,
        tcp::{self, FULL, HALF},
    },
    counters::DropReason,
    forward::{
        dr, nat,
        reject::{self, Error},
        tun,
    },
    packet::{Packet, PortId},
    time::{Duration, Instant},
    verdict::Verdict,
    wire::{
        ethernet::Mac,
        icmp, ipv4,
        tcp::{ACK, SYN},
    },
};

/// How long a path MTU that was learnt is believed, RFC 1191 6.3.
const PATH_MTU_LIFE: Duration = Duration::from_secs(10 * 60);

impl<P: Packet> Worker<P> {
    #[inline(always)]
    pub(super) fn pass(&mut self, now: Instant, packet: &mut P, stage: &Staged, found: Candidate) -> Verdict {
        let (index, direction) = (found.index(), found.direction());
        let connection = self.connections.get_mut(index);
        let (method, server) = (connection.method, connection.server);
        let neighbour = match direction {
            Direction::In => self.backends[server as usize].neighbour,
            Direction::Out => connection.client_neighbour,
        };

        // Before anything is remembered of the packet: can it go on at all?
        let (overhead, mtu) = match method {
            Method::Tun => (tun::OVERHEAD as u16, self.tunnel_mtu(now, server, neighbour)),
            Method::Nat | Method::Dr => (0, self.mtu_of(neighbour)),
        };
        if stage.at.ttl <= 1 || stage.at.ip_len > mtu.saturating_sub(overhead) {
            return self.undeliverable(now, packet, stage, mtu.saturating_sub(overhead));
        }

        let connection = self.connections.get_mut(index);
        let next = if stage.at.protocol == ipv4::UDP {
            State::Udp
        } else {
            let begins = direction == Direction::In && stage.tcp_flags & (SYN | ACK) == SYN;
            if begins && connection.state.is_closing() {
                return self.connect_anew(now, packet, stage, index);
            }
            let table = if method == Method::Nat { &FULL } else { &HALF };
            tcp::next(table, connection.state, direction, stage.tcp_flags)
        };
        connection.seen = now.stamp();
        connection.count(direction, stage.at.ip_len);
        let traffic = &self.traffic[server as usize];
        traffic.packets[direction as usize].bump();
        traffic.bytes[direction as usize].add(u64::from(stage.at.ip_len));
        if next != connection.state {
            self.advance(now, index, next);
        }

        let connection = self.connections.get(index);
        match (method, direction) {
            (Method::Nat, Direction::In) => nat::inbound(packet.bytes_mut(), &stage.at, connection),
            (Method::Nat, Direction::Out) => nat::outbound(packet.bytes_mut(), &stage.at, connection),
            (Method::Dr, _) => dr::inbound(packet.bytes_mut(), &stage.at),
            (Method::Tun, _) => {
                if let Err(reason) = self.encapsulate(packet, stage, server) {
                    return Verdict::Drop(reason);
                }
            }
        }
        Verdict::Forward(neighbour)
    }

    /// Wraps a packet for a server.
    #[inline(always)]
    pub(super) fn encapsulate(
        &mut self,
        packet: &mut P,
        stage: &Staged,
        server: u32,
    ) -> Result<(), DropReason> {
        let to = &self.snapshot.servers[server as usize];
        let (source, address) = (to.tunnel_source.to_bits(), to.plan.address.to_bits());
        self.next_id = self.next_id.wrapping_add(1);
        tun::inbound(packet, &stage.at, source, address, self.next_id).map_err(|_| DropReason::NoHeadroom)
    }

    /// Takes a connection to another state: its server's load, and the time and wheel of its end, change with it.
    pub(super) fn advance(&mut self, now: Instant, index: u32, next: State) {
        let connection = self.connections.get_mut(index);
        let (before, server) = (connection.state, connection.server);
        connection.state = next;
        if before.is_active() != next.is_active() {
            self.count_load(server, before, -1);
            self.count_load(server, next, 1);
        }
        let timeout = self.snapshot.service_of(server).timeouts.of(next);
        self.connections.reschedule(index, now + timeout);
    }

    /// One connection in a state more or less at a server.
    pub(super) fn count_load(&mut self, server: u32, state: State, by: i32) {
        let load = &mut self.backends[server as usize].load;
        let count = if state.is_active() { &mut load.active } else { &mut load.inactive };
        *count = count.wrapping_add_signed(by);
        self.director.board.publish(self.id, server, *load);
    }

    /// The largest IPv4 packet for the port that a neighbour is behind. A neighbour that does not exist is noticed
    /// when it is sent to.
    #[inline(always)]
    pub(super) fn mtu_of(&self, neighbour: u16) -> u16 {
        self.neighbours.get(neighbour).map_or(u16::MAX, |neighbour| neighbour.mtu)
    }

    /// The largest outer packet on the way to a server: the port's MTU, or what a router said of late.
    #[inline(always)]
    pub(super) fn tunnel_mtu(&self, now: Instant, server: u32, neighbour: u16) -> u16 {
        let port_mtu = self.mtu_of(neighbour);
        match self.backends[server as usize].path_mtu {
            Some((mtu, heard)) if now.since(heard) < PATH_MTU_LIFE => mtu.min(port_mtu),
            _ => port_mtu,
        }
    }

    /// A packet that cannot go on: its time to live has run out, or it is larger than `mtu`. Its sender is told.
    #[cold]
    pub(super) fn undeliverable(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        mtu: u16,
    ) -> Verdict {
        if stage.at.ttl <= 1 {
            let error = Error { kind: icmp::TIME_EXCEEDED, code: 0, mtu: 0 };
            return self.report(now, packet, stage, error, DropReason::TtlExpired);
        }
        if !stage.at.dont_fragment() {
            // Only with a smaller MTU on the way out: see ARCHITECTURE.md on what is not done.
            return Verdict::Drop(DropReason::TooBig);
        }
        let error = Error { kind: icmp::UNREACHABLE, code: icmp::FRAGMENTATION_NEEDED, mtu };
        self.report(now, packet, stage, error, DropReason::TooBig)
    }

    /// Answers with an ICMP error from the director's own address, or drops the packet for `otherwise`.
    pub(super) fn report(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        error: Error,
        otherwise: DropReason,
    ) -> Verdict {
        let from = self.snapshot.answer_from(packet.port(), stage.at.source, stage.at.destination);
        self.answer_error(now, packet, stage, from, error, otherwise)
    }

    /// Answers with an ICMP error from `source`, or drops the packet for `otherwise`.
    pub(super) fn answer_error(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        source: u32,
        error: Error,
        otherwise: DropReason,
    ) -> Verdict {
        if !self.refusals.allow(now) {
            return Verdict::Drop(DropReason::RejectLimited);
        }
        if !reject::icmp_error(packet, &stage.at, source, error) {
            return Verdict::Drop(otherwise);
        }
        self.counters.icmp_errors.bump();
        Verdict::Answer
    }

    /// The port's own address, for packets that the director makes.
    pub(super) fn mac_of(&self, port: PortId) -> Mac {
        self.macs.get(usize::from(port.0)).copied().unwrap_or_default()
    }

    /// A client opens a connection where an old one is closing: that one ends.
    #[cold]
    fn connect_anew(&mut self, now: Instant, packet: &mut P, stage: &Staged, index: u32) -> Verdict {
        self.end(index);
        // It was this worker's connection, so the new one is as well.
        self.connect(now, packet, stage, Origin::Worker)
    }
}
