//! The stories of packets as they pass.

use super::explain::{Outcome, Told};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Trace packets that match. The answer is the first page of stories; a trace that nobody reads for 30 seconds ends.
    Add {
        /// An expression of tcpdump's; empty for all packets.
        filter: String,
        /// How many packets; no limit if not given.
        #[serde(default)]
        count: Option<u64>,
    },
    /// The next stories. Waits a moment for one.
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

/// Some stories.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stories {
    /// The trace.
    pub id: u32,
    /// The stories, in the order in which workers told them.
    pub stories: Vec<Story>,
    /// Stories so far that nobody took in time.
    pub missed: u64,
    /// There are no more to come.
    pub over: bool,
}

/// The story of one packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Story {
    /// When: nanoseconds since 1970.
    pub at_ns: u64,
    /// What was to become of it, stage by stage.
    pub told: Told,
    /// What did become of it.
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
    /// Packets wanted; none if there is no limit.
    pub count: Option<u64>,
    /// Packets met.
    pub met: u64,
    /// Stories that nobody took in time.
    pub missed: u64,
}
