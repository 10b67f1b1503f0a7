//! Persistence by SIP's Call-ID: calls stay with their servers, whatever else is said over the same addresses and ports.

use crate::common::{
    frame::*,
    plan::*,
    world::{Setup, World},
};
use lb_core::{
    counters::DropReason,
    sched::call,
    service::{
        check::{PlanError, check},
        plan::{Admin, Method, PersistBy, PersistencePlan, Plan},
        stays::StaysMistake,
    },
    time::Duration,
};
use std::net::{IpAddr, Ipv4Addr};

const PROXY: &str = "203.0.113.10:5060";
const SERVICE: &str = "192.0.2.100:5060";
const TIMEOUT_S: u64 = 300;

fn plan(method: Method) -> Plan {
    let mut service = service(method, SERVICE, &["198.51.100.11:5060", "198.51.100.12:5060"]);
    service.persistence = PersistencePlan {
        timeout: Duration::from_secs(TIMEOUT_S),
        prefix: 0,
        by: PersistBy::SipCallId,
        ..PersistencePlan::default()
    };
    network().with(service).udp()
}

fn of_packets(method: Method) -> Plan {
    let mut plan = plan(method);
    plan.first().one_packet = true;
    check(&plan, []).unwrap();
    plan
}

fn message(call: &str) -> Vec<u8> {
    format!("OPTIONS sip:b@192.0.2.100 SIP/2.0\r\nMax-Forwards: 70\r\nCall-ID: {call}\r\n\r\n").into_bytes()
}

/// The station that a datagram goes to.
#[track_caller]
fn station(world: &mut World, from: &str, payload: &[u8]) -> Vec<u8> {
    let sent = world.receive(WAN, &udp(from, SERVICE, payload).via_gateway());
    assert_eq!(sent.len(), 1);
    sent[0].frame[..6].to_vec()
}

#[track_caller]
fn of_call(world: &mut World, from: &str, call: &str) -> Vec<u8> {
    station(world, from, &message(call))
}

#[test]
fn a_call_stays_with_its_server_whoever_sends_for_it() {
    for method in [Method::Nat, Method::FullNat, Method::Tun, Method::Dr] {
        let mut world = World::new(&plan(method));
        let first = of_call(&mut world, PROXY, "1@x");
        for host in 11..19 {
            let from = format!("203.0.113.{host}:5060");
            assert_eq!(of_call(&mut world, &from, "1@x"), first, "{method}");
        }
        let other = (0..8).map(|call| {
            of_call(&mut world, &format!("198.18.0.{}:5060", call + 1), &format!("{}@y", call + 2))
        });
        assert!({ other }.any(|station| station != first), "{method}: other calls are scheduled");
    }
}

#[test]
fn with_a_prefix_it_is_among_the_calls_of_a_network() {
    let mut plan = plan(Method::Nat);
    plan.first().persistence.prefix = 24;
    let mut world = World::new(&plan);
    let first = of_call(&mut world, PROXY, "1@x");
    assert_eq!(of_call(&mut world, "203.0.113.99:5060", "1@x"), first);
    assert_ne!(of_call(&mut world, "198.18.0.1:5060", "1@x"), first, "rr chooses");
}

#[test]
fn each_datagram_of_a_proxy_goes_to_its_call() {
    for (method, workers) in [(Method::Dr, 1), (Method::Tun, 1), (Method::Dr, 4)] {
        let mut world = World::with(&of_packets(method), Setup { workers, ..Setup::default() });
        let calls: Vec<String> = (0..10).map(|call| format!("{call}@x")).collect();
        let first: Vec<_> = calls.iter().map(|call| of_call(&mut world, PROXY, call)).collect();
        assert!(first.iter().any(|station| *station != first[0]), "{method}: all calls at one server");
        for round in 0..4 {
            for (call, station) in calls.iter().zip(&first) {
                let from = format!("203.0.113.10:{}", 5_060 + round);
                assert_eq!(of_call(&mut world, &from, call), *station, "{method}: {call}");
            }
        }
        // In one burst as well.
        let frames: Vec<_> =
            calls.iter().map(|call| (WAN, udp(PROXY, SERVICE, &message(call)).via_gateway())).collect();
        let stations: Vec<_> =
            world.burst(0, &frames).into_iter().map(|sent| sent.frame[..6].to_vec()).collect();
        assert!(workers > 1 || stations == first, "{method}");
        assert!(world.connections().is_empty());
        let entries: Vec<_> = world.persistence().iter(world.now).collect();
        assert_eq!(entries.len(), calls.len());
        assert!(entries.iter().all(|entry| call::is_call(entry.client.network) && entry.held == 0));
    }
}

