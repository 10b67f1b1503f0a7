//! Addresses that another station has, where the director waits for an answer before it announces them.

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
    packet::Notice,
    service::plan::{Duplicates, Mac, Method, Plan},
};
use std::net::{Ipv4Addr, Ipv6Addr};

const STRANGER: Mac = Mac([2, 0, 0, 0, 9, 9]);
/// Lower than the director's.
const FIRST: Mac = Mac([2, 0, 0, 0, 0, 0]);

fn plan() -> Plan {
    let mut plan = one_server(Method::Nat);
    plan.director.duplicate_addresses = Duplicates::Wait;
    plan
}

fn plan6() -> Plan {
    let mut plan = one_server6(Method::Nat);
    plan.director.duplicate_addresses = Duplicates::Wait;
    plan
}

/// Lines about a VIP.
fn about(sent: &[Sent], vip: &str) -> Vec<String> {
    let is_it =
        |line: &String| line.contains(&format!("{vip} is at")) || line.contains(&format!("{vip} taken?"));
    let probe = format!("who has {vip}? tell 0.0.0.0");
    sent.iter().map(Sent::line).filter(|line| is_it(line) || line.contains(&probe)).collect()
}

#[test]
fn addresses_are_announced_a_second_after_the_question_whether_somebody_has_them() {
    for (plan, vip, probe, told) in [
        (
            plan(),
            "192.0.2.100",
            "wan: arp who has 192.0.2.100? tell 0.0.0.0",
            "wan: arp 192.0.2.100 is at 02:00:00:00:00:01",
        ),
        (
            plan6(),
            "2001:db8:1::100",
            "wan: nd is 2001:db8:1::100 taken?",
            "wan: nd 2001:db8:1::100 is at 02:00:00:00:00:01",
        ),
    ] {
        let mut world = World::silent(&plan, Setup::default());
        assert_eq!(about(&world.tick(), vip), [probe]);
        assert_eq!(about(&world.pass(900), vip), [""; 0]);
        assert_eq!(about(&world.pass(100), vip), [told]);
        assert_eq!(about(&world.pass(1_900), vip), [""; 0]);
        assert_eq!(about(&world.pass(100), vip), [told], "and again");
        assert_eq!(about(&world.pass(100_000), vip), [""; 0]);
        world.workers[0].announce_again(world.now, Some(WAN));
        assert_eq!(about(&world.tick(), vip), [probe], "a link comes up");
        assert_eq!(about(&world.pass(1_000), vip), [told]);
    }
}

#[test]
fn an_address_is_answered_for_while_it_is_asked_for() {
    let mut world = World::silent(&plan(), Setup::default());
    world.tick();
    let line = "wan: arp to 192.0.2.254: 192.0.2.100 is at 02:00:00:00:00:01";
    expect(&mut world, WAN, &arp_request((GATEWAY_MAC, GATEWAY), VIP), line);
}

/// Whatever the other says of it: an answer, an announcement, or the same question with a lower Ethernet address.
#[test]
fn what_another_station_has_is_left_to_it() {
    let own: Ipv6Addr = "2001:db8:1::1".parse().unwrap();
    let none = Ipv4Addr::UNSPECIFIED;
    for (frame, mac, is_ipv4) in [
        (arp_reply((STRANGER, VIP), (WAN_MAC, none)), STRANGER, true),
        (arp_request((STRANGER, VIP), VIP), STRANGER, true),
        (arp_request((FIRST, none), VIP), FIRST, true),
        (advertisement((STRANGER, VIP6), (WAN_MAC, own)), STRANGER, false),
        (unasked((STRANGER, VIP6), 0x20), STRANGER, false),
        (solicitation((FIRST, Ipv6Addr::UNSPECIFIED), VIP6), FIRST, false),
    ] {
        let (plan, vip) = if is_ipv4 { (plan(), "192.0.2.100") } else { (plan6(), "2001:db8:1::100") };
        let address = vip.parse().unwrap();
        let mut world = World::silent(&plan, Setup::default());
        world.tick();
        expect_nothing(&mut world, WAN, &frame);
        let taken = Notice::AddressTaken { address, mac, interface: WAN_SIDE };
        assert!(world.ios[0].notices.contains(&taken), "{:?}", world.ios[0].notices);
        assert_eq!(world.counters(0).address_conflicts.get(), 1);
        assert_eq!(about(&world.pass(10_000), vip), [""; 0], "not announced");
        let question = if is_ipv4 {
            arp_request((GATEWAY_MAC, GATEWAY), VIP)
        } else {
            solicitation((GATEWAY_MAC, GATEWAY6), VIP6)
        };
        expect_nothing(&mut world, WAN, &question);
        assert_eq!(about(&world.pass(21_000), vip).len(), 1, "asked again");
        world.receive(WAN, &frame_of(is_ipv4));
        assert_eq!(about(&world.pass(30_000), vip).len(), 1, "and again");
        // Nobody answers any more.
        let lines = about(&world.pass(35_000), vip);
        let announced = lines.iter().filter(|line| line.contains("is at")).count();
        assert_eq!(announced, 2, "{lines:?}");
        assert_eq!(world.receive(WAN, &question).len(), 1);
    }
}

fn frame_of(is_ipv4: bool) -> Vec<u8> {
    if is_ipv4 { arp_request((STRANGER, VIP), VIP) } else { unasked((STRANGER, VIP6), 0x20) }
}

#[test]
fn of_two_that_ask_at_once_the_lower_ethernet_address_is_first() {
    for (mut world, question) in [
        (World::silent(&plan(), Setup::default()), arp_request((STRANGER, Ipv4Addr::UNSPECIFIED), VIP)),
        (World::silent(&plan6(), Setup::default()), solicitation((STRANGER, Ipv6Addr::UNSPECIFIED), VIP6)),
    ] {
        world.tick();
        assert_eq!(world.receive(WAN, &question).len(), 1, "the other is told that it is taken");
        assert_eq!(world.counters(0).address_conflicts.get(), 0);
    }
}

#[test]
fn what_was_announced_is_defended() {
    let mut world = World::new(&plan());
    world.pass(5_000);
    let claim = arp_request((STRANGER, VIP), VIP);
    expect(&mut world, WAN, &claim, "wan: arp 192.0.2.100 is at 02:00:00:00:00:01");
    let conflict = Notice::AddressConflict { address: VIP.into(), mac: STRANGER, interface: WAN_SIDE };
    assert_eq!(world.ios[0].notices.last(), Some(&conflict));
}

#[test]
fn whichever_worker_hears_it_all_know() {
    let mut world = World::silent(&plan(), Setup { workers: 3, ..Setup::default() });
    world.tick();
    assert!(world.burst(2, &[(WAN, arp_request((STRANGER, VIP), VIP))]).is_empty());
    assert_eq!(about(&world.pass(10_000), "192.0.2.100"), [""; 0]);
    let question = arp_request((GATEWAY_MAC, GATEWAY), VIP);
    for worker in 0..3 {
        assert!(world.burst(worker, &[(WAN, question.clone())]).is_empty(), "worker {worker}");
    }
    let conflicts: u64 = (0..3).map(|worker| world.counters(worker).address_conflicts.get()).sum();
    assert_eq!(conflicts, 1);
}
