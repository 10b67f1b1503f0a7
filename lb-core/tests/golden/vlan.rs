//! VLANs: interfaces of one port that frames are told apart for by their tags.

use super::{
    common::{
        frame::*,
        plan::*,
        world::{Sent, Setup, Station, World},
    },
    expect, expect_nothing,
};
use lb_core::{
    decide::Origin,
    explanation::Outcome,
    memory::MemoryPacket,
    service::plan::{Method, Plan},
    wire::{
        ethernet::Tags,
        tcp::{ACK, SYN},
    },
};
use std::net::Ipv4Addr;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const OWN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Servers are in VLAN 7 of the lan port, another network in VLAN 8; the wan port has no VLANs.
fn plan(method: Method, lan: Tags) -> Plan {
    let mut plan = one_server(method);
    plan.interfaces[LAN_SIDE.index()].tags = lan;
    let mut dmz = interface("dmz", LAN, LAN_MAC, "198.18.0.1/24");
    dmz.tags = Tags::vlan(8);
    plan.interfaces.push(dmz);
    plan
}

fn world(method: Method, lan: Tags) -> World {
    let mut world = World::silent(&plan(method, lan), Setup::default());
    world.stations = vec![Station { port: WAN, address: GATEWAY.into(), mac: GATEWAY_MAC }];
    world
}

fn answer() -> Vec<u8> {
    arp_reply((SERVER_MACS[0], SERVERS[0]), (LAN_MAC, OWN))
}

#[test]
fn frames_have_the_tags_of_the_interface_that_they_leave_by() {
    let cases = [
        (Method::Nat, "203.0.113.10:4000 > 198.51.100.11:8080 tcp syn ttl 63"),
        (Method::Dr, "203.0.113.10:4000 > 192.0.2.100:80 tcp syn ttl 63"),
        (
            Method::Tun,
            "198.51.100.1 > 198.51.100.11 ttl 64 [203.0.113.10:4000 > 192.0.2.100:80 tcp syn ttl 63]",
        ),
    ];
    for (method, line) in cases {
        let mut world = world(method, Tags::vlan(7));
        let asked: Vec<String> = world.pass(100).iter().map(Sent::line).collect();
        let question = "lan: vlan 7 arp who has 198.51.100.11? tell 198.51.100.1";
        assert!(asked.iter().any(|line| line == question), "{asked:?}");
        world.receive(LAN, &tagged(&answer(), 7));
        let line = format!("lan: vlan 7 {line}");
        expect(&mut world, WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway(), &line);
        let ack = line.replace("syn", "ack");
        expect(&mut world, WAN, &tcp(CLIENT, SERVICE, ACK).via_gateway(), &ack);
    }
}

#[test]
fn replies_leave_without_the_tags_that_they_came_with() {
    let mut world = world(Method::Nat, Tags::vlan(7));
    world.pass(100);
    world.receive(LAN, &tagged(&answer(), 7));
    world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let reply = tcp("198.51.100.11:8080", CLIENT, SYN | ACK).via_server();
    let line = "wan: 192.0.2.100:80 > 203.0.113.10:4000 tcp syn ack ttl 63";
    expect(&mut world, LAN, &tagged(&reply, 7), line);
}

#[test]
fn a_header_has_up_to_22_bytes() {
    let mut world = world(Method::Dr, Tags::stacked(9, 7));
    world.pass(100);
    let stacked = |frame: &[u8]| [&frame[..12], Tags::stacked(9, 7).as_bytes(), &frame[12..]].concat();
    world.receive(LAN, &stacked(&answer()));
    let sent = world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway()).remove(0);
    let header = [&SERVER_MACS[0].0[..], &LAN_MAC.0, &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 0x08, 0x00]].concat();
    assert_eq!(sent.frame[..22], header);
    assert_eq!(sent.frame.len(), 22 + 40);
}

#[test]
fn what_is_said_in_another_vlan_is_not_heard() {
    let mut world = world(Method::Nat, Tags::vlan(7));
    world.pass(100);
    world.receive(LAN, &tagged(&answer(), 8));
    expect_nothing(&mut world, WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let question = arp_request((SERVER_MACS[0], SERVERS[0]), OWN);
    expect_nothing(&mut world, LAN, &tagged(&question, 8));
    // Who asks in the right one is answered, and gets what waited for its address.
    let lines = [
        "lan: vlan 7 203.0.113.10:4000 > 198.51.100.11:8080 tcp syn ttl 63",
        "lan: vlan 7 arp to 198.51.100.11: 198.51.100.1 is at 02:00:00:00:00:02",
    ];
    assert_eq!(world.lines(LAN, &tagged(&question, 7)), lines);
}

#[test]
fn what_is_told_is_what_is_sent() {
    let mut world = world(Method::Nat, Tags::vlan(7));
    world.pass(100);
    world.receive(LAN, &tagged(&answer(), 7));
    let packet = MemoryPacket::new(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let told = world.trace(0, packet, Origin::Port);
    let sent = world.settle().remove(0);
    assert!(matches!(told.outcome, Outcome::Sent { ref frame, .. } if *frame == sent.frame));
}
