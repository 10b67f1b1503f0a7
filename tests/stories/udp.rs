//! UDP echo through every method.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use anyhow::{Context, Result};
use lb_stories::client::exchange;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};

/// Flows, each from a port of its own.
const FLOWS: usize = 20;

/// A port that the director serves and no server listens on.
const CLOSED: u16 = 4433;

#[test]
fn through_nat() -> Result<()> {
    echo(Method::Nat)
}

#[test]
fn through_tun() -> Result<()> {
    echo(Method::Tun)
}

#[test]
fn through_dr() -> Result<()> {
    echo(Method::Dr)
}

/// A server without such a port says so, and the director lets the client know whom that concerns: in NAT it has to
/// translate the packet inside the ICMP message too.
#[test]
fn a_refusal_comes_back() -> Result<()> {
    let world = World::new()?;
    let config = Method::ALL
        .into_iter()
        .fold(Config::new(), |config, method| config.service(Service::udp(method, CLOSED)));
    let director = world.start(&config)?;
    for method in Method::ALL {
        let socket = world.client().udp(method.at(CLOSED))?;
        let refusal = exchange(&socket, b"anybody there?").expect_err("nobody listens there");
        assert_eq!(refusal.kind(), ErrorKind::ConnectionRefused, "{}: {refusal}", method.word());
    }
    director.stop()?;
    Ok(())
}

/// On AF_PACKET ports the kernel puts fragments together before the director sees them. What then fits a frame passes;
/// what does not comes cut off, and is dropped and counted.
#[test]
fn fragments_are_put_together_by_the_kernel() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::new().service(Service::udp(Method::Nat, world::ECHO)))?;
    let target = Method::Nat.at(world::ECHO);
    world.client().namespace().ip(&format!("route add {}/32 dev wan mtu lock 600", target.ip()))?;
    let socket = world.client().udp(target)?;
    exchange(&socket, &[b'x'; 1_200]).context("the one that fits a frame")?;
    let control = Control::of(&director)?;
    let dropped = || {
        socket.send(&[b'x'; 3_000])?;
        Ok(control.ask("show drops")?.contains("bad-ipv4"))
    };
    assert!(eventually(PATIENCE, dropped)?, "{}", control.ask("show drops")?);
    assert!(!control.ask("show drops")?.contains("  fragment"), "{}", control.ask("show drops")?);
    director.stop()?;
    Ok(())
}

fn echo(method: Method) -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::new().service(Service::udp(method, world::ECHO)))?;

    let mut flows_of: BTreeMap<String, usize> = BTreeMap::new();
    // Open to the end: a closed socket's port may be the next one's, and two flows would be one connection.
    let mut sockets = Vec::new();
    for flow in 0..FLOWS {
        let socket = world.client().udp(method.at(world::ECHO))?;
        let mut answered_by = None;
        for message in 0..5 {
            // Long and short: from a few bytes up to what one packet through the tunnel just carries.
            let said = format!("{flow}/{message} ").repeat(1 + message * 70);
            let reply = exchange(&socket, said.as_bytes())
                .with_context(|| format!("flow {flow}, message {message}"))?;
            let reply = String::from_utf8_lossy(&reply).into_owned();
            let (server, heard) = reply.split_once(' ').context("no name in the reply")?;
            assert_eq!(heard, said);
            // A flow stays with its server.
            assert_eq!(answered_by.get_or_insert_with(|| server.to_owned()), server);
        }
        *flows_of.entry(answered_by.context("no message")?).or_default() += 1;
        sockets.push(socket);
    }
    for server in world.servers() {
        let count = flows_of.get(server.name()).copied().unwrap_or(0);
        assert!(count >= FLOWS / 2 - 2, "{flows_of:?}");
    }

    let status = director.status()?;
    let flows = status.connections.iter().filter(|connection| connection.state == "UDP").count();
    assert_eq!(flows, FLOWS, "{}", status.text);
    director.stop()?;
    Ok(())
}
