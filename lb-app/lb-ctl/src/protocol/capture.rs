//! Packets before and after, in a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Begin to write packets that match.
    Start {
        /// Number or name of a port: packets that arrive on it or leave by it. All ports if not given.
        #[serde(default)]
        port: Option<String>,
        /// An expression of tcpdump's; empty for all packets.
        filter: String,
        /// The file's name in the director's directory for captures; there must be none of this name. A path leads there, or
        /// is refused.
        file: PathBuf,
        /// How many packets; no limit if not given.
        #[serde(default)]
        count: Option<u64>,
        /// Bytes of each frame that are kept, at most; all if not given.
        #[serde(default)]
        snaplen: Option<u32>,
    },
    /// All captures, ended ones included.
    List,
    /// End a capture. Its file is complete when this is answered.
    Stop {
        /// The capture.
        id: u32,
    },
}

/// Captures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Captures {
    /// Each.
    pub captures: Vec<Capture>,
}

/// One capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capture {
    /// Its number.
    pub id: u32,
    /// The port's name; none for all ports.
    pub port: Option<String>,
    /// Its filter.
    pub filter: String,
    /// Its file.
    pub file: PathBuf,
    /// The number of packets after which it ends; none without a limit.
    pub count: Option<u64>,
    /// Frames in the file: a forwarded packet is there twice, as it arrived and as it left.
    pub written: u64,
    /// Frames that were missed because the file was too slow.
    pub missed: u64,
    /// Whether it is active.
    pub running: bool,
}
