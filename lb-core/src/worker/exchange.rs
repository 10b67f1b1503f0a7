//! Another snapshot takes the place of the one that a worker goes by, between two bursts.
//!
//! Connections, counters and loads stay as they are: servers keep their numbers. What a worker has of its own about a
//! server is made anew only where the snapshot says that something is different, so the time it takes follows from the
//! size of the change, not of the configuration.
//!
//! A server that is [`Gone`](crate::service::plan::Standing::Gone) lets its connections go with their next packet, as nobody is there to
//! deliver it to: a client is told by a reset, and may open the connection again with another server. IPVS drops such
//! packets in silence, and its clients wait.

use super::{Worker, backend::Backend, classify::Staged};
use crate::{
    conn::entry::Connection,
    counters::DropReason,
    forward::tun::Outer,
    packet::{Packet, WorkerId},
    sched::Turn,
    service::{
        plan::Unserved,
        snapshot::{Changes, Snapshot},
    },
    time::Instant,
    verdict::Verdict,
    wire::{
        ipv4,
        tcp::{ACK, SYN},
    },
};
use std::{ops::Range, sync::Arc};

/// A snapshot with what a worker needs to begin with it. Made outside of the worker, because it takes memory.
pub struct Exchange {
    snapshot: Arc<Snapshot>,
    changes: Changes,
    /// First turns of the schedulers that are new.
    turns: Vec<(u32, Turn)>,
}

/// What a worker does not need any more, to be dropped where that does not delay packets.
pub struct Spent {
    _snapshot: Arc<Snapshot>,
    _exchange: (Changes, Vec<(u32, Turn)>),
}

impl Exchange {
    /// For that worker. Its present snapshot must be the one that `snapshot` is the successor of.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, worker: WorkerId) -> Self {
        let changes = snapshot.changes.clone();
        Self::with(snapshot, changes, worker)
    }

    /// For a worker that has missed a snapshot: it looks at everything anew.
    #[must_use]
    pub fn whole(snapshot: Arc<Snapshot>, worker: WorkerId) -> Self {
        let changes = Changes {
            servers: (0..snapshot.servers.len() as u32).collect(),
            renamed: Vec::new(),
            services: snapshot.order.clone(),
            routing: true,
            new_addresses: true,
        };
        Self::with(snapshot, changes, worker)
    }

    fn with(snapshot: Arc<Snapshot>, changes: Changes, worker: WorkerId) -> Self {
        let turn = |&number: &u32| (number, snapshot.services[number as usize].scheduler.first_turn(worker));
        let turns = changes.services.iter().map(turn).collect();
        Exchange { snapshot, changes, turns }
    }
}

impl<P: Packet> Worker<P> {
    /// Goes by another snapshot from now on.
    pub fn exchange(&mut self, now: Instant, exchange: Exchange) -> Spent {
        let Exchange { snapshot, changes, mut turns } = exchange;
        let old = std::mem::replace(&mut self.snapshot, snapshot.clone());
        for &number in &changes.servers {
            self.set_backend(now, number);
        }
        for &number in &changes.renamed {
            self.traffic[number as usize].reset();
        }
        for (number, turn) in &mut turns {
            let current = &mut self.turns[*number as usize];
            // A round goes on where it was, or a change every second would send all to the first server.
            let position = current.position.max(turn.position);
            std::mem::swap(current, turn);
            current.position = position;
        }
        if changes.routing {
            self.hold_gateways(now);
        }
        self.arrivals = super::arrivals(&snapshot);
        if changes.new_addresses {
            self.announcements.begin(self.id, now);
        }
        Spent { _snapshot: old, _exchange: (changes, turns) }
    }

    /// Forgets the connections that `matches` among those with numbers in `range`, and returns how many they were.
    pub fn forget(&mut self, range: Range<u32>, matches: impl Fn(&Connection) -> bool) -> usize {
        let end = range.end.min(self.connections.high_water());
        let mut forgotten = 0;
        for index in range.start..end {
            if self.connections.iter(index..index + 1).any(|(_, connection)| matches(connection)) {
                self.end(index);
                forgotten += 1;
            }
        }
        forgotten
    }

    /// Sees to it that a server can be sent to as the snapshot says.
    pub(super) fn set_backend(&mut self, now: Instant, number: u32) {
        let snapshot = self.snapshot.clone();
        let server = &snapshot.servers[number as usize];
        let port = &snapshot.ports[usize::from(server.next_hop.port.0)];
        // Fails only with more next hops than the table holds; packets for those servers are counted as such.
        let neighbour = self.neighbours.acquire(server.next_hop, port.mac, port.mtu, now).unwrap_or(u16::MAX);
        let method = snapshot.service_of(number).method;
        let outer = Outer::new(server.tunnel_source.to_bits(), server.plan.address.to_bits());
        let mut backend = Backend::new(neighbour, method, port.mtu, outer);
        backend.stand(server.standing);
        let old = std::mem::replace(&mut self.backends[number as usize], backend);
        self.backends[number as usize].load = old.load;
        self.narrow_ways -= usize::from(old.is_narrow());
        self.neighbours.release(old.neighbour);
    }

    /// Keeps the routers of static routes resolved, and no others.
    pub(super) fn hold_gateways(&mut self, now: Instant) {
        let snapshot = self.snapshot.clone();
        let held = snapshot
            .gateways()
            .filter_map(|(hop, port)| self.neighbours.acquire(hop, port.mac, port.mtu, now))
            .collect();
        for number in std::mem::replace(&mut self.gateways, held) {
            self.neighbours.release(number);
        }
    }

    /// A packet of connection `index`, whose server is gone: the connection ends, and what would open one opens
    /// another.
    #[cold]
    pub(super) fn orphaned(&mut self, now: Instant, packet: &mut P, stage: &Staged, index: u32) -> Verdict {
        self.counters.orphaned.bump();
        self.end(index);
        let begins = stage.key.protocol != ipv4::TCP || stage.tcp_flags & (SYN | ACK) == SYN;
        if begins {
            return self.connect_anew(now, packet, stage);
        }
        self.refuse(now, packet, stage, Unserved::Reject, DropReason::NoConnection)
    }
}
