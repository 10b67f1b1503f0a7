//! A server with a real kernel of its own behind the director: User-Mode Linux has the tunnels that this machine's kernel
//! may lack. `make test` tells a short sample, `make test-uml` all.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use lb_stories::client::exchange;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::guest::NAME;
use lb_stories::trunk::DEVICE;
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

/// A kind of tunnel, whether a checksum covers packets, and what docs/methods.md calls it.
const KINDS: [(&str, &str, &str); 6] = [
    ("gre", "off", "`gre`"),
    ("gre", "on", "`gre` with a checksum"),
    ("gue", "off", "`gue`, `gue1`"),
    ("gue", "on", "`gue`, `gue1`"),
    ("gue1", "off", "`gue`, `gue1`"),
    ("gue1", "on", "`gue`, `gue1`"),
];

/// What docs/methods.md has servers run for such a kind, beside the commands of the family's row where it says so.
fn end_of_kind(name: &str, server: bool) -> Result<String> {
    let row = format!("| {name} | {} | ", if server { "IPv6" } else { "IPv4" });
    let cell = METHODS.lines().find_map(|line| line.strip_prefix(&row));
    let cell = cell.with_context(|| format!("docs/methods.md has no row {row}"))?;
    let commands = cell.split('`').nth(1).context("commands")?;
    Ok(commands
        .replace("198.51.100.11", &GUEST.to_string())
        .replace("2001:db8:2::11", &world::server6_of(GUEST).to_string()))
}

/// The interface that commands end with setting up.
fn interface_of(commands: &str) -> Result<&str> {
    commands.split(' ').rev().nth(1).context("ip link set INTERFACE up")
}

fn services(config: Config, method: Method, (client, server): (bool, bool)) -> Config {
    let family = |service: Service| {
        let service = if client { service.over_ipv6() } else { service };
        if client == server { service } else { service.with_servers_of_other_family() }
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
        exchange(&socket, &sent).with_context(|| format!("{size} bytes"))?;
    }
    Ok(())
}

fn through_tunnel(families: (bool, bool)) -> Result<()> {
    let world = World::with_ipv6()?;
    let guest = world.guest()?;
    let commands = end_of_tunnel(families)?;
    // Some distributions have it on.
    guest.run(&format!("echo 1 >/proc/sys/net/ipv4/conf/default/rp_filter\n{commands}"))?;
    let interface = interface_of(&commands)?;
    let director = start(&world, &services(Config::new(), Method::Tun, families))?;
    all_pass(&world, Method::Tun, families.0)?;
    let through = guest.received_by(interface)?;
    ensure!(through > 700, "{through} packets by {interface}");
    director.stop()?;
    Ok(())
}

/// Every kind in turn, while the director and the guest run.
fn through_every_kind(families: (bool, bool)) -> Result<()> {
    let world = World::with_ipv6()?;
    let guest = world.guest()?;
    let plain = end_of_tunnel(families)?;
    guest.run(&format!("echo 1 >/proc/sys/net/ipv4/conf/default/rp_filter\n{plain}"))?;
    let director = start(&world, &services(Config::new(), Method::Tun, families))?;
    let control = Control::of(&director)?;
    let mut done = BTreeSet::new();
    for (kind, checksum, name) in KINDS {
        let commands = end_of_kind(name, families.1)?;
        if done.insert(name) {
            guest.run(&commands)?;
        }
        let interface = interface_of(if kind == "gre" { &commands } else { &plain })?;
        let before = guest.received_by(interface)?;
        let family = if families.0 { "6" } else { "" };
        for service in [format!("tcp{family}-tun-80"), format!("udp{family}-tun-7")] {
            control.ask(&format!("set service {service} tunnel {kind} tunnel-checksum {checksum}"))?;
        }
        all_pass(&world, Method::Tun, families.0).with_context(|| format!("{kind}, checksum {checksum}"))?;
        let through = guest.received_by(interface)? - before;
        ensure!(through > 700, "{kind}, checksum {checksum}: {through} packets by {interface}");
    }
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

#[test]
#[ignore = "make test-uml"]
fn gre_and_gue_with_ipv4_in_ipv4() -> Result<()> {
    through_every_kind((false, false))
}

#[test]
#[ignore = "make test-uml"]
fn gre_and_gue_with_ipv6_in_ipv6() -> Result<()> {
    through_every_kind((true, true))
}

#[test]
#[ignore = "make test-uml"]
fn gre_and_gue_with_ipv4_in_ipv6() -> Result<()> {
    through_every_kind((false, true))
}

#[test]
#[ignore = "make test-uml"]
fn gre_and_gue_with_ipv6_in_ipv4() -> Result<()> {
    through_every_kind((true, false))
}

/// The lan's port becomes a trunk, with the lan in such a VLAN of it.
fn in_vlan(text: &str, vlan: &str) -> Result<String> {
    let (head, lan) = text.rsplit_once("[[ports]]").context("ports")?;
    let (lan, rest) = lan.split_once("[[routes]]").context("routes")?;
    let addresses = lan.lines().find(|line| line.starts_with("addresses")).context("addresses")?;
    Ok(format!(
        "{head}[[ports]]\nname = \"trunk\"\ndevice = \"net_af_packet1,iface={DEVICE},qpairs=2\"\n\n\
         [[interfaces]]\nname = \"lan\"\nport = \"trunk\"\nvlan = {vlan}\n{addresses}\nmtu = 1492\n\n\
         [[routes]]{rest}"
    ))
}

/// The guest is the director's only server of NAT and DR in each family; `edit` has the last word on the configuration.
fn nat_and_dr(world: &World, edit: impl FnOnce(&str) -> Result<String>) -> Result<()> {
    let methods = [Method::Nat, Method::Dr];
    let both =
        methods.into_iter().flat_map(|method| FAMILIES[..2].iter().map(move |families| (method, *families)));
    let config =
        both.clone().fold(Config::new(), |config, (method, families)| services(config, method, families));
    let director = world.start_how(2, &edit(&config.render(&[GUEST]))?, |_| ())?;
    for (method, (client, _)) in both {
        all_pass(world, method, client).with_context(|| format!("{}, IPv6: {client}", method.word()))?;
    }
    director.stop()?;
    Ok(())
}

/// A kernel's own VLAN devices take the tags off, and put them on.
fn in_vlan_of_guest(vlan: &str, commands: &str) -> Result<()> {
    let world = World::with_ipv6()?;
    let device = interface_of(commands)?;
    let _guest = world.guest_on_trunk(DEVICE, (&format!("modprobe 8021q\n{commands}"), device))?;
    nat_and_dr(&world, |text| in_vlan(text, vlan))
}

#[test]
#[ignore = "make test-uml"]
fn in_a_vlan() -> Result<()> {
    in_vlan_of_guest("200", "ip link add link vec0 name lan200 type vlan id 200; ip link set lan200 up")
}

#[test]
#[ignore = "make test-uml"]
fn in_a_vlan_inside_a_providers() -> Result<()> {
    in_vlan_of_guest(
        "[9, 200]",
        "ip link add link vec0 name lan9 mtu 1496 type vlan proto 802.1ad id 9; ip link set lan9 up; \
         ip link add link lan9 name lan200 mtu 1492 type vlan id 200; ip link set lan200 up",
    )
}

#[test]
#[ignore = "make test-uml"]
fn nat_and_dr_of_both_families() -> Result<()> {
    let world = World::with_ipv6()?;
    let _guest = world.guest()?;
    nat_and_dr(&world, |text| Ok(text.to_owned()))
}
