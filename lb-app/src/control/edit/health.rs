//! What is known of servers, made part of the plan: see [`crate::health`].

use super::change::ChangeError;
use crate::{
    config,
    control::live::running::{Current, Running},
    dataplane::host::Host,
    health::{Balancer, Target, Way},
};
use lb_core::{
    forward::tun,
    service::{
        key::ServerKey,
        plan::{Method, Plan},
    },
    worker::host::Recipient,
};
use std::{
    collections::HashSet,
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
        let ending = || "the director is ending".to_owned();
        let snapshot = self.0.upgrade().ok_or_else(ending)?.current().snapshot;
        let found = snapshot.server(&target.key);
        let (found, server) = found.ok_or("its service does not have it any more")?;
        let address = server.plan.address;
        let port = server.next_hop.port;
        let source = snapshot.routing.own_address(port, address).ok_or("its port has no address")?;
        let method = snapshot.service_of(found).method;
        let overhead = if as_traffic && method == Method::Tun { tun::OVERHEAD as u16 } else { 0 };
        let mtu = snapshot.ports[usize::from(port.0)].mtu - overhead;
        Ok(Way {
            to: Recipient { server: found, address, as_traffic },
            source,
            mtu,
            translates: method == Method::Nat,
        })
    }
}

impl Current {
    /// The plan as its operator knows it: without the sorry servers that stand in.
    pub(in crate::control) fn operators_plan(&self) -> Plan {
        without_sorry_servers(&self.plan, &self.config)
    }
}

/// The plan as its operator knows it, who does not list the sorry servers of `config` among servers.
pub(in crate::control) fn without_sorry_servers(plan: &Plan, config: &config::Config) -> Plan {
    let sorry = sorry_servers(&config.health);
    let mut plan = plan.clone();
    for service in &mut plan.services {
        let key = service.key();
        service.servers.retain(|server| !sorry.contains(&key.server(server.endpoint())));
    }
    plan
}

/// Refuses servers that are their service's sorry server.
pub(super) fn check_sorry_servers(plan: &Plan, health: &config::health::Health) -> Result<(), ChangeError> {
    let sorry = sorry_servers(health);
    match plan.keyed_servers().find(|(key, _)| sorry.contains(key)) {
        Some((key, _)) => {
            Err(ChangeError::refused(format!("server {key}: it is the service's sorry server")))
        }
        None => Ok(()),
    }
}

fn sorry_servers(health: &config::health::Health) -> HashSet<ServerKey> {
    let services = health.services.iter();
    services.filter_map(|service| Some(service.key.server(service.pool.sorry_server?.address))).collect()
}
