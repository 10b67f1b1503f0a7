//! VLANs: interfaces of one port that frames are told apart for by their tags.

use super::{
    common::{
        frame::*,
        frame6::*,
        plan::*,
        world::{Sent, Setup, Station, World},
    },
    expect, expect_nothing,
};
use lb_core::{
    counters::DropReason,
    decide::Origin,
    explanation::Outcome,
    ids::InterfaceId,
    memory::MemoryPacket,
    service::{
        check::check,
        plan::{Method, Plan, RoutePlan},
    },
    wire::{
        ethernet::Tags,
        tcp::{ACK, SYN},
    },
};
use std::net::{IpAddr, Ipv4Addr};

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
fn a_vlan_that_no_interface_is_in_is_dropped_and_counted() {
    let mut world = world(Method::Nat, Tags::vlan(7));
    let segment = tcp(CLIENT, SERVICE, SYN).via_gateway();
    for frame in [tagged(&segment, 7), tagged(&segment, 9), tagged(&tagged(&segment, 7), 8)] {
        expect_nothing(&mut world, WAN, &frame);
    }
    expect_nothing(&mut world, LAN, &tagged(&arp_request((SERVER_MACS[0], SERVERS[0]), OWN), 9));
    assert_eq!(world.dropped(DropReason::UnknownVlan), 4);
}

/// Servers in VLAN 7 and clients in VLAN 5 of one port, each interface with an Ethernet address of its own.
fn one_arm(method: Method) -> Plan {
    let mut plan = one_server(method);
    plan.interfaces[LAN_SIDE.index()].tags = Tags::vlan(7);
    let wan = &mut plan.interfaces[WAN_SIDE.index()];
    (wan.tags, wan.port) = (Tags::stacked(3, 5), LAN);
    plan
}

fn with_tags(frame: &[u8], tags: Tags) -> Vec<u8> {
    [&frame[..12], tags.as_bytes(), &frame[12..]].concat()
}

#[test]
fn interfaces_of_one_port_have_their_own_ethernet_addresses_and_counters() {
    let mut world = World::silent(&one_arm(Method::Nat), Setup::default());
    world.pass(100);
    let clients = Tags::stacked(3, 5);
    world.receive(LAN, &tagged(&answer(), 7));
    world.receive(
        LAN,
        &with_tags(&arp_reply((GATEWAY_MAC, GATEWAY), (WAN_MAC, [192, 0, 2, 1].into())), clients),
    );
    let counted = |world: &World, interface| {
        let counters = world.workers[0].counters();
        let of = counters.vlan(interface);
        (of.received.get(), of.sent.get(), of.received_bytes.get())
    };
    let before = [WAN_SIDE, LAN_SIDE].map(|interface| counted(&world, interface));
    let syn = with_tags(&tcp(CLIENT, SERVICE, SYN).via_gateway(), clients);
    expect(&mut world, LAN, &syn, "lan: vlan 7 203.0.113.10:4000 > 198.51.100.11:8080 tcp syn ttl 63");
    let reply = tcp("198.51.100.11:8080", CLIENT, SYN | ACK).via_server();
    let sent = world.receive(LAN, &tagged(&reply, 7)).remove(0);
    assert_eq!(sent.frame[..22], with_tags(&[&GATEWAY_MAC.0[..], &WAN_MAC.0, &[8, 0]].concat(), clients));
    // Not with the other's Ethernet address.
    let mut wrong = syn.clone();
    wrong[..6].copy_from_slice(&LAN_MAC.0);
    expect_nothing(&mut world, LAN, &wrong);
    assert_eq!(world.dropped(DropReason::OtherMac), 1);
    let after = [WAN_SIDE, LAN_SIDE].map(|interface| counted(&world, interface));
    let (clients_side, servers_side) = ((before[0], after[0]), (before[1], after[1]));
    assert_eq!((clients_side.1.0 - clients_side.0.0, clients_side.1.1 - clients_side.0.1), (2, 1));
    assert_eq!((servers_side.1.0 - servers_side.0.0, servers_side.1.1 - servers_side.0.1), (1, 1));
    assert_eq!(clients_side.1.2 - clients_side.0.2, 2 * syn.len() as u64);
}

