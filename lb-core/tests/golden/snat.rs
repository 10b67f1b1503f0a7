//! SNAT: what servers send by themselves.

use super::{
    common::{
        fragments::{assemble, even, frame},
        frame::*,
        frame6::*,
        plan::*,
        read, sctp,
        world::{Sent, Station, World},
    },
    dump, expect, expect_nothing,
};
use etherparse::{Icmpv4Type, icmpv4::DestUnreachableHeader, icmpv4::TimeExceededCode};
use lb_core::{
    counters::DropReason,
    service::plan::{Mac, Method, Plan, Role},
};
use std::net::Ipv4Addr;

/// A server that asks, and whom it asks.
const ASKER: &str = "198.51.100.11:33000";
const OUTSIDE: &str = "203.0.113.53:53";
const ASKER6: &str = "[2001:db8:2::11]:33000";
const OUTSIDE6: &str = "[2001:db8:a::53]:53";
/// A router somewhere outside.
const FAR_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

fn plan() -> Plan {
    one_server(Method::Nat).snat()
}

/// The port that a packet left with.
fn port_of(sent: &Sent, address: &str) -> u16 {
    let source = sent.source();
    let port = source.strip_prefix(address).and_then(|rest| rest.strip_prefix(':'));
    port.unwrap_or_else(|| panic!("{source} is of {address}")).parse().unwrap()
}

#[test]
fn a_connection_of_a_servers_own_leaves_with_the_rules_address_and_comes_back() {
    let mut world = World::new(&plan());
    let sent = world.receive(LAN, &tcp(ASKER, OUTSIDE, SYN).via_server()).remove(0);
    let port = port_of(&sent, "192.0.2.50");
    assert!(port >= 1_024);
    assert_eq!(sent.line(), format!("wan: 192.0.2.50:{port} > {OUTSIDE} tcp syn ttl 63"));
    let local = format!("192.0.2.50:{port}");
    for (flags, words) in [(SYN | ACK, "syn ack"), (ACK, "ack"), (FIN | ACK, "fin ack")] {
        let line = format!("lan: {OUTSIDE} > {ASKER} tcp {words} ttl 63");
        expect(&mut world, WAN, &tcp(OUTSIDE, &local, flags).via_gateway(), &line);
        let line = format!("wan: {local} > {OUTSIDE} tcp ack ttl 63");
        expect(&mut world, LAN, &tcp(ASKER, OUTSIDE, ACK).via_server(), &line);
    }
    assert_eq!(world.counters(0).created.get(), 1);
}

/// Byte by byte: one address and one port, one off the time to live, and what that does to both checksums.
#[test]
fn a_datagram_and_its_answer_byte_by_byte() {
    let mut world = World::new(&plan());
    let sent = world.receive(LAN, &udp(ASKER, OUTSIDE, b"who?").via_server()).remove(0);
    let port = port_of(&sent, "192.0.2.50");
    let expected = udp(&format!("192.0.2.50:{port}"), OUTSIDE, b"who?").ttl(63);
    assert_eq!(dump(&sent.frame), dump(&ethernet(GATEWAY_MAC, WAN_MAC, 0x0800, &expected.bytes())));
    let answer = udp(OUTSIDE, &format!("192.0.2.50:{port}"), b"me").via_gateway();
    let sent = world.receive(WAN, &answer).remove(0);
    let expected = udp(OUTSIDE, ASKER, b"me").ttl(63);
    assert_eq!(dump(&sent.frame), dump(&ethernet(SERVER_MACS[0], LAN_MAC, 0x0800, &expected.bytes())));
}

