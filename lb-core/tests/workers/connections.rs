//! The life of connections: when they begin, whose they are, when they are forgotten, and who is turned away.

use crate::common::{
    frame::*,
    plan::*,
    world::{Sent, Setup, Station, World},
};
use lb_core::{
    conn::{
        entry::Direction::{self, In, Out},
        state::State,
    },
    counters::DropReason,
    decide::Origin,
    explanation::Outcome,
    family::V4,
    memory::MemoryPacket,
    service::plan::{Health, Mac, Method, Plan, SchedulerKind},
    time::Duration,
};

use std::collections::HashSet;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const SERVER: &str = "198.51.100.11:8080";

/// From which side a segment comes, and its flags.
type Segment = (Direction, u8);

fn send(world: &mut World, segment: Segment) -> Vec<String> {
    receive(world, segment).iter().map(Sent::line).collect()
}

fn receive(world: &mut World, (from, flags): Segment) -> Vec<Sent> {
    match from {
        In => world.receive(WAN, &tcp(CLIENT, SERVICE, flags).via_gateway()),
        Out => world.receive(LAN, &tcp(SERVER, CLIENT, flags).via_server()),
    }
}

fn client(world: &mut World, port: u16, flags: u8) -> Vec<String> {
    world.lines(WAN, &tcp(&format!("203.0.113.10:{port}"), SERVICE, flags).via_gateway())
}

fn states(world: &World) -> Vec<State> {
    world.connections().iter().map(|connection| connection.state).collect()
}

const OPENING: [Segment; 3] = [(In, SYN), (Out, SYN | ACK), (In, ACK)];

#[test]
fn each_state_has_its_own_timeout() {
    let ways: [(State, &[Segment]); 8] = [
        (State::SynSent, &[(In, SYN)]),
        (State::SynRecv, &[(In, SYN), (Out, SYN | ACK)]),
        (State::Established, &[]),
        (State::FinWait, &[(Out, FIN | ACK)]),
        (State::TimeWait, &[(Out, FIN | ACK), (In, FIN | ACK)]),
        (State::CloseWait, &[(In, FIN | ACK)]),
        (State::LastAck, &[(In, FIN | ACK), (Out, FIN | ACK)]),
        (State::Close, &[(In, RST)]),
    ];
    for (number, (state, segments)) in ways.into_iter().enumerate() {
        let timeout_ms = 20_000 + 7_000 * number as u64;
        let mut plan = one_server(Method::Nat);
        plan.first().timeouts.set(state, Duration::from_millis(timeout_ms));
        let mut world = World::new(&plan);
        let opening: &[Segment] = if state.is_half_open() { &[] } else { &OPENING };
        for segment in opening.iter().chain(segments) {
            assert_eq!(send(&mut world, *segment).len(), 1, "{state:?}");
        }
        assert_eq!(states(&world), [state]);
        world.pass(timeout_ms - 100);
        assert_eq!(states(&world), [state], "not before its time");
        world.pass(300);
        assert_eq!(states(&world), [], "{state:?} is forgotten");
    }
}

#[test]
fn the_usual_timeouts() {
    for (method, segments, seconds) in [
        (Method::Nat, &OPENING[..1], 60),
        (Method::Nat, &OPENING[..], 15 * 60),
        (Method::Dr, &[(In, SYN), (In, ACK)], 15 * 60),
        (Method::Tun, &[(In, SYN), (In, ACK), (In, FIN | ACK)], 60),
    ] {
        let mut world = World::new(&one_server(method));
        for segment in segments {
            send(&mut world, *segment);
        }
        world.pass(seconds * 1_000 - 100);
        assert_eq!(world.connections().len(), 1, "{method} {seconds} s");
        world.pass(300);
        assert_eq!(world.connections().len(), 0, "{method} {seconds} s");
    }
}

