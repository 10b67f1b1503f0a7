//! The running director: what it does while workers forward, and how it ends.

use super::{clients, notices::Notices, watchdog::Watchdog};
use crate::{
    control::{
        clients::telemetry,
        edit::passive::Watch,
        file::state_file,
        live::{drops::Drops, links, running::Running},
        plane::ControlPlane,
    },
    dataplane::{lcore::Ended, shutdown::Shutdown},
    dpdk::{Dump, Eal, LcoreHandle, Mbuf, RxQueue, TxQueue, eal::EalError},
    journal::Happened,
    log,
    metrics::Exporter,
    report,
    say::say,
    systemd,
};
use anyhow::{Result, bail};
use lb_core::{
    conn::saved::Saved,
    decide::known::Forwarded,
    family::{V4, V6},
    flow::key::Secret,
    packet::WorkerId,
    service::plan::Role,
    time,
    worker::Worker,
};
use lb_ctl::protocol::events::Kind;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tracing::{error, info};

/// Time between two rounds of chores: how old the other workers' loads are that a scheduler sees, at most.
const ROUND: Duration = Duration::from_millis(5);
/// How long a client's last request may hold up the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that a status report lists, at most.
const MOST_LISTED: usize = 1_000;

/// What signals ask for.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Stop forwarding and end.
    pub(crate) stop: Arc<AtomicBool>,
    /// Print a status report.
    pub(crate) status: Arc<AtomicBool>,
    /// Read the configuration file again.
    pub(crate) reload: Arc<AtomicBool>,
}

/// The running director, with what only its owner may do: end it.
pub(crate) struct Director {
    pub(crate) eal: Eal,
    pub(crate) plane: Arc<ControlPlane>,
    /// By worker.
    pub(crate) handles: Vec<LcoreHandle<Ended>>,
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) notices: Notices,
    pub(crate) secret: Secret,
    /// Serves metrics, if they are wanted.
    pub(crate) exporter: Option<Exporter>,
    /// Lets other processes capture packets, if there can be any.
    pub(crate) dump: Option<Dump>,
}

impl Director {
    /// Does the periodic work until it is asked to stop.
    pub(crate) fn serve(&self, wishes: &Wishes) {
        let (plane, running) = (&*self.plane, &*self.plane.running);
        let mut watchdog = Watchdog::ready(plane);
        let (mut refusals, mut drops) = (Watch::default(), Drops::default());
        let mut links = links::Looker::default();
        running.journal.tell(Happened::new(Kind::Started, started(running)));
        let mut leaving = false;
        // Who leaves in good order forwards until routers have heard of it.
        while !(wishes.stop.load(Ordering::Relaxed) && plane.has_left()) {
            if wishes.stop.load(Ordering::Relaxed) && !leaving {
                leaving = true;
                plane.announcer.leave(false);
            }
            running.board.sum_up(running.current().snapshot.servers.len());
            self.notices.tell(running, Instant::now());
            if wishes.reload.swap(false, Ordering::Relaxed) {
                plane.reloads.reload_by_signal(running);
            }
            if wishes.status.swap(false, Ordering::Relaxed) {
                say(self.status());
            }
            if let Some(dead) = self.handles.iter().position(LcoreHandle::is_finished) {
                let text = format!("worker {dead} exited unexpectedly");
                running.journal.tell(Happened::new(Kind::WorkerExited, text));
                return;
            }
            running.catch_up();
            running.release_local_addresses();
            refusals.tick(running, Instant::now());
            links.tick(running, Instant::now());
            drops.tick(running, Instant::now());
            plane.watches.keep(running);
            plane.servers.keep(running, Instant::now());
            plane.reloads.go_back_if_unconfirmed(running, Instant::now());
            watchdog.tick(plane, Instant::now());
            log::say_what_was_left_out(Instant::now());
            thread::sleep(ROUND);
        }
    }

    /// Everything an operator asks first, ending with the line `end of status`.
    pub(crate) fn status(&self) -> String {
        let neighbours = self.plane.running.workers.iter();
        let neighbours =
            neighbours.map(|worker| (worker.id, worker.neighbours().unwrap_or_default())).collect();
        report::status(&self.plane, &self.plane.running.list(MOST_LISTED), neighbours)
    }

