//! What is known of all servers, shared by those who find it out, those who change the plan, and those who ask.

use super::{
    derive::derive,
    event::Event,
    follow::follow,
    group::Member,
    part::Derived,
    report::{self, Report},
    state::State,
    target::{Answer, Target},
};
use crate::config::health::{Check, Health};
use lb_core::{
    service::{
        key::{ServerKey, ServiceKey},
        plan::Plan,
    },
    time::{self, Duration as Span},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// What is known of all servers.
#[derive(Debug)]
pub(crate) struct Knowledge {
    start: Instant,
    state: Mutex<State>,
    /// Something is to be told, or made part of the plan.
    news: Notify,
    /// Checks are to be done now.
    hurry: Arc<Notify>,
}

impl Knowledge {
    /// Nothing yet. With `restores`, connections of an earlier run may be restored.
    pub(crate) fn new(restores: bool) -> Arc<Self> {
        let state = Mutex::new(State { restores, ..State::default() });
        Arc::new(Knowledge { start: Instant::now(), state, news: Notify::new(), hurry: Arc::default() })
    }

    /// Gives all servers of a plan the states that follow from what is known, and adds the sorry servers that stand in.
    /// The plan is the operator's: it has no sorry servers yet. Nothing else changes until [`Knowledge::commit`].
    pub(crate) fn derive(&self, plan: &mut Plan, health: &Health) -> Derived {
        derive(&self.state(), plan, health, self.now())
    }

    /// The plan that was derived is in effect.
    pub(crate) fn commit(&self, plan: &Plan, health: &Health, derived: Derived) {
        follow(&mut self.state(), plan, health, derived, self.now());
        self.news.notify_one();
    }

    /// Traffic shows that a server has failed.
    pub(crate) fn fail_passively(&self, key: ServerKey, reason: String) {
        self.state().fail_passively(key, reason, self.now());
        self.news.notify_one();
    }

    /// How many servers are down.
    pub(crate) fn down(&self) -> usize {
        let state = self.state();
        let servers = state.services.values().flat_map(|service| service.servers.values());
        servers.filter(|server| !server.machine.is_up()).count()
    }

    /// The services that have lost their quorum.
    pub(crate) fn without_quorum(&self) -> HashSet<ServiceKey> {
        let state = self.state();
        let lost =
            state.services.iter().filter(|(_, service)| service.is_watched() && !service.outcome.quorum);
        lost.map(|(key, _)| *key).collect()
    }

    /// Since when anything has been known.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// The servers that are checked, each with when its last check that succeeded began.
    pub(crate) fn passed(&self) -> HashMap<ServerKey, Option<Instant>> {
        let state = self.state();
        let servers = state.services.iter().flat_map(|(key, service)| {
            let checked = service.servers.iter().filter(|(_, server)| server.check.is_some());
            checked.map(|(address, server)| (key.server(*address), server.passed))
        });
        let at = |passed: time::Instant| self.start + Duration::from_millis(passed.as_millis());
        servers.map(|(key, passed)| (key, passed.map(at))).collect()
    }

    /// Has the next check of each server done at once: what is known may not be true any more.
    pub(crate) fn hurry(&self) {
        self.hurry.notify_waiters();
    }

    /// Told when checks are to be done now.
    pub(super) fn hurried(&self) -> Arc<Notify> {
        self.hurry.clone()
    }

    /// What is known of all services that are checked. `hooks` were called that often, and failed that often.
    pub(crate) fn report(&self, hooks: (u64, u64)) -> Report {
        report::make(&self.state(), self.now(), hooks)
    }

    /// Takes in a check's result, or what an agent said, and says whether the next one should come soon. Nothing if the server is gone.
    pub(super) fn take(&self, target: &Target, is_agent: bool, result: (Answer, Duration)) -> Option<bool> {
        let mut state = self.state();
        let undecided = match is_agent {
            true => state.hear(target, result.0, self.now()).map(|()| false)?,
            false => state.result(target, result, self.now())?,
        };
        if state.has_news() {
            self.news.notify_one();
        }
        Some(undecided)
    }

    /// A server's next check begins after that time, or now; or its agent is asked.
    pub(super) fn schedule(&self, key: &ServerKey, is_agent: bool, next: Option<Duration>) {
        let next = next.map(|time| self.now() + Span::from_millis(time.as_millis() as u64));
        self.state().schedule(key, is_agent, next);
    }

    /// Starts the checks that nobody does yet, and says whether there were any, each as the member that `start` makes of it.
    pub(super) fn start_checks(&self, start: impl Fn(Target, Arc<Check>) -> Member) -> bool {
        let mut state = self.state();
        let mut has_started = false;
        for (target, check) in state.take_idle() {
            let (key, is_agent) = (target.key, check.is_agent);
            let member = start(target, check);
            // One that joins others is checked when they are.
            let left = member.next().map(|next| next.saturating_duration_since(Instant::now()));
            let next = left.map(|left| self.now() + Span::from_millis(left.as_millis() as u64));
            state.started(&key, is_agent, member, next);
            has_started = true;
        }
        has_started
    }

    /// Does what time does, and tells what operators have not been told: to `tell`, with the operator's hook and how long
    /// hooks may run. Returns whether something is known that the plan does not say.
    pub(super) fn step(&self, tell: impl Fn(&Event, Option<&Vec<String>>, Duration)) -> bool {
        let mut state = self.state();
        state.tick(self.now());
        let events = state.take_events();
        let (hook, limit) = state.hook();
        let limit = Duration::from_millis(limit.as_millis());
        events.iter().for_each(|event| tell(event, hook, limit));
        state.has_news()
    }

    /// Waits until there are news, or time does something, or that long.
    pub(super) async fn wait(&self, most: Duration) {
        let due = self.state().due().map(|due| Duration::from_millis(due.since(self.now()).as_millis()));
        let wait = due.map_or(most, |due| due.min(most));
        let _ = tokio::time::timeout(wait, self.news.notified()).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> time::Instant {
        time::Instant::from_millis(self.start.elapsed().as_millis() as u64)
    }
}
