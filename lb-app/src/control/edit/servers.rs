//! What becomes of one server by its operator's will: enabled, drained, disabled, with a weight; and the end of
//! draining. How many connections it then gets follows in [`crate::health`].

use super::change::ChangeError;
use crate::{control::live::running::Running, journal::Happened};
use lb_core::service::{
    key::ServerKey,
    plan::{Admin, Plan, ServerPlan},
};
use lb_ctl::protocol::events::Kind;
use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tracing::warn;

/// What operators want of servers, and what is to happen to them later.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    deadlines: Mutex<Vec<(Instant, ServerKey)>>,
}

/// What an operator wants of a server; what is not said stays.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) admin: Option<Admin>,
    /// When a server that is drained now gets nothing any more.
    pub(crate) within: Option<Duration>,
}

impl Schedule {
    /// Does with a server what its operator wants, in one step: `set` changes the options that are given.
    ///
    /// # Errors
    /// When there is no such server, those of `set`, and those of [`Running::change`].
    pub(crate) fn set(
        &self,
        running: &Running,
        key: &ServerKey,
        wish: Wish,
        set: impl FnOnce(&mut ServerPlan) -> Result<(), ChangeError>,
    ) -> Result<(), ChangeError> {
        running.change(|plan| {
            let server = require(plan, key)?;
            set(server)?;
            server.admin = wish.admin.unwrap_or(server.admin);
            Ok(())
        })?;
        if wish.admin.is_some() {
            let mut deadlines = self.deadlines.lock();
            deadlines.retain(|(_, of)| of != key);
            deadlines.extend(wish.within.map(|within| (Instant::now() + within, *key)));
        }
        Ok(())
    }

    /// How long a draining server's connections still have; `None` if they may go on for ever.
    pub(crate) fn drains_within(&self, key: &ServerKey) -> Option<Duration> {
        let deadlines = self.deadlines.lock();
        let (deadline, _) = deadlines.iter().find(|(_, of)| of == key)?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Does what has become due. Called by the director every few milliseconds.
    pub(crate) fn keep(&self, running: &Running, now: Instant) {
        let over: Vec<ServerKey> = {
            let mut deadlines = self.deadlines.lock();
            if !deadlines.is_empty() {
                // Whoever has enabled a server since, by a reload say, wants it so, and may drain it anew.
                let plan = running.current().plan;
                deadlines.retain(|(_, key)| is_draining(&plan, key));
            }
            deadlines.extract_if(.., |(deadline, _)| *deadline <= now).map(|(_, key)| key).collect()
        };
        for key in over {
            let outcome = running.change(|plan| {
                let server = require(plan, &key)?;
                let is_draining = server.admin == Admin::Draining;
                if is_draining {
                    server.admin = Admin::Disabled;
                }
                Ok(is_draining)
            });
            match outcome {
                Ok(true) => {
                    let text = format!("the drain time of server {key} is over: its connections end");
                    running.journal.tell(Happened::new(Kind::ServerDisabled, text));
                }
                Ok(false) => {}
                Err(error) => warn!("cannot end the connections of server {key}: {error}"),
            }
        }
    }
}

fn is_draining(plan: &Plan, key: &ServerKey) -> bool {
    let server = plan.service(&key.service).and_then(|service| service.server(key.endpoint()));
    server.is_some_and(|server| server.admin == Admin::Draining)
}

fn require<'a>(plan: &'a mut Plan, key: &ServerKey) -> Result<&'a mut ServerPlan, ChangeError> {
    let server = plan.service_mut(&key.service).and_then(|service| service.server_mut(key.endpoint()));
    server.ok_or_else(|| ChangeError::refused(format!("unknown server {key}")))
}
