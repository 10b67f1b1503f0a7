//! Whether a plan is consistent. The configuration file's reader finds the same mistakes and reports where they
//! are; this is for plans that are changed while the director runs.

use super::{
    address::no_host,
    key::ServiceKey,
    marks::{Clash, check_fwmarks, check_marks, marks},
    owners::{Owners, Use, all},
    plan::{
        ClientAddress, InterfacePlan, Method, Misfit, Plan, Protocol, Role, RoutePlan, SchedulerKind,
        ServerPlan, ServicePlan, flags_of,
    },
    reach::{Claim, overlaps},
    routing::Routing,
};
use crate::{
    family::{Family, V6},
    limits::{MAX_PORTS_OF_SERVICE, MAX_ROUTES, MAX_VIPS_OF_SERVICE, MAX_WEIGHT},
    sched::threshold::Thresholds,
};
use ipnet::IpNet;
use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};
use thiserror::Error;

/// What is wrong with a plan.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// Two services have the same key.
    #[error("two services have {0}")]
    SameService(ServiceKey),
    /// Two services could have a packet, and none of them is more specific.
    #[error("{claim} would be of service {one:?} and of service {other:?}, and neither is more specific")]
    Overlap {
        /// What they have in common.
        claim: Claim,
        /// The first.
        one: String,
        /// The other.
        other: String,
    },
    /// A service has an address or port twice.
    #[error("service {service:?} has {claim} twice; remove one")]
    Twice {
        /// The service.
        service: String,
        /// What it has twice.
        claim: Claim,
    },
    /// A service has too much that clients send to.
    #[error(
        "service {0:?} has {1} addresses and {2} ports: at most {MAX_VIPS_OF_SERVICE} and {MAX_PORTS_OF_SERVICE}"
    )]
    TooManyVips(String, usize, usize),
    /// The addresses of a service are not of one family.
    #[error("VIPs {one} and {other} of service {service:?} are not of one family; make two services")]
    Families {
        /// The service.
        service: String,
        /// One address.
        one: IpAddr,
        /// Another.
        other: IpAddr,
    },
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
    /// An address is used for two things that do not go together.
    #[error("{address} would be both {one} and {other}; use another address for one of them")]
    TwoUses {
        /// The address.
        address: IpAddr,
        /// What it is.
        one: String,
        /// What else it is.
        other: String,
    },
    /// No host can have the address.
    #[error("{address} cannot be {wanted}: it is not the address of one host")]
    NotAHost {
        /// The address.
        address: IpAddr,
        /// What it is to be.
        wanted: String,
    },
    /// There are too many routes.
    #[error("{0} routes are too many: at most {MAX_ROUTES}")]
    Routes(usize),
    /// Two routes lead to the same network, so that one of them is never used.
    #[error("{0} has a route already; delete it first")]
    SameRoute(String),
    /// A route leads to no network.
    #[error("{0} is not a network of single hosts")]
    NotRouted(IpNet),
    /// A route leads to a network that an interface is on, so that it is never used.
    #[error("{to} is attached to {interface}, which comes first")]
    RouteToAttached {
        /// The network.
        to: IpNet,
        /// The interface.
        interface: String,
    },
    /// A router has to be reached directly.
    #[error(
        "router {0} is on no attached network: `show routes` lists them; or name the interface that it is behind"
    )]
    RouterNotAttached(IpAddr),
    /// Every link has such an address.
    #[error("router {0} has the address of one link: name the interface that it is behind")]
    RouterOfSomeLink(IpAddr),
    /// A router is said to be elsewhere than its address is.
    #[error("router {via} is on the network of {other}, not behind {interface}")]
    RouterElsewhere {
        /// The router.
        via: IpAddr,
        /// Where its address is.
        other: String,
        /// Where it is said to be.
        interface: String,
    },
    /// An interface without addresses of a family asks nobody of that family.
    #[error("{interface} has no {family} address to ask router {via} from: add one to its `addresses`")]
    NoAddressToAskFrom {
        /// The router.
        via: IpAddr,
        /// Its family.
        family: &'static str,
        /// Where it is said to be.
        interface: String,
    },
    /// A port is 0.
    #[error("port 0 is not valid")]
    PortZero,
    /// Only NAT and FullNAT change ports.
    #[error("port {port} is not the service's {service}, and {method} cannot change it")]
    Port {
        /// The server's.
        port: u16,
        /// The service's.
        service: u16,
        /// How packets reach the server.
        method: Method,
    },
    /// Only NAT and FullNAT change ports.
    #[error(
        "port {port} of server {server} would be that of all packets, and {method} cannot change ports; give no port"
    )]
    FixedPort {
        /// The server's port.
        port: u16,
        /// Its address.
        server: IpAddr,
        /// How packets reach it.
        method: Method,
    },
    /// Only a tunnel takes packets of the other family.
    #[error(
        "server {server} and VIP {vip} are not of one family, as {method} requires; method tun takes either"
    )]
    OtherFamily {
        /// The server's address.
        server: IpAddr,
        /// The service's.
        vip: IpAddr,
        /// How packets reach the server.
        method: Method,
    },
    /// A router of one family knows no networks of the other.
    #[error("router {via} and network {to} are not of one family")]
    RouterOfOtherFamily {
        /// The network.
        to: IpNet,
        /// The router.
        via: IpAddr,
    },
    /// IPv6 needs more than the way to a server carries.
    #[error(
        "{0} carries packets of {1} bytes behind the tunnel's header, and IPv6 needs 1280 (RFC 8200): raise the MTU of its port"
    )]
    TooNarrow(IpAddr, u16),
    /// The same of an interface.
    #[error(
        "port {0:?} has MTU {1}, and IPv6 needs 1280 (RFC 8200): raise it, or use no address of IPv6 there"
    )]
    MtuForIpv6(String, u16),
    /// DR reaches attached networks only.
    #[error("{0} is on no attached network, as dr requires")]
    NotAttached(IpAddr),
    /// FullNAT takes local addresses.
    #[error(
        "fullnat takes `local_addresses`: addresses of the director that servers see in the place of clients'"
    )]
    NoLocalAddresses,
    /// Nothing else does.
    #[error("`local_addresses` are for fullnat: with {0}, servers see clients' own addresses")]
    LocalAddresses(Method),
    /// A local address is listed twice.
    #[error("{address} is a local address of service {service} twice; remove one")]
    SameLocalAddress {
        /// The service.
        service: String,
        /// The address.
        address: IpAddr,
    },
    /// Servers see an address of their own family.
    #[error("local address {address} and VIP {vip} are not of one family")]
    LocalAddressOfOtherFamily {
        /// The local address.
        address: IpAddr,
        /// The service's.
        vip: IpAddr,
    },
    /// Only what goes back through the director can be told of clients.
    #[error(
        "client_address = \"{0}\" is for {methods}: with {1}, servers see clients' own addresses, and answer them",
        methods = .0.methods()
    )]
    ClientAddress(ClientAddress, Method),
    /// What would go in front of data is not data of SCTP.
    #[error(
        "client_address = \"{0}\" is for tcp and udp: remove it, or use tun or dr, under which servers see clients"
    )]
    ClientAddressOfSctp(ClientAddress),
    /// A line of text begins a stream, and an option is TCP's.
    #[error("client_address = \"{0}\" is for tcp: use \"proxy-v2\", which datagrams can have as well")]
    ClientAddressOfStreams(ClientAddress),
    /// A tunnel is said to be what it cannot be.
    #[error("{}: {}", .0.0, .0.1)]
    Tunnel((&'static str, &'static str)),
    /// The networks that outer packets come from are none.
    #[error("sources of tunnels: {0}")]
    TunnelSources(String),
    /// L3DSR takes a DSCP.
    #[error("l3dsr takes `dscp`: a number from 1 to 63 by which servers know packets for the VIP")]
    NoDscp,
    /// Nothing else does.
    #[error("`dscp` is for l3dsr: with {0}, packets keep their own; set 0")]
    Dscp(Method),
    /// Servers would not know which of several VIPs a packet is for.
    #[error("a service under l3dsr has one VIP, which its DSCP stands for; make a service for each")]
    DscpOfSeveral,
    /// A server would take packets for one VIP for those of another.
    #[error(transparent)]
    SameDscp(#[from] Clash),
    /// A connection that began elsewhere has another local port.
    #[error("fullnat cannot adopt connections: their servers know them by another local port")]
    Adopt,
    /// Replies are translated by what is known of their connection.
    #[error("one_packet keeps no connection, by which {0} would translate replies; use tun, dr or l3dsr")]
    OnePacket(Method),
    /// A client that stays with its server has connections.
    #[error("one_packet keeps no connection, and persistence goes by connections; use one of them")]
    OnePacketStays,
    /// Nobody knows how many connections there are.
    #[error("one_packet keeps no connection, and thresholds count connections; use one of them")]
    OnePacketThreshold,
    /// Not every scheduler hashes.
    #[error("hash_port is for sh and mh: {0} does not hash the client's address")]
    HashPort(SchedulerKind),
    /// The same; and others choose among those that are not full anyway.
    #[error("hash_fallback is for sh and mh: {0} does not hash the client's address")]
    HashFallback(SchedulerKind),
    /// There is nothing that could be followed.
    #[error(
        "role follow takes a port with a host side, where the kernel has VIPs: set `host` of a port and restart"
    )]
    NothingToFollow,
    /// A weight is too high.
    #[error("weight {0} is too high: at most {MAX_WEIGHT}")]
    Weight(u32),
    /// Whoever is full would be full for good.
    #[error(
        "lower_threshold {} is above upper_threshold {}: a server is full from the upper one until it has fewer than the \
         lower", .0.lower, .0.upper
    )]
    Thresholds(Thresholds),
}

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
    let owners = Owners::of(plan);
    for (address, wanted) in all(plan).chain(others) {
        check_address(&routing, &owners, address, wanted)?;
    }
    let (mut keys, mut names) = (HashSet::new(), HashSet::new());
    for service in &plan.services {
        check_reach(service)?;
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
        if service.one_packet && service.method.sees_replies() {
            return Err(PlanError::OnePacket(service.method));
        }
        if service.one_packet && service.persistence.is_on() {
            return Err(PlanError::OnePacketStays);
        }
        check_local_addresses(service)?;
        check_client_address(service)?;
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
    let claims = all.flat_map(|(place, service)| service.reach().claims().map(move |claim| (claim, place)));
    let Some((claim, one, other)) = overlaps(claims).into_iter().next() else { return Ok(()) };
    let name = |place: usize| plan.services[place].name.clone();
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

fn check_local_addresses(service: &ServicePlan) -> Result<(), PlanError> {
    let addresses = &service.local_addresses;
    if !service.method.hides_clients() {
        return if addresses.is_empty() { Ok(()) } else { Err(PlanError::LocalAddresses(service.method)) };
    }
    if addresses.is_empty() {
        return Err(PlanError::NoLocalAddresses);
    }
    if service.adopt {
        return Err(PlanError::Adopt);
    }
    if let Some(&address) = addresses.iter().find(|address| address.is_ipv4() != service.vip.is_ipv4()) {
        return Err(PlanError::LocalAddressOfOtherFamily { address, vip: service.vip });
    }
    let mut seen = HashSet::new();
    match addresses.iter().find(|address| !seen.insert(**address)) {
        Some(&address) => Err(PlanError::SameLocalAddress { service: service.name.clone(), address }),
        None => Ok(()),
    }
}

fn check_client_address(service: &ServicePlan) -> Result<(), PlanError> {
    let told = service.client_address;
    if !told.goes_with(service.method) {
        return Err(PlanError::ClientAddress(told, service.method));
    }
    if told.is_told() && service.reach().protocols().any(|protocol| protocol == Protocol::Sctp) {
        return Err(PlanError::ClientAddressOfSctp(told));
    }
    let has_datagrams = service.reach().protocols().any(|protocol| protocol == Protocol::Udp);
    if !told.takes_datagrams() && has_datagrams {
        return Err(PlanError::ClientAddressOfStreams(told));
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

/// Whether every link can have the address, so that it alone does not tell where it is.
#[must_use]
pub const fn is_of_some_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
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
