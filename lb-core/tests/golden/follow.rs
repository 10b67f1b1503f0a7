//! A director that follows the kernel: each VIP is its own while the kernel has it on a host side, at the Ethernet address
//! that the kernel has it at.

use super::{
    common::{
        frame::*,
        frame6::*,
        plan::*,
        world::{Sent, Setup, World},
    },
    expect, expect_nothing,
};
use lb_core::{
    counters::DropReason,
    packet::Packet,
    service::plan::{Held, Mac, Method, Plan, Role},
};
use std::net::{IpAddr, Ipv4Addr};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const ANOTHERS: Mac = Mac([0, 0, 0x5e, 0, 1, 52]);
const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 101);

/// Two services, of which the kernel has the VIPs that are listed.
fn plan(held: &[(IpAddr, Mac)]) -> Plan {
    let other = service(Method::Nat, "192.0.2.101:80", &["198.51.100.12:8080"]);
    let mut plan = one_server(Method::Nat).with(other).role(Role::Follow);
    plan.host_ports = vec![WAN];
    plan.held = held.iter().map(|(address, mac)| (*address, Held { port: WAN, mac: *mac })).collect();
    plan
}

fn at(vip: impl Into<IpAddr>, mac: Mac) -> (IpAddr, Mac) {
    (vip.into(), mac)
}

/// The frame to that station.
fn to(mac: Mac, packet: &Ip) -> Vec<u8> {
    ethernet(mac, GATEWAY_MAC, 0x0800, &packet.bytes())
}

/// Whose frame it is.
fn station(sent: &Sent) -> Mac {
    Mac(*sent.frame[6..].first_chunk().unwrap())
}

/// What is said of the VIPs by ARP, with the stations that the frames come from.
fn about_vips(sent: &[Sent]) -> Vec<String> {
    let told = sent.iter().map(|sent| (station(sent), sent.line()));
    told.filter(|(_, line)| line.contains("arp 192.0.2.10"))
        .map(|(from, line)| format!("{from} {line}"))
        .collect()
}

#[test]
fn a_vip_is_ours_while_the_kernel_has_it() {
    assert_eq!(about_vips(&World::silent(&plan(&[]), Setup::default()).pass(10_000)), [""; 0]);
    let mut world = World::new(&plan(&[]));
    expect_nothing(&mut world, WAN, &arp_request((GATEWAY_MAC, GATEWAY), VIP));
    expect_nothing(&mut world, WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    assert_eq!(world.dropped(DropReason::Standby), 1);

    world.exchange(&plan(&[at(VIP, WAN_MAC)]));
    let line = ["02:00:00:00:00:01 wan: arp 192.0.2.100 is at 02:00:00:00:00:01"];
    assert_eq!(about_vips(&world.tick()), line, "at once");
    assert_eq!(about_vips(&world.pass(1_900)), [""; 0]);
    assert_eq!(about_vips(&world.pass(100)), line, "again after two seconds");
    let line = "wan: arp to 192.0.2.254: 192.0.2.100 is at 02:00:00:00:00:01";
    expect(&mut world, WAN, &arp_request((GATEWAY_MAC, GATEWAY), VIP), line);
    assert_eq!(world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway()).len(), 1);
    expect_nothing(&mut world, WAN, &arp_request((GATEWAY_MAC, GATEWAY), OTHER_VIP));
    expect_nothing(&mut world, WAN, &tcp(CLIENT, "192.0.2.101:80", SYN).via_gateway());

    // The other one comes, this one goes: its connection goes on, and nothing else is answered.
    world.exchange(&plan(&[at(OTHER_VIP, WAN_MAC)]));
    assert_eq!(about_vips(&world.tick()), ["02:00:00:00:00:01 wan: arp 192.0.2.101 is at 02:00:00:00:00:01"]);
    assert_eq!(world.receive(WAN, &tcp(CLIENT, SERVICE, ACK).via_gateway()).len(), 1);
    expect_nothing(&mut world, WAN, &tcp("203.0.113.10:4001", SERVICE, ACK).via_gateway());
    assert_eq!(world.receive(WAN, &tcp(CLIENT, "192.0.2.101:80", SYN).via_gateway()).len(), 1);
}

#[test]
fn servers_are_answered_for_vips_that_are_ours() {
    let mut world = World::new(&plan(&[at(VIP, WAN_MAC)]));
    let stray = |server: &str| tcp(server, "203.0.113.10:4001", ACK).via_server();
    let reset = "lan: 203.0.113.10:4001 > 198.51.100.11:8080 tcp rst ttl 64";
    expect(&mut world, LAN, &stray("198.51.100.11:8080"), reset);
    expect_nothing(&mut world, LAN, &stray("198.51.100.12:8080"));
    assert_eq!(world.dropped(DropReason::Standby), 1);
}

