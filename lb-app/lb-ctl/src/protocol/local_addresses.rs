//! Local addresses: what servers see in the place of clients' under FullNAT, and what their own packets leave with under SNAT.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// All of them.
    List,
}

/// Local addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalAddresses {
    /// Those that are configured, and those that were removed and have connections.
    pub addresses: Vec<LocalAddress>,
}

/// One local address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// The names of the services and rules of SNAT that have it; none if it was removed and only serves its connections.
    pub services: Vec<String>,
    /// Endpoints of servers: each has all ports for itself.
    pub servers: u64,
    /// Ports in use: connections that have it.
    pub used: u64,
    /// Ports towards all servers; 0 if a rule of SNAT has it.
    pub capacity: u64,
    /// If a rule of SNAT has it: ports towards each address and port outside.
    pub each: u64,
}
