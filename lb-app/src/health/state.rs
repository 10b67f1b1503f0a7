//! Everything that is known about all servers, and what follows from it.

use super::{
    Order,
    machine::{Change, Machine, Rules},
    pool::{Member, Outcome, Role, judge},
    probe::{Finding, Target},
};
use crate::config::health::{Check, Health, Hooks, Pool, ServiceHealth};
use lb_core::{
    service::{
        key::ServiceKey,
        plan::{Plan, ServicePlan},
    },
    time::{Duration, Instant},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::SystemTime,
};
use tokio::task::AbortHandle;

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its check, if it has one.
    pub(crate) check: Option<Arc<Check>>,
    pub(crate) machine: Machine,
    /// The configured weight.
    pub(crate) weight: u32,
    /// What its service makes of it.
    pub(crate) role: Role,
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
    /// Does the checking.
    task: Option<Task>,
}

/// The task that checks a server. Dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Task(pub(crate) AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One service.
#[derive(Debug)]
pub(crate) struct Service {
    /// The operator's name for it.
    pub(crate) name: String,
    pub(crate) pool: Pool,
    pub(crate) servers: BTreeMap<SocketAddr, Server>,
    /// What was last ordered.
    pub(crate) outcome: Outcome,
    /// How often the quorum was reached or lost.
    pub(crate) quorum_changes: u64,
}

/// All services.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) services: BTreeMap<ServiceKey, Service>,
    hooks: Hooks,
    /// Services to be judged anew.
    dirty: BTreeSet<ServiceKey>,
    /// Checks to be started.
    idle: Vec<(Target, Arc<Check>)>,
}

/// Something that operators want to know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A server changed.
    Server { target: Target, change: Change, reason: String },
    /// A service reached its quorum or lost it.
    Quorum { service: ServiceKey, name: String, reached: bool, program: Option<Vec<String>> },
    /// The sorry server stepped in or back.
    Sorry { service: ServiceKey, name: String, server: SocketAddr, serves: bool },
    /// No server of a service works, and those that worked last are kept; or that is over.
    Kept { service: ServiceKey, name: String, kept: bool },
}

impl State {
    /// The operator's hook and how long hooks may run.
    pub(crate) fn hook(&self) -> (Option<&Vec<String>>, Duration) {
        (self.hooks.hook.as_ref(), self.hooks.hook_timeout)
    }

    /// Follows the plan: forgets what is gone, takes up what is new, and keeps what is known of everything else. All
    /// services are judged anew, since somebody else may have changed what was ordered.
    pub(crate) fn follow(&mut self, plan: &Plan, health: &Health, now: Instant) {
        self.hooks.clone_from(&health.hooks);
        let settings: BTreeMap<ServiceKey, &ServiceHealth> =
            health.services.iter().map(|service| (service.key, service)).collect();
        let mut old = std::mem::take(&mut self.services);
        for service in &plan.services {
            let key = service.key();
            let health = settings.get(&key).copied();
            let known = old.remove(&key);
            let followed = follow(service, health, known, &mut self.idle, now);
            // What has neither checks nor a reason to look at its servers' states is left alone.
            if let Some(followed) = followed {
                self.services.insert(key, followed);
                self.dirty.insert(key);
            }
        }
    }

    /// The checks that nobody does yet.
    pub(crate) fn take_idle(&mut self) -> Vec<(Target, Arc<Check>)> {
        std::mem::take(&mut self.idle)
    }

    /// Somebody does that check now.
    pub(crate) fn started(&mut self, target: &Target, task: Task) {
        if let Some(server) = self.server(target) {
            server.task = Some(task);
        }
    }

