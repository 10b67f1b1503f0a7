//! FullNAT with kernels' TCP on both sides, over two workers. The servers' default gateway is the router, so what they send
//! to a client's own address never comes by the director.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_stories::client::exchange;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::load::Load;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::server::BIG_SHA256;
use lb_stories::{Config, Method, World, world};

const HTTP: std::net::SocketAddrV4 = std::net::SocketAddrV4::new(world::VIP_FULLNAT, world::HTTP);

/// A port that the director serves and no server listens on.
const CLOSED: u16 = 4433;

fn world_without_ways_back() -> Result<World> {
    let world = World::new()?;
    world.take_director_from_routes()?;
    Ok(world)
}

fn http() -> Config {
    Config::new().service(Service::tcp(Method::FullNat, world::HTTP))
}

/// Small answers from all servers in turn, 100 MB without a wrong byte, also by a narrow path: its router's report reaches
/// the server, whose kernel remembers it of the local address.
#[test]
fn small_and_big_and_by_a_narrow_path() -> Result<()> {
    let world = world_without_ways_back()?;
    let director = world.start(&http())?;
    let answers = world.client().who_answers(HTTP, 40)?;
    for server in world.servers() {
        let count = answers.get(server.name()).copied().unwrap_or(0);
        assert!((18..=22).contains(&count), "{answers:?}");
    }
    assert_eq!(world.client().sha256_of(HTTP, "/big")?, BIG_SHA256);
    assert_eq!(world.client().upload(HTTP, 1_000_000)?, 1_000_000);

    assert_eq!(world.far_client().sha256_of(HTTP, "/big")?, BIG_SHA256);
    let narrow = format!(" mtu {}", world::FAR_MTU);
    let mut learned = 0;
    for server in world.servers() {
        for local in world::LOCALS {
            let route = server.namespace().run("ip", &["route", "get", &local.to_string()])?;
            learned += usize::from(route.contains(&narrow));
        }
    }
    assert_eq!(learned, 1, "one server had the connection");
    // A server is a client of its own service, and of the other server.
    for server in world.servers() {
        for _ in 0..2 {
            let url = format!("http://{HTTP}/small");
            let answer = server.namespace().run("curl", &["-sS", "--max-time", "10", &url])?;
            assert!(answer.starts_with("small from server"), "{answer}");
        }
    }
    director.stop()?;
    Ok(())
}

#[test]
fn both_families() -> Result<()> {
    let world = World::with_ipv6()?;
    world.take_director_from_routes()?;
    let config = http().service(Service::tcp(Method::FullNat, world::HTTP).over_ipv6());
    let director = world.start(&config)?;
    let http6 = Method::FullNat.at6(world::HTTP);
    assert_eq!(world.client().who_answers(http6, 20)?.len(), 2);
    assert_eq!(world.client().who_answers(HTTP, 20)?.len(), 2);
    assert_eq!(world.client().sha256_of(http6, "/big")?, BIG_SHA256);
    director.stop()?;
    Ok(())
}

#[test]
fn a_thousand_connections() -> Result<()> {
    let world = world_without_ways_back()?;
    let director = world.start(&http())?;
    let crowd = Load { connections: 1_000, requests: 5 };
    let report = crowd.run(world.client(), HTTP)?;
    println!("fullnat: {report}");
    assert!(report.failures.is_empty(), "{:?}", &report.failures[..report.failures.len().min(5)]);
    assert_eq!(report.answers, 5_000);
    let status = director.status()?;
    for worker in &status.workers {
        assert!(worker.received > 1_000, "{}", status.text);
    }
    director.stop()?;
    Ok(())
}

/// An echo, and the refusal of a server without such a port, whose quoted packet must be the client's own.
#[test]
fn datagrams() -> Result<()> {
    let world = world_without_ways_back()?;
    let config = Config::new()
        .service(Service::udp(Method::FullNat, world::ECHO))
        .service(Service::udp(Method::FullNat, CLOSED));
    let director = world.start(&config)?;
    for _ in 0..20 {
        let socket = world.client().udp(Method::FullNat.at(world::ECHO))?;
        exchange(&socket, b"anybody there?")?;
    }
    let socket = world.client().udp(Method::FullNat.at(CLOSED))?;
    let refusal = exchange(&socket, b"anybody there?").expect_err("nobody listens there");
    assert_eq!(refusal.kind(), ErrorKind::ConnectionRefused, "{refusal}");
    director.stop()?;
    Ok(())
}

/// A local address that is removed is answered for while a connection has it, and then no more.
#[test]
fn local_addresses_come_and_go() -> Result<()> {
    let world = world_without_ways_back()?;
    let director = world.start(&http())?;
    let control = Control::of(&director)?;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let mut session = world.client().http(HTTP)?;
        session.get("/small")?;
        sessions.push(session);
    }
    let [kept, removed] = world::LOCALS;
    let of = |local| control.ask(&format!("show connections local {local}"));
    ensure!(of(removed)?.contains(&format!("{removed}:")), "{}", of(removed)?);
    control.ask(&format!("set service tcp-fullnat-80 local-addresses {kept}"))?;
    for session in &mut sessions {
        session.get("/small").context("after the change")?;
    }
    let answers = || {
        let args = ["-n", "-c", "1", "-w", "2", &removed.to_string()];
        world.servers()[0].namespace().run("ping", &args).is_ok()
    };
    ensure!(answers(), "connections still have it");
    for _ in 0..8 {
        world.client().fetch(HTTP, "/small")?;
    }
    drop(sessions);
    control.ask("flush connections all")?;
    let gone = eventually(PATIENCE, || Ok(!answers()))?;
    ensure!(gone, "nobody has it any more");
    world.client().fetch(HTTP, "/small")?;
    director.stop()?;
    Ok(())
}

#[test]
fn connections_go_on_in_the_next_run() -> Result<()> {
    let world = world_without_ways_back()?;
    let config = http().state_file(&world.directory().join("state"));
    let director = world.start(&config)?;
    let mut sessions = Vec::new();
    for _ in 0..20 {
        let mut session = world.client().http(HTTP)?;
        let server = session.get("/small")?.server;
        sessions.push((session, server));
    }
    director.stop()?;
    let director = world.start(&config)?;
    let said = director.output()?;
    assert!(said.contains("restored 20 of 20 connections from "), "{said}");
    for (session, server) in &mut sessions {
        session.stream().set_read_timeout(Some(Duration::from_secs(10)))?;
        assert_eq!(session.get("/small")?.server, *server);
    }
    director.stop()?;
    Ok(())
}
