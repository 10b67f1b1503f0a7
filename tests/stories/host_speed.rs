//! How fast the host side of a port is, by iperf3: between a client behind the port and the director's own address, which
//! the kernel has. Figures are printed; they mean something on a machine that does nothing else.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};
use serde_json::Value;

/// How long each measurement takes.
const SECONDS: &str = "5";
/// Bytes of the datagrams whose number counts.
const SMALL: &str = "64";

/// What iperf3 measured at the receiving end.
struct Figures {
    bits_per_second: f64,
    /// Of UDP: datagrams that came in a second, and parts of a hundred that did not.
    datagrams: Option<(f64, f64)>,
}

fn measure(world: &World, how: &[&str]) -> Result<Figures> {
    let to = world::DIRECTOR_WAN.to_string();
    let words = [&["-c", &to, "-J", "-t", SECONDS][..], how].concat();
    // One that came a moment ago may still be served.
    let mut said = world.client().namespace().run("iperf3", &words);
    if said.is_err() {
        thread::sleep(Duration::from_secs(2));
        said = world.client().namespace().run("iperf3", &words);
    }
    let said: Value = serde_json::from_str(&said?)?;
    let end = &said["end"];
    let number = |value: &Value| value.as_f64().with_context(|| format!("no number in {end}"));
    if how.contains(&"-u") {
        let sum = &end["sum"];
        let (packets, lost) = (number(&sum["packets"])?, number(&sum["lost_packets"])?);
        let arrived = packets - lost;
        let seconds = number(&sum["seconds"])?;
        let bits_per_second = number(&sum["bits_per_second"])? * arrived / packets.max(1.0);
        let share = 100.0 * lost / packets.max(1.0);
        return Ok(Figures { bits_per_second, datagrams: Some((arrived / seconds, share)) });
    }
    Ok(Figures { bits_per_second: number(&end["sum_received"]["bits_per_second"])?, datagrams: None })
}

#[test]
#[ignore = "make test-host-speed"]
fn the_host_side_is_this_fast() -> Result<()> {
    for workers in [1, 2] {
        let world = World::alone()?;
        for name in ["lbwan", "lblan"] {
            world.director().leave_to_dpdk(name)?;
        }
        let config = Config::new().service(Service::tcp(Method::Nat, world::HTTP)).with_host_sides();
        let config = if workers == 1 { config.alone() } else { config };
        let director = world.start(&config)?;
        let has_own = || {
            let addresses = world.director().run("ip", &["addr", "show", "lb-wan"]).unwrap_or_default();
            Ok(addresses.contains(&format!("inet {}/24", world::DIRECTOR_WAN)))
        };
        ensure!(eventually(PATIENCE, has_own)?, "the host side has no address");
        let mut server = world.director().command("iperf3");
        server.args(["-s", "-B", &world::DIRECTOR_WAN.to_string()]);
        let _server = world.director().spawn(&mut server, &world.directory().join("iperf3.log"))?;
        let listens = || {
            Ok(world.director().run("ss", &["-Hltn", "sport = :5201"]).unwrap_or_default().contains("5201"))
        };
        ensure!(eventually(PATIENCE, listens)?, "iperf3 does not listen");

        println!("\n  {workers} worker{}", if workers == 1 { "" } else { "s" });
        for (what, how) in [
            ("TCP to the host", &[][..]),
            ("TCP to the host, 8 streams", &["-P", "8"]),
            ("TCP from the host", &["-R"]),
            ("TCP from the host, 8 streams", &["-R", "-P", "8"]),
            ("UDP to the host, 64 bytes", &["-u", "-b", "0", "-l", SMALL]),
            ("UDP from the host, 64 bytes", &["-u", "-b", "0", "-l", SMALL, "-R"]),
        ] {
            let Figures { bits_per_second, datagrams } = measure(&world, how).context(what)?;
            let gbits = bits_per_second / 1e9;
            match datagrams {
                None => println!("  {what:<32} {gbits:>7.3} Gbit/s"),
                Some((rate, lost)) => {
                    println!("  {what:<32} {gbits:>7.3} Gbit/s {:>7.1} kpps, {lost:.0} % lost", rate / 1e3);
                }
            }
            ensure!(bits_per_second > 0.0, "{what}: nothing came");
        }
        director.stop()?;
    }
    Ok(())
}
