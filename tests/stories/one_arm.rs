//! One arm: clients and servers are behind the same port of the director, in all methods and families. NAT takes servers
//! that send to clients by the director: in a network of their own on the same wire, or with a route to it. SNAT, too.

use std::fmt::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use lb_stories::{Director, World, world};

/// A service: its name, method, address, what its servers' addresses begin with, and what else it says.
type Service = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// Servers have 192.0.2.21 and 192.0.2.22 beside clients on the wire, and 198.51.100.11 and 198.51.100.12.
const SERVICES: [Service; 14] = [
    ("nat", "nat", "192.0.2.100", "198.51.100.1", ""),
    ("nat6", "nat", "2001:db8:1::100", "2001:db8:2::1", ""),
    // Among clients, and with a route to them by the director.
    ("hairpin", "nat", "192.0.2.104", "192.0.2.2", ""),
    ("hairpin6", "nat", "2001:db8:1::104", "2001:db8:1::2", ""),
    ("fullnat", "fullnat", "192.0.2.103", "192.0.2.2", "local_addresses = [\"192.0.2.200\"]"),
    ("fullnat6", "fullnat", "2001:db8:1::103", "2001:db8:1::2", "local_addresses = [\"2001:db8:1::200\"]"),
    ("dr", "dr", "192.0.2.102", "192.0.2.2", ""),
    ("dr6", "dr", "2001:db8:1::102", "2001:db8:1::2", ""),
    ("l3dsr", "l3dsr", "192.0.2.105", "192.0.2.2", "dscp = 11"),
    ("l3dsr6", "l3dsr", "2001:db8:1::105", "2001:db8:1::2", "dscp = 11"),
    ("tun", "tun", "192.0.2.101", "192.0.2.2", ""),
    ("tun6", "tun", "2001:db8:1::101", "2001:db8:1::2", ""),
    // Tunnels of the other family, on another port of the same addresses.
    ("tun46", "tun", "192.0.2.101", "2001:db8:1::2", ""),
    ("tun64", "tun", "2001:db8:1::101", "192.0.2.2", ""),
];

fn port(service: &Service) -> u16 {
    if matches!(service.0, "tun46" | "tun64") { world::HTTP_BEHIND_NAT } else { world::HTTP }
}

fn at(service: &Service) -> SocketAddr {
    SocketAddr::new(service.2.parse().expect("an address"), port(service))
}

fn configuration() -> String {
    let mut text = format!(
        "[workers]\nconnections = 65536\nidle = \"adaptive\"\nverify_checksums = true\n\n\
         [tunnel]\nlocal = \"{}\"\n\n\
         [[ports]]\nname = \"wan\"\ndevice = \"net_af_packet0,iface=lbwan,qpairs=2\"\n\
         addresses = [\"{}/24\", \"{}/24\", \"{}/64\", \"{}/64\"]\nmtu = 1500\n\n\
         [[routes]]\nto = \"default\"\nvia = \"{}\"\n\n[[routes]]\nto = \"::/0\"\nvia = \"{}\"\n\n",
        world::DIRECTOR_WAN,
        world::DIRECTOR_WAN,
        world::DIRECTOR_LAN,
        world::DIRECTOR_WAN6,
        world::DIRECTOR_LAN6,
        world::GATEWAY,
        world::GATEWAY6,
    );
    for service in &SERVICES {
        let (name, method, vip, servers, more) = service;
        let server_port = if method.ends_with("nat") { world::HTTP_BEHIND_NAT } else { port(service) };
        writeln!(
            text,
            "[[services]]\nname = \"{name}\"\nvip = \"{vip}\"\nport = {}\nprotocol = \"tcp\"\n\
             method = \"{method}\"\nscheduler = \"rr\"\n{more}",
            port(service)
        )
        .expect("writing to a string does not fail");
        for number in 1..=2 {
            writeln!(
                text,
                "  [[services.servers]]\n  address = \"{servers}{number}\"\n  port = {server_port}"
            )
            .expect("writing to a string does not fail");
        }
    }
    text.push_str(
        "[[snat]]\nname = \"outbound\"\nsources = [\"198.51.100.0/24\", \"2001:db8:2::/64\"]\n\
         addresses = [\"192.0.2.50\", \"2001:db8:1::50\"]\ninterface = \"wan\"\n",
    );
    text
}

/// Everybody is on one wire.
fn start() -> Result<(World, Director)> {
    let world = World::with_ipv6()?;
    for (number, server) in (1..).zip(world.servers()) {
        world.move_to_wan(number)?;
        // What the server sends from its address among clients goes by the director, too, if it is HTTP.
        let server = server.namespace();
        for (family, director) in
            [("-4", world::DIRECTOR_WAN.to_string()), ("-6", world::DIRECTOR_WAN6.to_string())]
        {
            let own =
                if family == "-4" { format!("192.0.2.2{number}") } else { format!("2001:db8:1::2{number}") };
            for client in [world::CLIENT.to_string(), world::CLIENT6.to_string()] {
                if client.contains(':') == (family == "-6") {
                    let rule = [family, "rule", "add", "from", &own, "to", &client, "table", "20"];
                    server.run("ip", &rule)?;
                }
            }
            server.run(
                "ip",
                &[family, "route", "add", "default", "via", &director, "dev", "wan", "table", "20"],
            )?;
        }
    }
    let text = configuration();
    let director = world.start_how(2, &text, |_| ())?;
    Ok((world, director))
}

#[test]
fn every_method_and_family_passes_by_one_port() -> Result<()> {
    let (world, director) = start()?;
    for service in &SERVICES {
        let told = || format!("{service:?}");
        let answers = world.client().who_answers(at(service), 20).with_context(told)?;
        ensure!(answers.len() == 2 && answers.values().all(|count| *count >= 8), "{service:?}: {answers:?}");
        ensure!(world.client().ten_megabytes(at(service)).with_context(told)?, "{service:?}");
        ensure!(
            world.client().upload(at(service), 1_000_000).with_context(told)? == 1_000_000,
            "{service:?}"
        );
    }
    director.stop()?;
    Ok(())
}

/// What servers send by themselves comes by the port that it leaves by.
#[test]
fn servers_ask_by_one_port() -> Result<()> {
    let (world, director) = start()?;
    let _outside = world.outside()?;
    for server in world.servers() {
        for (own, outside, seen_as) in [
            (server.lan().to_string(), SocketAddr::new(world::FAR_CLIENT.into(), world::HTTP), "192.0.2.50 "),
            (
                world::server6_of(server.lan()).to_string(),
                SocketAddr::new(world::FAR_CLIENT6.into(), world::HTTP),
                "2001:db8:1::50 ",
            ),
        ] {
            let curl = |what: &str, more: &[&str]| {
                let url = format!("http://{outside}/{what}");
                let usual = ["-sS", "--fail", "--noproxy", "*", "--max-time", "90", "--interface", &own];
                server.namespace().run("curl", &[&usual[..], more, &[&url]].concat())
            };
            let from = curl("from", &[]).with_context(|| own.clone())?;
            ensure!(from.starts_with(seen_as), "{own}: {from}");
            let got = curl("big", &["--range", "0-9999999", "-o", "/dev/null", "-w", "%{size_download}"])?;
            ensure!(got == "10000000", "{own}: {got}");
            let pinged = server.namespace().run(
                "ping",
                &["-n", "-c", "3", "-i", "0.2", "-W", "5", "-I", &own, &outside.ip().to_string()],
            )?;
            ensure!(pinged.contains("3 received"), "{own}: {pinged}");
        }
    }
    director.stop()?;
    Ok(())
}
