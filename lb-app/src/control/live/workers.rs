//! Workers, from outside: what they count, and what only they know or can do, asked for piece by piece.

use crate::{
    dataplane::{
        activity::Activity,
        ask::{Silent, WorkerLine},
        asks::{
            ConnectionMatch, CountConnections, FindConnection, ForgetConnection, ForgetConnections,
            ListConnections, ListNeighbours,
        },
        connection_view::ConnectionView,
        io::PortTraffic,
    },
    dpdk::LcoreId,
};
use lb_core::{
    counters::{ServerTraffic, WorkerCounters},
    flow::key::Ends,
    neigh::entry::Neighbour,
    packet::WorkerId,
    time::{Duration, Instant},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// One worker, from outside.
pub(crate) struct WorkerView {
    pub(crate) id: WorkerId,
    pub(crate) lcore: LcoreId,
    pub(crate) line: WorkerLine,
    pub(crate) counters: Arc<WorkerCounters>,
    /// By server.
    pub(crate) servers: Arc<[ServerTraffic]>,
    /// By port.
    pub(crate) ports: Arc<[PortTraffic]>,
    pub(crate) activity: Arc<Activity>,
    /// It did not respond to the last change.
    behind: AtomicBool,
    /// The number of the configuration that it took last.
    generation: AtomicU64,
}

impl WorkerView {
    pub(crate) fn new(
        (id, lcore): (WorkerId, LcoreId),
        line: WorkerLine,
        counters: Arc<WorkerCounters>,
        servers: Arc<[ServerTraffic]>,
        (ports, activity): (Arc<[PortTraffic]>, Arc<Activity>),
    ) -> Self {
        WorkerView {
            id,
            lcore,
            line,
            counters,
            servers,
            ports,
            activity,
            behind: AtomicBool::new(false),
            generation: AtomicU64::new(0),
        }
    }

    /// Whether it may still use an old configuration, because it did not respond to the last change.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// The number of the configuration that it took last.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// It has taken that configuration.
    pub(crate) fn took(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
        self.behind.store(false, Ordering::Relaxed);
    }

    /// It did not respond to a change.
    pub(crate) fn fell_behind(&self) {
        self.behind.store(true, Ordering::Relaxed);
    }

    /// At most `most` connections among a bounded number of entries from `from` on; all, or those that are meant.
    pub(crate) fn page(
        &self,
        from: u32,
        most: usize,
        matches: Option<ConnectionMatch>,
    ) -> Result<Page, Silent> {
        let page = self.line.ask(ListConnections { from, most, matches })?;
        let found = page.found.into_iter();
        let listed = found.map(|view| self.listed(view, page.now)).collect();
        Ok((listed, page.looked_at, page.next))
    }

    /// At most `most` connections.
    pub(crate) fn list(&self, most: usize) -> Vec<Listed> {
        let mut listed = Vec::new();
        let mut from = Some(0);
        while let Some(start) = from.filter(|_| listed.len() < most) {
            let Ok((found, _, next)) = self.page(start, most - listed.len(), None) else { break };
            listed.extend(found);
            from = next;
        }
        listed
    }

    /// The connection of packets with these ends, from either side.
    pub(crate) fn connection(&self, ends: Ends) -> Result<Option<Listed>, Silent> {
        let found = self.line.ask(FindConnection(ends))?;
        Ok(found.map(|(view, now)| self.listed(view, now)))
    }

    /// Forgets the connections that are meant among a bounded number of entries from `from` on. Returns how many they
    /// were, and where the next piece starts.
    pub(crate) fn forget_some(
        &self,
        from: u32,
        matches: &ConnectionMatch,
    ) -> Result<(usize, Option<u32>), Silent> {
        self.line.ask(ForgetConnections { from, matches: matches.clone() })
    }

    /// Forgets the connection of packets with these ends. Returns whether there was one.
    pub(crate) fn forget(&self, ends: Ends) -> Result<bool, Silent> {
        self.line.ask(ForgetConnection(ends))
    }

    /// How many connections of IPv4 and of IPv6 it has.
    pub(crate) fn connection_counts(&self) -> Result<(usize, usize), Silent> {
        self.line.ask(CountConnections)
    }

    /// The worker's neighbours.
    pub(crate) fn neighbours(&self) -> Result<Vec<Neighbour>, Silent> {
        self.line.ask(ListNeighbours)
    }

    fn listed(&self, connection: ConnectionView, now: Instant) -> Listed {
        let (idle, age) = (connection.seen.age(now), connection.created.age(now));
        Listed { worker: self.id, connection, idle, age }
    }
}

/// A connection as it was when its worker was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) worker: WorkerId,
    pub(crate) connection: ConnectionView,
    /// Since its last packet.
    pub(crate) idle: Duration,
    /// Since it began.
    pub(crate) age: Duration,
}

/// A piece of a listing, how many connections were examined for it, and where the next piece starts.
pub(crate) type Page = (Vec<Listed>, usize, Option<u32>);
