//! Stage 3 for a packet of a connection: its state, its time, its counters, and the rewriting of its method.

use super::{
    Worker,
    classify::{Kind, Staged},
};
use crate::{
    conn::{
        connections::Hit,
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
    ids::{ConnectionId, ServerId},
    packet::{Packet, PortId},
    time::{Instant, Stamp},
    verdict::Verdict,
    wire::{
        ethernet::{self, Mac},
        headers::{COMMON_LEN, Headers},
        icmp, ipv4,
        tcp::{ACK, FIN, RST, SYN},
    },
};

impl<P: Packet> Worker<P> {
    /// A plain packet, as nearly all are: of the common shape, of the likely connection, whose state it leaves as it is,
    /// and nothing keeps it from going on. Returns the port it is to leave by. Everything else is left as it was, for
    /// [`Worker::pass`], which does all of this for any packet. To have it apart, in one straight line, makes it half as
    /// long: the compiler need not keep at hand what only other packets need.
    #[inline(always)]
    pub(super) fn pass_plain(&mut self, now: Stamp, packet: &mut P, stage: &mut Staged) -> Option<PortId> {
        let direction = Hit::direction_of(stage.hit);
        let connection = self.connections.plain(stage.hit, stage.key, stage.meaning)?;
        let head = packet.bytes_mut().first_chunk_mut::<COMMON_LEN>()?;
        let server = connection.server;
        let (backend, traffic) = (self.backends.get(server)?, self.traffic.get(server.index())?);
        let Headers { ip_len, ttl, .. } = Headers::of_common(head);
        let neighbour = match direction {
            Direction::In if ip_len > backend.limit => return None,
            Direction::In => backend.neighbour,
            Direction::Out => connection.client_neighbour,
        };
        let way = self.neighbours.way(neighbour)?;
        if ip_len > way.limit {
            return None;
        }
        if ttl <= 1 {
            return None;
        }

        connection.seen = now;
        connection.count(direction, ip_len);
        traffic.count(direction as usize, ip_len);
        // Where it goes first, although the headers behind change next: it is at hand now.
        ethernet::set_stations(head, &way.stations);
        let at = &Headers { protocol: stage.key.protocol, ..Headers::of_common(head) };
        match (connection.method, direction) {
            (Method::Nat, Direction::In) => nat::inbound(head, at, connection),
            (Method::Nat, Direction::Out) => nat::outbound(head, at, connection),
            (Method::Dr, _) => dr::inbound(head, at),
            (Method::Tun, _) => {
                if tun::inbound(packet, at, &backend.outer, &mut self.last_id).is_err() {
                    (stage.kind, stage.reason) = (Kind::Drop, DropReason::NoHeadroom);
                    return None;
                }
            }
        }
        Some(way.port)
    }

    /// A packet of the connection `found`.
    #[inline(never)]
    pub(super) fn pass(&mut self, now: Instant, packet: &mut P, stage: &Staged, found: Hit) -> Verdict {
        let at = &stage.at;
        let (id, direction) = (found.connection(), found.direction());
        let connection = self.connections.get_mut(id);
        let server = connection.server;
        let backend = &self.backends[server];
        let (neighbour, limit) = match direction {
            Direction::In => (backend.neighbour, backend.limit),
            Direction::Out => (connection.client_neighbour, self.neighbours.mtu(connection.client_neighbour)),
        };

        // Before anything is remembered of the packet: can it go on at all?
        if at.ttl <= 1 || at.ip_len > limit {
            return self.undeliverable(now, packet, stage, limit, found);
        }
        // Nearly all packets leave their connection's state as it is; the tables say so, too.
        let steady = match stage.key.protocol {
            ipv4::TCP => {
                connection.state == State::Established && stage.tcp_flags & (SYN | FIN | RST | ACK) == ACK
            }
            _ => connection.state == State::Udp,
        };
        let connection = if steady {
            connection
        } else if self.change_state(now, stage, id, direction) {
            self.connections.get_mut(id)
        } else {
            // A client opens a connection where an old one was over.
            return self.connect_anew(now, packet, stage);
        };
        connection.seen = now.stamp();
        connection.count(direction, at.ip_len);
        self.traffic[server.index()].count(direction as usize, at.ip_len);
        match (connection.method, direction) {
            (Method::Nat, Direction::In) => nat::inbound(packet.bytes_mut(), at, connection),
            (Method::Nat, Direction::Out) => nat::outbound(packet.bytes_mut(), at, connection),
            (Method::Dr, _) => dr::inbound(packet.bytes_mut(), at),
            (Method::Tun, _) => {
                if let Err(reason) = self.tunnel(packet, at, server) {
                    return Verdict::Drop(reason);
                }
            }
        }
        Verdict::Forward(neighbour)
    }

    /// Wraps a packet for a server.
    #[inline(always)]
    pub(super) fn tunnel(
        &mut self,
        packet: &mut P,
        at: &Headers,
        server: ServerId,
    ) -> Result<(), DropReason> {
        tun::inbound(packet, at, &self.backends[server].outer, &mut self.last_id)
            .map_err(|_| DropReason::NoHeadroom)
    }

    /// Lets a packet change its connection's state, if it does. `false` when it opens a new connection instead: the
    /// old one is forgotten.
    #[inline(never)]
    fn change_state(&mut self, now: Instant, stage: &Staged, id: ConnectionId, direction: Direction) -> bool {
        let connection = self.connections.get(id);
        let next = if stage.key.protocol == ipv4::UDP {
            State::Udp
        } else {
            let begins = direction == Direction::In && stage.tcp_flags & (SYN | ACK) == SYN;
            if begins && connection.gives_way() {
                self.end(id);
                return false;
            }
            if direction == Direction::Out && stage.tcp_flags & RST != 0 && connection.state == State::SynSent
            {
                self.traffic[connection.server.index()].refused.bump();
            }
            let table = if connection.sees_replies() { &FULL } else { &HALF };
            tcp::next(table, connection.state, direction, stage.tcp_flags)
        };
        if next != connection.state {
            self.advance(now, id, next);
        }
        true
    }

    /// Takes a connection to another state: its server's load, and the time and wheel of its end, change with it.
    pub(super) fn advance(&mut self, now: Instant, id: ConnectionId, next: State) {
        let connection = self.connections.get_mut(id);
        let (before, server) = (connection.state, connection.server);
        connection.state = next;
        if before.is_active() != next.is_active() {
            self.backends[server].count(before, -1);
            self.count_load(server, next, 1);
        }
        let timeouts = &self.snapshot.service_of(server).timeouts;
        let (earlier, timeout) = (timeouts.of(before), timeouts.of(next));
        // Where it will be looked at early enough, that is soon enough to find out when its end is. One without a state
        // is not on a wheel yet.
        let may_wait =
            before != State::None && before.is_half_open() == next.is_half_open() && timeout >= earlier;
        if !may_wait {
            self.connections.reschedule(id, now + timeout);
        }
    }

    /// One connection in a state more or less at a server.
    pub(super) fn count_load(&mut self, server: ServerId, state: State, by: i32) {
        let backend = &mut self.backends[server];
        backend.count(state, by);
        self.director.board.publish(self.id, server, backend.load);
    }

    /// A packet that cannot go on: its server is gone, its time to live has run out, or it is larger than `mtu`. Its
    /// sender is told.
    #[cold]
    pub(super) fn undeliverable(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        mtu: u16,
        found: Hit,
    ) -> Verdict {
        let server = self.connections.get(found.connection()).server;
        if found.direction() == Direction::In && self.backends[server].is_gone() {
            return self.orphaned(now, packet, stage, found.connection());
        }
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
}
