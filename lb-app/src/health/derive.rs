//! What becomes of all servers, given what is known of them: the one place where a plan's servers get their states. Every
//! change of a plan goes through it, whoever makes it, so there is no moment in which a plan says something else.
//!
//! Whoever takes new connections ([`ServerPlan::is_wanted`], and up) counts, by the weight that it has with all advice: for the quorum, for whether a sorry server
//! stands in, and for what is shown and measured.

use super::{
    follow::known_as,
    machine::{Machine, Rules},
    part::{Derived, Part, Verdict},
    pool::{Member, Role, judge},
    state::{Service, State},
};
use crate::config::health::{Check, Health, Pool, ServiceHealth};
use lb_core::{
    service::{
        key::ServiceKey,
        plan::{self, Plan, ServerPlan, ServicePlan},
    },
    time::{Duration, Instant},
};
use std::collections::HashSet;

/// Gives all servers of a plan the states that follow from what is known, and adds the sorry servers that stand in. The
/// plan is the operator's: it has no sorry servers yet.
pub(super) fn derive(state: &State, plan: &mut Plan, health: &Health, now: Instant) -> Derived {
    let settings = health.by_service();
    let mut derived = Derived { version: state.version(), ..Derived::default() };
    let keys: HashSet<ServiceKey> = plan.services.iter().map(ServicePlan::key).collect();
    for service in &mut plan.services {
        let key = service.key();
        let health = settings.get(&key).copied();
        if is_followed(service, health) {
            let known = state.services.get(&known_as(&state.services, service, |other| keys.contains(other)));
            derived.services.insert(key, verdict(service, health, known, state.restores, now));
        } else {
            for server in &mut service.servers {
                (server.health, server.advice) = (plan::Health::Up, plan::Advice::default());
            }
        }
    }
    derived
}

/// Whether there is anything to know of a service: one without checks, and without anything that follows from the states
/// of its servers, is left alone.
fn is_followed(service: &ServicePlan, health: Option<&ServiceHealth>) -> bool {
    let is_checked =
        |health: &ServiceHealth| health.every().next().is_some() || health.pool != Pool::default();
    service.slow_start != Duration::ZERO || health.is_some_and(is_checked)
}

fn verdict(
    service: &mut ServicePlan,
    health: Option<&ServiceHealth>,
    known: Option<&Service>,
    restores: bool,
    now: Instant,
) -> Verdict {
    let none = Pool::default();
    let pool = health.map_or(&none, |health| &health.pool);
    let check_of = |server| health.and_then(|health| health.check_of(server)).map(AsRef::as_ref);
    let agent_of = |server| health.and_then(|health| health.agent_of(server)).map(AsRef::as_ref);
    for server in &mut service.servers {
        let endpoint = server.endpoint();
        let known = known.and_then(|known| known.servers.get(&endpoint));
        let advice = known.map(|known| known.advice(server.weight, check_of(endpoint), agent_of(endpoint)));
        server.advice = advice.unwrap_or_default();
    }
    let member = |server: &ServerPlan| {
        let endpoint = server.endpoint();
        let check = check_of(endpoint);
        let rules = Rules::new(check, agent_of(endpoint).is_some(), pool);
        let known = known.and_then(|known| known.servers.get(&endpoint));
        let machine = known.map_or_else(
            || Machine::new(rules, now),
            |known| {
                let mut machine = known.machine.clone();
                machine.set_rules(rules, now);
                machine
            },
        );
        let inhibit = check.is_some_and(|check| check.inhibit_on_failure);
        Member {
            weight: server.advised_weight(),
            wanted: server.is_wanted(),
            up: machine.is_up(),
            well: machine.is_well(),
            held_back: machine.is_held_back(),
            since: machine.since(),
            inhibit: inhibit || (restores && machine.is_fresh()),
            reaction: check.map_or(Duration::ZERO, reaction),
        }
    };
    let members: Vec<Member> = service.servers.iter().map(member).collect();
    let outcome = judge(pool, &members, known.is_none_or(|known| known.outcome.quorum));
    let how = (known.is_none(), service.slow_start);
    let part_of = |server: &mut ServerPlan, role: Role| {
        let before = known.and_then(|known| known.servers.get(&server.endpoint()));
        let part = Part::new(role, server, before.map(|server| &server.part), how, now);
        server.health = part.health();
        (server.endpoint(), part)
    };
    let roles = outcome.roles.iter().copied();
    let parts = service.servers.iter_mut().zip(roles).map(|(server, role)| part_of(server, role)).collect();
    let standing_in = pool.sorry_server.and_then(|sorry| {
        let was_there = known.is_some_and(|known| known.standing_in == Some(sorry.address));
        let health = match outcome.sorry {
            Role::Serves => plan::Health::Up,
            Role::Inhibited if was_there => plan::Health::Inhibited,
            Role::Inhibited | Role::Out => return None,
        };
        let server = ServerPlan::new(sorry.address.ip(), sorry.address.port(), 1);
        service.servers.push(ServerPlan { health, ..server });
        Some(sorry.address)
    });
    Verdict { outcome, parts, standing_in }
}

/// How long it takes a check to notice a failure.
fn reaction(check: &Check) -> Duration {
    let retries = u64::from(check.fall - 1) * check.retry_interval.max(check.timeout).as_millis();
    Duration::from_millis(check.interval.as_millis() + check.timeout.as_millis() + retries)
}
