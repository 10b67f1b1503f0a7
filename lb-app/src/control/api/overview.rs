//! Services in a line each, those that need somebody first.

use super::{keys, rates::Rates, traffic::add_rate};
use crate::{
    control::{live::running::Current, plane::ControlPlane},
    health::report::{ServerState, ServiceReport},
};
use lb_core::service::{
    plan::{Health, ServerPlan, ServicePlan},
    snapshot::Service,
};
use lb_ctl::protocol::{
    Reply,
    overview::{MOST, MOST_FAILURES, Overview, Request, ServerFailure, ServiceOverview, State, StateCount},
    services::Rate,
};
use std::{collections::HashMap, net::SocketAddr};

pub(super) fn answer(plane: &ControlPlane, rates: &Rates, request: &Request) -> Reply {
    let Current { plan, snapshot, config, .. } = plane.running.current();
    let report = plane.monitor().map(|monitor| monitor.report());
    let reports: HashMap<_, &ServiceReport> =
        report.iter().flat_map(|report| &report.services).map(|service| (service.key, service)).collect();
    let sorry = config.health.services.iter();
    let sorry: HashMap<_, SocketAddr> =
        sorry.filter_map(|health| Some((health.key, health.pool.sorry_server?.address))).collect();
    let words: Vec<String> = request.filter.split_whitespace().map(str::to_lowercase).collect();
    // Both are in the operator's order.
    let configured = plan.services.iter().zip(snapshot.configured().map(|(_, service)| service));
    let all = configured.map(|(planned, service)| {
        let key = planned.key();
        (describe(planned, reports.get(&key).copied(), sorry.get(&key)), planned, service)
    });
    let matching = all.filter(|(told, planned, _)| has_words(told, planned, &words));
    let mut matching: Vec<(ServiceOverview, &Service)> =
        matching.map(|(told, _, service)| (told, service)).collect();
    let mut overview = Overview {
        total: plan.services.len() as u32,
        matching: matching.len() as u32,
        states: State::ALL.map(|state| StateCount { state, services: 0 }).into(),
        services: Vec::new(),
    };
    for count in &mut overview.states {
        count.services = matching.iter().filter(|(told, _)| told.state == count.state).count() as u32;
    }
    // In the operator's order where they are the same.
    matching.sort_by_key(|(told, _)| told.state);
    matching.truncate(request.limit.unwrap_or(MOST).min(MOST) as usize);
    // What passes is summed up for those only that are listed.
    overview.services = matching
        .into_iter()
        .map(|(mut told, service)| {
            for &id in &service.servers {
                let load = plane.running.board.total(id);
                told.active += u64::from(load.active);
                told.inactive += u64::from(load.inactive);
                add_rate(&mut told.rate, &rates.of_server(id));
            }
            told
        })
        .collect();
    Reply::Overview(overview)
}

/// A service without what passes.
fn describe(
    plan: &ServicePlan,
    report: Option<&ServiceReport>,
    sorry: Option<&SocketAddr>,
) -> ServiceOverview {
    let mut told = ServiceOverview {
        name: plan.name.clone(),
        description: plan.description.clone(),
        key: keys::service_told(plan.key()),
        reach: keys::reach_told(plan.reach()),
        method: plan.method.to_string(),
        scheduler: plan.scheduler.to_string(),
        state: State::Up,
        quorum: report.map(|report| report.quorum),
        servers: 0,
        serving: 0,
        down: 0,
        drained: 0,
        active: 0,
        inactive: 0,
        rate: Rate::default(),
        failures: report.map(failures).unwrap_or_default(),
    };
    for server in plan.servers.iter().filter(|server| Some(&server.endpoint()) != sorry) {
        told.servers += 1;
        match word(server) {
            "up" => told.serving += 1,
            "down" => told.down += 1,
            _ => told.drained += 1,
        }
    }
    told.state = state(&told, report.is_some_and(|report| report.kept));
    told
}

