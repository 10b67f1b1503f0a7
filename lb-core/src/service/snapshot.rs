//! The configuration as workers see it: a [`Plan`](super::plan::Plan) made quick to look things up in. It never
//! changes; another takes its place. [`build`](super::build) makes them.
//!
//! Connections, counters and loads know a server by its number, so a server keeps its number from one snapshot to the
//! next. One that is no longer configured stays, as [`Standing::Gone`], while connections have its number; then another
//! server may get it. The same holds for services.

use super::{
    address::v4,
    key::{ServerKey, ServiceKey},
    lookup::{Lookup, endpoint},
    plan::{Method, PortPlan, Protocol, SchedulerKind, ServerPlan, Standing, Unserved},
    routing::{NextHop, Routing},
};
use crate::{
    conn::timeouts::Timeouts,
    ids::{ById, ServerId, ServiceId},
    limits::MAX_PORTS,
    packet::PortId,
    sched::{Candidate, Scheduler},
};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};
use thiserror::Error;

/// Why a plan cannot be carried out.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SnapshotError {
    /// A limit of the program is exceeded.
    #[error("too many {what}: {count}, at most {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// More servers than were made room for at start.
    #[error(
        "no room for another {what}: the capacity is {room}, including removed ones that still have connections"
    )]
    NoRoom {
        /// For what.
        what: &'static str,
        /// How many there can be.
        room: usize,
    },
    /// A server that no packet can reach.
    #[error("no route to server {0}")]
    NoRoute(Ipv4Addr),
    /// A tunnel needs a source address.
    #[error("no source address for the tunnel to {0}")]
    NoTunnelAddress(Ipv4Addr),
}

/// What one of the director's addresses is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// Clients send to it. ARP for it is answered on the port whose network contains it; on all ports if none does.
    Vip {
        /// What happens to packets that no service wants.
        unserved: Unserved,
        /// The port on whose network it is.
        attached: Option<PortId>,
    },
    /// The director's own on that port.
    Own(PortId),
}

/// A virtual service.
#[derive(Clone)]
pub struct Service {
    /// The operator's name for it.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The address that clients send to.
    pub vip: Ipv4Addr,
    /// The port that clients send to.
    pub port: u16,
    /// How packets reach the servers.
    pub method: Method,
    /// The scheduler's kind.
    pub scheduler_kind: SchedulerKind,
    /// Whether a hashing scheduler looks at the client's port.
    pub hash_port: bool,
    /// Chooses servers; a pick is an index into `servers`.
    pub scheduler: Arc<dyn Scheduler>,
    /// What the scheduler was made of, in the order of `servers`.
    pub candidates: Vec<Candidate>,
    /// Take over TCP connections whose beginning was not seen.
    pub adopt: bool,
    /// Timeouts of connections.
    pub timeouts: Timeouts,
    /// Its servers, in the operator's order.
    pub servers: Vec<ServerId>,
}

impl Service {
    /// What it is known by.
    #[must_use]
    pub const fn key(&self) -> ServiceKey {
        ServiceKey { protocol: self.protocol, vip: IpAddr::V4(self.vip), port: self.port }
    }
}

/// A real server of one service.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its service.
    pub service: ServiceId,
    /// Its address and so on, as configured.
    pub plan: ServerPlan,
    /// What it does. One that is not configured any more is [`Standing::Gone`].
    pub standing: Standing,
    /// Where its packets go next.
    pub next_hop: NextHop,
    /// Source of its tunnel headers; unspecified unless the method is TUN.
    pub tunnel_source: Ipv4Addr,
}

/// What is different from the snapshot before: what a worker has to look at when it takes this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Servers that are reached, or stand, differently.
    pub servers: Vec<ServerId>,
    /// Numbers that name another server than before. Also in `servers`.
    pub renamed: Vec<ServerId>,
    /// Services with another scheduler, or with other servers to choose from.
    pub services: Vec<ServiceId>,
    /// Static routes or attached networks.
    pub routing: bool,
    /// Addresses remain to be announced.
    pub new_addresses: bool,
}

/// How many services and servers there can be. Workers make room for that many at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Virtual services.
    pub services: usize,
    /// Real servers over all services.
    pub servers: usize,
}

