//! Where packets go next: attached networks and static routes.
//!
//! Consulted when a connection is made, not for every packet, so a short sorted list is enough. It has a list for each
//! family, since to ask every entry which it is of takes a tenth of what opening a connection takes.

use super::plan::{InterfacePlan, RoutePlan};
use crate::{cast::small, ids::InterfaceId};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    cmp::Reverse,
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The neighbour that gets a packet next, and the interface on whose network it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The interface to transmit on.
    pub interface: InterfaceId,
    /// The neighbour on that interface's network: the destination itself, or a router.
    pub address: IpAddr,
}

/// A network of one family.
trait Network: Copy {
    /// An address of it.
    type Address: Copy + Debug + Eq + Into<IpAddr>;

    fn prefix_len(self) -> u8;
    fn contains(self, address: Self::Address) -> bool;
}

impl Network for Ipv4Net {
    type Address = Ipv4Addr;

    #[inline(always)]
    fn prefix_len(self) -> u8 {
        Ipv4Net::prefix_len(&self)
    }

    #[inline(always)]
    fn contains(self, address: Ipv4Addr) -> bool {
        Ipv4Net::contains(&self, &address)
    }
}

impl Network for Ipv6Net {
    type Address = Ipv6Addr;

    #[inline(always)]
    fn prefix_len(self) -> u8 {
        Ipv6Net::prefix_len(&self)
    }

    #[inline(always)]
    fn contains(self, address: Ipv6Addr) -> bool {
        Ipv6Net::contains(&self, &address)
    }
}

/// An attached network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attached<N: Network> {
    network: N,
    own: N::Address,
    interface: InterfaceId,
}

/// A static route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route<N: Network> {
    to: N,
    via: N::Address,
    /// Where the router is, if no network says so.
    interface: Option<InterfaceId>,
}

/// The routes of one family, longest prefix first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table<N: Network> {
    attached: Vec<Attached<N>>,
    routes: Vec<Route<N>>,
}

impl<N: Network> Table<N> {
    fn new(mut attached: Vec<Attached<N>>, mut routes: Vec<Route<N>>) -> Self {
        attached.sort_by_key(|entry| Reverse(entry.network.prefix_len()));
        routes.sort_by_key(|route| Reverse(route.to.prefix_len()));
        Table { attached, routes }
    }

    #[inline]
    fn next_hop(&self, to: N::Address) -> Option<NextHop> {
        let direct = self.attached_to(to);
        let route = self.routes.iter().find(|route| route.to.contains(to));
        match (direct, route) {
            (Some(direct), Some(route)) if route.to.prefix_len() > direct.network.prefix_len() => {
                self.router(route)
            }
            (Some(direct), _) => Some(NextHop { interface: direct.interface, address: to.into() }),
            (None, Some(route)) => self.router(route),
            (None, None) => None,
        }
    }

    fn gateways(&self) -> impl Iterator<Item = NextHop> {
        self.routes.iter().filter_map(|route| self.router(route))
    }

    #[inline]
    fn attached_to(&self, address: N::Address) -> Option<&Attached<N>> {
        self.attached.iter().find(|entry| entry.network.contains(address))
    }

    fn own_address(&self, interface: InterfaceId, peer: N::Address) -> Option<IpAddr> {
        let mut on_it = self.attached.iter().filter(|entry| entry.interface == interface);
        let first = on_it.clone().next();
        on_it.find(|entry| entry.network.contains(peer)).or(first).map(|entry| entry.own.into())
    }

    #[inline]
    fn router(&self, route: &Route<N>) -> Option<NextHop> {
        let attached = || self.attached_to(route.via).map(|entry| entry.interface);
        let interface = route.interface.or_else(attached)?;
        Some(NextHop { interface, address: route.via.into() })
    }
}

impl<N: Network> Default for Table<N> {
    fn default() -> Self {
        Table { attached: Vec::new(), routes: Vec::new() }
    }
}

/// All routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    v4: Table<Ipv4Net>,
    v6: Table<Ipv6Net>,
}

impl Routing {
    /// Sorts out the interfaces' networks and the static routes.
    #[must_use]
    pub fn new(interfaces: &[InterfacePlan], routes: &[RoutePlan]) -> Self {
        let (mut of_v4, mut of_v6) = (Vec::new(), Vec::new());
        for (index, plan) in interfaces.iter().enumerate() {
            let interface = InterfaceId(small(index));
            for network in &plan.addresses {
                match network {
                    IpNet::V4(net) => {
                        of_v4.push(Attached { network: net.trunc(), own: net.addr(), interface });
                    }
                    IpNet::V6(net) => {
                        of_v6.push(Attached { network: net.trunc(), own: net.addr(), interface });
                    }
                }
            }
        }
        let (mut routes_v4, mut routes_v6) = (Vec::new(), Vec::new());
        for route in routes {
            let interface = route.interface;
            match (route.to, route.via) {
                (IpNet::V4(to), IpAddr::V4(via)) => routes_v4.push(Route { to, via, interface }),
                (IpNet::V6(to), IpAddr::V6(via)) => routes_v6.push(Route { to, via, interface }),
                // A router of the other family: refused where plans are checked.
                _ => {}
            }
        }
        Routing { v4: Table::new(of_v4, routes_v4), v6: Table::new(of_v6, routes_v6) }
    }

