//! Whether a plan is consistent. The configuration file's reader finds the same mistakes and reports where they
//! are; this is for plans that are changed while the director runs.

mod error;
mod local;

pub use error::PlanError;

use super::{
    address::{is_of_some_link, no_host},
    from,
    marks::{check_fwmarks, check_marks, marks},
    module,
    overlaps::overlaps,
    owners::{Owners, Use, all},
    plan::{InterfacePlan, Misfit, Plan, Role, RoutePlan, ServerPlan, ServicePlan, flags_of},
    quic,
    routing::Routing,
    snat, stays,
};
use crate::{
    family::{Family, V6},
    limits::{MAX_PORTS_OF_SERVICE, MAX_ROUTES, MAX_VIPS_OF_SERVICE, MAX_WEIGHT},
};
use ipnet::IpNet;
use std::{collections::HashSet, net::IpAddr};

/// Checks a plan. `others` are addresses that are not in it, with who uses them.
///
/// # Errors
/// The first mistake that is found.
pub fn check<'a>(
    plan: &'a Plan,
    others: impl IntoIterator<Item = (IpAddr, Use<'a>)>,
) -> Result<(), PlanError> {
    let routing = Routing::new(&plan.interfaces, &plan.routes);
    if plan.director.role == Role::Follow && plan.host_ports.is_empty() {
        return Err(PlanError::NothingToFollow);
    }
    check_interfaces(plan)?;
    check_routes(plan, &routing)?;
    check_tunnel_sources(plan)?;
    snat::check(plan)?;
    let owners = Owners::of(plan);
    for (address, wanted) in all(plan).chain(others) {
        check_address(&routing, &owners, address, wanted)?;
    }
    let (mut keys, mut names) = (HashSet::new(), HashSet::new());
    for service in &plan.services {
        check_reach(service)?;
        from::check(service, &plan.interfaces)?;
        if !keys.insert(service.key()) {
            return Err(PlanError::SameService(service.key()));
        }
        if !names.insert(&service.name) {
            return Err(PlanError::SameName(service.name.clone()));
        }
        if flags_of(service.scheduler).is_none() {
            if service.hash_port {
                return Err(PlanError::HashPort(service.scheduler));
            }
            if service.hash_fallback {
                return Err(PlanError::HashFallback(service.scheduler));
            }
        }
        if service.hash_servers > 0 && !service.scheduler.has_table() {
            return Err(PlanError::HashServers(service.scheduler));
        }
        if service.one_packet && service.method.sees_replies() {
            return Err(PlanError::OnePacket(service.method));
        }
        if let Some(mistake) = stays::mistake(service) {
            return Err(PlanError::Persistence(mistake));
        }
        local::check(service)?;
        local::check_told(service)?;
        module::mistake(service).map_or(Ok(()), Err)?;
        quic::mistakes(service).into_iter().next().map_or(Ok(()), Err)?;
        check_tunnel(service.tunnel.mistake(service.method.tunnels()))?;
        check_dscp(service)?;
        let mut servers = HashSet::new();
        for server in &service.servers {
            check_server(plan, &routing, service, server)?;
            if !servers.insert(server.endpoint()) {
                let server = server.endpoint();
                return Err(PlanError::SameServer { service: service.name.clone(), server });
            }
        }
    }
    check_marks(plan.services.iter().flat_map(|service| marks(service, [])))?;
    check_fwmarks(&plan.services)?;
    local::check_translated(plan)?;
    check_overlaps(plan)
}

/// What clients of a service send to, by itself.
fn check_reach(service: &ServicePlan) -> Result<(), PlanError> {
    if service.one_port() == Some(0) {
        return Err(PlanError::PortZero);
    }
    let (vips, ports) = (service.reach().vips().count(), service.reach().ports().count());
    if vips > MAX_VIPS_OF_SERVICE || ports > MAX_PORTS_OF_SERVICE {
        return Err(PlanError::TooManyVips(service.name.clone(), vips, ports));
    }
    let one = service.vip;
    match service.reach().vips().find(|vip| vip.is_ipv4() != one.is_ipv4()) {
        Some(other) => Err(PlanError::Families { service: service.name.clone(), one, other }),
        None => Ok(()),
    }
}

