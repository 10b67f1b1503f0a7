//! Interfaces: what the director is on the networks behind its ports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// All of them.
    List,
}

/// Interfaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interfaces {
    /// First that of each port, which is for untagged frames, then those in VLANs.
    pub interfaces: Vec<Interface>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    /// Its name; the port's, if it is for untagged frames.
    pub name: String,
    /// The name of its port.
    pub port: String,
    /// Its VLANs, a service provider's first; none if it is for untagged frames.
    pub vlan: Vec<u16>,
    /// Its Ethernet address.
    pub mac: String,
    /// That is not the port's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_mac: bool,
    /// Bytes of the largest IP packet.
    pub mtu: u32,
    /// The director's own addresses, with their networks' prefix lengths.
    pub addresses: Vec<String>,
    /// Whether its port moves packets and has a link.
    pub up: bool,
    /// Frames received. Those of VLANs that no interface is in count as untagged.
    pub rx_packets: u64,
    /// Their bytes; of untagged frames nobody counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_bytes: Option<u64>,
    /// Frames sent.
    pub tx_packets: u64,
    /// Their bytes; of untagged frames nobody counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_bytes: Option<u64>,
}
