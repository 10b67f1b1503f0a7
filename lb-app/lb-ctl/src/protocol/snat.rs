//! Rules of SNAT: what servers send by themselves, and with which addresses it leaves.

use super::forward::Drop;
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

/// Rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// In their order: of several for one server the first counts.
    pub rules: Vec<Rule>,
    /// Packets that servers send by themselves and that were dropped, by reason, since the start or the last clear. Ports may
    /// be exhausted under FullNAT as well.
    pub drops: Vec<Drop>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Networks of servers.
    pub sources: Vec<String>,
    /// The interface that packets leave by, if it is for one only.
    pub interface: Option<String>,
    /// Ports, and ranges of them, that packets leave with.
    pub ports: Vec<String>,
    /// What reads connections, with the ports outside that it is for.
    pub modules: Vec<Module>,
    /// Addresses that packets leave with.
    pub addresses: Vec<Address>,
    /// Connections that are active.
    pub active: u64,
    /// Connections that are not: they are opening or closing.
    pub inactive: u64,
    /// Connections opened since the start.
    pub connections: u64,
    /// Packets that servers sent by it.
    pub packets_sent: u64,
    /// Packets that came back.
    pub packets_received: u64,
    /// Bytes of IP packets that servers sent by it.
    pub bytes_sent: u64,
    /// Bytes of IP packets that came back.
    pub bytes_received: u64,
}

/// A module of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Module {
    /// Its name.
    pub module: String,
    /// Ports, and ranges of them, of those who are asked.
    pub ports: Vec<String>,
}

/// An address that packets leave with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// Ports in use: connections that have it.
    pub used: u64,
    /// Ports towards each address and port outside.
    pub each: u64,
}
