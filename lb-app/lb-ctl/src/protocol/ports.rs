//! Ports: what they are, what they counted, how they choose queues.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests. `port` is a port's number or name; none means all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// What ports are.
    Info {
        /// Which one.
        #[serde(default)]
        port: Option<String>,
    },
    /// What they counted.
    Stats {
        /// Which one.
        #[serde(default)]
        port: Option<String>,
    },
    /// What they counted, in their drivers' words.
    Xstats {
        /// Which one.
        #[serde(default)]
        port: Option<String>,
    },
    /// How one chooses queues.
    Rss {
        /// Which one.
        port: String,
    },
    /// Count from 0 again.
    Clear {
        /// Which one.
        #[serde(default)]
        port: Option<String>,
    },
    /// Let it move packets again.
    Start {
        /// Which one.
        #[serde(default)]
        port: Option<String>,
    },
    /// Let it move no packets.
    Stop {
        /// Which one.
        #[serde(default)]
        port: Option<String>,
    },
}

/// What ports are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Infos {
    /// By port.
    pub ports: Vec<Info>,
}

/// What one port is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its device.
    pub device: String,
    /// Its driver.
    pub driver: String,
    /// What it is made of, if it is a bond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bond: Option<Bond>,
    /// Its Ethernet address.
    pub mac: String,
    /// Its NUMA node, if it has one.
    pub node: Option<u32>,
    /// Whether it moves packets: not after `port stop`.
    pub started: bool,
    /// Whether its link is up.
    pub link_up: bool,
    /// Whether the network interface that it is on top of no longer exists.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub link_gone: bool,
    /// Mbit/s, if known.
    pub link_mbps: Option<u32>,
    /// Whether it sends and receives at the same time.
    pub full_duplex: bool,
    /// Whether it accepts frames for other hosts (promiscuous mode).
    pub promiscuous: bool,
    /// Bytes of the largest IP packet.
    pub mtu: u32,
    /// The least that can be.
    pub min_mtu: u32,
    /// The most that can be.
    pub max_mtu: u32,
    /// Receive queues in use.
    pub rx_queues: u32,
    /// Receive queues there can be.
    pub max_rx_queues: u32,
    /// Transmit queues in use.
    pub tx_queues: u32,
    /// Transmit queues there can be.
    pub max_tx_queues: u32,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u32,
    /// Descriptors of each transmit queue.
    pub tx_descriptors: u32,
    /// Bytes of the hash key; 0 when the driver does not report it.
    pub hash_key_bytes: u32,
    /// Entries of the redirection table; 0 when there is none to set.
    pub reta_entries: u32,
    /// What the receive queue is chosen by.
    pub spread: String,
    /// Why it is chosen by that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub spread_reason: String,
    /// Who verifies checksums of what it receives.
    pub checksums: String,
    /// Who computes checksums of what it sends.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checksums_computed: String,
    /// Who inserts VLAN tags into what it sends.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tags_inserted: String,
    /// The director's own addresses, with their networks' prefix lengths.
    pub addresses: Vec<String>,
    /// Receive offloads in use.
    pub rx_offloads: Vec<String>,
    /// Receive offloads there are.
    pub rx_offload_capabilities: Vec<String>,
    /// Transmit offloads in use.
    pub tx_offloads: Vec<String>,
    /// Transmit offloads there are.
    pub tx_offload_capabilities: Vec<String>,
}

/// A port made of others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bond {
    /// How it uses its members: `active-backup`, `balance`, `lacp`, or another of DPDK's modes.
    pub mode: String,
    /// In the order in which it got them.
    pub members: Vec<Member>,
}

/// A member of a bond.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// DPDK's name of it.
    pub name: String,
    /// `active`, `standby`, `no LACP partner` or `down`.
    pub state: String,
}

/// What ports counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Nanoseconds on a clock that only goes forward: two answers' difference is the time between them.
    pub at_ns: u64,
    /// By port.
    pub ports: Vec<PortStats>,
}

/// What one port counted, since it started or was last cleared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortStats {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets lost because the receive queues were full.
    pub rx_missed: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received damaged.
    pub rx_errors: u64,
    /// Packets lost because there was no buffer.
    pub rx_nombuf: u64,
    /// Packets transmitted.
    pub tx_packets: u64,
    /// Packets whose transmission failed.
    pub tx_errors: u64,
    /// Bytes transmitted.
    pub tx_bytes: u64,
}

/// What ports counted, in their drivers' words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Xstats {
    /// By port.
    pub ports: Vec<PortXstats>,
}

/// What one port counted, in its driver's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortXstats {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// In the driver's order.
    pub counters: Vec<Xstat>,
}

/// One counter of a driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Xstat {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// How a port chooses receive queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rss {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// What the receive queue is chosen by.
    pub spread: String,
    /// Why it is chosen by that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub spread_reason: String,
    /// What is hashed; empty if nothing is.
    pub hash_types: Vec<String>,
    /// The key, in hexadecimal; none if the driver does not report it.
    pub key: Option<String>,
    /// The redirection table: queue of each entry; none if the driver does not report it.
    pub reta: Option<Vec<u16>>,
}
