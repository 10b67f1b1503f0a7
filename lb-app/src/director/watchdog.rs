//! The watchdog: whether workers are stuck, and what the service manager is told about it.

use crate::{
    control::{live::running::Running, plane::ControlPlane},
    journal::Happened,
    systemd,
};
use lb_ctl::protocol::events::Kind;
use std::time::{Duration, Instant};

/// Time between two lines for `systemctl status`, where no watchdog asks for more.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// Our end of the conversation with the service manager.
pub(super) struct Watchdog {
    /// Time between two looks at the workers.
    every: Duration,
    /// The manager expects regular messages, or restarts us.
    watched: bool,
    last: Instant,
    /// What each worker had spent at the last look.
    spent: Vec<u64>,
    /// Those that were stuck then.
    stuck: Vec<bool>,
}

impl Watchdog {
    /// Everything is ready.
    pub(super) fn ready(plane: &ControlPlane) -> Self {
        let watchdog = systemd::watchdog();
        // Twice as often as required is usual; four times leaves room for a busy host.
        let every = watchdog.map_or(STATUS_EVERY, |limit| (limit / 4).min(STATUS_EVERY));
        systemd::ready(&status(plane));
        let spent = spent(&plane.running);
        let stuck = vec![false; spent.len()];
        Watchdog { every, watched: watchdog.is_some(), last: Instant::now(), spent, stuck }
    }

    /// Called every few milliseconds. The watchdog is fed only while every worker goes round: one that is stuck loses
    /// packets that another director could forward.
    pub(super) fn tick(&mut self, plane: &ControlPlane, now: Instant) {
        if now.duration_since(self.last) < self.every {
            return;
        }
        self.last = now;
        let spent = spent(&plane.running);
        let stuck: Vec<bool> = spent.iter().zip(&self.spent).map(|(now, before)| now == before).collect();
        self.spent = spent;
        for (worker, (now, before)) in stuck.iter().zip(&self.stuck).enumerate() {
            let happened = match (before, now) {
                (false, true) => {
                    let every = self.every.as_millis();
                    let text = format!("worker {worker} is stuck: no loop iteration for {every} ms");
                    Happened::new(Kind::WorkerStuck, text)
                }
                (true, false) => Happened::new(Kind::WorkerRecovered, format!("worker {worker} goes on")),
                _ => continue,
            };
            plane.running.journal.tell(happened);
        }
        let is_any = stuck.contains(&true);
        self.stuck = stuck;
        match is_any {
            true => {}
            false if self.watched => systemd::feed_watchdog(&status(plane)),
            false => systemd::status(&status(plane)),
        }
    }
}

/// Cycles that each worker has spent: they grow with every round.
fn spent(running: &Running) -> Vec<u64> {
    let workers = running.workers.iter();
    workers.map(|worker| worker.activity.busy_cycles.get() + worker.activity.idle_cycles.get()).collect()
}

fn status(plane: &ControlPlane) -> String {
    let running = &plane.running;
    let services = running.current().plan.services.len();
    let down = running.health.down();
    let tables = running.fills().map(|it| format!("{} of {} {}", it.connections, it.capacity, it.family));
    format!("{services} services, {down} servers down, {} connections", tables.join(" and "))
}
