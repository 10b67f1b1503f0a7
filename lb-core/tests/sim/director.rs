//! The director: workers in a row, with queues and rings in memory, and a watch on their books.

use crate::{
    frames::{self, Ends},
    setup::{Setup, TABLE},
};
use lb_core::{
    conn::{
        entry::{Connection, Direction},
        saved::Saved,
        state::State,
    },
    counters::{Counter, DropReason, WorkerCounters},
    family::{Family, V4, V6},
    flow::{
        key::{Key, Secret},
        owner::by_client_rss,
    },
    ids::ServerId,
    memory::{MemoryIo, MemoryPacket},
    module::expected::Expected,
    packet::{Burst, HandOver, Packet, PortId, WorkerId},
    sched::persistence::Persistence,
    service::{
        load::{Load, LoadBoard},
        plan::Spread,
        snapshot::Snapshot,
    },
    time::Instant,
    wire::protocol::Protocol,
    worker::{self, Worker},
};
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

/// Milliseconds between two rounds of the control thread, which adds up the load board.
const CONTROL_MS: u64 = 5;

pub(crate) struct Director {
    seats: Vec<Seat>,
    secret: Secret,
    board: Arc<LoadBoard>,
    pub(crate) snapshot: Arc<Snapshot>,
    spread: Spread,
    /// Packets delivered so far: whose turn it is where each goes to the next worker.
    turn: usize,
    controlled: u64,
}

/// What a run leaves to the next: each worker's connections.
pub(crate) struct Left {
    secret: Secret,
    v4: Vec<Vec<Saved>>,
    v6: Vec<Vec<Saved<V6>>>,
}

/// A worker with its queues, and the harness's own count of what passed through them.
pub(crate) struct Seat {
    pub(crate) worker: Worker<MemoryPacket>,
    io: MemoryIo,
    queue: VecDeque<MemoryPacket>,
    ring: VecDeque<MemoryPacket>,
    received: u64,
    taken_over: u64,
    sent: u64,
    handed_over: u64,
}

impl Director {
    pub(crate) fn new(setup: &Setup, now: u64) -> Self {
        Director::with_secret(setup, Secret(0x5eed ^ setup.seed << 32 ^ now), now)
    }

    /// The next run, with what another one left.
    pub(crate) fn after(setup: &Setup, left: &Left, now: u64) -> Self {
        let mut director = Director::with_secret(setup, left.secret, now);
        let now = Instant::from_millis(now);
        for (at, seat) in director.seats.iter_mut().enumerate() {
            let was = Some(WorkerId(at as u16));
            // Those of data are not restored.
            for saved in &left.v4[at] {
                let _ = seat.worker.restore(now, saved, was);
            }
            for saved in &left.v6[at] {
                let _ = seat.worker.restore(now, saved, was);
            }
        }
        director
    }

    /// What goes into a state file.
    pub(crate) fn saved(&self, now: u64) -> Left {
        let now = Instant::from_millis(now);
        Left {
            secret: self.secret,
            v4: self.seats.iter().map(|seat| seat.worker.saved::<V4>(now).collect()).collect(),
            v6: self.seats.iter().map(|seat| seat.worker.saved::<V6>(now).collect()).collect(),
        }
    }

    fn with_secret(setup: &Setup, secret: Secret, now: u64) -> Self {
        let snapshot = Arc::new(Snapshot::new(&setup.plan()).unwrap());
        let board = Arc::new(LoadBoard::new(setup.workers, snapshot.room.numbers()));
        let common = worker::Team {
            workers: setup.workers,
            secret,
            connections_per_worker: setup.connections_per_worker,
            connections_per_worker_v6: setup.connections_per_worker,
            refusals_per_s: 1_000,
            board: board.clone(),
            persistence: Arc::new(Persistence::new(64, 0x5eed)),
            expected: Arc::new(Expected::with_room(1_024, Secret(0))),
            told: None,
            masters: None,
        };
        let seat = |id| Seat {
            worker: Worker::new(WorkerId(id), &common, snapshot.clone(), Instant::from_millis(now)),
            io: MemoryIo { ring: setup.ring, ..MemoryIo::default() },
            queue: VecDeque::new(),
            ring: VecDeque::new(),
            received: 0,
            taken_over: 0,
            sent: 0,
            handed_over: 0,
        };
        let seats = (0..setup.workers as u16).map(seat).collect();
        Director { seats, secret, board, snapshot, spread: setup.spread, turn: 0, controlled: 0 }
    }

