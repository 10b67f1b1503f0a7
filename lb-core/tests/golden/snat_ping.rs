//! SNAT of ping: an echo request of a server's leaves with an identifier of the director's, which its reply comes back by
//! (RFC 5508 3).

use super::{
    common::{
        frame::*,
        frame6::*,
        plan::*,
        read,
        world::{Sent, Setup, World},
    },
    expect, expect_nothing,
};
use etherparse::{
    IcmpEchoHeader, Icmpv4Type, Icmpv6Type,
    icmpv4::{DestUnreachableHeader, TimeExceededCode},
};
use lb_core::{
    conn::{entry::Direction, state::State},
    counters::DropReason,
    family::{V4, V6},
    memory::MemoryPacket,
    packet::HandOver,
    service::plan::{Method, Plan, Spread},
    time::Duration,
};
use std::net::{Ipv4Addr, Ipv6Addr};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);
const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x53);
const FAR_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const FAR_ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1);

fn plan() -> Plan {
    one_server(Method::Nat).snat()
}

fn plan6() -> Plan {
    network6().with(service(Method::Nat, "192.0.2.100:80", &["198.51.100.11:8080"])).snat()
}

fn request(from: Ipv4Addr, id: u16, payload: &[u8]) -> Ip {
    icmp(from, OUTSIDE, Icmpv4Type::EchoRequest(IcmpEchoHeader { id, seq: 9 }), payload)
}

fn reply(to: Ipv4Addr, id: u16, payload: &[u8]) -> Ip {
    icmp(OUTSIDE, to, Icmpv4Type::EchoReply(IcmpEchoHeader { id, seq: 9 }), payload)
}

fn request6(id: u16) -> Ip6 {
    icmp6(SERVERS6[0], OUTSIDE6, Icmpv6Type::EchoRequest(IcmpEchoHeader { id, seq: 9 }), b"ping")
}

fn reply6(to: Ipv6Addr, id: u16) -> Ip6 {
    icmp6(OUTSIDE6, to, Icmpv6Type::EchoReply(IcmpEchoHeader { id, seq: 9 }), b"ping")
}

/// The identifier that an echo message left with.
fn id_of(sent: &Sent) -> u16 {
    let l4 = if sent.frame[12..14] == [8, 0] { 14 + 20 } else { 14 + 40 };
    u16::from_be_bytes([sent.frame[l4 + 4], sent.frame[l4 + 5]])
}

/// Byte by byte, checksums included; also of messages that are nothing but zeros and so have a checksum of their own.
#[test]
fn a_ping_leaves_with_the_rules_address_and_its_reply_comes_back() {
    for payload in [b"ping".as_slice(), &[], &[0; 56], &[0xff; 57]] {
        for id in [0, 7, 0xffff] {
            let mut world = World::new(&plan());
            let sent = world.receive(LAN, &request(SERVERS[0], id, payload).via_server()).remove(0);
            let local = id_of(&sent);
            assert!(sent.port == WAN && local >= 1_024);
            let expected = icmp(
                OUTBOUND,
                OUTSIDE,
                Icmpv4Type::EchoRequest(IcmpEchoHeader { id: local, seq: 9 }),
                payload,
            );
            assert_eq!(read::ipv4_packet(&sent.frame).unwrap(), expected.ttl(63).bytes());
            let back = world.receive(WAN, &reply(OUTBOUND, local, payload).via_gateway()).remove(0);
            let expected = reply(SERVERS[0], id, payload).ttl(63).bytes();
            assert_eq!((back.port, read::ipv4_packet(&back.frame).unwrap()), (LAN, &expected[..]));
            // The next of them is of the same connection.
            let again = world.receive(LAN, &request(SERVERS[0], id, payload).via_server());
            assert_eq!((id_of(&again[0]), world.connections().len()), (local, 1));
        }
    }
}

