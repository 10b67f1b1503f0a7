//! Workers: each is made on its own lcore, so that its memory is near it, and runs there.

use crate::{
    config::Idle,
    control::{file::state_file::Left, live::workers::WorkerView},
    dataplane::{
        activity::Activity,
        ask::{self, Desk, WorkerLine},
        clock::Clock,
        hand_over::{self, Ends},
        host::{Host, Outgoing},
        host_side::HostSides,
        idle::Rest,
        io::{LcoreIo, PortTraffic},
        lcore::{Ended, Lcore},
        shutdown::Shutdown,
        wired::WiredWorker,
    },
    dpdk::{self, Eal, LcoreHandle, LcoreId, Mbuf, Mempool, RxQueue, TxQueue},
};
use anyhow::{Result, bail};
use crossbeam_channel::{Receiver, Sender, bounded};
use lb_core::{
    conn::saved::Saved,
    counters::{ServerTraffic, WorkerCounters},
    decide::known::Forwarded,
    packet::{Notice, WorkerId},
    service::snapshot::Snapshot,
    time::Instant,
    worker::{Team, Worker},
};
use std::{sync::Arc, time::Duration};
use tracing::info;

/// How long a worker may take to prepare its memory.
const PATIENCE: Duration = Duration::from_secs(120);

/// What all workers are made of.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) team: Team,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) pool: Mempool,
    pub(super) host: Arc<Host>,
    pub(super) sides: Arc<HostSides>,
    pub(super) notices: Sender<Notice>,
    pub(super) clock: Clock,
    pub(super) idle: Idle,
    pub(super) shutdown: Arc<Shutdown>,
    /// By an earlier run.
    pub(super) left: Option<Arc<Left>>,
}

impl Common {
    /// Makes a worker on each lcore and lets it run. The queues are by worker, then by port.
    ///
    /// # Errors
    /// When an lcore does not take its worker, or a worker does not get ready.
    pub(super) fn launch(
        self,
        eal: &Eal,
        lcores: &[LcoreId],
        (rx, tx): (Vec<Vec<RxQueue>>, Vec<Vec<TxQueue>>),
        outgoing: Vec<Receiver<Outgoing>>,
    ) -> Result<(Vec<LcoreHandle<Ended>>, Vec<WorkerView>)> {
        let rings = hand_over::rings(lcores.len())?;
        let mut launched = Vec::new();
        let numbered = (0..).map(WorkerId).zip(lcores);
        for (((id, lcore), (rx, tx)), (rings, outgoing)) in
            numbered.zip(rx.into_iter().zip(tx)).zip(rings.into_iter().zip(outgoing))
        {
            launched.push(self.launch_one(eal, (id, *lcore), (rx, tx), rings, outgoing)?);
        }
        let (mut handles, mut workers, mut restored) = (Vec::new(), Vec::new(), 0);
        for Launched { id, handle, is_ready, line, traffic, activity } in launched {
            let Ok(ready) = is_ready.recv_timeout(PATIENCE) else {
                bail!("worker {} on lcore {} did not start in time", id.0, handle.lcore());
            };
            restored += ready.restored;
            let (place, counted) = ((id, handle.lcore()), (traffic, activity));
            workers.push(WorkerView::new(place, line, ready.counters, ready.servers, counted));
            handles.push(handle);
        }
        if let Some(left) = self.left {
            let all = left.connections.len() + left.connections_v6.len();
            info!("restored {restored} of {all} connections from the previous run");
        }
        Ok((handles, workers))
    }

    fn launch_one(
        &self,
        eal: &Eal,
        (id, lcore): (WorkerId, LcoreId),
        (rx, tx): (Vec<RxQueue>, Vec<TxQueue>),
        rings: Ends,
        outgoing: Receiver<Outgoing>,
    ) -> Result<Launched> {
        let (line, desk) = ask::line(id);
        let (ready, is_ready) = bounded(1);
        let traffic: Arc<[PortTraffic]> = rx.iter().map(|_| PortTraffic::default()).collect();
        let activity = Arc::new(Activity::default());
        let make = Make {
            id,
            common: self.clone(),
            rx,
            tx,
            rings,
            outgoing,
            traffic: traffic.clone(),
            activity: activity.clone(),
            desk,
            ready,
        };
        let handle = dpdk::launch(eal, lcore, move || make.on_this_lcore().run())?;
        Ok(Launched { id, handle, is_ready, line, traffic, activity })
    }
}

/// A worker that is being made.
struct Launched {
    id: WorkerId,
    handle: LcoreHandle<Ended>,
    is_ready: Receiver<Ready>,
    line: WorkerLine,
    traffic: Arc<[PortTraffic]>,
    activity: Arc<Activity>,
}

/// What a worker tells when it is ready.
struct Ready {
    counters: Arc<WorkerCounters>,
    servers: Arc<[ServerTraffic]>,
    /// Connections that it took over from an earlier run.
    restored: usize,
}

/// Everything that one worker is made of.
struct Make {
    id: WorkerId,
    common: Common,
    rx: Vec<RxQueue>,
    tx: Vec<TxQueue>,
    rings: Ends,
    outgoing: Receiver<Outgoing>,
    traffic: Arc<[PortTraffic]>,
    activity: Arc<Activity>,
    desk: Desk,
    ready: Sender<Ready>,
}

impl Make {
    fn on_this_lcore(self) -> Lcore {
        let Common { team, snapshot, pool, host, sides, notices, clock, idle, shutdown, left } = self.common;
        let mut worker = Worker::new(self.id, &team, snapshot, clock.now());
        let restored = left.map_or(0, |left| restore(&mut worker, &left, team.workers, clock.now()));
        let counters = worker.counters();
        // Whoever waits may have given up; the worker is then told to stop soon.
        let _ = self.ready.send(Ready { counters: counters.clone(), servers: worker.traffic(), restored });
        let outside = (notices, host.clone(), sides);
        let io = LcoreIo::new(self.tx, self.rings, pool, counters, self.traffic.clone(), outside);
        Lcore {
            wired: WiredWorker { worker, rx: self.rx, io, taps: None },
            desk: self.desk,
            host,
            outgoing: self.outgoing,
            clock,
            rest: Rest::new(idle),
            traffic: self.traffic,
            activity: self.activity,
            shutdown,
        }
    }
}

/// Takes over those connections of an earlier run that are this worker's, and returns how many.
fn restore(worker: &mut Worker<Mbuf>, left: &Left, workers: usize, now: Instant) -> usize {
    let same = left.workers == workers;
    restore_all(worker, &left.connections, same, now) + restore_all(worker, &left.connections_v6, same, now)
}

fn restore_all<F: Forwarded>(
    worker: &mut Worker<Mbuf>,
    left: &[(WorkerId, Saved<F>)],
    same: bool,
    now: Instant,
) -> usize {
    left.iter().filter(|(was, saved)| worker.restore(now, saved, same.then_some(*was)).is_ok()).count()
}
