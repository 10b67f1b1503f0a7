//! Another snapshot takes the place of the one that a worker goes by, between two bursts.
//!
//! Connections, counters and loads stay as they are: servers keep their numbers. What a worker has of its own about a
//! server is made anew only where the snapshot says that something is different, so the time it takes follows from the
//! size of the change, not of the configuration.
//!
//! A server that is [`Gone`](crate::service::plan::Standing::Gone) lets its connections go with their next packet, as nobody is there to
//! deliver it to: a client is told by a reset, and may open the connection again with another server. IPVS drops such
//! packets in silence, and its clients wait.

use super::{Worker, chores::Announcements};
use crate::{
    decide::{
        backend::Backend,
        known::{Known, arrivals},
    },
    forward::outer::Outer,
    ids::{ServerId, ServiceId},
    packet::{Packet, WorkerId},
    sched::Turn,
    service::snapshot::{Changes, Snapshot},
    time::Instant,
};
use std::sync::Arc;

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
            services: snapshot
                .order
                .iter()
                .copied()
                .chain(snapshot.rules.iter().map(|rule| rule.service))
                .collect(),
            routing: true,
            new_addresses: true,
        };
        Self::with(snapshot, changes, worker)
    }

    fn with(snapshot: Arc<Snapshot>, changes: Changes, worker: WorkerId) -> Self {
        let turn = |&number: &ServiceId| (number, snapshot.services[number].scheduler.first_turn(worker));
        let turns = changes.services.iter().map(turn).collect();
        Exchange { snapshot, changes, turns }
    }
}

impl<P: Packet> Worker<P> {
    /// Another snapshot applies from now on.
    pub fn exchange(&mut self, now: Instant, exchange: Exchange) -> Spent {
        let Exchange { snapshot, changes, mut turns } = exchange;
        let old = std::mem::replace(&mut self.known.snapshot, snapshot);
        for &number in &changes.servers {
            self.set_backend(now, number);
        }
        for &number in &changes.renamed {
            self.books.traffic[number.index()].reset();
        }
        for (number, turn) in &mut turns {
            // It begins elsewhere than the one before, or a change every second would send all to one server.
            std::mem::swap(&mut self.turns[*number], turn);
        }
        if changes.routing {
            self.hold_gateways(now);
        }
        self.known.arrivals = arrivals(&self.known.snapshot);
        if changes.new_addresses {
            self.chores.announcements = Announcements::new(self.known.id, self.waits(), now);
        }
        Spent { _snapshot: old, _exchange: (changes, turns) }
    }

    /// Sees to it that a server can be sent to as the snapshot says.
    pub(super) fn set_backend(&mut self, now: Instant, number: ServerId) {
        let known = &mut self.known;
        let server = &known.snapshot.servers[number];
        if known.snapshot.service_of(number).method.is_outward() {
            return self.set_anybody(number);
        }
        let interface = &known.snapshot.interfaces[server.next_hop.interface];
        // Fails only with more next hops than the table holds; packets for those servers are counted as such.
        let neighbour = known.neighbours.acquire(server.next_hop, interface, now);
        let service = known.snapshot.service_of(number);
        let address = server.plan.address;
        let outer = match server.tunnel {
            Some(to) => Outer::new(&to, address, service.vip),
            None if service.method.marks() => Outer::marked(server.dscp, address, service.vip),
            None => Outer::NONE,
        };
        let mut backend = Backend::new(neighbour, server.overhead(), interface.mtu, outer);
        backend.stand(server.standing);
        let old = std::mem::replace(&mut known.backends[number], backend);
        self.chores.narrow_paths -= usize::from(old.is_narrow());
        known.neighbours.release(old.neighbour);
    }

    /// The same for whoever is asked under SNAT: each connection has its own next hop.
    fn set_anybody(&mut self, number: ServerId) {
        let known = &mut self.known;
        let mut backend = Backend::new(None, 0, u16::MAX, Outer::NONE);
        backend.stand(known.snapshot.servers[number].standing);
        let old = std::mem::replace(&mut known.backends[number], backend);
        self.chores.narrow_paths -= usize::from(old.is_narrow());
        known.neighbours.release(old.neighbour);
    }

    /// Keeps the routers of static routes resolved, and no others.
    pub(super) fn hold_gateways(&mut self, now: Instant) {
        let Known { snapshot, neighbours, .. } = &mut self.known;
        let gateways = snapshot.gateways();
        let held = gateways.filter_map(|(hop, interface)| neighbours.acquire(hop, interface, now)).collect();
        for number in std::mem::replace(&mut self.chores.gateways, held) {
            neighbours.release(Some(number));
        }
    }
}