#[test]
fn the_same_in_ipv6() {
    let mut world = World::new(&plan6());
    for id in [0, 7, 0xffff] {
        let sent = world.receive(LAN, &request6(id).via_server()).remove(0);
        let local = id_of(&sent);
        let kind = Icmpv6Type::EchoRequest(IcmpEchoHeader { id: local, seq: 9 });
        let expected = icmp6(OUTBOUND6, OUTSIDE6, kind, b"ping").ttl(63).bytes();
        assert_eq!(sent.frame[14..], expected);
        let back = world.receive(WAN, &reply6(OUTBOUND6, local).via_gateway()).remove(0);
        let expected = reply6(SERVERS6[0], id).ttl(63).bytes();
        assert_eq!((back.port, &back.frame[14..]), (LAN, &expected[..]));
    }
    assert_eq!(world.workers[0].connections::<V6>().len(), 3);
}

/// RFC 5508 REQ-1: servers that chose the same identifier are told apart.
#[test]
fn servers_with_one_identifier_have_two_outside() {
    let mut world = World::new(&two_servers(Method::Nat).snat());
    let ids = SERVERS.map(|server| id_of(&world.receive(LAN, &request(server, 7, b"ping").via_server())[0]));
    assert_ne!(ids[0], ids[1]);
    for (server, id) in SERVERS.into_iter().zip(ids) {
        let line = format!("lan: {OUTSIDE} > {server} icmp echo reply ttl 63");
        expect(&mut world, WAN, &reply(OUTBOUND, id, b"ping").via_gateway(), &line);
    }
}

/// Whoever gets the reply, its owner is known by the identifier, in every spread.
#[test]
fn a_reply_finds_the_worker_that_has_the_connection() {
    for spread in [Spread::ByClient, Spread::ByFlow, Spread::Unknown] {
        for workers in [1, 2, 3, 7, 16] {
            let mut world =
                World::with(&plan6().spread(spread, spread), Setup { workers, ..Setup::default() });
            for number in 0..24u16 {
                let at = usize::from(number) % workers;
                let is_ipv6 = number % 2 == 1;
                let ask = match is_ipv6 {
                    false => request(SERVERS[0], number, b"ping").via_server(),
                    true => request6(number).via_server(),
                };
                let sent = world.burst(at, &[(LAN, ask.clone())]).remove(0);
                for arrives_at in 0..workers {
                    let answer = match is_ipv6 {
                        false => reply(OUTBOUND, id_of(&sent), b"ping").via_gateway(),
                        true => reply6(OUTBOUND6, id_of(&sent)).via_gateway(),
                    };
                    let before = world.handed_over_for(HandOver::Reply);
                    let back = world.burst(arrives_at, &[(WAN, answer)]).remove(0);
                    assert_eq!((id_of(&back), back.worker), (number, sent.worker));
                    let handed_over = world.handed_over_for(HandOver::Reply) - before;
                    assert_eq!(handed_over, u64::from(arrives_at != sent.worker));
                    // The next request, too, whoever gets it.
                    let again = world.burst(arrives_at, &[(LAN, ask.clone())]).remove(0);
                    assert_eq!((id_of(&again), again.worker), (id_of(&sent), sent.worker));
                }
            }
        }
    }
}

/// RFC 5508 REQ-4: the quoted request is the one that the server sent.
#[test]
fn errors_about_a_ping_come_back() {
    let mut world = World::new(&plan());
    let sent = world.receive(LAN, &request(SERVERS[0], 7, b"ping").via_server()).remove(0);
    let original = request(SERVERS[0], 7, b"ping").ttl(63).bytes();
    let kinds = [
        Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit),
        Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
            next_hop_mtu: 1_300,
        }),
    ];
    for kind in kinds {
        // Whole, and as little as RFC 792 asks for.
        for len in [original.len(), 28] {
            let quote = &read::ipv4_packet(&sent.frame).unwrap()[..len];
            let error = icmp(FAR_ROUTER, OUTBOUND, kind.clone(), quote).via_gateway();
            let back = world.receive(WAN, &error).remove(0);
            let expected = icmp(FAR_ROUTER, SERVERS[0], kind.clone(), &original[..len]).ttl(63).bytes();
            assert_eq!((back.port, read::ipv4_packet(&back.frame).unwrap()), (LAN, &expected[..]));
        }
    }
    // About none that was sent.
    let other = icmp(OUTBOUND, OUTSIDE, Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 1, seq: 9 }), b"ping");
    let kind = Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit);
    expect_nothing(&mut world, WAN, &icmp(FAR_ROUTER, OUTBOUND, kind, &other.bytes()).via_gateway());
    assert_eq!(world.dropped(DropReason::IcmpUnrelated), 1);
    assert_eq!(world.connections()[0].packets(Direction::In), 1, "errors refresh nothing");
}

