//! What becomes of one server: what the operator wants of it, what checks find, and what that means over time, namely
//! slow start and the end of draining.

use super::change::ChangeError;
use crate::control::live::running::Running;
use lb_core::service::{
    key::ServerKey,
    plan::{Admin, Health, Plan, ServerPlan},
};
use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Steps from nothing to a server's whole weight.
const STEPS: u16 = 20;

/// What operators want of servers, and what is to happen to them later.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    warming: Mutex<Vec<Warming>>,
    deadlines: Mutex<Vec<(Instant, ServerKey)>>,
}

/// A server on its way to its whole weight.
#[derive(Clone, Copy, Debug)]
struct Warming {
    key: ServerKey,
    since: Instant,
    over: Duration,
    /// Steps taken.
    step: u16,
}

impl Schedule {
    /// Lets a server take new connections. One that did not takes them slowly at first, if its service says so.
    pub(crate) fn enable(&self, running: &Running, key: &ServerKey) -> Result<(), ChangeError> {
        self.forget_deadline(key);
        let warming = running.change(|plan| {
            let (server, slow_start) = require(plan, key)?;
            let comes_back = server.admin != Admin::Enabled && server.health == Health::Up;
            server.admin = Admin::Enabled;
            Ok(warm(server, slow_start, comes_back))
        })?;
        self.follow_warming(key, warming);
        Ok(())
    }

    /// Gives a server no new connections. Those that exist go on; after `within`, if given, they end.
    pub(crate) fn drain(
        &self,
        running: &Running,
        key: &ServerKey,
        within: Option<Duration>,
    ) -> Result<(), ChangeError> {
        self.forget_deadline(key);
        set_admin(running, key, Admin::Draining)?;
        if let Some(within) = within {
            self.deadlines.lock().push((Instant::now() + within, *key));
        }
        Ok(())
    }

    /// Gives a server nothing any more. Its connections end with their next packet.
    pub(crate) fn disable(&self, running: &Running, key: &ServerKey) -> Result<(), ChangeError> {
        self.forget_deadline(key);
        set_admin(running, key, Admin::Disabled)
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
            deadlines.extract_if(.., |(deadline, _)| *deadline <= now).map(|(_, key)| key).collect()
        };
        for key in over {
            match set_admin(running, &key, Admin::Disabled) {
                Ok(()) => info!("server {key} has been drained long enough: its connections end"),
                Err(error) => warn!("server {key} was to end its connections: {error}"),
            }
        }
        self.step_warming(running, now);
    }

    fn forget_deadline(&self, key: &ServerKey) {
        self.deadlines.lock().retain(|(_, of)| of != key);
    }

    /// Gives a server that warms up its whole weight step by step; one that does not is followed no more.
    pub(super) fn follow_warming(&self, key: &ServerKey, over: Option<Duration>) {
        let mut warming = self.warming.lock();
        warming.retain(|one| one.key != *key);
        if let Some(over) = over {
            warming.push(Warming { key: *key, since: Instant::now(), over, step: 1 });
        }
    }

    /// All servers that have come a step further get more of their weight, in one change.
    fn step_warming(&self, running: &Running, now: Instant) {
        let mut due = Vec::new();
        self.warming.lock().retain_mut(|one| {
            let share = now.saturating_duration_since(one.since).as_secs_f64() / one.over.as_secs_f64();
            let step = ((share * f64::from(STEPS)) as u16 + 1).min(STEPS);
            if step > one.step {
                one.step = step;
                due.push(*one);
            }
            step < STEPS
        });
        if due.is_empty() {
            return;
        }
        let outcome = running.change(|plan| {
            for one in &due {
                // It may have been removed, or found ill, in the meantime.
                if let Some((server, _)) = find(plan, &one.key)
                    && matches!(server.health, Health::Warming(_))
                {
                    server.health = if one.step == STEPS { Health::Up } else { part(one.step) };
                }
            }
            Ok(())
        });
        if let Err(error) = outcome {
            warn!("slow start: {error}");
        }
    }
}

fn set_admin(running: &Running, key: &ServerKey, admin: Admin) -> Result<(), ChangeError> {
    running.change(|plan| {
        let (server, _) = require(plan, key)?;
        server.admin = admin;
        Ok(())
    })
}

/// The server in a plan, with how long it takes to get its whole weight.
fn find<'a>(plan: &'a mut Plan, key: &ServerKey) -> Option<(&'a mut ServerPlan, Duration)> {
    let service = plan.service_mut(&key.service)?;
    let slow_start = Duration::from_millis(service.slow_start.as_millis());
    Some((service.server_mut(key.endpoint())?, slow_start))
}

fn require<'a>(plan: &'a mut Plan, key: &ServerKey) -> Result<(&'a mut ServerPlan, Duration), ChangeError> {
    find(plan, key).ok_or_else(|| ChangeError::refused(format!("there is no server {key}")))
}

/// Begins slow start, if there is to be one, and returns how long it takes.
pub(super) fn warm(server: &mut ServerPlan, slow_start: Duration, comes_back: bool) -> Option<Duration> {
    (comes_back && !slow_start.is_zero()).then(|| {
        server.health = part(1);
        slow_start
    })
}

fn part(step: u16) -> Health {
    Health::Warming(step * (1_000 / STEPS))
}