    /// A check's result, what it changed, and whether the next check should come soon. Nothing if the server is gone.
    pub(crate) fn result(
        &mut self,
        target: &Target,
        (finding, took): (Finding, std::time::Duration),
        now: Instant,
    ) -> Option<(Option<Event>, bool)> {
        let server = self.server(target)?;
        server.checks += 1;
        server.took = took;
        let good = finding.is_ok();
        if let Err(reason) = finding {
            server.failures += 1;
            server.last_failure = Some((reason, SystemTime::now()));
        }
        let change = server.machine.result(good, now);
        let undecided = server.machine.is_undecided();
        Some((change.map(|change| self.changed(target, change)), undecided))
    }

    /// Its next check begins then, or now if there is no time.
    pub(crate) fn schedule(&mut self, target: &Target, next: Option<Instant>) {
        if let Some(server) = self.server(target) {
            server.next = next;
        }
    }

    /// Traffic shows that a server has failed.
    pub(crate) fn fail_passively(&mut self, target: &Target, reason: String, now: Instant) -> Option<Event> {
        let hold = self.services.get(&target.key.service)?.pool.passive?.hold;
        let server = self.server(target)?;
        let change = server.machine.fail_passively(hold, now)?;
        server.last_failure = Some((reason, SystemTime::now()));
        Some(self.changed(target, change))
    }

    /// Tries servers again that traffic brought down and whose time is over.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Event> {
        let mut due = Vec::new();
        for (key, service) in &mut self.services {
            for (address, server) in &mut service.servers {
                if let Some(change) = server.machine.tick(now) {
                    due.push((Target { name: service.name.clone(), key: key.server(*address) }, change));
                }
            }
        }
        due.into_iter().map(|(target, change)| self.changed(&target, change)).collect()
    }

    /// Judges the services that something has changed for. What to order, and what operators want to know of it.
    pub(crate) fn judge(&mut self) -> (Vec<Order>, Vec<Event>) {
        let dirty = std::mem::take(&mut self.dirty);
        let (mut orders, mut events) = (Vec::new(), Vec::new());
        for (key, service) in &mut self.services {
            if dirty.contains(key) {
                service.judge(*key, &mut events);
                orders.push(service.order(*key));
            }
        }
        (orders, events)
    }

    /// When something is due although nothing happens.
    pub(crate) fn due(&self) -> Option<Instant> {
        let passive = self.services.values().filter(|service| service.pool.passive.is_some());
        let passive =
            passive.flat_map(|service| service.servers.values()).filter_map(|server| server.machine.due());
        passive.min()
    }

    fn server(&mut self, target: &Target) -> Option<&mut Server> {
        self.services.get_mut(&target.key.service)?.servers.get_mut(&target.key.endpoint())
    }

    fn changed(&mut self, target: &Target, change: Change) -> Event {
        self.dirty.insert(target.key.service);
        let mut reason = String::new();
        if let Some(server) = self.server(target) {
            server.transitions += 1;
            if let (Change::Down { .. }, Some((failure, _))) = (change, &server.last_failure) {
                reason.clone_from(failure);
            }
        }
        Event::Server { target: target.clone(), change, reason }
    }
}

impl Service {
    fn judge(&mut self, key: ServiceKey, events: &mut Vec<Event>) {
        let members: Vec<Member> = self.servers.values().map(member).collect();
        let outcome = judge(&self.pool, &members, self.outcome.quorum);
        for (server, role) in self.servers.values_mut().zip(&outcome.roles) {
            server.role = *role;
        }
        let name = || self.name.clone();
        if outcome.quorum != self.outcome.quorum {
            self.quorum_changes += 1;
            let reached = outcome.quorum;
            let program = if reached { &self.pool.quorum_up } else { &self.pool.quorum_down };
            events.push(Event::Quorum { service: key, name: name(), reached, program: program.clone() });
        }
        let serves = |role| matches!(role, Role::Serves);
        if let Some(sorry) = &self.pool.sorry_server
            && serves(outcome.sorry) != serves(self.outcome.sorry)
        {
            let (server, serves) = (sorry.address, serves(outcome.sorry));
            events.push(Event::Sorry { service: key, name: name(), server, serves });
        }
        if outcome.kept != self.outcome.kept {
            events.push(Event::Kept { service: key, name: name(), kept: outcome.kept });
        }
        self.outcome = outcome;
    }

