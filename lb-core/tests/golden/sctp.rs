//! SCTP through each method: addresses, ports, a checksum that covers the latter, and what is answered.

use super::{
    common::{fragments, frame::*, plan::*, read, sctp::*, world::World},
    expect, expect_nothing,
};
use lb_core::{
    conn::state::State,
    counters::DropReason,
    memory::MemoryPacket,
    packet::Checksum,
    service::{
        key::Protocol,
        plan::{Method, Plan},
    },
};
use std::collections::BTreeSet;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const SERVER: &str = "198.51.100.11:8080";

fn of_sctp(mut plan: Plan) -> Plan {
    plan.services.iter_mut().for_each(|service| service.protocol = Protocol::Sctp);
    plan
}

fn plan(method: Method) -> Plan {
    of_sctp(one_server(method))
}

fn world(method: Method) -> World {
    World::new(&plan(method))
}

fn from_client(world: &mut World, kind: u8) -> Vec<String> {
    world.lines(WAN, &of_client(CLIENT, SERVICE, kind).via_gateway())
}

fn from_server(world: &mut World, kind: u8) -> Vec<String> {
    world.lines(LAN, &of_server(SERVER, CLIENT, kind).via_server())
}

fn state(world: &World) -> State {
    let connections = world.connections();
    assert_eq!(connections.len(), 1);
    connections[0].state
}

