//! Workers: what they did and how busy they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// All of them.
    List,
}

/// Workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workers {
    /// Cycles a second.
    pub cycles_per_s: u64,
    /// By number.
    pub workers: Vec<Worker>,
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Worker {
    /// Its number.
    pub id: u32,
    /// Its lcore.
    pub lcore: u32,
    /// Cycles spent in rounds that found something to do.
    pub busy_cycles: u64,
    /// Cycles spent in rounds that did not, rest included.
    pub idle_cycles: u64,
    /// How busy it was over about the last second, in percent.
    pub busy_percent: f64,
    /// Packets received from ports.
    pub received: u64,
    /// The same per second, over about the last second.
    pub received_per_s: u64,
    /// Packets that other workers handed to it.
    pub taken_over: u64,
    /// Packets it made itself.
    pub originated: u64,
    /// Packets that ports took.
    pub sent: u64,
    /// Packets dropped, for whatever reason.
    pub dropped: u64,
    /// Packets for the director itself.
    pub host: u64,
    /// Packets given to other workers.
    pub handed_over: u64,
    /// The same by reason.
    pub hand_overs: Vec<HandOver>,
    /// Packets that wait now: for a next hop's address, or for the first fragment of their datagram.
    pub waiting: u64,
    /// Connections now.
    pub connections: u64,
    /// Connections created.
    pub created: u64,
    /// Connections ended.
    pub ended: u64,
    /// Of those, unconfirmed ones that made room.
    pub evicted: u64,
    /// TCP resets sent.
    pub resets: u64,
    /// ICMP errors sent.
    pub icmp_errors: u64,
    /// Packets fragmented because the way out carries less.
    pub fragmented: u64,
    /// Fragments that they were sent in.
    pub made_fragments: u64,
    /// Polls of a port by how many packets they brought.
    pub bursts: Vec<Bursts>,
}

/// Packets handed over for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandOver {
    /// The reason's name.
    pub reason: String,
    /// Packets.
    pub packets: u64,
}

/// Polls that brought about as many packets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bursts {
    /// Packets, at least.
    pub from: u32,
    /// Packets, at most.
    pub to: u32,
    /// How many polls.
    pub polls: u64,
}
