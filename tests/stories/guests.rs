//! A server with a real kernel of its own behind the director: User-Mode Linux has the tunnels that this machine's kernel
//! may lack. `make test` tells a short sample, `make test-uml` all.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::guest::NAME;
use lb_stories::world::{self, GUEST, World};
use lb_stories::{Config, Director, Method};

/// Bytes that clients send, in segments that do not fit a tunnel at first.
const UPLOAD: u64 = 1_000_000;

/// What operators read.
const METHODS: &str = include_str!("../../docs/methods.md");

/// A client's family and the server's.
const FAMILIES: [(bool, bool); 4] = [(false, false), (true, true), (false, true), (true, false)];

/// What docs/methods.md has servers run, to be the end of such a tunnel.
fn end_of_tunnel((client, server): (bool, bool)) -> Result<String> {
    let family = |is_ipv6| if is_ipv6 { "IPv6" } else { "IPv4" };
    let row = format!("| {} | {} | `", family(client), family(server));
    let commands = METHODS.lines().find_map(|line| line.strip_prefix(&row)?.strip_suffix("` |"));
    commands.map(str::to_owned).with_context(|| format!("docs/methods.md has no row {row}"))
}

fn services(config: Config, method: Method, (client, server): (bool, bool)) -> Config {
    let family = |service: Service| {
        let service = if client { service.over_ipv6() } else { service };
        if client == server { service } else { service.with_other_tunnels() }
    };
    config
        .service(family(Service::tcp(method, world::HTTP)))
        .service(family(Service::udp(method, world::ECHO)))
}

fn start(world: &World, config: &Config) -> Result<Director> {
    world.start_with(config, &config.render(&[GUEST]))
}

/// Requests small and large, and datagrams, are all answered by the guest.
fn all_pass(world: &World, method: Method, is_ipv6: bool) -> Result<()> {
    let at = |port| -> SocketAddr { if is_ipv6 { method.at6(port).into() } else { method.at(port).into() } };
    let http = at(world::HTTP);
    let answers = world.client().who_answers(http, 10)?;
    ensure!(answers.get(NAME) == Some(&10), "{http}: {answers:?}");
    ensure!(world.client().upload(http, UPLOAD)? == UPLOAD, "{http}");
    ensure!(world.far_client().ten_megabytes(http)?, "{http}: ten megabytes to a client behind a small link");
    for size in [10, 1_200] {
        let socket = world.client().udp(at(world::ECHO))?;
        let sent = vec![b'x'; size];
        socket.send(&sent)?;
        let mut buffer = [0; 2_048];
        let length = socket.recv(&mut buffer)?;
        ensure!(buffer[..length].ends_with(&sent), "{size} bytes came back as {length}");
    }
    Ok(())
}

fn through_tunnel(families: (bool, bool)) -> Result<()> {
    let world = World::with_ipv6()?;
    let guest = world.guest()?;
    let commands = end_of_tunnel(families)?;
    // Some distributions have it on.
    guest.run(&format!("echo 1 >/proc/sys/net/ipv4/conf/default/rp_filter\n{commands}"))?;
    let interface = commands.split(' ').rev().nth(1).context("ip link set INTERFACE up")?;
    let director = start(&world, &services(Config::new(), Method::Tun, families))?;
    all_pass(&world, Method::Tun, families.0)?;
    let through = guest.received_by(interface)?;
    ensure!(through > 700, "{through} packets by {interface}");
    director.stop()?;
    Ok(())
}

#[test]
fn ipv4_in_ipv4() -> Result<()> {
    through_tunnel((false, false))
}

#[test]
#[ignore = "make test-uml"]
fn ipv6_in_ipv6() -> Result<()> {
    through_tunnel((true, true))
}

#[test]
#[ignore = "make test-uml"]
fn ipv4_in_ipv6() -> Result<()> {
    through_tunnel((false, true))
}

#[test]
#[ignore = "make test-uml"]
fn ipv6_in_ipv4() -> Result<()> {
    through_tunnel((true, false))
}

/// The guest is the director's only server of every method in each family.
#[test]
#[ignore = "make test-uml"]
fn nat_and_dr_of_both_families() -> Result<()> {
    let world = World::with_ipv6()?;
    let _guest = world.guest()?;
    let methods = [Method::Nat, Method::Dr];
    let both =
        methods.into_iter().flat_map(|method| FAMILIES[..2].iter().map(move |families| (method, *families)));
    let config =
        both.clone().fold(Config::new(), |config, (method, families)| services(config, method, families));
    let director = start(&world, &config)?;
    for (method, (client, _)) in both {
        all_pass(&world, method, client)?;
    }
    director.stop()?;
    Ok(())
}
