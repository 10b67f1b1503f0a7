//! What only workers know, asked for piece by piece.

use crate::dataplane::request::{Answer, Request};
use crossbeam_channel::{Receiver, Sender};
use lb_core::{
    conn::entry::Connection,
    neigh::entry::Neighbour,
    packet::WorkerId,
    time::{Duration as Span, Instant},
};
use std::time::Duration;

/// How long a worker may take to answer. It answers between two bursts, or when it wakes up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Our end of one worker's questions.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) requests: Sender<Request>,
    pub(crate) answers: Receiver<Answer>,
}

/// A connection as it was when its worker was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) worker: WorkerId,
    pub(crate) connection: Connection,
    /// Since its last packet.
    pub(crate) idle: Span,
}

impl Line {
    /// A question and its answer; `None` when the worker has ended or is stuck.
    pub(crate) fn ask(&self, request: Request) -> Option<Answer> {
        // An answer that came too late for an earlier question would be taken for this one's.
        while self.answers.try_recv().is_ok() {}
        self.requests.try_send(request).ok()?;
        self.answers.recv_timeout(PATIENCE).ok()
    }

    /// At most `most` of a worker's connections.
    pub(crate) fn connections(&self, worker: WorkerId, most: usize) -> Vec<Listed> {
        let mut listed = Vec::new();
        let mut from = Some(0);
        while let Some(start) = from.filter(|_| listed.len() < most) {
            let Some(Answer::Connections { found, next, now }) =
                self.ask(Request::Connections { from: start })
            else {
                break;
            };
            let room = most - listed.len();
            listed.extend(found.into_iter().take(room).map(|connection| list(worker, connection, now)));
            from = next;
        }
        listed
    }

    /// A worker's neighbours.
    pub(crate) fn neighbours(&self) -> Vec<Neighbour> {
        match self.ask(Request::Neighbours) {
            Some(Answer::Neighbours(neighbours)) => neighbours,
            _ => Vec::new(),
        }
    }
}

fn list(worker: WorkerId, connection: Connection, now: Instant) -> Listed {
    Listed { worker, connection, idle: connection.seen.age(now) }
}