    pub(crate) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// A frame arrives at a port, which puts it into one of its queues.
    pub(crate) fn receive(&mut self, port: PortId, frame: &[u8]) {
        self.turn += 1;
        let ends = frames::ip(frame).map(|packet| packet.ends());
        let worker = match (self.spread, ends) {
            (Spread::Unknown, _) => self.turn % self.seats.len(),
            // A port does not spread what has no addresses.
            (_, None) => 0,
            (Spread::ByFlow, Some(ends)) => spread(&ends, self.seats.len()),
            (Spread::ByClient, Some(Ends { source, destination })) => {
                let (client, port) = if port.0 == 0 { source } else { destination };
                let workers = self.seats.len();
                let queue = match client {
                    IpAddr::V4(client) => by_client_rss::<V4>(client.to_bits(), port, TABLE, workers),
                    IpAddr::V6(client) => by_client_rss::<V6>(client.to_bits(), port, TABLE, workers),
                };
                usize::from(queue.0)
            }
        };
        self.seats[worker].queue.push_back(MemoryPacket::new(port, frame));
    }

    /// Lets the workers go round until no packet is left, and returns the frames they send.
    pub(crate) fn run(&mut self, now: u64) -> Vec<(PortId, Vec<u8>)> {
        if now >= self.controlled + CONTROL_MS {
            self.board.sum_up(self.snapshot.servers.len());
            self.controlled = now;
        }
        let mut sent = Vec::new();
        loop {
            for at in 0..self.seats.len() {
                self.seats[at].round(Instant::from_millis(now));
                self.collect(at, &mut sent);
                self.seats[at].check();
            }
            if self.seats.iter().all(|seat| seat.queue.is_empty() && seat.ring.is_empty()) {
                return sent;
            }
        }
    }

    /// Takes what a worker has sent and handed over to where it goes.
    fn collect(&mut self, at: usize, sent: &mut Vec<(PortId, Vec<u8>)>) {
        let seat = &mut self.seats[at];
        for (port, packet) in seat.io.transmitted.drain(..) {
            seat.sent += 1;
            seat.worker.counters().sent.bump();
            sent.push((port, packet.bytes().to_vec()));
        }
        let handed_over: Vec<_> = seat.io.handed_over.drain(..).collect();
        seat.handed_over += handed_over.len() as u64;
        for (to, packet) in handed_over {
            assert_ne!(usize::from(to.0), at, "a worker handed a packet to itself");
            self.seats[usize::from(to.0)].ring.push_back(packet);
        }
    }

    /// The numbers of the workers that have the TCP connection of a client's packets, and what they know of it.
    pub(crate) fn holders(&self, ends: &Ends) -> Vec<(usize, Entry)> {
        let of = |seat: &Seat| {
            if ends.source.0.is_ipv4() {
                let connections = seat.worker.connections::<V4>();
                connections.lookup(&key(ends)).map(|hit| Entry::of(connections.get(hit.connection())))
            } else {
                let connections = seat.worker.connections::<V6>();
                connections.lookup(&key(ends)).map(|hit| Entry::of(connections.get(hit.connection())))
            }
        };
        self.seats.iter().enumerate().filter_map(|(at, seat)| Some((at, of(seat)?))).collect()
    }

    /// Connections of all workers.
    pub(crate) fn connections(&self) -> usize {
        self.seats.iter().map(Seat::connections).sum()
    }

    /// How many connections each server has, by the load board.
    pub(crate) fn loads(&self) -> Vec<Load> {
        self.snapshot.servers.ids().map(|server| self.board.total(server)).collect()
    }

    /// How many connections were scheduled to each server.
    pub(crate) fn scheduled(&self) -> Vec<u64> {
        let of = |server: usize| {
            self.seats.iter().map(|seat| seat.worker.traffic()[server].connections.get()).sum()
        };
        (0..self.snapshot.servers.len()).map(of).collect()
    }

    /// One of the workers' counters, over all of them.
    pub(crate) fn sum(&self, counter: impl Fn(&WorkerCounters) -> &Counter) -> u64 {
        self.seats.iter().map(|seat| counter(&seat.worker.counters()).get()).sum()
    }

