//! What was forwarded and dropped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// What workers moved through ports.
    Stats,
    /// Count from 0 again.
    Clear,
    /// What was dropped, by reason.
    Drops {
        /// Including reasons that did not occur.
        #[serde(default)]
        all: bool,
    },
}

/// What workers moved through ports, since the start or the last clear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Whether ports are polled.
    pub forwarding: bool,
    /// By port.
    pub ports: Vec<Moved>,
}

/// Packets that went through one port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Received.
    pub rx_packets: u64,
    /// Lost because workers were too slow.
    pub rx_dropped: u64,
    /// Transmitted.
    pub tx_packets: u64,
    /// Not taken by the port.
    pub tx_dropped: u64,
}

/// What was dropped, since the start or the last clear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drops {
    /// Packets received, as a measure.
    pub received: u64,
    /// By reason.
    pub reasons: Vec<Drop>,
}

/// Packets dropped for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drop {
    /// The reason's name.
    pub reason: String,
    /// What happened to the packets.
    pub meaning: String,
    /// Packets, on all workers.
    pub packets: u64,
    /// Packets a second, over about the last second.
    pub packets_per_s: u64,
    /// Packets, by worker.
    pub by_worker: Vec<u64>,
}
