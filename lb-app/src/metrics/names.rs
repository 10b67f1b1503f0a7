//! The labels of services and servers. They are long, there are many, and they are the same from scrape to scrape: so
//! they are made once.

use super::text::labels;
use crate::config::health::ServiceKey;
use lb_core::service::plan::Plan;
use std::{collections::HashMap, net::SocketAddrV4, sync::Arc};

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
    servers: HashMap<SocketAddrV4, Arc<str>>,
}

impl Names {
    /// Whether they are of the plan with that number.
    pub(crate) fn is_of(&self, number: u64) -> bool {
        self.number == Some(number)
    }

    /// Follows the plan with that number: keeps the labels of what was there before, and forgets those of what is gone.
    pub(crate) fn follow(&mut self, plan: &Plan, number: u64) {
        self.number = Some(number);
        let mut before = std::mem::take(&mut self.services);
        for service in &plan.services {
            let key = (service.protocol, SocketAddrV4::new(service.vip, service.port));
            let known = before.remove(&key).filter(|known| known.name == service.name);
            let mut known = known.unwrap_or_else(|| ServiceNames::new(key, &service.name));
            let mut old = std::mem::take(&mut known.servers);
            for server in &service.servers {
                let address = SocketAddrV4::new(server.address, server.port);
                let labels = old.remove(&address).unwrap_or_else(|| server_labels(key, address));
                known.servers.insert(address, labels);
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
    pub(crate) fn server(&self, key: ServiceKey, address: SocketAddrV4) -> Arc<str> {
        let known = self.services.get(&key).and_then(|service| service.servers.get(&address));
        known.map_or_else(|| server_labels(key, address), Arc::clone)
    }
}

impl ServiceNames {
    fn new(key: ServiceKey, name: &str) -> Self {
        ServiceNames { name: name.to_owned(), labels: service_labels(key, name), servers: HashMap::new() }
    }
}

fn service_labels((protocol, vip): ServiceKey, name: &str) -> Arc<str> {
    let pairs = [
        ("service", name),
        ("local_address", &vip.ip().to_string()),
        ("local_port", &vip.port().to_string()),
        ("proto", &protocol.name().to_uppercase()),
        ("local_mark", ""),
    ];
    labels(&pairs).into()
}

/// With the names that node_exporter's collector for IPVS has.
fn server_labels((protocol, vip): ServiceKey, server: SocketAddrV4) -> Arc<str> {
    let pairs = [
        ("local_address", &*vip.ip().to_string()),
        ("local_port", &vip.port().to_string()),
        ("remote_address", &server.ip().to_string()),
        ("remote_port", &server.port().to_string()),
        ("proto", &protocol.name().to_uppercase()),
        ("local_mark", ""),
    ];
    labels(&pairs).into()
}
