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
    ids::{ConnectionId, ServerId, ServiceId},
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
    turns: Vec<(ServiceId, Turn)>,
}

/// What a worker does not need any more, to be dropped where that does not delay packets.
pub struct Spent {
    _snapshot: Arc<Snapshot>,
    _exchange: (Changes, Vec<(ServiceId, Turn)>),
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
            servers: snapshot.servers.ids().collect(),
            renamed: Vec::new(),
            services: snapshot.order.clone(),
            routing: true,
            new_addresses: true,
        };
        Self::with(snapshot, changes, worker)
    }

    fn with(snapshot: Arc<Snapshot>, changes: Changes, worker: WorkerId) -> Self {
        let turn = |&id: &ServiceId| (id, snapshot.services[id].scheduler.first_turn(worker));
        let turns = changes.services.iter().map(turn).collect();
        Exchange { snapshot, changes, turns }
    }
}

impl<P: Packet> Worker<P> {
    /// Goes by another snapshot from now on.
    pub fn exchange(&mut self, now: Instant, exchange: Exchange) -> Spent {
        let Exchange { snapshot, changes, mut turns } = exchange;
        let old = std::mem::replace(&mut self.snapshot, snapshot.clone());
        for &server in &changes.servers {
            self.set_backend(now, server);
        }
        for &server in &changes.renamed {
            self.traffic[server.index()].reset();
        }
        for (service, turn) in &mut turns {
            let current = &mut self.turns[*service];
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

    /// Forgets the connections that `matches` among those at these places, and returns how many they were.
    pub fn forget(&mut self, places: Range<u32>, matches: impl Fn(&Connection) -> bool) -> usize {
        let end = places.end.min(self.connections.high_water());
        let mut forgotten = 0;
        for place in places.start..end {
            let found = self.connections.iter(place..place + 1).find(|(_, connection)| matches(connection));
            if let Some((id, _)) = found {
                self.end(id);
                forgotten += 1;
            }
        }
        forgotten
    }

    /// Sees to it that a server can be sent to as the snapshot says.
    pub(super) fn set_backend(&mut self, now: Instant, id: ServerId) {
        let snapshot = self.snapshot.clone();
        let server = &snapshot.servers[id];
        let port = &snapshot.ports[usize::from(server.next_hop.port.0)];
        // Fails only with more next hops than the table holds; packets for those servers are counted as such.
        let neighbour = self.neighbours.acquire(server.next_hop, port.mac, port.mtu, now);
        let method = snapshot.service_of(id).method;
        let outer = Outer::new(server.tunnel_source.to_bits(), server.plan.address.to_bits());
        let mut backend = Backend::new(neighbour, method, port.mtu, outer);
        backend.stand(server.standing);
        let old = std::mem::replace(&mut self.backends[id], backend);
        self.backends[id].load = old.load;
        self.narrow_ways -= usize::from(old.is_narrow());
        if let Some(neighbour) = old.neighbour {
            self.neighbours.release(neighbour);
        }
    }

    /// Keeps the routers of static routes resolved, and no others.
    pub(super) fn hold_gateways(&mut self, now: Instant) {
        let snapshot = self.snapshot.clone();
        let held = snapshot
            .gateways()
            .filter_map(|(hop, port)| self.neighbours.acquire(hop, port.mac, port.mtu, now))
            .collect();
        for neighbour in std::mem::replace(&mut self.gateways, held) {
            self.neighbours.release(neighbour);
        }
    }

    /// A packet of a connection whose server is gone: the connection ends, and what would open one opens
    /// another.
    #[cold]
    pub(super) fn orphaned(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &Staged,
        id: ConnectionId,
    ) -> Verdict {
        self.counters.orphaned.bump();
        self.end(id);
        let begins = stage.key.protocol != ipv4::TCP || stage.tcp_flags & (SYN | ACK) == SYN;
        if begins {
            return self.connect_anew(now, packet, stage);
        }
        self.refuse(now, packet, stage, Unserved::Reject, DropReason::NoConnection)
    }
}