#[test]
fn packets_of_both_directions_keep_a_flow_alive() {
    let mut world = World::new(&one_server(Method::Nat).udp());
    world.receive(WAN, &udp(CLIENT, SERVICE, b"?").via_gateway());
    for _ in 0..3 {
        world.pass(290_000);
        assert_eq!(world.receive(LAN, &udp(SERVER, CLIENT, b"!").via_server()).len(), 1);
        world.pass(290_000);
        assert_eq!(world.receive(WAN, &udp(CLIENT, SERVICE, b"?").via_gateway()).len(), 1);
    }
    assert_eq!(world.counters(0).created.get(), 1);
    world.pass(300_200);
    assert!(world.connections().is_empty());
    world.receive(LAN, &udp(SERVER, CLIENT, b"!").via_server());
    assert_eq!(world.dropped(DropReason::NoConnection), 1, "a late answer");
}

#[test]
fn many_that_end_together_are_forgotten_a_few_at_a_time() {
    let mut world = World::new(&one_server(Method::Dr));
    for port in 1..=500 {
        client(&mut world, port, SYN);
    }
    world.pass(60_000);
    world.now = world.now + Duration::from_millis(300);
    for left in [436, 372, 308] {
        world.tick();
        assert_eq!(world.connections().len(), left);
    }
    world.pass(1_000);
    assert!(world.connections().is_empty());
}

/// From the opening on, what closes a connection on one side only under NAT, and the state it is in then.
const HALF_CLOSED: [(&[Segment], State); 3] = [
    (&[(Out, FIN | ACK)], State::FinWait),
    (&[(In, FIN | ACK)], State::CloseWait),
    (&[(In, FIN | ACK), (Out, FIN | ACK)], State::LastAck),
];

fn opened_and(world: &mut World, segments: &[Segment]) {
    for segment in OPENING.iter().chain(segments) {
        assert_eq!(send(world, *segment).len(), 1);
    }
}

#[test]
fn a_syn_on_a_connection_that_is_over_starts_a_new_one() {
    let closed: [&[Segment]; 4] = [
        &[(In, RST)],
        &[(Out, RST)],
        &[(Out, FIN | ACK), (In, FIN | ACK)],
        &[(In, FIN | ACK), (Out, FIN | ACK), (In, ACK)],
    ];
    for segments in closed {
        let mut world = World::new(&two_servers(Method::Nat));
        opened_and(&mut world, segments);
        assert_eq!(receive(&mut world, (In, SYN))[0].server(), 12, "the next server in turn");
        assert_eq!(states(&world), [State::SynSent]);
        assert_eq!(world.counters(0).created.get(), 2);
    }
    // Whether the server has closed, too, is not seen.
    for method in [Method::Tun, Method::Dr, Method::L3Dsr] {
        let mut world = World::new(&two_servers(method));
        for segment in [(In, SYN), (In, ACK), (In, FIN | ACK), (In, SYN)] {
            assert_eq!(send(&mut world, segment).len(), 1);
        }
        assert_eq!(states(&world), [State::SynSent], "{method}");
        assert_eq!(world.counters(0).created.get(), 2, "{method}");
    }
}

#[test]
fn a_syn_does_not_end_a_connection_that_still_carries_data() {
    for (segments, state) in [(&[][..], State::Established)].into_iter().chain(HALF_CLOSED) {
        let mut world = World::new(&two_servers(Method::Nat));
        opened_and(&mut world, segments);
        assert_eq!(states(&world), [state]);
        // Anybody's. The server says what it thinks of it.
        assert_eq!(receive(&mut world, (In, SYN))[0].server(), 11, "{state:?}");
        assert_eq!(send(&mut world, (Out, ACK)).len(), 1);
        assert_eq!(states(&world), [state]);
        // Data goes on for as long as it takes, in either direction. What a client acknowledges after both have closed
        // may be the end.
        for from in [Out, In, Out].into_iter().filter(|from| *from == Out || state != State::LastAck) {
            world.pass(29_000);
            assert_eq!(send(&mut world, (from, ACK)).len(), 1, "{state:?}, {from:?}");
            assert_eq!(states(&world), [state]);
        }
        assert_eq!(world.counters(0).created.get(), 1);
        assert_eq!(world.counters(0).ended.get(), 0);
    }
}

