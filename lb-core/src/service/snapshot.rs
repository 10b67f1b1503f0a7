//! The configuration as workers see it: a [`Plan`] made quick to look things up in. It never changes.

use super::{
    lookup::{Lookup, endpoint},
    plan::{Method, Plan, PortPlan, Protocol, ServerPlan, ServicePlan, Spread, Unserved},
    routing::{NextHop, Routing},
};
use crate::{
    conn::timeouts::Timeouts,
    limits::{MAX_PORTS, MAX_SERVERS, MAX_SERVICES},
    packet::PortId,
    sched::{self, Candidate, Scheduler},
    wire::ipv4,
};
use std::{collections::HashMap, net::Ipv4Addr, sync::Arc};
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
    /// A server that no packet can reach.
    #[error("no route to server {0}")]
    NoRoute(Ipv4Addr),
    /// A tunnel needs a source address.
    #[error("no address for the director's end of the tunnel to {0}")]
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
    /// The scheduler's name.
    pub scheduler_name: &'static str,
    /// Chooses servers; a pick is an index into `servers`.
    pub scheduler: Arc<dyn Scheduler>,
    /// Take over TCP connections whose beginning was not seen.
    pub adopt: bool,
    /// When connections are forgotten.
    pub timeouts: Timeouts,
    /// Its servers, as a range of [`Snapshot::servers`].
    pub servers: std::ops::Range<u32>,
}

/// A real server of one service.
#[derive(Clone, Debug)]
pub struct Server {
    /// Index of its service.
    pub service: u32,
    /// Its address and so on, as configured.
    pub plan: ServerPlan,
    /// Where its packets go next.
    pub next_hop: NextHop,
    /// Source of its tunnel headers; unspecified unless the method is TUN.
    pub tunnel_source: Ipv4Addr,
}

/// Everything that workers need to know. Immutable.
pub struct Snapshot {
    /// Ports, by [`PortId`].
    pub ports: Vec<PortPlan>,
    /// Where packets go.
    pub routing: Routing,
    /// Virtual services.
    pub services: Vec<Service>,
    /// Real servers of all services, those of a service together.
    pub servers: Vec<Server>,
    /// Verify checksums that the port did not verify.
    pub verify_checksums: bool,
    /// Under NAT, every port delivers both directions of a flow to its owner.
    pub nat_arrives_at_owner: bool,
    /// See [`Plan::redirection_len`].
    pub redirection_len: u16,
    /// VIPs and own addresses, in the order they were configured.
    pub locals: Vec<(Ipv4Addr, Local)>,
    local_by_address: Lookup<Local>,
    service_by_endpoint: Lookup<u32>,
    /// Which server answers from an endpoint under NAT; `None` where several services have it as theirs.
    nat_endpoints: Lookup<Option<u32>>,
}

impl Snapshot {
    /// Makes a plan quick.
    pub fn new(plan: &Plan) -> Result<Snapshot, SnapshotError> {
        check("ports", plan.ports.len(), MAX_PORTS)?;
        check("services", plan.services.len(), MAX_SERVICES)?;
        check("servers", plan.services.iter().map(|service| service.servers.len()).sum(), MAX_SERVERS)?;
        let routing = Routing::new(&plan.ports, &plan.routes);
        let mut services = Vec::with_capacity(plan.services.len());
        let mut servers = Vec::new();
        for service in &plan.services {
            let first = servers.len() as u32;
            for server in &service.servers {
                servers.push(resolve(plan, &routing, services.len() as u32, service, *server)?);
            }
            services.push(build_service(service, first));
        }
        let locals = locals(plan, &routing);
        let by_address = locals.iter().map(|(address, local)| (u64::from(address.to_bits()), *local));
        let by_endpoint = services.iter().enumerate().map(|(index, service)| {
            (endpoint(number(service.protocol), service.vip.to_bits(), service.port), index as u32)
        });
        Ok(Snapshot {
            local_by_address: Lookup::new(by_address),
            service_by_endpoint: Lookup::new(by_endpoint),
            nat_endpoints: Lookup::new(nat_endpoints(&services, &servers)),
            nat_arrives_at_owner: plan.ports.iter().all(|port| port.spread == Spread::ByClient),
            ports: plan.ports.clone(),
            verify_checksums: plan.verify_checksums,
            redirection_len: plan.redirection_len,
            routing,
            services,
            servers,
            locals,
        })
    }

    /// What `address` is to the director; `None` if it is somebody else's.
    #[inline]
    #[must_use]
    pub fn local(&self, address: u32) -> Option<Local> {
        self.local_by_address.get(u64::from(address))
    }

