//! Looking at packets: explanations of those that might come, traces and captures of those that do.
//!
//! Workers know only what they watch for now ([`Taps`]); each change gives them all of it anew. What is bounded is bounded
//! here: how many traces and captures there are, how many stories wait to be read, how much memory a capture has.

pub(crate) mod capture;
pub(crate) mod explain;
mod pcapng;
mod place;
pub(crate) mod trace;

use crate::{
    control::live::running::Running,
    dataplane::{ask::Silent, asks::Watch, packet_filter::PacketFilter, tap::Taps},
};
use capture::RunningCapture;
use lb_core::packet::PortId;
use parking_lot::Mutex;
use std::{io, path::PathBuf, sync::Arc};
use thiserror::Error;
use trace::RunningTrace;
use tracing::warn;

/// Traces and captures at one time, each.
const MOST: usize = 16;

/// Why packets are not watched.
#[derive(Debug, Error)]
pub(crate) enum WatchError {
    #[error("{0}")]
    Filter(String),
    #[error("there are {MOST} {0} already: end one first")]
    TooMany(&'static str),
    #[error("no {what} has the number {id}")]
    Unknown { what: &'static str, id: u32 },
    #[error("no port is called {0}")]
    NoPort(String),
    #[error(
        "captures are written into {directory} only, and not to {file}: say a name alone, such as `a.pcapng`; `captures` in \
         [control] says which directory it is", directory = .directory.display(), file = .file.display()
    )]
    Elsewhere { file: PathBuf, directory: PathBuf },
    #[error("{file}: {error}", error = open_error(.error))]
    File { file: String, error: io::Error },
    #[error(transparent)]
    Silent(#[from] Silent),
}

fn open_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => "there is such a file, and captures overwrite none".to_owned(),
        _ => format!("cannot write there: {error}"),
    }
}

/// All that is watched.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    last_id: u32,
    traces: Vec<Arc<RunningTrace>>,
    captures: Vec<RunningCapture>,
}

impl Watches {
    /// Ends what has seen enough packets, or has been forgotten by whoever wanted it.
    pub(crate) fn keep(&self, running: &Running) {
        let Some(mut watched) = self.0.try_lock() else { return };
        if watched.traces.is_empty() && watched.captures.is_empty() {
            return;
        }
        let before = (watched.traces.len(), watched.captures.iter().filter(|it| it.is_tapping()).count());
        watched.traces.retain(|trace| !trace.is_forgotten());
        watched.captures.iter_mut().for_each(RunningCapture::end_if_complete);
        let after = (watched.traces.len(), watched.captures.iter().filter(|it| it.is_tapping()).count());
        if before != after
            && let Err(silent) = watched.tap(running)
        {
            warn!("{silent}: it goes on watching packets until it does");
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
}

impl Watched {
    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Lets all workers watch for what is wanted now.
    fn tap(&self, running: &Running) -> Result<(), Silent> {
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

/// The port of that name or number.
pub(crate) fn port_called(running: &Running, name: &str) -> Result<PortId, WatchError> {
    running.port_called(name).ok_or_else(|| WatchError::NoPort(name.to_owned()))
}

/// Compiles a filter, to have it refused here if it is wrong; workers get one of their own each.
fn compile(expression: &str) -> Result<PacketFilter, WatchError> {
    PacketFilter::compile(expression).map_err(WatchError::Filter)
}
