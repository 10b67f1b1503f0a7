//! Next hops and their Ethernet addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// All that workers know.
    List,
}

/// What workers know of neighbours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbours {
    /// Neighbours. Workers that know the same are listed together.
    pub neighbours: Vec<Neighbour>,
    /// Workers that did not respond in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_workers: Vec<u32>,
}

/// One neighbour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// The name of the interface it is behind, which is that of the port where frames are untagged.
    pub port: String,
    /// `known`, `asking` or `failed`.
    pub state: String,
    /// Its Ethernet address, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Workers that know this.
    pub workers: Vec<u32>,
    /// Connections that send to it, and one for each time the configuration names it.
    pub users: u64,
}
