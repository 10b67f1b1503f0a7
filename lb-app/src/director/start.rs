//! Everything in order, from the command line to workers that run.

use super::{
    clients, keys,
    notices::Notices,
    placement,
    ports::{self, Ports},
    serve::Director,
    workers::Common,
};
use crate::{
    cli::CommandLine,
    config::{self, Config, Limits, Wanted, memory},
    control::{
        announce,
        api::{Api, Author},
        clients::{socket::ControlSocket, telemetry},
        file::state_file::{self, Left},
        live::running::Running,
        plane::ControlPlane,
        sync::{Peers, ipvs::Ipvs},
    },
    dataplane::{
        clock::Clock,
        host::Host,
        host_side::{HostSide, HostSides},
        shutdown::Shutdown,
    },
    dpdk::{self, Eal, LcoreId},
    health::{Knowledge, caution::cautions},
    metrics::{Ask, Exporter, Names, gather::gather},
    say::say,
};
use anyhow::{Context, Result, ensure};
use crossbeam_channel::bounded;
use lb_core::{
    conn::{
        connections::{BYTES_PER_CONNECTION, BYTES_PER_CONNECTION_V6},
        datagram::TABLES_BYTES,
    },
    flow::key::Secret,
    limits::MAX_WORKERS,
    module::expected::Expected,
    packet::PortId,
    sched::persistence::Persistence,
    service::{footprint, load::LoadBoard, plan::Plan, snapshot::Snapshot},
    worker::Team,
};
use lb_ctl::protocol::Outcome;
use parking_lot::Mutex;
use std::{
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use tracing::warn;

/// Refusals that one worker sends in a second, at most.
const REFUSALS_PER_S: u32 = 10_000;
/// Notices that wait for the operator.
const NOTICES: usize = 1_024;

/// Starts the director. Errors are in the operator's terms.
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
        "no lcore for a worker: the first lcore is for control, so name at least two, as in `-l 0,1`"
    );
    ensure!(
        lcores.len() <= MAX_WORKERS,
        "{} lcores for workers are too many: use at most {MAX_WORKERS}",
        lcores.len()
    );
    let available_bytes = memory::available_bytes().unwrap_or(u64::MAX);
    let mut config = config::load(command.options.conf(), Limits { workers: lcores.len(), available_bytes })?;
    ensure!(!config.devices.is_empty(), "the configuration has no port: add a [[ports]] table");

    if config.sync.is_on() {
        config.sync.seal().map_err(anyhow::Error::msg)?;
        warn_of_open_key(&config);
    }
    // One that ended without a word may have left something else.
    announce::clear(&config).context("cannot clear what [announce] has")?;
    let socket = control_socket(&config, &eal)?;
    // As in the run whose connections go on, so that they arrive where they did.
    let left = config.state_file.as_deref().and_then(state_file::secret);
    let secret = left.unwrap_or_else(fresh_secret);
    let seed = keys::seed(&config.sync, secret).map_err(anyhow::Error::msg)?;
    let ports = ports::start(&mut config, &command.options, lcores.len(), seed)?;
    for port in &ports.started {
        say(port.describe());
    }
    say(placement::describe(&eal, &lcores));
    for warning in placement::distances(&config.plan.ports, &ports.started, &lcores) {
        warn!("{warning}");
    }
    for caution in cautions(&config.health, &config.plan) {
        warn!("{caution}");
    }
    // Servers have their states from the first packet on.
    let restores = config.state_file.as_ref().is_some_and(|file| file.exists());
    let health = Knowledge::new(restores);
    let mut plan = config.plan.clone();
    let derived = health.derive(&mut plan, &config.health);
    let snapshot = Arc::new(Snapshot::with_room(&plan, config.room)?);
    health.commit(&plan, &config.health, derived);
    say(format!(
        "workers: {}, {} connections of {BYTES_PER_CONNECTION} bytes and {} of IPv6 of {BYTES_PER_CONNECTION_V6} bytes each, \
         {} KiB for fragmented datagrams, idle policy {}\n",
        lcores.len(),
        config.capacity.v4,
        config.capacity.v6,
        TABLES_BYTES >> 10,
        config.idle,
    ));
    let schedulers = footprint(&config.plan.services);
    if schedulers.tables() > 0 {
        say(format!(
            "schedulers: {} lookup tables, {} KiB in all\n",
            schedulers.tables(),
            schedulers.bytes(lcores.len()) >> 10
        ));
    }
    let shutdown = Arc::new(Shutdown::new(lcores.len()));
    if command.options.cmdline_file.is_some() {
        // It may say that nothing is to be forwarded.
        shutdown.hold();
    }
    let file = (command.options.conf().to_owned(), config);
    let director = launch(eal, (&lcores, shutdown), file, (plan, snapshot, health), (ports, secret))?;
    Ok((director, socket))
}

