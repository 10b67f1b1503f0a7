//! Timeouts of connections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Every service's timeouts.
    List {
        /// Only that of this name.
        #[serde(default)]
        service: Option<String>,
    },
    /// Change one.
    Set {
        /// Of that service; none means of all.
        #[serde(default)]
        service: Option<String>,
        /// The state, as listings show it, in upper or lower case.
        state: String,
        /// How long after the last packet; if nothing is said, what it is by default: of a service that of all, of all
        /// lb-app's.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
}

/// Timeouts of services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timeouts {
    /// By service.
    pub services: Vec<ServiceTimeouts>,
}

/// Timeouts of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceTimeouts {
    /// Its name.
    pub service: String,
    /// By state.
    pub timeouts: Vec<Timeout>,
}

/// How long a connection may be idle in one state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timeout {
    /// The state.
    pub state: String,
    /// After the last packet.
    pub timeout_ms: u64,
}
