//! A worker: the whole path of a [`burst`], from the bytes of a frame to what becomes of each.
//!
//! 1. Read the headers of every packet ([`classify`](crate::decide::classify)), hash its flow and start loading its
//!    bucket of the table.
//! 2. Find the likely connection of every packet, and start loading it.
//! 3. Packet by packet: nearly all are plain and [`Worker::pass_plain`] lets them pass in a straight line. What becomes of the rest is
//!    [decided](crate::decide) first and then carried out (`act`).
//!
//! By the time stage 3 reads a connection, the loads that stages 1 and 2 began have had the rest of the burst's time
//! to finish. Between bursts a little time goes to what is due ([`tick`]).

mod act;
mod announce;
pub mod burst;
mod chores;
pub mod clients;
pub(crate) mod cutting;
pub mod exceptions;
pub mod exchange;
mod fragments;
mod held;
pub mod host;
pub mod life;
mod neighbours;
mod plain;
mod reading;
pub(crate) mod send;
mod share;
pub mod tick;
mod told;
mod translating;
pub(crate) mod witness;

use crate::{
    cast::low32,
    conn::connections::Connections,
    counters::{DropReason, ServerTraffic, WorkerCounters},
    decide::{
        Decision, Origin,
        classify::Parsed,
        known::{Forwarded, Known},
    },
    family::{V4, V6},
    ids::{ById, ServiceId},
    limits::{MAX_BURST, MAX_WORKERS},
    neigh::{table::Neighbours, waiting::Waiting},
    packet::{Burst, Io, Packet, WorkerId},
    sched::Turn,
    service::{plan::Duplicates, snapshot::Snapshot},
    time::Instant,
};
use chores::Chores;
use held::Held;
use std::sync::Arc;

pub use crate::decide::known::Team;

/// A worker. `P` is the packet buffer it deals in.
pub struct Worker<P> {
    /// What its decisions rest on.
    pub(crate) known: Known,
    /// The schedulers' turns.
    pub(crate) turns: ById<ServiceId, Turn>,
    /// What it counts.
    pub(crate) books: Books,
    /// Packets that wait for a neighbour's address.
    pub(crate) waiting: Waiting<P>,
    /// Fragments that wait for the first of their datagram.
    held: Held<P>,
    /// What it does between bursts.
    chores: Chores,
    /// Identification of the last packet that the director made and that may be fragmented.
    pub(crate) last_id: u16,
    /// The same of IPv6, which is for fragments only. Its highest byte is the worker's.
    pub(crate) last_id_v6: u32,
    /// What is known of each packet of the burst that is worked on.
    stages: Option<Stages<V4>>,
    stages_v6: Option<Stages<V6>>,
    /// Packets of a burst that turned out to be of another family than its first.
    other_family: Burst<P>,
    /// Packets of IPv4 that have become IPv6's, as a connection is of that.
    translated: Burst<P>,
    /// The burst that is worked on is of those.
    are_translated: bool,
}

/// What is known of each packet of a burst.
type Stages<F> = Box<[Parsed<F>; MAX_BURST]>;

/// What a worker counts, for others to read.
pub(crate) struct Books {
    pub(crate) counters: Arc<WorkerCounters>,
    /// By server.
    pub(crate) traffic: Arc<[ServerTraffic]>,
}

impl<P: Packet> Worker<P> {
    /// A worker with all the memory it will ever have.
    #[must_use]
    pub fn new(id: WorkerId, team: &Team, snapshot: Arc<Snapshot>, now: Instant) -> Self {
        assert!((1..=MAX_WORKERS).contains(&team.workers), "{} workers", team.workers);
        let traffic = std::iter::repeat_with(ServerTraffic::default).take(snapshot.room.numbers()).collect();
        let waits = snapshot.duplicates == Duplicates::Wait;
        let first_turns = snapshot.services.iter().map(|service| service.scheduler.first_turn(id));
        let room = snapshot.room.services;
        let turns = first_turns.chain(std::iter::repeat_with(Turn::default)).take(room).collect();
        let mut worker = Worker {
            turns,
            known: Known::new(id, team, snapshot, now),
            books: Books { counters: Arc::default(), traffic },
            waiting: Waiting::new(),
            held: Held::new(),
            chores: Chores::new(id, waits, now),
            last_id: id.0 << 8,
            last_id_v6: u32::from(id.0) << 24 | low32(team.secret.0) >> 8,
            stages: Some(Box::new([Parsed::new(); MAX_BURST])),
            stages_v6: Some(Box::new([Parsed::new(); MAX_BURST])),
            other_family: Burst::new(),
            translated: Burst::new(),
            are_translated: false,
        };
        let snapshot = worker.known.snapshot.clone();
        for server in snapshot.servers.ids() {
            worker.set_backend(now, server);
        }
        worker.hold_gateways(now);
        worker
    }

    /// What this worker counts. Stays valid after the worker is gone.
    #[must_use]
    pub fn counters(&self) -> Arc<WorkerCounters> {
        self.books.counters.clone()
    }

    /// What passed to and from each server through this worker.
    #[must_use]
    pub fn traffic(&self) -> Arc<[ServerTraffic]> {
        self.books.traffic.clone()
    }

    /// This worker's connections of a family.
    #[must_use]
    pub fn connections<F: Forwarded>(&self) -> &Connections<F> {
        F::connections(&self.known)
    }

    /// This worker's neighbours.
    #[must_use]
    pub fn neighbours(&self) -> &Neighbours {
        &self.known.neighbours
    }

    /// The configuration that applies to this worker.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.known.snapshot
    }

    /// What this worker would do first with a packet that comes from there. Changes nothing.
    #[must_use]
    pub fn decide<F: Forwarded>(&self, now: Instant, packet: &impl Packet, origin: Origin) -> Decision<F> {
        self.known.decide(now, packet, &self.known.parse(packet), origin)
    }

    /// Deals with packets that a port delivered. Leaves `burst` empty.
    pub fn process(&mut self, now: Instant, burst: &mut Burst<P>, io: &mut impl Io<Packet = P>) {
        self.books.counters.received.add(burst.len() as u64);
        self.run(now, burst, Origin::Port, io);
    }

    /// Deals with packets that another worker handed over. Leaves `burst` empty.
    pub fn process_handed_over(&mut self, now: Instant, burst: &mut Burst<P>, io: &mut impl Io<Packet = P>) {
        self.books.counters.taken_over.add(burst.len() as u64);
        self.run(now, burst, Origin::Worker, io);
    }

    /// Drops what still waits, for neighbours or first fragments. After this the worker holds no packet.
    pub fn shut_down(&mut self, io: &mut impl Io<Packet = P>) {
        while let Some(packet) = self.waiting.pop_any() {
            self.drop(packet, DropReason::Shutdown, io);
        }
        self.count_waiting();
        self.drop_held(io);
    }
}
