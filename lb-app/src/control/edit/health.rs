//! What is known of servers, made part of the plan: see [`crate::health`].

use super::change::ChangeError;
use crate::{
    control::live::running::Running,
    dataplane::host::Host,
    health::{Balancer, Target, Way},
};
use lb_core::worker::host::Recipient;
use std::{
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
        let source =
            snapshot.routing.own_address(interface, address).ok_or("its interface has no address")?;
        let IpAddr::V4(source) = source else { return Err("checks of IPv6 are not made yet".to_owned()) };
        let method = snapshot.service_of(found).method;
        let overhead = if as_traffic { method.overhead(address) } else { 0 };
        let mtu = snapshot.interfaces[interface].mtu - overhead;
        Ok(Way {
            to: Recipient { server: found, address, as_traffic },
            source,
            mtu,
            translates: method.rewrites_endpoints(),
        })
    }
}
