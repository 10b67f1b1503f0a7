//! Whose an address is. One rule says what an address may be at once, for configuration files and for plans that are
//! edited while the director runs.

use super::plan::Plan;
use ipnet::IpNet;
use std::{collections::HashMap, fmt, net::IpAddr};

/// What an address is used for, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use<'a> {
    /// The port of that name has it.
    Port(&'a str),
    /// The interface of that name, in a VLAN, has it.
    Interface(&'a str),
    /// Tunnel headers come from it.
    Tunnel,
    /// The route to there leads through it.
    Router(IpNet),
    /// Servers of the service of that name see it in the place of clients' addresses.
    Local(&'a str),
    /// What servers send by themselves leaves with it, by the rule of that name.
    Snat(&'a str),
    /// Clients of the service of that name send to it.
    Vip(&'a str),
    /// It is listed as a VIP.
    ListedVip,
    /// A server of the service of that name has it.
    Server(&'a str),
    /// The sorry server of the service of that name has it.
    SorryServer(&'a str),
    /// The kernel sends checks of the service of that name from it.
    CheckSource(&'a str),
}

/// What addresses are used for, whoever uses them. Of two that do not go together, the later one is the mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Role {
    Own,
    Tunnel,
    Router,
    Vip,
    Local,
    Server,
    CheckSource,
}

impl Role {
    const ALL: [Role; 7] =
        [Role::Own, Role::Tunnel, Role::Router, Role::Vip, Role::Local, Role::Server, Role::CheckSource];

    /// Whether one address may be both. A tunnel may begin at a port's address, and a router is a host that may serve.
    /// Checks leave by the kernel, which may be any host of the network, but have no VIP and no local address: answers to
    /// those come here.
    const fn goes_with(self, other: Role) -> bool {
        match (self, other) {
            (Role::Own | Role::Tunnel, Role::Own | Role::Tunnel)
            | (Role::Router | Role::Server, Role::Router | Role::Server)
            | (Role::Vip, Role::Vip)
            | (Role::Local, Role::Local) => true,
            (Role::CheckSource, other) | (other, Role::CheckSource) => {
                !matches!(other, Role::Vip | Role::Local)
            }
            (Role::Own | Role::Tunnel | Role::Router | Role::Vip | Role::Local | Role::Server, _) => false,
        }
    }
}

impl Use<'_> {
    const fn role(self) -> Role {
        match self {
            Use::Port(_) | Use::Interface(_) => Role::Own,
            Use::Tunnel => Role::Tunnel,
            Use::Router(_) => Role::Router,
            Use::Vip(_) | Use::ListedVip => Role::Vip,
            Use::Local(_) | Use::Snat(_) => Role::Local,
            Use::Server(_) | Use::SorryServer(_) => Role::Server,
            Use::CheckSource(_) => Role::CheckSource,
        }
    }
}

impl fmt::Display for Use<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Use::Port(name) => write!(f, "the address of port {name:?}"),
            Use::Interface(name) => write!(f, "the address of interface {name:?}"),
            Use::Tunnel => f.write_str("the tunnel's local address"),
            Use::Router(IpNet::V4(to)) if to.prefix_len() == 0 => {
                f.write_str("the router of the default route")
            }
            Use::Router(to) => write!(f, "the router of the route to {to}"),
            Use::Local(name) => write!(f, "a local address of service {name:?}"),
            Use::Snat(name) => write!(f, "an address of SNAT rule {name:?}"),
            Use::Vip(name) => write!(f, "the VIP of service {name:?}"),
            Use::ListedVip => f.write_str("a VIP of [[vips]]"),
            Use::Server(name) => write!(f, "a server of service {name:?}"),
            Use::SorryServer(name) => write!(f, "the sorry server of service {name:?}"),
            Use::CheckSource(name) => write!(f, "the source of checks of service {name:?}"),
        }
    }
}

/// Who uses which address, with what `W` says of each: the place in a file, for example. The first of several that use
/// an address for the same counts.
#[derive(Clone, Debug)]
pub struct Owners<'a, W>(HashMap<(IpAddr, Role), (Use<'a>, W)>);

impl<W> Default for Owners<'_, W> {
    fn default() -> Self {
        Owners(HashMap::new())
    }
}

impl<'a, W> Owners<'a, W> {
    /// Notes who uses an address.
    pub fn add(&mut self, address: impl Into<IpAddr>, by: Use<'a>, what: W) {
        self.0.entry((address.into(), by.role())).or_insert((by, what));
    }

