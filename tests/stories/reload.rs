//! The configuration changes a hundred times under a thousand connections in use.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::http::Session;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};

const RELOADS: u32 = 100;
const SESSIONS: usize = 1_000;
const THREADS: usize = 10;
/// What the process may grow by, all reloads together: less than a hundredth of what it has.
const GROWTH: u64 = 4 << 20;

/// Servers that stay, with whatever weight or state, and others that come and go. Connections to the first must not
/// notice anything; those to the second may be reset, and be opened again.
#[test]
fn nobody_notices_a_hundred_reloads() -> Result<()> {
    let world = World::new()?;
    let config = Config::new();
    let base = config.render(&[]);
    let hosts = world.server_addresses();
    let director = world.start_with(&config, &with_servers(&base, &hosts, 0))?;
    let service = Method::Nat.at(world::HTTP);
    let client = world.client();

    // Before the changes begin there are only servers that stay.
    let opened: Vec<Vec<(Session, String)>> = thread::scope(|scope| {
        let open = || {
            (0..SESSIONS / THREADS)
                .map(|_| {
                    let mut session = client.http(service)?;
                    let server = session.get("/small")?.server;
                    Ok((session, server))
                })
                .collect::<Result<Vec<_>>>()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("opening panicked")).collect::<Result<_>>()
    })?;

    let (over, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut reached = BTreeMap::new();
    let memory = thread::scope(|scope| -> Result<(u64, u64)> {
        let in_use: Vec<_> = opened
            .into_iter()
            .map(|sessions| scope.spawn(|| use_until(sessions, &over, &requests)))
            .collect();
        let mut outcome = || -> Result<(u64, u64)> {
            let mut before = 0;
            for round in 1..=RELOADS {
                director.reload(&with_servers(&base, &hosts, round))?;
                // New connections find a server whatever the change was.
                let server = client.http(service)?.get("/small")?.server;
                *reached.entry(server).or_insert(0) += 1;
                if round == 10 {
                    before = director.memory()?;
                }
            }
            Ok((before, director.memory()?))
        };
        let outcome = outcome();
        over.store(true, Relaxed);
        for thread in in_use {
            thread.join().expect("a session panicked")?;
        }
        outcome
    })?;

    let requests = requests.into_inner();
    ensure!(requests > SESSIONS, "only {requests} requests: the connections were hardly in use");
    let (before, after) = memory;
    println!(
        "{RELOADS} reloads under {SESSIONS} connections: {requests} requests, none lost; new connections {reached:?}; \
         {} KiB more memory",
        after.saturating_sub(before) / 1024
    );
    ensure!(after <= before + GROWTH, "memory grew from {before} to {after} bytes");
    let status = director.status()?;
    for reason in ["tx-full", "table-full", "waiting-full", "no-connection", "shutdown"] {
        ensure!(!status.text.contains(&format!("  {reason} ")), "dropped: {}", status.text);
    }
    director.stop()?;
    Ok(())
}

/// A reload on condition goes back by itself, unless somebody who can still reach the director says that all is well.
#[test]
fn a_reload_waits_to_be_confirmed() -> Result<()> {
    let world = World::new()?;
    let config = Config::new().service(Service::tcp(Method::Nat, world::HTTP));
    let before = config.render(&world.server_addresses());
    let after = before.replace("scheduler = \"rr\"", "scheduler = \"mh\"");
    ensure!(before != after);
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    let scheduler = |word: &str| Ok(control.ask("-Ln")?.contains(&format!("192.0.2.100:80 {word}")));

    director.write_configuration(&after)?;
    let difference = control.ask("reload dry-run")?;
    ensure!(difference.contains("~ service tcp 192.0.2.100:80: scheduler rr -> mh"), "{difference}");
    ensure!(scheduler("rr")?, "a dry run changes nothing");

    // Nobody confirms.
    control.ask("reload confirm-within 1s")?;
    ensure!(eventually(PATIENCE, || scheduler("rr"))?, "it does not go back");
    let said = || Ok(director.output()?.contains("was not confirmed in time: rolled back"));
    ensure!(eventually(PATIENCE, said)?, "it does not say so");

    // Somebody does.
    control.ask("reload confirm-within 1h")?;
    ensure!(scheduler("mh")?);
    let (_, words) = control.refused("reload")?;
    ensure!(words.contains("is pending confirmation"), "{words}");
    control.ask("confirm")?;
    ensure!(scheduler("mh")?);

    // What was laid out at start stays as it was, and nothing else is changed with it.
    director.write_configuration(&before.replace("connections = 65536", "connections = 131072"))?;
    let (_, words) = control.refused("reload")?;
    ensure!(words.contains("require a restart") && words.contains("connections"), "{words}");
    ensure!(scheduler("mh")?);
    director.stop()?;
    Ok(())
}

/// A reload changes what has changed in the file. A rollback does not undo what was done in the meantime.
#[test]
fn what_operators_did_at_run_time_stays() -> Result<()> {
    let world = World::new()?;
    let config = Config::new().service(Service::tcp(Method::Nat, world::HTTP));
    let text = config.render(&world.server_addresses());
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    let drained = || Ok(control.ask("show services")?.contains("drain"));
    control.ask("set server tcp-nat-80 198.51.100.11 state drain")?;
    control.ask("set server tcp-nat-80 198.51.100.12 weight 7")?;
    ensure!(drained()?);
    director.write_configuration(&format!("# Nothing but a comment.\n{text}"))?;
    let said = control.ask("reload")?;
    ensure!(said.contains("no differences"), "{said}");
    let kept =
        "kept: server 198.51.100.11:8080 of tcp 192.0.2.100:80: drained by operator; the file says enabled";
    ensure!(said.contains(kept) && said.contains("weight 7: set by operator; the file says 1"), "{said}");
    ensure!(drained()?, "it is enabled again");

    // What is saved is what the file says, and changing it back is a change.
    control.ask("save")?;
    let said = control.ask("reload")?;
    ensure!(said.contains("no differences") && !said.contains("kept"), "{said}");
    director.write_configuration(&text)?;
    let said = control.ask("reload confirm-within 2s")?;
    ensure!(said.contains("state drain -> enabled") && said.contains("weight 7 -> 1"), "{said}");
    ensure!(!drained()?);
    control.ask("set server tcp-nat-80 198.51.100.12 weight 9")?;
    ensure!(eventually(PATIENCE, drained)?, "it does not go back");
    let services = control.ask("show services --json")?;
    ensure!(services.contains("\"weight\":9") || services.contains("\"weight\": 9"), "{services}");
    director.stop()?;
    Ok(())
}

/// Asks on all connections, again and again: each is answered, by the server it began with.
fn use_until(mut sessions: Vec<(Session, String)>, over: &AtomicBool, requests: &AtomicUsize) -> Result<()> {
    while !over.load(Relaxed) {
        for (session, server) in &mut sessions {
            let answer = session.get("/small").context("a connection was lost")?;
            ensure!(answer.server == *server, "{} answered on a connection to {server}", answer.server);
            requests.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

/// The configuration of a round: the servers that stay, changed in some way, and some of those that come and go.
fn with_servers(base: &str, hosts: &[Ipv4Addr], round: u32) -> String {
    // Any sequence that is the same every time and in no order.
    let dice = |sides: u32, salt: u32| {
        let mixed = round.wrapping_mul(2_654_435_761) ^ salt.wrapping_mul(2_246_822_519);
        (mixed ^ mixed >> 15).wrapping_mul(3_266_489_917) >> 16 & (sides - 1)
    };
    let scheduler = ["rr", "wrr", "wlc", "mh"][dice(4, 1) as usize];
    let vip = Method::Nat.vip();
    let mut text = format!(
        "{base}[[services]]\nname = \"http\"\nvip = \"{vip}\"\nport = {}\nprotocol = \"tcp\"\nmethod = \"nat\"\n\
         scheduler = \"{scheduler}\"\n",
        world::HTTP
    );
    for (host, salt) in hosts.iter().zip(2..) {
        let (weight, state) = match dice(4, salt) {
            _ if round == 0 => (1, "enabled"),
            0 => (0, "enabled"),
            1 => (3, "drain"),
            weight => (weight, "enabled"),
        };
        let _ = writeln!(
            text,
            "[[services.servers]]\naddress = \"{host}\"\nport = {}\nweight = {weight}\nstate = \"{state}\"",
            world::HTTP_BEHIND_NAT
        );
        // The same host by its other port is another server. Round by round there is at least one that serves.
        if round > 0 && (dice(2, salt + 10) == 0 || host == &hosts[0]) {
            let _ = writeln!(text, "[[services.servers]]\naddress = \"{host}\"\nport = {}", world::HTTP);
        }
    }
    text
}