/// The control socket, as configured. By default its name is the EAL's file prefix, unless that is the usual one: so
/// several directors on a host have one each.
fn control_socket(config: &Config, eal: &Eal) -> Result<Option<ControlSocket>> {
    let path = match &config.control.socket {
        Wanted::Path(path) => path.clone(),
        Wanted::None => return Ok(None),
        Wanted::Default => match eal.file_prefix().filter(|prefix| prefix != "rte") {
            Some(prefix) => Path::new(lb_ctl::DEFAULT_SOCKET).with_file_name(format!("{prefix}.sock")),
            None => PathBuf::from(lb_ctl::DEFAULT_SOCKET),
        },
    };
    Ok(Some(ControlSocket::bind(&path, &config.control)?))
}

/// Makes all workers and what watches over them.
fn launch(
    eal: Eal,
    (lcores, shutdown): (&[LcoreId], Arc<Shutdown>),
    (conf, config): (PathBuf, Config),
    (plan, snapshot, health): (Plan, Arc<Snapshot>, Arc<Knowledge>),
    (ports, secret): (Ports, Secret),
) -> Result<Director> {
    let clock = Clock::start();
    let left = left_state(&config).map(Arc::new);
    let board = Arc::new(LoadBoard::new(lcores.len(), config.room.numbers()));
    let secret = left.as_ref().map_or(secret, |left| left.secret);
    let persistence = Arc::new(Persistence::new(config.persistent_clients, secret.0));
    if let Some(left) = &left {
        clients::restore(&persistence, &snapshot, &left.clients, clock.now());
    }
    let peers = Peers::new(&config.sync, secret, clock.now()).map_err(anyhow::Error::msg)?;
    let ipvs = Ipvs::new(&config.ipvs_sync, secret, clock.now());
    let (notices, notice_board) = bounded(NOTICES);
    let (host, outgoing) = Host::new(lcores.len(), shutdown.clone());
    let side_of = |port: PortId| {
        let has_one = ports.taps.iter().any(|(of, _)| *of == port);
        has_one.then(|| HostSide::new(plan.mtu_of(port)))
    };
    let sides = (0..).map(PortId).take(ports.started.len()).map(side_of).collect();
    let sides = Arc::new(HostSides::new(sides));
    let common = Common {
        sides: sides.clone(),
        team: Team {
            workers: lcores.len(),
            secret,
            connections_per_worker: config.capacity.v4,
            connections_per_worker_v6: config.capacity.v6,
            refusals_per_s: REFUSALS_PER_S,
            board: board.clone(),
            persistence: persistence.clone(),
            expected: Arc::new(Expected::new(secret)),
            told: peers.as_ref().map(|peers| peers.told.clone()),
            masters: ipvs.as_ref().and_then(|ipvs| ipvs.told.clone()),
        },
        snapshot: snapshot.clone(),
        pool: ports.pool.clone(),
        host: host.clone(),
        notices,
        clock,
        idle: config.idle,
        shutdown: shutdown.clone(),
        left,
    };
    let (handles, workers) = common.launch(&eal, lcores, (ports.rx, ports.tx), outgoing)?;
    let ports = (ports.started, ports.pool, (ports.taps, sides));
    let times = (clock, shutdown.clone(), host);
    let running = Arc::new(Running::new(
        &eal,
        (conf, config),
        (plan, snapshot),
        workers,
        (board, persistence, health),
        ports,
        times,
    ));
    telemetry::register(&running);
    // Before there are programs that could inherit anything.
    dpdk::spawn::close_on_exec();
    let plane = Arc::new(ControlPlane::new(
        running,
        (peers.as_ref().map(|peers| peers.known.clone()), ipvs.as_ref().map(|ipvs| ipvs.known.clone())),
    ));
    plane.start_checks()?;
    plane.move_frames().context("cannot start the thread of host sides")?;
    plane.follow_kernel().context("cannot start the thread that looks at host sides")?;
    if let Some(peers) = peers {
        peers.start(&plane.running).context("cannot start the thread that talks to peers")?;
    }
    if let Some(ipvs) = ipvs {
        ipvs.start(&plane.running).context("cannot start the thread that talks to directors of IPVS")?;
    }
    plane.announce().context("cannot start the thread that announces VIPs")?;
    plane.watch_file().context("cannot start the thread that watches the configuration file")?;
    let dump = dpdk::Dump::offer(&eal).unwrap_or_else(|error| {
        warn!("dpdk-dumpcap is not available: {error}");
        None
    });
    Ok(Director {
        eal,
        plane,
        handles,
        shutdown,
        notices: Notices::new(notice_board),
        secret,
        exporter: None,
        dump,
    })
}

