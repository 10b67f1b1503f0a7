//! What a packet costs in lb-app on ports of different types, none of which needs a NIC: AF_PACKET and AF_XDP on a pair
//! of virtual interfaces, and virtio on a vhost-user socket.

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use lb_core::service::plan::Method;
use lb_perf::{
    measure::{Spread, tsc_hz},
    port::{
        forwarder::{Forwarder, Kind},
        traffic,
    },
    rows::{self, Row, Table},
};
use serde_json::Value;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::{
    fs, io,
    path::PathBuf,
    process::Command,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

/// Measures lb-app on ports that need no NIC.
#[derive(Parser)]
struct Options {
    /// The program to measure; lbctl is beside it.
    #[arg(long, default_value = "target/release/lb-app")]
    lb_app: PathBuf,
    /// Where the rows go.
    #[arg(long, default_value = "target/bench/ports.json")]
    output: PathBuf,
    /// Port types.
    #[arg(long, value_delimiter = ',', default_value = "af-packet,af-xdp,virtio")]
    ports: Vec<Port>,
    /// Flows in the traffic.
    #[arg(long, default_value_t = 4096)]
    flows: u32,
    /// Rounds; in each, all port types take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that each is measured.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How lb-app forwards.
    #[arg(long, default_value = "dr",
        value_parser = |text: &str| text.parse::<Method>().map_err(|()| "nat, tun or dr"))]
    method: Method,
    /// Bytes of each packet's frame.
    #[arg(long, default_value_t = traffic::FRAME_LEN)]
    size: usize,
    /// Under tun, packets go in GUE with a checksum.
    #[arg(long)]
    gue: bool,
    /// Which checksums ports are asked for (`tx_checksum_offload`); with several, they take turns.
    #[arg(long, value_delimiter = ',', default_value = "auto")]
    offloads: Vec<Offload>,
}

/// What a port is asked to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Offload {
    Auto,
    On,
    Off,
}

impl Offload {
    fn word(self) -> &'static str {
        match self {
            Offload::Auto => "auto",
            Offload::On => "on",
            Offload::Off => "off",
        }
    }
}

/// How packets come to lb-app.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Port {
    /// A socket of the kernel's, with a ring that it copies packets to.
    AfPacket,
    /// A socket that an XDP program sends packets to.
    AfXdp,
    /// The device of a virtual machine; the generator is the machine's host.
    Virtio,
}

struct Bench {
    options: Options,
    folder: PathBuf,
    name: String,
    hz: f64,
    stop: Arc<AtomicBool>,
}

/// A worker's counters at one moment.
struct Sample {
    at: Instant,
    received: f64,
    sent: f64,
    busy_cycles: f64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, stop.clone())?;
    }
    let folder = options.output.with_extension("files");
    fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let name = format!("lbports{}", std::process::id());
    let bench = Bench { options, folder, name, hz: tsc_hz(), stop };
    let options = &bench.options;
    println!("TSC {:.3} GHz; {} rounds; no huge pages", bench.hz / 1e9, options.rounds);
    traffic::write(&bench.traffic(), options.flows, options.size)?;

    let each =
        options.ports.iter().flat_map(|&port| options.offloads.iter().map(move |&offload| (port, offload)));
    let cases: Vec<(Port, Offload)> = each.collect();
    let mut figures = vec![(Vec::new(), Vec::new()); cases.len()];
    for round in 1..=options.rounds {
        for (case, (cycles, mpps)) in cases.iter().zip(&mut figures) {
            let (cost, rate) = bench.measure(*case).with_context(|| format!("{case:?}"))?;
            eprintln!(
                "[round {round} of {}] {:<30} {cost:>7.1} cycles, {rate:.3} Mpps",
                options.rounds,
                bench.name_of(*case)
            );
            cycles.push(cost);
            mpps.push(rate);
        }
    }
    let rows: Vec<Row> = cases.iter().zip(figures).map(|(case, of)| bench.row(*case, of)).collect();
    for row in &rows {
        Table.print(row);
    }
    rows::save(&options.output, &rows)?;
    println!("{}", options.output.display());
    Ok(())
}

impl Bench {
    fn traffic(&self) -> PathBuf {
        self.folder.join("traffic.pcap")
    }

    /// What is measured, in words: what is usual is not named.
    fn name_of(&self, (port, offload): (Port, Offload)) -> String {
        let mut name = format!("lb-app on {}", port.driver());
        if self.options.gue {
            name += ", gue";
        }
        if self.options.size > traffic::FRAME_LEN {
            name += &format!(", {} bytes", self.options.size);
        }
        if offload != Offload::Auto {
            name += &format!(", offload {}", offload.word());
        }
        name
    }

    fn row(&self, case: (Port, Offload), (cycles, mpps): (Vec<f64>, Vec<f64>)) -> Row {
        let Spread { median, low, high } = Spread::of(cycles);
        Row {
            case: self.name_of(case),
            method: Some(self.options.method.to_string()),
            direction: Some("in".into()),
            protocol: Some("udp".into()),
            flows: Some(self.options.flows.into()),
            cycles_per_packet: Some(median),
            cycles_low: Some(low),
            cycles_high: Some(high),
            ns_per_packet: Some(median / self.hz * 1e9),
            mpps: Some(Spread::of(mpps).median),
            tsc_ghz: Some(self.hz / 1e9),
            ..Row::default()
        }
    }

