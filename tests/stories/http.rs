//! HTTP through every method: small answers from all servers in turn, and 100 MB without a wrong byte.

use anyhow::Result;
use lb_stories::server::{BIG, BIG_SHA256};
use lb_stories::{Config, Method, World, world};

/// Ethernet frames that 100 MB take at the least, at an MTU of 1500.
const BIG_IN_PACKETS: u64 = BIG / 1448;

#[test]
fn through_nat() -> Result<()> {
    small_and_big(Method::Nat)
}

#[test]
fn through_tun() -> Result<()> {
    small_and_big(Method::Tun)
}

#[test]
fn through_dr() -> Result<()> {
    small_and_big(Method::Dr)
}

fn small_and_big(method: Method) -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http())?;
    let service = method.at(world::HTTP);

    // Forty connections in turn: each server gets half of them, give or take one per worker.
    let answers = world.client().who_answers(service, 40)?;
    for server in world.servers() {
        let count = answers.get(server.name()).copied().unwrap_or(0);
        assert!((18..=22).contains(&count), "{answers:?}");
    }
    let status = director.status()?;
    let line = status.service_at(service).expect("the service is in the status report");
    assert_eq!(line.servers.len(), 2, "{}", status.text);

    assert_eq!(world.client().sha256_of(service, "/big")?, BIG_SHA256);

    let status = director.status()?;
    let received: u64 = status.workers.iter().map(|worker| worker.received).sum();
    if method == Method::Nat {
        // Both directions pass through the director, and only here does it see the 100 MB.
        assert!(received > BIG_IN_PACKETS, "{}", status.text);
    }
    println!("{}: {received} packets received", method.word());
    director.stop()?;
    Ok(())
}
