//! Sorry servers, which stand in for a service's own: workers have them among its servers, its operator has not.

use crate::{config, control::live::running::Current};
use lb_core::service::{key::ServerKey, plan::Plan};
use std::collections::HashSet;

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

/// A server of the plan that is its service's sorry server, if there is one.
pub(super) fn sorry_server_among(plan: &Plan, health: &config::health::Health) -> Option<ServerKey> {
    let sorry = sorry_servers(health);
    plan.keyed_servers().map(|(key, _)| key).find(|key| sorry.contains(key))
}

fn sorry_servers(health: &config::health::Health) -> HashSet<ServerKey> {
    let services = health.services.iter();
    services.filter_map(|service| Some(service.key.server(service.pool.sorry_server?.address))).collect()
}
