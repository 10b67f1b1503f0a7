//! Floods from forged sources fill the connection table: real clients come, are served, and stay. `make test` tells
//! half of it, `make test-floods` all, with figures.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::flood::Flood;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};

/// Entries of both workers' tables. A flood fills them in two and a half seconds, which is time enough for real clients
/// to be confirmed.
const CONNECTIONS: usize = 2 * PER_WORKER;
const PER_WORKER: usize = 4_096;
/// Real clients, all of them at the same time.
const CLIENTS: usize = 200;
/// How often each asks, and how long it waits between two questions.
const QUESTIONS: usize = 4;
const ASK_EVERY: Duration = Duration::from_secs(1);

#[test]
#[ignore = "make test-floods"]
fn datagrams_through_nat() -> Result<()> {
    all_are_served(Method::Nat, Flood::Datagrams)
}

#[test]
fn handshakes_through_nat() -> Result<()> {
    all_are_served(Method::Nat, Flood::Handshakes)
}

#[test]
#[ignore = "make test-floods"]
fn datagrams_through_tun() -> Result<()> {
    all_are_served(Method::Tun, Flood::Datagrams)
}

#[test]
#[ignore = "make test-floods"]
fn handshakes_through_tun() -> Result<()> {
    all_are_served(Method::Tun, Flood::Handshakes)
}

#[test]
fn datagrams_through_dr() -> Result<()> {
    all_are_served(Method::Dr, Flood::Datagrams)
}

#[test]
#[ignore = "make test-floods"]
fn handshakes_through_dr() -> Result<()> {
    all_are_served(Method::Dr, Flood::Handshakes)
}

fn all_are_served(method: Method, flood: Flood) -> Result<()> {
    let world = World::alone()?;
    let config =
        Config::new().service(Service::tcp(method, world::HTTP)).service(Service::udp(method, world::ECHO));
    let text = config.render(&world.server_addresses());
    let text = text.replace("connections = 65536", &format!("connections = {PER_WORKER}"));
    let director = world.start_with(&config, &text)?;
    let control = Control::of(&director)?;
    let target = method.at(match flood {
        Flood::Datagrams => world::ECHO,
        Flood::Handshakes => world::HTTP,
    });
    let count = || -> Result<usize> {
        let said = control.ask("count connections")?;
        Ok(said.split(' ').next().context("a number")?.parse()?)
    };

    let client = world.client();
    let (answers, forged) = flood.during(client, target, || -> Result<usize> {
        ensure!(eventually(PATIENCE, || Ok(count()? > CONNECTIONS * 9 / 10))?, "{} connections", count()?);
        let mut sessions =
            (0..CLIENTS).map(|_| client.http(method.at(world::HTTP))).collect::<Result<Vec<_>, _>>()?;
        for _ in 0..QUESTIONS {
            for session in &mut sessions {
                session.get("/small")?;
            }
            thread::sleep(ASK_EVERY);
        }
        Ok(QUESTIONS * CLIENTS)
    })?;
    let (answers, held) = (answers?, count()?);
    println!(
        "{}, {flood:?}: {CLIENTS} of {CLIENTS} clients served, {answers} answers, while {forged} forged sources filled \
         {held} of {CONNECTIONS} entries",
        method.word()
    );
    let status = director.status()?;
    ensure!(!status.text.contains("evicted 0"), "nothing made room: {}", status.text);
    director.stop()?;
    Ok(())
}
