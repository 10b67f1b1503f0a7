//! Persistence: which servers clients stay with.

use super::keys::ServerEndpoint;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Clients in an answer, at most.
pub const MOST: usize = 5_000;

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Clients that are remembered.
    List(Filter),
    /// Forget clients: their connections go on, and their next ones are scheduled.
    Forget(Filter),
}

/// Which clients; what is not given is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Filter {
    /// Of that service: its name, or its address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Of that network, or the one that this address is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub client: Option<IpNet>,
}

/// Clients that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clients {
    /// Those that match, at most 5,000 of them.
    pub clients: Vec<Client>,
    /// How many match.
    pub total: u64,
    /// How many there can be.
    pub capacity: u64,
    /// How many of those that match stay with each server that any of them does.
    #[serde(default)]
    pub servers: Vec<ByServer>,
}

/// How many clients stay with a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ByServer {
    /// The name of its service.
    pub service: String,
    /// The server.
    #[serde(flatten)]
    pub server: ServerEndpoint,
    /// Clients of it.
    pub clients: u64,
}

/// One client of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// The name of the service.
    pub service: String,
    /// Its address or network.
    #[schemars(with = "String")]
    pub client: IpNet,
    /// The server that it stays with.
    #[serde(flatten)]
    pub server: ServerEndpoint,
    /// Connections that it has.
    pub connections: u64,
    /// How long it is remembered if no other connection opens; those that it has keep it longer.
    pub remaining_ms: u64,
}
