//! The director as a whole: what it is, whether it forwards, how it is set up.

use super::keys::{ServerEndpoint, ServiceKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// What it is.
    About,
    /// Names that commands take.
    Names,
    /// How it is set up.
    Configuration,
    /// Poll ports.
    Start,
    /// Poll no port. Workers keep what they know.
    Stop,
    /// What is announced.
    Announced,
    /// Withdraw what is announced, then poll no port.
    Drain,
    /// What it is to its VIPs from now on.
    Role {
        /// `active`, `standby` or `follow`.
        role: String,
    },
    /// End.
    Quit,
    /// Read the configuration file again and apply what is different.
    Reload {
        /// Show what is different, change nothing.
        #[serde(default)]
        dry_run: bool,
        /// Roll back unless confirmed within that time.
        #[serde(default)]
        confirm_within_ms: Option<u64>,
    },
    /// Confirm the pending reload.
    Confirm,
    /// Write the running configuration to the configuration file.
    Save,
    /// The log level: 0 errors, 1 warnings, 2 what is worth knowing, 3 details, 4 everything.
    Verbose {
        /// The level.
        level: u8,
    },
}

/// What the director is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// Version of `lb-app`.
    pub version: String,
    /// Version of DPDK.
    #[serde(default)]
    pub dpdk: String,
    /// Its process.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Whether it polls ports.
    pub forwarding: bool,
    /// What it is to its VIPs: `active`, `standby` if it says nothing for them, or `follow` if the kernel says which are its.
    #[serde(default)]
    pub role: String,
    /// How many workers it has.
    pub workers: u32,
    /// How many ports it has.
    pub ports: u32,
    /// Connections it has room for, over all workers.
    pub capacity: u64,
    /// How full the tables of each family are.
    #[serde(default)]
    pub tables: Vec<super::connections::Fill>,
    /// Which configuration it forwards by: counts up with each change.
    pub generation: u64,
    /// SHA-256 of the configuration file as it was last read and applied.
    #[serde(default)]
    pub file_sha256: String,
    /// `draining` or `drained`, if it is told to drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<String>,
    /// The file is watched: changes of it are applied by themselves.
    #[serde(default)]
    pub file_watched: bool,
    /// Why the file that is watched is not in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_refused: Option<String>,
    /// How long a reload is still pending confirmation, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed_ms: Option<u64>,
    /// Why metrics that are wanted are not served yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_failure: Option<String>,
    /// Clients of the control socket that were dropped: they stopped reading, broke a limit, or made room for others.
    pub clients_dropped: u64,
}

/// Which VIPs are announced to routing daemons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Announced {
    /// The file that has them, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The kernel's interface that has them, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// `draining` or `drained`, if the director is told to drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<String>,
    /// VIPs with services.
    pub vips: Vec<AnnouncedVip>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnnouncedVip {
    /// Its address.
    pub vip: IpAddr,
    /// It is announced.
    pub announced: bool,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Names that commands take, for completing them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Names {
    /// Virtual services; the first 1,000.
    pub services: Vec<String>,
    /// Ports, by number.
    pub ports: Vec<String>,
    /// Interfaces in VLANs.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// Real servers, `address:port`; the first 1,000.
    pub servers: Vec<String>,
    /// How many workers there are.
    pub workers: u32,
    /// Schedulers.
    pub schedulers: Vec<String>,
    /// Forwarding methods.
    pub methods: Vec<String>,
    /// States of connections.
    pub states: Vec<String>,
    /// The same services, each with its servers.
    #[serde(default)]
    pub listed: Vec<NamedService>,
    /// Destinations of static routes.
    #[serde(default)]
    pub routes: Vec<String>,
    /// Numbers of traces.
    #[serde(default)]
    pub traces: Vec<u32>,
    /// Numbers of captures.
    #[serde(default)]
    pub captures: Vec<u32>,
}

/// A service, for completing it and its servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedService {
    /// Its name.
    pub name: String,
    /// What it is known by.
    #[serde(flatten)]
    pub key: ServiceKey,
    /// Forwarding method.
    pub method: String,
    /// Scheduler.
    pub scheduler: String,
    /// Its servers.
    pub servers: Vec<NamedServer>,
}

/// A server, for completing it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedServer {
    /// Its address and port.
    #[serde(flatten)]
    pub endpoint: ServerEndpoint,
    /// What the operator wants: `enabled`, `drain` or `disabled`.
    pub state: String,
    /// What checks found: `up`, `warming`, `down` or `inhibited`.
    pub health: String,
}

/// Forwarding setup: testpmd's `show config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// The lcore that controls.
    pub main_lcore: u32,
    /// What idle workers do: keep polling (`poll`) or sleep (`adaptive`).
    pub idle: String,
    /// Packets of one poll, at most.
    pub burst: u32,
    /// Bytes of the largest frame that a packet buffer holds.
    pub buffer_bytes: u32,
    /// Buffers of the packet pool.
    pub buffers: u32,
    /// Checksums are verified in software where ports do not.
    pub verify_checksums: bool,
    /// Ports.
    pub ports: Vec<PortSetup>,
    /// Workers.
    pub workers: Vec<WorkerSetup>,
}

/// How one port is set up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PortSetup {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Receive queues.
    pub rx_queues: u32,
    /// Transmit queues.
    pub tx_queues: u32,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u32,
    /// Descriptors of each transmit queue.
    pub tx_descriptors: u32,
    /// Receive offloads in use, by name.
    pub rx_offloads: Vec<String>,
    /// Transmit offloads in use, by name.
    pub tx_offloads: Vec<String>,
    /// Bytes of the largest IP packet.
    pub mtu: u32,
}

/// Where one worker runs and what it polls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerSetup {
    /// Its number, which is that of its queue on every port.
    pub id: u32,
    /// Its lcore.
    pub lcore: u32,
    /// Its NUMA node.
    pub node: u32,
}
