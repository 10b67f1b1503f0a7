//! Pausing and ending all workers together.

use std::sync::{
    Barrier,
    atomic::{AtomicBool, Ordering},
};

/// What all workers watch to end together.
#[derive(Debug)]
pub(crate) struct Shutdown {
    stop: AtomicBool,
    /// Ports are not polled.
    paused: AtomicBool,
    /// All workers have stopped receiving from ports.
    quiet: Barrier,
}

impl Shutdown {
    pub(crate) fn new(workers: usize) -> Self {
        Shutdown {
            stop: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            quiet: Barrier::new(workers),
        }
    }

    /// Tells all workers to end.
    pub(crate) fn request(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Makes all workers stop or resume polling ports. They continue everything else.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether no port is polled.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Whether workers are to end.
    #[inline]
    pub(super) fn is_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until all workers have stopped receiving from ports.
    pub(super) fn wait_for_quiet(&self) {
        self.quiet.wait();
    }
}
