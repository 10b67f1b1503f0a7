//! What a director does with packets of connections that a peer has told of.

use crate::common::{
    frame::{ACK, SYN, tcp, udp},
    plan::*,
    world::{Sent, Setup, World},
};
use lb_core::{
    conn::{beside::Beside, entry::Connection},
    counters::DropReason,
    decide::Origin,
    family::V4,
    flow::key::Secret,
    memory::MemoryPacket,
    peers::{
        exception::Exception,
        told::{Source, Told, Writer},
    },
    service::plan::{ClientAddress, Method, Plan, Role, SchedulerKind},
    worker::exceptions::Wanted,
};

const SERVICE: &str = "192.0.2.100:80";
pub(crate) const PEER: Source = Source { peer: 0, is_odd: false };

fn client(port: u16) -> String {
    format!("203.0.113.10:{port}")
}

fn from_client(port: u16, flags: u8) -> Vec<u8> {
    tcp(&client(port), SERVICE, flags).via_gateway()
}

/// A director with that plan, and where it is told of a peer's exceptions.
pub(crate) fn director(plan: &Plan, workers: usize) -> (World, Writer) {
    let peers = vec!["192.0.2.2:4789".parse().unwrap()];
    let (told, writer) = Told::new(64, Secret(7), peers);
    (World::told(plan, Setup { workers, ..Setup::default() }, told), writer)
}

pub(crate) fn exceptions(world: &World, wanted: Wanted) -> Vec<Exception> {
    let mut found = Vec::new();
    for worker in &world.workers {
        worker.exceptions::<V4>(world.now, 0..u32::MAX, wanted, |seen| found.push(seen.exception));
    }
    found
}

/// Opens that many connections, and lets their clients acknowledge.
fn open(world: &mut World, ports: std::ops::Range<u16>) -> Vec<Sent> {
    let mut sent = Vec::new();
    for port in ports {
        world.receive(WAN, &from_client(port, SYN));
        sent.extend(world.receive(WAN, &from_client(port, ACK)));
    }
    sent
}

/// Where frames go, but for what changes from frame to frame.
fn ways(sent: &[Sent]) -> Vec<(u8, Vec<u8>)> {
    // Ethernet and the ends of the innermost packet are what makes the server see the same connection.
    let ends = |frame: &[u8]| {
        let at = if frame[23] == 4 { 34 } else { 14 };
        [&frame[..6], &frame[at + 12..at + 24]].concat()
    };
    sent.iter().map(|sent| (sent.port.0 as u8, ends(&sent.frame))).collect()
}

#[test]
fn a_connection_goes_on_with_its_server_in_every_method() {
    for &method in Method::ALL {
        let plan = two_servers(method);
        let mut first = World::new(&plan);
        let before = open(&mut first, 1..9);
        assert!(exceptions(&first, Wanted::default()).is_empty(), "{method}: younger than three seconds");
        first.pass(3_000);
        let told = exceptions(&first, Wanted::default());
        assert_eq!(told.len(), 8, "{method}");

        let (mut second, mut writer) = director(&plan, 1);
        told.iter().for_each(|exception| writer.tell(exception, PEER).unwrap());
        // In another order, so that turns would choose otherwise.
        let mut after: Vec<Sent> = Vec::new();
        for port in (1..9).rev() {
            after.extend(second.receive(WAN, &from_client(port, ACK)));
        }
        after.reverse();
        assert_eq!(ways(&before), ways(&after), "{method}");
        assert_eq!(second.counters(0).peers_adopted.get(), 8, "{method}");
        assert_eq!(second.connections().len(), 8);
        // Now they are its own, and known.
        second.receive(WAN, &from_client(1, ACK));
        assert_eq!(second.counters(0).peers_adopted.get(), 8, "{method}");
    }
}

#[test]
fn a_servers_packet_takes_a_connection_over() {
    for method in [Method::Nat, Method::FullNat] {
        let plan = two_servers(method);
        let mut first = World::new(&plan);
        let before = open(&mut first, 1..5);
        first.pass(3_000);
        let (mut second, mut writer) = director(&plan, 1);
        exceptions(&first, Wanted::default()).iter().for_each(|told| writer.tell(told, PEER).unwrap());
        for (port, sent) in (1..5).zip(&before) {
            let line = sent.line();
            let ends: Vec<&str> = line.split(' ').collect();
            let (seen, server) = (ends[1], ends[3]);
            let reply = tcp(server, seen, ACK).via_server();
            let lines = second.lines(LAN, &reply);
            assert_eq!(lines.len(), 1, "{method}: {lines:?}");
            assert!(
                lines[0].starts_with(&format!("wan: {SERVICE} > {}", client(port))),
                "{method}: {lines:?}"
            );
        }
        let after: Vec<Sent> = (1..5).flat_map(|port| second.receive(WAN, &from_client(port, ACK))).collect();
        assert_eq!(ways(&before), ways(&after), "{method}");
    }
}

