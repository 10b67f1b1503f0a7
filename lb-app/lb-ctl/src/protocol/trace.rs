//! Explanations of packets as they pass.

use super::explain::{Outcome, Told};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Trace packets that match. The answer is the first page; a trace that nobody reads for 30 seconds ends.
    Add {
        /// An expression of tcpdump's; empty for all packets.
        filter: String,
        /// How many packets; no limit if not given.
        #[serde(default)]
        count: Option<u64>,
    },
    /// The next explanations. Waits a moment for one.
    Read {
        /// The trace.
        id: u32,
    },
    /// All traces.
    List,
    /// End a trace.
    Remove {
        /// The trace.
        id: u32,
    },
}

/// Some explanations of packets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stories {
    /// The trace.
    pub id: u32,
    /// The explanations, in the order in which workers made them.
    pub stories: Vec<Story>,
    /// Explanations so far that nobody read in time.
    pub missed: u64,
    /// The trace is over.
    pub over: bool,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Story {
    /// When: nanoseconds since 1970.
    pub at_ns: u64,
    /// What was expected to happen to it, stage by stage.
    pub told: Told,
    /// What did happen to it.
    pub happened: Outcome,
    /// Whether that is the same, byte by byte.
    pub as_told: bool,
}

/// All traces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Traces {
    /// Each.
    pub traces: Vec<Trace>,
}

/// One trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// Its number.
    pub id: u32,
    /// Its filter.
    pub filter: String,
    /// The number of packets after which it ends; none without a limit.
    pub count: Option<u64>,
    /// Packets met.
    pub met: u64,
    /// Stories that nobody took in time.
    pub missed: u64,
}