#[test]
fn a_client_that_has_forgotten_a_half_closed_connection_opens_another_after_the_servers_challenge() {
    for (segments, state) in HALF_CLOSED {
        let mut world = World::new(&two_servers(Method::Nat));
        opened_and(&mut world, segments);
        for segment in [(In, SYN), (Out, ACK), (In, RST)] {
            assert_eq!(send(&mut world, segment).len(), 1, "{state:?}");
        }
        assert_eq!(states(&world), [State::Close], "{state:?}");
        assert_eq!(receive(&mut world, (In, SYN))[0].server(), 12, "its SYN is repeated");
    }
}

#[test]
fn a_server_that_has_forgotten_a_half_closed_connection_takes_another() {
    for (segments, state) in HALF_CLOSED {
        let mut world = World::new(&two_servers(Method::Nat));
        opened_and(&mut world, segments);
        for segment in OPENING {
            assert_eq!(send(&mut world, segment).len(), 1, "{state:?}");
        }
        assert_eq!(states(&world), [State::Established], "{state:?}");
        world.pass(15 * 60_000 - 100);
        assert_eq!(states(&world), [State::Established], "{state:?}: for as long as any other");
    }
}

#[test]
fn a_half_closed_connection_does_not_give_way_to_the_clients_connection_with_another_vip() {
    let other = tcp(CLIENT, "192.0.2.101:80", SYN).via_gateway();
    for (segments, state) in HALF_CLOSED {
        let mut world = World::new(&two_vips(&[SERVER]));
        opened_and(&mut world, segments);
        world.receive(WAN, &other);
        assert_eq!(states(&world), [state]);
    }
}

#[test]
fn a_segment_of_no_connection_is_reset() {
    for &method in Method::ALL {
        let mut world = World::new(&one_server(method));
        let line = "wan: 192.0.2.100:80 > 203.0.113.10:4000 tcp rst ttl 64";
        for flags in [ACK, FIN | ACK, SYN | ACK] {
            assert_eq!(send(&mut world, (In, flags)), [line], "{method}");
        }
        assert!(world.connections().is_empty());
    }
    let mut world = World::new(&one_server(Method::Nat));
    let line = "lan: 203.0.113.10:4000 > 198.51.100.11:8080 tcp rst ttl 64";
    assert_eq!(send(&mut world, (Out, ACK)), [line], "and so is the server's");
}

#[test]
fn a_segment_of_no_connection_is_adopted_where_configured() {
    for &method in Method::ALL {
        let mut plan = one_server(method);
        plan.first().adopt = true;
        let mut world = World::new(&plan);
        assert!(send(&mut world, (In, ACK))[0].starts_with("lan: "), "{method}");
        assert_eq!(states(&world), [State::Established]);
        let mut world = World::new(&plan);
        for flags in [RST, RST | ACK, SYN | ACK] {
            send(&mut world, (In, flags));
        }
        assert!(world.connections().is_empty(), "these belong to no connection");
    }
}

#[test]
fn a_full_table_forgets_the_oldest_unconfirmed_connection() {
    let setup = Setup { connections: 10, ..Setup::default() };
    let mut world = World::with(&one_server(Method::Dr), setup);
    for port in 1..=10 {
        client(&mut world, port, SYN);
        world.pass(1_000);
    }
    client(&mut world, 1, ACK);
    client(&mut world, 1, ACK);
    assert_eq!(client(&mut world, 11, SYN).len(), 1);
    let mut ports: Vec<_> = world.connections().iter().map(|connection| connection.client_port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [1, 3, 4, 5, 6, 7, 8, 9, 10, 11], "1 goes on for a while, so 2 was the oldest");
    assert_eq!(world.counters(0).evicted.get(), 1);
}

