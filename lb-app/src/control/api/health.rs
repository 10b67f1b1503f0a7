//! What checks found.

use super::{answer::Answer, called, keys};
use crate::{
    config::health::Check,
    control::plane::ControlPlane,
    health::report::{AgentReport, ServerReport, ServiceReport},
};
use lb_core::{
    service::plan::{Advice, ServicePlan},
    time::Duration as Span,
};
use lb_ctl::protocol::{
    Cursor, Reply,
    health::{self, Failure, Health, Quorum, Request, Server, Service, SorryServer},
};
use std::time::SystemTime;

/// Servers on one page, at most.
const PAGE: usize = 2_000;

pub(super) fn answer(plane: &ControlPlane, request: Request) -> Answer {
    let Request::List { service: wanted, cursor } = request;
    let plan = plane.running.current().plan;
    let key = wanted.map(|wanted| called::service(&plan, &wanted).map(ServicePlan::key)).transpose()?;
    let report = plane.monitor().map(|monitor| monitor.report());
    let (reported, hooks) = report.map_or((Vec::new(), (0, 0)), |report| (report.services, report.hooks));
    let Cursor { of, at } = cursor.unwrap_or(Cursor { of: 0, at: 0 });
    let (mut services, mut room, mut next) = (Vec::new(), PAGE, None);
    for (place, service) in (0..).zip(&reported).skip(of as usize) {
        if key.is_some_and(|key| service.key != key) {
            continue;
        }
        if room == 0 {
            next = Some(Cursor { of: place, at: 0 });
            break;
        }
        let from = if place == of { (at as usize).min(service.servers.len()) } else { 0 };
        let to = service.servers.len().min(from + room);
        services.push(told(service, &service.servers[from..to]));
        // A service without servers takes room as well.
        room -= (to - from).max(1).min(room);
        if to < service.servers.len() {
            next = Some(Cursor { of: place, at: to as u32 });
            break;
        }
    }
    let (hooks_called, hooks_failed) = hooks;
    Ok(Reply::Health(Health { services, hooks_called, hooks_failed, next }))
}

fn told(service: &ServiceReport, servers: &[ServerReport]) -> Service {
    let pool = &service.pool;
    let now = SystemTime::now();
    Service {
        name: service.name.clone(),
        key: keys::service_told(service.key),
        quorum: Quorum {
            reached: service.quorum,
            weight: service.up_weight,
            reached_at: pool.quorum.saturating_add(pool.hysteresis),
            lost_below: pool.quorum - pool.hysteresis,
            changes: service.quorum_changes,
        },
        sorry_server: service
            .sorry
            .map(|(endpoint, serves)| SorryServer { endpoint: endpoint.into(), serves }),
        when_all_fail: pool.when_all_fail.name().to_owned(),
        keeps_last: service.kept,
        passive: pool.passive.is_some(),
        flap_limit: pool.flap_limit,
        flap_window_ms: pool.flap_window.as_millis(),
        servers: servers.iter().map(|server| server_told(server, now)).collect(),
    }
}

fn server_told(server: &ServerReport, now: SystemTime) -> Server {
    let progress = &server.progress;
    Server {
        endpoint: server.address.into(),
        check: server.check.as_deref().map(check_told),
        agent: server.agent.as_ref().map(|agent| agent_told(agent, now)),
        advice: advice_told(&server.advice),
        state: server.state.to_string(),
        for_ms: server.for_ms,
        role: server.role_word(),
        against: progress.against,
        needed: progress.needed,
        next_check_ms: progress.next_ms,
        took_us: server.took_us,
        checks: server.checks,
        failures: server.failures,
        changes: server.transitions,
        last_failure: server.last_failure.as_ref().map(|failure| failure_told(failure, now)),
        recent_downs: progress.falls,
        held_for_ms: progress.held_for.map(Span::as_millis),
        retried_in_ms: progress.retry_ms,
    }
}

fn failure_told((reason, at): &(String, SystemTime), now: SystemTime) -> Failure {
    Failure { reason: reason.clone(), ago_ms: ago(*at, now) }
}

fn ago(at: SystemTime, now: SystemTime) -> u64 {
    now.duration_since(at).unwrap_or_default().as_millis() as u64
}

fn agent_told(told: &AgentReport, now: SystemTime) -> health::Agent {
    health::Agent {
        kind: told.agent.kind.name().to_owned(),
        via: told.agent.via().to_owned(),
        interval_ms: told.agent.interval.as_millis(),
        next_ms: told.next_ms,
        said: told
            .said
            .as_ref()
            .map(|(words, at)| health::Said { words: words.clone(), ago_ms: ago(*at, now) }),
        failure: told.failure.as_ref().map(|failure| failure_told(failure, now)),
    }
}

/// Nothing if all is as the operator says.
fn advice_told(advice: &Advice) -> Option<health::Advice> {
    (*advice != Advice::default()).then(|| health::Advice {
        weight: advice.weight,
        state: advice.admin.to_string(),
        most_connections: advice.most,
    })
}

fn check_told(check: &Check) -> health::Check {
    health::Check {
        kind: check.kind.name().to_owned(),
        to: check.to().to_owned(),
        via: check.via().to_owned(),
        interval_ms: check.interval.as_millis(),
        timeout_ms: check.timeout.as_millis(),
        rise: check.rise,
        fall: check.fall,
    }
}
