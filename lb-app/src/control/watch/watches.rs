//! All traces and captures of the running director, as clients begin and end them.

use super::{
    capture::{CaptureSummary, RunningCapture, SNAPLEN, Wanted},
    error::{MOST, WatchError},
    stream::Piece,
    trace::{RunningTrace, TraceSummary},
    which::{compile, port_called},
};
use crate::{
    control::live::running::Running,
    dataplane::{
        ask::Silent,
        asks::Watch,
        tap::{Taps, trace::Story},
    },
};
use parking_lot::Mutex;
use std::{path::Path, sync::Arc, time::Duration};
use tracing::warn;

/// All that is watched.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    last_id: u32,
    traces: Vec<Arc<RunningTrace>>,
    captures: Vec<RunningCapture>,
    /// Captures that workers were last told of.
    tapped: usize,
}

impl Watches {
    /// Ends what has seen enough packets, or has been forgotten by whoever wanted it.
    pub(crate) fn keep(&self, running: &Running) {
        let Some(mut watched) = self.0.try_lock() else { return };
        if watched.traces.is_empty() && watched.captures.is_empty() {
            return;
        }
        // Streams end by themselves once they have all their packets.
        let before = (watched.traces.len(), watched.tapped);
        watched.traces.retain(|trace| !trace.is_forgotten());
        watched.captures.retain(|capture| !capture.is_forgotten());
        watched.captures.iter_mut().for_each(RunningCapture::end_if_complete);
        let after = (watched.traces.len(), watched.captures.iter().filter(|it| it.is_tapping()).count());
        if before != after
            && let Err(silent) = watched.tap(running)
        {
            warn!("{silent}; it keeps watching packets until it responds");
        }
    }

    /// Ends everything: files get their ends.
    pub(crate) fn end(&self, running: &Running) {
        let mut watched = self.0.lock();
        watched.traces.clear();
        let captures = std::mem::take(&mut watched.captures);
        // Workers are about to end; one that does not answer has nothing more to write.
        let _ = watched.tap(running);
        captures.into_iter().for_each(|capture| drop(capture.end()));
    }

    /// Begins a trace of `count` packets that match a filter, and returns its number.
    pub(crate) fn add_trace(&self, running: &Running, filter: &str, count: u64) -> Result<u32, WatchError> {
        compile(filter)?;
        let mut watched = self.0.lock();
        if watched.traces.len() >= MOST {
            return Err(WatchError::TooMany("traces"));
        }
        let id = watched.next_id();
        watched.traces.push(Arc::new(RunningTrace::new(id, filter.to_owned(), count)));
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
        let (stories, is_over) = trace.read(most, wait);
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

    /// Begins to write packets that match a filter to a new file in the directory for captures, or into a stream if none is
    /// given: those that arrive on `port` or leave by it, or all.
    pub(crate) fn start_capture(
        &self,
        running: &Running,
        port: Option<&str>,
        filter: &str,
        file: Option<&Path>,
        count: Option<u64>,
        snaplen: Option<usize>,
    ) -> Result<u32, WatchError> {
        compile(filter)?;
        let port = port.map(|name| port_called(running, name)).transpose()?;
        let mut watched = self.0.lock();
        watched.make_room_for_capture()?;
        let id = watched.last_id + 1;
        let wanted = Wanted {
            port,
            filter: filter.to_owned(),
            count: count.unwrap_or(u64::MAX),
            snaplen: snaplen.unwrap_or(SNAPLEN).clamp(1, SNAPLEN),
        };
        let capture = match file {
            Some(file) => RunningCapture::start(id, running, wanted, file)?,
            None => RunningCapture::stream(id, running, wanted),
        };
        watched.last_id = id;
        watched.captures.push(capture);
        watched.tap(running)?;
        Ok(id)
    }

    /// A piece of a stream, of about `most` bytes; waits for one. The last one ends the capture.
    pub(crate) fn read_capture(
        &self,
        running: &Running,
        id: u32,
        most: usize,
        wait: Duration,
    ) -> Result<Piece, WatchError> {
        let find = |watched: &Watched| watched.captures.iter().position(|capture| capture.id == id);
        let stream = {
            let watched = self.0.lock();
            find(&watched).and_then(|at| watched.captures[at].streamed().cloned())
        };
        let piece = stream.ok_or(WatchError::Unknown { what: "stream", id })?.read(most, wait);
        if piece.is_last {
            let mut watched = self.0.lock();
            if let Some(at) = find(&watched) {
                watched.captures.remove(at);
                watched.tap(running)?;
            }
        }
        Ok(piece)
    }

    /// All captures, ended ones included.
    pub(crate) fn captures(&self) -> Vec<CaptureSummary> {
        self.0.lock().captures.iter().map(RunningCapture::summary).collect()
    }

    /// Ends a capture. Its file is complete when this returns; the rest of a stream can still be read.
    pub(crate) fn stop_capture(&self, running: &Running, id: u32) -> Result<CaptureSummary, WatchError> {
        let mut watched = self.0.lock();
        let at = watched.captures.iter().position(|capture| capture.id == id);
        let at = at.ok_or(WatchError::Unknown { what: "capture", id })?;
        if let Some(stream) = watched.captures[at].streamed() {
            stream.stop();
            watched.tap(running)?;
            return Ok(watched.captures[at].summary());
        }
        let capture = watched.captures.remove(at);
        let tapped = watched.tap(running);
        drop(watched);
        let summary = capture.end();
        tapped?;
        Ok(summary)
    }
}

impl Watched {
    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// A capture that has ended makes room for another.
    fn make_room_for_capture(&mut self) -> Result<(), WatchError> {
        if self.captures.len() >= MOST {
            let ended = self.captures.iter().position(|capture| !capture.is_tapping());
            self.captures.remove(ended.ok_or(WatchError::TooMany("captures"))?);
        }
        Ok(())
    }

    /// Lets all workers watch for what is wanted now.
    fn tap(&mut self, running: &Running) -> Result<(), Silent> {
        self.tapped = self.captures.iter().filter(|it| it.is_tapping()).count();
        let mut outcome = Ok(());
        for worker in &running.workers {
            let taps = Taps::new(
                self.traces.iter().filter(|trace| trace.is_tapping()).map(|trace| trace.tap()).collect(),
                self.captures.iter().filter_map(RunningCapture::tap).collect(),
            );
            if let Err(silent) = worker.line.ask(Watch(taps)) {
                outcome = Err(silent);
            }
        }
        outcome
    }
}
