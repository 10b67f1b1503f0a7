//! Health checks: how it is found out whether a server works, and what follows if it does not.
//!
//! Words and meanings are keepalived's where it has them.

mod check;
mod effective;
mod pool;
mod read;

pub(crate) use check::{Check, Command, Dns, Http, Kind, Leave, Pattern, Record, Tls, Udp};
pub(crate) use effective::{inline_check, inline_pool, words};
pub(crate) use pool::{Passive, Pool, Sorry, WhenAllFail};
pub(super) use read::{check_together, check_way, read_check, read_pool};

use super::{place::At, table::Table, values::timeout};
use lb_core::{service::key::ServiceKey, time::Duration};
use std::{net::SocketAddr, sync::Arc};

/// How long a hook may run unless the file says otherwise.
const DEFAULT_HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything about checks in a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// Called at every change of a server's or service's state.
    pub(crate) hook: Option<Vec<String>>,
    /// How long this and every other hook may run.
    pub(crate) hook_timeout: Duration,
    /// In the order of the plan's services.
    pub(crate) services: Vec<ServiceHealth>,
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
}

impl ServiceHealth {
    /// The check of one server.
    pub(crate) fn check_of(&self, server: SocketAddr) -> Option<&Arc<Check>> {
        match self.own.iter().find(|(own, _)| *own == server) {
            Some((_, check)) => check.as_ref(),
            None => self.check.as_ref(),
        }
    }
}

/// `[health]`
#[derive(Clone, Debug)]
pub(super) struct Hooks {
    pub(super) hook: Option<Vec<String>>,
    pub(super) timeout: Duration,
}

impl Hooks {
    /// Reads the table, if there is one.
    pub(super) fn read(table: Option<Table>) -> Self {
        let Some(mut table) = table else {
            return Hooks { hook: None, timeout: DEFAULT_HOOK_TIMEOUT };
        };
        let hook = read::program(&mut table, "hook", "[\"/usr/local/sbin/lb-hook\"]");
        let timeout = table.read("hook_timeout", timeout).or(DEFAULT_HOOK_TIMEOUT);
        table.finish();
        Hooks { hook, timeout: timeout.unwrap_or(DEFAULT_HOOK_TIMEOUT) }
    }
}

/// What a server's `check` says: nothing, that there is none, or one of its own.
pub(super) type OwnCheck = Option<At<Option<Arc<Check>>>>;
