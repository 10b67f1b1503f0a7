//! A worker: the whole path of a [`burst`], from the bytes of a frame to a verdict for each.
//!
//! 1. Read the headers of every packet ([`classify`]), hash its flow and start loading its bucket of the table.
//! 2. Find the likely connection of every packet, and start loading it.
//! 3. Packet by packet: nearly all are plain and [`pass`] in a straight line. Of the rest, confirm the connection and let
//!    the packet pass, or open a connection for it ([`connect`]), or answer it ([`icmp`], [`arp`]).
//! 4. Carry the verdict out.
//!
//! By the time stage 3 reads a connection, the loads that stages 1 and 2 began have had the rest of the burst's time
//! to finish. Between bursts a little time goes to what is due ([`tick`]).

pub mod arp;
pub mod backend;
pub mod burst;
pub mod classify;
pub mod connect;
pub mod exchange;
pub mod explain;
pub mod host;
pub mod icmp;
pub mod owner;
pub mod pass;
pub mod restore;
pub mod share;
pub mod tick;

use crate::{
    conn::connections::Connections,
    counters::{DropReason, ServerTraffic, WorkerCounters},
    flow::key::Secret,
    forward::limiter::Limiter,
    ids::{ById, NeighbourId, ServerId, ServiceId},
    limits::{MAX_BURST, MAX_PORTS, MAX_WORKERS},
    neigh::{entry::Knowledge, table::Neighbours, waiting::Waiting},
    packet::{Burst, Io, Packet, WorkerId},
    sched::Turn,
    service::{load::LoadBoard, snapshot::Snapshot},
    time::Instant,
    verdict::Verdict,
    wire::ethernet::{self, Mac},
};
use backend::Backend;
use classify::{Arrival, Staged};
use std::sync::Arc;

/// What all workers of a director have in common.
#[derive(Clone)]
pub struct Director {
    /// How many workers there are.
    pub workers: usize,
    /// Keeps outsiders from choosing flows that collide.
    pub secret: Secret,
    /// Connections of each worker, at most.
    pub connections_per_worker: usize,
    /// Refusals (resets and ICMP errors) of each worker per second, at most.
    pub refusals_per_s: u32,
    /// How many connections each server has, over all workers.
    pub board: Arc<LoadBoard>,
}

/// A worker. `P` is the packet buffer it deals in.
pub struct Worker<P> {
    id: WorkerId,
    director: Director,
    snapshot: Arc<Snapshot>,
    connections: Connections,
    neighbours: Neighbours,
    /// Neighbours that static routes name.
    gateways: Vec<NeighbourId>,
    waiting: Waiting<P>,
    /// The scheduler's turn of each service.
    turns: ById<ServiceId, Turn>,
    backends: ById<ServerId, Backend>,
    /// Ethernet address of each port.
    macs: Vec<Mac>,
    refusals: Limiter,
    shares: Limiter,
    counters: Arc<WorkerCounters>,
    traffic: Arc<[ServerTraffic]>,
    announcements: tick::Announcements,
    /// Identification of the last packet that the director made and that may be fragmented.
    last_id: u16,
    /// Servers whose way is known to carry less than their port, for a while.
    narrow_ways: usize,
    ways_due: Instant,
    last_tick: Option<Instant>,
    /// By port.
    arrivals: [Arrival; MAX_PORTS],
    /// What is known of each packet of the burst that is worked on.
    stages: Option<Box<[Staged; MAX_BURST]>>,
}

impl<P: Packet> Worker<P> {
    /// A worker with all the memory it will ever have.
    #[must_use]
    pub fn new(id: WorkerId, director: &Director, snapshot: Arc<Snapshot>, now: Instant) -> Self {
        assert!((1..=MAX_WORKERS).contains(&director.workers), "{} workers", director.workers);
        let first_turns = snapshot.services.iter().map(|service| service.scheduler.first_turn(id));
        let turns = first_turns.chain(std::iter::repeat_with(Turn::default));
        let mut worker = Worker {
            connections: Connections::new(director.connections_per_worker, director.secret, now),
            waiting: Waiting::new(),
            turns: turns.take(snapshot.room.services).collect(),
            macs: snapshot.ports.iter().map(|port| port.mac).collect(),
            refusals: Limiter::new(director.refusals_per_s, now),
            shares: Limiter::new(share::PER_S, now),
            counters: Arc::default(),
            traffic: std::iter::repeat_with(ServerTraffic::default).take(snapshot.room.servers).collect(),
            announcements: tick::Announcements::new(id),
            last_id: id.0 << 8,
            narrow_ways: 0,
            ways_due: now,
            last_tick: None,
            arrivals: arrivals(&snapshot),
            stages: Some(Box::new([Staged::new(); MAX_BURST])),
            id,
            director: director.clone(),
            neighbours: Neighbours::new(),
            gateways: Vec::new(),
            backends: std::iter::repeat_n(Backend::VACANT, snapshot.room.servers).collect(),
            snapshot,
        };
        for server in worker.snapshot.servers.ids() {
            worker.set_backend(now, server);
        }
        worker.hold_gateways(now);
        worker
    }