#[test]
fn errors_about_a_ping_come_back_in_ipv6() {
    let mut world = World::new(&plan6());
    let sent = world.receive(LAN, &request6(7).via_server()).remove(0);
    let original = request6(7).ttl(63).bytes();
    for kind in [
        Icmpv6Type::PacketTooBig { mtu: 1_300 },
        Icmpv6Type::TimeExceeded(etherparse::icmpv6::TimeExceededCode::HopLimitExceeded),
    ] {
        let error = icmp6(FAR_ROUTER6, OUTBOUND6, kind, &sent.frame[14..]).via_gateway();
        let back = world.receive(WAN, &error).remove(0);
        let expected = icmp6(FAR_ROUTER6, SERVERS6[0], kind, &original).ttl(63).bytes();
        assert_eq!((back.port, &back.frame[14..]), (LAN, &expected[..]));
    }
}

/// An error finds its worker by the identifier in the quote.
#[test]
fn errors_find_their_worker() {
    let workers = 5;
    let plan = plan().spread(Spread::ByFlow, Spread::ByFlow);
    let mut world = World::with(&plan, Setup { workers, ..Setup::default() });
    let sent = world.burst(1, &[(LAN, request(SERVERS[0], 7, b"ping").via_server())]).remove(0);
    let quote = read::ipv4_packet(&sent.frame).unwrap();
    let kind = Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit);
    let error = icmp(FAR_ROUTER, OUTBOUND, kind, quote).via_gateway();
    for worker in 0..workers {
        let back = world.burst(worker, &[(WAN, error.clone())]);
        assert_eq!((back.len(), back[0].port, back[0].worker), (1, LAN, sent.worker));
    }
}

/// A server sees the director as a router: too large a ping, or one whose time to live ends there, is answered.
#[test]
fn what_cannot_go_on_is_answered() {
    let mut world = World::new(&plan().mtu(WAN, 1_000));
    let large = request(SERVERS[0], 7, &[b'x'; 1_200]);
    let line = "lan: 198.51.100.1 > 198.51.100.11 icmp too big for 1000 [198.51.100.11 > 203.0.113.53 icmp echo \
                request ttl 64] ttl 64";
    expect(&mut world, LAN, &large.clone().via_server(), line);
    assert_eq!(world.receive(LAN, &large.may_fragment().via_server()).len(), 2, "cut");
    let sent = world.lines(LAN, &request(SERVERS[0], 8, b"ping").ttl(1).via_server());
    assert!(sent[0].starts_with("lan: 198.51.100.1 > 198.51.100.11 icmp time exceeded"), "{sent:?}");
}

#[test]
fn what_nobody_has_asked_for_goes_nowhere() {
    let mut world = World::new(&plan6());
    expect_nothing(&mut world, WAN, &reply(OUTBOUND, 44_000, b"ping").via_gateway());
    expect_nothing(&mut world, WAN, &reply6(OUTBOUND6, 44_000).via_gateway());
    assert_eq!(world.dropped(DropReason::NoConnection), 2);
    // A server answers nobody: no request came by here.
    let kind = Icmpv4Type::EchoReply(IcmpEchoHeader { id: 7, seq: 9 });
    expect_nothing(&mut world, LAN, &icmp(SERVERS[0], OUTSIDE, kind, b"ping").via_server());
    assert_eq!(world.dropped(DropReason::NoSnat), 1);
    // Nor does anybody else than whom was asked.
    let sent = world.receive(LAN, &request(SERVERS[0], 7, b"ping").via_server()).remove(0);
    let kind = Icmpv4Type::EchoReply(IcmpEchoHeader { id: id_of(&sent), seq: 9 });
    expect_nothing(&mut world, WAN, &icmp(CLIENT_IP, OUTBOUND, kind, b"ping").via_gateway());
    // And nobody outside borrows a server's address.
    expect_nothing(&mut world, WAN, &request(SERVERS[0], 7, b"ping").via_gateway());
    expect_nothing(&mut world, WAN, &request(SERVERS[0], 8, b"ping").via_gateway());
    assert_eq!(world.dropped(DropReason::WrongPort), 2);
}