#[test]
fn a_table_full_of_established_connections_takes_no_more() {
    let setup = Setup { connections: 10, ..Setup::default() };
    let mut world = World::with(&one_server(Method::Nat), setup);
    for port in 1..=10 {
        client(&mut world, port, SYN);
        let reply = tcp("198.51.100.11:8080", &format!("203.0.113.10:{port}"), SYN | ACK);
        world.receive(LAN, &reply.via_server());
        client(&mut world, port, ACK);
    }
    assert!(client(&mut world, 11, SYN).is_empty());
    assert_eq!(world.dropped(DropReason::TableFull), 1);
    assert_eq!(states(&world), [State::Established; 10]);
    assert_eq!(client(&mut world, 5, ACK).len(), 1, "those there are go on");
    client(&mut world, 5, RST);
    world.pass(10_200);
    assert_eq!(client(&mut world, 11, SYN).len(), 1);
}

/// Two services whose NAT servers are the same endpoints.
fn two_vips(servers: &[&str]) -> Plan {
    network().with(service(Method::Nat, SERVICE, servers)).with(service(
        Method::Nat,
        "192.0.2.101:80",
        servers,
    ))
}

#[test]
fn one_client_endpoint_cannot_use_one_server_endpoint_twice() {
    let other = tcp(CLIENT, "192.0.2.101:80", SYN).via_gateway();
    let mut world = World::new(&two_vips(&[SERVER]));
    send(&mut world, (In, SYN));
    let reset = "wan: 192.0.2.101:80 > 203.0.113.10:4000 tcp rst ack ttl 64";
    assert_eq!(world.lines(WAN, &other), [reset], "the client is told");
    send(&mut world, (Out, RST | ACK));
    assert_eq!(world.lines(WAN, &other).len(), 1, "a connection that is over gives way");

    let mut world = World::new(&two_vips(&[SERVER, "198.51.100.12:8080"]));
    assert_eq!(receive(&mut world, (In, SYN))[0].server(), 11);
    assert_eq!(world.receive(WAN, &other)[0].server(), 12, "another server will do");
}

/// A segment with that sequence number, as somebody sends who knows the four numbers of a connection and no more.
fn forged(flags: u8, sequence: u32) -> Vec<u8> {
    let mut segment = tcp(CLIENT, SERVICE, flags);
    segment.set_sequence(sequence);
    segment.via_gateway()
}

/// RFC 5961 3: what closes a connection has to be near what the server expects.
#[test]
fn two_forged_packets_do_not_end_a_connection_under_nat() {
    for closing in [RST, RST | ACK, FIN | ACK, FIN] {
        for sequence in [1 << 20, 1 << 30, 1 << 31, 3 << 30] {
            let mut world = World::new(&two_servers(Method::Nat));
            let server = receive(&mut world, (In, SYN))[0].server();
            let reply = |flags| tcp(&format!("198.51.100.{server}:8080"), CLIENT, flags).via_server();
            world.receive(LAN, &reply(SYN | ACK));
            send(&mut world, (In, ACK));
            for frame in [forged(closing, sequence), forged(SYN, sequence)] {
                let sent = world.receive(WAN, &frame);
                assert_eq!(sent[0].server(), server, "the server decides");
            }
            assert_eq!(states(&world), [State::Established], "{closing:#x} {sequence}");
            // It lives as long as it would have, idle.
            world.pass(14 * 60 * 1_000);
            assert_eq!(receive(&mut world, (In, ACK))[0].server(), server);
            assert_eq!(world.receive(LAN, &reply(ACK)).len(), 1);
            // The real client closes it.
            send(&mut world, (In, RST));
            assert_eq!(states(&world), [State::Close]);
        }
    }
}

#[test]
fn a_half_closed_connection_survives_a_forged_reset() {
    let mut world = World::new(&one_server(Method::Nat));
    for segment in [(In, SYN), (Out, SYN | ACK), (In, ACK), (In, FIN | ACK), (Out, ACK)] {
        send(&mut world, segment);
    }
    assert_eq!(states(&world), [State::CloseWait]);
    world.receive(WAN, &forged(RST, 1 << 29));
    assert_eq!(states(&world), [State::CloseWait]);
    assert!(send(&mut world, (Out, ACK))[0].starts_with("wan: "), "the server still has something to say");
}

