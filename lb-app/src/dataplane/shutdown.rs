//! Pausing and ending all workers together, and holding them at the beginning.

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
    /// That is only until the commands have run which the director begins with.
    held: AtomicBool,
    /// All workers have stopped receiving from ports.
    quiet: Barrier,
}

impl Shutdown {
    pub(crate) fn new(workers: usize) -> Self {
        Shutdown {
            stop: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            held: AtomicBool::new(false),
            quiet: Barrier::new(workers),
        }
    }

    /// Tells all workers to end.
    pub(crate) fn request(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Before there are workers: they poll no port until [`let_go`](Self::let_go), unless somebody wants it otherwise first.
    pub(crate) fn hold(&self) {
        self.paused.store(true, Ordering::Relaxed);
        self.held.store(true, Ordering::Relaxed);
    }

    /// Ports are polled from now on, if nobody has said in the meantime whether they are to be.
    pub(crate) fn let_go(&self) {
        if self.held.swap(false, Ordering::Relaxed) {
            self.paused.store(false, Ordering::Relaxed);
        }
    }

    /// Makes all workers stop or resume polling ports. They continue everything else.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.held.store(false, Ordering::Relaxed);
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether no port is polled.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Whether workers are to end.
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until all workers have stopped receiving from ports.
    pub(super) fn wait_for_quiet(&self) {
        self.quiet.wait();
    }
}
