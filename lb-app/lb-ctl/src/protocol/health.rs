//! Results of health checks.

use super::{
    Cursor,
    keys::{ServerEndpoint, ServiceKey},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Services that are checked, with their servers.
    List {
        /// One by its name or its address and port; all if none is given.
        #[serde(default)]
        service: Option<String>,
        /// Where this page starts.
        #[serde(default)]
        cursor: Option<Cursor>,
    },
}

/// A page of services that are checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Services. One with very many servers is continued on the next page under the same name.
    pub services: Vec<Service>,
    /// Hooks that were run.
    pub hooks_called: u64,
    /// Of these, those that failed.
    pub hooks_failed: u64,
    /// Where the next page starts, unless this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

/// What the states of a service's servers mean together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it is known by.
    #[serde(flatten)]
    pub key: ServiceKey,
    /// Its quorum.
    pub quorum: Quorum,
    /// The sorry server, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sorry_server: Option<SorryServer>,
    /// What happens when no server works: `reject`, `sorry` or `keep`.
    pub when_all_fail: String,
    /// No server works, and those that worked last are kept.
    pub keeps_last: bool,
    /// Passive checks are on: traffic is watched for servers that reset connections or do not answer.
    pub passive: bool,
    /// Failures within `flap_window_ms` after which a server is held; 0 is never.
    pub flap_limit: u32,
    /// For how long a failure counts.
    pub flap_window_ms: u64,
    /// Its servers.
    pub servers: Vec<Server>,
}

/// Whether enough servers work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quorum {
    /// Whether they do.
    pub reached: bool,
    /// Weight of the servers that take new connections, or would if no sorry server stood in.
    pub weight: u32,
    /// Weight at which it is reached.
    pub reached_at: u32,
    /// Weight below which it is lost.
    pub lost_below: u32,
    /// How often it was reached or lost.
    pub changes: u64,
}

/// The server that gets new connections while the quorum is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SorryServer {
    /// Its address and port.
    #[serde(flatten)]
    pub endpoint: ServerEndpoint,
    /// Whether it gets new connections.
    pub serves: bool,
}

/// What is known of one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Its address and port.
    #[serde(flatten)]
    pub endpoint: ServerEndpoint,
    /// How it is checked, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Who says how much it gets, if somebody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// What its check and its agent say of it, beside whether it works; none if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<Advice>,
    /// `up`, `down`, or `held`: down, and kept down because it failed too often.
    pub state: String,
    /// For how long it has been in this state.
    pub for_ms: u64,
    /// What its service makes of it: it `serves`, is `inhibited`, which is no new connections, or is `out`; or its operator
    /// has it `drained` or `disabled`.
    pub role: String,
    /// Results in a row that contradict its state.
    pub against: u32,
    /// How many of them change it.
    pub needed: u32,
    /// Time until the next check; none while one is under way, or if there is no check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_ms: Option<u64>,
    /// How long the last check took.
    pub took_us: u64,
    /// Checks made.
    pub checks: u64,
    /// Checks that failed.
    pub failures: u64,
    /// How often its state changed.
    pub changes: u64,
    /// Why it last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// How often it went down within `flap_window_ms`.
    pub recent_downs: u32,
    /// How long it must still pass its checks, if it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_for_ms: Option<u64>,
    /// When it is tried again, if traffic brought it down and its check does not bring it back earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried_in_ms: Option<u64>,
}

/// How a server is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// `tcp`, `http`, `https`, `smtp`, `icmp`, `udp`, `dns`, `command` or `file`.
    pub kind: String,
    /// What its packets are addressed to: `server` or `vip`.
    pub to: String,
    /// What they leave by: `kernel` or `ports`, the director's own; or `auto`, which is the kernel where it is on the
    /// server's network.
    pub via: String,
    /// Time between two checks.
    pub interval_ms: u64,
    /// How long one may take.
    pub timeout_ms: u64,
    /// Successes in a row that bring the server up.
    pub rise: u32,
    /// Failures in a row that bring it down.
    pub fall: u32,
}

/// An agent, and what it has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    /// `tcp`, `file` or `command`.
    pub kind: String,
    /// What it is asked by: see `check`.
    pub via: String,
    /// Time between two questions.
    pub interval_ms: u64,
    /// Time until the next one; none while it is being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<u64>,
    /// Its last answer that meant something, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
    /// Why it did not answer the last time, if it did not. What it said before stays in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Said {
    /// In his words.
    pub words: String,
    /// How long ago.
    pub ago_ms: u64,
}

/// What check and agent say of a server. Of what its operator says and this, the stricter is in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Advice {
    /// The weight in place of its operator's, unless that is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// `enabled`, `drain` or `disabled`.
    pub state: String,
    /// Connections that it may have; 0 is any number.
    pub most_connections: u32,
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The reason.
    pub reason: String,
    /// How long ago.
    pub ago_ms: u64,
}