#[test]
fn a_virtual_router_is_where_its_vip_is() {
    let held = plan(&[at(VIP, VIRTUAL_MAC)]);
    let line = ["00:00:5e:00:01:33 wan: arp 192.0.2.100 is at 00:00:5e:00:01:33"];
    assert_eq!(about_vips(&World::silent(&held, Setup::default()).tick()), line);
    let mut world = World::new(&held);
    let line = "wan: arp to 192.0.2.254: 192.0.2.100 is at 00:00:5e:00:01:33";
    let answer = expect(&mut world, WAN, &arp_request((GATEWAY_MAC, GATEWAY), VIP), line);
    assert_eq!(station(&answer), VIRTUAL_MAC, "switches learn where it is");

    // Packets to it and to the port's own address are the director's, those to another router are not.
    let line = |flags: &str| format!("lan: {CLIENT} > 198.51.100.11:8080 tcp {flags} ttl 63");
    expect(&mut world, WAN, &to(VIRTUAL_MAC, &tcp(CLIENT, SERVICE, SYN)), &line("syn"));
    expect(&mut world, WAN, &to(VIRTUAL_MAC, &tcp(CLIENT, SERVICE, ACK)), &line("ack"));
    expect(&mut world, WAN, &to(WAN_MAC, &tcp(CLIENT, SERVICE, ACK)), &line("ack"));
    expect_nothing(&mut world, WAN, &to(ANOTHERS, &tcp(CLIENT, SERVICE, ACK)));
    assert_eq!(world.dropped(DropReason::OtherMac), 1);
    expect_nothing(
        &mut world,
        LAN,
        &ethernet(VIRTUAL_MAC, SERVER_MACS[0], 0x0800, &tcp(CLIENT, SERVICE, ACK).bytes()),
    );
    assert_eq!(world.dropped(DropReason::OtherMac), 2, "nor is what comes by another port");

    // What it says of itself is no dispute, and at another station it is announced anew.
    expect_nothing(&mut world, WAN, &arp_request((VIRTUAL_MAC, VIP), VIP));
    assert_eq!(world.counters(0).address_conflicts.get(), 0);
    world.pass(10_000);
    world.exchange(&plan(&[at(VIP, WAN_MAC)]));
    assert_eq!(about_vips(&world.tick()), ["02:00:00:00:00:01 wan: arp 192.0.2.100 is at 02:00:00:00:00:01"]);
    expect_nothing(&mut world, WAN, &to(VIRTUAL_MAC, &tcp(CLIENT, SERVICE, ACK)));
}

#[test]
fn virtual_routers_of_several_vips_are_told_apart() {
    let mut world = World::new(&plan(&[at(VIP, VIRTUAL_MAC), at(OTHER_VIP, ANOTHERS)]));
    for (mac, service, server) in
        [(VIRTUAL_MAC, SERVICE, "198.51.100.11:8080"), (ANOTHERS, "192.0.2.101:80", "198.51.100.12:8080")]
    {
        for (flags, word) in [(SYN, "syn"), (ACK, "ack"), (ACK, "ack")] {
            let line = format!("lan: {CLIENT} > {server} tcp {word} ttl 63");
            expect(&mut world, WAN, &to(mac, &tcp(CLIENT, service, flags)), &line);
        }
    }
}

#[test]
fn the_kernel_is_not_asked_for_vips() {
    let mut world = World::new(&plan(&[]));
    let kernel = |world: &mut World| {
        world.ios[0].kernel.drain(..).map(|packet| packet.bytes().to_vec()).collect::<Vec<_>>()
    };
    kernel(&mut world);
    expect_nothing(&mut world, WAN, &arp_request((GATEWAY_MAC, GATEWAY), VIP));
    assert_eq!(kernel(&mut world), [[0; 0]; 0], "it may have it a moment before the director knows");
    let own = arp_request((GATEWAY_MAC, GATEWAY), [192, 0, 2, 1].into());
    expect_nothing(&mut world, WAN, &own);
    assert_eq!(kernel(&mut world), [own]);
    world.exchange(&plan(&[at(VIP, VIRTUAL_MAC)]));
    world.receive(WAN, &arp_request((GATEWAY_MAC, GATEWAY), VIP));
    assert_eq!(kernel(&mut world), [[0; 0]; 0]);
    // What is for the kernel's own addresses is, by whichever station it comes.
    let packet = to(VIRTUAL_MAC, &tcp(CLIENT, "192.0.2.1:22", SYN));
    expect_nothing(&mut world, WAN, &packet);
    assert_eq!(kernel(&mut world), [packet]);
}

#[test]
fn virtual_routers_of_ipv6_are_found_by_neighbour_discovery() {
    let virtual6 = Mac([0, 0, 0x5e, 0, 2, 51]);
    let mut plan = one_server6(Method::Nat).role(Role::Follow);
    plan.held = [(VIP6.into(), Held { port: WAN, mac: virtual6 })].into();
    let mut world = World::new(&plan);
    let answer = world.receive(WAN, &solicitation((GATEWAY_MAC, GATEWAY6), VIP6)).remove(0);
    assert_eq!(station(&answer), virtual6);
    assert!(answer.line().contains("is at 00:00:5e:00:02:33"), "{}", answer.line());
    plan.held.clear();
    world.exchange(&plan);
    expect_nothing(&mut world, WAN, &solicitation((GATEWAY_MAC, GATEWAY6), VIP6));
}
