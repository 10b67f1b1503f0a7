//! What can be asked of a worker.

use super::{ask::Ask, tap::Taps, wired::WiredWorker};
use crate::dpdk::{QueuePause, RxQueue};
use lb_core::{
    conn::{connections::Hit, entry::Connection},
    decide::Origin,
    explanation::Explanation,
    family::V4,
    flow::key::Key,
    memory::MemoryPacket,
    neigh::entry::Neighbour,
    packet::PortId,
    time::{Instant, Stamp},
    worker::exchange::{Exchange, Spent},
};
use std::sync::Arc;

/// Connection entries that are looked at for one answer.
pub(crate) const ENTRIES_PER_ANSWER: u32 = 4_096;

/// Which connections are meant, by what they are and when their first packet passed.
pub(crate) type ConnectionMatch = Arc<dyn Fn(&Connection, Stamp) -> bool + Send + Sync>;

/// Take another snapshot. The answer is what of the old one is to be dropped.
impl Ask for Exchange {
    type Answer = Spent;

    fn answer(self, now: Instant, wired: &mut WiredWorker) -> Spent {
        wired.worker.exchange(now, self)
    }
}

/// Some connections.
pub(crate) struct ListConnections {
    /// The first entry to look at.
    pub(crate) from: u32,
    /// How many to answer with, at most.
    pub(crate) most: usize,
    /// Which ones; all if not given.
    pub(crate) matches: Option<ConnectionMatch>,
}

/// Some connections.
pub(crate) struct ConnectionPage {
    /// Each with when its first packet passed.
    pub(crate) found: Vec<(Connection, Stamp)>,
    /// Connections that were looked at.
    pub(crate) looked_at: usize,
    /// Where the next piece starts, unless this was the last.
    pub(crate) next: Option<u32>,
    /// The worker's time.
    pub(crate) now: Instant,
}

impl Ask for ListConnections {
    type Answer = ConnectionPage;

    fn answer(self, now: Instant, wired: &mut WiredWorker) -> ConnectionPage {
        let mut end = self.from.saturating_add(ENTRIES_PER_ANSWER);
        let (mut found, mut looked_at) = (Vec::new(), 0);
        let connections = wired.worker.connections();
        for (id, connection) in connections.iter(self.from..end) {
            looked_at += 1;
            let created = connections.created(id);
            if self.matches.as_ref().is_none_or(|matches| matches(connection, created)) {
                found.push((*connection, created));
                if found.len() >= self.most {
                    end = id.number() + 1;
                    break;
                }
            }
        }
        ConnectionPage { found, looked_at, next: next(wired, end), now }
    }
}

/// The connection of packets with this key, from either side.
pub(crate) struct FindConnection(pub(crate) Key);

impl Ask for FindConnection {
    /// With when its first packet passed, and the worker's time.
    type Answer = Option<(Connection, Stamp, Instant)>;

    fn answer(self, now: Instant, wired: &mut WiredWorker) -> Self::Answer {
        let connections = wired.worker.connections();
        let found = connections.lookup(&self.0).map(Hit::connection);
        found.map(|id| (*connections.get(id), connections.created(id), now))
    }
}

/// Forget the connection of packets with this key. The answer is whether there was one.
pub(crate) struct ForgetConnection(pub(crate) Key);

impl Ask for ForgetConnection {
    type Answer = bool;

    fn answer(self, _: Instant, wired: &mut WiredWorker) -> bool {
        let found = wired.worker.connections().lookup(&self.0).map(Hit::connection);
        found.is_some_and(|id| wired.worker.forget::<V4>(id.number()..id.number() + 1, |_, _| true) > 0)
    }
}

/// Forget those connections that are meant.
pub(crate) struct ForgetConnections {
    /// The first entry to look at.
    pub(crate) from: u32,
    pub(crate) matches: ConnectionMatch,
}

impl Ask for ForgetConnections {
    /// How many, and where to go on, unless that was all.
    type Answer = (usize, Option<u32>);

    fn answer(self, _: Instant, wired: &mut WiredWorker) -> Self::Answer {
        let end = self.from.saturating_add(ENTRIES_PER_ANSWER);
        let count =
            wired.worker.forget(self.from..end, |connection, created| (self.matches)(connection, created));
        (count, next(wired, end))
    }
}

/// All neighbours. Few, and rarely asked for.
pub(crate) struct ListNeighbours;

impl Ask for ListNeighbours {
    type Answer = Vec<Neighbour>;

    fn answer(self, _: Instant, wired: &mut WiredWorker) -> Vec<Neighbour> {
        wired.worker.neighbours().iter().map(|(_, neighbour)| *neighbour).collect()
    }
}

/// Stop using the queues of a port, until it is started again.
pub(crate) struct PausePort(pub(crate) PortId);

impl Ask for PausePort {
    /// The proofs.
    type Answer = Vec<QueuePause>;

    fn answer(self, _: Instant, wired: &mut WiredWorker) -> Vec<QueuePause> {
        wired.io.flush();
        let receive = wired.rx.get_mut(usize::from(self.0.0)).map(RxQueue::pause);
        receive.into_iter().chain(wired.io.pause(self.0)).collect()
    }
}

/// Announce the addresses on a port anew, or on all ports.
pub(crate) struct Announce(pub(crate) Option<PortId>);

impl Ask for Announce {
    type Answer = ();

    fn answer(self, now: Instant, wired: &mut WiredWorker) {
        wired.worker.announce_again(now, self.0);
    }
}

/// Say that a burst is over.
pub(crate) struct EndBurst;

impl Ask for EndBurst {
    type Answer = ();

    fn answer(self, _: Instant, _: &mut WiredWorker) {}
}

/// Watch packets for this, instead of what was watched before. The answer is the latter.
pub(crate) struct Watch(pub(crate) Option<Box<Taps>>);

impl Ask for Watch {
    type Answer = Option<Box<Taps>>;

    fn answer(self, _: Instant, wired: &mut WiredWorker) -> Self::Answer {
        std::mem::replace(&mut wired.taps, self.0)
    }
}

/// What would become of a packet that comes from there.
pub(crate) struct Explain {
    pub(crate) packet: Box<MemoryPacket>,
    pub(crate) origin: Origin,
}

impl Ask for Explain {
    type Answer = Explanation;

    fn answer(self, now: Instant, wired: &mut WiredWorker) -> Explanation {
        wired.worker.explain(now, &self.packet, self.origin, &wired.io)
    }
}

/// Where the next piece starts, behind entry `end`.
fn next(wired: &WiredWorker, end: u32) -> Option<u32> {
    (end < wired.worker.connections().high_water()).then_some(end)
}
