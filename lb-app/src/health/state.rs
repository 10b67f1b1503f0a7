//! Everything that is known about all servers. What follows from it for a plan is in [`super::derive`]; how it follows
//! a plan that is in effect, in [`super::follow`].

use super::{
    advice::{Heard, Told, advice},
    event::Event,
    group::Member,
    machine::{Change, Machine, Rules},
    part::Part,
    pool::Outcome,
    target::{Answer, Target},
};
use crate::config::health::{Check, Hooks, Pool};
use lb_core::{
    service::{
        key::{ServerKey, ServiceKey},
        plan::{Admin, Advice},
    },
    time::{Duration, Instant},
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::SystemTime};

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its check, if it has one.
    pub(crate) check: Option<Arc<Check>>,
    pub(crate) machine: Machine,
    /// What its check said beside whether it works.
    pub(crate) heard: Heard,
    /// Its agent, if it has one.
    pub(crate) agent: Option<AgentState>,
    /// Its weight by operator and advice.
    pub(crate) weight: u32,
    /// What operator and advice want of it.
    pub(crate) admin: Admin,
    /// What of both is advice.
    pub(crate) advice: Advice,
    /// What its service makes of it.
    pub(crate) part: Part,
    /// Why the last check failed, or what traffic showed, and when.
    pub(crate) last_failure: Option<(String, SystemTime)>,
    pub(crate) checks: u64,
    pub(crate) failures: u64,
    /// How often it changed its state.
    pub(crate) transitions: u64,
    /// How long the last check took.
    pub(crate) took: std::time::Duration,
    /// When the next check begins. Nothing while one is under way.
    pub(crate) next: Option<Instant>,
    /// When the last check that succeeded began.
    pub(crate) passed: Option<Instant>,
    /// Does the checking.
    pub(super) task: Option<Member>,
}

/// What an agent has said of a server.
#[derive(Debug)]
pub(crate) struct AgentState {
    pub(crate) agent: Arc<Check>,
    pub(crate) heard: Heard,
    /// Its last answer that meant something, and when it came.
    pub(crate) said: Option<(String, SystemTime)>,
    /// Why there was none the last time, if there was none.
    pub(crate) failure: Option<(String, SystemTime)>,
    /// When it is asked next. Nothing while it is.
    pub(crate) next: Option<Instant>,
    /// Does the asking.
    pub(super) task: Option<Member>,
}

impl AgentState {
    /// One that has not been asked.
    pub(super) fn new(agent: Arc<Check>) -> Self {
        AgentState { agent, heard: Heard::default(), said: None, failure: None, next: None, task: None }
    }
}

/// One service.
#[derive(Debug)]
pub(crate) struct Service {
    /// The operator's name for it.
    pub(crate) name: String,
    pub(crate) pool: Pool,
    pub(crate) slow_start: Duration,
    pub(crate) servers: BTreeMap<SocketAddr, Server>,
    /// What is in effect.
    pub(crate) outcome: Outcome,
    /// The sorry server that is among the plan's servers.
    pub(crate) standing_in: Option<SocketAddr>,
    /// How often the quorum was reached or lost.
    pub(crate) quorum_changes: u64,
}

/// All services that there is something to know of.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) services: BTreeMap<ServiceKey, Service>,
    /// Connections of an earlier run may be restored: a server that is only assumed to be down keeps them.
    pub(crate) restores: bool,
    pub(super) hooks: Hooks,
    /// Checks to be started.
    pub(super) idle: Vec<(Target, Arc<Check>)>,
    /// What operators have not been told yet.
    pub(super) events: Vec<Event>,
    /// Grows with everything that a plan may have to follow.
    pub(super) version: u64,
    /// What the plan in effect was derived from.
    pub(super) in_effect: u64,
}

impl State {
    /// The operator's hook and how long hooks may run.
    pub(crate) fn hook(&self) -> (Option<&Vec<String>>, Duration) {
        (self.hooks.hook.as_ref(), self.hooks.hook_timeout)
    }

    /// The checks that nobody does yet.
    pub(crate) fn take_idle(&mut self) -> Vec<(Target, Arc<Check>)> {
        std::mem::take(&mut self.idle)
    }

    /// What operators have not been told yet.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Somebody does that check now, or asks that agent.
    pub(crate) fn started(&mut self, key: &ServerKey, is_agent: bool, task: Member, next: Option<Instant>) {
        let Some(server) = self.server(key) else { return };
        match &mut server.agent {
            Some(agent) if is_agent => (agent.task, agent.next) = (Some(task), next),
            _ => (server.task, server.next) = (Some(task), next),
        }
    }

    /// What an agent said. Nothing if the server or its agent is gone.
    pub(crate) fn hear(&mut self, target: &Target, answer: Answer, now: Instant) -> Option<()> {
        let server = self.server(&target.key)?;
        let agent = server.agent.as_mut()?;
        let told = match answer {
            Ok(told) => told,
            // Whether the server can be reached is for its check to say: what the agent said last stays.
            Err(reason) => {
                agent.failure = Some((reason, SystemTime::now()));
                return Some(());
            }
        };
        agent.failure = None;
        let words = match (&told.works, told.words.is_empty()) {
            (Some(Err(reason)), true) => reason.clone(),
            (_, true) => "up".to_owned(),
            (_, false) => told.words.clone(),
        };
        agent.said = Some((words, SystemTime::now()));
        let before = agent.heard.clone();
        agent.heard.hear(&told);
        let is_news = agent.heard != before;
        let down = agent.heard.down.clone();
        let change = server.machine.tell(down.is_some(), now);
        if let (Some(Change::Down { .. }), Some(reason)) = (change, down) {
            server.last_failure = Some((format!("its agent says {reason}"), SystemTime::now()));
        }
        self.version += u64::from(is_news);
        if let Some(change) = change {
            self.changed(target, change);
        }
        Some(())
    }

