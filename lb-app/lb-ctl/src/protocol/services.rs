//! Virtual services and their real servers.

use super::{
    Cursor, Protocol,
    keys::{Reach, ServerEndpoint, ServiceKey},
    options::Options,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Services with their servers.
    List {
        /// Only this one: its name, or its address and port, as everywhere below.
        #[serde(default)]
        name: Option<String>,
        /// Where this page starts.
        #[serde(default)]
        cursor: Option<Cursor>,
    },
    /// A new service, without servers.
    Add(NewService),
    /// Change a service.
    Change(ServiceChange),
    /// Remove a service. Its connections end as those of a removed server do.
    Remove {
        /// Its name.
        name: String,
    },
    /// A new server, with any of the options of servers that `options.json` lists.
    AddServer {
        /// The service's name.
        service: String,
        /// Address.
        address: IpAddr,
        /// Port; the service's if not given.
        #[serde(default)]
        port: Option<u16>,
        /// Its options.
        #[serde(flatten)]
        options: Options,
    },
    /// Change a server.
    ChangeServer(ServerChange),
    /// Remove a server. Its TCP connections are reset with their next packet, its UDP flows scheduled anew.
    RemoveServer {
        /// The service's name.
        service: String,
        /// Address.
        address: IpAddr,
        /// Port; needed only if the service has several servers at the address.
        #[serde(default)]
        port: Option<u16>,
    },
    /// Count the traffic of servers from 0 again. Metrics and rates go on as they are.
    Clear {
        /// Those of this service; of all if not given.
        #[serde(default)]
        service: Option<String>,
    },
}

/// A service to be made. Beside these fields it has any of the options of services that `options.json` lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewService {
    /// Its name.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The address that clients send to.
    pub vip: IpAddr,
    /// The port that clients send to.
    pub port: u16,
    /// Forwarding method.
    pub method: String,
    /// Its options.
    #[serde(flatten)]
    pub options: Options,
}

/// What changes of a service; what is not given stays. The options are those of services that `options.json` lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceChange {
    /// Its name.
    pub name: String,
    /// Its options.
    #[serde(flatten)]
    pub options: Options,
}

/// What changes of a server; what is not given stays. The options are those of servers that `options.json` lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerChange {
    /// The service's name.
    pub service: String,
    /// Address.
    pub address: IpAddr,
    /// Port; needed only if the service has several servers at the address.
    #[serde(default)]
    pub port: Option<u16>,
    /// `enabled`, `drain`: no new connections, or `disabled`: its connections end as well.
    #[serde(default)]
    pub state: Option<String>,
    /// With `drain`: disable the server after this time.
    #[serde(default)]
    pub within_ms: Option<u64>,
    /// Its options.
    #[serde(flatten)]
    pub options: Options,
}

/// A page of services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Services {
    /// Version of `lb-app`.
    pub director: String,
    /// Capacity of all connection tables.
    pub capacity: u64,
    /// Services. One with very many servers is continued on the next page under the same name.
    pub services: Vec<Service>,
    /// Where the next page starts, unless this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it is, in the operator's words; empty if they say nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it is known by.
    #[serde(flatten)]
    pub key: ServiceKey,
    /// All that clients send to, if that is more than the address and port it is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// Forwarding method.
    pub method: String,
    /// Scheduler.
    pub scheduler: String,
    /// Flags with IPVS's names: `sh-port`, `mh-port`.
    pub flags: Vec<String>,
    /// Whether TCP connections are adopted whose handshake was not seen.
    pub adopt: bool,
    /// All options that can be set.
    #[serde(default)]
    pub options: Options,
    /// Sum over all of its servers, whether on this page or not.
    pub traffic: Traffic,
    /// The same per second.
    pub rate: Rate,
    /// Its servers.
    pub servers: Vec<Server>,
}

/// One real server of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Its address and port.
    #[serde(flatten)]
    pub endpoint: ServerEndpoint,
    /// Its share of new connections now: 0 while it gets none.
    pub weight: u32,
    /// Its share of new connections as configured.
    pub configured_weight: u32,
    /// What the operator wants: `enabled`, `drain` or `disabled`.
    pub state: String,
    /// What checks found: `up`, `warming`, `down` or `inhibited`.
    pub health: String,
    /// Time until a drained server is disabled, if that is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drains_within_ms: Option<u64>,
    /// What it is, in the operator's words; empty if they say nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What its packets are wrapped in, if its service's method is `tun`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// How many connections it may have, if that is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// What connection IDs of QUIC call it: its IDs in hexadecimal digits, or its number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quic: Vec<String>,
    /// Connections that can carry data.
    pub active: u64,
    /// Other connections.
    pub inactive: u64,
    /// Traffic.
    pub traffic: Traffic,
    /// The same per second.
    pub rate: Rate,
}

/// How packets to a server are wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tunnel {
    /// What stands between the headers: `ipip`, `gre`, `gue` or `gue1`.
    pub kind: String,
    /// The server's UDP port, under GUE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether a checksum covers the packet.
    pub checksum: bool,
}

/// How many connections a server may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Thresholds {
    /// Connections, active and inactive, from which on it gets no new ones.
    pub upper: u32,
    /// It gets them again with fewer than that. 0: three quarters of `upper`.
    pub lower: u32,
    /// It gets none now.
    pub full: bool,
}

/// What passed between clients and a server, or all of a service's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets to servers.
    pub packets_in: u64,
    /// Packets from servers; only under methods whose replies pass the director.
    pub packets_out: u64,
    /// Bytes of IP packets to servers.
    pub bytes_in: u64,
    /// Bytes of IP packets from servers.
    pub bytes_out: u64,
}

/// The same per second, over about the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    /// Connections.
    pub connections_per_s: u64,
    /// Packets to servers.
    pub packets_in_per_s: u64,
    /// Packets from servers.
    pub packets_out_per_s: u64,
    /// Bytes to servers.
    pub bytes_in_per_s: u64,
    /// Bytes from servers.
    pub bytes_out_per_s: u64,
}
