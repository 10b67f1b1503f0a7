//! Workers, from outside: what they count, and what only they know or can do, asked for piece by piece.

use crate::{
    dataplane::{
        activity::Activity,
        ask::{Silent, WorkerLine},
        asks::{
            ConnectionMatch, FindConnection, ForgetConnection, ForgetConnections, ListConnections,
            ListNeighbours,
        },
        io::PortTraffic,
    },
    dpdk::LcoreId,
};
use lb_core::{
    conn::entry::Connection,
    counters::{ServerTraffic, WorkerCounters},
    flow::key::Key,
    neigh::entry::Neighbour,
    packet::WorkerId,
    time::{Duration, Instant, Stamp},
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
        let listed = found.map(|(connection, created)| self.listed(connection, created, page.now)).collect();
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

    /// The connection of packets with this key, from either side.
    pub(crate) fn connection(&self, key: Key) -> Result<Option<Listed>, Silent> {
        let found = self.line.ask(FindConnection(key))?;
        Ok(found.map(|(connection, created, now)| self.listed(connection, created, now)))
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

    /// Forgets the connection of packets with this key. Returns whether there was one.
    pub(crate) fn forget(&self, key: Key) -> Result<bool, Silent> {
        self.line.ask(ForgetConnection(key))
    }

    /// The worker's neighbours.
    pub(crate) fn neighbours(&self) -> Result<Vec<Neighbour>, Silent> {
        self.line.ask(ListNeighbours)
    }

    fn listed(&self, connection: Connection, created: Stamp, now: Instant) -> Listed {
        Listed { worker: self.id, connection, idle: connection.seen.age(now), age: created.age(now) }
    }
}

/// A connection as it was when its worker was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) worker: WorkerId,
    pub(crate) connection: Connection,
    /// Since its last packet.
    pub(crate) idle: Duration,
    /// Since it began.
    pub(crate) age: Duration,
}

/// A piece of a listing, how many connections were examined for it, and where the next piece starts.
pub(crate) type Page = (Vec<Listed>, usize, Option<u32>);
