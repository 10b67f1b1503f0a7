//! The labels of services and servers. They are long, there are many, and they are the same from scrape to scrape: so
//! they are made once.

use super::text::labels;
use lb_core::service::{
    key::{Label, ServerKey, ServiceKey},
    plan::Plan,
    reach::{Beside, Reach},
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
            let mark = mark(key);
            let labels = service_labels((service.reach(), mark), &service.name);
            let known = before.remove(&key).filter(|known| known.labels == labels);
            let mut known = known.unwrap_or_else(|| ServiceNames { labels, servers: HashMap::new() });
            let mut old = std::mem::take(&mut known.servers);
            for server in &service.servers {
                let endpoint = server.endpoint();
                let labels =
                    old.remove(&endpoint).unwrap_or_else(|| server_labels((service.reach(), mark), endpoint));
                known.servers.insert(endpoint, labels);
            }
            self.services.insert(key, known);
        }
    }

    /// Those of a service, which may be gone since.
    pub(crate) fn service(&self, key: ServiceKey, name: &str) -> Arc<str> {
        let known = self.services.get(&key);
        known.map_or_else(
            || service_labels((alone(key, &Beside::default()), mark(key)), name),
            |known| known.labels.clone(),
        )
    }

    /// Those of a server, which may be gone since.
    pub(crate) fn server(&self, key: ServerKey) -> Arc<str> {
        let known = self.services.get(&key.service);
        let known = known.and_then(|service| service.servers.get(&key.endpoint()));
        let of = key.service;
        let gone = || server_labels((alone(of, &Beside::default()), mark(of)), key.endpoint());
        known.map_or_else(gone, Arc::clone)
    }
}

/// What tells services apart that share an address and port: a name, where IPVS has the firewall's mark.
fn mark(key: ServiceKey) -> Label {
    key.label.unwrap_or_default()
}

const fn alone(key: ServiceKey, beside: &Beside) -> Reach<'_> {
    Reach { key, beside }
}

fn service_labels((reach, mark): (Reach, Label), name: &str) -> Arc<str> {
    let pairs = [
        ("service", name),
        ("local_address", &reach.vips_shown()),
        ("local_port", &reach.ports_shown()),
        ("proto", &reach.protocols_shown()),
        ("local_mark", &mark),
    ];
    labels(&pairs).into()
}

/// With the names that node_exporter's collector for IPVS has.
fn server_labels((reach, mark): (Reach, Label), server: SocketAddr) -> Arc<str> {
    let pairs = [
        ("local_address", &*reach.vips_shown()),
        ("local_port", &reach.ports_shown()),
        ("remote_address", &server.ip().to_string()),
        ("remote_port", &server.port().to_string()),
        ("proto", &reach.protocols_shown()),
        ("local_mark", &mark),
    ];
    labels(&pairs).into()
}
