//! What of the process itself clients see and change: its end, how much it logs.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64},
};

/// What sets how much is logged.
pub(crate) type SetVerbosity = Box<dyn Fn(u8) -> Result<(), String> + Send + Sync>;

/// The process that the director runs in.
pub(super) struct Process {
    /// Ends the director.
    pub(super) stop: Arc<AtomicBool>,
    pub(super) set_verbosity: SetVerbosity,
    /// Clients of the socket that were dropped because they broke a limit.
    pub(super) clients_dropped: AtomicU64,
}

impl Process {
    pub(super) fn new(stop: Arc<AtomicBool>, set_verbosity: SetVerbosity) -> Self {
        Process { stop, set_verbosity, clients_dropped: AtomicU64::new(0) }
    }
}
