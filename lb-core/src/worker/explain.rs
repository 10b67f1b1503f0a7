//! What would become of a packet, and why, stage by stage. Changes nothing.
//!
//! This is not a second opinion: it asks the same functions that decide about packets ([`classify`], `course`,
//! `choose`, the state tables, routing), and lets the same code rewrite a copy of the frame. `tests/explain.rs` holds
//! it against what [`Worker::process`] then does, for any packet in any set-up.
//!
//! It is asked for by people, so it may allocate; it takes some microseconds.

mod icmp;
mod opening;
mod words;

use super::{
    Origin, Worker,
    classify::{Kind, Staged, classify},
    connect::Course,
    owner::Basis,
};
use crate::{
    conn::{
        connections::Hit,
        entry::{Connection, Direction},
        method::Method,
        state::State,
        tcp::{self, FULL, HALF},
    },
    counters::DropReason,
    explanation::{Explanation, Outcome, Stage, Step},
    forward::{
        dr, nat,
        reject::{self, Error},
        tun,
    },
    ids::{ConnectionId, NeighbourId, ServerId, ServiceId},
    limits::MAX_PORTS,
    memory::MemoryPacket,
    neigh::entry::{Knowledge, Neighbour, Question},
    packet::{HandOver, Io, Packet},
    service::{plan::Unserved, routing::NextHop, snapshot::Local},
    time::{Duration, Instant},
    wire::{
        ethernet, icmp as wire_icmp, ipv4,
        tcp::{ACK, RST, SYN},
    },
};
use std::net::Ipv4Addr;
use words::{ends, flow, time};

impl<P: Packet> Worker<P> {
    /// What this worker would do now with a packet that a port delivers to it, and why. `io` is only asked what the
    /// control plane waits for.
    #[must_use]
    pub fn explain(&self, now: Instant, packet: &MemoryPacket, io: &impl Io) -> Explanation {
        self.tell(now, packet, Origin::Port, io)
    }

    /// The same for a packet that another worker hands over.
    #[must_use]
    pub fn explain_handed_over(&self, now: Instant, packet: &MemoryPacket, io: &impl Io) -> Explanation {
        self.tell(now, packet, Origin::Worker, io)
    }

    fn tell(&self, now: Instant, packet: &MemoryPacket, origin: Origin, io: &impl Io) -> Explanation {
        let mut story = Story {
            worker: self,
            now,
            origin,
            is_waited_for: io.waits_for(packet.bytes()),
            packet: packet.clone(),
            stage: Staged::new(),
            steps: Vec::new(),
            service: None,
            server: None,
            is_known: false,
        };
        let outcome = story.follow();
        let text = words::outcome(&self.snapshot, &outcome, packet.port());
        story.say(Stage::Outcome, text);
        Explanation {
            worker: self.id,
            steps: story.steps,
            service: story.service,
            server: story.server,
            is_known: story.is_known,
            outcome,
        }
    }
}

/// An explanation in the making. Each function says what it finds and returns what becomes of the packet.
struct Story<'a, P> {
    worker: &'a Worker<P>,
    now: Instant,
    origin: Origin,
    /// Whether the control plane would take it, if it is for one of the director's own addresses.
    is_waited_for: bool,
    /// A copy, to be rewritten.
    packet: MemoryPacket,
    stage: Staged,
    steps: Vec<Step>,
    service: Option<ServiceId>,
    server: Option<ServerId>,
    is_known: bool,
}

/// Who gets the packet next.
#[derive(Clone, Copy)]
enum Way {
    /// A neighbour; `None` for one that found no place in the table.
    Known(Option<NeighbourId>),
    /// One that is yet to be taken into the table.
    New(NextHop),
}

