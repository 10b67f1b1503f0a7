//! From a [`Plan`] to a [`Snapshot`]: the first one, and those that follow it while workers run.

use super::{
    addresses::Addresses,
    behind,
    key::ServiceKey,
    lasting::{Before, Numbered, OfService, in_plan, is_same, numbers, same_before},
    lookup::Lookup,
    numbers::Numbers,
    plan::{Method, Plan, Protocol, Role, ServerPlan, ServicePlan, SnatModules, Spread, Standing, VipPlan},
    quic::QuicServers,
    reach::PortRange,
    routing::{NextHop, Routing},
    sharing::Builder,
    snapshot::{
        Changes, Local, LocalAddress, LocalStanding, Room, Server, Service, Snapshot, SnapshotError, TunnelTo,
    },
    snat::{self, SnatRule},
    stations::Stations,
};
use crate::{
    cast::{count32, low32, small},
    family::{Family, V4},
    ids::{ById, InterfaceId, LocalId, ServerId, ServiceId},
    limits::{MAX_INTERFACES, MAX_LOCAL_ADDRESSES, MAX_PORTS, MAX_SERVERS, MAX_SERVICES, MAX_SNAT_RULES},
    sched::{
        self, Candidate, Hashes, Scheduler, destinations::Destinations, footprint::Footprint,
        kind::SchedulerKind, start::Start, tables::Tables,
    },
};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

impl Snapshot {
    /// Makes a plan quick, with room for twice as many services and servers and some more.
    ///
    /// # Errors
    /// What of the plan cannot be carried out.
    pub fn new(plan: &Plan) -> Result<Snapshot, SnapshotError> {
        let servers: usize = plan.services.iter().map(|service| service.servers.len()).sum();
        Self::with_room(plan, Room { services: plan.services.len() * 2 + 16, servers: servers * 2 + 16 })
    }

    /// Makes a plan quick; later snapshots have that much room.
    ///
    /// # Errors
    /// What of the plan cannot be carried out.
    pub fn with_room(plan: &Plan, room: Room) -> Result<Snapshot, SnapshotError> {
        build(plan, None, room)
    }

    /// The snapshot that takes this one's place. Whatever is in both plans keeps its number, and its scheduler if the
    /// servers to choose from are the same. `in_use` says whether connections have a number, so that it cannot be given to
    /// another.
    ///
    /// # Errors
    /// What of the plan cannot be carried out.
    pub fn successor(
        &self,
        plan: &Plan,
        in_use: &dyn Fn(Numbered) -> bool,
    ) -> Result<Snapshot, SnapshotError> {
        build(plan, Some((self, in_use)), self.room)
    }
}

