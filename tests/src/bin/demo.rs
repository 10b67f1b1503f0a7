//! The load balancer at work, in a world of its own: `demo` shows it, `demo stop` ends one that was kept running.
//!
//! With `KEEP` in the environment the world stays for looking around.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::http::Session;
use lb_stories::process::{Interrupt, eventually, run};
use lb_stories::server::Server;
use lb_stories::status::{Status, read_connection};
use lb_stories::{Config, Director, Method, World, netns, world};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Requests per method.
const REQUESTS: u32 = 60;
/// Connections shown per service; the rest is summed up.
const SHOWN: usize = 4;
/// Name of a world that is kept; there is one at a time.
const KEPT: &str = "lbdemo";
/// Where a director that is kept shows its page: on a link of its own between it and this machine.
const PAGE: &str = "169.254.91.2:9145";

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        None => demo(),
        Some("stop") => stop(),
        Some(other) => Err(anyhow::anyhow!("unknown word {other:?}; there is only \"stop\"")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nFAIL: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let keep = std::env::var_os("KEEP").is_some_and(|value| !value.is_empty() && value != "0");
    let started = Instant::now();

    println!("Building the world: a client, a director, two real servers with nginx, two networks");
    let mut world = if keep {
        ensure!(!state_file()?.exists(), "a demo is running already; `make demo-stop` ends it");
        World::named(KEPT)?
    } else {
        World::new()?
    };
    let has_ipv6 = netns::has_ipv6();
    if has_ipv6 {
        world.add_ipv6()?;
    } else {
        println!("This kernel has no IPv6: the demo goes without it");
    }
    interrupt.check()?;

    let ways = ways(has_ipv6);
    let config = ways.iter().fold(Config::new(), |config, way| config.service(way.service()));
    println!("Starting lb-app: two workers, two net_af_packet ports with two queues each\n");
    let director = if keep {
        show_page(&world)?;
        world.start(&config.section(format!("[metrics]\nlisten = \"{PAGE}\"\nconsole = true")))?
    } else {
        world.start(&config)?
    };
    interrupt.check()?;

    let mut failures = Vec::new();
    println!("{REQUESTS} requests to each method's service, every one on a new connection:\n");
    println!("  {:<8} {:<6} {:<22} {:>9} {:>9}", "method", "to", "service", "server1", "server2");
    let mut open = Vec::new();
    for way in &ways {
        // One connection stays open, for the list below to have an established one.
        match send(&world, way).and_then(|()| hold(&world, way.at())) {
            Ok(session) => open.push(session),
            Err(error) => failures.push(format!("{} {}: {error:#}", way.method.word(), way.at())),
        }
        interrupt.check()?;
    }

    println!("\nWhat lb-app says about it:\n");
    let status = director.status()?;
    print_status(&status);
    let expected = ways.len();
    if status.services.len() != expected {
        failures.push(format!("{} services in the status report, not {expected}", status.services.len()));
    }
    interrupt.check()?;

    if keep {
        return leave_running(world, director, &failures);
    }
    drop(open);
    let output = director.stop()?;
    println!("\nStopped. Its last words:\n");
    for line in output.lines().filter(|line| line.contains("accounting:")) {
        println!("  {}", line.trim());
    }
    drop(world);
    verdict(&failures)?;
    println!("\nPASS in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// A method with the families of clients and servers.
#[derive(Clone, Copy)]
struct Way {
    method: Method,
    is_ipv6: bool,
    to_ipv6: bool,
}

/// Every method in each family, and tunnels of the other one.
fn ways(has_ipv6: bool) -> Vec<Way> {
    let families: &[bool] = if has_ipv6 { &[false, true] } else { &[false] };
    let way = |method, is_ipv6, to_ipv6| Way { method, is_ipv6, to_ipv6 };
    let same =
        Method::EVERY.into_iter().flat_map(|method| families.iter().map(move |&it| way(method, it, it)));
    let other = families.iter().filter(|_| has_ipv6).map(|&it| way(Method::Tun, it, !it));
    same.chain(other).collect()
}

impl Way {
    /// A VIP has tunnels of both families on two ports.
    fn port(self) -> u16 {
        if self.is_ipv6 == self.to_ipv6 { world::HTTP } else { world::HTTP_BEHIND_NAT }
    }

    fn at(self) -> SocketAddr {
        let port = self.port();
        if self.is_ipv6 { self.method.at6(port).into() } else { self.method.at(port).into() }
    }

    fn service(self) -> Service {
        let service = Service::tcp(self.method, self.port());
        let service = if self.is_ipv6 { service.over_ipv6() } else { service };
        if self.is_ipv6 == self.to_ipv6 { service } else { service.with_servers_of_other_family() }
    }
}

/// Sends the requests, and is content when every server got a fair share of them.
fn send(world: &World, way: &Way) -> Result<()> {
    let target = way.at();
    let answers = world.client().who_answers(target, REQUESTS)?;
    let count = |server: &Server| answers.get(server.name()).copied().unwrap_or(0);
    let counts: Vec<_> = world.servers().iter().map(count).collect();
    let family = if way.to_ipv6 { "IPv6" } else { "IPv4" };
    print!("  {:<8} {family:<6} {:<22}", way.method.word().to_uppercase(), target.to_string());
    for count in &counts {
        print!(" {count:>9}");
    }
    println!();
    let fair = REQUESTS as usize / counts.len() / 2;
    ensure!(counts.iter().all(|count| *count >= fair), "round robin gave {answers:?}");
    Ok(())
}

/// A connection that has been used once and stays open.
fn hold(world: &World, service: SocketAddr) -> Result<Session> {
    let mut session = world.client().http(service)?;
    session.get("/small")?;
    Ok(session)
}

/// The report as it is, but for the many connections that look alike.
fn print_status(status: &Status) {
    let mut shown: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    let mut hidden: BTreeMap<(SocketAddr, String), usize> = BTreeMap::new();
    for line in status.text.lines() {
        if let Some(connection) = read_connection(line) {
            let shown = shown.entry(connection.virtual_address).or_default();
            if *shown == SHOWN && connection.state != "ESTABLISHED" {
                *hidden.entry((connection.virtual_address, connection.state)).or_default() += 1;
                continue;
            }
            *shown += usize::from(*shown < SHOWN);
        } else {
            for ((service, state), count) in std::mem::take(&mut hidden) {
                println!("  ... and {count} more of {service} in {state}");
            }
        }
        println!("  {line}");
    }
}

fn verdict(failures: &[String]) -> Result<()> {
    ensure!(failures.is_empty(), "{}", failures.join("\n      "));
    Ok(())
}

/// Connects this machine with the director, for the page. The link goes with the director's namespace.
fn show_page(world: &World) -> Result<()> {
    let director = world.director();
    let ip = |line: String| run(Command::new("ip").args(line.split(' ')));
    // A namespace that was deleted a moment ago may still have the other end.
    let _ = ip(format!("link del {KEPT}-page"));
    ip(format!("link add {KEPT}-page type veth peer name page netns {}", director.name()))?;
    ip(format!("addr add 169.254.91.1/30 dev {KEPT}-page"))?;
    ip(format!("link set {KEPT}-page up"))?;
    director.ip("addr add 169.254.91.2/30 dev page\nlink set page up")
}

/// Leaves everything as it is, notes down what there is to stop, and says how to look around.
fn leave_running(world: World, director: Director, failures: &[String]) -> Result<()> {
    let pid = director.pid();
    let log = director.log().to_owned();
    let runtime = director.runtime().to_owned();
    director.keep();
    let mut state = format!("{}\ndirectory {}\n", recorded(pid)?, runtime.display());
    for line in world.keep() {
        match line.strip_prefix("pid ") {
            Some(pid) => state.push_str(&recorded(pid.parse()?)?),
            None => state.push_str(&line),
        }
        state.push('\n');
    }
    fs::write(state_file()?, state)?;

    println!("\nStill running. Namespaces: {KEPT}-client, -director, -server1, -server2, -switch.\n");
    println!("  Ask the services:");
    for service in ways(netns::has_ipv6()).into_iter().map(Way::at) {
        println!("    ip netns exec {KEPT}-client curl http://{service}/");
    }
    println!("  lb-app's page, from this machine: http://{PAGE}/");
    println!("  lb-app's status report, and everything it printed:");
    println!("    kill -USR1 {pid}; tail -n 60 {}", log.display());
    println!("  Watch packets:");
    println!("    ip netns exec {KEPT}-client tcpdump -ni wan");
    println!("    ip netns exec {KEPT}-server1 tcpdump -ni lan");
    println!("  Enough:");
    println!("    make demo-stop");
    verdict(failures)?;
    println!("\nPASS");
    Ok(())
}

/// A process as the state file names it: with its start time, because an id alone may be somebody else's one day.
fn recorded(pid: u32) -> Result<String> {
    Ok(format!("pid {pid} {}", start_time(pid).context("a process is gone")?))
}

/// Field 22 of `/proc/PID/stat`; the fields are counted behind the name, which may contain anything.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19).map(str::to_owned)
}

fn state_file() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("demo.state"))
}

/// Ends a demo that was kept running.
fn stop() -> Result<()> {
    let file = state_file()?;
    let Ok(state) = fs::read_to_string(&file) else {
        println!("No demo is running.");
        return Ok(());
    };
    let lines: Vec<Vec<&str>> = state.lines().map(|line| line.split(' ').collect()).collect();
    for line in &lines {
        if let ["pid", pid, since] = line[..] {
            end(pid.parse()?, since)?;
        }
    }
    for line in &lines {
        match line[..] {
            ["netns", name] => netns::delete(name),
            ["directory", path] => drop(fs::remove_dir_all(Path::new(path))),
            _ => {}
        }
    }
    fs::remove_file(file)?;
    println!("The demo is stopped, and nothing is left of it.");
    Ok(())
}

/// Ends a process if it is still the one that was recorded: politely, and after a while without more words.
fn end(pid: u32, since: &str) -> Result<()> {
    let alive = || start_time(pid).as_deref() == Some(since);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        if alive() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
            eventually(Duration::from_secs(5), || Ok(!alive()))?;
        }
    }
    Ok(())
}