#[test]
fn ipv6_is_translated_as_well() {
    let mut world = World::new(&one_server6(Method::Nat).snat());
    let sent = world.receive(LAN, &udp6(ASKER6, OUTSIDE6, b"who?").via_server()).remove(0);
    let port = port_of(&sent, "[2001:db8:1::50]");
    let local = format!("[2001:db8:1::50]:{port}");
    assert_eq!(sent.line(), format!("wan: {local} > {OUTSIDE6} udp ttl 63"));
    let line = format!("lan: {OUTSIDE6} > {ASKER6} udp ttl 63");
    expect(&mut world, WAN, &udp6(OUTSIDE6, &local, b"me").via_gateway(), &line);
    // The rest of its flow goes the plain way.
    let line = format!("wan: {local} > {OUTSIDE6} udp ttl 63");
    expect(&mut world, LAN, &udp6(ASKER6, OUTSIDE6, b"again").via_server(), &line);
}

#[test]
fn without_a_rule_nothing_leaves_and_the_reason_names_the_option() {
    let mut world = World::new(&one_server(Method::Nat));
    expect_nothing(&mut world, LAN, &tcp(ASKER, OUTSIDE, SYN).via_server());
    expect_nothing(&mut world, LAN, &udp(ASKER, OUTSIDE, b"?").via_server());
    expect_nothing(&mut world, LAN, &echo(SERVERS[0], CLIENT_IP).via_server());
    let broken =
        icmp(SERVERS[0], CLIENT_IP, Icmpv4Type::Unknown { type_u8: 13, code_u8: 0, bytes5to8: [0; 4] }, &[]);
    expect_nothing(&mut world, LAN, &broken.via_server());
    assert_eq!(world.dropped(DropReason::NoSnat), 4);
    assert!(DropReason::NoSnat.explanation().contains("`[[snat]]`"));
    // Of somebody who is no server, it is as before.
    expect_nothing(&mut world, LAN, &tcp("198.51.100.77:4000", OUTSIDE, SYN).via_server());
    assert_eq!(world.dropped(DropReason::NotForUs), 1);
}

#[test]
fn other_protocols_do_not_pass_and_the_reason_says_so() {
    let mut world = World::new(&plan());
    expect_nothing(&mut world, LAN, &sctp::of_client(ASKER, OUTSIDE, sctp::INIT).via_server());
    assert_eq!(world.dropped(DropReason::NoSnat), 1);
}

#[test]
fn only_what_leaves_by_the_rules_interface_is_translated() {
    let mut plan = plan();
    plan.snat[0].interface = Some("lan".into());
    let mut world = World::new(&plan);
    expect_nothing(&mut world, LAN, &tcp(ASKER, OUTSIDE, SYN).via_server());
    assert_eq!(world.dropped(DropReason::NoSnat), 1);
    plan.snat[0].interface = Some("wan".into());
    world.exchange(&plan);
    assert_eq!(world.receive(LAN, &tcp(ASKER, OUTSIDE, SYN).via_server()).len(), 1);
}

#[test]
fn a_vip_is_reached_as_any_client_reaches_it() {
    let mut plan = two_servers(Method::FullNat).snat();
    plan.first().servers[0].weight = 0;
    let mut world = World::new(&plan);
    let sent = world.receive(LAN, &tcp(ASKER, "192.0.2.100:80", SYN).via_server()).remove(0);
    assert!(sent.line().starts_with("lan: 198.51.100.20:"), "by FullNAT: {}", sent.line());
}

#[test]
fn whom_a_server_asks_may_be_on_an_attached_network() {
    let mut world = World::new(&plan());
    let mac = Mac([2, 0, 0, 0, 3, 53]);
    let resolver = Ipv4Addr::new(192, 0, 2, 53);
    world.stations.push(Station { port: WAN, address: resolver.into(), mac });
    let sent = world.receive(LAN, &udp(ASKER, "192.0.2.53:53", b"?").via_server()).remove(0);
    assert_eq!(sent.frame[..6], mac.0, "it is asked directly");
    let local = sent.source();
    let line = format!("lan: 192.0.2.53:53 > {ASKER} udp ttl 63");
    expect(&mut world, WAN, &udp("192.0.2.53:53", &local, b"!").via_gateway(), &line);
}

