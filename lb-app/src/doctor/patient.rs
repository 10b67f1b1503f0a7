//! What the doctor is asked about.

use crate::config::Config;

/// What is going to run, as far as the command line tells.
pub(super) struct Patient<'a> {
    /// EAL's arguments.
    pub(super) eal: &'a [String],
    /// The CPUs of its lcores, the main one first.
    pub(super) cpus: Vec<usize>,
    pub(super) config: Option<Config>,
}

impl Patient<'_> {
    pub(super) fn wants_hugepages(&self) -> bool {
        !self.eal.iter().any(|argument| argument == "--no-huge")
    }

    pub(super) fn workers(&self) -> usize {
        self.cpus.len().saturating_sub(1).max(1)
    }
}
