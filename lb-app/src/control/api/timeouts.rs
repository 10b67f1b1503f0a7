//! Timeouts of connections.

use super::{
    answer::{Answer, change, done, word},
    called,
};
use crate::control::live::running::Running;
use lb_core::{
    conn::{state::State, timeouts::Timeouts},
    limits::MAX_TIMEOUT_S,
    service::{
        key::ServiceKey,
        plan::{Plan, ServicePlan},
    },
    time::Duration,
};
use lb_ctl::protocol::{
    Code, Refusal, Reply,
    timeouts::{Request, ServiceTimeouts, Timeout, Timeouts as Told},
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
pub(super) fn set(plan: &mut Plan, service: Option<&str>, state: &str, timeout_ms: Option<u64>) -> Answer {
    let state = word("state", state, STATES, State::word)?;
    if timeout_ms.is_some_and(|ms| ms == 0 || ms > MAX_TIMEOUT_S * 1_000) {
        let what = format!("invalid timeout: use more than 0 and at most {} days", MAX_TIMEOUT_S / 86_400);
        return Err(Refusal::new(Code::Invalid, what));
    }
    let wanted = key(plan, service)?;
    let by_default = match service {
        Some(_) => plan.timeouts.of(state),
        None => Timeouts::default().of(state),
    };
    let timeout = timeout_ms.map_or(by_default, Duration::from_millis);
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

fn list(plan: &Plan, wanted: Option<ServiceKey>) -> Told {
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
    Told { services: services.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::service::plan::Method;

    #[test]
    fn a_timeout_goes_back_to_what_it_is_by_default() {
        let service = ServicePlan::new("web", "tcp 192.0.2.100:80".parse().unwrap(), Method::Nat);
        let mut plan = Plan { services: vec![service], ..Plan::default() };
        let mut after = |service, ms| {
            set(&mut plan, service, "established", ms).unwrap();
            let of = |timeouts: &Timeouts| timeouts.of(State::Established).as_millis() / 1_000;
            [of(&plan.timeouts), of(&plan.services[0].timeouts)]
        };
        assert_eq!(after(None, Some(600_000)), [600, 600]);
        assert_eq!(after(Some("web"), Some(60_000)), [600, 60]);
        assert_eq!(after(Some("web"), None), [600, 600], "of all");
        assert_eq!(after(None, None), [900, 900], "lb-app's");
    }
}