fn build(plan: &Plan, before: Before<'_>, room: Room) -> Result<Snapshot, SnapshotError> {
    check("ports", plan.ports.len(), MAX_PORTS)?;
    check("interfaces", plan.interfaces.len(), MAX_INTERFACES)?;
    check("services", plan.services.len(), MAX_SERVICES)?;
    check("servers", plan.services.iter().map(|service| service.servers.len()).sum(), MAX_SERVERS)?;
    check("rules of snat", plan.snat.len(), MAX_SNAT_RULES)?;
    let routing = Routing::new(&plan.interfaces, &plan.routes);
    let old = before.map(|(old, _)| old);
    let of_rules: Vec<ServicePlan> = plan.snat.iter().map(|rule| snat::service_of(rule, plan)).collect();
    let planned: Vec<&ServicePlan> = plan.services.iter().chain(&of_rules).collect();
    let numbers = numbers(&planned, before, Room { servers: room.servers + plan.snat.len(), ..room })?;
    let mut changes = Changes::default();

    let mut servers = old.map(|old| old.servers.clone()).unwrap_or_default();
    // Until the plan sets it.
    servers.iter_mut().for_each(|server| server.standing = Standing::Gone);
    for (service, numbers) in planned.iter().zip(&numbers) {
        for (server, &number) in service.servers.iter().zip(&numbers.servers) {
            servers.put(number, resolve(plan, &routing, numbers.service, service, server)?);
        }
    }
    let generation = old.map_or(0, |old| old.generation + 1);
    let local_addresses = local_addresses(plan, before)?;
    let numbers_of_locals: HashMap<IpAddr, LocalId> =
        local_addresses.numbered().map(|(id, local)| (local.address, id)).collect();
    let mut tables = Tables::of(old.into_iter().flat_map(Snapshot::schedulers));
    let mut services = old.map(|old| old.services.clone()).unwrap_or_default();
    for (&service, numbers) in planned.iter().zip(&numbers) {
        let start = Start::of(numbers.service.number(), generation);
        let locals = service.local_addresses.iter().filter_map(|ip| numbers_of_locals.get(ip).copied());
        let (service, is_news) =
            build_service(service, (numbers, locals.collect()), old, (start, &mut tables));
        services.put(numbers.service, service);
        if is_news {
            changes.services.push(numbers.service);
        }
    }
    let all: Vec<ServiceId> = numbers.iter().map(|numbers| numbers.service).collect();
    if let Some(old) = old {
        vacate(&mut changes, &mut services, old, &all);
    }
    let (order, of_rules) = all.split_at(plan.services.len());
    let rules = plan.snat.iter().zip(of_rules).map(|(rule, &number)| {
        services[number].local_ports.clone_from(&rule.ports);
        services[number].modules.clone_from(&rule.modules);
        SnatRule::new(rule, number, &plan.interfaces)
    });
    let (rules, order) = (rules.collect(), order.to_vec());
    let stations = Stations::new(plan, &routing);
    let locals = locals(plan, &routing, &local_addresses, &stations);
    for id in servers.ids().collect::<Vec<_>>() {
        servers[id].named = named(id, old, (&services, &servers), generation);
    }
    if let Some(old) = old {
        note_server_changes(&mut changes, old, &services, &servers);
        changes.routing = old.routing != routing;
        let told: HashMap<IpAddr, _> =
            answered(&old.locals).map(|address| (address, old.stations.of(address))).collect();
        // At another station it is as good as new.
        changes.new_addresses =
            answered(&locals).any(|address| told.get(&address) != Some(&stations.of(address)));
    }
    let nat_arrives_at_owner = plan.ports.iter().all(|port| port.spread == Spread::ByClient);
    let translated = translated(plan, &local_addresses);
    let translated_v4 = translated.iter().filter_map(|address| Some(((V4::of(*address)?, 0), ())));
    let mut sharing = Builder::new(&services, &plan.interfaces);
    let (all, sources) = ((&*order, &services, &servers), &local_addresses);
    let v4 = Addresses::new(&locals, sources, all, &translated, &mut sharing);
    let v6 = Addresses::new(&locals, sources, all, &translated, &mut sharing);
    let sharing = sharing.finish();
    let has_readers = plan.services.iter().any(|service| service.module.reads());
    let has_outward_readers = plan.snat.iter().any(|rule| !rule.modules.is_empty());
    Ok(Snapshot {
        v4,
        v6,
        sharing,
        translated: Lookup::new(translated_v4),
        translates: !translated.is_empty(),
        by_fwmark: by_fwmark(&order, &services),
        by_place: by_place(&order, &services),
        by_key: order.iter().map(|&id| (services[id].key(), id)).collect(),
        untagged: behind::untagged(&plan.interfaces),
        vlans: behind::vlans(&plan.interfaces),
        server_ports: behind::server_ports(plan, &routing, (&services, &servers)),
        nat_arrives_at_owner,
        ports: plan.ports.clone(),
        interfaces: plan.interfaces.iter().cloned().collect(),
        verify_checksums: plan.verify_checksums,
        has_modules: has_readers || has_outward_readers,
        has_calls: plan.services.iter().any(|service| service.module.reads_calls()),
        has_readers,
        has_outward_readers,
        readers: readers(&order, &services),
        tells_clients: plan.services.iter().any(|service| service.client_address.is_told()),
        tunnel_sources: plan.tunnel_sources.clone(),
        redirection_len: plan.redirection_len,
        zero_window: plan.zero_window.clone().filter(|_| nat_arrives_at_owner),
        role: plan.director.role,
        duplicates: plan.director.duplicate_addresses,
        answers_for_all: locals.iter().all(|(_, local)| local.is_answered()),
        stations,
        host_ports: std::array::from_fn(|port| {
            plan.host_ports.iter().any(|host| usize::from(host.0) == port)
        }),
        generation,
        routing,
        services,
        order,
        rules,
        servers,
        local_addresses,
        changes,
        room,
        locals,
    })
}

