//! Ethernet addresses that the director has beside those of its ports: those of virtual routers (RFC 5798 7.3), while a
//! VRRP daemon has given them to this director together with VIPs.

use super::{
    plan::{Held, HeldAddresses, InterfacePlan, Mac, Plan, Role},
    routing::Routing,
};
use crate::{
    limits::{MAX_PORTS, MAX_VIRTUAL_MACS},
    packet::PortId,
};
use std::net::IpAddr;

/// Which addresses the kernel has, and at which stations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stations {
    held: HeldAddresses,
    /// By port: the first ones are those of addresses that are on a network of the port.
    virtual_macs: Vec<Vec<Mac>>,
    /// By port: whether neighbours send to the first of them.
    is_asked_for: [bool; MAX_PORTS],
}

impl Stations {
    /// Nothing, unless the director follows the kernel. Of more than [`MAX_VIRTUAL_MACS`] on a port the rest is passed over:
    /// nobody could be sent to them.
    pub(super) fn new(plan: &Plan, routing: &Routing) -> Self {
        let mut stations = Stations { virtual_macs: vec![Vec::new(); plan.ports.len()], ..Self::default() };
        if plan.director.role != Role::Follow {
            return stations;
        }
        let on_port = |address: IpAddr, port| {
            let interface = routing.attached(address).and_then(|on| plan.interface(on));
            interface.is_some_and(|interface| interface.port == port)
        };
        for attached in [true, false] {
            let those = plan.held.iter().filter(|(address, held)| on_port(**address, held.port) == attached);
            for (&address, &held) in those {
                if stations.takes(plan, held) {
                    stations.held.insert(address, held);
                    let port = usize::from(held.port.0);
                    stations.is_asked_for[port % MAX_PORTS] |=
                        attached && !stations.virtual_macs[port].is_empty();
                }
            }
        }
        stations
    }

    /// Notes the Ethernet address down, if there is room for it.
    fn takes(&mut self, plan: &Plan, held: Held) -> bool {
        let Some(macs) = self.virtual_macs.get_mut(usize::from(held.port.0)) else { return false };
        if macs.contains(&held.mac) || plan.interfaces_of(held.port).any(|own| own.mac == held.mac) {
            return true;
        }
        let has_room = macs.len() < MAX_VIRTUAL_MACS;
        if has_room {
            macs.push(held.mac);
        }
        has_room
    }

    /// Whether the kernel has an address on a host side.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.held.contains_key(&address)
    }

    /// The Ethernet address at which the kernel has an address.
    pub(super) fn of(&self, address: IpAddr) -> Option<Mac> {
        self.held.get(&address).map(|held| held.mac)
    }

    /// The Ethernet address that an address is announced and answered with on an interface.
    pub(super) fn mac_for(&self, interface: &InterfacePlan, address: IpAddr) -> Mac {
        self.held
            .get(&address)
            .filter(|held| held.port == interface.port)
            .map_or(interface.mac, |held| held.mac)
    }

    /// Those of virtual routers on a port.
    pub(super) fn virtual_macs(&self, port: PortId) -> &[Mac] {
        self.virtual_macs.get(usize::from(port.0)).map_or(&[], Vec::as_slice)
    }

    /// The one of them that most frames on a port are for.
    pub(super) fn most_asked_for(&self, port: PortId) -> Option<Mac> {
        let is_asked_for = self.is_asked_for[usize::from(port.0) % MAX_PORTS];
        self.virtual_macs(port).first().copied().filter(|_| is_asked_for)
    }
}
