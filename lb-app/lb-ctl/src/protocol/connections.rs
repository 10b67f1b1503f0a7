//! Connections: counted, listed, looked at, ended.

use super::{Cursor, Protocol, keys::Target};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Connections on one page, at most.
pub const PAGE: u32 = 1_000;

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// The total number: known without asking workers.
    Count,
    /// A page of those that match.
    List {
        /// Which ones.
        #[serde(default)]
        filter: Filter,
        /// Where this page starts.
        #[serde(default)]
        cursor: Option<Cursor>,
        /// How many, at most [`PAGE`].
        #[serde(default)]
        limit: Option<u32>,
    },
    /// One of them.
    Show(Endpoints),
    /// End one of them.
    Delete(Endpoints),
    /// End a page of those that match. Packets that come afterwards find no connection.
    Flush {
        /// Which ones.
        #[serde(default)]
        filter: Filter,
        /// Where this page starts.
        #[serde(default)]
        cursor: Option<Cursor>,
    },
}

/// What names a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The client.
    #[schemars(with = "String")]
    pub client: SocketAddr,
    /// What it sends to: an address and port, or a service's name.
    pub vip: Target,
}

/// Which connections; one must match all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Transport protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The client's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub client: Option<IpNet>,
    /// The client's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_port: Option<u16>,
    /// The network of the address the client sends to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub vip: Option<IpNet>,
    /// The port the client sends to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_port: Option<u16>,
    /// The server's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub server: Option<IpNet>,
    /// The server's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_port: Option<u16>,
    /// The network of the local address that the server sees, under FullNAT.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub local: Option<IpNet>,
    /// The local port that the server sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_port: Option<u16>,
    /// The service: its name, or its address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The forwarding method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The state, as listings show it, in upper or lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// Milliseconds since the first packet, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Milliseconds since the last packet, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// Milliseconds until it expires, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
    /// Packets in both directions, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// Bytes in both directions, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// How many connections there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// On all workers.
    pub total: u64,
    /// Capacity of all connection tables.
    pub capacity: u64,
    /// Of the servers' connections, those that can carry data.
    pub active: u64,
    /// On each worker.
    pub by_worker: Vec<u64>,
    /// How full the tables of each family are.
    #[serde(default)]
    pub tables: Vec<Fill>,
}

/// How full the connection tables of one family are, over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fill {
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// Connections there are.
    pub connections: u64,
    /// Connections there can be.
    pub capacity: u64,
}

/// A page of connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connections {
    /// Those that match.
    pub connections: Vec<Connection>,
    /// Connections that were looked at for this page; the rest did not match.
    pub looked_at: u64,
    /// Connections in total.
    pub total: u64,
    /// Workers that did not respond in time: their connections were skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_workers: Vec<u32>,
    /// Where the next page starts, unless this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The client's address.
    pub client: IpAddr,
    /// The client's port.
    pub client_port: u16,
    /// The address the client sends to.
    pub vip: IpAddr,
    /// The port the client sends to.
    pub vip_port: u16,
    /// The server's address.
    pub server: IpAddr,
    /// The server's port.
    pub server_port: u16,
    /// The local address that the server sees in the place of the client's, under FullNAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// The local port that the server sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_port: Option<u16>,
    /// The service's name; none if it has been removed.
    pub service: Option<String>,
    /// Forwarding method.
    pub method: String,
    /// State.
    pub state: String,
    /// Milliseconds since the first packet.
    pub age_ms: u64,
    /// Milliseconds since the last packet.
    pub idle_ms: u64,
    /// Milliseconds until it expires if no packet comes.
    pub remaining_ms: u64,
    /// Packets from the client, modulo 2^32.
    pub packets_in: u64,
    /// Packets from the server, modulo 2^32.
    pub packets_out: u64,
    /// Bytes of IP packets from the client.
    pub bytes_in: u64,
    /// Bytes of IP packets from the server.
    pub bytes_out: u64,
    /// The worker that owns it.
    pub worker: u32,
}

/// What a page of a flush came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flushed {
    /// Connections ended.
    pub ended: u64,
    /// Workers that did not respond in time: their connections were skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_workers: Vec<u32>,
    /// Where the next page starts, unless this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}
