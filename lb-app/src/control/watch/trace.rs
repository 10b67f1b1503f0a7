//! Traces: the stories of packets as they pass.

use super::which::compile;
use crate::dataplane::tap::trace::{Story, Trace, TraceShared};
use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Stories that wait to be read.
const STORIES: usize = 256;
/// A trace that nobody reads is ended after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// One trace.
#[derive(Debug)]
pub(crate) struct RunningTrace {
    pub(crate) id: u32,
    pub(crate) filter: String,
    pub(crate) count: u64,
    shared: Arc<TraceShared>,
    stories: Receiver<Story>,
    read: Mutex<Instant>,
}

/// A trace in a listing.
#[derive(Clone, Debug)]
pub(crate) struct TraceSummary {
    pub(crate) id: u32,
    pub(crate) filter: String,
    pub(crate) count: u64,
    /// Packets it has met.
    pub(crate) met: u64,
    /// Stories that nobody took in time.
    pub(crate) missed: u64,
}

impl RunningTrace {
    /// A trace of `count` packets that match a filter.
    pub(super) fn new(id: u32, filter: String, count: u64) -> Self {
        let (sender, stories) = bounded(STORIES);
        let shared = Arc::new(TraceShared { left: count.into(), missed: 0.into(), stories: sender });
        RunningTrace { id, filter, count, shared, stories, read: Mutex::new(Instant::now()) }
    }

    pub(super) fn tap(&self) -> Trace {
        // It was compiled before, when it was asked for.
        let filter = compile(&self.filter).expect("a filter that was compiled before");
        Trace { filter, shared: self.shared.clone() }
    }

    pub(super) fn is_tapping(&self) -> bool {
        self.shared.left.load(Relaxed) > 0
    }

    /// Whether nobody wants to know any more.
    pub(super) fn is_forgotten(&self) -> bool {
        self.read.try_lock().is_some_and(|read| read.elapsed() > FORGOTTEN_AFTER)
    }

    /// The stories that there are, at most `most`; waits for the first. Whether there will be no more.
    pub(super) fn read(&self, most: usize, wait: Duration) -> (Vec<Story>, bool) {
        *self.read.lock() = Instant::now();
        let is_over = !self.is_tapping();
        let first = if is_over { self.stories.try_recv().ok() } else { self.stories.recv_timeout(wait).ok() };
        let mut stories: Vec<Story> = first.into_iter().collect();
        stories.extend(self.stories.try_iter().take(most.saturating_sub(stories.len())));
        (stories, is_over)
    }

    pub(super) fn summary(&self) -> TraceSummary {
        TraceSummary {
            id: self.id,
            filter: self.filter.clone(),
            count: self.count,
            met: self.count - self.shared.left.load(Relaxed),
            missed: self.shared.missed.load(Relaxed),
        }
    }
}