#[test]
fn it_lasts_for_its_time_after_the_last_datagram() {
    let mut world = World::new(&of_packets(Method::Dr));
    let entries = |world: &World| world.persistence().iter(world.now).count();
    of_call(&mut world, PROXY, "1@x");
    world.pass(TIMEOUT_S * 1_000 - 1_000);
    assert_eq!(entries(&world), 1);
    of_call(&mut world, PROXY, "1@x");
    world.pass(TIMEOUT_S * 1_000 - 1_000);
    assert_eq!(entries(&world), 1);
    world.pass(2_000);
    assert_eq!(entries(&world), 0);
}

#[test]
fn calls_that_are_sent_once_make_room_before_those_that_go_on() {
    let mut world = World::with(&of_packets(Method::Dr), Setup { clients: 64, ..Setup::default() });
    let first = of_call(&mut world, PROXY, "1@x");
    of_call(&mut world, PROXY, "1@x");
    for forged in 0..1_000 {
        of_call(
            &mut world,
            &format!("198.18.{}.{}:5060", forged / 250, forged % 250 + 1),
            &format!("{forged}"),
        );
    }
    for _ in 0..3 {
        assert_eq!(of_call(&mut world, PROXY, "1@x"), first, "it is remembered");
    }
}

#[test]
fn what_has_no_call_id_goes_by_address() {
    let mut world = World::new(&of_packets(Method::Dr));
    let keepalive = b"\r\n\r\n";
    let first = station(&mut world, PROXY, keepalive);
    for payload in [&keepalive[..], b"", b"OPTIONS x\r\nCall-ID: cut"] {
        assert_eq!(station(&mut world, "203.0.113.10:5061", payload), first, "{payload:?}");
    }
    assert_ne!(station(&mut world, "203.0.113.11:5060", keepalive), first, "rr chooses");
}

#[test]
fn a_call_of_a_drained_server_stays_and_new_ones_do_not() {
    let mut plan = of_packets(Method::Dr);
    let mut world = World::new(&plan);
    let first = of_call(&mut world, PROXY, "1@x");
    let drained = usize::from(first == SERVER_MACS[1].0);
    plan.first().servers[drained].admin = Admin::Draining;
    world.exchange(&plan);
    assert_eq!(of_call(&mut world, PROXY, "1@x"), first);
    for call in 2..6 {
        assert_ne!(of_call(&mut world, PROXY, &format!("{call}@x")), first);
    }
}

#[test]
fn a_call_that_a_server_makes_stays_with_it() {
    for server in ["198.51.100.11:5060", "198.51.100.12:5060"] {
        let mut world = World::new(&plan(Method::Nat));
        let sent = world.receive(LAN, &udp(server, PROXY, &message("1@x")).via_server());
        assert_eq!(sent[0].line(), "wan: 192.0.2.100:5060 > 203.0.113.10:5060 udp ttl 63");
        for host in 11..15 {
            let from = format!("203.0.113.{host}:5060");
            let sent = world.receive(WAN, &udp(&from, SERVICE, &message("1@x")).via_gateway());
            assert_eq!(sent[0].destination(), server);
        }
    }
    // Without calls nothing is taken over.
    let mut plan = plan(Method::Nat);
    plan.first().persistence.by = PersistBy::Address;
    plan.first().persistence.prefix = 128;
    let mut world = World::new(&plan);
    let sent = world.receive(LAN, &udp("198.51.100.11:5060", PROXY, &message("1@x")).via_server());
    assert!(sent.is_empty());
    assert_eq!(world.dropped(DropReason::NoConnection), 1);
}

#[test]
fn calls_are_of_datagrams_and_everybody_is_no_client() {
    let mut tcp = plan(Method::Nat);
    tcp.first().protocol = lb_core::service::key::Protocol::Tcp;
    assert_eq!(check(&tcp, []), Err(PlanError::Persistence(StaysMistake::Calls)));
    let mut all = plan(Method::Nat);
    all.first().persistence.by = PersistBy::Address;
    assert_eq!(check(&all, []), Err(PlanError::Persistence(StaysMistake::Everybody)));
}

#[test]
fn a_call_is_explained() {
    let mut world = World::new(&of_packets(Method::Dr));
    of_call(&mut world, PROXY, "1@x");
    let name = call::name(b"1@x", IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let packet = lb_core::memory::MemoryPacket::new(WAN, &udp(PROXY, SERVICE, &message("1@x")).via_gateway());
    let explanation = world.trace(0, packet, lb_core::decide::Origin::Port);
    let said = explanation
        .steps
        .iter()
        .any(|step| step.text.contains(&format!("call {name} stays with its server")));
    assert!(said, "{explanation:?}");
}
