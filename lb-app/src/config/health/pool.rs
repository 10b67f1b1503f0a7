//! What the states of a service's servers mean together.

use lb_core::{
    limits::MAX_WEIGHT,
    option,
    service::option::{Kind, Opt, Value, fields, from_table, to_table},
    time::Duration,
    words,
};
use std::net::SocketAddr;

/// Weight that a service's servers can have together, at most.
const MAX_QUORUM: u64 = MAX_WEIGHT as u64 * 1_024;

/// How a service's servers are judged together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    /// Total weight of servers that take new connections that the service needs.
    pub(crate) quorum: u32,
    /// By how much the total must exceed or fall below the quorum for that to count.
    pub(crate) hysteresis: u32,
    /// Called when the quorum is reached.
    pub(crate) quorum_up: Option<Vec<String>>,
    /// Called when the quorum is lost.
    pub(crate) quorum_down: Option<Vec<String>>,
    /// What happens when no server works.
    pub(crate) when_all_fail: WhenAllFail,
    /// The sorry server.
    pub(crate) sorry_server: Option<Sorry>,
    /// It keeps its connections when the quorum is reached again.
    pub(crate) sorry_server_inhibit: bool,
    /// Failures within `flap_window` that make a server count as flapping; 0 is never.
    pub(crate) flap_limit: u32,
    pub(crate) flap_window: Duration,
    /// How long a flapping server has to pass its checks before it comes back.
    pub(crate) flap_hold: Duration,
    /// Passive checks.
    pub(crate) passive: Option<Passive>,
}

impl Pool {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            quorum,
            Kind::number(1, MAX_QUORUM),
            "Total weight of servers that take new connections that the service needs."
        ),
        option!(
            hysteresis,
            Kind::number(0, MAX_QUORUM),
            "Less than `quorum`, which is reached at `quorum + hysteresis` and lost below `quorum - hysteresis`."
        ),
        option!(quorum_up, Kind::Program, "Run when the quorum is reached, or the service starts with it.")
            .example("[\"/usr/local/sbin/quorum-up\"]"),
        option!(quorum_down, Kind::Program, "Run when the quorum is lost, or the service starts without it.")
            .example("[\"/usr/local/sbin/quorum-down\"]"),
        option!(
            when_all_fail,
            Kind::Word(WhenAllFail::NAMES),
            "What happens to new connections when no server works: they are refused, go to the sorry server, or go \
             to the servers that worked last."
        )
        .default("`\"sorry\"` with a sorry server, else `\"reject\"`"),
        Opt::<Self>::new(
            "sorry_server",
            Kind::Endpoint,
            "The server that gets new connections while the quorum is lost.",
            |pool| pool.sorry_server.map(|sorry| Value::Endpoint(sorry.address)),
            |pool, value| {
                let Value::Endpoint(address) = *value else { return false };
                pool.sorry_server = Some(Sorry { address });
                true
            },
        ),
        option!(
            sorry_server_inhibit,
            Kind::Flag,
            "It keeps its connections when the quorum is reached again."
        ),
        option!(
            flap_limit,
            Kind::number(0, 100),
            "Failures within `flap_window` after which a server is held; 0 is never."
        ),
        option!(flap_window, Kind::Timeout, "How long a failure counts."),
        option!(
            flap_hold,
            Kind::Timeout,
            "How long a held server must pass all its checks before it is up."
        ),
        Opt::<Self>::new(
            "passive",
            Kind::Table(|| fields(Passive::OPTIONS)),
            "Under NAT: bring a server down when it reset or did not answer that many connections, as in `passive \
             = { failures = 5 }`.",
            |pool| pool.passive.as_ref().map(|passive| to_table(Passive::OPTIONS, passive)),
            |pool, value| from_table(Passive::OPTIONS, pool.passive.insert(Passive::default()), value),
        )
        .default("off"),
    ];
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

/// The server that gets new connections while the quorum is lost.
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
    /// Their words, in the same order.
    pub(crate) const NAMES: &[&str] = &["reject", "sorry", "keep"];

    /// The word used in configurations.
    pub(crate) const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
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

impl Passive {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(failures, Kind::number(1, 1_000_000), "Connections that it reset or did not answer."),
        option!(within, Kind::Timeout, "The time in which they count."),
        option!(
            hold,
            Kind::Timeout,
            "It is tried again after this time unless its check fails, or earlier if its check succeeds."
        ),
    ];
}

impl Default for Passive {
    fn default() -> Self {
        Passive { failures: 5, within: Duration::from_secs(10), hold: Duration::from_secs(30) }
    }
}

words!(WhenAllFail);
