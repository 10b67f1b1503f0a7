//! What a service makes of each of its servers: who gets new connections, and how many of them at first.

use super::pool::{Outcome, Role};
use lb_core::{
    service::{
        key::ServiceKey,
        plan::{Health, ServerPlan},
    },
    time::{Duration, Instant},
};
use std::{collections::BTreeMap, net::SocketAddr};

/// Steps from nothing to a server's whole weight.
const STEPS: u64 = 20;

/// What its service makes of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) role: Role,
    /// It takes new connections.
    pub(crate) takes: bool,
    /// Since when it is on its way to its whole weight, and how many steps it has taken.
    warming: Option<(Instant, u64)>,
}

impl Part {
    /// That of a server with a role, which had the part `before` in its service, if it was there. `new` is a service that
    /// was not there before: its servers need not wait for one another.
    pub(crate) fn new(
        role: Role,
        server: &ServerPlan,
        before: Option<&Part>,
        (new, slow_start): (bool, Duration),
        now: Instant,
    ) -> Self {
        let takes = role == Role::Serves && server.is_wanted();
        let since = match before {
            _ if !takes || slow_start == Duration::ZERO => None,
            Some(before) if before.takes => before.warming.map(|(since, _)| since),
            None if new => None,
            // It comes back, or is new among others that have their connections.
            Some(_) | None => Some(now),
        };
        let warming = since.map(|since| (since, step(since, slow_start, now)));
        Part { role, takes, warming: warming.filter(|(_, step)| *step < STEPS) }
    }

    /// The same, as a plan says it.
    pub(crate) fn health(&self) -> Health {
        match (self.role, self.warming) {
            (Role::Serves, None) => Health::Up,
            (Role::Serves, Some((_, step))) => Health::Warming((step * 1_000 / STEPS) as u16),
            (Role::Inhibited, _) => Health::Inhibited,
            (Role::Out, _) => Health::Down,
        }
    }

    /// When it has come a step further on its way to its whole weight.
    pub(crate) fn due(&self, slow_start: Duration) -> Option<Instant> {
        let (since, step) = self.warming?;
        Some(since + Duration::from_millis((slow_start.as_millis() * step).div_ceil(STEPS)))
    }
}

fn step(since: Instant, slow_start: Duration, now: Instant) -> u64 {
    (now.since(since).as_millis() * STEPS / slow_start.as_millis() + 1).min(STEPS)
}

/// What becomes of a service.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    /// By server, in the plan's order.
    pub(crate) parts: Vec<(SocketAddr, Part)>,
    /// The sorry server that is among the plan's servers.
    pub(crate) standing_in: Option<SocketAddr>,
}

/// What becomes of all services.
#[derive(Clone, Debug, Default)]
pub(crate) struct Derived {
    pub(crate) services: BTreeMap<ServiceKey, Verdict>,
    /// How much was known.
    pub(crate) version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::service::plan::Admin;
    use std::net::Ipv4Addr;

    const SLOWLY: Duration = Duration::from_secs(10);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn whoever_joins_others_begins_slowly() {
        let server = ServerPlan::new(Ipv4Addr::LOCALHOST, 80, 1);
        let drained = ServerPlan { admin: Admin::Draining, ..server.clone() };
        let serves = |server, before: Option<Part>, new, ms| {
            Part::new(Role::Serves, server, before.as_ref(), (new, SLOWLY), at(ms))
        };
        assert_eq!(serves(&server, None, true, 0).health(), Health::Up, "a service that begins");
        let part = serves(&server, None, false, 0);
        assert_eq!((part.health(), part.due(SLOWLY)), (Health::Warming(50), Some(at(500))));
        let part = serves(&server, Some(part), false, 499);
        assert_eq!(part.health(), Health::Warming(50));
        let part = serves(&server, Some(part), false, 500);
        assert_eq!((part.health(), part.due(SLOWLY)), (Health::Warming(100), Some(at(1_000))));
        // It is drained and comes back; or its weight was 0, which is the same.
        let part = serves(&drained, Some(part), false, 600);
        assert_eq!((part.health(), part.takes), (Health::Up, false));
        let part = serves(&server, Some(part), false, 700);
        assert_eq!(part.health(), Health::Warming(50));
        let part = serves(&server, Some(part), false, 700 + 9_500);
        assert_eq!((part.health(), part.due(SLOWLY)), (Health::Up, None));
        let none = Part::new(Role::Serves, &server, None, (false, Duration::ZERO), at(0));
        assert_eq!(none.health(), Health::Up);
    }
}
