//! The labels of services and servers. They are long, there are many, and they are the same from scrape to scrape: so
//! they are made once.

use super::text::labels;
use lb_core::service::{
    key::{ServerKey, ServiceKey},
    plan::Plan,
};
use std::{collections::HashMap, net::SocketAddr, sync::Arc};

/// The labels of everything in a plan, with their braces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Which plan it was.
    number: Option<u64>,
    services: HashMap<ServiceKey, ServiceNames>,
}

#[derive(Clone, Debug)]
struct ServiceNames {
    name: String,
    labels: Arc<str>,
    servers: HashMap<SocketAddr, Arc<str>>,
}

impl Names {
    /// Whether they are of the plan with that number.
    pub(crate) fn is_of(&self, number: u64) -> bool {
        self.number == Some(number)
    }

    /// Follows the plan with that number: keeps the labels of what was there before, and drops those of what was
    /// removed.
    pub(crate) fn follow(&mut self, plan: &Plan, number: u64) {
        self.number = Some(number);
        let mut before = std::mem::take(&mut self.services);
        for service in &plan.services {
            let key = service.key();
            let known = before.remove(&key).filter(|known| known.name == service.name);
            let mut known = known.unwrap_or_else(|| ServiceNames::new(key, &service.name));
            let mut old = std::mem::take(&mut known.servers);
            for server in &service.servers {
                let endpoint = server.endpoint();
                let labels = old.remove(&endpoint).unwrap_or_else(|| server_labels(key.server(endpoint)));
                known.servers.insert(endpoint, labels);
            }
            self.services.insert(key, known);
        }
    }

    /// Those of a service, which may be gone since.
    pub(crate) fn service(&self, key: ServiceKey, name: &str) -> Arc<str> {
        let known = self.services.get(&key);
        known.map_or_else(|| service_labels(key, name), |known| known.labels.clone())
    }

    /// Those of a server, which may be gone since.
    pub(crate) fn server(&self, key: ServerKey) -> Arc<str> {
        let known = self.services.get(&key.service);
        let known = known.and_then(|service| service.servers.get(&key.endpoint()));
        known.map_or_else(|| server_labels(key), Arc::clone)
    }
}

impl ServiceNames {
    fn new(key: ServiceKey, name: &str) -> Self {
        ServiceNames { name: name.to_owned(), labels: service_labels(key, name), servers: HashMap::new() }
    }
}

fn service_labels(key: ServiceKey, name: &str) -> Arc<str> {
    let pairs = [
        ("service", name),
        ("local_address", &key.vip.to_string()),
        ("local_port", &key.port.to_string()),
        ("proto", key.protocol.upper()),
        ("local_mark", ""),
    ];
    labels(&pairs).into()
}

/// With the names that node_exporter's collector for IPVS has.
fn server_labels(key: ServerKey) -> Arc<str> {
    let service = key.service;
    let pairs = [
        ("local_address", &*service.vip.to_string()),
        ("local_port", &service.port.to_string()),
        ("remote_address", &key.address.to_string()),
        ("remote_port", &key.port.to_string()),
        ("proto", service.protocol.upper()),
        ("local_mark", ""),
    ];
    labels(&pairs).into()
}
