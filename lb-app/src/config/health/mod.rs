//! Health checks: how it is found out whether a server works, and what follows if it does not.
//!
//! Words and meanings are keepalived's where it has them.

mod check;
mod effective;
mod http;
mod kind;
mod leave;
mod local;
mod pattern;
mod pool;
mod read;
mod talk;

pub(crate) use check::Check;
pub(crate) use effective::{inline_check, inline_pool};
pub(crate) use http::{Digest, Http, Page, Tls};
pub(crate) use kind::Kind;
pub(crate) use leave::{Leave, Via};
pub(crate) use local::{Command, File};
pub(crate) use pattern::Pattern;
#[cfg(test)]
pub(crate) use pool::Passive;
pub(crate) use pool::{Pool, Sorry, WhenAllFail};
pub(super) use read::{PoolPlaces, check_together, check_way, read_agent, read_check, read_pool};
pub(crate) use talk::{Agent, Dns, Record, Smtp, Udp};

use super::{options, place::At, table::Table};
use lb_core::{
    option,
    service::{
        key::ServiceKey,
        option::{Kind as Of, Opt},
    },
    time::Duration,
};
use std::{collections::HashMap, net::SocketAddr, sync::Arc};

/// Everything about checks in a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// What is called when something changes.
    pub(crate) hooks: Hooks,
    /// In the order of the plan's services.
    pub(crate) services: Vec<ServiceHealth>,
}

impl Health {
    /// How each service is checked.
    pub(crate) fn by_service(&self) -> HashMap<ServiceKey, &ServiceHealth> {
        self.services.iter().map(|service| (service.key, service)).collect()
    }
}

/// One service's checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceHealth {
    /// Whose.
    pub(crate) key: ServiceKey,
    /// What its servers' states mean together.
    pub(crate) pool: Pool,
    /// The check of servers that have none of their own.
    pub(crate) check: Option<Arc<Check>>,
    /// Servers with a check of their own, or with none although the service has one.
    pub(crate) own: Vec<(SocketAddr, Option<Arc<Check>>)>,
    /// The agent of servers that have none of their own.
    pub(crate) agent: Option<Arc<Check>>,
    /// Servers with an agent of their own, or with none although the service has one.
    pub(crate) own_agents: Vec<(SocketAddr, Option<Arc<Check>>)>,
}

impl ServiceHealth {
    /// The check of one server.
    pub(crate) fn check_of(&self, server: SocketAddr) -> Option<&Arc<Check>> {
        of_server(&self.own, self.check.as_ref(), server)
    }

    /// The agent of one server.
    pub(crate) fn agent_of(&self, server: SocketAddr) -> Option<&Arc<Check>> {
        of_server(&self.own_agents, self.agent.as_ref(), server)
    }

    /// Its checks and agents, each once.
    pub(crate) fn every(&self) -> impl Iterator<Item = &Arc<Check>> {
        let own = self.own.iter().chain(&self.own_agents).filter_map(|(_, check)| check.as_ref());
        self.check.iter().chain(&self.agent).chain(own)
    }
}

fn of_server<'a>(
    own: &'a [(SocketAddr, Option<Arc<Check>>)],
    common: Option<&'a Arc<Check>>,
    server: SocketAddr,
) -> Option<&'a Arc<Check>> {
    own.iter().find(|(own, _)| *own == server).map_or(common, |(_, check)| check.as_ref())
}

/// `[health]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hooks {
    /// Called at every change of a server's or service's state.
    pub(crate) hook: Option<Vec<String>>,
    /// How long this and every other hook may run.
    pub(crate) hook_timeout: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Hooks { hook: None, hook_timeout: Duration::from_secs(10) }
    }
}

impl Hooks {
    /// What can be said of them.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(hook, Of::Program, "Run at every change of a server's or service's state.")
            .example("[\"/usr/local/sbin/lb-hook\"]"),
        option!(hook_timeout, Of::Timeout, "How long a hook may run."),
    ];

    /// Reads the table, if there is one.
    pub(super) fn read(table: Option<Table>) -> Self {
        let mut hooks = Hooks::default();
        if let Some(mut table) = table {
            options::read(&mut table, Self::OPTIONS, &mut hooks);
            table.finish();
        }
        hooks
    }
}

/// A server's `check`: not given, none, or its own.
pub(super) type OwnCheck = Option<At<Option<Arc<Check>>>>;
