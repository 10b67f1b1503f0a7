//! Traces: the stories of packets as they pass.

use super::{MOST, Running, WatchError, Watches, compile};
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

    fn summary(&self) -> TraceSummary {
        TraceSummary {
            id: self.id,
            filter: self.filter.clone(),
            count: self.count,
            met: self.count - self.shared.left.load(Relaxed),
            missed: self.shared.missed.load(Relaxed),
        }
    }
}

impl Watches {
    /// Begins a trace of `count` packets that match a filter, and returns its number.
    pub(crate) fn add_trace(&self, running: &Running, filter: &str, count: u64) -> Result<u32, WatchError> {
        compile(filter)?;
        let mut watched = self.0.lock();
        if watched.traces.len() >= MOST {
            return Err(WatchError::TooMany("traces"));
        }
        let (id, (sender, stories)) = (watched.next_id(), bounded(STORIES));
        let shared = TraceShared { left: count.into(), missed: 0.into(), stories: sender };
        watched.traces.push(Arc::new(RunningTrace {
            id,
            filter: filter.to_owned(),
            count,
            shared: Arc::new(shared),
            stories,
            read: Mutex::new(Instant::now()),
        }));
        watched.tap(running)?;
        Ok(id)
    }

    /// Stories that a trace has to tell, at most `most`; waits for one. Says whether that was all there will be.
    pub(crate) fn read_trace(
        &self,
        running: &Running,
        id: u32,
        most: usize,
        wait: Duration,
    ) -> Result<(Vec<Story>, TraceSummary, bool), WatchError> {
        let found = self.0.lock().traces.iter().find(|trace| trace.id == id).cloned();
        let trace = found.ok_or(WatchError::Unknown { what: "trace", id })?;
        *trace.read.lock() = Instant::now();
        let is_over = !trace.is_tapping();
        let first =
            if is_over { trace.stories.try_recv().ok() } else { trace.stories.recv_timeout(wait).ok() };
        let mut stories: Vec<Story> = first.into_iter().collect();
        stories.extend(trace.stories.try_iter().take(most.saturating_sub(stories.len())));
        let summary = trace.summary();
        // A worker may be about to tell the last one.
        let all_told = stories.is_empty() && is_over;
        if all_told {
            self.remove_trace(running, id)?;
        }
        Ok((stories, summary, all_told))
    }

    /// All traces.
    pub(crate) fn traces(&self) -> Vec<TraceSummary> {
        self.0.lock().traces.iter().map(|trace| trace.summary()).collect()
    }

    /// Ends a trace.
    pub(crate) fn remove_trace(&self, running: &Running, id: u32) -> Result<(), WatchError> {
        let mut watched = self.0.lock();
        let at = watched.traces.iter().position(|trace| trace.id == id);
        watched.traces.remove(at.ok_or(WatchError::Unknown { what: "trace", id })?);
        Ok(watched.tap(running)?)
    }
}
