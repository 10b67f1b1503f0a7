//! Metrics of checks: what they say of servers, and what follows from it.

use super::{
    facts::Facts,
    text::{Family, Kind, Writer},
};
use crate::health::report::ServerState;

/// Writes them.
pub(super) fn write<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    let Some(report) = &facts.health else { return };
    let gauge = |name, help| Family { name, kind: Kind::Gauge, help };
    let counter = |name, help| Family { name, kind: Kind::Counter, help };
    writer.family(&counter("lb_health_hooks", "Hooks that were run."));
    writer.sample("", report.hooks.0);
    writer.family(&counter("lb_health_failed_hooks", "Hooks that failed."));
    writer.sample("", report.hooks.1);
    let services: Vec<_> = report
        .services
        .iter()
        .map(|service| (facts.names.service(service.key, &service.name), service))
        .collect();
    writer.family(&gauge("lb_health_quorum", "Whether a service has its quorum."));
    services.iter().for_each(|(labels, service)| writer.sample(labels, u64::from(service.quorum)));
    writer.family(&counter("lb_health_quorum_changes", "Times a quorum was reached or lost."));
    services.iter().for_each(|(labels, service)| writer.sample(labels, service.quorum_changes));
    writer.family(&gauge("lb_health_sorry_server", "Whether a service's sorry server gets new connections."));
    for (labels, service) in services.iter().filter(|(_, service)| service.sorry.is_some()) {
        writer.sample(labels, u64::from(service.sorry.is_some_and(|(_, serves)| serves)));
    }
    let servers: Vec<_> = report
        .services
        .iter()
        .flat_map(|service| {
            service
                .servers
                .iter()
                .map(|server| (facts.names.server(service.key.server(server.address)), server))
        })
        .collect();
    writer.family(&gauge("lb_health_up", "Whether a real server is up, by its checks."));
    for (labels, server) in &servers {
        writer.sample(labels, u64::from(server.state == ServerState::Up));
    }
    writer.family(&gauge("lb_health_held", "Whether a real server is held because of flapping."));
    for (labels, server) in &servers {
        writer.sample(labels, u64::from(server.state == ServerState::Held));
    }
    writer.family(&counter("lb_health_checks", "Checks of a real server."));
    servers.iter().for_each(|(labels, server)| writer.sample(labels, server.checks));
    writer.family(&counter("lb_health_failed_checks", "Checks of a real server that failed."));
    servers.iter().for_each(|(labels, server)| writer.sample(labels, server.failures));
    writer.family(&counter("lb_health_changes", "How often a real server went up or down."));
    servers.iter().for_each(|(labels, server)| writer.sample(labels, server.transitions));
    writer.family(&gauge("lb_health_check_duration_seconds", "How long the last check took."));
    for (labels, server) in &servers {
        writer.fraction(labels, server.took_us as f64 / 1e6);
    }
}