/// Everything that workers need to know. Immutable.
pub struct Snapshot {
    /// Ports, by [`PortId`].
    pub ports: Vec<PortPlan>,
    /// How many there were before it.
    pub generation: u64,
    /// Where packets go.
    pub routing: Routing,
    /// Virtual services by number. Those that are not configured any more are not in `order`.
    pub services: ById<ServiceId, Service>,
    /// The configured services, in the operator's order.
    pub order: Vec<ServiceId>,
    /// Real servers of all services by number.
    pub servers: ById<ServerId, Server>,
    /// What is different from the snapshot before.
    pub changes: Changes,
    /// How many services and servers this and later snapshots can have.
    pub room: Room,
    /// By port: whether servers are behind it.
    pub(super) server_ports: [bool; MAX_PORTS],
    /// Verify checksums that the port did not verify.
    pub verify_checksums: bool,
    /// Under NAT, every port delivers both directions of a flow to its owner.
    pub nat_arrives_at_owner: bool,
    /// See [`Plan::redirection_len`](super::plan::Plan::redirection_len).
    pub redirection_len: u16,
    /// VIPs and own addresses, in the order they were configured.
    pub locals: Vec<(Ipv4Addr, Local)>,
    pub(super) local_by_address: Lookup<Local>,
    pub(super) service_by_endpoint: Lookup<ServiceId>,
    /// Where tunnels lead, and to which server, by address.
    pub(super) tunnels: Vec<(u32, ServerId)>,
    /// Which server answers from an endpoint under NAT; `None` where several services have it as theirs.
    pub(super) nat_endpoints: Lookup<Option<ServerId>>,
}

impl Snapshot {
    /// What `address` is to the director; `None` if it is somebody else's.
    #[inline]
    #[must_use]
    pub fn local(&self, address: u32) -> Option<Local> {
        self.local_by_address.get(u64::from(address))
    }

    /// The service at an endpoint.
    #[inline]
    #[must_use]
    pub fn service_at(&self, protocol: Protocol, address: u32, port: u16) -> Option<ServiceId> {
        self.service_by_endpoint.get(endpoint(protocol, address, port))
    }

    /// The configured service of that key, with its number.
    #[must_use]
    pub fn service(&self, key: &ServiceKey) -> Option<(ServiceId, &Service)> {
        let id = self.service_at(key.protocol, v4(key.vip).ok()?.to_bits(), key.port)?;
        Some((id, &self.services[id]))
    }

    /// The configured server of that key, with its number.
    #[must_use]
    pub fn server(&self, key: &ServerKey) -> Option<(ServerId, &Server)> {
        let (_, service) = self.service(&key.service)?;
        let servers = service.servers.iter().map(|&id| (id, &self.servers[id]));
        servers.into_iter().find(|(_, server)| server.plan.endpoint() == key.endpoint())
    }

    /// Whether a real server under NAT answers from this endpoint.
    #[must_use]
    pub fn is_nat_server(&self, protocol: Protocol, address: u32, port: u16) -> bool {
        self.nat_endpoints.get(endpoint(protocol, address, port)).is_some()
    }

    /// The real server under NAT that answers from this endpoint, if it is in one service only: its packets alone
    /// tell which VIP they are to come from.
    #[must_use]
    pub fn sole_nat_server(&self, protocol: Protocol, address: u32, port: u16) -> Option<ServerId> {
        self.nat_endpoints.get(endpoint(protocol, address, port)).flatten()
    }

    /// Whether servers are behind a port.
    #[must_use]
    pub fn leads_to_servers(&self, port: PortId) -> bool {
        self.server_ports.get(usize::from(port.0)).is_some_and(|is| *is)
    }

    /// The servers that a tunnel to that address leads to.
    pub fn tunnels_to(&self, address: u32) -> impl Iterator<Item = ServerId> {
        let first = self.tunnels.partition_point(|(to, _)| *to < address);
        self.tunnels[first..].iter().take_while(move |(to, _)| *to == address).map(|(_, server)| *server)
    }

    /// The configured services with their numbers, in the operator's order.
    pub fn configured(&self) -> impl Iterator<Item = (ServiceId, &Service)> {
        self.order.iter().map(|&id| (id, &self.services[id]))
    }

    /// The schedulers of the configured services.
    pub fn schedulers(&self) -> impl Iterator<Item = &dyn Scheduler> {
        self.configured().map(|(_, service)| &*service.scheduler)
    }

    /// The service of a server, which must be one of this snapshot's.
    #[inline]
    #[must_use]
    pub fn service_of(&self, server: ServerId) -> &Service {
        &self.services[self.servers[server].service]
    }

    /// The routers that static routes name, each with the port it is behind.
    pub fn gateways(&self) -> impl Iterator<Item = (NextHop, &PortPlan)> {
        self.routing.gateways().map(|hop| (hop, &self.ports[usize::from(hop.port.0)]))
    }

    /// The director's address to answer from on `port`: its own towards `peer`, else `or`.
    #[must_use]
    pub fn answer_from(&self, port: PortId, peer: u32, or: u32) -> u32 {
        self.routing.own_address(port, Ipv4Addr::from_bits(peer)).map_or(or, Ipv4Addr::to_bits)
    }
}
