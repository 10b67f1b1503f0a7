//! Connections that end badly: reset by the client, refused by the server.

use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};

use anyhow::{Result, bail};
use lb_stories::client::reset;
use lb_stories::config::Service;
use lb_stories::process::PATIENCE;
use lb_stories::{Config, Method, World, world};

/// A port that the director serves and no server listens on.
const CLOSED: u16 = 4433;

#[test]
fn through_nat() -> Result<()> {
    bad_endings(Method::Nat)
}

#[test]
fn through_tun() -> Result<()> {
    bad_endings(Method::Tun)
}

#[test]
fn through_dr() -> Result<()> {
    bad_endings(Method::Dr)
}

fn bad_endings(method: Method) -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http().service(Service::tcp(method, CLOSED)))?;

    // A connection that works ...
    let mut session = world.client().http(method.at(world::HTTP))?;
    session.get("/small")?;
    let source = local(session.stream())?;
    let known = |status: &lb_stories::status::Status| {
        status.connection_from(source).is_some_and(|connection| connection.state == "ESTABLISHED")
    };
    let (established, status) = director.status_becomes(PATIENCE, known)?;
    assert!(established, "{}", status.text);

    // ... and is thrown away by the client: the director knows at once.
    reset(session.into_stream())?;
    let (closed, status) = director.status_becomes(PATIENCE, |status| {
        status.connection_from(source).is_none_or(|connection| connection.state == "CLOSE")
    })?;
    assert!(closed, "{}", status.text);

    // The servers' refusal reaches the client.
    let refusal = world.client().tcp(method.at(CLOSED)).expect_err("nobody listens there");
    assert_eq!(refusal.kind(), ErrorKind::ConnectionRefused, "{refusal}");

    director.stop()?;
    Ok(())
}

fn local(stream: &TcpStream) -> Result<SocketAddrV4> {
    match stream.local_addr()? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => bail!("{address} is not IPv4"),
    }
}
