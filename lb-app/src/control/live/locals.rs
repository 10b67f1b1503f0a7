//! Local addresses of FullNAT and SNAT, and how many of their ports are in use.

use super::running::Running;
use lb_core::{
    ids::LocalId,
    limits::FIRST_LOCAL_PORT,
    service::snapshot::{LocalStanding, Service, Snapshot},
};
use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

/// Ports of a local address towards each server.
const PORTS: u64 = 65_536 - FIRST_LOCAL_PORT as u64;

/// One local address.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) address: IpAddr,
    /// The names of the services and rules of SNAT that have it.
    pub(crate) services: Vec<String>,
    /// Endpoints of their servers.
    pub(crate) servers: u64,
    /// Connections that have it.
    pub(crate) used: u64,
    /// Ports towards all servers; 0 if a rule of SNAT has it.
    pub(crate) capacity: u64,
    /// If a rule of SNAT has it: ports towards each address and port outside, which are not counted apart.
    pub(crate) each: u64,
}

impl Running {
    /// Connections that have a local address.
    pub(crate) fn local_ports(&self, address: LocalId) -> u64 {
        self.workers.iter().map(|worker| worker.counters.local_ports(address)).sum()
    }

    /// All local addresses that are configured or in use.
    pub(crate) fn local_addresses(&self) -> impl Iterator<Item = Usage> {
        let snapshot = self.current().snapshot;
        let ids: Vec<LocalId> = snapshot
            .local_addresses
            .numbered()
            .filter(|(_, local)| local.standing != LocalStanding::Vacant)
            .map(|(id, _)| id)
            .collect();
        ids.into_iter().map(move |id| usage(&snapshot, id, self.local_ports(id)))
    }
}

fn usage(snapshot: &Snapshot, id: LocalId, used: u64) -> Usage {
    let of = || snapshot.configured().filter(|(_, service)| service.local_addresses.contains(&id));
    let endpoints: HashSet<_> = of()
        .flat_map(|(_, service)| {
            let servers = move |protocol| service.servers.iter().map(move |&server| (protocol, server));
            service.reach().protocols().flat_map(servers)
        })
        .map(|(protocol, server)| (protocol, snapshot.servers[server].plan.endpoint()))
        .collect();
    let rules = || {
        let rules = snapshot.rules.iter().map(|rule| &snapshot.services[rule.service]);
        rules.filter(|rule| rule.local_addresses.contains(&id))
    };
    let ports = |rule: &Service| rule.local_ports.iter().map(|ports| u64::from(ports.width())).sum();
    let each = rules().map(ports).max().unwrap_or(0);
    let services: BTreeSet<String> = of().map(|(_, service)| service.name.clone()).collect();
    let servers = endpoints.len() as u64;
    let services = services.into_iter().chain(rules().map(|rule| format!("{} (snat)", rule.name))).collect();
    let capacity = if each == 0 { servers * PORTS } else { 0 };
    let address = snapshot.local_addresses[id].address;
    Usage { address, services, servers, used, capacity, each }
}
