//! Whose an address is, in one family: what a packet's addresses and ports are looked up in.

use super::{
    lookup::{Lookup, endpoint},
    parts::{Local, LocalAddress, LocalStanding, Server, Service},
    ranges::Ranges,
    sharing::{Builder, Holder},
};
use crate::{
    family::Family,
    ids::{ById, LocalId, ServerId, ServiceId},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

/// The director's addresses, its services' and its servers' in one family.
pub struct Addresses<F: Family> {
    /// What addresses are to the director.
    pub(super) locals: Lookup<F, Local>,
    /// Whose an endpoint is that services have exactly.
    pub(super) services: Lookup<F, Holder>,
    /// Whose others are.
    pub(super) ranges: Ranges<F>,
    /// Which server answers from an endpoint under NAT; `None` where several services have it as theirs. Port 0 has those
    /// that answer from any port.
    pub(super) nat_servers: Lookup<F, Option<ServerId>>,
    /// The addresses of those servers.
    pub(super) nat_hosts: Lookup<F, ()>,
    /// The numbers of local addresses.
    pub(super) sources: Lookup<F, LocalId>,
    /// Servers under TUN and L3DSR by their addresses: what comes back of packets to them may be for the director.
    pub(super) outlying: Vec<(F::Address, ServerId)>,
}

impl<F: Family> Addresses<F> {
    /// Those of the configured services, which are in `order`, and of their servers. `translated` are those of services whose
    /// servers are of another family than their clients.
    pub(super) fn new(
        locals: &[(IpAddr, Local)],
        sources: &ById<LocalId, LocalAddress>,
        (order, services, servers): (&[ServiceId], &ById<ServiceId, Service>, &ById<ServerId, Server>),
        translated: &HashSet<IpAddr>,
        sharing: &mut Builder,
    ) -> Self {
        // Those of IPv4 that are translated are IPv6's as well, as they are embedded there.
        let of = |ip: IpAddr| F::of(ip).or_else(|| F::embed(ip).filter(|_| translated.contains(&ip)));
        let locals = locals.iter().filter_map(|(ip, local)| Some(((of(*ip)?, 0), *local)));
        let configured = || order.iter().map(|&id| (id, &services[id]));
        let claims =
            || configured().flat_map(|(id, service)| service.reach().claims().map(move |claim| (claim, id)));
        let mut exact: BTreeMap<(F::Address, u32), Vec<ServiceId>> = BTreeMap::new();
        for (claim, id) in claims() {
            if let (Some(address), Some(port)) = (of(claim.vip), claim.ports.port()) {
                exact.entry((address, endpoint(claim.protocol, port))).or_default().push(id);
            }
        }
        let exact = exact.into_iter().filter_map(|(key, services)| Some((key, sharing.holder([services])?)));
        let exact: Vec<_> = exact.collect();
        let wide = claims().filter(|(claim, _)| claim.ports.port().is_none());
        let wide = wide.filter_map(|(claim, id)| Some((claim.protocol, of(claim.vip)?, claim.ports, id)));
        let sources = sources.numbered().filter(|(_, local)| local.standing != LocalStanding::Vacant);
        let sources = sources.filter_map(|(id, local)| Some(((of(local.address)?, 0), id)));
        let mut nat_servers = HashMap::new();
        let mut outlying = Vec::new();
        for (_, service) in configured() {
            for &id in &service.servers {
                let server = &servers[id].plan;
                let Some(address) = of(server.address) else { continue };
                // Under FullNAT it answers to a local address, which tells whose the packet is.
                if service.method.sees_replies() && !service.method.hides_clients() {
                    for protocol in service.reach().protocols() {
                        let key = (address, endpoint(protocol, server.port));
                        nat_servers.entry(key).and_modify(|sole| *sole = None).or_insert(Some(id));
                    }
                }
                if service.method.tunnels() || service.method.marks() {
                    outlying.push((address, id));
                }
            }
        }
        outlying.sort_unstable();
        Addresses {
            locals: Lookup::new(locals),
            services: Lookup::new(exact),
            ranges: Ranges::new(wide, sharing),
            nat_hosts: Lookup::new(nat_servers.keys().map(|(address, _)| ((*address, 0), ()))),
            nat_servers: Lookup::new(nat_servers),
            sources: Lookup::new(sources),
            outlying,
        }
    }

    /// The servers under TUN and L3DSR that have that address.
    pub(super) fn outlying(&self, address: F::Address) -> impl Iterator<Item = ServerId> {
        let first = self.outlying.partition_point(|(to, _)| *to < address);
        self.outlying[first..].iter().take_while(move |(to, _)| *to == address).map(|(_, server)| *server)
    }
}
