//! What can be asked of a worker.

use super::{ask::Ask, connection_view::ConnectionView, tap::Taps, wired::WiredWorker};
use crate::dpdk::{QueuePause, RxQueue};
use lb_core::{
    conn::connections::Hit,
    decide::{Origin, known::Forwarded},
    explanation::Explanation,
    family::{V4, V6},
    flow::key::Ends,
    limits::MAX_CONNECTIONS,
    memory::MemoryPacket,
    neigh::entry::Neighbour,
    packet::PortId,
    peers::exception::Seen,
    time::Instant,
    worker::{
        exceptions::Wanted,
        exchange::{Exchange, Spent},
    },
};
use std::{ops::Range, sync::Arc};

/// Connection entries that are looked at for one answer.
pub(crate) const ENTRIES_PER_ANSWER: u32 = 4_096;

/// The same, where a server is chosen for each.
pub(crate) const EXCEPTIONS_PER_ANSWER: u32 = 1_024;

/// Which connections are meant.
pub(crate) type ConnectionMatch = Arc<dyn Fn(&ConnectionView) -> bool + Send + Sync>;

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
    pub(crate) found: Vec<ConnectionView>,
    /// Connections that were looked at.
    pub(crate) looked_at: usize,
    /// Where the next piece starts, unless this was the last.
    pub(crate) next: Option<u32>,
    /// The worker's time.
    pub(crate) now: Instant,
}

/// Entries of both families have one numbering: those of IPv6 have this bit. There are fewer of either by far.
const IPV6: u32 = 1 << 31;

const _: () = assert!(MAX_CONNECTIONS < IPV6 as usize);

impl Ask for ListConnections {
    type Answer = ConnectionPage;

    fn answer(self, now: Instant, wired: &mut WiredWorker) -> ConnectionPage {
        let mut page = ConnectionPage { found: Vec::new(), looked_at: 0, next: None, now };
        let end = match self.from & IPV6 {
            0 => self.list::<V4>(self.from, wired, &mut page),
            _ => self.list::<V6>(self.from & !IPV6, wired, &mut page),
        };
        page.next = next(wired, self.from & IPV6, end);
        page
    }
}

impl ListConnections {
    /// Adds those of a family from an entry on to the page. Returns the entry behind the last that was looked at.
    fn list<F: Forwarded>(&self, from: u32, wired: &WiredWorker, page: &mut ConnectionPage) -> u32 {
        let end = from.saturating_add(ENTRIES_PER_ANSWER);
        let (worker, connections) = (&wired.worker, wired.worker.connections::<F>());
        for (id, connection) in connections.iter(from..end) {
            page.looked_at += 1;
            let view = ConnectionView::new(worker.snapshot(), connection, connections.created(id));
            if self.matches.as_ref().is_none_or(|matches| matches(&view)) {
                page.found.push(view);
                if page.found.len() >= self.most {
                    return id.number() + 1;
                }
            }
        }
        end
    }
}

/// Connections that peers are to be told of.
pub(crate) struct FindExceptions {
    /// The first entry to look at.
    pub(crate) from: u32,
    /// Which connections they are.
    pub(crate) wanted: Wanted,
    /// Where they go. Has room for all that there can be.
    pub(crate) found: Vec<Seen>,
}

impl Ask for FindExceptions {
    /// They, and where to go on, unless that was all.
    type Answer = (Vec<Seen>, Option<u32>);

    fn answer(mut self, now: Instant, wired: &mut WiredWorker) -> Self::Answer {
        let start = self.from & !IPV6;
        let end = start.saturating_add(EXCEPTIONS_PER_ANSWER);
        let (worker, found) = (&wired.worker, |seen| self.found.push(seen));
        match self.from & IPV6 {
            0 => worker.exceptions::<V4>(now, start..end, self.wanted, found),
            _ => worker.exceptions::<V6>(now, start..end, self.wanted, found),
        };
        (self.found, next(wired, self.from & IPV6, end))
    }
}

/// The connection of packets with these ends, from either side.
pub(crate) struct FindConnection(pub(crate) Ends);

impl Ask for FindConnection {
    /// With the worker's time.
    type Answer = Option<(ConnectionView, Instant)>;

    fn answer(self, now: Instant, wired: &mut WiredWorker) -> Self::Answer {
        let view = find::<V4>(wired, &self.0).or_else(|| find::<V6>(wired, &self.0))?;
        Some((view, now))
    }
}

fn find<F: Forwarded>(wired: &WiredWorker, ends: &Ends) -> Option<ConnectionView> {
    let connections = wired.worker.connections::<F>();
    let id = connections.lookup(&ends.key()?)?.connection();
    Some(ConnectionView::new(wired.worker.snapshot(), connections.get(id), connections.created(id)))
}

/// Forget the connection of packets with these ends. The answer is whether there was one.
pub(crate) struct ForgetConnection(pub(crate) Ends);

impl Ask for ForgetConnection {
    type Answer = bool;

    fn answer(self, _: Instant, wired: &mut WiredWorker) -> bool {
        forget::<V4>(wired, &self.0) || forget::<V6>(wired, &self.0)
    }
}

fn forget<F: Forwarded>(wired: &mut WiredWorker, ends: &Ends) -> bool {
    let found = ends.key().and_then(|key| wired.worker.connections::<F>().lookup(&key)).map(Hit::connection);
    found.is_some_and(|id| wired.worker.forget::<F>(id.number()..id.number() + 1, |_, _| true) > 0)
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
        let end = (self.from & !IPV6).saturating_add(ENTRIES_PER_ANSWER);
        let count = match self.from & IPV6 {
            0 => self.forget::<V4>(self.from..end, wired),
            _ => self.forget::<V6>(self.from & !IPV6..end, wired),
        };
        (count, next(wired, self.from & IPV6, end))
    }
}

impl ForgetConnections {
    fn forget<F: Forwarded>(&self, range: Range<u32>, wired: &mut WiredWorker) -> usize {
        let snapshot = wired.worker.snapshot().clone();
        wired.worker.forget::<F>(range, |connection, created| {
            (self.matches)(&ConnectionView::new(&snapshot, connection, created))
        })
    }
}

/// How many connections of IPv4 and of IPv6 there are.
pub(crate) struct CountConnections;

impl Ask for CountConnections {
    type Answer = (usize, usize);

    fn answer(self, _: Instant, wired: &mut WiredWorker) -> Self::Answer {
        (wired.worker.connections::<V4>().len(), wired.worker.connections::<V6>().len())
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

/// Where the next piece starts, behind entry `end` of a family.
fn next(wired: &WiredWorker, family: u32, end: u32) -> Option<u32> {
    let (v4, v6) = (wired.worker.connections::<V4>(), wired.worker.connections::<V6>());
    match family {
        0 if end < v4.high_water() => Some(end),
        0 => (v6.high_water() > 0).then_some(IPV6),
        _ => (end < v6.high_water()).then_some(IPV6 | end),
    }
}
