//! Services in a line each, those that need somebody first: what is looked at again and again, however many servers there
//! are.

use super::keys::{Reach, ServerEndpoint, ServiceKey};
use super::services::Rate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Services in one answer, at most.
pub const MOST: u32 = 1_000;
/// Failures that are listed of a service, at most.
pub const MOST_FAILURES: usize = 3;

/// Which services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Words that a service or its servers must have: names, addresses, protocols, methods, states.
    #[serde(default)]
    pub filter: String,
    /// At most so many; [`MOST`] if not given.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Services in a line each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Overview {
    /// How many services there are.
    pub total: u32,
    /// How many of them have the words.
    pub matching: u32,
    /// How many of those are in each state.
    pub states: Vec<StateCount>,
    /// The first of them, the worst first.
    pub services: Vec<ServiceOverview>,
}

/// How many services are in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateCount {
    /// The state.
    pub state: State,
    /// How many services.
    pub services: u32,
}

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// No server takes new connections.
    Out,
    /// It has lost its quorum: a sorry server stands in, or those that worked last are used.
    NoQuorum,
    /// Some of its servers are down.
    Degraded,
    /// Some of its servers are drained or disabled.
    Drained,
    /// All of its servers take new connections.
    Up,
}

impl State {
    /// All of them, the worst first.
    pub const ALL: [State; 5] = [State::Out, State::NoQuorum, State::Degraded, State::Drained, State::Up];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Out => "out",
            State::NoQuorum => "no-quorum",
            State::Degraded => "degraded",
            State::Drained => "drained",
            State::Up => "up",
        }
    }
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceOverview {
    /// Its name.
    pub name: String,
    /// What it is, in the operator's words; empty if they say nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it is known by.
    #[serde(flatten)]
    pub key: ServiceKey,
    /// All that clients send to, if that is more than the address and port it is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// Forwarding method.
    pub method: String,
    /// Scheduler.
    pub scheduler: String,
    /// How it is.
    pub state: State,
    /// Whether it has its quorum, if it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<bool>,
    /// How many servers it has, the sorry server not counted.
    pub servers: u32,
    /// Of these, those that take new connections.
    pub serving: u32,
    /// Those that are down.
    pub down: u32,
    /// Those that are up, but drained, disabled or of weight 0.
    pub drained: u32,
    /// Connections that can carry data.
    pub active: u64,
    /// Other connections.
    pub inactive: u64,
    /// What passes a second.
    pub rate: Rate,
    /// Why servers are down; the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<ServerFailure>,
}

/// Why a server is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerFailure {
    /// The server.
    #[serde(flatten)]
    pub server: ServerEndpoint,
    /// Why its check failed last.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_protocols_words_and_the_worst_comes_first() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        assert!(State::ALL.is_sorted());
    }
}
