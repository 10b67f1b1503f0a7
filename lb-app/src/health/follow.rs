//! What is known, once a plan that was derived from it is in effect: what is gone is forgotten, what is new taken up, and
//! operators are told of what is different.

use super::{
    advice::Heard,
    event::Event,
    machine::Rules,
    part::{Derived, Part, Verdict},
    pool::{Outcome, Role},
    state::{AgentState, Server, Service, State},
    target::Target,
};
use crate::config::health::{Check, Health, Pool, ServiceHealth, WhenAllFail};
use lb_core::{
    service::{
        key::ServiceKey,
        plan::{Plan, ServerPlan, ServicePlan},
    },
    time::Instant,
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// Follows the plan that `derived` came with. What became known since is still news.
pub(super) fn follow(state: &mut State, plan: &Plan, health: &Health, derived: Derived, now: Instant) {
    state.hooks.clone_from(&health.hooks);
    let settings = health.by_service();
    let Derived { mut services, version } = derived;
    state.in_effect = version;
    let mut old = std::mem::take(&mut state.services);
    for planned in &plan.services {
        let key = planned.key();
        if let Some(verdict) = services.remove(&key) {
            let health = settings.get(&key).copied();
            let was = known_as(&old, planned, |other| plan.service(other).is_some());
            let service =
                take_up(state, planned, health, old.remove(&was).map(|known| (was, known)), verdict, now);
            state.services.insert(key, service);
        }
    }
}

/// What a service was known by: one that says `from` or `on` now and did not before is known by its name as well, and the
/// other way round. `is_taken` says whether another is known by that now.
pub(super) fn known_as(
    old: &BTreeMap<ServiceKey, Service>,
    planned: &ServicePlan,
    is_taken: impl Fn(&ServiceKey) -> bool,
) -> ServiceKey {
    let (key, other) = (planned.key(), planned.key_otherwise());
    let is_it = |known: &Service| known.name == planned.name && !is_taken(&other);
    if !old.contains_key(&key) && old.get(&other).is_some_and(is_it) { other } else { key }
}

/// A service as it is in effect now, with what was known of it.
fn take_up(
    state: &mut State,
    plan: &ServicePlan,
    health: Option<&ServiceHealth>,
    known: Option<(ServiceKey, Service)>,
    verdict: Verdict,
    now: Instant,
) -> Service {
    let (key, name) = (plan.key(), &plan.name);
    let pool = health.map(|health| health.pool.clone()).unwrap_or_default();
    let renamed = known.as_ref().is_some_and(|(was, known)| *was != key || known.name != *name);
    let (mut old, before) = match known {
        Some((_, Service { servers, pool, outcome, standing_in, quorum_changes, .. })) => {
            (servers, Some((pool, outcome, standing_in, quorum_changes)))
        }
        None => (BTreeMap::new(), None),
    };
    let mut servers = BTreeMap::new();
    for (endpoint, part) in &verdict.parts {
        let Some(planned) = plan.server(*endpoint) else { continue };
        let check = health.and_then(|health| health.check_of(*endpoint));
        let agent = health.and_then(|health| health.agent_of(*endpoint));
        let wanted = Wanted {
            target: Target { name: name.clone(), key: key.server(*endpoint) },
            planned,
            part: *part,
            rules: Rules::new(check.map(AsRef::as_ref), agent.is_some(), &pool),
            check,
            agent,
            released: verdict.outcome.released,
            renamed,
        };
        let server = take_up_server(state, wanted, old.remove(endpoint), now);
        servers.insert(*endpoint, server);
    }
    let quorum_changes = match &before {
        Some((_, outcome, _, changes)) => changes + u64::from(outcome.quorum != verdict.outcome.quorum),
        None => 0,
    };
    let before = before.as_ref().map(|(pool, outcome, standing_in, _)| (pool, outcome, *standing_in));
    let events = events(plan, before, (&pool, &verdict));
    let service = Service {
        name: name.clone(),
        pool,
        slow_start: plan.slow_start,
        servers,
        outcome: verdict.outcome,
        standing_in: verdict.standing_in,
        quorum_changes,
    };
    if service.is_watched() {
        state.events.extend(events);
    }
    service
}

/// What a server is to be.
struct Wanted<'a> {
    target: Target,
    planned: &'a ServerPlan,
    part: Part,
    rules: Rules,
    check: Option<&'a Arc<Check>>,
    agent: Option<&'a Arc<Check>>,
    /// The service lets those go that it held down.
    released: bool,
    /// The service has another name than before.
    renamed: bool,
}