fn check_overlaps(plan: &Plan) -> Result<(), PlanError> {
    let all = plan.services.iter().enumerate();
    let claims =
        all.flat_map(|(place, service)| service.reach().claims_by_client().map(move |claim| (claim, place)));
    let Some((claim, one, other)) = overlaps(claims).into_iter().next() else { return Ok(()) };
    let name = |place: usize| plan.services[place].name.clone();
    let claim = claim.to_string();
    Err(if one == other {
        PlanError::Twice { service: name(one), claim }
    } else {
        PlanError::Overlap { claim, one: name(one), other: name(other) }
    })
}

fn check_address(
    routing: &Routing,
    owners: &Owners<()>,
    address: IpAddr,
    wanted: Use,
) -> Result<(), PlanError> {
    if let Some((other, ())) = owners.in_the_way(address, wanted) {
        return Err(PlanError::TwoUses { address, one: other.to_string(), other: wanted.to_string() });
    }
    // The kernel's addresses are its own business.
    let is_broadcast = routing.is_broadcast(address) || no_host(address).is_some();
    let is_router = matches!(wanted, Use::Router(_)) && is_of_some_link(address);
    if is_broadcast && !is_router && !matches!(wanted, Use::Port(_) | Use::Interface(_) | Use::CheckSource(_))
    {
        return Err(PlanError::NotAHost { address, wanted: wanted.to_string() });
    }
    Ok(())
}

fn check_dscp(service: &ServicePlan) -> Result<(), PlanError> {
    match (service.method.marks(), service.dscp) {
        (true, 0) => Err(PlanError::NoDscp),
        (true, _) if service.reach().vips().count() > 1 => Err(PlanError::DscpOfSeveral),
        (false, 1..) => Err(PlanError::Dscp(service.method)),
        (true | false, _) => Ok(()),
    }
}

/// What is wrong with a network as the source of tunnels, if anything is, and what to do about it. An address of its own for
/// each of a few flows takes two; those of a network that is not known to be somebody's are never all one's own.
#[must_use]
pub fn sources_mistake(network: IpNet) -> Option<(String, String)> {
    let shortest = if network.addr().is_ipv4() { 8 } else { 32 };
    let longest = network.max_prefix_len() - 1;
    let remedy = || format!("use a prefix from /{shortest} to /{longest}");
    if !(shortest..=longest).contains(&network.prefix_len()) {
        return Some((format!("{network} is too large or too small"), remedy()));
    }
    let (first, last) = (network.network(), network.broadcast());
    let cannot = no_host(first).or_else(|| no_host(last))?;
    Some((format!("{first} is {cannot}"), "use a network of unicast addresses".to_owned()))
}

/// Networks that outer packets come from: one of each family, of which nobody has an address.
fn check_tunnel_sources(plan: &Plan) -> Result<(), PlanError> {
    let mut families = HashSet::new();
    for network in &plan.tunnel_sources {
        if let Some((what, remedy)) = sources_mistake(*network) {
            return Err(PlanError::TunnelSources(format!("{what}; {remedy}")));
        }
        if !families.insert(network.addr().is_ipv4()) {
            return Err(PlanError::TunnelSources("there are two networks of one family".to_owned()));
        }
        let overlaps = |own: &IpNet| own.contains(network) || network.contains(own);
        if let Some(on) = plan.interfaces.iter().find(|on| on.addresses.iter().any(overlaps)) {
            return Err(PlanError::TunnelSources(format!("{network} is attached to port {:?}", on.name)));
        }
        if let Some((address, wanted)) = all(plan).find(|(address, _)| network.contains(address)) {
            let wanted = wanted.to_string();
            return Err(PlanError::TwoUses {
                address,
                one: format!("a source of tunnels ({network})"),
                other: wanted,
            });
        }
    }
    Ok(())
}

fn check_tunnel(misfit: Option<Misfit>) -> Result<(), PlanError> {
    misfit.map_or(Ok(()), |misfit| Err(PlanError::Tunnel(misfit.text())))
}

/// Bytes that every link of IPv6 carries.
const IPV6_MTU: u16 = V6::SMALLEST_PATH_MTU;

fn check_interfaces(plan: &Plan) -> Result<(), PlanError> {
    let is_ipv6 = |network: &IpNet| network.addr().is_ipv6();
    let narrow = |on: &&InterfacePlan| on.mtu < IPV6_MTU && on.addresses.iter().any(is_ipv6);
    plan.interfaces
        .iter()
        .find(narrow)
        .map_or(Ok(()), |on| Err(PlanError::MtuForIpv6(on.name.clone(), on.mtu)))
}

