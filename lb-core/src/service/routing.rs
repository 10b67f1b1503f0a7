//! Where packets go next: attached networks and static routes.
//!
//! Consulted when a connection is made, not for every packet, so a short sorted list is enough. It has a list for each
//! family, since to ask every entry which it is of takes a tenth of what opening a connection takes.

use super::plan::{InterfacePlan, RoutePlan};
use crate::{cast::small, ids::InterfaceId};
use ipnet::{IpNet, Ipv4Net};
use std::{
    cmp::Reverse,
    net::{IpAddr, Ipv4Addr},
};

/// The neighbour that gets a packet next, and the interface on whose network it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The interface to transmit on.
    pub interface: InterfaceId,
    /// The neighbour on that interface's network: the destination itself, or a router.
    pub address: IpAddr,
}

/// An attached network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attached {
    network: Ipv4Net,
    own: Ipv4Addr,
    interface: InterfaceId,
}

/// A static route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    to: Ipv4Net,
    via: Ipv4Addr,
}

/// All routes, longest prefix first. Those of IPv6 have no list yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    attached: Vec<Attached>,
    routes: Vec<Route>,
}

impl Routing {
    /// Sorts out the interfaces' networks and the static routes.
    #[must_use]
    pub fn new(interfaces: &[InterfacePlan], routes: &[RoutePlan]) -> Self {
        let mut attached: Vec<Attached> = Vec::new();
        for (index, interface) in interfaces.iter().enumerate() {
            let id = InterfaceId(small(index));
            let networks = interface.addresses.iter().filter_map(|network| match network {
                IpNet::V4(network) => Some(*network),
                IpNet::V6(_) => None,
            });
            attached.extend(networks.map(|net| Attached {
                network: net.trunc(),
                own: net.addr(),
                interface: id,
            }));
        }
        attached.sort_by_key(|entry| Reverse(entry.network.prefix_len()));
        let routes = routes.iter().filter_map(|route| match (route.to, route.via) {
            (IpNet::V4(to), IpAddr::V4(via)) => Some(Route { to, via }),
            _ => None,
        });
        let mut routes: Vec<Route> = routes.collect();
        routes.sort_by_key(|route| Reverse(route.to.prefix_len()));
        Routing { attached, routes }
    }

    /// The next hop towards `to`: the longest matching prefix, an attached network before a route of equal length.
    #[must_use]
    pub fn next_hop(&self, to: impl Into<IpAddr>) -> Option<NextHop> {
        let IpAddr::V4(to) = to.into() else { return None };
        let direct = self.attached_to(to);
        let route = self.routes.iter().find(|route| route.to.contains(&to));
        match (direct, route) {
            (Some(direct), Some(route)) if route.to.prefix_len() > direct.network.prefix_len() => {
                self.router(route.via)
            }
            (Some(direct), _) => Some(NextHop { interface: direct.interface, address: to.into() }),
            (None, Some(route)) => self.router(route.via),
            (None, None) => None,
        }
    }

    /// The routers of all static routes that lead somewhere.
    pub fn gateways(&self) -> impl Iterator<Item = NextHop> {
        self.routes.iter().filter_map(|route| self.router(route.via))
    }

    /// The interface whose network contains `address`.
    #[must_use]
    pub fn attached(&self, address: IpAddr) -> Option<InterfaceId> {
        let IpAddr::V4(address) = address else { return None };
        self.attached_to(address).map(|entry| entry.interface)
    }

    /// The director's own address to use on `interface` when talking to `peer`: the one on the peer's network, else the
    /// interface's first.
    #[must_use]
    pub fn own_address(&self, interface: InterfaceId, peer: impl Into<IpAddr>) -> Option<IpAddr> {
        let IpAddr::V4(peer) = peer.into() else { return None };
        let mut on_it = self.attached.iter().filter(|entry| entry.interface == interface);
        let first = on_it.clone().next();
        on_it.find(|entry| entry.network.contains(&peer)).or(first).map(|entry| entry.own.into())
    }

    /// Whether `address` is the network or broadcast address of an attached network with room for hosts.
    #[must_use]
    pub fn is_broadcast(&self, address: impl Into<IpAddr>) -> bool {
        let IpAddr::V4(address) = address.into() else { return false };
        self.attached.iter().any(|entry| {
            entry.network.prefix_len() < 31
                && (entry.network.broadcast() == address || entry.network.network() == address)
        })
    }

    fn attached_to(&self, address: Ipv4Addr) -> Option<&Attached> {
        self.attached.iter().find(|entry| entry.network.contains(&address))
    }

    fn router(&self, via: Ipv4Addr) -> Option<NextHop> {
        self.attached_to(via).map(|entry| NextHop { interface: entry.interface, address: via.into() })
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
        let interfaces =
            [interface("wan", &["192.0.2.1/24", "192.0.2.129/25"]), interface("lan", &["198.51.100.1/24"])];
        let route = |to: &str, via: &str| RoutePlan { to: to.parse().unwrap(), via: via.parse().unwrap() };
        let routes = [
            route("0.0.0.0/0", "192.0.2.254"),
            route("203.0.113.0/24", "198.51.100.2"),
            route("198.51.100.77/32", "192.0.2.9"),
            route("10.0.0.0/8", "172.31.0.1"),
        ];
        Routing::new(&interfaces, &routes)
    }

    #[test]
    fn the_longest_prefix_wins() {
        let hop = |to: &str| {
            routing()
                .next_hop(to.parse::<Ipv4Addr>().unwrap())
                .map(|hop| (hop.interface.0, hop.address.to_string()))
        };
        let is = |interface: u16, address: &str| Some((interface, address.to_string()));
        assert_eq!(hop("192.0.2.7"), is(0, "192.0.2.7"), "attached: the destination itself");
        assert_eq!(hop("203.0.113.5"), is(1, "198.51.100.2"), "a route inside");
        assert_eq!(hop("8.8.8.8"), is(0, "192.0.2.254"), "the default gateway");
        assert_eq!(hop("198.51.100.77"), is(0, "192.0.2.9"), "a host route beats an attached network");
        assert_eq!(hop("10.1.1.1"), None, "a router that is not attached leads nowhere");
    }

    #[test]
    fn own_addresses_match_the_peer() {
        let own = |interface, peer: &str| {
            routing()
                .own_address(InterfaceId(interface), peer.parse::<Ipv4Addr>().unwrap())
                .map(|own| own.to_string())
        };
        assert_eq!(own(0, "192.0.2.200"), Some("192.0.2.129".into()));
        assert_eq!(own(0, "192.0.2.20"), Some("192.0.2.1".into()));
        assert_eq!(own(1, "8.8.8.8"), Some("198.51.100.1".into()));
        assert_eq!(own(2, "8.8.8.8"), None);
    }

    #[test]
    fn broadcasts_are_known() {
        let broadcast = |text: &str| routing().is_broadcast(text.parse::<Ipv4Addr>().unwrap());
        assert!(broadcast("198.51.100.255"));
        assert!(broadcast("198.51.100.0"));
        assert!(!broadcast("198.51.100.1"));
    }
}