#[test]
fn one_arm_is_enough() {
    let mut world = World::new(&plan().one_arm());
    world.stations.iter_mut().for_each(|station| station.port = WAN);
    world.pass(10_000);
    let sent = world.receive(WAN, &tcp(ASKER, OUTSIDE, SYN).via_gateway()).remove(0);
    let local = sent.source();
    assert_eq!(sent.line(), format!("wan: {local} > {OUTSIDE} tcp syn ttl 63"));
    let line = format!("wan: {OUTSIDE} > {ASKER} tcp syn ack ttl 63");
    expect(&mut world, WAN, &tcp(OUTSIDE, &local, SYN | ACK).via_gateway(), &line);
}

#[test]
fn nobody_outside_borrows_a_servers_address() {
    let mut world = World::new(&plan());
    expect_nothing(&mut world, WAN, &tcp(ASKER, OUTSIDE, SYN).via_gateway());
    assert_eq!(world.dropped(DropReason::WrongPort), 1);
    // Nor ends a connection with it.
    let local = world.receive(LAN, &tcp(ASKER, OUTSIDE, SYN).via_server())[0].source();
    assert_eq!(world.receive(WAN, &tcp(OUTSIDE, &local, SYN | ACK).via_gateway()).len(), 1);
    assert_eq!(world.receive(LAN, &tcp(ASKER, OUTSIDE, ACK).via_server()).len(), 1);
    expect_nothing(&mut world, WAN, &tcp(ASKER, OUTSIDE, RST).via_gateway());
    assert_eq!(world.dropped(DropReason::WrongPort), 2);
}

/// RFC 5961 3.2: a forged reset would have to guess what the server has acknowledged.
#[test]
fn a_reset_from_outside_that_nobody_expects_changes_nothing() {
    let mut world = World::new(&plan());
    let local = world.receive(LAN, &tcp(ASKER, OUTSIDE, SYN).via_server())[0].source();
    world.receive(WAN, &tcp(OUTSIDE, &local, SYN | ACK).via_gateway());
    let mut acknowledgement = tcp(ASKER, OUTSIDE, ACK);
    acknowledgement.set_acknowledgement(0x1000_0000);
    world.receive(LAN, &acknowledgement.via_server());
    let state = |world: &World| world.connections()[0].state.name();
    for (sequence, after) in [(0x7000_0000, "ESTABLISHED"), (0x1000_0100, "CLOSE")] {
        let mut reset = tcp(OUTSIDE, &local, RST);
        reset.set_sequence(sequence);
        assert_eq!(world.receive(WAN, &reset.via_gateway()).len(), 1, "the server decides for itself");
        assert_eq!(state(&world), after);
    }
}

/// RFC 5382 REQ-4: a SYN that nobody has asked for is met with silence.
#[test]
fn what_nobody_has_asked_for_goes_nowhere() {
    let mut world = World::new(&plan());
    expect_nothing(&mut world, WAN, &tcp(OUTSIDE, "192.0.2.50:22", SYN).via_gateway());
    expect_nothing(&mut world, WAN, &udp(OUTSIDE, "192.0.2.50:5353", b"?").via_gateway());
    assert_eq!(world.dropped(DropReason::NoConnection), 2);
    // What belongs to a connection that is not known any more is told so, on both sides.
    let line = format!("wan: 192.0.2.50:44000 > {OUTSIDE} tcp rst ack ttl 64");
    let stale = tcp(OUTSIDE, "192.0.2.50:44000", FIN).via_gateway();
    let sent = world.lines(WAN, &stale);
    assert!(sent == [line.clone()] || sent == [line.replace(" ack", "")], "{sent:?}");
    let sent = world.lines(LAN, &tcp(ASKER, OUTSIDE, ACK).via_server());
    assert_eq!(sent, [format!("lan: {OUTSIDE} > {ASKER} tcp rst ttl 64")]);
}

