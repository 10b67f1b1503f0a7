//! Stage 3 for a packet without a connection: it opens one, goes to its owner, or is turned away.

use super::{Origin, Worker, classify::Staged};
use crate::{
    conn::{
        connections::{Hit, InsertError},
        entry::{Connection, Direction},
        method::Method,
        state::State,
    },
    counters::DropReason,
    flow::key::Key,
    forward::reject::{self, Error},
    ids::{ConnectionId, NeighbourId, ServerId, ServiceId},
    packet::{HandOver, Packet, PortId, WorkerId},
    sched::{Request, Turn},
    service::{
        load::Loads,
        plan::Unserved,
        snapshot::{Local, Service},
    },
    time::Instant,
    verdict::Verdict,
    wire::{
        icmp, ipv4,
        tcp::{ACK, RST, SYN},
    },
};
use std::net::Ipv4Addr;

/// How often another server is tried when the chosen one's endpoint is taken by the client's other connection.
pub(super) const TRIES: usize = 3;

/// What becomes of a packet.
pub(super) enum Decision {
    /// This.
    Is(Verdict),
    /// It opens a connection with this server, which counts it already: see [`Worker::complete`].
    Opens(ServerId),
}

impl<P: Packet> Worker<P> {
    /// A packet without a connection.
    #[cold]
    pub(super) fn connect(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        origin: Origin,
    ) -> Decision {
        Decision::Is(match self.course(packet.port(), &stage.key.key(), origin) {
            Course::Drop(reason) => Verdict::Drop(reason),
            Course::Host(otherwise) => Verdict::Deliver(otherwise),
            Course::Refuse(unserved, reason) => self.refuse(now, packet, stage, unserved, reason),
            Course::HandOver(owner, why) => Verdict::HandOver(owner, why),
            Course::Open(service, unserved) => return self.open(now, packet, stage, service, unserved),
            Course::Reply => self.reply(now, packet, stage),
        })
    }

    /// The same at once, where an earlier connection makes way.
    pub(super) fn connect_anew(&mut self, now: Instant, packet: &mut P, stage: &Staged) -> Verdict {
        // The earlier connection was this worker's, so the new one is.
        match self.connect(now, packet, stage, Origin::Worker) {
            Decision::Is(verdict) => verdict,
            Decision::Opens(server) => self.complete(now, packet, stage, server),
        }
    }

    /// Remembers the connection that a packet opens with a server, and lets the packet pass.
    pub(super) fn complete(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        mut server: ServerId,
    ) -> Verdict {
        for tries_left in (0..TRIES).rev() {
            match self.remember(now, self.connection(&stage.key.key(), server)) {
                Ok(Some(id)) => {
                    return self.pass_first(now, packet, stage, Hit::new(id, Direction::In));
                }
                Err(reason) => return Verdict::Drop(reason),
                Ok(None) if tries_left == 0 => break,
                Ok(None) => {}
            }
            let service = self.snapshot.servers[server].service;
            let Some(another) = self.prepare(stage, service) else { break };
            server = another;
        }
        Verdict::Drop(DropReason::ReplyClash)
    }

    /// What is to be done with a packet without a connection, as far as its addresses tell.
    pub(super) fn course(&self, port: PortId, key: &Key<u32>, origin: Origin) -> Course {
        let local = self.snapshot.local(key.destination);
        if matches!(local, Some(Local::Own(_))) {
            return Course::Host(self.if_nobody_waits(key.source, DropReason::OwnAddress));
        }
        if !self.is_station(key.source) {
            return Course::Drop(DropReason::BadSource);
        }
        match local {
            Some(Local::Vip { unserved, .. }) => {
                let service = self.snapshot.service_at(key.protocol, key.destination, key.destination_port);
                let Some(service) = service else { return Course::Refuse(unserved, DropReason::Unserved) };
                let owner = self.owner_of_inbound(port, key, service);
                if origin == Origin::Port && owner != self.id {
                    return Course::HandOver(owner, HandOver::Client);
                }
                Course::Open(service, unserved)
            }
            None if self.snapshot.is_nat_server(key.protocol, key.source, key.source_port) => {
                let owner = self.owner_of_reply(key);
                if origin == Origin::Port && owner != self.id {
                    return Course::HandOver(owner, HandOver::Reply);
                }
                Course::Reply
            }
            // One of its own has been dealt with.
            None | Some(Local::Own(_)) => Course::Drop(DropReason::NotForUs),
        }
    }

    /// Why a packet for one of the director's own addresses ends if nobody waits for it there. Servers that are checked
    /// by the way of traffic answer from their VIP, which nobody else may do.
    pub(super) fn if_nobody_waits(&self, source: u32, reason: DropReason) -> DropReason {
        if self.is_station(source) { reason } else { DropReason::BadSource }
    }

