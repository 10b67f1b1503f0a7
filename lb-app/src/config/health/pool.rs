//! What the states of a service's servers mean together.

use lb_core::time::Duration;
use std::net::SocketAddr;

/// How a service's servers are judged together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    /// Total weight of working servers that the service needs.
    pub(crate) quorum: u32,
    /// By how much the total must exceed or fall below the quorum for that to count.
    pub(crate) hysteresis: u32,
    /// Called when the quorum is reached.
    pub(crate) quorum_up: Option<Vec<String>>,
    /// Called when the quorum is lost.
    pub(crate) quorum_down: Option<Vec<String>>,
    /// What happens when no server works.
    pub(crate) when_all_fail: WhenAllFail,
    /// The server that steps in.
    pub(crate) sorry_server: Option<Sorry>,
    /// When it steps back it keeps its connections.
    pub(crate) sorry_server_inhibit: bool,
    /// Failures within `flap_window` that make a server count as flapping; 0 is never.
    pub(crate) flap_limit: u32,
    pub(crate) flap_window: Duration,
    /// How long a flapping server has to pass its checks before it comes back.
    pub(crate) flap_hold: Duration,
    /// What traffic itself may tell.
    pub(crate) passive: Option<Passive>,
}

impl Default for Pool {
    fn default() -> Self {
        Pool {
            quorum: 1,
            hysteresis: 0,
            quorum_up: None,
            quorum_down: None,
            when_all_fail: WhenAllFail::Reject,
            sorry_server: None,
            sorry_server_inhibit: false,
            flap_limit: 3,
            flap_window: Duration::from_secs(300),
            flap_hold: Duration::from_secs(60),
            passive: None,
        }
    }
}

/// The server that steps in when the quorum is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sorry {
    /// Its address and port.
    pub(crate) address: SocketAddr,
}

/// What happens when no server of a service works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenAllFail {
    /// New connections are refused.
    Reject,
    /// The sorry server takes them.
    Sorry,
    /// Those that worked last get them all the same.
    Keep,
}

impl WhenAllFail {
    pub(crate) const ALL: [WhenAllFail; 3] = [WhenAllFail::Reject, WhenAllFail::Sorry, WhenAllFail::Keep];

    /// The word used in configurations.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            WhenAllFail::Reject => "reject",
            WhenAllFail::Sorry => "sorry",
            WhenAllFail::Keep => "keep",
        }
    }
}

/// When traffic itself shows that a server has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passive {
    /// Connections in a row, as it were, that it refused or did not answer.
    pub(crate) failures: u32,
    /// Within this time.
    pub(crate) within: Duration,
    /// How long it then counts as failed if no check brings it back.
    pub(crate) hold: Duration,
}
