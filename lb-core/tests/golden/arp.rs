//! ARP: what the director says of itself, what it asks, and what it believes.

use super::{
    common::{
        frame::*,
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
use std::net::Ipv4Addr;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const STRANGER: Mac = Mac([2, 0, 0, 0, 9, 9]);
const STRANGER_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

fn world() -> World {
    World::new(&one_server(Method::Nat))
}

fn silent() -> World {
    World::silent(&one_server(Method::Nat), Setup::default())
}

fn lines(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::line).collect()
}

fn own(address: &str) -> Ipv4Addr {
    address.parse().unwrap()
}

#[test]
fn who_asks_for_the_vip_is_told() {
    let sent = world().receive(WAN, &arp_request((GATEWAY_MAC, GATEWAY), VIP)).remove(0);
    let expected = [
        "0200000001fe0200000000010806",
        // Ethernet, IPv4, a reply, from the wan port's address; "192.0.2.100 is here"...
        "0001080006040002020000000001c00002640200",
        // ... to 192.0.2.254.
        "000001fec00002fe",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn an_address_is_answered_for_on_its_own_port_only() {
    let mut world = world();
    let wan = |target| arp_request((STRANGER, STRANGER_ADDRESS), target);
    let lan = |target| arp_request((STRANGER, own("198.51.100.9")), target);
    let line = "wan: arp to 192.0.2.9: 192.0.2.1 is at 02:00:00:00:00:01";
    expect(&mut world, WAN, &wan(own("192.0.2.1")), line);
    let line = "lan: arp to 198.51.100.9: 198.51.100.1 is at 02:00:00:00:00:02";
    expect(&mut world, LAN, &lan(own("198.51.100.1")), line);
    expect_nothing(&mut world, WAN, &wan(own("198.51.100.1")));
    expect_nothing(&mut world, LAN, &lan(own("192.0.2.1")));
    expect_nothing(&mut world, LAN, &lan(VIP));
    expect_nothing(&mut world, WAN, &wan(own("192.0.2.55")));
    assert_eq!(world.dropped(DropReason::ArpIgnored), 4);
}

#[test]
fn a_vip_on_no_attached_network_is_answered_for_everywhere() {
    let mut world =
        World::new(&network().with(service(Method::Nat, "203.0.113.200:80", &["198.51.100.11:80"])));
    let vip = own("203.0.113.200");
    for (port, sender, line) in [
        (WAN, "192.0.2.9", "wan: arp to 192.0.2.9: 203.0.113.200 is at 02:00:00:00:00:01"),
        (LAN, "198.51.100.9", "lan: arp to 198.51.100.9: 203.0.113.200 is at 02:00:00:00:00:02"),
    ] {
        expect(&mut world, port, &arp_request((STRANGER, own(sender)), vip), line);
    }
}

#[test]
fn a_probe_is_answered() {
    // RFC 5227: who wants to use an address asks for it without having one yet.
    let probe = arp_request((STRANGER, Ipv4Addr::UNSPECIFIED), VIP);
    expect(&mut world(), WAN, &probe, "wan: arp to 0.0.0.0: 192.0.2.100 is at 02:00:00:00:00:01");
}

#[test]
fn the_answer_to_a_tagged_question_is_tagged() {
    let line = "wan: vlan 0 arp to 192.0.2.254: 192.0.2.100 is at 02:00:00:00:00:01";
    expect(&mut world(), WAN, &tagged(&arp_request((GATEWAY_MAC, GATEWAY), VIP), 0), line);
}

#[test]
fn at_start_it_says_which_addresses_are_here_twice() {
    let mut world = silent();
    let announcements = [
        "wan: arp 192.0.2.100 is at 02:00:00:00:00:01",
        "lan: arp 198.51.100.1 is at 02:00:00:00:00:02",
        "wan: arp 192.0.2.1 is at 02:00:00:00:00:01",
    ];
    let announced = |sent: Vec<Sent>| -> Vec<String> {
        assert!(sent.iter().all(|sent| read::stations(&sent.frame).0 == Mac::BROADCAST));
        lines(&sent).into_iter().filter(|line| line.contains("is at")).collect()
    };
    assert_eq!(announced(world.tick()), announcements);
    assert!(announced(world.pass(1_900)).is_empty());
    assert_eq!(announced(world.pass(100)), announcements);
    assert!(announced(world.pass(60_000)).is_empty());
}

#[test]
fn at_start_it_asks_for_every_server_and_router() {
    let questions = lines(&silent().tick());
    let questions: Vec<_> = questions.iter().filter(|line| line.contains("who has")).collect();
    let expected =
        ["lan: arp who has 198.51.100.11? tell 198.51.100.1", "wan: arp who has 192.0.2.254? tell 192.0.2.1"];
    assert_eq!(questions, expected);
}

#[test]
fn packets_wait_for_an_answer_and_leave_in_order() {
    let mut world = silent();
    world.tick();
    for sequence in 0..10 {
        let packet = tcp(&format!("203.0.113.10:{}", 4000 + sequence), SERVICE, SYN);
        expect_nothing(&mut world, WAN, &packet.via_gateway());
    }
    assert_eq!(world.counters(0).waiting.get(), 8);
    assert_eq!(world.dropped(DropReason::WaitingFull), 2, "as many as one neighbour is worth");
    let sent = world.receive(LAN, &arp_reply((SERVER_MACS[0], SERVERS[0]), (LAN_MAC, own("198.51.100.1"))));
    let expected: Vec<_> = (4000..4008)
        .map(|port| format!("lan: 203.0.113.10:{port} > 198.51.100.11:8080 tcp syn ttl 63"))
        .collect();
    assert_eq!(lines(&sent), expected);
    assert!(sent.iter().all(|sent| read::stations(&sent.frame) == (SERVER_MACS[0], LAN_MAC)));
    assert_eq!(world.counters(0).waiting.get(), 0);
}

#[test]
fn packets_for_a_neighbour_that_does_not_answer_are_dropped() {
    let mut world = silent();
    world.tick();
    expect_nothing(&mut world, WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let questions = lines(&world.pass(10_000));
    let about_server = questions.iter().filter(|line| line.contains("who has 198.51.100.11")).count();
    assert_eq!(about_server, 2, "three in all");
    assert_eq!(world.dropped(DropReason::Unresolved), 1);
    assert!(
        world.ios[0]
            .notices
            .contains(&Notice::NeighbourLost { address: SERVERS[0].into(), interface: LAN_SIDE })
    );

    // The next packet is reason enough to ask again.
    let line = "lan: arp who has 198.51.100.11? tell 198.51.100.1";
    expect(&mut world, WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway(), line);
    let line = "lan: 203.0.113.10:4000 > 198.51.100.11:8080 tcp syn ttl 63";
    let reply = arp_reply((SERVER_MACS[0], SERVERS[0]), (LAN_MAC, own("198.51.100.1")));
    expect(&mut world, LAN, &reply, line);
    let found =
        Notice::NeighbourFound { address: SERVERS[0].into(), mac: SERVER_MACS[0], interface: LAN_SIDE };
    assert_eq!(world.ios[0].notices.last(), Some(&found));
}

#[test]
fn a_neighbour_is_asked_again_by_unicast_and_used_meanwhile() {
    let mut world = world();
    world.stations.clear();
    let questions = world.pass(28_000);
    let to: Vec<_> = questions.iter().map(|sent| read::stations(&sent.frame).0).collect();
    assert_eq!(to, [SERVER_MACS[0], GATEWAY_MAC], "{:?}", lines(&questions));
    let line = "lan: 203.0.113.10:4000 > 198.51.100.11:8080 tcp syn ttl 63";
    expect(&mut world, WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway(), line);

    // Three questions to it, then three to all: packets wait for these, but not longer.
    let again = tcp(CLIENT, SERVICE, SYN).via_gateway();
    world.pass(4_000);
    assert!(!world.lines(WAN, &again).iter().any(|line| line.contains("tcp")));
    assert_eq!(world.counters(0).waiting.get(), 1);
    world.pass(4_000);
    assert_eq!(world.dropped(DropReason::Unresolved), 1, "given up");
}

#[test]
fn nothing_is_learnt_that_was_not_asked_for() {
    let mut world = world();
    let known = world.workers[0].neighbours().len();
    expect_nothing(&mut world, WAN, &arp_reply((STRANGER, STRANGER_ADDRESS), (WAN_MAC, own("192.0.2.1"))));
    world.receive(WAN, &arp_request((STRANGER, STRANGER_ADDRESS), VIP));
    assert_eq!(world.workers[0].neighbours().len(), known);

    // A server's address on another port than its own is another neighbour, and unknown.
    expect_nothing(&mut world, WAN, &arp_reply((STRANGER, SERVERS[0]), (WAN_MAC, own("192.0.2.1"))));
    let sent = world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    assert_eq!(read::stations(&sent[0].frame).0, SERVER_MACS[0]);
}

#[test]
fn a_neighbour_that_moves_is_followed() {
    let mut world = world();
    let moved = arp_request((STRANGER, SERVERS[0]), SERVERS[0]);
    expect_nothing(&mut world, LAN, &moved);
    let sent = world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    assert_eq!(read::stations(&sent[0].frame).0, STRANGER);
}

/// A frame as a VRRP master sends it: the virtual router's address inside, its own outside.
fn from_master(mut frame: Vec<u8>) -> Vec<u8> {
    frame[6..12].copy_from_slice(&Mac([2, 0, 0, 0, 1, 0xfe]).0);
    frame
}

const VIRTUAL_ROUTER: Mac = Mac([0, 0, 0x5e, 0, 1, 7]);

/// RFC 5798 8.1.2: a VRRP router's ARP packets name its virtual address; HSRP's, bonded and proxied hosts' do the same.
#[test]
fn a_virtual_router_is_known_by_the_address_that_it_names() {
    let mut world = World::new(&one_server(Method::Nat));
    world.stations.retain(|station| station.address != GATEWAY);
    let answer = from_master(arp_reply((VIRTUAL_ROUTER, GATEWAY), (WAN_MAC, own("192.0.2.1"))));
    expect_nothing(&mut world, WAN, &answer);
    let reply_to_client = |world: &mut World, port: u16| {
        let client = format!("203.0.113.10:{port}");
        world.receive(WAN, &tcp(&client, SERVICE, SYN).via_gateway());
        let sent = world.receive(LAN, &tcp("198.51.100.11:8080", &client, SYN | ACK).via_server());
        read::stations(&sent[0].frame).0
    };
    assert_eq!(reply_to_client(&mut world, 4000), VIRTUAL_ROUTER, "packets for the gateway go there");

    // Its question is answered to the address that it names.
    let question = from_master(arp_request((VIRTUAL_ROUTER, GATEWAY), VIP));
    let sent = world.receive(WAN, &question).remove(0);
    assert_eq!(read::stations(&sent.frame).0, VIRTUAL_ROUTER);
    assert_eq!(sent.line(), "wan: arp to 192.0.2.254: 192.0.2.100 is at 02:00:00:00:00:01");

    // Another router takes over, under another virtual address.
    let other = Mac([0, 0, 0x0c, 0x07, 0xac, 1]);
    expect_nothing(&mut world, WAN, &from_master(arp_request((other, GATEWAY), GATEWAY)));
    assert_eq!(reply_to_client(&mut world, 4001), other);
    assert_eq!(world.dropped(DropReason::BadArp), 0);
}

#[test]
fn a_server_behind_a_bond_is_known_by_the_address_that_it_names() {
    for method in [Method::Nat, Method::Tun, Method::Dr] {
        let mut world = World::silent(&one_server(method), Setup::default());
        world.pass(500);
        let answer = from_master(arp_reply((SERVER_MACS[0], SERVERS[0]), (LAN_MAC, own("198.51.100.1"))));
        expect_nothing(&mut world, LAN, &answer);
        let sent = world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
        let to_server = |sent: &Sent| read::stations(&sent.frame).0 == SERVER_MACS[0];
        assert!(sent.iter().any(to_server), "{method}: {:?}", lines(&sent));
    }
}

#[test]
fn a_group_or_nobody_is_no_sender() {
    let mut world = world();
    let to_us = (LAN_MAC, own("198.51.100.1"));
    let mut from_group = arp_reply((STRANGER, SERVERS[0]), to_us);
    from_group[6..12].copy_from_slice(&Mac::BROADCAST.0);
    let mut from_nobody = arp_reply((STRANGER, SERVERS[0]), to_us);
    from_nobody[6..12].fill(0);
    let refused = [
        arp_reply((Mac::BROADCAST, SERVERS[0]), to_us),
        from_master(arp_reply((Mac([1, 0, 0x5e, 0, 0, 18]), SERVERS[0]), to_us)),
        from_master(arp_reply((Mac::default(), SERVERS[0]), to_us)),
        from_group,
        from_nobody,
    ];
    for frame in &refused {
        expect_nothing(&mut world, LAN, frame);
    }
    assert_eq!(world.dropped(DropReason::BadArp), refused.len() as u64);
    let sent = world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    assert_eq!(read::stations(&sent[0].frame).0, SERVER_MACS[0]);
}

#[test]
fn each_address_is_defended_for_itself() {
    let mut plan = one_server(Method::Nat);
    let vips: Vec<Ipv4Addr> = (101..111).map(|last| Ipv4Addr::new(192, 0, 2, last)).collect();
    plan.services
        .extend(vips.iter().map(|vip| service(Method::Nat, &format!("{vip}:80"), &["198.51.100.11:8080"])));
    let mut world = World::new(&plan);
    let claims: Vec<_> = vips.iter().map(|&vip| (WAN, arp_request((STRANGER, vip), vip))).collect();
    assert_eq!(world.burst(0, &claims).len(), vips.len(), "each once");
    assert!(world.burst(0, &claims).is_empty(), "and not again");
    world.pass(10_000);
    assert_eq!(world.burst(0, &claims).len(), vips.len(), "within ten seconds");
}

#[test]
fn a_second_station_with_the_vip_is_noticed_and_contradicted_but_not_for_ever() {
    let mut world = world();
    let claim = arp_request((STRANGER, VIP), VIP);
    expect(&mut world, WAN, &claim, "wan: arp 192.0.2.100 is at 02:00:00:00:00:01");
    let conflict = Notice::AddressConflict { address: VIP.into(), mac: STRANGER, interface: WAN_SIDE };
    assert_eq!(world.ios[0].notices.last(), Some(&conflict));
    expect_nothing(&mut world, WAN, &claim);
    assert_eq!(world.counters(0).address_conflicts.get(), 2);
    world.pass(10_000);
    assert_eq!(world.receive(WAN, &claim).len(), 1, "once in ten seconds");
}

#[test]
fn addresses_are_announced_again_when_a_link_comes_up_or_forwarding_goes_on() {
    let mut world = world();
    let announced = |world: &mut World| {
        let sent = world.pass(5_000);
        sent.iter().map(Sent::line).filter(|line| line.contains(" is at ")).collect::<Vec<_>>()
    };
    assert!(announced(&mut world).is_empty(), "all said");
    let now = world.now;
    world.workers[0].announce_again(now, Some(LAN));
    assert_eq!(announced(&mut world), vec!["lan: arp 198.51.100.1 is at 02:00:00:00:00:02"; 2]);
    let now = world.now;
    world.workers[0].announce_again(now, Some(WAN));
    let vip = "wan: arp 192.0.2.100 is at 02:00:00:00:00:01";
    assert_eq!(announced(&mut world).iter().filter(|line| *line == vip).count(), 2, "twice, RFC 5227 2.3");
    // A second link comes up while the first is still being announced on.
    let now = world.now;
    for port in [WAN, LAN] {
        world.workers[0].announce_again(now, Some(port));
    }
    let lines = announced(&mut world);
    for (port, count) in [("wan: ", 4), ("lan: ", 2)] {
        assert_eq!(lines.iter().filter(|line| line.starts_with(port)).count(), count, "{lines:?}");
    }
    let now = world.now;
    world.workers[0].announce_again(now, None);
    assert_eq!(announced(&mut world).len(), 6);
}

#[test]
fn its_own_announcements_on_another_port_are_no_conflict() {
    let plan = Plan { vips: Vec::new(), ..one_server(Method::Nat) };
    let mut world = World::new(&plan);
    expect_nothing(&mut world, LAN, &arp_request((WAN_MAC, VIP), VIP));
    assert_eq!(world.counters(0).address_conflicts.get(), 0);
}

#[test]
fn one_worker_answers_a_question_that_is_news_to_all() {
    let mut world = World::silent(&one_server(Method::Nat), Setup { workers: 3, ..Setup::default() });
    world.tick();
    // The gateway asks for the VIP before it has answered: so the director learns where it is, and every worker is told.
    let sent = world.burst(1, &[(WAN, arp_request((GATEWAY_MAC, GATEWAY), VIP))]);
    assert_eq!(lines(&sent), ["wan: arp to 192.0.2.254: 192.0.2.100 is at 02:00:00:00:00:01"]);
    assert_eq!(world.handed_over.len(), 2);
    for worker in &world.workers {
        let known = worker.neighbours().iter().filter(|(_, neighbour)| neighbour.mac == GATEWAY_MAC).count();
        assert_eq!(known, 1);
    }
}
