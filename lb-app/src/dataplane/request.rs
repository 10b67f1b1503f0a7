//! What a worker is asked to do or to tell between two bursts. Each request is dealt with in a bounded piece; who wants
//! more asks again. So nothing that is asked stops packets for long.

use super::{
    host::{Host, Outgoing, SEND_BURST},
    io::LcoreIo,
    tap::{self, Taps},
};
use crate::dpdk::{Mbuf, QueuePause, RxQueue};
use crossbeam_channel::{Receiver, Sender};
use lb_core::{
    conn::{connections::Hit, entry::Connection},
    decide::Origin,
    explanation::Explanation,
    flow::key::Key,
    memory::MemoryPacket,
    neigh::entry::Neighbour,
    packet::PortId,
    time::Instant,
    worker::{
        Worker,
        exchange::{Exchange, Spent},
    },
};
use std::{fmt, sync::Arc};

/// Connection entries that are looked at for one answer.
pub(crate) const ENTRIES_PER_ANSWER: u32 = 4_096;

/// Which connections are meant.
pub(crate) type Filter = Arc<dyn Fn(&Connection) -> bool + Send + Sync>;

/// What is asked.
pub(crate) enum Request {
    /// Go by another snapshot.
    Exchange(Exchange),
    /// The connections among the entries from this place on.
    Connections {
        /// The first entry to look at.
        from: u32,
        /// How many to answer with, at most.
        most: usize,
        /// Those that are meant; all if there is none.
        filter: Option<Filter>,
    },
    /// The connection of packets with this key.
    Connection(Key<u32>),
    /// Forget the connection of packets with this key.
    Delete(Key<u32>),
    /// Forget the connections among the entries from this place on.
    Forget {
        /// The first entry to look at.
        from: u32,
        /// Those that are meant.
        filter: Filter,
    },
    /// All neighbours. Few, and rarely asked for.
    Neighbours,
    /// Use the queues of a port no more, until it is started again.
    Pause(PortId),
    /// Say that a burst is over.
    Pass,
    /// Watch packets for this, and no more for what they were watched for.
    Watch(Option<Box<Taps>>),
    /// What would become of a packet.
    Explain {
        /// The packet.
        packet: Box<MemoryPacket>,
        /// Where it comes from.
        origin: Origin,
    },
}

/// An answer.
pub(crate) enum Answer {
    /// The worker goes by the new snapshot.
    Exchanged {
        /// To be dropped where that delays no packets.
        _spent: Spent,
    },
    /// Some connections.
    Connections {
        /// The connections found.
        found: Vec<Connection>,
        /// Connections that were looked at.
        looked_at: usize,
        /// Where to go on, unless that was all.
        next: Option<u32>,
        /// The worker's time.
        now: Instant,
    },
    /// One connection, if there is one.
    Connection {
        /// It.
        found: Option<Connection>,
        /// The worker's time.
        now: Instant,
    },
    /// Some connections are forgotten.
    Forgotten {
        /// How many.
        count: usize,
        /// Where to go on, unless that was all.
        next: Option<u32>,
    },
    /// All neighbours.
    Neighbours(Vec<Neighbour>),
    /// The queues of the port are not used.
    Paused(Vec<QueuePause>),
    /// A burst is over.
    Passed,
    /// Packets are watched for something else from now on.
    Watching {
        /// To be dropped where that delays no packets.
        _before: Option<Box<Taps>>,
    },
    /// What would become of the packet.
    Explained(Box<Explanation>),
}

/// The worker's end of its requests. Each has a number, which its answer has as well.
#[derive(Debug)]
pub(crate) struct Desk {
    /// What the control plane wants sent.
    pub(crate) outgoing: Receiver<Outgoing>,
    pub(crate) host: Arc<Host>,
    pub(crate) requests: Receiver<(u64, Request)>,
    pub(crate) answers: Sender<(u64, Answer)>,
}

