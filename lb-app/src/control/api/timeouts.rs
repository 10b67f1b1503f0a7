//! Timeouts of connections.

use super::{
    answer::{Answer, change, done, word},
    called,
};
use crate::control::live::running::Running;
use lb_core::{
    conn::state::State,
    limits::MAX_TIMEOUT_S,
    service::{
        key::ServiceKey,
        plan::{Plan, ServicePlan},
    },
    time::Duration,
};
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
            let wanted = key(&plan, service.as_deref())?;
            Ok(Reply::Timeouts(list(&plan, wanted)))
        }
        Request::Set { service, state, timeout_ms } => {
            change(running, who, |plan| set(plan, service.as_deref(), &state, timeout_ms))
        }
    }
}

/// Sets a timeout of one service, or of all that there are and will be.
pub(super) fn set(plan: &mut Plan, service: Option<&str>, state: &str, timeout_ms: u64) -> Answer {
    let state = word("state", state, STATES, State::word)?;
    if timeout_ms == 0 || timeout_ms > MAX_TIMEOUT_S * 1_000 {
        let what = format!("invalid timeout: use more than 0 and at most {} days", MAX_TIMEOUT_S / 86_400);
        return Err(Refusal::new(Code::Invalid, what));
    }
    let wanted = key(plan, service)?;
    let timeout = Duration::from_millis(timeout_ms);
    if service.is_none() {
        plan.timeouts.set(state, timeout);
    }
    let meant = plan.services.iter_mut().filter(|one| wanted.is_none_or(|wanted| wanted == one.key()));
    meant.for_each(|service| service.timeouts.set(state, timeout));
    Ok(done())
}

/// Which service is wanted, if not all are.
fn key(plan: &Plan, service: Option<&str>) -> Result<Option<ServiceKey>, Refusal> {
    service.map(|wanted| called::service(plan, wanted).map(ServicePlan::key)).transpose()
}

fn list(plan: &Plan, wanted: Option<ServiceKey>) -> Timeouts {
    let meant = plan.services.iter().filter(|service| wanted.is_none_or(|wanted| wanted == service.key()));
    let services = meant.map(|service| ServiceTimeouts {
        service: service.name.clone(),
        timeouts: STATES
            .iter()
            .map(|&state| Timeout {
                state: state.word().to_owned(),
                timeout_ms: service.timeouts.of(state).as_millis(),
            })
            .collect(),
    });
    Timeouts { services: services.collect() }
}
