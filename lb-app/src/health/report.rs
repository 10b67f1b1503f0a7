//! What is known about servers' health, for those who ask: shell, JSON, metrics.

use super::{
    pool::Role,
    state::{Server, Service, State},
};
use crate::config::health::{Check, Pool};
use lb_core::{
    service::{
        key::ServiceKey,
        plan::{Admin, Advice},
    },
    time::{Duration, Instant},
};
use std::{fmt, net::SocketAddr, sync::Arc, time::SystemTime};

/// All services that are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) services: Vec<ServiceReport>,
    /// Calls of hooks, and those of them that failed.
    pub(crate) hooks: (u64, u64),
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceReport {
    pub(crate) key: ServiceKey,
    pub(crate) name: String,
    /// What its servers' states mean together.
    pub(crate) pool: Pool,
    pub(crate) quorum: bool,
    /// Weight of the servers that take new connections, or would if no sorry server stood in.
    pub(crate) up_weight: u32,
    pub(crate) quorum_changes: u64,
    /// No server works, and those that worked last are kept.
    pub(crate) kept: bool,
    /// The sorry server, and whether it serves.
    pub(crate) sorry: Option<(SocketAddr, bool)>,
    pub(crate) servers: Vec<ServerReport>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerReport {
    pub(crate) address: SocketAddr,
    /// Its check, if it has one.
    pub(crate) check: Option<Arc<Check>>,
    /// Its agent, if it has one.
    pub(crate) agent: Option<AgentReport>,
    /// What check and agent say of it, beside whether it works.
    pub(crate) advice: Advice,
    pub(crate) state: ServerState,
    pub(crate) role: Role,
    /// Operator and advice let it take new connections, by its weight and otherwise.
    pub(crate) admission: Admission,
    pub(crate) progress: Progress,
    /// For how long it has been in this state, in milliseconds.
    pub(crate) for_ms: u64,
    pub(crate) checks: u64,
    pub(crate) failures: u64,
    pub(crate) transitions: u64,
    /// How long the last check took, in microseconds.
    pub(crate) took_us: u64,
    /// Why it last failed, and when.
    pub(crate) last_failure: Option<(String, SystemTime)>,
}

/// What an agent has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentReport {
    pub(crate) agent: Arc<Check>,
    /// Its last answer that meant something, and when it came.
    pub(crate) said: Option<(String, SystemTime)>,
    /// Why it did not answer the last time.
    pub(crate) failure: Option<(String, SystemTime)>,
    /// Milliseconds until it is asked next. None while it is.
    pub(crate) next_ms: Option<u64>,
}

/// How far a server is on its way to another state, and what keeps it from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Results in a row that contradict its state.
    pub(crate) against: u32,
    /// How many it takes.
    pub(crate) needed: u32,
    /// Milliseconds until the next check. None while one is running, or if there is no check.
    pub(crate) next_ms: Option<u64>,
    /// How often it failed lately.
    pub(crate) falls: u32,
    /// How long it must still pass its checks, if it is held down.
    pub(crate) held_for: Option<Duration>,
    /// When it is tried again without a check's success, if traffic brought it down.
    pub(crate) retry_ms: Option<u64>,
}

/// A server's state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerState {
    Up,
    Down,
    /// Down, and held down for failing too often.
    Held,
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ServerState::Up => "up",
            ServerState::Down => "down",
            ServerState::Held => "held",
        })
    }
}

/// Whether a server may take new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// It is drained, or its weight is 0, which is the same.
    Drained,
    Disabled,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Serves => f.pad("serves"),
            Role::Inhibited => f.pad("inhibited"),
            Role::Out => f.pad("out"),
        }
    }
}

pub(super) fn make(state: &State, now: Instant, hooks: (u64, u64)) -> Report {
    let watched = state.services.iter().filter(|(_, service)| service.is_watched());
    let services = watched.map(|(key, service)| service_report(*key, service, now));
    Report { services: services.collect(), hooks }
}

fn service_report(key: ServiceKey, service: &Service, now: Instant) -> ServiceReport {
    let servers = service.servers.iter().map(|(address, server)| ServerReport {
        address: *address,
        check: server.check.clone(),
        agent: server.agent.as_ref().map(|known| AgentReport {
            agent: known.agent.clone(),
            said: known.said.clone(),
            failure: known.failure.clone(),
            next_ms: known.next.map(|next| next.since(now).as_millis()),
        }),
        advice: server.advice,
        state: match (server.machine.is_up(), server.machine.is_held()) {
            (true, _) => ServerState::Up,
            (false, true) => ServerState::Held,
            (false, false) => ServerState::Down,
        },
        role: server.part.role,
        admission: match server.admin {
            Admin::Disabled => Admission::Disabled,
            Admin::Draining => Admission::Drained,
            Admin::Enabled if server.weight == 0 => Admission::Drained,
            Admin::Enabled => Admission::Admitted,
        },
        progress: progress(server, now),
        for_ms: now.since(server.machine.since()).as_millis(),
        checks: server.checks,
        failures: server.failures,
        transitions: server.transitions,
        took_us: server.took.as_micros() as u64,
        last_failure: server.last_failure.clone(),
    });
    let serves = matches!(service.outcome.sorry, Role::Serves);
    ServiceReport {
        key,
        name: service.name.clone(),
        pool: service.pool.clone(),
        up_weight: service.up_weight(),
        quorum: service.outcome.quorum,
        quorum_changes: service.quorum_changes,
        kept: service.outcome.kept,
        sorry: service.pool.sorry_server.map(|sorry| (sorry.address, serves)),
        servers: servers.collect(),
    }
}

fn progress(server: &Server, now: Instant) -> Progress {
    let machine = &server.machine;
    Progress {
        against: machine.against(),
        needed: machine.needed(),
        next_ms: server.next.map(|next| next.since(now).as_millis()),
        falls: machine.recent_falls(now),
        held_for: machine.held_for(now),
        retry_ms: machine.due().map(|due| due.since(now).as_millis()),
    }
}

impl ServerReport {
    /// What comes of it for new connections, in one word.
    pub(crate) fn role_word(&self) -> String {
        match (self.role, self.admission) {
            (Role::Serves | Role::Inhibited, Admission::Drained) => "drained".to_owned(),
            (_, Admission::Disabled) => "disabled".to_owned(),
            (role, _) => role.to_string(),
        }
    }

    /// The kind of its check.
    pub(crate) fn kind(&self) -> Option<&'static str> {
        self.check.as_ref().map(|check| check.kind.name())
    }
}