fn state(told: &ServiceOverview, is_kept: bool) -> State {
    match told {
        ServiceOverview { quorum: Some(false), .. } => State::NoQuorum,
        _ if is_kept => State::NoQuorum,
        ServiceOverview { serving: 0, .. } => State::Out,
        ServiceOverview { down: 1.., .. } => State::Degraded,
        ServiceOverview { drained: 1.., .. } => State::Drained,
        _ => State::Up,
    }
}

/// How a server is, in one of three words.
fn word(server: &ServerPlan) -> &'static str {
    match server.health {
        Health::Down | Health::Inhibited => "down",
        Health::Up | Health::Warming(_) if server.is_wanted() => "up",
        Health::Up | Health::Warming(_) => "drained",
    }
}

fn failures(report: &ServiceReport) -> Vec<ServerFailure> {
    let down = report.servers.iter().filter(|server| server.state != ServerState::Up);
    let why = down.filter_map(|server| {
        let (reason, _) = server.last_failure.as_ref()?;
        Some(ServerFailure { server: server.address.into(), reason: reason.clone() })
    });
    why.take(MOST_FAILURES).collect()
}

/// Whether a service or its servers have all the words.
fn has_words(service: &ServiceOverview, plan: &ServicePlan, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let ServiceOverview { name, description, method, scheduler, state, .. } = service;
    let protocol = plan.reach().protocols_shown();
    let (endpoint, clients) = (plan.reach(), plan.reach().clients_shown());
    let mut text =
        format!("{name} {description} {protocol} {endpoint} {clients} {method} {scheduler} {}", state.name());
    for server in &plan.servers {
        text.push_str(&format!(" {} {} {}", server.endpoint(), word(server), server.description));
    }
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::service::{
        key::{Protocol, ServiceKey},
        plan::{Admin, Method},
    };

    fn told(quorum: Option<bool>, counts: [u32; 3]) -> ServiceOverview {
        let [serving, down, drained] = counts;
        let key = keys::service_told(ServiceKey::new(Protocol::Tcp, "192.0.2.100:80".parse().unwrap()));
        ServiceOverview {
            name: "Web".to_owned(),
            description: "The Shop".to_owned(),
            key,
            reach: None,
            method: "nat".to_owned(),
            scheduler: "wlc".to_owned(),
            state: State::Up,
            quorum,
            servers: counts.iter().sum(),
            serving,
            down,
            drained,
            active: 0,
            inactive: 0,
            rate: Rate::default(),
            failures: Vec::new(),
        }
    }

    #[test]
    fn the_worst_that_can_be_said_is_the_state() {
        assert_eq!(state(&told(None, [0, 0, 0]), false), State::Out);
        assert_eq!(state(&told(Some(false), [0, 2, 0]), false), State::NoQuorum);
        assert_eq!(state(&told(Some(true), [0, 2, 0]), true), State::NoQuorum, "the last are kept");
        assert_eq!(state(&told(Some(true), [1, 1, 1]), false), State::Degraded);
        assert_eq!(state(&told(None, [1, 0, 1]), false), State::Drained);
        assert_eq!(state(&told(None, [2, 0, 0]), false), State::Up);
    }

    #[test]
    fn all_words_of_a_filter_have_to_be_there() {
        let key = ServiceKey::new(Protocol::Tcp, "192.0.2.100:80".parse().unwrap());
        let mut plan = ServicePlan::new("Web", key, Method::Nat);
        let mut server = ServerPlan::new(std::net::Ipv4Addr::new(198, 51, 100, 11), 8_080, 1);
        server.admin = Admin::Draining;
        plan.servers.push(server);
        let has = |filter: &str| {
            let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
            has_words(&told(None, [0, 0, 1]), &plan, &words)
        };
        assert!(
            has("")
                && has("web")
                && has("WEB tcp")
                && has("198.51.100.11:8080 drained")
                && has("nat up")
                && has("shop")
        );
        assert!(!has("web udp") && !has("198.51.100.12") && !has("web down"));
    }
}