    /// ICMP and TCP and UDP have been dealt with; everything else can only be unserved.
    #[cold]
    pub(super) fn other_protocol(&mut self, now: Instant, packet: &mut P, stage: &Staged) -> Verdict {
        if !self.is_station(stage.at.source) {
            return Verdict::Drop(DropReason::BadSource);
        }
        match self.snapshot.local(stage.at.destination) {
            Some(Local::Vip { unserved, .. }) => {
                self.refuse(now, packet, stage, unserved, DropReason::Unserved)
            }
            Some(Local::Own(_)) => Verdict::Drop(DropReason::OwnAddress),
            None => Verdict::Drop(DropReason::NotForUs),
        }
    }

    /// Whether an address can be that of one other station, so that it may be answered: RFC 1122 3.2.2.
    pub(super) fn is_station(&self, address: u32) -> bool {
        ipv4::is_host(address)
            && self.snapshot.local(address).is_none()
            && !self.snapshot.routing.is_broadcast(Ipv4Addr::from_bits(address))
    }

    fn open(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        service: ServiceId,
        unserved: Unserved,
    ) -> Decision {
        if !begins(stage) && !self.adopts(stage, service) {
            return Decision::Is(self.stray(now, packet, stage));
        }
        match self.prepare(stage, service) {
            // The place of its replies has to be loaded first.
            Some(server) if self.snapshot.services[service].method == Method::Nat => Decision::Opens(server),
            Some(server) => Decision::Is(self.complete(now, packet, stage, server)),
            None => {
                self.counters.no_server.bump();
                Decision::Is(self.refuse(now, packet, stage, unserved, DropReason::NoServer))
            }
        }
    }

    /// Whether a service takes a segment for one of a connection whose beginning was not seen.
    pub(super) fn adopts(&self, stage: &Staged, service: ServiceId) -> bool {
        continues(stage.tcp_flags) && self.snapshot.services[service].adopt
    }

    /// A NAT server's packet of a connection that is not known. Where connections are adopted it may be the first of
    /// one, as a client that only receives says nothing until it does.
    fn reply(&mut self, now: Instant, packet: &mut P, stage: &Staged) -> Verdict {
        let Some(connection) = self.adopted(stage) else { return self.stray(now, packet, stage) };
        self.count_load(connection.server, State::None, 1);
        match self.remember(now, connection) {
            Ok(Some(id)) => self.pass_first(now, packet, stage, Hit::new(id, Direction::Out)),
            Ok(None) => Verdict::Drop(DropReason::ReplyClash),
            Err(reason) => Verdict::Drop(reason),
        }
    }

    /// The connection to adopt by a server's packet, if its service adopts any and the client is not with another
    /// server by now.
    pub(super) fn adopted(&self, stage: &Staged) -> Option<Connection> {
        let key = stage.key.key();
        let server = self.snapshot.sole_nat_server(key.protocol, key.source, key.source_port)?;
        let service = self.snapshot.service_of(server);
        let forward = Key {
            source: key.destination,
            destination: service.vip.to_bits(),
            source_port: key.destination_port,
            destination_port: service.port,
            protocol: key.protocol,
        };
        let adopts = service.adopt
            && continues(stage.tcp_flags)
            && self.is_station(forward.source)
            && self.connections.lookup(&forward).is_none();
        adopts.then(|| Connection::new(&forward, server, key.source, key.source_port, Method::Nat))
    }

    /// The packet that a connection was made for.
    fn pass_first(&mut self, now: Instant, packet: &mut P, stage: &Staged, found: Hit) -> Verdict {
        let verdict = self.pass(now, packet, stage, found);
        // A packet that could not go on has opened nothing.
        if self.connections.get(found.connection()).state == State::None {
            self.end(found.connection());
        }
        verdict
    }

    /// Chooses a server, which counts the connection from then on, and starts loading what [`Worker::remember`] will look
    /// at.
    fn prepare(&mut self, stage: &Staged, service: ServiceId) -> Option<ServerId> {
        // Out of the worker while it is looked at as a whole; nothing is copied.
        let mut turn = std::mem::take(&mut self.turns[service]);
        let chosen = self.choose(stage, service, &mut turn, &self.director.board.view(self.id));
        self.turns[service] = turn;
        let server = chosen?;
        if self.snapshot.services[service].method == Method::Nat {
            let plan = &self.snapshot.servers[server].plan;
            let reply = stage.key.key().answered_by(plan.address.to_bits(), plan.port);
            self.connections.prefetch_key(reply.packed());
        }
        self.connections.prefetch_free();
        self.count_load(server, State::None, 1);
        Some(server)
    }

    /// The server that the scheduler chooses.
    pub(super) fn choose(
        &self,
        stage: &Staged,
        service: ServiceId,
        turn: &mut Turn,
        loads: &Loads<'_>,
    ) -> Option<ServerId> {
        let config = &self.snapshot.services[service];
        let pick = config.scheduler.pick(&request(stage, config), turn, loads)?;
        config.servers.get(pick).copied()
    }

    /// A connection with a server that has seen no packet yet.
    pub(super) fn connection(&self, key: &Key<u32>, server: ServerId) -> Connection {
        let plan = &self.snapshot.servers[server].plan;
        let method = self.snapshot.service_of(server).method;
        Connection::new(key, server, plan.address.to_bits(), plan.port, method)
    }