#[test]
fn a_server_that_has_not_heard_the_clients_answer_is_not_reset() {
    for method in [Method::Nat, Method::FullNat] {
        let plan = two_servers(method);
        let mut first = World::new(&plan);
        let before = open(&mut first, 1..2);
        first.pass(3_000);
        let (mut second, mut writer) = director(&plan, 1);
        exceptions(&first, Wanted::default()).iter().for_each(|told| writer.tell(told, PEER).unwrap());
        let line = before[0].line();
        let ends: Vec<&str> = line.split(' ').collect();
        let lines = second.lines(LAN, &tcp(ends[3], ends[1], SYN | ACK).via_server());
        assert_eq!(lines.len(), 1, "{method}: {lines:?}");
        assert!(lines[0].starts_with(&format!("wan: {SERVICE} > {}", client(1))), "{method}: {lines:?}");
        assert!(lines[0].contains("syn ack"), "{method}: {lines:?}");
        assert_eq!(ways(&second.receive(WAN, &from_client(1, ACK))), ways(&before), "{method}");
        // Of a connection that nobody has told of it is what it was.
        let lines = second.lines(LAN, &tcp(ends[3], "192.0.2.100:9", SYN | ACK).via_server());
        assert!(lines.iter().all(|line| !line.contains("syn")), "{method}: {lines:?}");
    }
}

#[test]
fn how_far_a_server_has_been_told_is_told_whatever_the_scheduler() {
    let mut plan = two_servers(Method::Nat);
    let service = plan.first();
    (service.scheduler, service.client_address) = (SchedulerKind::Sh, ClientAddress::ProxyV1);
    let mut world = World::new(&plan);
    open(&mut world, 1..5);
    world.pass(3_000);
    let told = exceptions(&world, Wanted::default());
    assert_eq!(told.len(), 4);
    for Exception { beside, .. } in told {
        let second = beside.and_then(Beside::second);
        assert_eq!(second.map(|second| second.told), Some(ClientAddress::ProxyV1));
    }
}

/// A director of IPVS would go on without the header that each of them begins with.
#[test]
fn datagrams_with_a_header_are_none_that_ipvs_is_told_of() {
    let mut plan = two_servers(Method::Nat).udp();
    plan.first().client_address = ClientAddress::ProxyV2;
    let mut world = World::new(&plan);
    world.receive(WAN, &udp(&client(1), SERVICE, b"?").via_gateway());
    world.pass(3_000);
    let told = exceptions(&world, Wanted::default());
    assert!(told.len() == 1 && told[0].beside.is_some(), "{told:?}");
}

#[test]
fn datagrams_go_on_with_their_server() {
    let plan = two_servers(Method::Nat).udp();
    let datagram = |port| udp(&client(port), SERVICE, b"?").via_gateway();
    let mut first = World::new(&plan);
    let before: Vec<Sent> = (1..5).flat_map(|port| first.receive(WAN, &datagram(port))).collect();
    first.pass(3_000);
    let (mut second, mut writer) = director(&plan, 1);
    exceptions(&first, Wanted::default()).iter().for_each(|told| writer.tell(told, PEER).unwrap());
    let mut after: Vec<Sent> = (1..5).rev().flat_map(|port| second.receive(WAN, &datagram(port))).collect();
    after.reverse();
    assert_eq!(ways(&before), ways(&after));
}

#[test]
fn a_hashing_scheduler_has_exceptions_only_when_its_choice_has_changed() {
    let mut plan = two_servers(Method::Nat);
    plan.first().scheduler = SchedulerKind::Mh;
    plan.first().hash_port = true;
    let mut world = World::new(&plan);
    open(&mut world, 1..101);
    world.pass(3_000);
    assert!(exceptions(&world, Wanted::default()).is_empty());
    assert_eq!(
        exceptions(&world, Wanted { all: true, ..Wanted::default() }).len(),
        100,
        "all, where a peer's choice is unknown"
    );
    plan.first().servers[0].weight = 3;
    world.exchange(&plan);
    let moved = exceptions(&world, Wanted::default()).len();
    assert!((10..50).contains(&moved), "{moved} of 100");
    plan.first().servers[0].weight = 1;
    world.exchange(&plan);
    assert!(exceptions(&world, Wanted::default()).is_empty(), "the choice is as it was");
}

