//! What only workers know or can do, asked for piece by piece.

use crate::dataplane::request::{Answer, Filter, Request};
use crossbeam_channel::{Receiver, Sender};
use lb_core::{
    conn::entry::Connection,
    flow::key::Key,
    neigh::entry::Neighbour,
    packet::WorkerId,
    time::{Duration as Span, Instant},
};
use parking_lot::Mutex;
use std::time::{Duration, Instant as Clock};
use thiserror::Error;

/// How long a worker may take to answer. It answers between two bursts, or when it wakes up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a worker gave no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("worker {} does not answer", .0.0)]
pub(crate) struct Silent(pub(crate) WorkerId);

/// Our end of one worker's requests. Clients take turns: a worker has one request at a time.
#[derive(Debug)]
pub(crate) struct Line {
    worker: WorkerId,
    ends: Mutex<Ends>,
}

#[derive(Debug)]
struct Ends {
    requests: Sender<(u64, Request)>,
    answers: Receiver<(u64, Answer)>,
    /// Number of the last request.
    last: u64,
}

/// A connection as it was when its worker was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) worker: WorkerId,
    pub(crate) connection: Connection,
    /// Since its last packet.
    pub(crate) idle: Span,
    /// Since it began.
    pub(crate) age: Span,
}

/// A piece of a listing, how many connections were looked at for it, and where to go on.
pub(crate) type Page = (Vec<Listed>, usize, Option<u32>);

impl Line {
    pub(crate) fn new(
        worker: WorkerId,
        requests: Sender<(u64, Request)>,
        answers: Receiver<(u64, Answer)>,
    ) -> Self {
        Line { worker, ends: Mutex::new(Ends { requests, answers, last: 0 }) }
    }

    /// A request and its answer.
    ///
    /// # Errors
    /// When the worker has ended or is stuck. A request that it was too late to answer is still dealt with.
    pub(crate) fn ask(&self, request: Request) -> Result<Answer, Silent> {
        let silent = Silent(self.worker);
        let mut ends = self.ends.lock();
        // An answer that came too late makes room for the next.
        while ends.answers.try_recv().is_ok() {}
        ends.last += 1;
        let number = ends.last;
        ends.requests.try_send((number, request)).map_err(|_| silent)?;
        let deadline = Clock::now() + PATIENCE;
        loop {
            match ends.answers.recv_deadline(deadline) {
                Ok((answered, answer)) if answered == number => return Ok(answer),
                Ok(_) => {}
                Err(_) => return Err(silent),
            }
        }
    }

    /// At most `most` connections among a bounded number of entries from `from` on; all, or those that `filter` means.
    pub(crate) fn page(&self, from: u32, most: usize, filter: Option<Filter>) -> Result<Page, Silent> {
        match self.ask(Request::Connections { from, most, filter })? {
            Answer::Connections { found, looked_at, next, now } => {
                let listed = found.into_iter().map(|connection| self.list(connection, now)).collect();
                Ok((listed, looked_at, next))
            }
            _ => Err(Silent(self.worker)),
        }
    }

    /// At most `most` connections.
    pub(crate) fn connections(&self, most: usize) -> Vec<Listed> {
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
    pub(crate) fn connection(&self, key: Key<u32>) -> Result<Option<Listed>, Silent> {
        match self.ask(Request::Connection(key))? {
            Answer::Connection { found, now } => Ok(found.map(|connection| self.list(connection, now))),
            _ => Err(Silent(self.worker)),
        }
    }

    /// Forgets the connections that `filter` means among a bounded number of entries from `from` on. Returns how many
    /// they were, and where to go on.
    pub(crate) fn forget_some(&self, from: u32, filter: &Filter) -> Result<(usize, Option<u32>), Silent> {
        match self.ask(Request::Forget { from, filter: filter.clone() })? {
            Answer::Forgotten { count, next } => Ok((count, next)),
            _ => Err(Silent(self.worker)),
        }
    }

    /// Forgets the connection of packets with this key. Returns whether there was one.
    pub(crate) fn delete(&self, key: Key<u32>) -> Result<bool, Silent> {
        match self.ask(Request::Delete(key))? {
            Answer::Forgotten { count, .. } => Ok(count > 0),
            _ => Err(Silent(self.worker)),
        }
    }

    /// The worker's neighbours.
    pub(crate) fn neighbours(&self) -> Result<Vec<Neighbour>, Silent> {
        match self.ask(Request::Neighbours)? {
            Answer::Neighbours(neighbours) => Ok(neighbours),
            _ => Err(Silent(self.worker)),
        }
    }

    fn list(&self, connection: Connection, now: Instant) -> Listed {
        Listed {
            worker: self.worker,
            connection,
            idle: connection.seen.age(now),
            age: connection.created.age(now),
        }
    }
}