    /// A check's result, and whether the next check should come soon. Nothing if the server is gone.
    pub(crate) fn result(
        &mut self,
        target: &Target,
        (answer, took): (Answer, std::time::Duration),
        now: Instant,
    ) -> Option<bool> {
        let server = self.server(&target.key)?;
        server.checks += 1;
        server.took = took;
        let mut is_news = false;
        let finding = answer.and_then(|told: Told| {
            let before = server.heard.clone();
            server.heard.hear(&told);
            is_news = server.heard != before;
            told.works.unwrap_or(Ok(()))
        });
        let good = finding.is_ok();
        if good {
            let lasted = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            server.passed = Some(Instant::from_millis(now.as_millis().saturating_sub(lasted)));
        }
        if let Err(reason) = finding {
            server.failures += 1;
            server.last_failure = Some((reason, SystemTime::now()));
        }
        let was_well = server.machine.is_well();
        let change = server.machine.result(good, now);
        let undecided = server.machine.is_undecided();
        // One that is held down may be needed.
        is_news |= was_well != server.machine.is_well();
        self.version += u64::from(is_news);
        if let Some(change) = change {
            self.changed(target, change);
        }
        Some(undecided)
    }

    /// Its next check begins then, or now if there is no time; or its agent is asked.
    pub(crate) fn schedule(&mut self, key: &ServerKey, is_agent: bool, next: Option<Instant>) {
        let Some(server) = self.server(key) else { return };
        match &mut server.agent {
            Some(agent) if is_agent => agent.next = next,
            _ => server.next = next,
        }
    }

    /// Traffic shows that a server has failed.
    pub(crate) fn fail_passively(&mut self, key: ServerKey, reason: String, now: Instant) {
        let Some(service) = self.services.get_mut(&key.service) else { return };
        let (Some(passive), name) = (service.pool.passive, service.name.clone()) else { return };
        let Some(server) = service.servers.get_mut(&key.endpoint()) else { return };
        if let Some(change) = server.machine.fail_passively(passive.hold, now) {
            server.last_failure = Some((reason, SystemTime::now()));
            self.changed(&Target { name, key }, change);
        }
    }

    /// Does what time does: tries servers again that traffic brought down, and lets others warm up.
    pub(crate) fn tick(&mut self, now: Instant) {
        let mut due = Vec::new();
        for (key, service) in &mut self.services {
            for (address, server) in &mut service.servers {
                if let Some(change) = server.machine.tick(now) {
                    due.push((Target { name: service.name.clone(), key: key.server(*address) }, change));
                }
                let is_due = server.part.due(service.slow_start).is_some_and(|due| now >= due);
                self.version += u64::from(is_due);
            }
        }
        due.into_iter().for_each(|(target, change)| self.changed(&target, change));
    }

    /// How much is known.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Whether something is known that the plan does not say.
    pub(crate) fn has_news(&self) -> bool {
        self.version != self.in_effect
    }

    /// When time does something.
    pub(crate) fn due(&self) -> Option<Instant> {
        let servers = self.services.values().flat_map(|service| {
            service.servers.values().flat_map(|server| {
                [server.machine.due(), server.part.due(service.slow_start)].into_iter().flatten()
            })
        });
        servers.min()
    }

    fn server(&mut self, key: &ServerKey) -> Option<&mut Server> {
        self.services.get_mut(&key.service)?.servers.get_mut(&key.endpoint())
    }

    fn changed(&mut self, target: &Target, change: Change) {
        self.version += 1;
        let mut reason = String::new();
        if let Some(server) = self.server(&target.key) {
            server.transitions += 1;
            if let (Change::Down { .. }, Some((failure, _))) = (change, &server.last_failure) {
                reason.clone_from(failure);
            }
        }
        self.events.push(Event::Server { target: target.clone(), change, reason });
    }
}

impl Service {
    /// Weight of the servers that take new connections, or would if no sorry server stood in.
    pub(crate) fn up_weight(&self) -> u32 {
        let up =
            self.servers.values().filter(|server| server.machine.is_up() && server.admin == Admin::Enabled);
        up.fold(0, |sum, server| sum.saturating_add(server.weight))
    }

    /// Whether anybody looks at its servers' states, or at whether they are enough.
    pub(crate) fn is_watched(&self) -> bool {
        let pool = &self.pool;
        pool.passive.is_some()
            || pool.sorry_server.is_some()
            || pool.quorum_up.is_some()
            || pool.quorum_down.is_some()
            || self.servers.values().any(|server| server.check.is_some() || server.agent.is_some())
    }
}

impl Server {
    /// What is said of it, if it has that weight by its operator, and that check and agent.
    pub(super) fn advice(&self, weight: u32, check: Option<&Check>, agent: Option<&Check>) -> Advice {
        let nothing = Heard::default();
        let of_check = if self.check.as_deref() == check { &self.heard } else { &nothing };
        let same = self.agent.as_ref().filter(|known| Some(&*known.agent) == agent);
        advice(weight, [of_check, same.map_or(&nothing, |known| &known.heard)])
    }

    /// A server nothing is known of, with this part in its service.
    pub(super) fn new(rules: Rules, part: Part, now: Instant) -> Self {
        Server {
            check: None,
            machine: Machine::new(rules, now),
            heard: Heard::default(),
            agent: None,
            weight: 0,
            admin: Admin::Enabled,
            advice: Advice::default(),
            part,
            last_failure: None,
            checks: 0,
            failures: 0,
            transitions: 0,
            took: std::time::Duration::ZERO,
            next: None,
            passed: None,
            task: None,
        }
    }
}