impl<P: Packet> Story<'_, P> {
    fn say(&mut self, stage: Stage, text: impl Into<String>) {
        self.steps.push(Step { stage, text: text.into() });
    }

    fn follow(&mut self) -> Outcome {
        let arrival = self.worker.arrivals[usize::from(self.packet.port().0) % MAX_PORTS];
        classify(&self.packet, arrival, &mut self.stage);
        let snapshot = &self.worker.snapshot;
        let text = words::arrival(snapshot, &self.packet, &self.stage, self.origin == Origin::Worker);
        self.say(Stage::Port, text);
        match self.stage.kind {
            Kind::Common | Kind::Flow => match self.worker.connections.lookup(&self.stage.key.key()) {
                Some(found) => self.known(found),
                None => self.connect(None),
            },
            Kind::Icmp => self.icmp(),
            Kind::Arp => self.arp(),
            Kind::OtherProtocol => self.other_protocol(),
            Kind::Drop => Outcome::Dropped(self.stage.reason),
        }
    }

    /// The packet belongs to a connection.
    fn known(&mut self, found: Hit) -> Outcome {
        let connection = *self.worker.connections.get(found.connection());
        self.is_known = true;
        self.concern(connection.server);
        self.say(Stage::Owner, format!("worker {}: it has the connection", self.worker.id.0));
        let timeout = self.worker.snapshot.service_of(connection.server).timeouts.of(connection.state);
        let (age, idle) = (connection.created.age(self.now), connection.seen.age(self.now));
        let left = Duration::from_millis(timeout.as_millis().saturating_sub(idle.as_millis()));
        let text = format!(
            "known: {}, {}, from the {}; opened {} ago, idle for {}, to be forgotten in {} if nothing passes; {} and {} \
             packets passed in and out",
            flow(&connection),
            connection.state.name(),
            if found.direction() == Direction::In { "client" } else { "server" },
            time(age),
            time(idle),
            time(left),
            connection.packets(Direction::In),
            connection.packets(Direction::Out),
        );
        self.say(Stage::Connection, text);
        let is_in = found.direction() == Direction::In;
        if is_in && self.worker.backends[connection.server].is_gone() {
            return self.orphaned(found.connection());
        }
        let way = self.way(&connection, found.direction());
        if let Some(outcome) = self.check_size(way) {
            return outcome;
        }
        let begins = is_in && self.stage.tcp_flags & (SYN | ACK) == SYN && self.is_tcp();
        if begins && connection.gives_way() {
            self.say(
                Stage::Connection,
                "a SYN on a connection that is over: that is forgotten, and a new one opened",
            );
            // The old connection was this worker's, so the new one is.
            self.origin = Origin::Worker;
            return self.connect(Some(found.connection()));
        }
        self.pass(&connection, found.direction(), way)
    }

    /// The packet's connection ends, as its server is not there any more.
    fn orphaned(&mut self, id: ConnectionId) -> Outcome {
        self.say(Stage::Connection, "its server is gone, so it ends");
        if self.is_tcp() && self.stage.tcp_flags & (SYN | ACK) != SYN {
            return self.refuse(Unserved::Reject, DropReason::NoConnection);
        }
        self.origin = Origin::Worker;
        self.connect(Some(id))
    }

    /// Can the packet go on at all? As [`Worker::pass`] asks before it remembers anything of it.
    fn check_size(&mut self, (_, limit): (Way, u16)) -> Option<Outcome> {
        let at = self.stage.at;
        if at.ttl <= 1 {
            self.say(Stage::Mtu, "its time to live has run out");
            let error = Error { kind: wire_icmp::TIME_EXCEEDED, code: 0, mtu: 0 };
            return Some(self.report(error, DropReason::TtlExpired));
        }
        if at.ip_len <= limit {
            self.say(Stage::Mtu, format!("{} bytes; up to {limit} fit the way out", at.ip_len));
            return None;
        }
        let text = format!("{} bytes do not fit the way out, which takes {limit}", at.ip_len);
        if !at.dont_fragment() {
            self.say(Stage::Mtu, format!("{text}; it may be fragmented, which the director does not do"));
            return Some(Outcome::Dropped(DropReason::TooBig));
        }
        self.say(Stage::Mtu, text);
        let error = Error { kind: wire_icmp::UNREACHABLE, code: wire_icmp::FRAGMENTATION_NEEDED, mtu: limit };
        Some(self.report(error, DropReason::TooBig))
    }

    /// A packet of a connection, which fits: what becomes of both.
    fn pass(&mut self, connection: &Connection, direction: Direction, (way, _): (Way, u16)) -> Outcome {
        let next = match self.is_tcp() {
            true => {
                let table = if connection.sees_replies() { &FULL } else { &HALF };
                tcp::next(table, connection.state, direction, self.stage.tcp_flags)
            }
            false => State::Udp,
        };
        let timeout = self.worker.snapshot.service_of(connection.server).timeouts.of(next);
        let text = if next == connection.state {
            format!("stays {}; timeout {timeout}", next.name())
        } else {
            format!("{} -> {}; timeout {timeout}", connection.state.name(), next.name())
        };
        self.say(Stage::Connection, text);
        let before = ends(&self.packet, &self.stage.at);
        let at = self.stage.at;
        match (connection.method, direction) {
            (Method::Nat, Direction::In) => nat::inbound(self.packet.bytes_mut(), &at, connection),
            (Method::Nat, Direction::Out) => nat::outbound(self.packet.bytes_mut(), &at, connection),
            (Method::Dr, _) => dr::inbound(self.packet.bytes_mut(), &at),
            (Method::Tun, _) => {
                if let Some(dropped) = self.tunnel(connection) {
                    return dropped;
                }
            }
        }
        if connection.method != Method::Tun {
            let after = ends(&self.packet, &at);
            let text = if before == after {
                format!("dr: addresses stay as they are; time to live {} -> {}", at.ttl, at.ttl - 1)
            } else {
                let side = if direction == Direction::In { "destination" } else { "source" };
                format!(
                    "nat: {side} rewritten: {before} -> {after}; time to live {} -> {}",
                    at.ttl,
                    at.ttl - 1
                )
            };
            self.say(Stage::Method, text);
        }
        self.forward(way)
    }

    /// Wraps the packet for its server; the outcome if that fails.
    fn tunnel(&mut self, connection: &Connection) -> Option<Outcome> {
        let server = &self.worker.snapshot.servers[connection.server];
        let (source, to) = (server.tunnel_source, server.plan.address);
        let (at, mut last_id) = (self.stage.at, self.worker.last_id);
        let outer = &self.worker.backends[connection.server].outer;
        if tun::inbound(&mut self.packet, &at, outer, &mut last_id).is_err() {
            self.say(Stage::Method, "tun: no room for another header in front of the packet");
            return Some(Outcome::Dropped(DropReason::NoHeadroom));
        }
        let text = format!(
            "tun: wrapped in IPv4 {} > {}, {} bytes in all",
            source,
            to,
            usize::from(at.ip_len) + tun::OVERHEAD,
        );
        self.say(Stage::Method, text);
        None
    }

    /// Where a connection's packets go next, and the largest that can.
    fn way(&self, connection: &Connection, direction: Direction) -> (Way, u16) {
        match direction {
            Direction::In => {
                let backend = &self.worker.backends[connection.server];
                (Way::Known(backend.neighbour), backend.limit)
            }
            Direction::Out => {
                let neighbour = connection.client_neighbour;
                (Way::Known(neighbour), self.worker.neighbours.mtu(neighbour))
            }
        }
    }

    /// The packet is finished but for its Ethernet addresses.
    fn forward(&mut self, way: Way) -> Outcome {
        let (neighbour, id) = match way {
            Way::Known(id) => (self.worker.neighbours.to(id).copied(), id),
            Way::New(hop) => {
                let port = &self.worker.snapshot.ports[usize::from(hop.port.0)];
                (Some(Neighbour::new(hop, port.mac, port.mtu, self.now)), None)
            }
        };
        let Some(mut neighbour) = neighbour else {
            self.say(Stage::NextHop, "its next hop found no place in the table of neighbours");
            return Outcome::Dropped(DropReason::NeighboursFull);
        };
        let name = words::hop(&self.worker.snapshot, neighbour.hop);
        if neighbour.knowledge == Knowledge::Known {
            let heard = time(self.now.since(neighbour.heard));
            self.say(Stage::NextHop, format!("{name} is at {}, last heard {heard} ago", neighbour.mac));
            ethernet::set_stations(self.packet.bytes_mut(), &neighbour.stations);
            return Outcome::Sent { port: neighbour.port(), frame: self.packet.bytes().to_vec() };
        }
        // What `send_later` does, on a copy.
        neighbour.wanted(self.now);
        if neighbour.knowledge == Knowledge::Failed {
            self.say(Stage::NextHop, format!("{name} does not answer ARP"));
            return Outcome::Dropped(DropReason::Unresolved);
        }
        if !self.worker.waiting.has_room(id) {
            self.say(
                Stage::NextHop,
                format!("{name} is being asked by ARP, and too many packets wait already"),
            );
            return Outcome::Dropped(DropReason::WaitingFull);
        }
        if neighbour.poll(self.now) == Some(Question::GiveUp) {
            self.say(Stage::NextHop, format!("{name} was asked by ARP in vain"));
            return Outcome::Dropped(DropReason::Unresolved);
        }
        self.say(Stage::NextHop, format!("{name} is being asked by ARP; until it answers, packets wait"));
        let (port, next_hop) = (neighbour.port(), neighbour.hop.address);
        Outcome::Waits { port, next_hop, frame: self.packet.bytes().to_vec() }
    }

    /// A packet for one of the director's own addresses, as [`Verdict::Deliver`] has it.
    ///
    /// [`Verdict::Deliver`]: crate::verdict::Verdict::Deliver
    fn deliver(&mut self, otherwise: DropReason) -> Outcome {
        if self.is_waited_for {
            self.say(Stage::Service, "for the director itself: a health check by its ports waits for it");
            return Outcome::TakenIn;
        }
        self.say(Stage::Service, otherwise.explanation());
        Outcome::Dropped(otherwise)
    }

    /// Notes whom the packet concerns.
    fn concern(&mut self, server: ServerId) {
        let snapshot = &self.worker.snapshot;
        self.server = Some(server);
        self.service = Some(snapshot.servers[server].service);
        self.say(Stage::Service, words::service(snapshot.service_of(server)));
    }

    fn is_tcp(&self) -> bool {
        self.stage.key.protocol == ipv4::TCP
    }
}