/// Nobody but servers is behind their ports.
#[test]
fn what_comes_from_a_servers_address_on_the_clients_port_closes_nothing() {
    for flags in [RST, RST | ACK, FIN | ACK, SYN | ACK] {
        let mut world = World::new(&one_server(Method::Nat));
        for segment in [(In, SYN), (Out, SYN | ACK), (In, ACK)] {
            send(&mut world, segment);
        }
        let forged = tcp(SERVER, CLIENT, flags).via_gateway();
        assert!(world.lines(WAN, &forged).is_empty() || flags == SYN | ACK);
        assert_eq!(states(&world), [State::Established]);
    }
    let mut plan = one_server(Method::Nat);
    plan.first().adopt = true;
    let mut world = World::new(&plan);
    assert!(world.receive(WAN, &tcp(SERVER, CLIENT, ACK).via_gateway()).is_empty(), "nor is it adopted");
    assert_eq!(world.dropped(DropReason::WrongPort), 1);
    assert_eq!(world.receive(LAN, &tcp(SERVER, CLIENT, ACK).via_server()).len(), 1);
}

/// What passes untraced is told to pass.
#[test]
fn a_packet_that_changes_nothing_passes_from_any_port_and_is_told_to() {
    let mut world = World::new(&one_server(Method::Nat));
    for segment in [(In, SYN), (Out, SYN | ACK), (In, ACK)] {
        send(&mut world, segment);
    }
    let frame = tcp(SERVER, CLIENT, ACK).via_gateway();
    let sent = world.receive(WAN, &frame);
    let told = world.trace(0, MemoryPacket::new(WAN, &frame), Origin::Port);
    assert_eq!(told.outcome, Outcome::Sent { port: WAN, frame: sent[0].frame.clone() });
    assert_eq!(world.settle().len(), 1);
}

/// Nothing has come of the connection that could be kept.
#[test]
fn a_repeated_syn_finds_another_server_when_its_server_has_failed() {
    for &method in Method::ALL {
        let mut plan = two_servers(method);
        let mut world = World::new(&plan);
        client(&mut world, 1, SYN);
        let first = world.connections()[0].server;
        let failed = &mut plan.services[0].servers[first.index()];
        failed.health = Health::Inhibited;
        world.exchange(&plan);
        client(&mut world, 1, SYN);
        let servers: Vec<_> = world.connections().iter().map(|connection| connection.server).collect();
        assert_eq!(servers.len(), 1, "{method}");
        assert_ne!(servers[0], first, "{method}");
        client(&mut world, 1, ACK);
        client(&mut world, 1, SYN);
        assert_eq!(world.connections()[0].server, servers[0], "{method}: one that is open stays");
    }
}

/// The hash of a client leads to one server, whichever VIP it comes by.
#[test]
fn a_client_with_one_port_for_two_vips_is_served_or_answered() {
    for scheduler in SchedulerKind::ALL.iter().copied() {
        let mut plan = two_vips(&[SERVER, "198.51.100.12:8080"]);
        plan.services.iter_mut().for_each(|service| service.scheduler = scheduler);
        let mut world = World::new(&plan);
        for port in 1..100 {
            let from = format!("203.0.113.10:{port}");
            let servers: HashSet<u8> = [SERVICE, "192.0.2.101:80"]
                .map(|vip| world.receive(WAN, &tcp(&from, vip, SYN).via_gateway())[0].server())
                .into();
            assert_eq!(servers, HashSet::from([11, 12]), "{scheduler}: {from}");
        }
    }
}

