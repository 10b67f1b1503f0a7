//! Connections that fall silent are forgotten after the time that is configured, not before.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use lb_stories::client::exchange;
use lb_stories::config::Service;
use lb_stories::process::PATIENCE;
use lb_stories::{Config, Method, World, world};

/// The timeout in this story.
const IDLE: Duration = Duration::from_secs(4);

#[test]
fn an_idle_connection_is_forgotten() -> Result<()> {
    let world = World::new()?;
    let service = Service::tcp(Method::Nat, world::HTTP).timeout("established", "4s");
    let director = world.start(&Config::new().service(service))?;

    // It is used for longer than the timeout, with pauses shorter than that: it lives.
    let mut session = world.client().http(Method::Nat.at(world::HTTP))?;
    let SocketAddr::V4(source) = session.stream().local_addr()? else { panic!("the client speaks IPv4") };
    for _ in 0..10 {
        session.get("/small")?;
        thread::sleep(IDLE / 8);
    }
    session.get("/small")?;
    let last_used = Instant::now();
    assert!(director.status()?.connection_from(source).is_some());

    // Then nobody uses it.
    let (forgotten, status) =
        director.status_becomes(PATIENCE, |status| status.connection_from(source).is_none())?;
    assert!(forgotten, "{}", status.text);
    let idle = last_used.elapsed();
    assert!(idle > IDLE - Duration::from_millis(200), "forgotten after {idle:?}");

    // What comes afterwards belongs to no connection, and the client is told so.
    let error = session.get("/small").expect_err("the connection is forgotten");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    director.stop()?;
    Ok(())
}

#[test]
fn a_global_timeout_holds_for_udp() -> Result<()> {
    let world = World::new()?;
    let config = Config::new().timeout("udp", "3s").service(Service::udp(Method::Dr, world::ECHO));
    let director = world.start(&config)?;

    let socket = world.client().udp(Method::Dr.at(world::ECHO))?;
    exchange(&socket, b"hello")?;
    assert_eq!(director.status()?.connections.len(), 1);
    let (forgotten, status) = director.status_becomes(PATIENCE, |status| status.connections.is_empty())?;
    assert!(forgotten, "{}", status.text);
    director.stop()?;
    Ok(())
}
