//! Three directors behind a router that spreads connections over them: they die, drain and come back while a client's
//! connections go on, and a table says how many of those broke.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lb_stories::cluster::{Cluster, VIP};
use lb_stories::config::Service;
use lb_stories::flock::{Flock, until_served};
use lb_stories::process::{Interrupt, PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};

/// Connections that are held open.
const CONNECTIONS: usize = 150;
/// How long it may take.
const LIMIT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nFAIL: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The connections, and what is printed of them.
struct Table {
    flock: Flock,
    interrupt: Interrupt,
}

impl Table {
    /// Uses all connections after an event that began at `start`, and says what became of them.
    fn line(&mut self, event: &str, start: Instant) -> Result<()> {
        let (took, open) = (start.elapsed(), self.flock.len());
        let broken = self.flock.check();
        println!("  {event:<48} {open:>5} {broken:>7} {:>8.1}", took.as_secs_f64());
        self.interrupt.check()
    }
}

fn demo() -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let started = Instant::now();
    println!(
        "Building the world: a client, a router with BIRD, three directors with BIRD, two real servers with nginx"
    );
    let world = World::new()?;
    interrupt.check()?;
    let service = Service::tcp(Method::Dr, world::HTTP).on(VIP).scheduler("mh").line("flags = [\"mh-port\"]");
    println!("Starting lb-app three times, each with one worker and host sides for BGP, BFD and its peers");
    let mut cluster = Cluster::start(&world, &Config::new().alone().service(service.adopting()), 3)?;
    let client = world.far_client();
    let target = std::net::SocketAddrV4::new(VIP, world::HTTP);
    until_served(client, target, PATIENCE)?;
    println!(
        "The router spreads connections to {target} over all three. {CONNECTIONS} are opened, and used after each event:\n"
    );

    let mut table = Table { flock: Flock::open(client, &[target], CONNECTIONS)?, interrupt };
    println!("  {:<48} {:>5} {:>7} {:>8}", "event", "open", "broken", "seconds");

    let start = Instant::now();
    cluster.kill(1)?;
    cluster.routed_to(&[2, 3])?;
    table.line("director 1 is killed, BFD takes its route away", start)?;
    let start = Instant::now();
    cluster.revive(1)?;
    cluster.routed_to(&[1, 2, 3])?;
    table.line("it comes back", start)?;

    let start = Instant::now();
    cluster.ask(2, "drain director")?;
    cluster.routed_to(&[1, 3])?;
    table.line("director 2 drains: GSHUT, then withdrawn", start)?;
    let has_stopped = || Ok(cluster.ask(2, "show director")?.contains("stopped"));
    ensure!(eventually(PATIENCE, has_stopped)?, "{}", cluster.ask(2, "show director")?);
    table.line("it polls no port any more", start)?;
    let start = Instant::now();
    cluster.ask(2, "start")?;
    cluster.routed_to(&[1, 2, 3])?;
    table.line("it is started again", start)?;

    let start = Instant::now();
    let weight = format!("set server tcp-dr-80 {}:80 weight 3", world.server_addresses()[0]);
    cluster.ask_all(&weight)?;
    cluster.ask_all("save")?;
    // Those of the connections that would have another server today are found within a second.
    let is_told = eventually(PATIENCE, || cluster.exceptions_are_told())?;
    ensure!(is_told, "{}", cluster.ask_all("show sync")?.join("\n"));
    table.line("server 1 gets three times its weight, peers know", start)?;
    let start = Instant::now();
    cluster.kill(3)?;
    cluster.routed_to(&[1, 2])?;
    table.line("director 3 is killed", start)?;
    let start = Instant::now();
    cluster.revive(3)?;
    cluster.routed_to(&[1, 2, 3])?;
    table.line("it comes back", start)?;

    for number in 1..=3 {
        let start = Instant::now();
        cluster.stop(number)?;
        cluster.revive(number)?;
        cluster.routed_to(&[1, 2, 3])?;
        table.line(&format!("director {number} is stopped by TERM and started anew"), start)?;
    }
    let broken = &table.flock.broken;
    ensure!(broken.is_empty(), "{} of {CONNECTIONS} connections broke: {broken:?}", broken.len());
    println!(
        "\n{CONNECTIONS} of {CONNECTIONS} connections have lived through all of it, each with its server."
    );
    (1..=3).try_for_each(|number| cluster.stop(number))?;
    drop(cluster);
    drop(world);
    let took = started.elapsed();
    ensure!(took < LIMIT, "it took {} s, more than {} s", took.as_secs(), LIMIT.as_secs());
    println!("\nPASS in {:.1} s", took.as_secs_f64());
    Ok(())
}