#[test]
fn a_ping_to_the_rules_address_is_answered() {
    let mut world = World::new(&plan());
    let line = "wan: 192.0.2.50 > 203.0.113.10 icmp echo reply ttl 64";
    expect(&mut world, WAN, &echo(CLIENT_IP, OUTBOUND).via_gateway(), line);
}

#[test]
fn errors_come_back_to_who_asked_and_quote_what_it_sent() {
    let mut world = World::new(&plan());
    let sent = world.receive(LAN, &tcp(ASKER, OUTSIDE, SYN).via_server()).remove(0);
    let quote = read::ipv4_packet(&sent.frame).unwrap();
    let too_big = |mtu| {
        Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu })
    };
    let kinds = [
        (too_big(1_300), "too big for 1300"),
        (Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit), "time exceeded"),
    ];
    for (kind, words) in kinds {
        let error = icmp(FAR_ROUTER, OUTBOUND, kind, quote).via_gateway();
        let sent = world.lines(WAN, &error);
        assert_eq!(sent.len(), 1, "{words}");
        let line = format!(
            "lan: {FAR_ROUTER} > 198.51.100.11 icmp {words} [{ASKER} > {OUTSIDE} tcp syn ttl 63] ttl 63"
        );
        assert_eq!(sent, [line]);
    }
    // About a connection that is not there.
    let other = tcp("192.0.2.50:2", OUTSIDE, SYN).bytes();
    expect_nothing(&mut world, WAN, &icmp(FAR_ROUTER, OUTBOUND, too_big(1_300), &other).via_gateway());
}

#[test]
fn errors_about_answers_leave_with_the_rules_address() {
    let mut world = World::new(&plan());
    let local = world.receive(LAN, &udp(ASKER, OUTSIDE, b"?").via_server())[0].source();
    let sent = world.receive(WAN, &udp(OUTSIDE, &local, b"!").via_gateway()).remove(0);
    let quote = read::ipv4_packet(&sent.frame).unwrap();
    let port = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
    let error = icmp(SERVERS[0], "203.0.113.53".parse().unwrap(), port, quote).via_server();
    let line = format!(
        "wan: 192.0.2.50 > 203.0.113.53 icmp port unreachable [{OUTSIDE} > {local} udp ttl 63] ttl 63"
    );
    expect(&mut world, LAN, &error, &line);
}

#[test]
fn what_does_not_fit_the_way_out_is_answered_or_cut() {
    let mut world = World::new(&plan().mtu(WAN, 1_000));
    let large = |dont| {
        let packet = udp(ASKER, OUTSIDE, &[b'x'; 1_200]);
        if dont { packet } else { packet.may_fragment() }
    };
    let line = format!(
        "lan: 198.51.100.1 > 198.51.100.11 icmp too big for 1000 [{ASKER} > {OUTSIDE} udp ttl 64] ttl 64"
    );
    for _ in 0..2 {
        expect(&mut world, LAN, &large(true).via_server(), &line);
        // The first of its flow, then one of a connection that is known.
        let sent = world.receive(LAN, &large(false).via_server());
        let packets: Vec<_> = sent.iter().map(|it| read::ipv4_packet(&it.frame).unwrap()).collect();
        assert_eq!(packets.len(), 2);
        assert_eq!(assemble(packets)[0].len(), 20 + 8 + 1_200);
    }
    let sent = world.lines(LAN, &udp(ASKER, OUTSIDE, b"?").ttl(1).via_server());
    assert!(sent[0].starts_with("lan: 198.51.100.1 > 198.51.100.11 icmp time exceeded"), "{sent:?}");
}