    /// What this worker counts. Stays valid after the worker is gone.
    #[must_use]
    pub fn counters(&self) -> Arc<WorkerCounters> {
        self.counters.clone()
    }

    /// What passed to and from each server through this worker.
    #[must_use]
    pub fn traffic(&self) -> Arc<[ServerTraffic]> {
        self.traffic.clone()
    }

    /// This worker's connections.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// This worker's neighbours.
    #[must_use]
    pub fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// The configuration that this worker goes by.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Deals with packets that a port delivered. Leaves `burst` empty.
    pub fn process(&mut self, now: Instant, burst: &mut Burst<P>, io: &mut impl Io<Packet = P>) {
        self.counters.received.add(burst.len() as u64);
        self.run(now, burst, Origin::Port, io);
    }

    /// Deals with packets that another worker handed over. Leaves `burst` empty.
    pub fn process_handed_over(&mut self, now: Instant, burst: &mut Burst<P>, io: &mut impl Io<Packet = P>) {
        self.counters.taken_over.add(burst.len() as u64);
        self.run(now, burst, Origin::Worker, io);
    }

    /// Drops what still waits for neighbours. After this the worker holds no packet.
    pub fn shut_down(&mut self, io: &mut impl Io<Packet = P>) {
        while let Some(packet) = self.waiting.pop_any() {
            self.drop(packet, DropReason::Shutdown, io);
        }
        self.count_waiting();
    }

    /// Carries out a verdict.
    fn carry_out(&mut self, now: Instant, packet: P, verdict: Verdict, io: &mut impl Io<Packet = P>) {
        match verdict {
            Verdict::Forward(neighbour) => self.send(now, packet, neighbour, io),
            Verdict::Answer => io.transmit(packet.port(), packet),
            Verdict::HandOver(to, why) => match io.hand_over(to, packet) {
                Ok(()) => self.counters.handed_over[why as usize].bump(),
                Err(packet) => self.drop(packet, DropReason::RingFull, io),
            },
            Verdict::Host => {
                self.counters.host.bump();
                io.release(packet);
            }
            Verdict::Deliver(otherwise) => match io.deliver(packet) {
                Ok(()) => self.counters.host.bump(),
                Err(packet) => self.drop(packet, otherwise, io),
            },
            Verdict::Drop(reason) => self.drop(packet, reason, io),
        }
    }

    /// Sends a packet to a neighbour, now or when its address is known.
    fn send(&mut self, now: Instant, mut packet: P, to: Option<NeighbourId>, io: &mut impl Io<Packet = P>) {
        match self.neighbours.to(to) {
            Some(neighbour) if neighbour.knowledge == Knowledge::Known => {
                ethernet::set_stations(packet.bytes_mut(), &neighbour.stations);
                io.transmit(neighbour.port(), packet);
            }
            _ => self.send_later(now, packet, to, io),
        }
    }

    #[cold]
    fn send_later(&mut self, now: Instant, packet: P, to: Option<NeighbourId>, io: &mut impl Io<Packet = P>) {
        let known = to.and_then(|to| Some((to, self.neighbours.get_mut(to)?)));
        let Some((to, neighbour)) = known else {
            return self.drop(packet, DropReason::NeighboursFull, io);
        };
        neighbour.wanted(now);
        if neighbour.knowledge == Knowledge::Failed {
            return self.drop(packet, DropReason::Unresolved, io);
        }
        match self.waiting.push(to, packet) {
            Ok(()) => self.count_waiting(),
            Err(packet) => self.drop(packet, DropReason::WaitingFull, io),
        }
        self.ask(now, to, io);
    }

    fn drop(&mut self, packet: P, reason: DropReason, io: &mut impl Io<Packet = P>) {
        self.counters.count_drop(reason);
        io.release(packet);
    }

    fn count_waiting(&self) {
        let waiting = &self.counters.waiting;
        waiting.add((self.waiting.len() as u64).wrapping_sub(waiting.get()));
    }
}

/// What is known of each port that packets arrive on.
fn arrivals(snapshot: &Snapshot) -> [Arrival; MAX_PORTS] {
    std::array::from_fn(|port| {
        let mac = snapshot.ports.get(port).map(|port| port.mac).unwrap_or_default();
        Arrival::new(mac, snapshot.verify_checksums)
    })
}

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A port delivered it; its owner is still to be found.
    Port,
    /// Another worker handed it over: this one is its owner.
    Worker,
}
