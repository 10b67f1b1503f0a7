//! Which services and servers are listed, in which order, and which one is chosen.

use super::data::Picture;
use crate::{
    command::top::Sort,
    protocol::{
        health,
        keys::{Reach, ServerEndpoint, ServiceKey},
        services::{Rate, Server, Service},
    },
};
use std::cmp::Reverse;

/// Which lines are listed, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) sort: Sort,
    /// What names or addresses contain.
    pub(super) filter: String,
    /// Servers are shown, not services alone.
    pub(super) servers: bool,
}

/// A line of the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) service: &'a Service,
    /// The server; none on the service's own line.
    pub(super) server: Option<&'a Server>,
    /// What is known of the service's servers.
    pub(super) health: Option<&'a health::Service>,
}

/// What a line is about, whatever its place in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) service: ServiceKey,
    pub(super) name: String,
    pub(super) server: Option<ServerEndpoint>,
}

impl<'a> Row<'a> {
    pub(super) fn subject(&self) -> Subject {
        Subject {
            service: self.service.key,
            name: self.service.name.clone(),
            server: self.server.map(|server| server.endpoint),
        }
    }

    pub(super) fn is(&self, subject: &Subject) -> bool {
        let is_it = (self.service.key, &self.service.name) == (subject.service, &subject.name);
        is_it && self.server.map(|server| server.endpoint) == subject.server
    }

    /// What checks found of the server.
    pub(super) fn checked(&self) -> Option<&'a health::Server> {
        let endpoint = self.server?.endpoint;
        self.health?.servers.iter().find(|server| server.endpoint == endpoint)
    }
}

/// All lines of the list.
pub(super) fn rows<'a>(picture: &'a Picture, wanted: &Wanted) -> Vec<Row<'a>> {
    let mut services: Vec<(&Service, Vec<&Server>)> = Vec::new();
    let filter = wanted.filter.to_lowercase();
    for service in &picture.services {
        let contains = |text: &str| text.to_lowercase().contains(&filter);
        let whole =
            contains(&service.name) || contains(&Reach::shown(service.reach.as_ref(), &service.key).1);
        let fits = |server: &&Server| whole || contains(&server.endpoint.to_string());
        let servers: Vec<&Server> = service.servers.iter().filter(fits).collect();
        if whole || !servers.is_empty() {
            services.push((service, servers));
        }
    }
    if wanted.sort != Sort::Name {
        services.sort_by_key(|(service, _)| Reverse(key(wanted.sort, &service.rate, active(service))));
    }
    let mut rows = Vec::new();
    for (service, mut servers) in services {
        let health = picture.health.get(&service.name);
        rows.push(Row { service, server: None, health });
        if wanted.sort != Sort::Name {
            servers.sort_by_key(|server| Reverse(key(wanted.sort, &server.rate, server.active)));
        }
        if wanted.servers {
            rows.extend(servers.into_iter().map(|server| Row { service, server: Some(server), health }));
        }
    }
    rows
}

/// Connections of a service that can carry data.
pub(super) fn active(service: &Service) -> u64 {
    service.servers.iter().map(|server| server.active).sum()
}

fn key(sort: Sort, rate: &Rate, active: u64) -> u64 {
    match sort {
        Sort::Name => 0,
        Sort::Cps => rate.connections_per_s,
        Sort::Pps => rate.packets_in_per_s + rate.packets_out_per_s,
        Sort::Bps => rate.bytes_in_per_s + rate.bytes_out_per_s,
        Sort::Active => active,
    }
}