    /// Cycles a packet of lb-app's worker, and millions of packets a second that went through it.
    fn measure(&self, (port, offload): (Port, Offload)) -> Result<(f64, f64)> {
        let wires = Wires::new(&self.name)?;
        let socket = self.folder.join("vhost.sock");
        gone(fs::remove_file(&socket))?;
        let (device, other_end) = port.devices(&socket.display().to_string());

        // testpmd plays the file in circles to the other end of lb-app's port, and swallows what comes back.
        let file = format!("net_pcap0,rx_pcap={},infinite_rx=1", self.traffic().display());
        let mut generator = self.eal(&wires.name, "dpdk-testpmd", "generator", "(0,1)@0");
        generator.extend(["--vdev".into(), file, "--vdev".into(), other_end, "--".into()]);
        let own =
            ["-i", "--auto-start", "--nb-cores=1", "--no-flush-rx", "--disable-link-check", "--burst=32"];
        generator.extend(own.map(String::from));
        let more = ["--port-topology=paired", "--forward-mode=io", "--total-num-mbufs=65536"];
        generator.extend(more.map(String::from));
        let _generator = Forwarder::start(Kind::Testpmd, "ip", &generator, self.stop.clone())?;

        let conf = self.folder.join("lb.toml");
        let of_port = format!("tx_checksum_offload = \"{}\"", offload.word());
        let of_service = if self.options.gue { "tunnel = \"gue\"\ntunnel_checksum = \"on\"" } else { "" };
        fs::write(&conf, traffic::configuration(&device, self.options.method, (&of_port, of_service)))?;
        let program = self.options.lb_app.canonicalize()?.display().to_string();
        let mut director = self.eal(&wires.name, &program, "director", "0@0,1@1");
        director.extend(["--", "--conf"].map(String::from));
        director.push(conf.display().to_string());
        let mut director = Forwarder::start(Kind::LbApp, "ip", &director, self.stop.clone())?;

        director.wait(Duration::from_secs(1))?;
        let before = self.sample()?;
        director.wait(Duration::from_secs_f64(self.options.seconds))?;
        let after = self.sample()?;
        let received = after.received - before.received;
        let sent = after.sent - before.sent;
        ensure!(received > 0.0, "nothing arrived");
        // What the other end does not take in time is lost, but forwarding has to have happened.
        ensure!(sent > received / 2.0, "of {received} packets, {sent} were sent");
        let cycles = (after.busy_cycles - before.busy_cycles) / received;
        Ok((cycles, received / (after.at - before.at).as_secs_f64() / 1e6))
    }

    /// The common part of both command lines.
    fn eal(&self, namespace: &str, program: &str, role: &str, lcores: &str) -> Vec<String> {
        let prefix = format!("{}-{role}", self.name);
        let words =
            ["netns", "exec", namespace, program, "--no-huge", "-m", "512", "--no-pci", "--no-telemetry"];
        let more = ["--file-prefix", &prefix, "--lcores", lcores];
        words.into_iter().chain(more).map(String::from).collect()
    }

    fn sample(&self) -> Result<Sample> {
        let lbctl = self.options.lb_app.with_file_name("lbctl");
        let socket = format!("/run/lb/{}-director.sock", self.name);
        let output = Command::new(&lbctl).args(["--socket", &socket, "--json", "show", "workers"]).output();
        let output = output.with_context(|| lbctl.display().to_string())?;
        let at = Instant::now();
        ensure!(output.status.success(), "lbctl: {}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        let worker = &answer["reply"]["workers"]["workers"][0];
        let number = |name: &str| worker[name].as_f64().with_context(|| format!("lbctl says no {name}"));
        Ok(Sample {
            at,
            received: number("received")?,
            sent: number("sent")?,
            busy_cycles: number("busy_cycles")?,
        })
    }
}

impl Port {
    fn driver(self) -> &'static str {
        match self {
            Port::AfPacket => "net_af_packet",
            Port::AfXdp => "net_af_xdp",
            Port::Virtio => "net_virtio_user",
        }
    }

    /// lb-app's device and the generator's, which are two ends of one wire.
    fn devices(self, socket: &str) -> (String, String) {
        match self {
            Port::AfPacket => ("net_af_packet0,iface=near".into(), "net_af_packet1,iface=far".into()),
            Port::AfXdp => ("net_af_xdp0,iface=near".into(), "net_af_xdp1,iface=far".into()),
            Port::Virtio => {
                let mac = traffic::PORT_MAC;
                (format!("net_virtio_user0,path={socket},mac={mac}"), format!("net_vhost0,iface={socket}"))
            }
        }
    }
}

/// A network namespace with two interfaces that are each other's end. The kernel has no address there.
struct Wires {
    name: String,
}

impl Wires {
    fn new(name: &str) -> Result<Self> {
        ip(&["netns", "add", name])?;
        let wires = Wires { name: name.into() };
        let mac = traffic::PORT_MAC.to_string();
        ip(&["-n", name, "link", "add", "near", "address", &mac, "type", "veth", "peer", "name", "far"])?;
        for interface in ["near", "far"] {
            ip(&["-n", name, "link", "set", interface, "up"])?;
        }
        Ok(wires)
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Whether a file that may not have been there is gone.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
