//! The running director: what it does while workers forward, and how it ends.

use super::running::Running;
use crate::{
    dataplane::lcore::Shutdown,
    dpdk::{Eal, LcoreHandle, RxQueue, TxQueue},
    report,
    say::say,
};
use anyhow::{Result, bail};
use crossbeam_channel::Receiver;
use lb_core::packet::Notice;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tracing::{error, info, warn};

/// Time between two rounds of chores: how old the other workers' loads are that a scheduler sees, at most.
const ROUND: Duration = Duration::from_millis(5);
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
    pub(crate) running: Arc<Running>,
    /// By worker.
    pub(crate) handles: Vec<LcoreHandle<Queues>>,
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) notices: Receiver<Notice>,
}

/// A worker's queues, by port.
pub(crate) type Queues = (Vec<RxQueue>, Vec<TxQueue>);

impl Director {
    /// Does the chores until told to stop.
    pub(crate) fn serve(&self, wishes: &Wishes) {
        while !wishes.stop.load(Ordering::Relaxed) {
            self.running.board.sum_up();
            self.notices.try_iter().for_each(tell);
            if wishes.reload.swap(false, Ordering::Relaxed) {
                self.running.reload_by_signal();
            }
            if wishes.status.swap(false, Ordering::Relaxed) {
                say(self.status());
            }
            if let Some(dead) = self.handles.iter().position(LcoreHandle::is_finished) {
                error!("worker {dead} has ended by itself");
                return;
            }
            self.running.catch_up();
            self.running.keep_schedule(Instant::now());
            self.running.go_back_if_unconfirmed(Instant::now());
            thread::sleep(ROUND);
        }
    }

    /// Everything an operator asks first, ending with the line `end of status`.
    pub(crate) fn status(&self) -> String {
        let neighbours = self.running.workers.iter();
        let neighbours =
            neighbours.map(|worker| (worker.id, worker.line.neighbours().unwrap_or_default())).collect();
        report::status(&self.running, &self.running.list(MOST_LISTED), neighbours)
    }

    /// Stops polling, prints the accumulated statistics, closes ports.
    ///
    /// # Errors
    /// When a worker had panicked, a port does not close, or packets are unaccounted for.
    pub(crate) fn stop(self) -> Result<()> {
        info!("stopping");
        self.shutdown.request();
        let ports = self.running.take_ports();
        let mut rx: Vec<Vec<RxQueue>> = ports.iter().map(|_| Vec::new()).collect();
        let mut tx: Vec<Vec<TxQueue>> = ports.iter().map(|_| Vec::new()).collect();
        for handle in self.handles {
            let (rx_queues, tx_queues) = handle.join()?;
            rx_queues.into_iter().for_each(|queue| rx[usize::from(queue.port().0)].push(queue));
            tx_queues.into_iter().for_each(|queue| tx[usize::from(queue.port().0)].push(queue));
        }
        self.notices.try_iter().for_each(tell);
        let discarded = rx.iter().flatten().map(RxQueue::discarded).sum();
        say(report::accumulated(&self.running, &ports, discarded));
        let counters: Vec<_> = self.running.workers.iter().map(|worker| &*worker.counters).collect();
        let is_exact = report::is_exact(&counters);
        for ((port, rx), tx) in ports.into_iter().zip(rx).zip(tx) {
            port.stop_and_close(rx, tx)?;
        }
        drop(self.running);
        self.eal.cleanup()?;
        if !is_exact {
            bail!("packets are unaccounted for: this is a defect of lb-app, please report it");
        }
        Ok(())
    }
}

fn tell(notice: Notice) {
    match notice {
        Notice::AddressConflict { address, mac, port } => {
            warn!("another station claims {address}: {mac}, heard on port {}", port.0);
        }
        Notice::NeighbourLost { address, port } => {
            warn!("next hop {address} behind port {} does not answer ARP", port.0);
        }
        Notice::NeighbourFound { address, mac, port } => {
            info!("next hop {address} is at {mac} behind port {}", port.0);
        }
    }
}