#[test]
fn a_local_port_is_told_whatever_the_scheduler() {
    let mut plan = two_servers(Method::FullNat);
    plan.first().scheduler = SchedulerKind::Mh;
    plan.first().adopt = true;
    let mut first = World::new(&plan);
    let before = open(&mut first, 1..9);
    assert!(exceptions(&first, Wanted::default()).is_empty(), "younger than three seconds");
    first.pass(3_000);
    let told = exceptions(&first, Wanted::default());
    assert_eq!(told.len(), 8);
    let (mut second, mut writer) = director(&plan, 1);
    told.iter().for_each(|exception| writer.tell(exception, PEER).unwrap());
    let after: Vec<Sent> = (1..9).flat_map(|port| second.receive(WAN, &from_client(port, ACK))).collect();
    assert_eq!(ways(&before), ways(&after));
}

#[test]
fn who_is_about_to_leave_tells_young_connections_as_well() {
    for &method in Method::ALL {
        let mut plan = two_servers(method);
        plan.first().scheduler = SchedulerKind::Wlc;
        let mut world = World::new(&plan);
        open(&mut world, 1..9);
        assert!(exceptions(&world, Wanted::default()).is_empty(), "{method}");
        assert_eq!(exceptions(&world, Wanted { young: true, ..Wanted::default() }).len(), 8, "{method}");
    }
}

#[test]
fn who_is_on_standby_tells_young_connections_as_well() {
    for &method in Method::ALL {
        let mut plan = two_servers(method);
        let mut first = World::new(&plan);
        open(&mut first, 1..9);
        assert!(exceptions(&first, Wanted::default()).is_empty(), "{method}");
        plan.director.role = Role::Standby;
        first.exchange(&plan);
        assert_eq!(exceptions(&first, Wanted::default()).len(), 8, "{method}");
    }
}

#[test]
fn a_server_that_is_unknown_here_gets_nothing_and_the_client_no_reset() {
    let mut first = World::new(&two_servers(Method::Nat));
    open(&mut first, 1..3);
    first.pass(3_000);
    let (mut second, mut writer) = director(&one_server(Method::Nat), 1);
    exceptions(&first, Wanted::default()).iter().for_each(|told| writer.tell(told, PEER).unwrap());
    let sent: Vec<Sent> = (1..3).flat_map(|port| second.receive(WAN, &from_client(port, ACK))).collect();
    assert_eq!(sent.len(), 1, "one of them is with the server that is known");
    assert_eq!(second.dropped(DropReason::PeerServerUnknown), 1);
    // The configuration comes.
    second.exchange(&two_servers(Method::Nat));
    let sent: Vec<Sent> = (1..3).flat_map(|port| second.receive(WAN, &from_client(port, ACK))).collect();
    assert_eq!(sent.len(), 2);
    // A method is not what it was.
    second.exchange(&two_servers(Method::Tun));
    let (mut third, mut writer) = director(&two_servers(Method::Tun), 1);
    exceptions(&first, Wanted::default()).iter().for_each(|told| writer.tell(told, PEER).unwrap());
    assert!(third.receive(WAN, &from_client(1, ACK)).is_empty());
    assert_eq!(third.dropped(DropReason::PeerServerUnknown), 1);
}

#[test]
fn a_local_port_of_another_worker_is_not_taken() {
    let plan = two_servers(Method::FullNat);
    let mut first = World::new(&plan);
    open(&mut first, 1..33);
    first.pass(3_000);
    let (mut second, mut writer) = director(&plan, 2);
    exceptions(&first, Wanted::default()).iter().for_each(|told| writer.tell(told, PEER).unwrap());
    let sent: Vec<Sent> = (1..33).flat_map(|port| second.receive(WAN, &from_client(port, ACK))).collect();
    assert_eq!(sent.len(), 32, "resets where both directions would come to different workers");
    let adopted: u64 = (0..2).map(|worker| second.counters(worker).peers_adopted.get()).sum();
    let resets: u64 = (0..2).map(|worker| second.counters(worker).resets.get()).sum();
    assert_eq!(adopted + resets, 32);
    assert!(adopted > 0 && resets > 0, "{adopted} and {resets}");
}

