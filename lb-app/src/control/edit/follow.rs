//! Which VIPs are this director's under "follow": those that the kernel has on a host side. A thread of the control plane
//! hears of changes from the kernel, and every change of the plan takes what is known into account.

use super::change::ChangeError;
use crate::{
    control::live::{
        held::followed,
        netlink::{self, Changes, Interfaces},
        running::Running,
    },
    journal::Happened,
};
use lb_core::{
    packet::PortId,
    service::plan::{Held, HeldAddresses, Role},
};
use lb_ctl::protocol::events::Kind;
use nix::net::if_::if_nametoindex;
use std::net::IpAddr;
use tracing::warn;

/// How long a notice of the kernel is waited for. Then it is looked anyway.
const WAIT_MS: u16 = 500;
/// Interfaces that stand on one another, at most: a virtual router's on a VLAN's on a host side.
const DEPTH: usize = 4;

/// Who looks at what the kernel has.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    changes: Option<Changes>,
    /// It has been said that it cannot look.
    complained: bool,
}

impl Follower {
    /// Looks, after something has changed or some time has passed. To be called over and over.
    pub(crate) fn round(&mut self, running: &Running) {
        match &self.changes {
            Some(changes) => changes.wait(WAIT_MS),
            // Before the first look, so that nothing happens in between.
            None => self.changes = Changes::watch().inspect_err(|error| self.complain(error)).ok(),
        }
        match netlink::interfaces() {
            Ok(interfaces) => {
                let sides: Vec<(PortId, u32)> = running
                    .taps
                    .iter()
                    .filter_map(|(port, tap)| Some((*port, if_nametoindex(tap.name()).ok()?)))
                    .collect();
                running.kernel_has(held(&sides, &interfaces));
            }
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            warn!("cannot find out which addresses the kernel has on host sides: {error}");
        }
    }
}

/// What the kernel has on host sides, or on interfaces that stand on them.
fn held(sides: &[(PortId, u32)], interfaces: &Interfaces) -> HeldAddresses {
    let mut held = HeldAddresses::new();
    for (&number, interface) in interfaces {
        let chain = std::iter::successors(Some(number), |number| interfaces.get(number)?.below);
        let chain: Vec<u32> = chain.take(DEPTH).collect();
        let Some(at) = chain.iter().position(|number| sides.iter().any(|(_, side)| side == number)) else {
            continue;
        };
        let is_up = |number: &u32| interfaces.get(number).is_some_and(|interface| interface.is_up);
        if !chain[..=at].iter().all(is_up) {
            continue;
        }
        let port = sides.iter().find(|(_, side)| *side == chain[at]).map(|(port, _)| *port);
        for (&address, port) in interface.addresses.iter().zip(std::iter::repeat(port)) {
            held.extend(port.map(|port| (address, Held { port, mac: interface.mac })));
        }
    }
    held
}

impl Running {
    /// The kernel has these addresses on host sides now.
    fn kernel_has(&self, held: HeldAddresses) {
        *self.held.lock() = held;
        let current = self.current();
        let before = &current.plan.held;
        if followed(&current.plan, &self.held.lock()) == *before {
            return;
        }
        // The change takes what is held into account.
        match self.change(|_| Ok(())) {
            Ok(()) | Err(ChangeError::Silent(_)) => self.tell_held(before),
            Err(error) => warn!("cannot follow the kernel: {error}"),
        }
    }

    /// Tells which VIPs are others than before.
    fn tell_held(&self, before: &HeldAddresses) {
        let now = self.current().plan;
        let name = |held: &Held| {
            let tap = self.taps.iter().find(|(port, _)| *port == held.port);
            tap.map_or_else(String::new, |(_, tap)| tap.name().to_owned())
        };
        let tell = |text| self.journal.tell(Happened::new(Kind::RoleChanged, text));
        let is_new = |(vip, held): &(&IpAddr, &Held)| before.get(*vip) != Some(*held);
        for (vip, held) in now.held.iter().filter(is_new) {
            let (name, mac) = (name(held), held.mac);
            tell(format!("the director answers for {vip}, at {mac}: the kernel has it on host side {name}"));
        }
        if now.director.role == Role::Follow {
            for vip in before.keys().filter(|vip| !now.held.contains_key(*vip)) {
                tell(format!("the director says nothing for {vip}: the kernel has it on no host side"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::live::netlink::Interface;
    use lb_core::service::plan::Mac;

    const SIDE: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const VIRTUAL: Mac = Mac([0, 0, 0x5e, 0, 1, 51]);

    fn interface(mac: Mac, below: Option<u32>, is_up: bool, addresses: &[&str]) -> Interface {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Interface { mac, below, is_up, addresses }
    }

    fn told(interfaces: &[(u32, Interface)]) -> Vec<String> {
        let sides = [(PortId(1), 7), (PortId(2), 8)];
        let held = held(&sides, &interfaces.iter().cloned().collect());
        held.iter().map(|(address, held)| format!("{address} {} {}", held.port.0, held.mac)).collect()
    }

    #[test]
    fn addresses_on_host_sides_and_above_them_are_found() {
        let side = interface(SIDE, None, true, &["192.0.2.1", "192.0.2.100"]);
        let elsewhere = interface(Mac([2; 6]), None, true, &["10.0.0.1", "192.0.2.102"]);
        let router = interface(VIRTUAL, Some(7), true, &["192.0.2.101", "2001:db8::100"]);
        let vlan = interface(SIDE, Some(8), true, &[]);
        let on_vlan = interface(VIRTUAL, Some(9), true, &["192.0.2.103"]);
        let other = interface(Mac([4; 6]), None, true, &[]);
        let all = [(3, elsewhere), (7, side), (8, other), (9, vlan), (12, router), (13, on_vlan)];
        assert_eq!(
            told(&all),
            [
                "192.0.2.1 1 02:00:00:00:00:01",
                "192.0.2.100 1 02:00:00:00:00:01",
                "192.0.2.101 1 00:00:5e:00:01:33",
                "192.0.2.103 2 00:00:5e:00:01:33",
                "2001:db8::100 1 00:00:5e:00:01:33",
            ]
        );
        // One that its daemon or its administrator has taken down has nothing, nor has what stands on it.
        for (down, left) in [(12, 3), (9, 4), (7, 1)] {
            let mut all = all.clone();
            all.iter_mut().filter(|(number, _)| *number == down).for_each(|(_, it)| it.is_up = false);
            assert_eq!(told(&all).len(), left, "without {down}: {:?}", told(&all));
        }
        let circle =
            [(3, interface(SIDE, Some(4), true, &["192.0.2.1"])), (4, interface(SIDE, Some(3), true, &[]))];
        assert_eq!(told(&circle), [""; 0]);
    }
}
