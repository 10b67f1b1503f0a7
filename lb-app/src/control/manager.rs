//! What the service manager is told: systemd's protocol, which costs nothing where nobody listens.

use super::running::Running;
use sd_notify::NotifyState;
use std::time::{Duration, Instant};
use tracing::warn;

/// Time between two lines for `systemctl status`, where no watchdog asks for more.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// Our end of the conversation.
pub(crate) struct Manager {
    /// Time between two looks at the workers.
    every: Duration,
    /// The manager wants to hear of us regularly, or restarts us.
    watched: bool,
    last: Instant,
    /// What each worker had spent at the last look.
    spent: Vec<u64>,
}

impl Manager {
    /// Everything is ready.
    pub(crate) fn ready(running: &Running) -> Self {
        let watchdog = sd_notify::watchdog_enabled();
        // Twice as often as wanted is usual; four times leaves room for a busy machine.
        let every = watchdog.map_or(STATUS_EVERY, |limit| (limit / 4).min(STATUS_EVERY));
        tell(&[NotifyState::Ready, NotifyState::Status(&status(running))]);
        let spent = spent(running);
        Manager { every, watched: watchdog.is_some(), last: Instant::now(), spent }
    }

    /// The configuration is being read again, until the returned value is dropped.
    pub(crate) fn reloading() -> Reloading {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
        Reloading
    }

    /// The end has begun.
    pub(crate) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }

    /// Called every few milliseconds. The watchdog is fed only while every worker goes round: one that is stuck loses
    /// packets that another director could forward.
    pub(crate) fn tick(&mut self, running: &Running, now: Instant) {
        if now.duration_since(self.last) < self.every {
            return;
        }
        self.last = now;
        let spent = spent(running);
        let stuck = spent.iter().zip(&self.spent).position(|(now, before)| now == before);
        self.spent = spent;
        let line = status(running);
        match stuck {
            Some(worker) => warn!("worker {worker} has not gone round for {} ms", self.every.as_millis()),
            None if self.watched => tell(&[NotifyState::Watchdog, NotifyState::Status(&line)]),
            None => tell(&[NotifyState::Status(&line)]),
        }
    }
}

/// Tells the manager that reloading is over when it is dropped.
pub(crate) struct Reloading;

impl Drop for Reloading {
    fn drop(&mut self) {
        tell(&[NotifyState::Ready]);
    }
}

/// A manager that does not listen is no reason to stop.
fn tell(state: &[NotifyState]) {
    let _ = sd_notify::notify(state);
}

/// Cycles that each worker has spent: they grow with every round.
fn spent(running: &Running) -> Vec<u64> {
    let workers = running.workers.iter();
    workers.map(|worker| worker.activity.busy_cycles.get() + worker.activity.idle_cycles.get()).collect()
}

fn status(running: &Running) -> String {
    let services = running.current().plan.services.len();
    let down: usize = running.monitor().map_or(0, |monitor| monitor.down());
    let (connections, capacity) = (running.connections(), running.capacity());
    format!("{services} services, {down} servers down, {connections} of {capacity} connections")
}