fn check_routes(plan: &Plan, routing: &Routing) -> Result<(), PlanError> {
    if plan.routes.len() > MAX_ROUTES {
        return Err(PlanError::Routes(plan.routes.len()));
    }
    let mut seen = HashSet::new();
    for route in &plan.routes {
        if route.to.trunc() != route.to || route.to.addr().is_multicast() {
            return Err(PlanError::NotRouted(route.to));
        }
        if !seen.insert(route.to) {
            return Err(PlanError::SameRoute(shown(route.to)));
        }
        if route.to.addr().is_ipv4() != route.via.is_ipv4() {
            return Err(PlanError::RouterOfOtherFamily { to: route.to, via: route.via });
        }
        let is_attached_to = |network: &IpNet| network.trunc() == route.to;
        if let Some(on) = plan.interfaces.iter().find(|on| on.addresses.iter().any(is_attached_to)) {
            return Err(PlanError::RouteToAttached { to: route.to, interface: on.shown() });
        }
        check_router(plan, routing, route)?;
    }
    Ok(())
}

fn check_router(plan: &Plan, routing: &Routing, route: &RoutePlan) -> Result<(), PlanError> {
    let (via, attached) = (route.via, routing.attached(route.via));
    let Some(id) = route.interface else {
        return match attached {
            _ if is_of_some_link(via) => Err(PlanError::RouterOfSomeLink(via)),
            Some(_) => Ok(()),
            None => Err(PlanError::RouterNotAttached(via)),
        };
    };
    let shown = |id| plan.interface(id).map(InterfacePlan::shown).unwrap_or_default();
    if let Some(other) = attached.filter(|other| *other != id) {
        return Err(PlanError::RouterElsewhere { via, other: shown(other), interface: shown(id) });
    }
    if plan.interface(id).is_none_or(|on| !on.has_family_of(via)) {
        let family = if via.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(PlanError::NoAddressToAskFrom { via, family, interface: shown(id) });
    }
    Ok(())
}

/// A route's destination as operators write it.
#[must_use]
pub fn shown(to: IpNet) -> String {
    match (to.prefix_len(), to) {
        (0, IpNet::V4(_)) => "default".to_owned(),
        _ => to.to_string(),
    }
}

fn check_server(
    plan: &Plan,
    routing: &Routing,
    service: &ServicePlan,
    server: &ServerPlan,
) -> Result<(), PlanError> {
    if server.port == 0 && service.one_port().is_some() {
        return Err(PlanError::PortZero);
    }
    if server.weight > MAX_WEIGHT {
        return Err(PlanError::Weight(server.weight));
    }
    if server.thresholds.lower > server.thresholds.upper {
        return Err(PlanError::Thresholds(server.thresholds));
    }
    if server.thresholds.is_some() && service.one_packet {
        return Err(PlanError::OnePacketThreshold);
    }
    if !service.method.rewrites_endpoints() && server.port != service.default_server_port() {
        let (port, method) = (server.port, service.method);
        return Err(match service.one_port() {
            Some(service) => PlanError::Port { port, service, method },
            None => PlanError::FixedPort { port, server: server.address, method },
        });
    }
    if let Some(&local) = service.local_addresses.first()
        && local.is_ipv4() != server.address.is_ipv4()
    {
        return Err(PlanError::OtherFamilyThanLocal { server: server.address, local });
    }
    if service.method.keeps_family() && server.address.is_ipv4() != service.vip.is_ipv4() {
        let (server, vip, method) = (server.address, service.vip, service.method);
        return Err(PlanError::OtherFamily { server, vip, method });
    }
    check_tunnel(server.tunnel.mistake(service.method.tunnels(), service.tunnel))?;
    let way = routing.next_hop(server.address).and_then(|hop| plan.interface(hop.interface));
    let carries =
        way.map_or(u16::MAX, |on| on.mtu.saturating_sub(service.overhead(server.tunnel, server.address)));
    if service.vip.is_ipv6() && carries < IPV6_MTU {
        return Err(PlanError::TooNarrow(server.address, carries));
    }
    let is_attached = || routing.next_hop(server.address).is_some_and(|hop| hop.address == server.address);
    if service.method.is_link_local() && !is_attached() {
        return Err(PlanError::NotAttached(server.address));
    }
    Ok(())
}
