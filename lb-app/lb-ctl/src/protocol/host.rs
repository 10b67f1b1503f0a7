//! Host sides of ports, and the addresses that the director answers for.

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

/// Host sides and addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// What the director is to its VIPs.
    pub role: String,
    /// Host sides of ports.
    pub sides: Vec<Side>,
    /// VIPs and local addresses.
    pub addresses: Vec<Address>,
}

/// The host side of a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// The port.
    pub port: String,
    /// The kernel's interface.
    pub interface: String,
    /// Its Ethernet address.
    pub mac: String,
    /// Ethernet addresses of virtual routers that the port takes in as well.
    pub virtual_macs: Vec<String>,
    /// The link of the port is up, and so is the interface's.
    pub link_up: bool,
    /// Packets given to the kernel.
    pub to_kernel: u64,
    /// Packets taken from it.
    pub from_kernel: u64,
    /// Packets that the kernel did not take, because the interface is down.
    pub refused: u64,
    /// Packets of the kernel that found workers too busy.
    pub lost: u64,
}

/// A VIP or a local address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// The director answers for it.
    pub active: bool,
    /// The kernel's interface that has it, or that the interface which has it stands on; under `follow` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The Ethernet address that it is answered with there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}
