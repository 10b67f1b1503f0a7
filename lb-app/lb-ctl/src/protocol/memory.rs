//! Memory and tables.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Memory in use.
    Show,
    /// How full the tables are.
    Tables,
}

/// Memory in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Bytes of the process in memory, as the kernel counts.
    pub resident_bytes: u64,
    /// Bytes of all connection tables.
    pub tables_bytes: u64,
    /// Bytes of the table of persistent clients.
    #[serde(default)]
    pub persistence_bytes: u64,
    /// Bytes of all tables of fragmented datagrams.
    #[serde(default)]
    pub fragments_bytes: u64,
    /// Bytes that one connection costs, everything included.
    pub connection_bytes: u64,
    /// Bytes of the schedulers: lookup tables, rounds and the like.
    #[serde(default)]
    pub schedulers_bytes: u64,
    /// Lookup tables of services with `sh`, `dh` or `mh`: one for all with the same servers.
    #[serde(default)]
    pub lookup_tables: u64,
    /// Bytes of what directors tell one another, at most.
    #[serde(default)]
    pub sync_bytes: u64,
    /// Whether DPDK's memory is on huge pages.
    pub huge_pages: bool,
    /// Packet pools.
    pub pools: Vec<Pool>,
}

/// One packet pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Buffers.
    pub size: u64,
    /// Buffers in queues, rings and hands.
    pub in_use: u64,
    /// Bytes of the largest frame a buffer holds.
    pub buffer_bytes: u64,
    /// Buffers that one lcore keeps at hand, at most.
    pub cache: u64,
}

/// How full the tables are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tables {
    /// Each with what it holds and what it can hold.
    pub tables: Vec<Table>,
}

/// How full one table is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The worker whose it is; none for common ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// Entries in use.
    pub used: u64,
    /// Entries there can be.
    pub size: u64,
    /// How often something found no place.
    pub refused: u64,
}
