//! Timeouts of connections.

use super::answer::{Answer, change, done, not_found, word};
use crate::control::live::running::Running;
use lb_core::{conn::state::State, limits::MAX_TIMEOUT_S, service::plan::Plan, time::Duration};
use lb_ctl::protocol::{
    Code, Refusal, Reply,
    timeouts::{Request, ServiceTimeouts, Timeout, Timeouts},
};

/// The states that connections rest in.
const STATES: &[State] = State::ALL.split_at(1).1;

pub(super) fn answer(running: &Running, request: Request, who: &str) -> Answer {
    match request {
        Request::List { service } => {
            let plan = running.current().plan;
            check(&plan, service.as_deref())?;
            Ok(Reply::Timeouts(list(&plan, service.as_deref())))
        }
        Request::Set { service, state, timeout_ms } => {
            change(running, who, |plan| set(plan, service.as_deref(), &state, timeout_ms))
        }
    }
}

/// Sets a timeout of one service, or of all that there are and will be.
pub(super) fn set(plan: &mut Plan, service: Option<&str>, state: &str, timeout_ms: u64) -> Answer {
    let state = word("state", state, STATES, State::name)?;
    if timeout_ms == 0 || timeout_ms > MAX_TIMEOUT_S * 1_000 {
        let what = format!("invalid timeout: use more than 0 and at most {} days", MAX_TIMEOUT_S / 86_400);
        return Err(Refusal::new(Code::Invalid, what));
    }
    check(plan, service)?;
    let timeout = Duration::from_millis(timeout_ms);
    if service.is_none() {
        plan.timeouts.set(state, timeout);
    }
    let meant = plan.services.iter_mut().filter(|one| service.is_none_or(|wanted| wanted == one.name));
    meant.for_each(|service| service.timeouts.set(state, timeout));
    Ok(done())
}

fn check(plan: &Plan, service: Option<&str>) -> Result<(), Refusal> {
    let names = || plan.services.iter().map(|service| service.name.clone());
    match service {
        Some(wanted) if !names().any(|name| name == wanted) => Err(not_found("service", wanted, names())),
        _ => Ok(()),
    }
}

fn list(plan: &Plan, wanted: Option<&str>) -> Timeouts {
    let meant = plan.services.iter().filter(|service| wanted.is_none_or(|wanted| wanted == service.name));
    let services = meant.map(|service| ServiceTimeouts {
        service: service.name.clone(),
        timeouts: STATES
            .iter()
            .map(|&state| Timeout {
                state: state.name().to_owned(),
                timeout_ms: service.timeouts.of(state).as_millis(),
            })
            .collect(),
    });
    Timeouts { services: services.collect() }
}