    /// Who uses the address for something that does not go with what it is wanted for. Of the two, one is told.
    #[must_use]
    pub fn in_the_way(&self, address: impl Into<IpAddr>, wanted: Use) -> Option<&(Use<'a>, W)> {
        let address = address.into();
        let wanted = wanted.role();
        let mut roles = Role::ALL.into_iter().filter(|role| *role < wanted && !role.goes_with(wanted));
        roles.find_map(|role| self.0.get(&(address, role)))
    }
}

impl<'a> Owners<'a, ()> {
    /// Who uses which address in a plan, but for servers: they are many, and asked for one by one.
    #[must_use]
    pub fn of(plan: &'a Plan) -> Self {
        let mut owners = Owners::default();
        few(plan).for_each(|(address, by)| owners.add(address, by, ()));
        owners
    }
}

/// Every address of a plan, with who uses it.
pub(super) fn all(plan: &Plan) -> impl Iterator<Item = (IpAddr, Use<'_>)> {
    let servers = plan.services.iter().flat_map(|service| {
        service.servers.iter().map(move |server| (server.address, Use::Server(&service.name)))
    });
    few(plan).chain(servers)
}

/// The same without servers.
fn few(plan: &Plan) -> impl Iterator<Item = (IpAddr, Use<'_>)> {
    let own = plan.interfaces.iter().flat_map(|on| {
        let by = if on.tags.is_empty() { Use::Port(&on.name) } else { Use::Interface(&on.name) };
        on.addresses.iter().map(move |network| (network.addr(), by))
    });
    let tunnel = plan.tunnel_local.map(|local| (local, Use::Tunnel));
    let routers = plan.routes.iter().map(|route| (route.via, Use::Router(route.to)));
    let of_services = plan
        .services
        .iter()
        .flat_map(|service| service.reach().vips().map(move |vip| (vip, Use::Vip(&service.name))));
    let listed = plan.vips.iter().map(|vip| (vip.address, Use::ListedVip));
    let locals = plan.services.iter().flat_map(|service| {
        service.local_addresses.iter().map(move |&address| (address, Use::Local(&service.name)))
    });
    let of_rules = plan
        .snat
        .iter()
        .flat_map(|rule| rule.addresses.iter().map(move |&address| (address, Use::Snat(&rule.name))));
    own.chain(tunnel).chain(routers).chain(of_services).chain(listed).chain(locals).chain(of_rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn an_address_is_used_for_one_thing_or_for_two_that_go_together() {
        let uses = [
            Use::Port("wan"),
            Use::Tunnel,
            Use::Router(IpNet::default()),
            Use::Vip("web"),
            Use::ListedVip,
            Use::Local("web"),
            Use::Local("dns"),
            Use::Snat("outbound"),
            Use::Server("web"),
            Use::SorryServer("dns"),
            Use::CheckSource("web"),
        ];
        let mut together = Vec::new();
        for (at, first) in uses.into_iter().enumerate() {
            for second in uses.into_iter().skip(at + 1) {
                let in_the_way = |first, second| {
                    let mut owners = Owners::default();
                    owners.add(Ipv4Addr::LOCALHOST, first, ());
                    owners.in_the_way(Ipv4Addr::LOCALHOST, second).map(|(by, ())| *by)
                };
                assert_eq!(in_the_way(second, first), None, "{first}, {second}");
                match in_the_way(first, second) {
                    None => together.push(format!("{first}, {second}")),
                    Some(by) => assert_eq!(by, first),
                }
            }
        }
        assert_eq!(
            together,
            [
                "the address of port \"wan\", the tunnel's local address",
                "the address of port \"wan\", the source of checks of service \"web\"",
                "the tunnel's local address, the source of checks of service \"web\"",
                "the router of the default route, a server of service \"web\"",
                "the router of the default route, the sorry server of service \"dns\"",
                "the router of the default route, the source of checks of service \"web\"",
                "the VIP of service \"web\", a VIP of [[vips]]",
                "a local address of service \"web\", a local address of service \"dns\"",
                "a local address of service \"web\", an address of SNAT rule \"outbound\"",
                "a local address of service \"dns\", an address of SNAT rule \"outbound\"",
                "a server of service \"web\", the sorry server of service \"dns\"",
                "a server of service \"web\", the source of checks of service \"web\"",
                "the sorry server of service \"dns\", the source of checks of service \"web\"",
            ]
        );
    }
}