#[test]
fn a_local_port_that_a_peer_has_is_not_given_to_another() {
    let plan = one_server(Method::FullNat);
    let mut first = World::new(&plan);
    open(&mut first, 1..33);
    first.pass(3_000);
    let told = exceptions(&first, Wanted::default());
    let (mut second, mut writer) = director(&plan, 1);
    told.iter().for_each(|exception| writer.tell(exception, PEER).unwrap());
    open(&mut second, 1_000..1_512);
    let taken: Vec<_> = second.connections().iter().filter_map(Connection::local).collect();
    assert_eq!(taken.len(), 512);
    for local in told.iter().filter_map(|exception| exception.local) {
        assert!(taken.iter().all(|(_, port)| *port != local.port()), "{local} is a peer's");
    }
    open(&mut second, 1..33);
    assert_eq!(second.connections().len(), 544);
}

#[test]
fn a_syn_that_came_astray_does_not_stand_in_the_way() {
    let plan = two_servers(Method::Nat);
    let mut first = World::new(&plan);
    let before = open(&mut first, 1..3);
    first.pass(3_000);
    let (mut second, mut writer) = director(&plan, 1);
    // In another order, so that each is with the other server here.
    for port in [2, 1] {
        second.receive(WAN, &from_client(port, SYN));
    }
    exceptions(&first, Wanted::default()).iter().for_each(|told| writer.tell(told, PEER).unwrap());
    let after: Vec<Sent> = (1..3).flat_map(|port| second.receive(WAN, &from_client(port, ACK))).collect();
    assert_eq!(ways(&before), ways(&after));
    assert_eq!(second.connections().len(), 2);
}

#[test]
fn what_was_told_ends_when_it_is_forgotten() {
    let plan = two_servers(Method::Nat);
    let mut first = World::new(&plan);
    open(&mut first, 1..3);
    first.pass(3_000);
    let (mut second, mut writer) = director(&plan, 1);
    let told = exceptions(&first, Wanted::default());
    told.iter().for_each(|told| writer.tell(told, PEER).unwrap());
    writer.forget(&told[0].ends, PEER);
    writer.forget(&told[1].ends, Source { peer: 1, ..PEER });
    assert_eq!(writer.told().len(), 1, "another peer has no say in it");
    let sent: Vec<Sent> = (1..3).flat_map(|port| second.receive(WAN, &from_client(port, ACK))).collect();
    assert_eq!(second.counters(0).resets.get(), 1);
    assert_eq!(sent.len(), 2);
    writer.forget_all(PEER);
    assert!(writer.told().is_empty());
}

#[test]
fn a_full_table_refuses_and_goes_on() {
    let plan = two_servers(Method::Nat);
    let mut first = World::new(&plan);
    open(&mut first, 1..101);
    first.pass(3_000);
    let (_, mut writer) = director(&plan, 1);
    let told = exceptions(&first, Wanted::default());
    let taken = told.iter().filter(|told| writer.tell(told, PEER).is_ok()).count();
    assert!((56..=64).contains(&taken), "{taken} of 64");
    assert_eq!(writer.told().len(), taken);
    let found = told.iter().filter(|told| writer.told().find(&told.ends).is_some()).count();
    assert_eq!(found, taken);
    writer.forget_all(PEER);
    assert!(told[..56].iter().all(|told| writer.tell(told, PEER).is_ok()), "all room is free again");
}

#[test]
fn an_explanation_says_who_told() {
    let plan = two_servers(Method::Nat);
    let mut first = World::new(&plan);
    open(&mut first, 1..2);
    first.pass(3_000);
    let (mut second, mut writer) = director(&plan, 1);
    let told = exceptions(&first, Wanted::default());
    told.iter().for_each(|told| writer.tell(told, PEER).unwrap());
    let packet = MemoryPacket::new(WAN, &from_client(1, ACK));
    let explained = second.workers[0].explain(second.now, &packet, Origin::Port, &second.ios[0]);
    let expected = format!("adopted with server {} as peer 192.0.2.2:4789 says", told[0].server);
    let says = |text: &str| text.contains(&expected);
    assert!(explained.steps.iter().any(|step| says(&step.text)), "{explained:?}");
    let traced = second.trace(0, packet, Origin::Port);
    assert!(traced.steps.iter().any(|step| says(&step.text)), "{traced:?}");
    second.settle();
}