/// Services that modules read, by what they announce: protocol and VIP.
fn readers(
    order: &[ServiceId],
    services: &ById<ServiceId, Service>,
) -> HashMap<(Protocol, IpAddr), ServiceId> {
    let reads = order.iter().filter(|&&id| services[id].module.reads());
    let vips = |&id: &ServiceId| {
        let announced = services[id].module.announces();
        services[id].reach().vips().filter_map(move |vip| Some(((announced?, vip), id))).collect::<Vec<_>>()
    };
    reads.flat_map(vips).collect()
}

/// Services that are known by their names as well, by what they are known by without.
fn by_place(order: &[ServiceId], services: &ById<ServiceId, Service>) -> HashMap<ServiceKey, Vec<ServiceId>> {
    let mut by_place: HashMap<ServiceKey, Vec<ServiceId>> = HashMap::new();
    for &id in order.iter().filter(|&&id| services[id].beside.is_choosy()) {
        by_place.entry(services[id].place()).or_default().push(id);
    }
    by_place
}

fn by_fwmark(order: &[ServiceId], services: &ById<ServiceId, Service>) -> HashMap<(u32, bool), ServiceId> {
    let marked = order.iter().map(|&id| (&services[id], id)).filter(|(service, _)| service.fwmark != 0);
    marked.map(|(service, id)| ((service.fwmark, service.vip.is_ipv4()), id)).collect()
}

/// The addresses of services whose servers are of another family than their clients: VIPs and local addresses.
fn translated(plan: &Plan, local_addresses: &ById<LocalId, LocalAddress>) -> HashSet<IpAddr> {
    let services = plan.services.iter().filter(|service| service.translates());
    let vips = services.flat_map(|service| service.reach().vips().collect::<Vec<_>>());
    let locals = local_addresses.iter().filter(|local| local.standing != LocalStanding::Vacant);
    vips.chain(locals.filter(|local| local.is_translated).map(|local| local.address)).collect()
}

fn check(what: &'static str, count: usize, most: usize) -> Result<(), SnapshotError> {
    if count > most { Err(SnapshotError::TooMany { what, count, most }) } else { Ok(()) }
}

fn resolve(
    plan: &Plan,
    routing: &Routing,
    id: ServiceId,
    service: &ServicePlan,
    server: &ServerPlan,
) -> Result<Server, SnapshotError> {
    // Whoever is asked under SNAT may be anywhere: each connection has its own next hop.
    let nowhere = NextHop { interface: InterfaceId(0), address: server.address };
    let is_anywhere = service.method.is_outward();
    let next_hop = if is_anywhere { Some(nowhere) } else { routing.next_hop(server.address) };
    let next_hop = next_hop.ok_or(SnapshotError::NoRoute(server.address))?;
    let tunnel = match service.method {
        Method::Tun => {
            let is_ipv4 = server.address.is_ipv4();
            let own = || routing.own_address(next_hop.interface, next_hop.address);
            let local = plan.tunnel_local.filter(|local| local.is_ipv4() == is_ipv4);
            Some(TunnelTo {
                tunnel: service.tunnel.with(server.tunnel, server.address),
                source: local.or_else(own).ok_or(SnapshotError::NoTunnelAddress(server.address))?,
                sources: plan.tunnel_sources.iter().copied().find(|net| net.addr().is_ipv4() == is_ipv4),
            })
        }
        Method::Nat | Method::Dr | Method::FullNat | Method::L3Dsr | Method::Snat => None,
    };
    let standing = server.standing();
    // Whoever builds sets since when.
    Ok(Server { service: id, plan: server.clone(), standing, next_hop, tunnel, dscp: service.dscp, named: 0 })
}