/// A datagram with the ports that stand for an echo is none of it.
#[test]
fn datagrams_are_no_pings() {
    let mut world = World::new(&plan().udp());
    let id = id_of(&world.receive(LAN, &request(SERVERS[0], 33_000, b"ping").via_server())[0]);
    expect_nothing(
        &mut world,
        WAN,
        &udp(&format!("{OUTSIDE}:0"), &format!("{OUTBOUND}:{id}"), b"?").via_gateway(),
    );
    assert_eq!(world.dropped(DropReason::NoConnection), 1);
    let sent = world.receive(LAN, &udp("198.51.100.11:33000", &format!("{OUTSIDE}:0"), b"?").via_server());
    assert!(sent[0].line().starts_with("wan: 192.0.2.50:"), "{}", sent[0].line());
    assert_eq!(world.connections().len(), 2);
}

#[test]
fn a_ping_is_remembered_for_a_minute_and_ends_with_its_rule() {
    let mut world = World::new(&plan());
    let ask = |world: &mut World| world.receive(LAN, &request(SERVERS[0], 7, b"ping").via_server());
    assert_eq!(ask(&mut world).len(), 1);
    assert_eq!(world.connections()[0].state, State::Echo);
    world.now = world.now + Duration::from_secs(58);
    world.pass(100);
    assert_eq!(world.connections().len(), 1, "RFC 5508 REQ-2");
    world.now = world.now + Duration::from_secs(4);
    world.pass(2_000);
    assert!(world.connections().is_empty());
    assert_eq!(ask(&mut world).len(), 1);
    world.exchange(&one_server(Method::Nat));
    assert!(ask(&mut world).is_empty());
    assert!(world.connections().is_empty());
    assert_eq!(world.dropped(DropReason::NoSnat), 1);
}

/// Outside sees one address, and pings of it are for the director, whatever servers ask.
#[test]
fn a_ping_from_outside_is_the_directors() {
    let mut world = World::new(&plan());
    world.receive(LAN, &request(SERVERS[0], 7, b"ping").via_server());
    let line = "wan: 192.0.2.50 > 203.0.113.53 icmp echo reply ttl 64";
    expect(&mut world, WAN, &echo(OUTSIDE, OUTBOUND).via_gateway(), line);
}

#[test]
fn an_explanation_names_the_rule_and_what_becomes_of_the_ping() {
    let mut world = World::new(&plan());
    for expected in ["ECHO", "192.0.2.50:"] {
        let packet = MemoryPacket::new(LAN, &request(SERVERS[0], 7, b"ping").via_server());
        let told = world.workers[0].explain(world.now, &packet, lb_core::decide::Origin::Port, &world.ios[0]);
        let text: Vec<_> = told.steps.iter().map(|step| step.text.clone()).collect();
        let text = text.join("\n");
        assert!(text.contains("outbound ([[snat]]): what servers send by themselves"), "{text}");
        assert!(
            text.contains("snat: source rewritten: 198.51.100.11:7 > 203.0.113.53:0 -> 192.0.2.50:"),
            "{text}"
        );
        assert!(text.contains(expected), "{text}");
        world.receive(LAN, &request(SERVERS[0], 7, b"ping").via_server());
    }
    assert_eq!(world.workers[0].connections::<V4>().len(), 1);
}
