//! Questions to a worker about what only it knows. Each is answered between two bursts, in a bounded piece; who wants
//! more asks again.

use crate::dpdk::Mbuf;
use crossbeam_channel::{Receiver, Sender};
use lb_core::{conn::entry::Connection, neigh::entry::Neighbour, time::Instant, worker::Worker};

/// Connection entries that are looked at for one answer.
pub(crate) const ENTRIES_PER_ANSWER: u32 = 4_096;

/// A question.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// The connections among the entries from this number on.
    Connections {
        /// The first entry to look at.
        from: u32,
    },
    /// All neighbours. Few, and rarely asked for.
    Neighbours,
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Some connections.
    Connections {
        /// The connections found.
        found: Vec<Connection>,
        /// Where to go on, unless that was all.
        next: Option<u32>,
        /// The worker's time.
        now: Instant,
    },
    /// All neighbours.
    Neighbours(Vec<Neighbour>),
}

/// The worker's end of its questions.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) requests: Receiver<Request>,
    pub(crate) answers: Sender<Answer>,
}

impl Desk {
    /// Answers one question, if there is one.
    #[inline]
    pub(crate) fn serve(&self, now: Instant, worker: &Worker<Mbuf>) {
        if let Ok(request) = self.requests.try_recv() {
            // Nobody asks twice before the answer, so there is room for it.
            let _ = self.answers.try_send(answer(request, now, worker));
        }
    }
}

#[cold]
fn answer(request: Request, now: Instant, worker: &Worker<Mbuf>) -> Answer {
    match request {
        Request::Connections { from } => {
            let connections = worker.connections();
            let end = from.saturating_add(ENTRIES_PER_ANSWER);
            let found = connections.iter(from..end).map(|(_, connection)| *connection).collect();
            let next = (end < connections.high_water()).then_some(end);
            Answer::Connections { found, next, now }
        }
        Request::Neighbours => {
            Answer::Neighbours(worker.neighbours().iter().map(|(_, neighbour)| *neighbour).collect())
        }
    }
}
