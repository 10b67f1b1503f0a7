//! Everything that is measured, at one moment.

use super::names::Names;
use crate::{
    control::{file::watched::Told, live::locals::Usage, sync},
    health::report::Report,
};
use lb_core::service::plan::Role;
use lb_ctl::protocol::{connections::Fill, events::Kind as Happening};
use std::sync::Arc;

/// One service: the sum of its servers.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// With braces.
    pub(crate) labels: Arc<str>,
    /// As of a server.
    pub(crate) counters: [u64; 5],
    pub(crate) active: u64,
    pub(crate) inactive: u64,
    /// All that it has, and those of them that take new connections.
    pub(crate) servers: [u64; 2],
}

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// With braces; those of node_exporter's collector for IPVS.
    pub(crate) labels: Arc<str>,
    /// New connections, packets in and out, bytes in and out, in the order of their metrics.
    pub(crate) counters: [u64; 5],
    pub(crate) active: u64,
    pub(crate) inactive: u64,
    /// As it is now.
    pub(crate) weight: u64,
    /// Its operator neither drains nor has disabled it.
    pub(crate) enabled: bool,
}

/// One worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Worker {
    /// In the order of their metrics.
    pub(crate) counters: [u64; 25],
    pub(crate) connections: u64,
    pub(crate) waiting: u64,
    pub(crate) waiting_fragments: u64,
    pub(crate) datagrams: u64,
    /// By drop reason.
    pub(crate) dropped: Vec<u64>,
    /// With something to do, and without.
    pub(crate) cycles: [u64; 2],
    /// Polls by the most packets that those counted brought.
    pub(crate) polls: Vec<(u32, u64)>,
    /// Packets that polls brought.
    pub(crate) polled: u64,
}

/// One port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// In the order of their metrics.
    pub(crate) counters: [u64; 8],
    pub(crate) link_up: bool,
    /// Of a bond: its members, and whether packets can pass by them.
    pub(crate) members: Vec<(String, bool)>,
    /// Nobody has stopped it.
    pub(crate) started: bool,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) uptime_s: f64,
    /// Of the configuration file.
    pub(crate) sha256: String,
    /// What became of it, if it is watched.
    pub(crate) watched: Option<Told>,
    /// Ports are polled.
    pub(crate) forwarding: bool,
    /// What the director is to its VIPs.
    pub(crate) role: Role,
    /// Host sides of ports: the port, and what was moved, in the order of their metrics.
    pub(crate) host_sides: Vec<(String, [u64; 4])>,
    /// VIPs and local addresses, and whether the director answers for them.
    pub(crate) active: Vec<(String, bool)>,
    /// Interfaces in VLANs: name, port, and what was moved, in the order of their metrics.
    pub(crate) interfaces: Vec<(String, String, [u64; 4])>,
    /// VIPs, and whether they are announced.
    pub(crate) announced: Vec<(String, bool)>,
    pub(crate) tables: [Fill; 2],
    /// What is known of peers, and connections taken over as they told.
    pub(crate) sync: (sync::Facts, u64),
    /// What is known of directors of IPVS, if connections are synchronized with them, and how many were taken over.
    pub(crate) ipvs: Option<(sync::ipvs::Facts, u64)>,
    /// Local addresses and their ports.
    pub(crate) local_addresses: Vec<Usage>,
    /// Clients that are remembered, that there is room for, and connections that were not remembered: for want of room, and
    /// as another worker held their place.
    pub(crate) persistence: [u64; 4],
    pub(crate) changes: u64,
    /// Those that were made, and those that were refused.
    pub(crate) reloads: [u64; 2],
    /// What happened, and how often.
    pub(crate) events: Vec<(Happening, u64)>,
    pub(crate) buffers: [u64; 2],
    pub(crate) services: Vec<Service>,
    pub(crate) servers: Vec<Server>,
    /// Labels of the services and servers that somebody has described.
    pub(crate) described: [Vec<String>; 2],
    pub(crate) workers: Vec<Worker>,
    pub(crate) ports: Vec<Port>,
    pub(crate) health: Option<Report>,
    /// What the services and servers of `health` are called.
    pub(crate) names: Arc<Names>,
}
