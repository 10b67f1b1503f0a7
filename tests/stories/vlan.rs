//! VLANs: clients and servers on two VLANs of one port of the director, in both families, with every method; a service
//! provider's VLAN; frames of other VLANs; and what can be looked at and changed while it runs.

use anyhow::{Result, ensure};
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::server::BIG_SHA256;
use lb_stories::trunk::{Trunk, VLANS, Vlan, on_trunk};
use lb_stories::{Config, Method, World, world};

/// Clients in VLAN 100 inside a service provider's VLAN 9.
const STACKED: &[Vlan] = &[
    Vlan { bridge: "wan", tags: &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 100] },
    Vlan { bridge: "lan", tags: &[0x81, 0, 0, 200] },
];

#[test]
fn clients_and_servers_are_on_two_vlans_of_one_port() -> Result<()> {
    let world = World::with_ipv6()?;
    let trunk = Trunk::new(&world, VLANS)?;
    let text =
        on_trunk(&Config::http_of_both_families().render(&world.server_addresses()), ["100", "200"], 1500);
    let director = world.start_how(2, &text, |_| ())?;
    let control = Control::of(&director)?;
    for method in Method::USUAL {
        ensure!(world.client().who_answers(method.at(world::HTTP), 8)?.len() == 2, "{}", method.word());
        ensure!(world.client().who_answers(method.at6(world::HTTP), 8)?.len() == 2, "{}", method.word());
        world.client().ping(method.vip())?;
        world.client().ping(*method.at6(0).ip())?;
        ensure!(world.client().sha256_of(method.at(world::HTTP), "/big")? == BIG_SHA256, "{}", method.word());
    }
    world.client().ping(world::DIRECTOR_WAN)?;
    let client = world.far_client();
    ensure!(client.sha256_of(Method::Nat.at(world::HTTP), "/big")? == BIG_SHA256, "behind a router");

    // Each is shown, counted and explained by its name.
    let shown = control.ask("show interfaces")?;
    for line in [
        "trunk on port trunk: untagged, up",
        "wan on port trunk: VLAN 100, up",
        "lan on port trunk: VLAN 200, up",
    ] {
        ensure!(shown.contains(line), "{shown}");
    }
    ensure!(shown.contains("MAC 02:00:00:00:02:00, its own, MTU 1500"), "{shown}");
    ensure!(shown.contains("addresses 198.51.100.1/24, 2001:db8:2::1/64"), "{shown}");
    let counted = shown.lines().filter(|line| line.contains("bytes") && !line.contains("received 0"));
    ensure!(counted.count() == 2, "{shown}");
    let told = control.ask("explain tcp 192.0.2.10:999 192.0.2.100:80 in wan")?;
    ensure!(told.contains("arrives on wan (VLAN 100 on trunk)"), "{told}");
    ensure!(told.contains("sent on lan (VLAN 200 on trunk): 02:00:00:00:02:00 >"), "{told}");
    let told = control.ask("explain tcp 198.51.100.11:8080 192.0.2.10:999")?;
    ensure!(told.contains("arrives on lan (VLAN 200 on trunk)"), "{told}");
    let neighbours = control.ask("show neighbours")?;
    ensure!(
        neighbours.contains("198.51.100.11 on lan at ") && neighbours.contains(" on wan at "),
        "{neighbours}"
    );
    ensure!(
        control.ask("show port info trunk")?.contains("Promiscuous mode: enabled"),
        "it has no list of addresses"
    );

    // What is of another VLAN is dropped, and what is said there is not believed.
    let director_mac = [2, 0, 0, 0, 2, 0];
    let mut frame =
        [&director_mac[..], &[2, 0, 0, 0, 9, 9], &[0x81, 0, 0, 77, 0x08, 0x00], &[0; 40]].concat();
    trunk.send(&frame)?;
    frame[15] = 200;
    let dropped = || Ok(control.ask("show drops")?.contains("unknown-vlan"));
    ensure!(eventually(PATIENCE, dropped)?, "{}", control.ask("show drops")?);
    ensure!(trunk.strays().is_empty(), "every frame of the director has its tag: {:02x?}", trunk.strays());
    director.stop()?;
    Ok(())
}

