//! Packets before and after, in a file or a stream.

use super::bytes::Bytes;
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
    /// The same, for this client to read: as pcapng, piece by piece. It ends when nobody reads it for 30 seconds.
    Stream {
        /// Number or name of a port: packets that arrive on it or leave by it. All ports if not given.
        #[serde(default)]
        port: Option<String>,
        /// An expression of tcpdump's; empty for all packets.
        filter: String,
        /// How many packets; no limit if not given.
        #[serde(default)]
        count: Option<u64>,
        /// Bytes of each frame that are kept, at most; all if not given.
        #[serde(default)]
        snaplen: Option<u32>,
    },
    /// The next piece of a stream; an empty one if there is none for a while.
    Read {
        /// The capture.
        id: u32,
    },
    /// All captures, ended ones included.
    List,
    /// End a capture. Its file is complete when this is answered; a stream still has its last piece to be read.
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
    /// Its file; [`STREAM`] for a stream.
    pub file: PathBuf,
    /// The number of packets after which it ends; none without a limit.
    pub count: Option<u64>,
    /// Frames in the file or stream: a forwarded packet is there twice, as it arrived and as it left.
    pub written: u64,
    /// Frames that were missed because the file, or whoever reads the stream, was too slow.
    pub missed: u64,
    /// Whether it is active.
    pub running: bool,
}

/// What a stream's file is called.
pub const STREAM: &str = "-";

/// A piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Captured {
    /// The capture.
    pub id: u32,
    /// Whole blocks of a pcapng file: all pieces together are one.
    pub pcapng: Bytes,
    /// Frames that were missed so far.
    pub missed: u64,
    /// This was the last piece.
    pub over: bool,
}