    /// Weight of the servers that are up.
    pub(crate) fn up_weight(&self) -> u32 {
        let up = self.servers.values().filter(|server| server.machine.is_up());
        up.fold(0, |sum, server| sum.saturating_add(server.weight))
    }

    fn order(&self, service: ServiceKey) -> Order {
        Order {
            service,
            roles: self.servers.iter().map(|(address, server)| (*address, server.role)).collect(),
            sorry: self.pool.sorry_server.map(|sorry| (sorry.address, self.outcome.sorry)),
        }
    }
}

/// A service as the plan has it now, with what is known of it. Nothing if nobody wants to know anything.
fn follow(
    plan: &ServicePlan,
    health: Option<&ServiceHealth>,
    known: Option<Service>,
    idle: &mut Vec<(Target, Arc<Check>)>,
    now: Instant,
) -> Option<Service> {
    let pool = health.map(|health| health.pool.clone()).unwrap_or_default();
    let sorry = pool.sorry_server.map(|sorry| sorry.address);
    let (mut old, outcome, quorum_changes) = match known {
        Some(service) => (service.servers, Some(service.outcome), service.quorum_changes),
        None => (BTreeMap::new(), None, 0),
    };
    let mut servers = BTreeMap::new();
    for planned in &plan.servers {
        let address = planned.endpoint();
        // The sorry server is there because it was ordered.
        if sorry == Some(address) {
            continue;
        }
        let check = health.and_then(|health| health.check_of(address));
        let rules = Rules::new(check.map(AsRef::as_ref), &pool);
        let mut server = old.remove(&address).map_or_else(
            || Server::new(rules, now),
            |mut known| {
                known.machine.set_rules(rules);
                known
            },
        );
        server.weight = planned.weight;
        if server.check.as_ref() != check {
            server.task = None;
            server.next = None;
            server.check = check.cloned();
            // Without a check nobody would ever find out that it works again.
            if check.is_none() {
                server.machine = Machine::new(rules, now);
            }
            if let Some(check) = check {
                let target = Target { name: plan.name.clone(), key: plan.key().server(address) };
                idle.push((target, check.clone()));
            }
        }
        servers.insert(address, server);
    }
    let wanted =
        pool.passive.is_some() || sorry.is_some() || servers.values().any(|server| server.check.is_some());
    let was_known = outcome.is_some();
    let outcome = outcome.unwrap_or_else(|| {
        // Nothing is announced that was so from the start.
        let members: Vec<Member> = servers.values().map(member).collect();
        Outcome { sorry: Role::Out, kept: false, ..judge(&pool, &members, true) }
    });
    let service = Service { name: plan.name.clone(), pool, servers, outcome, quorum_changes };
    (wanted || was_known).then_some(service)
}

fn member(server: &Server) -> Member {
    let check = server.check.as_deref();
    let reaction = check.map_or(Duration::ZERO, |check| {
        let retries = u64::from(check.fall - 1) * check.retry_interval.max(check.timeout).as_millis();
        Duration::from_millis(check.interval.as_millis() + check.timeout.as_millis() + retries)
    });
    Member {
        weight: server.weight,
        up: server.machine.is_up(),
        since: server.machine.since(),
        inhibit: check.is_some_and(|check| check.inhibit_on_failure),
        reaction,
    }
}

impl Server {
    fn new(rules: Rules, now: Instant) -> Self {
        Server {
            check: None,
            machine: Machine::new(rules, now),
            weight: 0,
            role: Role::Serves,
            last_failure: None,
            checks: 0,
            failures: 0,
            transitions: 0,
            took: std::time::Duration::ZERO,
            next: None,
            task: None,
        }
    }
}