    /// Adds a connection that its server counts, making room for it if need be. `None` when its server's replies would be
    /// those of another connection. If it is not added, its server does not count it any more.
    fn remember(&mut self, now: Instant, connection: Connection) -> Result<Option<ConnectionId>, DropReason> {
        let server = connection.server;
        let added = self.add(now, connection);
        if let Ok(Some(_)) = added {
            self.counters.created.bump();
            self.traffic[server.index()].connections.bump();
        } else {
            self.count_load(server, State::None, -1);
        }
        added
    }

    fn add(&mut self, now: Instant, mut connection: Connection) -> Result<Option<ConnectionId>, DropReason> {
        connection.created = now.stamp();
        if connection.method == Method::Nat {
            connection.client_neighbour = Some(self.next_hop_to(now, connection.client)?);
        }
        let inserted = self.insert(&connection);
        if !matches!(inserted, Ok(Some(_)))
            && let Some(neighbour) = connection.client_neighbour
        {
            self.neighbours.release(neighbour);
        }
        inserted
    }

    fn insert(&mut self, connection: &Connection) -> Result<Option<ConnectionId>, DropReason> {
        loop {
            match self.connections.insert(*connection) {
                // The packet that it is made for is about to move it to another state, and schedule its end by that.
                Ok(id) => return Ok(Some(id)),
                Err(InsertError::Clash(other)) if self.connections.get(other).gives_way() => {
                    self.end(other);
                }
                Err(InsertError::Clash(_)) => return Ok(None),
                Err(InsertError::Full) => {
                    let oldest = self.connections.pop_half_open().ok_or(DropReason::TableFull)?;
                    self.counters.evicted.bump();
                    self.end(oldest);
                }
            }
        }
    }

    /// The neighbour that packets to a client go to next, with one more user.
    pub(super) fn next_hop_to(&mut self, now: Instant, client: u32) -> Result<NeighbourId, DropReason> {
        let hop = self.snapshot.routing.next_hop(Ipv4Addr::from_bits(client)).ok_or(DropReason::NoRoute)?;
        let port = &self.snapshot.ports[usize::from(hop.port.0)];
        self.neighbours.acquire(hop, port.mac, port.mtu, now).ok_or(DropReason::NeighboursFull)
    }

    /// Forgets a connection.
    pub(super) fn end(&mut self, id: ConnectionId) {
        let connection = self.connections.remove(id);
        self.count_load(connection.server, connection.state, -1);
        if let Some(neighbour) = connection.client_neighbour {
            self.neighbours.release(neighbour);
        }
        self.counters.ended.bump();
    }

    /// A packet of a connection that is not known (any more): its sender is told that there is none.
    fn stray(&mut self, now: Instant, packet: &mut P, stage: &Staged) -> Verdict {
        if stage.key.protocol != ipv4::TCP || stage.tcp_flags & RST != 0 {
            return Verdict::Drop(DropReason::NoConnection);
        }
        self.refuse(now, packet, stage, Unserved::Reject, DropReason::NoConnection)
    }

    /// Turns a packet away: a reset for TCP, an ICMP error from the address it was sent to for the rest.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        how: Unserved,
        reason: DropReason,
    ) -> Verdict {
        if how == Unserved::Drop {
            return Verdict::Drop(reason);
        }
        if stage.at.protocol != ipv4::TCP {
            let code = match stage.at.protocol {
                ipv4::UDP => icmp::PORT_UNREACHABLE,
                _ => icmp::PROTOCOL_UNREACHABLE,
            };
            let error = Error { kind: icmp::UNREACHABLE, code, mtu: 0 };
            return self.answer_error(now, packet, stage, stage.at.destination, error, reason);
        }
        if !self.refusals.allow(now) {
            return Verdict::Drop(DropReason::RejectLimited);
        }
        if !reject::reset(packet, &stage.at) {
            return Verdict::Drop(reason);
        }
        self.counters.resets.bump();
        Verdict::Answer
    }
}

/// What is to be done with a packet without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It ends here.
    Drop(DropReason),
    /// It is for one of the director's own addresses, and ends for that reason unless somebody waits for it there.
    Host(DropReason),
    /// No service wants it.
    Refuse(Unserved, DropReason),
    /// Another worker owns its flow.
    HandOver(WorkerId, HandOver),
    /// A client's, for that service; what to do about it if that takes it not.
    Open(ServiceId, Unserved),
    /// A NAT server's.
    Reply,
}

/// What a scheduler is told of a packet that opens a connection.
pub(super) fn request(stage: &Staged, service: &Service) -> Request {
    let key = stage.key.key();
    Request {
        client: Ipv4Addr::from_bits(key.source),
        client_port: key.source_port,
        vip: service.vip,
        vip_port: service.port,
    }
}

/// Whether a packet may open a connection: of TCP, a SYN alone.
pub(super) fn begins(stage: &Staged) -> bool {
    stage.key.protocol != ipv4::TCP || stage.tcp_flags & (SYN | ACK | RST) == SYN
}

/// Whether a segment with these flags can only be of a connection that is established.
fn continues(tcp_flags: u8) -> bool {
    tcp_flags & (SYN | RST | ACK) == ACK
}