    /// The next hop towards `to`: the longest matching prefix, an attached network before a route of equal length.
    #[inline(always)]
    #[must_use]
    pub fn next_hop(&self, to: impl Into<IpAddr>) -> Option<NextHop> {
        match to.into() {
            IpAddr::V4(to) => self.v4.next_hop(to),
            IpAddr::V6(to) => self.v6.next_hop(to),
        }
    }

    /// The routers of all static routes that lead somewhere.
    pub fn gateways(&self) -> impl Iterator<Item = NextHop> {
        self.v4.gateways().chain(self.v6.gateways())
    }

    /// The interface whose network contains `address`.
    #[must_use]
    pub fn attached(&self, address: IpAddr) -> Option<InterfaceId> {
        match address {
            IpAddr::V4(address) => self.v4.attached_to(address).map(|entry| entry.interface),
            IpAddr::V6(address) => self.v6.attached_to(address).map(|entry| entry.interface),
        }
    }

    /// The director's own address to use on `interface` when talking to `peer`: the one on the peer's network, else the
    /// interface's first.
    #[must_use]
    pub fn own_address(&self, interface: InterfaceId, peer: impl Into<IpAddr>) -> Option<IpAddr> {
        match peer.into() {
            IpAddr::V4(peer) => self.v4.own_address(interface, peer),
            IpAddr::V6(peer) => self.v6.own_address(interface, peer),
        }
    }

    /// Whether `address` is the network or broadcast address of an attached network with room for hosts. IPv6 has none.
    #[must_use]
    pub fn is_broadcast(&self, address: impl Into<IpAddr>) -> bool {
        let IpAddr::V4(address) = address.into() else { return false };
        self.v4.attached.iter().any(|entry| {
            entry.network.prefix_len() < 31
                && (entry.network.broadcast() == address || entry.network.network() == address)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PortId;
    use std::net::Ipv4Addr;

    fn interface(name: &str, addresses: &[&str]) -> InterfacePlan {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        InterfacePlan { addresses, ..InterfacePlan::new(name, PortId(0)) }
    }

    fn routing() -> Routing {
        let interfaces = [
            interface("wan", &["192.0.2.1/24", "192.0.2.129/25", "2001:db8:1::1/64"]),
            interface("lan", &["198.51.100.1/24", "2001:db8:2::1/64"]),
        ];
        let route = |to: &str, via: &str| RoutePlan::new(to.parse().unwrap(), via.parse().unwrap());
        let routes = [
            route("0.0.0.0/0", "192.0.2.254"),
            route("203.0.113.0/24", "198.51.100.2"),
            route("198.51.100.77/32", "192.0.2.9"),
            route("10.0.0.0/8", "172.31.0.1"),
            route("::/0", "2001:db8:1::fe"),
            route("2001:db8:9::/48", "2001:db8:2::2"),
            route("2001:db8:8::/48", "192.0.2.9"),
            RoutePlan { interface: Some(InterfaceId(1)), ..route("2001:db8:7::/48", "fe80::9") },
        ];
        Routing::new(&interfaces, &routes)
    }

    #[test]
    fn the_longest_prefix_wins() {
        let hop = |to: &str| {
            routing()
                .next_hop(to.parse::<IpAddr>().unwrap())
                .map(|hop| (hop.interface.0, hop.address.to_string()))
        };
        let is = |interface: u16, address: &str| Some((interface, address.to_string()));
        assert_eq!(hop("192.0.2.7"), is(0, "192.0.2.7"), "attached: the destination itself");
        assert_eq!(hop("203.0.113.5"), is(1, "198.51.100.2"), "a route inside");
        assert_eq!(hop("8.8.8.8"), is(0, "192.0.2.254"), "the default gateway");
        assert_eq!(hop("198.51.100.77"), is(0, "192.0.2.9"), "a host route beats an attached network");
        assert_eq!(hop("10.1.1.1"), None, "a router that is not attached leads nowhere");
        assert_eq!(hop("2001:db8:1::7"), is(0, "2001:db8:1::7"), "the same for IPv6");
        assert_eq!(hop("2001:db8:9::5"), is(1, "2001:db8:2::2"));
        assert_eq!(hop("2001:db8:77::1"), is(0, "2001:db8:1::fe"));
        assert_eq!(hop("2001:db8:8::1"), is(0, "2001:db8:1::fe"), "not by a router of the other family");
        assert_eq!(hop("2001:db8:7::1"), is(1, "fe80::9"), "a router that no network tells of");
        assert_eq!(
            hop("fe80::1"),
            is(0, "2001:db8:1::fe"),
            "who asks has seen to it that such packets do not leave"
        );
    }

    #[test]
    fn own_addresses_match_the_peer() {
        let own = |interface, peer: &str| {
            routing()
                .own_address(InterfaceId(interface), peer.parse::<IpAddr>().unwrap())
                .map(|own| own.to_string())
        };
        assert_eq!(own(0, "192.0.2.200"), Some("192.0.2.129".into()));
        assert_eq!(own(0, "192.0.2.20"), Some("192.0.2.1".into()));
        assert_eq!(own(1, "8.8.8.8"), Some("198.51.100.1".into()));
        assert_eq!(own(2, "8.8.8.8"), None);
        assert_eq!(own(1, "2001:db8:77::1"), Some("2001:db8:2::1".into()));
    }

    #[test]
    fn broadcasts_are_known() {
        let broadcast = |text: &str| routing().is_broadcast(text.parse::<Ipv4Addr>().unwrap());
        assert!(broadcast("198.51.100.255"));
        assert!(broadcast("198.51.100.0"));
        assert!(!broadcast("198.51.100.1"));
    }
}
