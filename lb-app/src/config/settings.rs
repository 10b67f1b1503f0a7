//! What is laid out at start: devices, the control socket, what a worker does when there is nothing to do.

use std::{fmt, path::PathBuf};

/// What a port is to DPDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its name there, with its arguments.
    pub(crate) name: String,
    /// Whether it verifies checksums, as far as it can.
    pub(crate) checksum_offload: bool,
}

/// `[control]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    /// Where the control socket is.
    pub(crate) socket: Wanted,
    /// Group whose members may use it, beside root.
    pub(crate) group: Option<String>,
    /// The directory that captures are written into.
    pub(crate) captures: PathBuf,
}

impl Default for Control {
    fn default() -> Self {
        Control { socket: Wanted::Default, group: None, captures: "/var/lib/lb/captures".into() }
    }
}

/// Where the control socket is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// At the usual place.
    #[default]
    Default,
    /// Nowhere.
    None,
    /// There.
    Path(PathBuf),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Default => f.write_str("the usual place"),
            Wanted::None => f.write_str("none"),
            Wanted::Path(path) => path.display().fmt(f),
        }
    }
}

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Keep polling: lowest latency, the whole core.
    Poll,
    /// Give the core away for longer and longer while queues stay empty.
    Adaptive,
}

impl Idle {
    /// Every policy.
    pub(crate) const ALL: [Idle; 2] = [Idle::Poll, Idle::Adaptive];

    /// The word used in configurations.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Idle::Poll => "poll",
            Idle::Adaptive => "adaptive",
        }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