    /// Packets dropped for a reason.
    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.sum(|counters| &counters.dropped[reason as usize])
    }

    /// Packets handed over for a reason.
    pub(crate) fn handed_over(&self, why: HandOver) -> u64 {
        self.sum(|counters| &counters.handed_over[why as usize])
    }

    /// Each worker's connections.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, Entry)> {
        let of = |(at, seat)| entries_of(seat).map(move |entry| (at, entry));
        self.seats.iter().enumerate().flat_map(of)
    }

    /// The director stops: what it holds is dropped, and the books must balance.
    pub(crate) fn shut_down(&mut self) {
        for seat in &mut self.seats {
            seat.worker.shut_down(&mut seat.io);
            seat.check();
            assert_eq!(seat.worker.counters().held(), 0);
        }
    }
}

/// A connection as the director knows it, of either family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) client: (IpAddr, u16),
    pub(crate) server: ServerId,
    pub(crate) local: Option<(IpAddr, u16)>,
    pub(crate) state: State,
    packets: [u64; 2],
    bytes: [u64; 2],
}

impl Entry {
    fn of<F: Family>(connection: &Connection<F>) -> Self {
        let both = [Direction::In, Direction::Out];
        Entry {
            client: (F::ip(connection.client), connection.client_port),
            server: connection.server,
            local: connection.local().map(|(address, port)| (F::ip(address), port)),
            state: connection.state,
            packets: both.map(|direction| connection.packets(direction)),
            bytes: both.map(|direction| connection.bytes(direction)),
        }
    }

    pub(crate) fn packets(&self, direction: Direction) -> u64 {
        self.packets[usize::from(direction == Direction::Out)]
    }

    pub(crate) fn bytes(&self, direction: Direction) -> u64 {
        self.bytes[usize::from(direction == Direction::Out)]
    }
}

/// The key of a client's packets.
fn key<F: Family>(ends: &Ends) -> Key<F> {
    Key {
        source: F::of(ends.source.0).expect("of this family"),
        destination: F::of(ends.destination.0).expect("of this family"),
        source_port: ends.source.1,
        destination_port: ends.destination.1,
        protocol: Protocol::Tcp,
    }
}

impl Seat {
    fn connections(&self) -> usize {
        self.worker.connections::<V4>().len() + self.worker.connections::<V6>().len()
    }

    /// One round of the worker's loop.
    fn round(&mut self, now: Instant) {
        let mut burst = Burst::new();
        self.taken_over += fill(&mut burst, &mut self.ring);
        self.worker.process_handed_over(now, &mut burst, &mut self.io);
        self.received += fill(&mut burst, &mut self.queue);
        self.worker.process(now, &mut burst, &mut self.io);
        self.worker.tick(now, &mut self.io);
        self.worker.announce_due(now, &mut self.io);
    }

    /// The worker's books balance, and agree with what was seen from outside; no packet buffer is lost.
    fn check(&self) {
        let counters = self.worker.counters();
        assert_eq!(counters.unaccounted(), 0, "{counters:?}");
        assert_eq!(counters.received.get(), self.received, "received");
        assert_eq!(counters.taken_over.get(), self.taken_over, "taken over");
        assert_eq!(counters.handed_over_total(), self.handed_over, "handed over");
        assert_eq!(counters.originated.get(), self.io.allocated as u64, "originated");
        assert_eq!(counters.created.get() - counters.ended.get(), self.connections() as u64, "connections");
        let came = self.received + self.taken_over + self.io.allocated as u64;
        let went = self.sent + self.handed_over + self.io.released as u64;
        assert_eq!(came - went, counters.held(), "packet buffers that the worker holds");
    }
}

fn entries_of(seat: &Seat) -> impl Iterator<Item = Entry> {
    let v4 = seat.worker.connections::<V4>().iter(0..u32::MAX).map(|(_, entry)| Entry::of(entry));
    v4.chain(seat.worker.connections::<V6>().iter(0..u32::MAX).map(|(_, entry)| Entry::of(entry)))
}

fn fill(burst: &mut Burst<MemoryPacket>, from: &mut VecDeque<MemoryPacket>) -> u64 {
    let count = from.len().min(burst.capacity());
    burst.extend(from.drain(..count));
    count as u64
}

fn spread(what: &impl Hash, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish() as usize % workers
}