#[test]
fn a_connection_that_was_just_forgotten_is_not_found_again_in_the_same_burst() {
    // A SYN ends a connection that is over, but no server can take the new one: the only one that takes any already has
    // this client endpoint through another VIP. The segment behind it was looked up before all that.
    let mut plan = two_vips(&[SERVER, "198.51.100.12:8080"]);
    for service in &mut plan.services {
        service.scheduler = SchedulerKind::Lc;
    }
    plan.services[0].servers.swap(0, 1);
    let mut world = World::new(&plan);
    let segment = |from: &str, to: &str, flags| (WAN, tcp(from, to, flags).via_gateway());
    // Each of the client's connections is at a server of its own; one of them is over.
    let at_12 = world.receive(WAN, &segment(CLIENT, SERVICE, SYN).1)[0].server();
    send(&mut world, (In, ACK));
    assert_eq!(at_12, 12);
    assert_eq!(world.receive(WAN, &segment(CLIENT, "192.0.2.101:80", SYN).1)[0].server(), 11);
    send(&mut world, (In, RST));
    // That connection's server takes no more.
    plan.services[0]
        .servers
        .iter_mut()
        .filter(|server| server.address == SERVERS[1])
        .for_each(|it| it.weight = 0);
    world.exchange(&plan);
    let before = world.connections().len();
    let burst = [segment(CLIENT, SERVICE, SYN), segment(CLIENT, SERVICE, RST)];
    let sent: Vec<_> = world.burst(0, &burst).iter().map(Sent::line).collect();
    assert_eq!(sent, ["wan: 192.0.2.100:80 > 203.0.113.10:4000 tcp rst ack ttl 64"], "the SYN is answered");
    assert_eq!(world.dropped(DropReason::NoConnection), 1, "a reset of no connection");
    assert_eq!(world.connections().len(), before - 1);
    world.pass(20 * 60 * 1_000);
    assert!(world.connections().is_empty());
}

/// A client on the gateway's network, of which nobody has asked yet where it is.
#[test]
fn what_waits_for_one_client_never_reaches_another() {
    let mut world = World::new(&one_server(Method::Nat));
    let syn = |client: &str| tcp(client, SERVICE, SYN).via_gateway();
    let answer = |client: &str| tcp(SERVER, client, SYN | ACK).via_server();
    world.receive(WAN, &syn("192.0.2.50:4000"));
    // The answer waits, and then nobody is there any more who wants it.
    world.receive(LAN, &answer("192.0.2.50:4000"));
    assert_eq!(world.counters(0).waiting.get(), 1);
    assert_eq!(world.workers[0].forget::<V4>(0..u32::MAX, |_, _| true), 1);
    world.pass(2_500);
    assert_eq!(world.counters(0).waiting.get(), 0, "it is dropped");
    assert_eq!(world.dropped(DropReason::Unresolved), 1);
    // Another client has the first one's place among the neighbours.
    world.stations.push(Station {
        port: WAN,
        address: [192, 0, 2, 51].into(),
        mac: Mac([2, 0, 0, 0, 0, 51]),
    });
    world.receive(WAN, &syn("192.0.2.51:4000"));
    let sent = world.receive(LAN, &answer("192.0.2.51:4000"));
    let lines: Vec<_> = sent.iter().chain(&world.pass(3_000)).map(Sent::line).collect();
    assert!(!lines.iter().any(|line| line.contains("192.0.2.50")), "{lines:?}");
}

#[test]
fn a_client_without_a_way_back_is_turned_away() {
    let plan = Plan { routes: Vec::new(), ..one_server(Method::Nat) };
    let mut world = World::new(&plan);
    assert!(send(&mut world, (In, SYN)).is_empty());
    assert_eq!(world.dropped(DropReason::NoRoute), 1);
    assert!(world.connections().is_empty());
    assert_eq!((world.counters(0).created.get(), world.counters(0).ended.get()), (0, 0));
}

#[test]
fn packets_and_bytes_are_counted_by_connection_and_by_server() {
    let mut world = World::new(&one_server(Method::Nat));
    for segment in OPENING {
        send(&mut world, segment);
    }
    let connection = world.connections()[0];
    assert_eq!((connection.packets(In), connection.bytes(In)), (2, 80));
    assert_eq!((connection.packets(Out), connection.bytes(Out)), (1, 40));
    let traffic = &world.workers[0].traffic()[0];
    assert_eq!(traffic.connections.get(), 1);
    assert_eq!([0, 1].map(|way| (traffic.packets[way].get(), traffic.bytes[way].get())), [(2, 80), (1, 40)]);
}
