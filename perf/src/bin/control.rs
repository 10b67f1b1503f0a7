//! What being asked costs a forwarding lb-app: nobody asks, fifty clients at full speed, a listing of all connections; and
//! for comparison, the CPU of whoever answers is busy with something else.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use lb_core::service::plan::Method;
use lb_perf::{
    measure::{Spread, tsc_hz},
    port::{
        forwarder::{Forwarder, Kind, prefer_session, preferred},
        traffic,
    },
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use serde_json::{Value, json};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// How long connections may take to begin.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures what clients of the control socket cost forwarding.
#[derive(Parser)]
struct Options {
    /// The program to measure.
    #[arg(long, default_value = "target/release/lb-app")]
    lb_app: PathBuf,
    /// For files.
    #[arg(long, default_value = "target/bench/control")]
    folder: PathBuf,
    /// Connections, and packets in the file that is played in circles.
    #[arg(long, default_value_t = 1_000_000)]
    connections: u32,
    /// Clients that ask at full speed.
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Rounds; in each, everything takes its turn.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Seconds that each is measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Spins, and does nothing else, until it is ended: what this program starts itself for.
    #[arg(long, hide = true)]
    spin: bool,
}

/// Who asks meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Nobody,
    Clients,
    Listing,
    /// Nobody, but the CPU that would answer is as busy as with clients, and touches no memory: what is dearer meanwhile
    /// is so because of the machine, whose CPUs share clock, caches and, it may be, a core.
    Spin,
}

/// What was measured of one phase, round by round.
#[derive(Default)]
struct Measured {
    cycles: Vec<f64>,
    lost: u64,
    /// Requests answered, connections listed, or nanoseconds of spinning.
    answered: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if options.spin {
        spin();
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, stop.clone())?;
    }
    fs::create_dir_all(&options.folder)?;
    let folder = options.folder.canonicalize()?;
    let (mut forwarder, socket) = start(&options, &folder, stop)?;
    // Clients and whoever answers them share the first CPU; the forwarding thread has its own.
    let mut first = CpuSet::new();
    first.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &first)?;
    let phases = [Phase::Nobody, Phase::Clients, Phase::Listing, Phase::Spin];
    let mut measured = phases.map(|_| Measured::default());
    for round in 1..=options.rounds {
        for (phase, measured) in phases.into_iter().zip(&mut measured) {
            let cycles = measure(&mut forwarder, &socket, phase, &options, measured)?;
            eprintln!("[round {round} of {}] {phase:?}: {cycles:.1} cycles", options.rounds);
        }
    }
    table(&phases, &measured, &options);
    Ok(())
}