/// Serves metrics, and the page that asks `api`, if the configuration wants them.
///
/// # Errors
/// When threads cannot be started.
pub(crate) fn serve_metrics(director: &mut Director, api: &Arc<Api>) -> Result<()> {
    let plane = &director.plane;
    let wanted = &plane.running.config.metrics;
    let Some(listen) = wanted.listen else { return Ok(()) };
    let weak = Arc::downgrade(plane);
    let names = Mutex::new(Arc::new(Names::default()));
    let source = Arc::new(move || weak.upgrade().map(|plane| gather(&plane, &names)));
    let (api, author) = (api.clone(), Author::page());
    let ask: Ask =
        Arc::new(move |request| api.answer(&author, request).map_or_else(Outcome::Error, Outcome::Reply));
    let console = wanted.console.then_some(ask);
    let exporter = Exporter::start(listen, source, console, &plane.running.journal)
        .context("cannot start the threads for metrics")?;
    plane.metrics_are_at(exporter.place());
    director.exporter = Some(exporter);
    Ok(())
}

/// What an earlier run left. That it left nothing good is no reason not to start.
fn left_state(config: &Config) -> Option<Left> {
    let path = config.state_file.as_ref()?;
    state_file::take(path)
        .inspect_err(|error| warn!("cannot restore connections from {}: {error}", path.display()))
        .ok()
        .flatten()
}

fn fresh_secret() -> Secret {
    Secret(RandomState::new().hash_one(std::process::id()))
}

/// Withdraws all VIPs from routing daemons, as nobody forwards.
///
/// # Errors
/// When the configuration is wrong, the file cannot be written, or the command fails.
pub(crate) fn withdraw(command: &CommandLine) -> Result<()> {
    let config = config::load(command.options.conf(), Limits { workers: 1, available_bytes: u64::MAX })?;
    let vips = announce::clear(&config).context("cannot clear what [announce] has")?;
    let Some(words) = &config.announce.command else { return Ok(()) };
    let file = config.announce.file.as_deref().unwrap_or_default();
    let vips: Vec<String> = vips.iter().map(ToString::to_string).collect();
    let mut program = Command::new(&words[0]);
    program
        .args(&words[1..])
        .env("LB_FILE", file)
        .env("LB_ANNOUNCED", "")
        .env("LB_WITHDRAWN", vips.join(" "));
    let status = program.status().with_context(|| format!("cannot run {}", words[0]))?;
    ensure!(status.success(), "{}: {status}", words.join(" "));
    Ok(())
}

/// Whoever can read the key can tell directors where to send connections.
fn warn_of_open_key(config: &Config) {
    if config.sync.key_is_open() {
        let path = config.sync.key_file.as_deref().unwrap_or_default();
        warn!("sync: everybody on this host can read {path}; `chmod 600 {path}`");
    }
}

/// Validates the configuration and prints what it means.
///
/// # Errors
/// The report of everything that is wrong with it.
pub(crate) fn check(command: &CommandLine) -> Result<()> {
    let available_bytes = memory::available_bytes().unwrap_or(u64::MAX);
    let config = config::load(command.options.conf(), Limits { workers: 1, available_bytes })?;
    Snapshot::with_room(&config.plan, config.room)
        .context("the configuration is valid but cannot be applied")?;
    say(config.to_string());
    if config.sync.is_on() {
        config.sync.seal().map_err(anyhow::Error::msg)?;
        warn_of_open_key(&config);
    }
    for caution in cautions(&config.health, &config.plan) {
        warn!("{caution}");
    }
    Ok(())
}
