//! The running director: what it does while workers forward, and how it ends.

use super::query::{Line, Listed};
use crate::{
    dataplane::{io::PortTraffic, lcore::Shutdown},
    dpdk::{Eal, LcoreHandle, Mempool, RxQueue, StartedPort, TxQueue, eal::EalError},
    report,
    say::say,
};
use anyhow::{Result, bail};
use crossbeam_channel::Receiver;
use lb_core::{
    counters::{ServerTraffic, WorkerCounters},
    packet::{Notice, WorkerId},
    service::{load::LoadBoard, snapshot::Snapshot},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
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
}

/// One worker, from outside.
pub(crate) struct WorkerHandle {
    pub(crate) id: WorkerId,
    pub(crate) handle: LcoreHandle<(Vec<RxQueue>, Vec<TxQueue>)>,
    pub(crate) line: Line,
    pub(crate) counters: Arc<WorkerCounters>,
    /// By server.
    pub(crate) servers: Arc<[ServerTraffic]>,
    /// By port.
    pub(crate) ports: Arc<[PortTraffic]>,
}

/// The running director.
pub(crate) struct Director {
    pub(crate) eal: Eal,
    /// The operator's names of the ports.
    pub(crate) names: Vec<String>,
    pub(crate) ports: Vec<StartedPort>,
    pub(crate) pool: Mempool,
    pub(crate) workers: Vec<WorkerHandle>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) board: Arc<LoadBoard>,
    pub(crate) connections_per_worker: usize,
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) notices: Receiver<Notice>,
}

impl Director {
    /// Does the chores until told to stop.
    pub(crate) fn serve(&self, wishes: &Wishes) {
        while !wishes.stop.load(Ordering::Relaxed) {
            self.board.sum_up();
            self.notices.try_iter().for_each(tell);
            if wishes.status.swap(false, Ordering::Relaxed) {
                say(self.status());
            }
            if let Some(dead) = self.workers.iter().find(|worker| worker.handle.is_finished()) {
                error!("worker {} has ended by itself", dead.id.0);
                return;
            }
            thread::sleep(ROUND);
        }
    }

    /// Everything an operator asks first, ending with the line `end of status`.
    pub(crate) fn status(&self) -> String {
        let mut listed: Vec<Listed> = Vec::new();
        for worker in &self.workers {
            listed.extend(worker.line.connections(worker.id, MOST_LISTED - listed.len()));
        }
        let neighbours = self.workers.iter().map(|worker| (worker.id, worker.line.neighbours())).collect();
        report::status(self, &listed, neighbours)
    }

    /// Stops polling, prints the accumulated statistics, closes ports.
    ///
    /// # Errors
    /// When a worker had panicked, a port does not close, or packets are unaccounted for.
    pub(crate) fn stop(self) -> Result<()> {
        info!("stopping");
        self.shutdown.request();
        let mut rx: Vec<Vec<RxQueue>> = self.ports.iter().map(|_| Vec::new()).collect();
        let mut tx: Vec<Vec<TxQueue>> = self.ports.iter().map(|_| Vec::new()).collect();
        let mut ended = Vec::new();
        for worker in self.workers {
            let (rx_queues, tx_queues) = worker.handle.join()?;
            rx_queues.into_iter().for_each(|queue| rx[usize::from(queue.port().0)].push(queue));
            tx_queues.into_iter().for_each(|queue| tx[usize::from(queue.port().0)].push(queue));
            ended.push(report::Ended {
                id: worker.id,
                counters: worker.counters,
                servers: worker.servers,
                ports: worker.ports,
            });
        }
        self.notices.try_iter().for_each(tell);
        let discarded = rx.iter().flatten().map(RxQueue::discarded).sum();
        say(report::accumulated(&self.names, &self.ports, &self.snapshot, &ended, discarded));
        let buffers_stay = self.ports.iter().any(|port| port.info().keeps_buffers());
        for ((port, rx), tx) in self.ports.into_iter().zip(rx).zip(tx) {
            port.stop_and_close(rx, tx)?;
        }
        drop(self.pool);
        match self.eal.cleanup() {
            // The pool, which the end of the process frees.
            Err(EalError::StillInUse(1)) if buffers_stay => {}
            result => result?,
        }
        if !report::is_exact(&ended) {
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