    /// Index of the service at an endpoint.
    #[inline]
    #[must_use]
    pub fn service_at(&self, protocol: u8, address: u32, port: u16) -> Option<u32> {
        self.service_by_endpoint.get(endpoint(protocol, address, port))
    }

    /// Whether a real server under NAT answers from this endpoint.
    #[must_use]
    pub fn is_nat_server(&self, protocol: u8, address: u32, port: u16) -> bool {
        self.nat_endpoints.get(endpoint(protocol, address, port)).is_some()
    }

    /// The real server under NAT that answers from this endpoint, if it is in one service only: its packets alone
    /// tell which VIP they are to come from.
    #[must_use]
    pub fn sole_nat_server(&self, protocol: u8, address: u32, port: u16) -> Option<u32> {
        self.nat_endpoints.get(endpoint(protocol, address, port)).flatten()
    }

    /// The service of a server, which must be one of this snapshot's.
    #[inline]
    #[must_use]
    pub fn service_of(&self, server: u32) -> &Service {
        &self.services[self.servers[server as usize].service as usize]
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

/// The protocol's number in an IPv4 header.
#[must_use]
pub const fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => ipv4::TCP,
        Protocol::Udp => ipv4::UDP,
    }
}

fn check(what: &'static str, count: usize, most: usize) -> Result<(), SnapshotError> {
    if count > most { Err(SnapshotError::TooMany { what, count, most }) } else { Ok(()) }
}

fn resolve(
    plan: &Plan,
    routing: &Routing,
    index: u32,
    service: &ServicePlan,
    server: ServerPlan,
) -> Result<Server, SnapshotError> {
    let next_hop = routing.next_hop(server.address).ok_or(SnapshotError::NoRoute(server.address))?;
    let tunnel_source = match service.method {
        Method::Tun => plan
            .tunnel_local
            .or_else(|| routing.own_address(next_hop.port, next_hop.address))
            .ok_or(SnapshotError::NoTunnelAddress(server.address))?,
        Method::Nat | Method::Dr => Ipv4Addr::UNSPECIFIED,
    };
    Ok(Server { service: index, plan: server, next_hop, tunnel_source })
}

fn build_service(service: &ServicePlan, first: u32) -> Service {
    let candidates: Vec<Candidate> = service
        .servers
        .iter()
        .zip(first..)
        .map(|(server, index)| Candidate {
            server: index,
            address: server.address,
            port: server.port,
            weight: server.weight,
        })
        .collect();
    Service {
        name: service.name.clone(),
        protocol: service.protocol,
        vip: service.vip,
        port: service.port,
        method: service.method,
        scheduler_name: service.scheduler.name(),
        scheduler: sched::build(service.scheduler, service.hash_port, &candidates),
        adopt: service.adopt,
        timeouts: service.timeouts,
        servers: first..first + candidates.len() as u32,
    }
}

/// Every endpoint that a server under NAT answers from, each once.
fn nat_endpoints(services: &[Service], servers: &[Server]) -> HashMap<u64, Option<u32>> {
    let mut endpoints = HashMap::new();
    for (server, index) in servers.iter().zip(0..) {
        let service = &services[server.service as usize];
        if service.method == Method::Nat {
            let (address, port) = (server.plan.address.to_bits(), server.plan.port);
            let sole = endpoints.entry(endpoint(number(service.protocol), address, port));
            sole.and_modify(|sole| *sole = None).or_insert(Some(index));
        }
    }
    endpoints
}

/// VIPs with their policies, each once, then own addresses. A tunnel's own address is one of the director's own.
fn locals(plan: &Plan, routing: &Routing) -> Vec<(Ipv4Addr, Local)> {
    let mut locals: Vec<(Ipv4Addr, Local)> = Vec::new();
    let configured = plan.vips.iter().map(|vip| (vip.address, vip.unserved));
    let implied = plan.services.iter().map(|service| (service.vip, Unserved::Reject));
    for (address, unserved) in configured.chain(implied) {
        if !locals.iter().any(|(known, _)| *known == address) {
            locals.push((address, Local::Vip { unserved, attached: routing.attached_port(address) }));
        }
    }
    for (index, port) in plan.ports.iter().enumerate() {
        let own = Local::Own(PortId(index as u16));
        locals.extend(port.addresses.iter().map(|network| (network.addr(), own)));
    }
    if let Some(local) = plan.tunnel_local
        && !locals.iter().any(|(known, _)| *known == local)
    {
        let port = routing.next_hop(local).map_or(PortId(0), |hop| hop.port);
        locals.push((local, Local::Own(port)));
    }
    locals
}