/// A server as it is in effect now, with what was known of it.
fn take_up_server(state: &mut State, wanted: Wanted<'_>, known: Option<Server>, now: Instant) -> Server {
    let Wanted { target, planned, part, rules, check, agent, released, renamed } = wanted;
    let (mut server, mut change) = match known {
        Some(mut server) => {
            let change = server.machine.set_rules(rules, now);
            (server, change)
        }
        None => (Server::new(rules, part, now), None),
    };
    if released && server.machine.is_well() {
        change = change.or(server.machine.release(now));
    }
    (server.weight, server.admin, server.part) = (planned.advised_weight(), planned.advised_admin(), part);
    server.advice = planned.advice;
    follow_agent(state, &mut server, agent, (&target, renamed));
    // Whoever checks it goes by the service's key and name.
    if server.check.as_ref() != check || renamed {
        if server.check.as_ref() != check {
            server.heard = Heard::default();
        }
        (server.task, server.next) = (None, None);
        server.check = check.cloned();
        state.idle.extend(check.map(|check| (target.clone(), check.clone())));
    }
    if let Some(change) = change {
        server.transitions += 1;
        state.events.push(Event::Server { target, change, reason: String::new() });
    }
    server
}

/// Has a server the agent that it is to have. What one said counts for as long as it is the same.
fn follow_agent(
    state: &mut State,
    server: &mut Server,
    agent: Option<&Arc<Check>>,
    (target, renamed): (&Target, bool),
) {
    let is_same = server.agent.as_ref().map(|known| &known.agent) == agent;
    if !is_same {
        server.agent = agent.cloned().map(AgentState::new);
    }
    if let (Some(known), Some(agent)) = (&mut server.agent, agent)
        && (!is_same || renamed)
    {
        (known.task, known.next) = (None, None);
        state.idle.push((target.clone(), agent.clone()));
    }
}

/// What operators want to know of a service: everything that it starts with, and what is different from `before`.
fn events(
    plan: &ServicePlan,
    before: Option<(&Pool, &Outcome, Option<SocketAddr>)>,
    (pool, verdict): (&Pool, &Verdict),
) -> Vec<Event> {
    let (service, name) = (plan.key(), || plan.name.clone());
    let mut events = Vec::new();
    let first = before.is_none();
    let program = |pool: &Pool, reached| {
        if reached { pool.quorum_up.clone() } else { pool.quorum_down.clone() }
    };
    let reached = verdict.outcome.quorum;
    let own = program(pool, reached);
    // A program that is new has not been told.
    if before.is_none_or(|(pool, outcome, _)| outcome.quorum != reached || program(pool, reached) != own) {
        events.push(Event::Quorum { service, name: name(), reached, program: own, first });
    }
    let serving =
        |outcome: &Outcome, server: Option<SocketAddr>| server.filter(|_| outcome.sorry == Role::Serves);
    let now = serving(&verdict.outcome, verdict.standing_in);
    let then = match before {
        Some((_, outcome, server)) => serving(outcome, server),
        // It may have stood in when nobody was left to tell.
        None => pool.sorry_server.map(|sorry| sorry.address).filter(|_| now.is_none()),
    };
    if then != now {
        let steps = [(then, false), (now, true)];
        events.extend(steps.into_iter().filter_map(|(server, serves)| {
            Some(Event::Sorry { service, name: name(), server: server?, serves, first })
        }));
    }
    let kept = verdict.outcome.kept;
    let starts = || kept || pool.when_all_fail == WhenAllFail::Keep;
    if before.map_or_else(starts, |(_, outcome, _)| outcome.kept != kept) {
        events.push(Event::Kept { service, name: name(), kept, first });
    }
    events
}