/// An association under NAT, established.
fn established() -> World {
    let mut world = world(Method::Nat);
    for (is_client, kind) in [(true, INIT), (false, INIT_ACK), (true, COOKIE_ECHO), (false, COOKIE_ACK)] {
        let lines = if is_client { from_client(&mut world, kind) } else { from_server(&mut world, kind) };
        assert_eq!(lines.len(), 1, "{kind}");
    }
    assert_eq!(state(&world), State::SctpEstablished);
    world
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Byte for byte what scapy makes of the same packets; see `sctp.py`. Untagged and tagged.
#[test]
fn every_packet_is_as_an_independent_program_makes_it() {
    for tag in [None, Some(0)] {
        let mut seen = BTreeSet::new();
        let (mut world, mut of) = (None, None);
        for line in include_str!("sctp.txt").lines() {
            let [family, way, port, what, before, after] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            if of != Some((family, way)) {
                let method = if way == "same" { Method::Nat } else { way.parse().unwrap() };
                let mut plan = if family == "4" { one_server(method) } else { one_server6(method) };
                if way == "same" {
                    plan.first().servers[0].port = 80;
                }
                (world, of) = (Some(World::new(&of_sctp(plan))), Some((family, way)));
            }
            let world = world.as_mut().unwrap();
            let port = if port == "wan" { WAN } else { LAN };
            let arrives = fragments::frame(port, &bytes(before));
            let arrives = tag.map_or(arrives.clone(), |tag| tagged(&arrives, tag));
            let sent = world.receive(port, &arrives);
            assert_eq!(sent.len(), 1, "IPv{family} {way} {what}");
            assert_eq!(sent[0].frame[14..], bytes(after), "IPv{family} {way} {what}");
            seen.insert((family, way, port.0, what));
        }
        assert_eq!(seen.len(), 56);
    }
}

#[test]
fn fullnat_changes_all_ends_in_either_family_and_both_directions() {
    let mut world = world(Method::FullNat);
    let sent = world.receive(WAN, &of_client(CLIENT, SERVICE, INIT).via_gateway()).remove(0);
    let local = sent.source();
    assert!(local.starts_with("198.51.100.20:"), "{local}");
    let reply = of_server(SERVER, &local, INIT_ACK).via_server();
    expect(&mut world, LAN, &reply, "wan: 192.0.2.100:80 > 203.0.113.10:4000 sctp init-ack ttl 63");
    let line = format!("lan: {local} > 198.51.100.11:8080 sctp data ttl 63");
    expect(&mut world, WAN, &of_client(CLIENT, SERVICE, DATA).via_gateway(), &line);

    let mut world = World::new(&of_sctp(one_server6(Method::FullNat)));
    let (client, service) = ("[2001:db8:a::10]:4000", "[2001:db8:1::100]:80");
    let sent = world.receive(WAN, &of_client6(client, service, INIT).via_gateway()).remove(0);
    let local = sent.source();
    assert!(local.starts_with("[2001:db8:2::20]:"), "{local}");
    let reply = of_server6("[2001:db8:2::11]:8080", &local, INIT_ACK).via_server();
    expect(&mut world, LAN, &reply, "wan: [2001:db8:1::100]:80 > [2001:db8:a::10]:4000 sctp init-ack ttl 63");
}

/// The server puts the VIP back, which the checksum does not cover.
#[test]
fn l3dsr_changes_the_address_and_no_checksum_of_sctp() {
    let frame = of_client(CLIENT, SERVICE, INIT).via_gateway();
    let line = "lan: 203.0.113.10:4000 > 198.51.100.11:80 sctp init ttl 63";
    let sent = expect(&mut world(Method::L3Dsr), WAN, &frame, line);
    assert_eq!((sent.frame[15] >> 2, &sent.frame[34..]), (DSCP, &frame[34..]));
}

/// A server answers each INIT with another tag, and the client takes the first that comes. What it then says has that one.
#[test]
fn the_tag_of_an_association_is_the_one_that_the_client_has_taken() {
    let (first, other) = (0x5e12_0001_u32, 0x5e12_0003_u32);
    for answers in [[first, other], [other, first]] {
        for late in [false, true] {
            let mut world = world(Method::Nat);
            from_client(&mut world, INIT);
            from_client(&mut world, INIT);
            let answer = |tag: u32| {
                let (_, mut chunk) = says(false, INIT_ACK);
                chunk[4..8].copy_from_slice(&tag.to_be_bytes());
                sctp(SERVER, CLIENT, CLIENTS_TAG, &[chunk]).via_server()
            };
            let of_client = |kind| sctp(CLIENT, SERVICE, first, &[says(true, kind).1]).via_gateway();
            assert_eq!(world.lines(LAN, &answer(answers[0])).len(), 1);
            if !late {
                assert_eq!(world.lines(LAN, &answer(answers[1])).len(), 1);
            }
            world.receive(WAN, &of_client(COOKIE_ECHO));
            if late {
                world.receive(LAN, &answer(answers[1]));
            }
            from_server(&mut world, COOKIE_ACK);
            assert_eq!(state(&world), State::SctpEstablished);
            // Somebody else's changes nothing, the client's own does.
            for kind in [SHUTDOWN, ABORT] {
                world.receive(WAN, &sctp(CLIENT, SERVICE, other, &[says(true, kind).1]).via_gateway());
                assert_eq!(state(&world), State::SctpEstablished, "{answers:x?}, late: {late}");
            }
            world.receive(WAN, &of_client(SHUTDOWN));
            assert_eq!(state(&world), State::SctpShutdownReceived, "{answers:x?}, late: {late}");
        }
    }
}

#[test]
fn an_association_is_followed_from_its_beginning_to_its_end() {
    let mut world = established();
    assert_eq!(world.board.total(world.connections()[0].server).active, 1);
    for (is_client, kind, expected) in [
        (true, DATA, State::SctpEstablished),
        (false, SACK, State::SctpEstablished),
        (true, SHUTDOWN, State::SctpShutdownReceived),
        (false, SHUTDOWN_ACK, State::SctpShutdownAckSent),
        (true, SHUTDOWN_COMPLETE, State::SctpClosed),
    ] {
        let lines = if is_client { from_client(&mut world, kind) } else { from_server(&mut world, kind) };
        assert_eq!(lines.len(), 1, "{kind}");
        assert_eq!(state(&world), expected, "{kind}");
    }
    // The next one of the same client begins anew.
    from_client(&mut world, INIT);
    assert_eq!(state(&world), State::SctpInit1);
    assert_eq!(world.counters(0).created.get(), 2);
    // It is waited for four seconds.
    world.pass(3_500);
    assert_eq!(world.connections().len(), 1);
    world.pass(1_500);
    assert!(world.connections().is_empty());
}

/// Where another director knows it, or nobody does.
#[test]
fn only_an_init_opens_an_association_unless_the_service_adopts() {
    for kind in [DATA, SACK, SHUTDOWN, COOKIE_ECHO] {
        let mut world = world(Method::Dr);
        let abort = "wan: 192.0.2.100:80 > 203.0.113.10:4000 sctp abort ttl 64";
        assert_eq!(from_client(&mut world, kind), [abort], "chunk {kind}");
        assert!(world.connections().is_empty());
    }
    for kind in [DATA, SACK, HEARTBEAT, SHUTDOWN, COOKIE_ECHO] {
        let mut plan = plan(Method::Dr);
        plan.first().adopt = true;
        let mut world = World::new(&plan);
        assert_eq!(from_client(&mut world, kind).len(), 1, "chunk {kind}");
        assert_eq!(world.connections().len(), 1);
    }
}

/// RFC 9260 8.4: with the tag that the sender expects, or with its own and bit T.
#[test]
fn what_is_of_no_association_is_answered_as_a_host_would() {
    let line = "wan: 192.0.2.100:81 > 203.0.113.10:4000 sctp abort ttl 64";
    let frame = of_client(CLIENT, "192.0.2.100:81", INIT).via_gateway();
    let sent = expect(&mut world(Method::Nat), WAN, &frame, line);
    assert_eq!(sent.frame[38..42], CLIENTS_TAG.to_be_bytes());
    assert_eq!(sent.frame[46..], [ABORT, 0, 0, 4]);

    let frame = of_client(CLIENT, "192.0.2.100:81", DATA).via_gateway();
    let sent = expect(&mut world(Method::Nat), WAN, &frame, line);
    assert_eq!(sent.frame[38..42], SERVERS_TAG.to_be_bytes());
    assert_eq!(sent.frame[46..], [ABORT, 1, 0, 4]);

    let frame = of_client(CLIENT, SERVICE, SHUTDOWN_ACK).via_gateway();
    let line = "wan: 192.0.2.100:80 > 203.0.113.10:4000 sctp shutdown-complete ttl 64";
    expect(&mut world(Method::Nat), WAN, &frame, line);

    let mut world = World::new(&of_sctp(one_server6(Method::Nat)));
    let frame = of_client6("[2001:db8:a::10]:4000", "[2001:db8:1::100]:81", INIT).via_gateway();
    expect(&mut world, WAN, &frame, "wan: [2001:db8:1::100]:81 > [2001:db8:a::10]:4000 sctp abort ttl 64");
}

/// A client with a second address asks by a heartbeat whether that leads to the server as well. It does not, and the
/// association by the first one goes on.
#[test]
fn what_must_not_be_answered_is_not() {
    let mut world = world(Method::Nat);
    for kind in [ABORT, SHUTDOWN_COMPLETE, COOKIE_ACK, ERROR, HEARTBEAT] {
        assert!(from_client(&mut world, kind).is_empty(), "chunk {kind}");
    }
    assert_eq!(world.dropped(DropReason::NoConnection), 5);
}

/// Whoever gives up says so with the tag that the other side has told it. Anybody else guesses.
#[test]
fn an_abort_with_another_tag_passes_and_closes_nothing() {
    for (tag, expected) in [(SERVERS_TAG ^ 1, State::SctpEstablished), (SERVERS_TAG, State::SctpClosed)] {
        let mut world = established();
        let abort = sctp(CLIENT, SERVICE, tag, &[chunk(ABORT, 0, &[])]).via_gateway();
        expect(&mut world, WAN, &abort, "lan: 203.0.113.10:4000 > 198.51.100.11:8080 sctp abort ttl 63");
        assert_eq!(state(&world), expected);
    }
}

#[test]
fn what_opens_or_changes_something_must_be_undamaged() {
    let damaged = |mut packet: Ip| {
        *packet.payload.last_mut().unwrap() ^= 1;
        packet
    };
    // A port that says it is good has not looked, most likely.
    for verdict in [Checksum::Unknown, Checksum::Good, Checksum::Bad] {
        let arrives = |world: &mut World, port, frame: Vec<u8>| {
            let mut packet = MemoryPacket::new(port, &frame);
            packet.l4_checksum = verdict;
            world.packets(0, &[packet])
        };
        let mut world = world(Method::Nat);
        assert!(arrives(&mut world, WAN, damaged(of_client(CLIENT, SERVICE, INIT)).via_gateway()).is_empty());
        assert!(
            arrives(&mut world, WAN, damaged(of_client(CLIENT, "192.0.2.100:81", INIT)).via_gateway())
                .is_empty()
        );
        let mut world = established();
        assert!(
            arrives(&mut world, WAN, damaged(of_client(CLIENT, SERVICE, SHUTDOWN)).via_gateway()).is_empty()
        );
        assert!(
            arrives(&mut world, LAN, damaged(of_server(SERVER, CLIENT, SHUTDOWN)).via_server()).is_empty()
        );
        assert_eq!(world.dropped(DropReason::BadL4Checksum), 2);
        assert_eq!(state(&world), State::SctpEstablished);
        // What changes nothing passes, as wrong as it was, although its port changes.
        let frame = damaged(of_client(CLIENT, SERVICE, DATA)).via_gateway();
        let right = of_client(CLIENT, SERVER, DATA);
        let sent = arrives(&mut world, WAN, frame).remove(0);
        assert_eq!(sent.frame[34..46], right.payload[..12], "the checksum of what it was");
        assert!(read::check_ipv4(read::ipv4_packet(&sent.frame).unwrap()).is_err());
    }
    let mut plan = plan(Method::Nat);
    plan.verify_checksums = false;
    let sent = World::new(&plan).receive(WAN, &damaged(of_client(CLIENT, SERVICE, INIT)).via_gateway());
    assert_eq!(sent.len(), 1, "not if nobody is to look");
}

/// RFC 9653: both sides may have agreed to leave it out, but for what opens an association.
#[test]
fn a_checksum_of_zero_stays() {
    let zeroed = |mut packet: Ip| {
        packet.payload[8..12].fill(0);
        packet.via_gateway()
    };
    let mut world = established();
    for kind in [DATA, SHUTDOWN] {
        let sent = world.receive(WAN, &zeroed(of_client(CLIENT, SERVICE, kind))).remove(0);
        assert_eq!(sent.frame[42..46], [0; 4]);
    }
    assert_eq!(state(&world), State::SctpShutdownReceived);
    let mut world = super::sctp::world(Method::Nat);
    expect_nothing(&mut world, WAN, &zeroed(of_client(CLIENT, SERVICE, INIT)));
    assert_eq!(world.dropped(DropReason::BadL4Checksum), 1);
}

/// How long the packet is, which its checksum depends on, only the last fragment tells.
#[test]
fn fragments_pass_where_ports_stay() {
    let whole = |to: &str| sctp(CLIENT, to, SERVERS_TAG, &[chunk(DATA, 3, &[7; 400])]);
    for (method, port, passes) in [
        (Method::Dr, 80, true),
        (Method::Tun, 80, true),
        (Method::Nat, 80, true),
        (Method::Nat, 8080, false),
        (Method::FullNat, 80, false),
    ] {
        let mut plan = plan(method);
        plan.first().servers[0].port = port;
        let mut world = World::new(&plan);
        from_client(&mut world, INIT);
        let pieces = fragments::even(&whole(SERVICE).bytes(), 7, 200);
        let frames: Vec<_> = pieces.iter().map(|piece| (WAN, fragments::frame(WAN, piece))).collect();
        let sent = world.burst(0, &frames);
        if !passes {
            assert_eq!(world.dropped(DropReason::Fragment), 1, "{method} to port {port}");
            continue;
        }
        assert_eq!(sent.len(), pieces.len(), "{method} to port {port}");
        if method != Method::Tun {
            let packets: Vec<_> = sent.iter().map(|sent| read::ipv4_packet(&sent.frame).unwrap()).collect();
            let assembled = fragments::assemble(packets);
            assert_eq!(assembled.len(), 1);
            read::check_ipv4(&assembled[0]).unwrap();
        }
    }
}

/// What no receiver takes is not taken for anything here: RFC 9260 3.2, 6.10 and 8.5.1.
#[test]
fn a_packet_that_is_not_whole_ends_here() {
    let mut world = world(Method::Nat);
    let init = says(true, INIT).1;
    let long = |len: u16| [&[DATA, 3], len.to_be_bytes().as_slice(), &[0; 12]].concat();
    for (what, packet) in [
        ("no chunk", sctp(CLIENT, SERVICE, 1, &[])),
        ("a chunk longer than the packet", sctp(CLIENT, SERVICE, 1, &[long(17)])),
        ("a chunk shorter than its header", sctp(CLIENT, SERVICE, 1, &[long(3)])),
        ("an INIT with a tag", sctp(CLIENT, SERVICE, 1, std::slice::from_ref(&init))),
        ("an INIT in front of data", sctp(CLIENT, SERVICE, 0, &[init.clone(), says(true, DATA).1])),
        ("an INIT behind data", sctp(CLIENT, SERVICE, 0, &[says(true, DATA).1, init.clone()])),
        ("the same with a tag", sctp(CLIENT, SERVICE, SERVERS_TAG, &[says(true, SACK).1, init])),
        ("an INIT ACK behind data", sctp(CLIENT, SERVICE, 1, &[says(true, DATA).1, says(true, INIT_ACK).1])),
        ("an INIT that is too short", sctp(CLIENT, SERVICE, 0, &[chunk(INIT, 0, &[0; 8])])),
    ] {
        let before = world.dropped(DropReason::BadL4);
        expect_nothing(&mut world, WAN, &packet.via_gateway());
        assert_eq!(world.dropped(DropReason::BadL4), before + 1, "{what}");
    }
}

/// IPVS looks at the first chunk alone.
#[test]
fn what_means_most_may_stand_behind_other_chunks() {
    let behind = |kinds: &[u8]| {
        let chunks: Vec<_> = kinds.iter().map(|kind| says(true, *kind).1).collect();
        sctp(CLIENT, SERVICE, SERVERS_TAG, &chunks).via_gateway()
    };
    for (kinds, expected) in [
        (&[SACK, DATA] as &[u8], State::SctpEstablished),
        (&[SACK, SHUTDOWN], State::SctpShutdownReceived),
        (&[SHUTDOWN, SACK], State::SctpShutdownReceived),
        (&[ERROR, ABORT], State::SctpClosed),
        (&[SACK, COOKIE_ECHO, ABORT], State::SctpClosed),
    ] {
        let mut world = established();
        assert_eq!(world.receive(WAN, &behind(kinds)).len(), 1);
        assert_eq!(state(&world), expected, "{kinds:?}");
    }
}

/// The same ports in all protocols are three connections.
#[test]
fn a_service_may_have_all_protocols() {
    let mut plan = one_server(Method::Nat);
    plan.first().beside.protocols = vec![Protocol::Udp, Protocol::Sctp];
    let mut world = World::new(&plan);
    let to = "> 198.51.100.11:8080";
    let frames = [
        tcp(CLIENT, SERVICE, SYN).via_gateway(),
        udp(CLIENT, SERVICE, b"?").via_gateway(),
        of_client(CLIENT, SERVICE, INIT).via_gateway(),
    ];
    for _ in 0..2 {
        for frame in &frames {
            let lines = world.lines(WAN, frame);
            assert!(lines.len() == 1 && lines[0].contains(to), "{lines:?}");
        }
    }
    assert_eq!(world.connections().len(), 3);
    let replies = [
        tcp(SERVER, CLIENT, SYN | ACK).via_server(),
        udp(SERVER, CLIENT, b"!").via_server(),
        of_server(SERVER, CLIENT, INIT_ACK).via_server(),
    ];
    for reply in &replies {
        let lines = world.lines(LAN, reply);
        assert!(lines.len() == 1 && lines[0].contains("192.0.2.100:80 >"), "{lines:?}");
    }
}

#[test]
fn a_server_that_refuses_is_counted_and_another_may_get_the_next() {
    let mut world = World::new(&of_sctp(two_servers(Method::Nat)));
    from_client(&mut world, INIT);
    let first = world.connections()[0].server_address;
    let refused = sctp(
        &format!("{}:8080", std::net::Ipv4Addr::from(first)),
        CLIENT,
        CLIENTS_TAG,
        &[chunk(ABORT, 0, &[])],
    );
    assert_eq!(world.receive(LAN, &refused.via_server()).len(), 1);
    assert_eq!(state(&world), State::SctpRejected);
    from_client(&mut world, INIT);
    assert_ne!(world.connections()[0].server_address, first);
}