#[test]
fn fragments_of_both_directions_follow_their_connection_in_any_order() {
    let mut world = World::new(&plan());
    let mut local = None;
    for (round, reversed) in [(1, false), (2, true)] {
        let whole = udp(ASKER, OUTSIDE, &[b'q'; 3_000]).may_fragment().bytes();
        let mut pieces = even(&whole, round, 1_000);
        if reversed {
            pieces.reverse();
        }
        let mut sent = Vec::new();
        for piece in &pieces {
            sent.extend(world.receive(LAN, &frame(LAN, piece)));
        }
        let packets = assemble(sent.iter().map(|it| read::ipv4_packet(&it.frame).unwrap()));
        assert_eq!(packets.len(), 1, "round {round}: {:?}", sent.iter().map(Sent::line).collect::<Vec<_>>());
        let port = u16::from_be_bytes([packets[0][20], packets[0][21]]);
        assert_eq!(packets[0][12..16], OUTBOUND.octets());
        let from = format!("192.0.2.50:{port}");
        assert_eq!(*local.get_or_insert(from.clone()), from, "one connection");

        let whole = udp(OUTSIDE, &from, &[b'a'; 3_000]).may_fragment().bytes();
        let mut pieces = even(&whole, 0x100 + round, 1_000);
        if reversed {
            pieces.reverse();
        }
        let mut sent = Vec::new();
        for piece in &pieces {
            sent.extend(world.receive(WAN, &frame(WAN, piece)));
        }
        let packets = assemble(sent.iter().map(|it| read::ipv4_packet(&it.frame).unwrap()));
        let mut expected = udp(OUTSIDE, ASKER, &[b'a'; 3_000]).may_fragment().ttl(63);
        expected.header.identification = 0x100 + round as u16;
        assert_eq!(packets, [expected.bytes()]);
    }
}

#[test]
fn on_standby_nothing_leaves() {
    let mut world = World::new(&plan().role(Role::Standby));
    expect_nothing(&mut world, LAN, &tcp(ASKER, OUTSIDE, SYN).via_server());
    assert_eq!(world.dropped(DropReason::Standby), 1);
    let asked = arp_request((GATEWAY_MAC, GATEWAY), OUTBOUND);
    expect_nothing(&mut world, WAN, &asked);
}

#[test]
fn the_rules_address_is_found_by_arp() {
    let mut world = World::new(&plan());
    let sent = world.receive(WAN, &arp_request((GATEWAY_MAC, GATEWAY), OUTBOUND));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].frame[22..28], WAN_MAC.0);
}

/// A server that answers for a service of any port seems to answer whatever it sends; a SYN says that it does not.
#[test]
fn a_server_of_a_service_may_begin_from_the_services_port() {
    let mut world = World::new(&plan());
    let from_service = "198.51.100.11:8080";
    let sent = world.receive(LAN, &tcp(from_service, OUTSIDE, SYN).via_server()).remove(0);
    let local = sent.source();
    assert!(local.starts_with("192.0.2.50:"));
    let line = format!("lan: {OUTSIDE} > {from_service} tcp syn ack ttl 63");
    expect(&mut world, WAN, &tcp(OUTSIDE, &local, SYN | ACK).via_gateway(), &line);
    // A datagram from there is a late answer, which must not come from another address.
    let mut world = World::new(&plan().udp());
    expect_nothing(&mut world, LAN, &udp(from_service, OUTSIDE, b"late").via_server());
    assert_eq!(world.dropped(DropReason::NoConnection), 1);
}

#[test]
fn what_has_no_route_and_what_is_of_one_link_goes_nowhere() {
    let mut plan = plan();
    plan.routes.clear();
    let mut world = World::new(&plan);
    expect_nothing(&mut world, LAN, &tcp(ASKER, OUTSIDE, SYN).via_server());
    assert_eq!(world.dropped(DropReason::NoRoute), 1);
    for to in ["224.0.0.251:5353", "255.255.255.255:67", "192.0.2.255:137"] {
        expect_nothing(&mut world, LAN, &udp(ASKER, to, b"?").via_server());
    }
    assert_eq!(world.dropped(DropReason::NotForUs), 3);
}
