//! What is known of servers, made part of the plan: see [`crate::health`].

use super::change::ChangeError;
use crate::{
    control::live::running::Running,
    dataplane::host::Host,
    health::{Balancer, Target, Way},
};
use lb_core::{ids::InterfaceId, service::snapshot::Snapshot, worker::host::Recipient};
use std::{
    iter,
    net::IpAddr,
    sync::{Arc, Weak},
};

/// The way from checks to what runs. It does not keep the director from ending.
pub(in crate::control) struct Link(Weak<Running>);

impl Link {
    pub(in crate::control) fn new(running: &Arc<Running>) -> Self {
        Link(Arc::downgrade(running))
    }
}

impl Balancer for Link {
    fn refresh(&self) -> Result<(), String> {
        let Some(running) = self.0.upgrade() else { return Ok(()) };
        match running.refresh() {
            // The change is made; a worker that did not answer follows when it does.
            Ok(()) | Err(ChangeError::Silent(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn host(&self) -> Option<Arc<Host>> {
        Some(self.0.upgrade()?.host.clone())
    }

    fn way(&self, target: &Target, as_traffic: bool) -> Result<Way, String> {
        let ending = || "the director is stopping".to_owned();
        let snapshot = self.0.upgrade().ok_or_else(ending)?.current().snapshot;
        let found = snapshot.server(&target.key);
        let (found, server) = found.ok_or("the server no longer belongs to its service")?;
        let address = server.plan.address;
        let interface = server.next_hop.interface;
        // A tunnel may carry packets of the VIP's family to a server of the other one.
        let vip = target.key.service.vip;
        let peer = if as_traffic && vip.is_ipv4() != address.is_ipv4() { vip } else { address };
        let source = source(&snapshot, interface, peer).ok_or_else(|| {
            let family = if peer.is_ipv4() { "IPv4" } else { "IPv6" };
            format!("no port has an {family} address to send the check from; add one to `addresses`")
        })?;
        let method = snapshot.service_of(found).method;
        let overhead = if as_traffic { server.overhead() } else { 0 };
        let mtu = snapshot.interfaces[interface].mtu - overhead;
        Ok(Way {
            to: Recipient { server: found, address, as_traffic },
            source,
            mtu,
            translates: method.rewrites_endpoints(),
        })
    }
}

/// The director's address that packets to `peer` are sent from: on its network if the interface that they leave by has
/// one there, or another of that interface; or of any, if it has none of the family. Answers to all of them are taken.
fn source(snapshot: &Snapshot, on: InterfaceId, peer: IpAddr) -> Option<IpAddr> {
    let mut all = iter::once(on).chain(snapshot.interfaces.ids());
    all.find_map(|interface| snapshot.routing.own_address(interface, peer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::{
        packet::PortId,
        service::plan::{InterfacePlan, Plan, PortPlan, Spread},
    };

    #[test]
    fn a_check_is_sent_from_an_address_of_its_family() {
        let mut plan = Plan::default();
        let interfaces = [
            ("wan", vec!["192.0.2.1/24", "2001:db8:1::1/64"]),
            ("lan", vec!["198.51.100.1/24", "203.0.113.1/24"]),
            ("lan6", vec!["2001:db8:2::1/64", "2001:db8:3::1/64"]),
        ];
        for (port, (name, addresses)) in interfaces.into_iter().enumerate() {
            let port = PortId(port as u16);
            plan.ports.push(PortPlan {
                name: name.to_owned(),
                spread: Spread::ByFlow,
                hashing: lb_core::flow::hashing::Hashing::default(),
            });
            let addresses = addresses.into_iter().map(|text| text.parse().unwrap()).collect();
            plan.interfaces.push(InterfacePlan { addresses, ..InterfacePlan::new(name, port) });
        }
        let snapshot = Snapshot::new(&plan).unwrap();
        let from = |on: u16, peer: &str| {
            let own = source(&snapshot, InterfaceId(on), peer.parse().unwrap());
            own.map(|own| own.to_string()).unwrap_or_default()
        };
        let (lan, lan6) = (1, 2);
        assert_eq!(from(lan, "203.0.113.77"), "203.0.113.1");
        assert_eq!(from(lan, "8.8.8.8"), "198.51.100.1", "behind a router");
        assert_eq!(from(lan6, "2001:db8:3::77"), "2001:db8:3::1");
        assert_eq!(from(lan6, "2001:db8:9::77"), "2001:db8:2::1");
        assert_eq!(from(lan, "2001:db8:9::77"), "2001:db8:1::1", "a VIP of IPv6 by a tunnel of IPv4");
        plan.interfaces[0].addresses.pop();
        plan.interfaces.pop();
        plan.ports.pop();
        let snapshot = Snapshot::new(&plan).unwrap();
        assert_eq!(source(&snapshot, InterfaceId(lan), "2001:db8:9::77".parse().unwrap()), None);
    }
}