#[test]
fn a_service_providers_vlan_has_customers_inside() -> Result<()> {
    let world = World::with_ipv6()?;
    let trunk = Trunk::new(&world, STACKED)?;
    let text = on_trunk(
        &Config::http_of_both_families().render(&world.server_addresses()),
        ["[9, 100]", "200"],
        1492,
    );
    let director = world.start_how(2, &text, |_| ())?;
    for method in Method::USUAL {
        ensure!(world.client().who_answers(method.at(world::HTTP), 8)?.len() == 2, "{}", method.word());
        ensure!(world.client().who_answers(method.at6(world::HTTP), 8)?.len() == 2, "{}", method.word());
    }
    for method in [Method::Nat, Method::FullNat] {
        let big = world.client().sha256_of(method.at(world::HTTP), "/big")?;
        ensure!(big == BIG_SHA256, "{}: and servers are told what fits", method.word());
    }
    let control = Control::of(&director)?;
    let shown = control.ask("show interfaces")?;
    ensure!(shown.contains("wan on port trunk: VLAN 100 in 9, up"), "{shown}");
    let told = control.ask("explain tcp 192.0.2.10:999 192.0.2.102:80 in wan")?;
    ensure!(told.contains("arrives on wan (VLAN 100 in 9 on trunk)"), "{told}");
    ensure!(told.contains("sent on lan (VLAN 200 on trunk)"), "{told}");
    let told = control.ask("explain tcp [2001:db8:1::10]:999 [2001:db8:1::103]:80 in wan")?;
    ensure!(told.contains("arrives on wan (VLAN 100 in 9 on trunk)"), "{told}");
    ensure!(trunk.strays().is_empty(), "{:02x?}", trunk.strays());
    director.stop()?;
    Ok(())
}

/// Routes with an interface come and go by commands and with the file; what takes a restart says so.
#[test]
fn addresses_and_routes_of_interfaces_change_at_run_time() -> Result<()> {
    let world = World::with_ipv6()?;
    let _trunk = Trunk::new(&world, VLANS)?;
    let config = Config::http_of_both_families();
    let text = on_trunk(&config.render(&world.server_addresses()), ["100", "200"], 1500);
    let director = world.start_how(2, &text, |_| ())?;
    let control = Control::of(&director)?;
    let service = Method::Nat.at6(world::HTTP);
    ensure!(world.far_client().who_answers(service, 4)?.len() == 2);

    // The router of IPv6 by the address of its link.
    let link_local =
        world.router().run("ip", &["-6", "-o", "addr", "show", "dev", "wan", "scope", "link"])?;
    let router = link_local.split_whitespace().find(|word| word.starts_with("fe80:")).unwrap_or_default();
    let router = router.split('/').next().unwrap_or_default().to_owned();
    let add = format!("add route ::/0 via {router}");
    control.ask("delete route ::/0")?;
    let refused = control.refused(&add)?.1;
    ensure!(refused.contains("name the interface that it is behind"), "{refused}");
    let refused = control.refused(&format!("{add} interface wam"))?.1;
    ensure!(refused.contains("did you mean \"wan\"?"), "{refused}");
    control.ask(&format!("{add} interface wan"))?;
    ensure!(control.ask("show routes")?.contains(&format!("::/0 via {router} on wan")));
    ensure!(world.far_client().who_answers(service, 4)?.len() == 2, "by its link-local address");
    control.ask("save")?;
    let saved = director.configuration()?;
    ensure!(
        saved.contains(&format!("via = \"{router}\"")) && saved.contains("interface = \"wan\""),
        "{saved}"
    );

    let with = saved.replace("\"198.51.100.1/24\"", "\"198.51.100.1/24\", \"10.77.0.1/24\"");
    director.reload(&with)?;
    let listed = || Ok(control.ask("show interfaces")?.contains("10.77.0.1/24"));
    ensure!(eventually(PATIENCE, listed)?, "{}", control.ask("show interfaces")?);
    for (from, to, line) in [
        ("vlan = 200", "vlan = 201", "interface lan: vlan 200 -> 201"),
        ("mac = \"02:00:00:00:02:00\"\n", "", "interface lan: mac 02:00:00:00:02:00 -> the port's"),
        ("mtu = 1500", "mtu = 1400", "interface wan: mtu 1500 -> 1400"),
        (
            "[[routes]]",
            "[[interfaces]]\nname = \"dmz\"\nport = \"trunk\"\nvlan = 7\naddresses = [\"10.7.0.1/24\"]\n[[routes]]",
            "+ interface dmz",
        ),
    ] {
        director.write_configuration(&with.replacen(from, to, 1))?;
        let refused = control.refused("reload")?.1;
        ensure!(refused.contains("require a restart") && refused.contains(line), "{refused}");
    }
    ensure!(world.far_client().who_answers(service, 4)?.len() == 2, "nothing has changed");
    director.stop()?;
    Ok(())
}
