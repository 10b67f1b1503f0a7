//! Whose an address is, in one family: what a packet's addresses and ports are looked up in.

use super::{
    lookup::Lookup,
    parts::{Local, LocalAddress, LocalStanding, Server, Service},
};
use crate::{
    family::Family,
    ids::{ById, LocalId, ServerId, ServiceId},
    wire::protocol::Protocol,
};
use std::{collections::HashMap, net::IpAddr};

/// The director's addresses, its services' and its servers' in one family.
pub struct Addresses<F: Family> {
    /// What addresses are to the director.
    pub(super) locals: Lookup<F, Local>,
    /// Which service an endpoint is of.
    pub(super) services: Lookup<F, ServiceId>,
    /// Which server answers from an endpoint under NAT; `None` where several services have it as theirs.
    pub(super) nat_servers: Lookup<F, Option<ServerId>>,
    /// The numbers of local addresses.
    pub(super) sources: Lookup<F, LocalId>,
    /// Where tunnels lead, and to which server, by address.
    pub(super) tunnels: Vec<(F::Address, ServerId)>,
}

impl<F: Family> Addresses<F> {
    /// Those of the configured services, which are in `order`, and of their servers.
    pub(super) fn new(
        locals: &[(IpAddr, Local)],
        sources: &ById<LocalId, LocalAddress>,
        order: &[ServiceId],
        services: &ById<ServiceId, Service>,
        servers: &ById<ServerId, Server>,
    ) -> Self {
        let of = F::of;
        let locals = locals.iter().filter_map(|(ip, local)| Some(((of(*ip)?, 0), *local)));
        let configured = || order.iter().map(|&id| (id, &services[id]));
        let endpoints = configured().filter_map(|(id, service)| {
            Some(((of(service.vip)?, endpoint(service.protocol, service.port)), id))
        });
        let sources = sources.numbered().filter(|(_, local)| local.standing != LocalStanding::Vacant);
        let sources = sources.filter_map(|(id, local)| Some(((of(local.address)?, 0), id)));
        let mut nat_servers = HashMap::new();
        let mut tunnels = Vec::new();
        for (_, service) in configured() {
            for &id in &service.servers {
                let server = &servers[id].plan;
                let Some(address) = of(server.address) else { continue };
                // Under FullNAT it answers to a local address, which tells whose the packet is.
                if service.method.sees_replies() && !service.method.hides_clients() {
                    let key = (address, endpoint(service.protocol, server.port));
                    nat_servers.entry(key).and_modify(|sole| *sole = None).or_insert(Some(id));
                }
                if service.method.tunnels() {
                    tunnels.push((address, id));
                }
            }
        }
        tunnels.sort_unstable();
        Addresses {
            locals: Lookup::new(locals),
            services: Lookup::new(endpoints),
            nat_servers: Lookup::new(nat_servers),
            sources: Lookup::new(sources),
            tunnels,
        }
    }

    /// The servers that a tunnel to that address leads to.
    pub(super) fn tunnels_to(&self, address: F::Address) -> impl Iterator<Item = ServerId> {
        let first = self.tunnels.partition_point(|(to, _)| *to < address);
        self.tunnels[first..].iter().take_while(move |(to, _)| *to == address).map(|(_, server)| *server)
    }
}

/// A protocol and a port as one number.
#[inline]
#[must_use]
pub(super) const fn endpoint(protocol: Protocol, port: u16) -> u32 {
    (port as u32) << 8 | protocol.number() as u32
}