/// A port that takes the outer tag off, for its driver to put it back, has it come as one of 802.1Q.
#[test]
fn answers_have_the_tags_of_their_interface_whatever_those_of_the_question_were() {
    let mut world = World::silent(&one_arm(Method::Nat), Setup::default());
    world.pass(100);
    let question = with_tags(&arp_request((GATEWAY_MAC, GATEWAY), VIP), Tags::stacked(3, 5));
    let segment = tcp(CLIENT, "192.0.2.100:81", SYN).via_gateway();
    for frame in [question, with_tags(&segment, Tags::stacked(3, 5))] {
        let mut other = frame.clone();
        (other[12], other[13], other[14]) = (0x81, 0x00, 0xe0);
        for (frame, priority) in [(frame, 0), (other, 0xe0)] {
            let sent = world.receive(LAN, &frame).remove(0);
            assert_eq!(sent.frame[12..20], [0x88, 0xa8, priority, 3, 0x81, 0, 0, 5]);
        }
    }
}

#[test]
fn a_router_by_its_link_local_address_is_behind_the_interface_that_its_route_names() {
    let router = "fe80::fe".parse().unwrap();
    let mut plan = one_server6(Method::Nat);
    plan.interfaces[WAN_SIDE.index()].tags = Tags::vlan(5);
    plan.routes.retain(|route| route.via.is_ipv4());
    plan.routes.push(RoutePlan {
        interface: Some(WAN_SIDE),
        ..RoutePlan::new("::/0".parse().unwrap(), IpAddr::V6(router))
    });
    assert_eq!(check(&plan, []), Ok(()));
    let mut world = World::silent(&plan, Setup::default());
    world.stations = vec![Station { port: LAN, address: SERVERS6[0].into(), mac: SERVER_MACS[0] }];
    let asked: Vec<String> = world.pass(100).iter().map(Sent::line).collect();
    let question = "wan: vlan 5 nd who has fe80::fe? tell 2001:db8:1::1";
    assert!(asked.iter().any(|line| line == question), "{asked:?}");
    let own = "2001:db8:1::1".parse().unwrap();
    world.receive(WAN, &tagged(&advertisement((GATEWAY_MAC, router), (WAN_MAC, own)), 5));
    let client = "[2001:db8:a::10]:4000";
    let syn = tagged(&tcp6(client, "[2001:db8:1::100]:80", SYN).via_gateway(), 5);
    assert_eq!(world.receive(WAN, &syn).len(), 1);
    let reply = tcp6("[2001:db8:2::11]:8080", client, SYN | ACK).via_server();
    let sent = world.receive(LAN, &reply).remove(0);
    assert_eq!(sent.line(), format!("wan: vlan 5 [2001:db8:1::100]:80 > {client} tcp syn ack ttl 63"));
    assert_eq!(sent.frame[..6], GATEWAY_MAC.0);
}

#[test]
fn routers_are_checked_with_their_interfaces() {
    let plan = network6();
    let said = |via: &str, interface: Option<InterfaceId>| {
        let mut plan = plan.clone();
        let (to, via) = ("203.0.113.0/24", via.parse().unwrap());
        let to = if matches!(via, IpAddr::V4(_)) { to } else { "2001:db8:77::/48" };
        plan.routes.push(RoutePlan { interface, ..RoutePlan::new(to.parse().unwrap(), via) });
        check(&plan, []).map_or_else(|error| error.to_string(), |()| "sound".to_owned())
    };
    assert_eq!(said("fe80::9", Some(LAN_SIDE)), "sound");
    assert_eq!(
        said("fe80::9", None),
        "router fe80::9 has the address of one link: name the interface that it is behind"
    );
    assert_eq!(said("10.9.9.9", Some(LAN_SIDE)), "sound", "on the link, whatever its network");
    assert_eq!(
        said("192.0.2.9", Some(LAN_SIDE)),
        "router 192.0.2.9 is on the network of port \"wan\", not behind port \"lan\""
    );
    let mut plan = plan.clone();
    plan.interfaces[LAN_SIDE.index()].addresses.pop();
    plan.interfaces[LAN_SIDE.index()].tags = Tags::vlan(7);
    plan.routes.push(RoutePlan {
        interface: Some(LAN_SIDE),
        ..RoutePlan::new("2001:db8:77::/48".parse().unwrap(), "fe80::9".parse().unwrap())
    });
    assert_eq!(
        check(&plan, []).unwrap_err().to_string(),
        "interface \"lan\" has no IPv6 address to ask router fe80::9 from: add one to its `addresses`"
    );
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
