//! Everything in order, from the command line to workers that run.

use super::{
    placement,
    ports::{self, Ports},
    serve::Director,
};
use crate::{
    cli::CommandLine,
    config::{self, Config, Limits, Wanted, memory},
    control::{
        clients::{socket::ControlSocket, telemetry},
        file::state_file::{self, Left},
        live::{running::Running, workers::WorkerView},
        plane::ControlPlane,
    },
    dataplane::{
        activity::Activity,
        ask::{self, Desk},
        clock::Clock,
        hand_over::{self, Ends},
        host::{Host, Outgoing},
        idle::Rest,
        io::{LcoreIo, PortTraffic},
        lcore::Lcore,
        shutdown::Shutdown,
        wired::WiredWorker,
    },
    dpdk::{self, Eal, LcoreId, Mbuf, RxQueue, TxQueue},
    health::Knowledge,
    metrics::{Exporter, Names, gather::gather},
    say::say,
};
use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded};
use lb_core::{
    conn::{connections::BYTES_PER_CONNECTION, saved::Saved},
    counters::{ServerTraffic, WorkerCounters},
    flow::key::Secret,
    limits::MAX_WORKERS,
    packet::{Notice, WorkerId},
    service::{load::LoadBoard, plan::Plan, snapshot::Snapshot},
    time::Instant,
    worker::{self, Worker},
};
use parking_lot::Mutex;
use std::{
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tracing::{info, warn};

/// Refusals that one worker sends in a second, at most.
const REFUSALS_PER_S: u32 = 10_000;
/// Notices that wait for the operator.
const NOTICES: usize = 1_024;
/// How long a worker may take to prepare its memory.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts the director. What is wrong is said in the operator's terms.
///
/// # Errors
/// Any step's, with a remedy.
pub(crate) fn start(command: &CommandLine) -> Result<(Director, Option<ControlSocket>)> {
    // Before anything is touched: a configuration that is wrong in itself.
    config::load(command.options.conf(), Limits { workers: 1, available_bytes: u64::MAX })?;
    let eal = Eal::init(&command.eal)?;
    let lcores = eal.lcores();
    ensure!(
        !lcores.is_empty(),
        "no lcore is left for a worker: the first one controls, so name at least two, as in `-l 0,1`"
    );
    ensure!(lcores.len() <= MAX_WORKERS, "{} worker lcores, at most {MAX_WORKERS}", lcores.len());
    let available_bytes = memory::available_bytes().unwrap_or(u64::MAX);
    let mut config = config::load(command.options.conf(), Limits { workers: lcores.len(), available_bytes })?;
    ensure!(!config.devices.is_empty(), "the configuration has no port: add a [[ports]] section");

    let socket = control_socket(&config, &eal)?;
    let ports = ports::start(&mut config, &command.options, lcores.len())?;
    for port in &ports.started {
        say(port.describe());
    }
    say(placement::describe(&eal, &lcores));
    for warning in placement::distances(&config.plan.ports, &ports.started, &lcores) {
        warn!("{warning}");
    }
    // Servers have their states from the first packet on.
    let restores = config.state_file.as_ref().is_some_and(|file| file.exists());
    let health = Knowledge::new(restores);
    let mut plan = config.plan.clone();
    let derived = health.derive(&mut plan, &config.health);
    let snapshot = Arc::new(Snapshot::with_room(&plan, config.room)?);
    health.commit(&plan, &config.health, derived);
    say(format!(
        "workers: {}, {} connections of {BYTES_PER_CONNECTION} bytes each, idle policy {}\n",
        lcores.len(),
        config.connections_per_worker,
        config.idle,
    ));
    let director =
        launch(eal, &lcores, (command.options.conf().to_owned(), config), (plan, snapshot, health), ports)?;
    Ok((director, socket))
}

/// The control socket, as configured. By default its name is the EAL's file prefix, unless that is the usual one: so
/// several directors on a machine have one each.
fn control_socket(config: &Config, eal: &Eal) -> Result<Option<ControlSocket>> {
    let path = match &config.control.socket {
        Wanted::Path(path) => path.clone(),
        Wanted::None => return Ok(None),
        Wanted::Default => match eal.file_prefix().filter(|prefix| prefix != "rte") {
            Some(prefix) => Path::new(lb_ctl::DEFAULT_SOCKET).with_file_name(format!("{prefix}.sock")),
            None => PathBuf::from(lb_ctl::DEFAULT_SOCKET),
        },
    };
    Ok(Some(ControlSocket::bind(&path, config.control.group.as_deref())?))
}

/// What a worker tells when it is ready.
struct Ready {
    counters: Arc<WorkerCounters>,
    servers: Arc<[ServerTraffic]>,
    /// Connections that it took over from an earlier run.
    restored: usize,
}

fn launch(
    eal: Eal,
    lcores: &[LcoreId],
    (conf, config): (PathBuf, Config),
    (plan, snapshot, health): (Plan, Arc<Snapshot>, Arc<Knowledge>),
    ports: Ports,
) -> Result<Director> {
    let clock = Clock::start();
    let left = left_state(&config).map(Arc::new);
    let board = Arc::new(LoadBoard::new(lcores.len(), config.room.servers));
    let shared = worker::Team {
        workers: lcores.len(),
        secret: left.as_ref().map_or_else(fresh_secret, |left| left.secret),
        connections_per_worker: config.connections_per_worker,
        refusals_per_s: REFUSALS_PER_S,
        board: board.clone(),
    };
    let secret = shared.secret;
    let shutdown = Arc::new(Shutdown::new(lcores.len()));
    let (notices, notice_board) = bounded(NOTICES);
    let (host, outgoing) = Host::new(lcores.len(), shutdown.clone());
    let mut launched = Vec::new();
    let queues = ports.rx.into_iter().zip(ports.tx);
    let numbered = (0..).map(WorkerId).zip(lcores);
    let rings = hand_over::rings(lcores.len())?.into_iter().zip(outgoing);
    for (((id, lcore), (rx, tx)), (rings, outgoing)) in numbered.zip(queues).zip(rings) {
        let (line, desk) = ask::line(id);
        let (ready, is_ready) = bounded(1);
        let traffic: Arc<[PortTraffic]> = rx.iter().map(|_| PortTraffic::default()).collect();
        let activity = Arc::new(Activity::default());
        let make = Make {
            id,
            shared: shared.clone(),
            snapshot: snapshot.clone(),
            rx,
            tx,
            rings,
            pool: ports.pool.clone(),
            traffic: traffic.clone(),
            activity: activity.clone(),
            desk,
            host: host.clone(),
            outgoing,
            notices: notices.clone(),
            clock,
            rest: Rest::new(config.idle),
            shutdown: shutdown.clone(),
            left: left.clone(),
            ready,
        };
        let handle = dpdk::launch(&eal, *lcore, move || make.on_this_lcore().run())?;
        launched.push((handle, is_ready, line, (traffic, activity)));
    }
    let (mut handles, mut workers, mut restored) = (Vec::new(), Vec::new(), 0);
    for (id, (handle, is_ready, line, traffic)) in (0..).map(WorkerId).zip(launched) {
        let Ok(ready) = is_ready.recv_timeout(PATIENCE) else {
            bail!("worker {} on lcore {} did not get ready", id.0, handle.lcore());
        };
        restored += ready.restored;
        workers.push(WorkerView::new((id, handle.lcore()), line, ready.counters, ready.servers, traffic));
        handles.push(handle);
    }
    if let Some(left) = left {
        info!("{restored} of {} connections of the last run go on", left.connections.len());
    }
    let ports = (ports.started, ports.pool);
    let times = (clock, shutdown.clone(), host);
    let running = Arc::new(Running::new(
        &eal,
        (conf, config),
        (plan, snapshot),
        workers,
        (board, health),
        ports,
        times,
    ));
    telemetry::register(&running);
    // Before there are programs that could inherit anything.
    dpdk::spawn::close_on_exec();
    let plane = Arc::new(ControlPlane::new(running));
    plane.start_checks()?;
    let exporter = serve_metrics(&plane)?;
    let dump = dpdk::Dump::offer(&eal).unwrap_or_else(|error| {
        warn!("dpdk-dumpcap cannot capture here: {error}");
        None
    });
    Ok(Director { eal, plane, handles, shutdown, notices: notice_board, secret, exporter, dump })
}

/// Serves metrics, if the configuration wants them.
fn serve_metrics(plane: &Arc<ControlPlane>) -> Result<Option<Exporter>> {
    let Some(listen) = plane.running.config.metrics else { return Ok(None) };
    let plane = Arc::downgrade(plane);
    let names = Mutex::new(Arc::new(Names::default()));
    let source = Arc::new(move || plane.upgrade().map(|plane| gather(&plane, &names)));
    let exporter = Exporter::start(listen, source).with_context(|| format!("metrics.listen: {listen}"))?;
    info!("metrics are at http://{}/metrics", exporter.address());
    Ok(Some(exporter))
}

/// Everything that a worker is made of. It is made on its own lcore, so that its memory is near it.
struct Make {
    id: WorkerId,
    shared: worker::Team,
    snapshot: Arc<Snapshot>,
    rx: Vec<RxQueue>,
    tx: Vec<TxQueue>,
    rings: Ends,
    pool: dpdk::Mempool,
    traffic: Arc<[PortTraffic]>,
    activity: Arc<Activity>,
    desk: Desk,
    host: Arc<Host>,
    outgoing: Receiver<Outgoing>,
    notices: Sender<Notice>,
    clock: Clock,
    rest: Rest,
    shutdown: Arc<Shutdown>,
    /// By an earlier run.
    left: Option<Arc<Left>>,
    ready: Sender<Ready>,
}

impl Make {
    fn on_this_lcore(self) -> Lcore {
        let mut worker = Worker::new(self.id, &self.shared, self.snapshot, self.clock.now());
        let restored =
            self.left.map_or(0, |left| restore(&mut worker, &left, self.shared.workers, self.clock.now()));
        let counters = worker.counters();
        // Whoever waits may have given up; the worker is then told to stop soon.
        let _ = self.ready.send(Ready { counters: counters.clone(), servers: worker.traffic(), restored });
        let traffic = self.traffic;
        let outside = (self.notices, self.host.clone());
        let io = LcoreIo::new(self.tx, self.rings, self.pool, counters, traffic.clone(), outside);
        Lcore {
            wired: WiredWorker { worker, rx: self.rx, io, taps: None },
            desk: self.desk,
            host: self.host,
            outgoing: self.outgoing,
            clock: self.clock,
            rest: self.rest,
            traffic,
            activity: self.activity,
            shutdown: self.shutdown,
        }
    }
}

/// Takes over those connections of an earlier run that are this worker's, and returns how many.
fn restore(worker: &mut Worker<Mbuf>, left: &Left, workers: usize, now: Instant) -> usize {
    let same = left.workers == workers;
    let mine = |(was, saved): &&(WorkerId, Saved)| worker.restore(now, saved, same.then_some(*was)).is_ok();
    left.connections.iter().filter(mine).count()
}

/// What an earlier run left. That it left nothing good is no reason not to start.
fn left_state(config: &Config) -> Option<Left> {
    let path = config.state_file.as_ref()?;
    state_file::take(path)
        .inspect_err(|error| warn!("no connections go on: {}: {error}", path.display()))
        .ok()
        .flatten()
}

fn fresh_secret() -> Secret {
    Secret(RandomState::new().hash_one(std::process::id()))
}

/// Validates the configuration and prints what it means.
///
/// # Errors
/// The report of everything that is wrong with it.
pub(crate) fn check(command: &CommandLine) -> Result<()> {
    let available_bytes = memory::available_bytes().unwrap_or(u64::MAX);
    let config = config::load(command.options.conf(), Limits { workers: 1, available_bytes })?;
    Snapshot::new(&config.plan).context("the configuration is sound but cannot be carried out")?;
    say(config.to_string());
    Ok(())
}
