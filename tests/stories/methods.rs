//! Every method in every family, in one table: requests in turn, ten megabytes down and up, and datagrams, with kernels'
//! TCP on both ends; then the same over narrow links, which senders have to hear of. `make test` tells most of it,
//! `make test-methods` all.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use lb_stories::client::{Client, exchange};
use lb_stories::config::Service;
use lb_stories::world::{self, BEYOND, FAR_CLIENT, FAR_CLIENT6, LAN_ROUTER, LAN_ROUTER6, World};
use lb_stories::{Config, Method};

/// What is sent up.
const UPLOAD: u64 = 10_000_000;

/// A method with the families of clients and servers.
#[derive(Clone, Copy, Debug)]
struct Way {
    method: Method,
    is_ipv6: bool,
    to_ipv6: bool,
}

/// All that one director can have at once: tunnels of one kind for each VIP.
fn ways() -> Vec<Way> {
    let both = |method| [false, true].map(|family| Way { method, is_ipv6: family, to_ipv6: family });
    Method::EVERY.into_iter().flat_map(both).collect()
}

/// Servers of the other family than their clients: behind tunnels, or translated.
fn mixed_ways() -> Vec<Way> {
    let both = |method| [false, true].map(|is_ipv6| Way { method, is_ipv6, to_ipv6: !is_ipv6 });
    [Method::Tun, Method::FullNat].into_iter().flat_map(both).collect()
}

impl Way {
    fn at(self, port: u16) -> SocketAddr {
        if self.is_ipv6 { self.method.at6(port).into() } else { self.method.at(port).into() }
    }

    fn service(self, service: Service) -> Service {
        let service = if self.is_ipv6 { service.over_ipv6() } else { service };
        if self.is_ipv6 == self.to_ipv6 { service } else { service.with_servers_of_other_family() }
    }

    /// Ten megabytes arrive in both directions.
    fn carries_megabytes(self, client: &Client) -> Result<()> {
        let http = self.at(world::HTTP);
        ensure!(client.ten_megabytes(http)?, "what arrives is not what was sent");
        ensure!(client.upload(http, UPLOAD)? == UPLOAD, "the server has not got all");
        Ok(())
    }

    /// Each datagram has an answer, by all servers.
    fn carries_datagrams(self, client: &Client, servers: usize) -> Result<()> {
        let mut names = BTreeSet::new();
        let mut sockets = Vec::new();
        for flow in 0..20 {
            let socket = client.udp(self.at(world::ECHO))?;
            let sent = format!("flow {flow}");
            let answer = exchange(&socket, sent.as_bytes())?;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            names.insert(answer.split(' ').next().unwrap_or_default().to_owned());
            sockets.push(socket);
        }
        ensure!(names.len() == servers, "{names:?}");
        Ok(())
    }
}

fn config(ways: &[Way]) -> Config {
    ways.iter().fold(Config::new(), |config, way| {
        config
            .service(way.service(Service::tcp(way.method, world::HTTP)))
            .service(way.service(Service::udp(way.method, world::ECHO)))
    })
}

/// Runs a director for ways that it can have at once, then for the others; `story` is told for each.
fn each_way(
    world: &World,
    servers: &[Ipv4Addr],
    fits: impl Fn(Way) -> bool,
    change: impl Fn(String) -> String,
    mut story: impl FnMut(Way) -> Result<()>,
) -> Result<()> {
    for ways in [ways(), mixed_ways()] {
        let ways: Vec<_> = ways.into_iter().filter(|way| fits(*way)).collect();
        let config = config(&ways);
        let director = world.start_with(&config, &change(config.render(servers)))?;
        for way in ways {
            story(way).with_context(|| format!("{way:?}"))?;
        }
        director.stop()?;
    }
    Ok(())
}

#[test]
fn each_serves_from_all_servers_in_turn() -> Result<()> {
    let world = World::with_ipv6()?;
    each_way(
        &world,
        &world.server_addresses(),
        |_| true,
        |text| text,
        |way| {
            let answers = world.client().who_answers(way.at(world::HTTP), 20)?;
            ensure!(answers.len() == 2 && answers.values().all(|count| *count >= 8), "{answers:?}");
            way.carries_megabytes(world.client())?;
            way.carries_datagrams(world.client(), 2)
        },
    )
}

/// The client's own link is the narrow one, for what comes to it. Below 552 bytes Linux fragments instead of sending less.
#[test]
fn a_narrow_link_before_the_client() -> Result<()> {
    let world = World::with_ipv6()?;
    let mut mtu = [(1_280, 1_280), (800, 1_400), (400, 1_300)].into_iter().cycle();
    each_way(
        &world,
        &world.server_addresses(),
        |_| true,
        |text| text,
        |way| {
            let (mtu, mtu6) = mtu.next().context("endless")?;
            world.router().ip(&format!(
                "route replace {FAR_CLIENT}/32 dev far mtu lock {mtu}\n\
             route replace {FAR_CLIENT6}/128 dev far mtu lock {mtu6}"
            ))?;
            way.carries_megabytes(world.far_client())
        },
    )
}

/// The servers' network carries less than the clients', and everybody on it knows.
#[test]
#[ignore = "make test-methods"]
fn a_narrow_port_to_the_servers() -> Result<()> {
    let world = World::with_ipv6()?;
    for server in world.servers() {
        server.namespace().ip("link set lan mtu 1400")?;
    }
    let narrow = |text: String| {
        let (wan, lan) = text.split_once("name = \"lan\"").expect("the second port");
        format!("{wan}name = \"lan\"{}", lan.replacen("mtu = 1500", "mtu = 1400", 1))
    };
    each_way(&world, &world.server_addresses(), |_| true, narrow, |way| way.carries_megabytes(world.client()))
}

/// A router on the way to the server has a narrow link, whatever the method does to the packet that it then quotes; the
/// tunnel's packets are among them. Servers of DR are on attached networks, so there is no router.
fn a_narrow_link_before_the_server(mtu: u16, mtu6: u16) -> Result<()> {
    let world = World::with_ipv6()?;
    let beyond = world.beyond()?;
    beyond.narrow(mtu, mtu6)?;
    let routes = [("198.18.0.0/24", LAN_ROUTER.to_string()), ("2001:db8:3::/64", LAN_ROUTER6.to_string())]
        .map(|(to, via)| format!("[[routes]]\nto = \"{to}\"\nvia = \"{via}\"\n\n"))
        .concat();
    each_way(
        &world,
        &[BEYOND],
        |way| way.method != Method::Dr,
        |text| text + &routes,
        |way| way.carries_megabytes(world.client()),
    )
}

/// Too small for IPv6 in a tunnel of IPv4.
#[test]
fn a_link_of_a_thousand_bytes_before_the_server() -> Result<()> {
    a_narrow_link_before_the_server(1_000, 1_320)
}

/// Too small for any packet of IPv4 that may not be fragmented.
#[test]
#[ignore = "make test-methods"]
fn a_link_of_four_hundred_bytes_before_the_server() -> Result<()> {
    a_narrow_link_before_the_server(400, 1_400)
}
