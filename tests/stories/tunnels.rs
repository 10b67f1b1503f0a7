//! Tunnels of every kind, changed while the director runs: clients and servers with the kernel's own TCP, and a program at
//! the servers that takes packets out of GRE and GUE. The kernel, or the program, verifies what checksums there are.

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::{Config, Method, World, world};
use std::net::SocketAddr;

/// Kinds with their checksums. One of UDP over IPv6 has one by default.
const KINDS: [(&str, &str); 6] =
    [("gre", "off"), ("gre", "on"), ("gue", "default"), ("gue1", "on"), ("gue", "on"), ("ipip", "default")];

#[test]
fn every_kind_carries_every_family_in_its_own() -> Result<()> {
    go_through(
        &Service::tcp(Method::Tun, world::HTTP),
        &Service::tcp(Method::Tun, world::HTTP).over_ipv6(),
        "198.51.100.11:80",
    )
}

#[test]
fn every_kind_carries_every_family_in_the_other() -> Result<()> {
    go_through(
        &Service::tcp(Method::Tun, world::HTTP).with_servers_of_other_family(),
        &Service::tcp(Method::Tun, world::HTTP).over_ipv6().with_servers_of_other_family(),
        "[2001:db8:2::11]:80",
    )
}

/// `server` is the first of the IPv4 service.
fn go_through(v4: &Service, v6: &Service, server: &str) -> Result<()> {
    let world = World::with_ipv6()?;
    let director = world.start(&Config::new().service(v4.clone()).service(v6.clone()))?;
    let control = Control::of(&director)?;
    let services: [(&str, SocketAddr); 2] = [
        ("tcp-tun-80", Method::Tun.at(world::HTTP).into()),
        ("tcp6-tun-80", Method::Tun.at6(world::HTTP).into()),
    ];
    for (kind, checksum) in KINDS {
        for (name, vip) in services {
            control.ask(&format!("set service {name} tunnel {kind} tunnel-checksum {checksum}"))?;
            let named = format!("{name} by {kind}, checksum {checksum}");
            ensure!(world.client().who_answers(vip, 20)?.len() == 2, "{named}");
            // What is larger than the tunnel leaves room for is told, and sent again in smaller pieces.
            ensure!(world.client().upload(vip, 1_000_000)? == 1_000_000, "{named}");
        }
        let shown = control.ask("show services")?;
        ensure!((kind == "ipip") != shown.contains(kind), "{shown}");
    }
    // One server may differ from the others.
    control.ask("set service tcp-tun-80 tunnel gue")?;
    control.ask(&format!("set server tcp-tun-80 {server} tunnel gre tunnel-checksum on"))?;
    ensure!(world.client().who_answers(services[0].1, 20)?.len() == 2, "one by GRE, one by GUE");
    director.stop()?;
    Ok(())
}