/// The local addresses of a plan, and those that are not in it any more. Such a one leaves with a later snapshot, once no
/// connection has it.
fn local_addresses(plan: &Plan, before: Before<'_>) -> Result<ById<LocalId, LocalAddress>, SnapshotError> {
    let mut wanted: Vec<IpAddr> = Vec::new();
    let of_rules = plan.snat.iter().flat_map(|rule| &rule.addresses);
    let outward: HashSet<IpAddr> = of_rules.clone().copied().collect();
    let of_services = plan.services.iter().flat_map(|service| &service.local_addresses);
    for &address in of_services.chain(of_rules) {
        if !wanted.contains(&address) {
            wanted.push(address);
        }
    }
    let mut all = before.map(|(old, _)| old.local_addresses.clone()).unwrap_or_default();
    let owners: Vec<_> = before.map_or_else(Vec::new, |(old, in_use)| {
        let owners = old.local_addresses.numbered().map(|(id, local)| {
            let is_held = is_held(id, local, in_use);
            (is_held.then_some(local.address), !is_held)
        });
        owners.collect()
    });
    let what = "local address";
    let numbers = Numbers::new(owners, MAX_LOCAL_ADDRESSES)
        .give(wanted.iter().copied())
        .ok_or(SnapshotError::NoRoom { what, room: MAX_LOCAL_ADDRESSES })?;
    if let Some((old, in_use)) = before {
        for (id, local) in old.local_addresses.numbered() {
            let held = is_held(id, local, in_use);
            all[id].standing = if held { LocalStanding::Leaving } else { LocalStanding::Vacant };
        }
    }
    let is_translated = |address| {
        let uses = |service: &&ServicePlan| service.local_addresses.contains(&address);
        plan.services.iter().find(uses).is_some_and(ServicePlan::translates)
    };
    for (address, id) in wanted.into_iter().zip(numbers) {
        let was = all.get(id).is_some_and(|local| local.address == address && local.outward);
        let outward = was || outward.contains(&address);
        let is_translated = is_translated(address);
        all.put(id, LocalAddress { address, standing: LocalStanding::Configured, is_translated, outward });
    }
    Ok(all)
}

/// Whether a local address of the snapshot before keeps its number. While that applies, a connection may still begin with
/// one that is configured.
fn is_held(id: LocalId, local: &LocalAddress, in_use: &dyn Fn(Numbered) -> bool) -> bool {
    match local.standing {
        LocalStanding::Configured => true,
        LocalStanding::Leaving => in_use(Numbered::Local(id)),
        LocalStanding::Vacant => false,
    }
}

/// The service, and whether workers must begin a new turn of its scheduler.
fn build_service(
    service: &ServicePlan,
    (numbers, local_addresses): (&OfService, Vec<LocalId>),
    old: Option<&Snapshot>,
    (start, tables): (Start, &mut Tables),
) -> (Service, bool) {
    let candidates = candidates(service, &numbers.servers);
    let before = old.and_then(|old| old.services.get(numbers.service)).filter(|old| is_same(old, service));
    let destinations = before.and_then(|before| before.scheduler.destinations());
    let same = before.filter(|old| {
        // Whoever remembers destinations has an entry for each.
        (destinations.is_none() || old.reach().vips().eq(service.reach().vips()))
            && (old.scheduler_kind, old.hashes) == (service.scheduler, service.hashes())
            && old.candidates == candidates
    });
    let scheduler = match same {
        Some(old) => old.scheduler.clone(),
        None => {
            let destinations = || Destinations::of(service.reach().vips(), destinations);
            sched::build(service.scheduler, service.hashes(), &candidates, start, tables, &destinations)
        }
    };
    let built = Service {
        name: service.name.clone(),
        protocol: service.protocol,
        vip: service.vip,
        port: service.port,
        beside: service.beside.clone(),
        method: service.method,
        scheduler_kind: service.scheduler,
        hashes: service.hashes(),
        hash_fallback: service.hash_fallback,
        has_thresholds: service.servers.iter().any(|server| server.limits().is_some()),
        scheduler,
        candidates,
        adopt: service.adopt,
        one_packet: service.one_packet,
        clamps_mss: service.mss_clamp.or(service.method.tunnels()),
        timeouts: service.timeouts,
        persistence: service.persistence,
        quic: QuicServers::new(service, &numbers.servers).map(Arc::new),
        fwmark: service.fwmark,
        servers: numbers.servers.clone(),
        local_addresses,
        local_ports: vec![PortRange::ANY],
        client_address: service.client_address,
        module: service.module,
        modules: SnatModules::default(),
    };
    (built, same.is_none())
}

/// A service's servers, by the numbers that they have, as its scheduler sees them.
fn candidates(service: &ServicePlan, numbers: &[ServerId]) -> Vec<Candidate> {
    let weighted = service.servers.iter().zip(service.scheduler_weights()).zip(numbers);
    weighted
        .map(|((server, weight), &number)| Candidate {
            server: number,
            address: server.address,
            port: server.port,
            weight,
        })
        .collect()
}