    /// Stops polling, prints the accumulated statistics, closes ports.
    ///
    /// # Errors
    /// When a worker had panicked, a port does not close, or packets are unaccounted for.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.plane.running.journal.tell(Happened::new(Kind::Stopping, "stopping"));
        systemd::stopping();
        telemetry::end();
        drop(self.dump.take());
        let running = &self.plane.running;
        self.plane.watches.end(running);
        if let Some(exporter) = self.exporter.take() {
            exporter.stop();
        }
        self.plane.withdraw();
        self.plane.stop_checks();
        self.shutdown.request();
        let ports = running.take_ports();
        let mut rx: Vec<Vec<RxQueue>> = ports.iter().map(|_| Vec::new()).collect();
        let mut tx: Vec<Vec<TxQueue>> = ports.iter().map(|_| Vec::new()).collect();
        let mut workers = Vec::new();
        for handle in std::mem::take(&mut self.handles) {
            let ended = handle.join()?;
            ended.rx.into_iter().for_each(|queue| rx[usize::from(queue.port().0)].push(queue));
            ended.tx.into_iter().for_each(|queue| tx[usize::from(queue.port().0)].push(queue));
            workers.push(ended.worker);
        }
        self.leave_state(&workers);
        drop(workers);
        self.notices.tell(&self.plane.running, Instant::now());
        let discarded = rx.iter().flatten().map(RxQueue::discarded).sum();
        say(report::accumulated(&self.plane.running, &ports, discarded));
        let counters: Vec<_> = self.plane.running.workers.iter().map(|worker| &*worker.counters).collect();
        let is_exact = report::is_exact(&counters);
        let buffers_stay = ports.iter().any(|port| port.info().keeps_buffers());
        for ((port, rx), tx) in ports.into_iter().zip(rx).zip(tx) {
            port.stop_and_close(rx, tx)?;
        }
        release(self.plane);
        match self.eal.cleanup() {
            // The pool, which the end of the process frees.
            Err(EalError::StillInUse(1)) if buffers_stay => {}
            result => result?,
        }
        if !is_exact {
            bail!("packets are unaccounted for: this is a defect in lb-app; please report it");
        }
        Ok(())
    }
}

impl Director {
    /// Saves the connections for the next run, if there is a state file.
    fn leave_state(&self, workers: &[Worker<Mbuf>]) {
        let Some(path) = &self.plane.running.config.state_file else { return };
        let now = self.plane.running.clock.now();
        let (v4, v6) = (saved::<V4>(workers, now), saved::<V6>(workers, now));
        let clients = clients::saved(&self.plane.running);
        match state_file::write(path, self.secret, workers.len(), v4, v6, &clients) {
            Ok(count) => info!("saved {count} connections to {}", path.display()),
            Err(error) => error!("cannot save connections to {}: {error}", path.display()),
        }
    }
}

/// The connections of a family, each with its worker.
fn saved<F: Forwarded>(
    workers: &[Worker<Mbuf>],
    now: time::Instant,
) -> impl Iterator<Item = (WorkerId, Saved<F>)> {
    let numbered = (0..).map(WorkerId).zip(workers);
    numbered.flat_map(move |(id, worker)| worker.saved(now).map(move |saved| (id, saved)))
}

fn started(running: &Running) -> String {
    let (workers, plan) = (running.workers.len(), running.current().plan);
    let version = env!("CARGO_PKG_VERSION");
    let role = match plan.director.role {
        Role::Active => "",
        Role::Standby => ", on standby",
        Role::Follow => ", for VIPs that the kernel has",
    };
    format!("lb-app {version} forwards {} services with {workers} workers{role}", plan.services.len())
}

/// Waits until nobody else holds what runs: a client's request may still be under way. DPDK cannot end before.
fn release(plane: Arc<ControlPlane>) {
    let deadline = Instant::now() + PATIENCE;
    if let Some(plane) = last_owner(plane, deadline) {
        last_owner(plane.running, deadline);
    }
}

/// What is shared, once nobody shares it any more.
fn last_owner<T>(mut shared: Arc<T>, deadline: Instant) -> Option<T> {
    loop {
        match Arc::try_unwrap(shared) {
            Ok(owned) => return Some(owned),
            Err(_) if Instant::now() > deadline => return None,
            Err(still) => shared = still,
        }
        thread::sleep(ROUND);
    }
}