impl Desk {
    /// Deals with one request, if there is one, and sends some of what the control plane wants sent.
    #[inline]
    pub(crate) fn serve(
        &self,
        now: Instant,
        worker: &mut Worker<Mbuf>,
        rx: &mut [RxQueue],
        io: &mut LcoreIo,
    ) {
        if let Ok((number, request)) = self.requests.try_recv() {
            // Whoever asked may have given up; then nobody takes the answer, and the next one waits behind it.
            let answer = match request {
                Request::Pause(port) => pause(port, rx, io),
                Request::Watch(taps) => Answer::Watching { _before: std::mem::replace(&mut io.taps, taps) },
                request => answer(request, now, worker, io),
            };
            let _ = self.answers.try_send((number, answer));
        }
        if !self.outgoing.is_empty() {
            self.send(now, worker, io);
        }
    }

    #[cold]
    fn send(&self, now: Instant, worker: &mut Worker<Mbuf>, io: &mut LcoreIo) {
        for Outgoing { to, bytes } in self.outgoing.try_iter().take(SEND_BURST) {
            tap::originate(worker, now, to, &bytes, io);
            self.host.give_back(bytes);
        }
    }
}

#[cold]
fn pause(port: PortId, rx: &mut [RxQueue], io: &mut LcoreIo) -> Answer {
    io.flush();
    let receive = rx.get_mut(usize::from(port.0)).map(RxQueue::pause);
    Answer::Paused(receive.into_iter().chain(io.pause(port)).collect())
}

#[cold]
fn answer(request: Request, now: Instant, worker: &mut Worker<Mbuf>, io: &LcoreIo) -> Answer {
    match request {
        Request::Exchange(exchange) => Answer::Exchanged { _spent: worker.exchange(now, exchange) },
        Request::Connections { from, most, filter } => {
            let mut end = from.saturating_add(ENTRIES_PER_ANSWER);
            let (mut found, mut looked_at) = (Vec::new(), 0);
            for (id, connection) in worker.connections().iter(from..end) {
                looked_at += 1;
                if filter.as_ref().is_none_or(|filter| filter(connection)) {
                    found.push(*connection);
                    if found.len() >= most {
                        end = id.number() + 1;
                        break;
                    }
                }
            }
            Answer::Connections { found, looked_at, next: next(worker, end), now }
        }
        Request::Delete(key) => {
            let found = worker.connections().lookup(&key).map(Hit::connection);
            let count = found.map_or(0, |id| worker.forget(id.number()..id.number() + 1, |_| true));
            Answer::Forgotten { count, next: None }
        }
        Request::Connection(key) => {
            let connections = worker.connections();
            let found = connections.lookup(&key).map(|found| *connections.get(found.connection()));
            Answer::Connection { found, now }
        }
        Request::Forget { from, filter } => {
            let end = from.saturating_add(ENTRIES_PER_ANSWER);
            let count = worker.forget(from..end, |connection| filter(connection));
            Answer::Forgotten { count, next: next(worker, end) }
        }
        Request::Explain { packet, origin } => {
            Answer::Explained(Box::new(worker.explain(now, &packet, origin, io)))
        }
        Request::Neighbours => {
            Answer::Neighbours(worker.neighbours().iter().map(|(_, neighbour)| *neighbour).collect())
        }
        Request::Pause(_) | Request::Watch(_) | Request::Pass => Answer::Passed,
    }
}

/// Where to go on behind entry `end`.
fn next(worker: &Worker<Mbuf>, end: u32) -> Option<u32> {
    (end < worker.connections().high_water()).then_some(end)
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Request::Exchange(_) => "Exchange",
            Request::Connections { .. } => "Connections",
            Request::Connection(_) => "Connection",
            Request::Delete(_) => "Delete",
            Request::Forget { .. } => "Forget",
            Request::Neighbours => "Neighbours",
            Request::Pause(_) => "Pause",
            Request::Pass => "Pass",
            Request::Watch(_) => "Watch",
            Request::Explain { .. } => "Explain",
        })
    }
}