/// lb-app with all connections open, and where it listens.
fn start(options: &Options, folder: &Path, stop: Arc<AtomicBool>) -> Result<(Forwarder, PathBuf)> {
    let (file, conf, socket) = (folder.join("packets.pcap"), folder.join("lb.toml"), folder.join("lb.sock"));
    traffic::write(&file, options.connections, traffic::FRAME_LEN)?;
    let device = format!("net_pcap0,rx_pcap={},infinite_rx=1", file.display());
    let capacity = options.connections + options.connections / 8 + 1_024;
    let text = traffic::configuration(&device, Method::Nat, ("", ""))
        .replace("connections = 100_000", &format!("connections = {capacity}"));
    fs::write(&conf, format!("{text}\n[control]\nsocket = {socket:?}\n"))?;
    // The port keeps a buffer for each packet of the file. Without huge pages, each has a page of its own.
    let buffers = options.connections + 65_536;
    let mib = u64::from(buffers) * 4_096 / (1 << 20) + 256;
    let mut arguments =
        ["--no-huge", "--no-pci", "--no-telemetry", "-l", "0,1", "-m"].map(String::from).to_vec();
    arguments.extend([mib.to_string(), "--file-prefix".into(), format!("lb-bench-{}", std::process::id())]);
    arguments.extend(["--", "--conf"].map(String::from));
    arguments.extend([conf.display().to_string(), "--total-num-mbufs".into(), buffers.to_string()]);
    let program = options.lb_app.display().to_string();
    let forwarder = Forwarder::start(Kind::LbApp, &program, &arguments, stop)?;
    // All but the neighbours' answers are of a flow of their own.
    let wanted = u64::from(options.connections) - 3;
    let began = Instant::now();
    let mut client = Client::connect(&socket)?;
    loop {
        let answer = client.ask(&json!({"connections": "count"}))?;
        let total = answer["connection-count"]["total"].as_u64().context("a count of connections")?;
        if total >= wanted {
            return Ok((forwarder, socket));
        }
        if began.elapsed() > PATIENCE {
            bail!("{total} of {wanted} connections after {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Cycles a packet of the forwarding thread while somebody asks, or nobody.
fn measure(
    forwarder: &mut Forwarder,
    socket: &Path,
    phase: Phase,
    options: &Options,
    measured: &mut Measured,
) -> Result<f64> {
    let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let spinner = (phase == Phase::Spin).then(Spinner::start).transpose()?;
    let spun = || spinner.as_ref().map_or(Ok(0), Spinner::cpu_ns);
    let (before, after) = thread::scope(|scope| -> Result<_> {
        let clients = match phase {
            Phase::Nobody | Phase::Spin => 0,
            Phase::Clients => options.clients,
            Phase::Listing => 1,
        };
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                let (over, answered) = (&over, &answered);
                scope.spawn(move || match phase {
                    Phase::Listing => list(socket, over, answered),
                    _ => ask(socket, over, answered),
                })
            })
            .collect();
        let mut sample = || -> Result<_> {
            forwarder.wait(Duration::from_millis(500))?;
            let (before, spun_before) = (forwarder.sample()?, spun()?);
            forwarder.wait(Duration::from_secs_f64(options.seconds))?;
            answered.fetch_add(spun()? - spun_before, Relaxed);
            Ok((before, forwarder.sample()?))
        };
        let samples = sample();
        over.store(true, Relaxed);
        for client in clients {
            client.join().expect("a client panicked")?;
        }
        samples
    })?;
    let packets = after.received - before.received;
    ensure!(packets > 0, "no packet passed");
    let cycles = (after.cpu_ns - before.cpu_ns) as f64 / 1e9 * tsc_hz() / packets as f64;
    measured.cycles.push(cycles);
    // The neighbours' answers, which come by once in a circle, go nowhere.
    let answers = 3 * (packets / u64::from(options.connections) + 1);
    measured.lost += packets.saturating_sub(after.transmitted - before.transmitted).saturating_sub(answers);
    measured.answered += answered.load(Relaxed);
    Ok(cycles)
}

/// A process that keeps the CPU of lb-app's control threads busy, at their priority. Ends when dropped.
struct Spinner(Child);

impl Spinner {
    fn start() -> Result<Self> {
        // Where its parent may run, which is there.
        let child = preferred(env::current_exe()?).arg("--spin").stdin(Stdio::null()).spawn()?;
        prefer_session(&child);
        Ok(Spinner(child))
    }

    fn cpu_ns(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.0.id()))?;
        Ok(text.split_whitespace().next().context("schedstat")?.parse()?)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Computes in registers, for ever.
fn spin() -> ! {
    let mut number = 1_u64;
    loop {
        for _ in 0..1 << 24 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        std::hint::black_box(number);
    }
}

/// Asks one thing after the other.
fn ask(socket: &Path, over: &AtomicBool, answered: &AtomicU64) -> Result<()> {
    let requests = [
        json!({"services": {"list": {}}}),
        json!({"workers": "list"}),
        json!({"neighbours": "list"}),
        json!({"connections": "count"}),
    ];
    let mut client = Client::connect(socket)?;
    for request in requests.iter().cycle() {
        if over.load(Relaxed) {
            break;
        }
        client.ask(request)?;
        answered.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// Lists all connections, page by page, again and again.
fn list(socket: &Path, over: &AtomicBool, answered: &AtomicU64) -> Result<()> {
    let mut client = Client::connect(socket)?;
    let mut cursor = Value::Null;
    while !over.load(Relaxed) {
        let answer = client.ask(&json!({"connections": {"list": {"filter": {}, "cursor": cursor}}}))?;
        let page = &answer["connections"];
        let listed = page["connections"].as_array().context("a page of connections")?.len();
        answered.fetch_add(listed as u64, Relaxed);
        cursor = page["next"].clone();
    }
    Ok(())
}

struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(socket: &Path) -> Result<Self> {
        Ok(Client(BufReader::new(UnixStream::connect(socket).with_context(|| socket.display().to_string())?)))
    }

    fn ask(&mut self, request: &Value) -> Result<Value> {
        writeln!(self.0.get_mut(), "{}", json!({"version": 1, "request": request}))?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let mut answer: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        ensure!(answer.get("reply").is_some(), "{request}: {line}");
        Ok(answer["reply"].take())
    }
}

fn table(phases: &[Phase], measured: &[Measured], options: &Options) {
    println!("\n{} connections, {} rounds of {} s", options.connections, options.rounds, options.seconds);
    println!("| meanwhile | cycles a packet | lowest | highest | answered a second | not sent |");
    println!("|---|---|---|---|---|---|");
    let seconds = options.seconds * options.rounds as f64;
    for (phase, measured) in phases.iter().zip(measured) {
        let Spread { median, low, high } = Spread::of(measured.cycles.clone());
        // Nanoseconds of a second, as hundredths.
        let scale = if *phase == Phase::Spin { 1e-7 } else { 1.0 };
        let (what, unit) = match phase {
            Phase::Nobody => ("nobody asks".to_owned(), ""),
            Phase::Clients => (format!("{} clients", options.clients), " requests"),
            Phase::Listing => ("a listing of all".to_owned(), " connections"),
            Phase::Spin => ("control CPU spins".to_owned(), " % of the CPU"),
        };
        let rate = measured.answered as f64 / seconds * scale;
        println!("| {what} | {median:.1} | {low:.1} | {high:.1} | {rate:.0}{unit} | {} |", measured.lost);
    }
}
