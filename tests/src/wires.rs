//! Frames on their way between devices, as threads of a story carry them: what a switch does that the kernel here has not.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use pcap::{Active, BreakLoop, Capture, Direction};

use crate::netns::Namespace;

/// Where the addresses of a frame end, and its type or tags begin.
pub(crate) const TYPE_AT: usize = 12;

/// Bytes that a frame has at most, and that frames that wait have together. A place for one takes as much as the longest.
const LONGEST: i32 = 9216;
const WAITING: i32 = 1000 * LONGEST;

/// Threads that carry frames. They end when it is dropped.
#[derive(Default)]
pub(crate) struct Wires {
    over: Arc<AtomicBool>,
    /// With what ends their waiting, if they wait for frames: on a device that is down it has no end.
    threads: Vec<(Option<BreakLoop>, JoinHandle<()>)>,
}

impl fmt::Debug for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wires").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Wires {
    /// Gives each frame that arrives at a device to `each`.
    pub(crate) fn carry(&mut self, mut from: Capture<Active>, mut each: impl FnMut(&[u8]) + Send + 'static) {
        let over = self.over.clone();
        let waiting = from.breakloop_handle();
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                // Without a frame for a while there is an error of no interest.
                if let Ok(packet) = from.next_packet()
                    && packet.len() > TYPE_AT + 2
                {
                    each(packet.data);
                }
            }
        });
        self.threads.push((Some(waiting), thread));
    }

    /// Does something again and again, at once for the first time.
    pub(crate) fn repeat(&mut self, every: Duration, mut what: impl FnMut() + Send + 'static) {
        let over = self.over.clone();
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                what();
                thread::park_timeout(every);
            }
        });
        self.threads.push((None, thread));
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for (waiting, thread) in self.threads.drain(..) {
            if let Some(waiting) = waiting {
                waiting.breakloop();
            }
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// A device of a namespace, to receive what arrives there and to send.
pub(crate) fn open(namespace: &Namespace, device: &str) -> Result<Capture<Active>> {
    let open = || {
        let capture = Capture::from_device(device).map(|it| {
            it.promisc(true).immediate_mode(true).timeout(20).snaplen(LONGEST).buffer_size(WAITING)
        });
        let capture = capture.and_then(Capture::open).and_then(|capture| {
            capture.direction(Direction::In)?;
            Ok(capture)
        });
        capture.map_err(std::io::Error::other)
    };
    namespace.within(open).with_context(|| format!("capture on {device}"))
}
