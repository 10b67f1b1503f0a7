//! Whether a plan is consistent. The configuration file's reader finds the same mistakes and reports where they
//! are; this is for plans that are changed while the director runs.

use super::{
    key::ServiceKey,
    plan::{Method, Plan, SchedulerKind, ServerPlan, ServicePlan, port_flag},
    routing::Routing,
};
use crate::limits::MAX_WEIGHT;
use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr},
};
use thiserror::Error;

/// What is wrong with a plan.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// Two services have the same key.
    #[error("two services have {0}")]
    SameService(ServiceKey),
    /// Two services have one name.
    #[error("two services are named {0:?}")]
    SameName(String),
    /// A server is in a service twice.
    #[error("{server} is in service {service} twice; to give it more connections, raise its weight")]
    SameServer {
        /// The service.
        service: String,
        /// Address and port.
        server: SocketAddr,
    },
    /// An address is used for two things.
    #[error("{address} cannot be a {wanted}: it is {other}")]
    Address {
        /// The address.
        address: Ipv4Addr,
        /// What it is to be.
        wanted: &'static str,
        /// What it is already.
        other: &'static str,
    },
    /// A port is 0.
    #[error("port 0 is not valid")]
    PortZero,
    /// Only NAT changes ports.
    #[error("port {port} is not the service's {service}, and {method} cannot change it")]
    Port {
        /// The server's.
        port: u16,
        /// The service's.
        service: u16,
        /// How packets reach the server.
        method: Method,
    },
    /// DR reaches attached networks only.
    #[error("{0} is on no attached network, as dr requires")]
    NotAttached(Ipv4Addr),
    /// Not every scheduler hashes.
    #[error("hash_port is for sh and mh: {0} does not hash the client's address")]
    HashPort(SchedulerKind),
    /// A weight is too high.
    #[error("weight {0} is too high: at most {MAX_WEIGHT}")]
    Weight(u32),
}

/// Checks a plan.
///
/// # Errors
/// The first mistake that is found.
pub fn check(plan: &Plan) -> Result<(), PlanError> {
    let routing = Routing::new(&plan.ports, &plan.routes);
    let own: HashSet<Ipv4Addr> =
        plan.ports.iter().flat_map(|port| &port.addresses).map(ipnet::Ipv4Net::addr).collect();
    let vips: HashSet<Ipv4Addr> = plan
        .services
        .iter()
        .map(|service| service.vip)
        .chain(plan.vips.iter().map(|vip| vip.address))
        .collect();
    let used = |address: Ipv4Addr, wanted: &'static str| {
        let other = if own.contains(&address) {
            "the address of a port"
        } else if plan.tunnel_local == Some(address) {
            "the tunnel's local address"
        } else if wanted != "VIP" && vips.contains(&address) {
            "a VIP"
        } else if routing.is_broadcast(address) || !is_unicast(address) {
            "not the address of one host"
        } else {
            return Ok(());
        };
        Err(PlanError::Address { address, wanted, other })
    };
    let (mut keys, mut names) = (HashSet::new(), HashSet::new());
    for vip in &vips {
        used(*vip, "VIP")?;
    }
    for service in &plan.services {
        if service.port == 0 {
            return Err(PlanError::PortZero);
        }
        if !keys.insert(service.key()) {
            return Err(PlanError::SameService(service.key()));
        }
        if !names.insert(&service.name) {
            return Err(PlanError::SameName(service.name.clone()));
        }
        if service.hash_port && port_flag(service.scheduler).is_none() {
            return Err(PlanError::HashPort(service.scheduler));
        }
        let mut servers = HashSet::new();
        for server in &service.servers {
            used(server.address, "server")?;
            check_server(&routing, service, server)?;
            if !servers.insert(server.endpoint()) {
                let server = server.endpoint();
                return Err(PlanError::SameServer { service: service.name.clone(), server });
            }
        }
    }
    Ok(())
}

fn check_server(routing: &Routing, service: &ServicePlan, server: &ServerPlan) -> Result<(), PlanError> {
    if server.port == 0 {
        return Err(PlanError::PortZero);
    }
    if server.weight > MAX_WEIGHT {
        return Err(PlanError::Weight(server.weight));
    }
    if !service.method.rewrites_endpoints() && server.port != service.port {
        return Err(PlanError::Port { port: server.port, service: service.port, method: service.method });
    }
    let is_attached = || routing.next_hop(server.address).is_some_and(|hop| hop.address == server.address);
    if service.method.is_link_local() && !is_attached() {
        return Err(PlanError::NotAttached(server.address));
    }
    Ok(())
}

fn is_unicast(address: Ipv4Addr) -> bool {
    !(address.is_multicast() || address.is_unspecified() || address.is_loopback() || address.is_broadcast())
}
