//! Captures that a client reads as they go: pcapng, a piece for each request.
//!
//! Nobody waits for the client. Frames that it does not take in time find no buffer and are missed, as those of a slow
//! disk are; one that does not ask for long is forgotten.

use super::pcapng::Blocks;
use crate::dataplane::tap::capture::{CaptureShared, Frame};
use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

/// A stream that nobody reads is ended after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// A capture that is read by a client.
#[derive(Debug)]
pub(crate) struct Stream {
    shared: Arc<CaptureShared>,
    stopped: AtomicBool,
    /// Frames that were given on.
    pub(super) written: AtomicU64,
    reading: Mutex<Reading>,
    /// When it was last asked for.
    asked: Mutex<Instant>,
}

#[derive(Debug)]
struct Reading {
    blocks: Blocks,
    frames: Receiver<Frame>,
    empty: Sender<Vec<u8>>,
}

/// A piece of a stream.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Whole blocks.
    pub(crate) bytes: Vec<u8>,
    /// Frames that were missed so far.
    pub(crate) missed: u64,
    /// There will be no more.
    pub(crate) is_last: bool,
}

impl Stream {
    pub(super) fn new(
        shared: Arc<CaptureShared>,
        frames: Receiver<Frame>,
        empty: Sender<Vec<u8>>,
        blocks: Blocks,
    ) -> Self {
        Stream {
            shared,
            stopped: false.into(),
            written: 0.into(),
            reading: Mutex::new(Reading { blocks, frames, empty }),
            asked: Mutex::new(Instant::now()),
        }
    }

    /// Ends it; what was captured can still be read.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    pub(super) fn is_tapping(&self) -> bool {
        !self.stopped.load(Relaxed) && self.shared.left.load(Relaxed) > 0
    }

    /// Whether nobody wants it any more.
    pub(super) fn is_forgotten(&self) -> bool {
        self.asked.lock().elapsed() > FORGOTTEN_AFTER
    }

    /// What there is, about `most` bytes; waits for the first frame.
    pub(super) fn read(&self, most: usize, wait: Duration) -> Piece {
        *self.asked.lock() = Instant::now();
        let is_tapping = self.is_tapping();
        let reading = &mut *self.reading.lock();
        let mut next = match reading.blocks.len() {
            0 => reading.frames.recv_timeout(wait).ok(),
            // The header goes at once: whoever reads wants to know that it works.
            _ => reading.frames.try_recv().ok(),
        };
        let is_last = next.is_none() && reading.blocks.len() == 0 && !is_tapping;
        while let Some(frame) = next {
            reading.blocks.frame(&frame);
            self.written.fetch_add(1, Relaxed);
            let _ = reading.empty.try_send(frame.bytes);
            next = if reading.blocks.len() < most { reading.frames.try_recv().ok() } else { None };
        }
        if is_last {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            reading.blocks.end(now, &self.shared.counted());
        }
        let missed = self.shared.counted().iter().map(|(_, missed)| missed).sum();
        Piece { bytes: reading.blocks.take(), missed, is_last }
    }
}
