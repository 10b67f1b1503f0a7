//! What a packet costs in lb-app, from port to port, above what the port itself costs.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use lb_core::service::plan::Method;
use lb_perf::{
    measure::{Spread, tsc_hz},
    port::{
        forwarder::{Forwarder, Kind},
        hugepages::HugePages,
        traffic,
    },
    rows::{self, Row, Table},
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// Packet buffers of both programs: the port keeps one for each packet of the file.
const BUFFERS: &str = "131071";

/// Measures lb-app on a port, beside testpmd.
#[derive(Parser)]
struct Options {
    /// The program to measure.
    #[arg(long, default_value = "target/release/lb-app")]
    lb_app: PathBuf,
    /// Where the rows go.
    #[arg(long, default_value = "target/bench/io.json")]
    output: PathBuf,
    /// Numbers of flows.
    #[arg(long, value_delimiter = ',', default_value = "4096,65536")]
    flows: Vec<u32>,
    /// Rounds; in each, all programs take turns.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Seconds that each is measured.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Methods of lb-app.
    #[arg(long, value_delimiter = ',', default_value = "dr,nat,tun",
        value_parser = |text: &str| text.parse::<Method>().map_err(|()| "nat, tun or dr"))]
    methods: Vec<Method>,
}

/// Who forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Testpmd(&'static str),
    LbApp(Method),
}

struct Bench {
    options: Options,
    folder: PathBuf,
    pages: HugePages,
    hz: f64,
    stop: Arc<AtomicBool>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    // Interrupted, it gives back what it reserved.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, stop.clone())?;
    }
    let folder = options.output.with_extension("files");
    fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let bench = Bench { options, folder, pages: HugePages::reserve(), hz: tsc_hz(), stop };
    let memory = if bench.pages.enough { "huge pages" } else { "no huge pages: there are not enough" };
    println!("TSC {:.3} GHz; {} rounds; {memory}", bench.hz / 1e9, bench.options.rounds);
    let mut rows = Vec::new();
    for flows in &bench.options.flows {
        for row in bench.flows(*flows)? {
            Table.print(&row);
            rows.push(row);
        }
        rows::save(&bench.options.output, &rows)?;
    }
    println!("{}", bench.options.output.display());
    Ok(())
}

impl Bench {
    /// All programs with so many flows, round by round.
    fn flows(&self, flows: u32) -> Result<Vec<Row>> {
        let file = self.folder.join(format!("{flows}.pcap"));
        traffic::write(&file, flows, traffic::FRAME_LEN)?;
        let floor = Program::Testpmd("macswap");
        let mut programs = vec![floor, Program::Testpmd("io")];
        programs.extend(self.options.methods.iter().map(|method| Program::LbApp(*method)));
        let mut cycles: Vec<Vec<f64>> = vec![Vec::new(); programs.len()];
        for round in 1..=self.options.rounds {
            for (program, cycles) in programs.iter().zip(&mut cycles) {
                let (name, method) = program.names();
                let what = format!("{name} {}", method.unwrap_or_default());
                let cost = self.measure(*program, &file).with_context(|| what.clone())?;
                let rounds = self.options.rounds;
                eprintln!("[round {round} of {rounds}] {what:<20} {flows:>6} flows: {cost:>6.1} cycles");
                cycles.push(cost);
            }
        }
        Ok(programs
            .iter()
            .zip(&cycles)
            .map(|(program, of)| self.row(*program, flows, of, &cycles[0]))
            .collect())
    }

    fn row(&self, program: Program, flows: u32, cycles: &[f64], floor: &[f64]) -> Row {
        let Spread { median, low, high } = Spread::of(cycles.to_vec());
        let (case, method) = program.names();
        // What a program is compared with ran in the same round.
        let pairs = || cycles.iter().zip(floor);
        let is_ours = matches!(program, Program::LbApp(_));
        let compare = |values: Vec<f64>| is_ours.then(|| Spread::of(values).median);
        Row {
            case,
            method,
            direction: Some("in".into()),
            protocol: Some("udp".into()),
            flows: Some(flows.into()),
            cycles_per_packet: Some(median),
            cycles_low: Some(low),
            cycles_high: Some(high),
            ns_per_packet: Some(median / self.hz * 1e9),
            mpps: Some(self.hz / median / 1e6),
            floor_cycles: compare(floor.to_vec()),
            ratio_to_floor: compare(pairs().map(|(cycles, floor)| cycles / floor).collect()),
            above_floor: compare(pairs().map(|(cycles, floor)| cycles - floor).collect()),
            tsc_ghz: Some(self.hz / 1e9),
            ..Row::default()
        }
    }

    /// Cycles a packet of one program's forwarding thread.
    fn measure(&self, program: Program, file: &Path) -> Result<f64> {
        let device = format!("net_pcap0,rx_pcap={},infinite_rx=1", file.display());
        let mut arguments: Vec<String> = self.pages.eal_arguments().iter().map(|&word| word.into()).collect();
        arguments.extend(["--no-pci", "--no-telemetry", "-l", "0,1"].map(String::from));
        let (kind, name) = match program {
            Program::Testpmd(mode) => {
                arguments.extend(["--vdev".into(), device, "--".into()]);
                let own = ["-i", "--auto-start", "--nb-cores=1", "--port-topology=loop", "--no-flush-rx"];
                arguments.extend(own.map(String::from));
                // Bursts and caches as lb-app has them.
                arguments.extend(["--burst=32", "--mbcache=256"].map(String::from));
                arguments.extend([format!("--total-num-mbufs={BUFFERS}"), format!("--forward-mode={mode}")]);
                (Kind::Testpmd, "dpdk-testpmd".to_owned())
            }
            Program::LbApp(method) => {
                let conf = self.folder.join(format!("{method}.toml"));
                fs::write(&conf, traffic::configuration(&device, method, ("", "")))?;
                arguments.extend(["--", "--conf"].map(String::from));
                arguments.extend([conf.display().to_string(), "--total-num-mbufs".into(), BUFFERS.into()]);
                (Kind::LbApp, self.options.lb_app.display().to_string())
            }
        };
        let mut forwarder = Forwarder::start(kind, &name, &arguments, self.stop.clone())?;
        let mac = traffic::PORT_MAC.to_string();
        ensure!(forwarder.has_said(&mac) || forwarder.has_said(&mac.to_uppercase()), "the port is not {mac}");
        forwarder.wait(Duration::from_secs(1))?;
        let before = forwarder.sample()?;
        forwarder.wait(Duration::from_secs_f64(self.options.seconds))?;
        let after = forwarder.sample()?;
        let packets = after.received - before.received;
        let sent = after.transmitted - before.transmitted;
        // All but the neighbours' answers.
        ensure!(
            packets > 0 && sent as f64 > packets as f64 * 0.998,
            "of {packets} packets, {sent} were sent"
        );
        Ok((after.cpu_ns - before.cpu_ns) as f64 / 1e9 * self.hz / packets as f64)
    }
}

impl Program {
    fn names(self) -> (String, Option<String>) {
        match self {
            Program::Testpmd(mode) => (format!("testpmd-{mode}"), None),
            Program::LbApp(method) => ("lb-app".into(), Some(method.to_string())),
        }
    }
}
