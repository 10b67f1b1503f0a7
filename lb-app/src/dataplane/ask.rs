//! Asking a worker, between two bursts, to do or to tell something. [`asks`](super::asks) has what can be asked.
//!
//! What is asked and the answer travel on one slip, which the worker gives back: so an answer has the type of its
//! question, and whatever is in it is dropped where that delays no packets.

use super::wired::WiredWorker;
use crossbeam_channel::{Receiver, Sender, bounded};
use lb_core::{packet::WorkerId, time::Instant};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant as Clock},
};
use thiserror::Error;

/// How long a worker may take to respond. It does between two bursts, or when it wakes up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something that a worker is asked. It is dealt with in a bounded piece; who wants more asks again. So nothing that is
/// asked stops packets for long.
pub(crate) trait Ask: Send + 'static {
    /// What is answered.
    type Answer: Send + 'static;

    /// Does it, on the worker's lcore.
    fn answer(self, now: Instant, worker: &mut WiredWorker) -> Self::Answer;
}

/// A worker did not respond.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("worker {} did not respond within {} s", .0.0, PATIENCE.as_secs())]
pub(crate) struct Silent(pub(crate) WorkerId);

/// Our end of one worker's line. Clients take turns: a worker is asked one thing at a time.
#[derive(Debug)]
pub(crate) struct WorkerLine {
    worker: WorkerId,
    ends: Mutex<(Sender<Errand>, Receiver<Errand>)>,
}

/// The worker's end.
#[derive(Debug)]
pub(crate) struct Desk {
    asked: Receiver<Errand>,
    answered: Sender<Errand>,
}

/// Both ends of the line to a worker.
pub(crate) fn line(worker: WorkerId) -> (WorkerLine, Desk) {
    let ((ask, asked), (answered, answers)) = (bounded(1), bounded(1));
    (WorkerLine { worker, ends: Mutex::new((ask, answers)) }, Desk { asked, answered })
}

impl WorkerLine {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When the worker has ended or is stuck. What it was too late to answer is still dealt with.
    pub(crate) fn ask<A: Ask>(&self, ask: A) -> Result<A::Answer, Silent> {
        let silent = Silent(self.worker);
        let ends = self.ends.lock();
        let (asked, answers) = &*ends;
        // An answer that came too late makes room for the next.
        while answers.try_recv().is_ok() {}
        let slip = Arc::new(Slip(Mutex::new(Text::Asked(ask))));
        asked.try_send(Errand(slip.clone())).map_err(|_| silent)?;
        let deadline = Clock::now() + PATIENCE;
        loop {
            // It may be an older one, which came too late.
            let back = answers.recv_deadline(deadline).map_err(|_| silent)?;
            if let Some(answer) = slip.take_answer() {
                return Ok(answer);
            }
            drop(back);
        }
    }
}

impl Desk {
    /// Answers, if something is asked.
    #[inline]
    pub(super) fn serve(&self, now: Instant, worker: &mut WiredWorker) {
        if let Ok(errand) = self.asked.try_recv() {
            errand.0.run(now, worker);
            // If the request has timed out, nobody takes the answer, and the next one waits behind it.
            let _ = self.answered.try_send(errand);
        }
    }
}

/// A slip on its way, whatever is on it.
struct Errand(Arc<dyn Run>);

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Errand")
    }
}

trait Run: Send + Sync {
    fn run(&self, now: Instant, worker: &mut WiredWorker);
}

/// What is asked, and then the answer. Whoever asked looks when a slip has come back, so the worker waits for no lock.
struct Slip<A: Ask>(Mutex<Text<A>>);

enum Text<A: Ask> {
    Asked(A),
    Answered(A::Answer),
    Nothing,
}

impl<A: Ask> Slip<A> {
    fn take_answer(&self) -> Option<A::Answer> {
        let mut text = self.0.lock();
        match std::mem::replace(&mut *text, Text::Nothing) {
            Text::Answered(answer) => Some(answer),
            other => {
                *text = other;
                None
            }
        }
    }
}

impl<A: Ask> Run for Slip<A> {
    #[cold]
    fn run(&self, now: Instant, worker: &mut WiredWorker) {
        let mut text = self.0.lock();
        if let Text::Asked(ask) = std::mem::replace(&mut *text, Text::Nothing) {
            *text = Text::Answered(ask.answer(now, worker));
        }
    }
}
