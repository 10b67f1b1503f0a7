//! Neighbour discovery: what the director says of itself, what it asks, and what it believes.

use super::{
    common::{
        frame::*,
        frame6::*,
        plan::*,
        read,
        world::{Sent, Setup, World},
    },
    dump, expect, expect_nothing,
};
use lb_core::{
    counters::DropReason,
    packet::Notice,
    service::plan::{Mac, Method, Plan},
};
use std::net::Ipv6Addr;

const CLIENT: &str = "[2001:db8:a::10]:4000";
const SERVICE: &str = "[2001:db8:1::100]:80";
const STRANGER: Mac = Mac([2, 0, 0, 0, 9, 9]);
const STRANGER_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9);

fn world() -> World {
    World::new(&one_server6(Method::Nat))
}

fn silent() -> World {
    World::silent(&one_server6(Method::Nat), Setup::default())
}

fn own(address: &str) -> Ipv6Addr {
    address.parse().unwrap()
}

/// Lines about IPv6 alone.
fn lines(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::line).filter(|line| line.contains("nd ")).collect()
}

#[test]
fn who_asks_for_the_vip_is_told() {
    let sent = world().receive(WAN, &solicitation((GATEWAY_MAC, GATEWAY6), VIP6)).remove(0);
    let expected = [
        "0200000001fe02000000000186dd",
        // 32 bytes of ICMPv6, hop limit 255, from the VIP...
        "6000000000203aff20010db80001000000000000",
        // ... to the gateway.
        "0000010020010db80001000000000000000000fe",
        // An advertisement: asked for, and to be believed. Its target is the VIP...
        "880087766000000020010db80001000000000000",
        // ... at the wan port's address.
        "000001000201020000000001",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn an_address_is_answered_for_on_its_own_port_only() {
    let mut world = world();
    let wan = |target| solicitation((STRANGER, STRANGER_ADDRESS), target);
    let lan = |target| solicitation((STRANGER, own("2001:db8:2::9")), target);
    let line = "wan: nd to 2001:db8:1::9: 2001:db8:1::1 is at 02:00:00:00:00:01";
    expect(&mut world, WAN, &wan(own("2001:db8:1::1")), line);
    let line = "lan: nd to 2001:db8:2::9: 2001:db8:2::1 is at 02:00:00:00:00:02";
    expect(&mut world, LAN, &lan(own("2001:db8:2::1")), line);
    expect_nothing(&mut world, WAN, &wan(own("2001:db8:2::1")));
    expect_nothing(&mut world, LAN, &lan(own("2001:db8:1::1")));
    expect_nothing(&mut world, LAN, &lan(VIP6));
    expect_nothing(&mut world, WAN, &wan(own("2001:db8:1::55")));
    assert_eq!(world.dropped(DropReason::NdIgnored), 4);
}

#[test]
fn whoever_wants_one_of_the_addresses_is_told_that_it_is_taken() {
    let probe = solicitation((STRANGER, Ipv6Addr::UNSPECIFIED), VIP6);
    let sent = expect(&mut world(), WAN, &probe, "wan: nd 2001:db8:1::100 is at 02:00:00:00:00:01");
    assert_eq!(read::stations(&sent.frame).0, Mac([0x33, 0x33, 0, 0, 0, 1]), "all nodes");
}

#[test]
fn a_question_without_the_askers_ethernet_address_is_answered_to_where_it_came_from() {
    let question = nd(135, (STRANGER_ADDRESS, own("2001:db8:1::1")), 0, own("2001:db8:1::1"), &[]);
    let frame = ethernet(WAN_MAC, STRANGER, 0x86dd, &question.bytes());
    let line = "wan: nd to 2001:db8:1::9: 2001:db8:1::1 is at 02:00:00:00:00:01";
    let sent = expect(&mut world(), WAN, &frame, line);
    assert_eq!(read::stations(&sent.frame), (STRANGER, WAN_MAC));
}

#[test]
fn the_answer_to_a_tagged_question_is_tagged() {
    let line = "wan: vlan 0 nd to 2001:db8:1::fe: 2001:db8:1::100 is at 02:00:00:00:00:01";
    expect(&mut world(), WAN, &tagged(&solicitation((GATEWAY_MAC, GATEWAY6), VIP6), 0), line);
}

#[test]
fn at_start_it_asks_once_whether_addresses_are_taken_and_says_twice_that_they_are_here() {
    let mut world = silent();
    let probes = [
        "wan: nd is 2001:db8:1::100 taken?",
        "lan: nd is 2001:db8:2::1 taken?",
        "wan: nd is 2001:db8:1::1 taken?",
    ];
    let announcements = [
        "wan: nd 2001:db8:1::100 is at 02:00:00:00:00:01",
        "lan: nd 2001:db8:2::1 is at 02:00:00:00:00:02",
        "wan: nd 2001:db8:1::1 is at 02:00:00:00:00:01",
    ];
    let told = |sent: &[Sent], what: &str| -> Vec<String> {
        lines(sent).into_iter().filter(|line| line.contains(what)).collect()
    };
    let first = world.tick();
    assert_eq!(told(&first, "taken?"), probes);
    assert_eq!(told(&first, "is at"), announcements);
    assert!(told(&world.pass(1_900), "is at").is_empty());
    let second = world.pass(100);
    assert!(told(&second, "taken?").is_empty());
    assert_eq!(told(&second, "is at"), announcements);
    assert!(told(&world.pass(60_000), "is at").is_empty());
}

#[test]
fn at_start_it_asks_for_every_server_and_router() {
    let sent = silent().tick();
    let questions: Vec<_> = lines(&sent).into_iter().filter(|line| line.contains("who has")).collect();
    let expected = [
        "lan: nd who has 2001:db8:2::11? tell 2001:db8:2::1",
        "wan: nd who has 2001:db8:1::fe? tell 2001:db8:1::1",
    ];
    assert_eq!(questions, expected);
    let to_server = sent.iter().find(|sent| sent.line().contains(":11?")).unwrap();
    assert_eq!(read::stations(&to_server.frame).0, Mac([0x33, 0x33, 0xff, 0, 0, 0x11]));
}

#[test]
fn packets_wait_for_an_answer_and_a_known_neighbour_is_asked_again_alone() {
    let mut world = silent();
    world.tick();
    expect_nothing(&mut world, WAN, &tcp6(CLIENT, SERVICE, SYN).via_gateway());
    let answer = advertisement((SERVER_MACS[0], SERVERS6[0]), (LAN_MAC, own("2001:db8:2::1")));
    let line = "lan: [2001:db8:a::10]:4000 > [2001:db8:2::11]:8080 tcp syn ttl 63";
    expect(&mut world, LAN, &answer, line);
    let again = world.pass(31_000);
    let question = again.iter().find(|sent| sent.line().contains("2001:db8:2::11?")).unwrap();
    assert_eq!(read::stations(&question.frame).0, SERVER_MACS[0]);
}

#[test]
fn an_address_that_nobody_asked_for_is_not_learnt() {
    let mut world = world();
    let neighbours = world.workers[0].neighbours().len();
    expect_nothing(&mut world, WAN, &unasked((STRANGER, STRANGER_ADDRESS), 0x20));
    assert_eq!(world.dropped(DropReason::NdIgnored), 1);
    assert_eq!(world.workers[0].neighbours().len(), neighbours);
}

#[test]
fn a_neighbours_new_address_counts_only_if_it_overrides() {
    let mut world = world();
    let server = |world: &mut World, port: u16| {
        let syn = tcp6(&format!("[2001:db8:a::10]:{port}"), SERVICE, SYN);
        read::stations(&world.receive(WAN, &syn.via_gateway()).remove(0).frame).0
    };
    world.receive(LAN, &unasked((STRANGER, SERVERS6[0]), 0));
    assert_eq!(server(&mut world, 4_001), SERVER_MACS[0], "RFC 4861 7.2.5");
    world.receive(LAN, &unasked((STRANGER, SERVERS6[0]), 0x20));
    assert_eq!(server(&mut world, 4_002), STRANGER);
}

#[test]
fn another_station_with_one_of_the_addresses_is_reported_and_told() {
    let mut world = world();
    let claim = unasked((STRANGER, VIP6), 0x20);
    expect(&mut world, WAN, &claim, "wan: nd 2001:db8:1::100 is at 02:00:00:00:00:01");
    expect_nothing(&mut world, WAN, &claim);
    assert_eq!(world.counters(0).address_conflicts.get(), 2);
    let conflict = Notice::AddressConflict { address: VIP6.into(), mac: STRANGER, interface: WAN_SIDE };
    assert!(world.ios[0].notices.contains(&conflict));
}

#[test]
fn what_a_router_passed_on_is_not_believed() {
    let mut world = world();
    let far = nd(136, (SERVERS6[0], own("2001:db8:2::1")), 0x20, SERVERS6[0], &[2, 1, 2, 0, 0, 0, 9, 9]);
    expect_nothing(&mut world, LAN, &far.clone().ttl(254).via_server());
    let hidden = far.ttl(255).behind(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
    expect_nothing(&mut world, LAN, &hidden.via_server());
    assert_eq!((world.dropped(DropReason::BadNd), world.dropped(DropReason::IcmpUnrelated)), (1, 1));
}

#[test]
fn other_groups_are_not_for_the_director() {
    let mut world = world();
    let to_group = |mac: [u8; 6], frame: Vec<u8>| [&mac, &frame[6..]].concat();
    let segment = tcp6(CLIENT, SERVICE, SYN).via_gateway();
    expect_nothing(&mut world, WAN, &to_group([0x33, 0x33, 0, 0, 0, 1], segment.clone()));
    expect_nothing(&mut world, WAN, &to_group([0x33, 0x33, 0, 0, 0, 0xfb], segment));
    assert_eq!(world.dropped(DropReason::OtherMac), 2);
}

#[test]
fn without_addresses_of_the_family_nothing_is_said_in_it() {
    let mut world = World::silent(&one_server(Method::Nat), Setup::default());
    assert!(lines(&world.tick()).is_empty());
    let plan: Plan = one_server(Method::Nat);
    expect_nothing(&mut World::new(&plan), WAN, &solicitation((GATEWAY_MAC, GATEWAY6), VIP6));
}