/// What memory the schedulers of a plan's services take.
#[must_use]
pub fn footprint(services: &[ServicePlan]) -> Footprint {
    let mut footprint = Footprint::default();
    let mut first = 0;
    for service in services {
        let numbers: Vec<_> = (first..).map(ServerId::new).take(service.servers.len()).collect();
        first += count32(numbers.len());
        let destinations = || Destinations::of(service.reach().vips(), None);
        footprint.add(service.scheduler, service.hashes(), &candidates(service, &numbers), &destinations);
    }
    footprint
}

/// Services that are not configured any more keep their place, but no memory for choosing servers.
fn vacate(
    changes: &mut Changes,
    services: &mut ById<ServiceId, Service>,
    old: &Snapshot,
    order: &[ServiceId],
) {
    let configured: HashSet<ServiceId> = order.iter().copied().collect();
    for id in in_plan(old).filter(|id| !configured.contains(id)) {
        let service = &mut services[id];
        service.candidates = Vec::new();
        service.scheduler = nobody();
        changes.services.push(id);
    }
}

/// The scheduler of a service without servers.
fn nobody() -> Arc<dyn Scheduler> {
    let none = || Destinations::of(std::iter::empty(), None);
    sched::build(SchedulerKind::Rr, Hashes::default(), &[], Start::FIRST, &mut Tables::default(), &none)
}

/// Since which snapshot a server has its number.
fn named(
    id: ServerId,
    old: Option<&Snapshot>,
    (services, servers): (&ById<ServiceId, Service>, &ById<ServerId, Server>),
    generation: u64,
) -> u32 {
    let before = old.and_then(|old| same_before(id, old, (services, &servers[id])));
    before.map_or(low32(generation), |before| before.named)
}

fn note_server_changes(
    changes: &mut Changes,
    old: &Snapshot,
    services: &ById<ServiceId, Service>,
    servers: &ById<ServerId, Server>,
) {
    for (id, server) in servers.numbered() {
        let before = old.servers.get(id);
        let is_same = same_before(id, old, (services, server)).is_some();
        let stands_as_before = before.is_some_and(|before| {
            (before.next_hop, before.tunnel, before.dscp) == (server.next_hop, server.tunnel, server.dscp)
                && (before.standing == Standing::Gone) == (server.standing == Standing::Gone)
        });
        if !is_same {
            changes.renamed.push(id);
        }
        if !is_same || !stands_as_before {
            changes.servers.push(id);
        }
    }
}

/// The addresses that the director answers for.
fn answered(locals: &[(IpAddr, Local)]) -> impl Iterator<Item = IpAddr> {
    locals.iter().filter(|(_, local)| local.is_answered()).map(|(address, _)| *address)
}

/// VIPs with their policies, each once, then own and local addresses. A tunnel's own address is one of the director's own.
fn locals(
    plan: &Plan,
    routing: &Routing,
    sources: &ById<LocalId, LocalAddress>,
    stations: &Stations,
) -> Vec<(IpAddr, Local)> {
    let mut locals: Vec<(IpAddr, Local)> = Vec::new();
    let mut known = HashSet::new();
    let is_active = |address| match plan.director.role {
        Role::Active => true,
        Role::Standby => false,
        Role::Follow => stations.has(address),
    };
    for VipPlan { address, unserved } in plan.every_vip() {
        known.insert(address);
        let attached = routing.attached(address);
        locals.push((address, Local::Vip { unserved, attached, active: is_active(address) }));
    }
    for (index, interface) in plan.interfaces.iter().enumerate() {
        let own = Local::Own(InterfaceId(small(index)));
        known.extend(interface.addresses.iter().map(ipnet::IpNet::addr));
        locals.extend(interface.addresses.iter().map(|network| (network.addr(), own)));
    }
    if let Some(local) = plan.tunnel_local
        && known.insert(local)
    {
        let interface = routing.next_hop(local).map_or(InterfaceId(0), |hop| hop.interface);
        locals.push((local, Local::Own(interface)));
    }
    let in_use = sources.iter().filter(|source| source.standing != LocalStanding::Vacant);
    for source in in_use.filter(|source| known.insert(source.address)) {
        let attached = routing.attached(source.address);
        locals.push((source.address, Local::Source { attached, active: is_active(source.address) }));
    }
    locals
}
