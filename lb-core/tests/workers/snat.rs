//! SNAT: whose an answer is, which ports packets leave with, and what becomes of rules that change.

use crate::common::{
    frame::*,
    frame6::*,
    plan::*,
    read,
    world::{Sent, Setup, World},
};
use etherparse::{Icmpv4Type, icmpv4::DestUnreachableHeader};
use lb_core::{
    conn::{saved::Saved, state::State},
    counters::DropReason,
    family::{V4, V6},
    flow::owner::by_client_rss,
    packet::{HandOver, WorkerId},
    service::{
        plan::{Method, Plan, SnatPlan, Spread},
        reach::PortRange,
    },
    time::Duration,
    worker::life::Lost,
};
use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

const OUTSIDE: &str = "203.0.113.53:53";

fn asker(number: usize) -> String {
    format!("198.51.100.{}:{}", 11 + number % 2, 20_000 + number)
}

/// What a packet left with.
fn local_of(sent: &Sent) -> SocketAddr {
    sent.source().parse().unwrap()
}

fn plan() -> Plan {
    one_server(Method::Nat).snat()
}

fn setup(workers: usize) -> Setup {
    Setup { workers, ..Setup::default() }
}

/// For every way in which ports may spread packets and any number of workers: an answer finds the worker that has the
/// connection, and comes to it by itself where ports deliver it by the local address and port.
#[test]
fn an_answer_belongs_to_the_worker_that_has_the_connection() {
    for (wan, lan) in [
        (Spread::Unknown, Spread::Unknown),
        (Spread::ByFlow, Spread::ByFlow),
        (Spread::ByFlow, Spread::Unknown),
        (Spread::ByClient, Spread::ByClient),
    ] {
        for table in [0, 128, 512] {
            for workers in 1..=16 {
                let mut plan = network6().with(service(Method::Nat, "192.0.2.100:80", &["198.51.100.11:80"]));
                plan = plan.snat().spread(wan, lan);
                plan.redirection_len = table;
                let mut world = World::with(&plan, setup(workers));
                for number in 0..48 {
                    let at = number % workers;
                    let is_v6 = number % 3 == 2;
                    let (from, to) = match is_v6 {
                        false => (asker(number), OUTSIDE.to_owned()),
                        true => (
                            format!("[2001:db8:2::11]:{}", 20_000 + number),
                            "[2001:db8:a::53]:53".to_owned(),
                        ),
                    };
                    let request = |flags| match is_v6 {
                        false => tcp(&from, &to, flags).via_server(),
                        true => tcp6(&from, &to, flags).via_server(),
                    };
                    let sent = world.burst(at, &[(LAN, request(SYN))]);
                    assert_eq!(sent.len(), 1, "{wan:?} {lan:?} {table} {workers} {number}");
                    let (local, owner) = (local_of(&sent[0]), sent[0].worker);
                    // Whole flows arrive at one worker, so nobody need hand them over.
                    assert!(lan == Spread::Unknown || owner == at);
                    let delivers = wan == Spread::ByClient && table > 0;
                    let arrives_at = match (delivers, local.ip()) {
                        (false, _) => (number * 7 + 3) % workers,
                        (true, IpAddr::V4(address)) => usize::from(
                            by_client_rss::<V4>(address.to_bits(), local.port(), table, workers).0,
                        ),
                        (true, IpAddr::V6(address)) => usize::from(
                            by_client_rss::<V6>(address.to_bits(), local.port(), table, workers).0,
                        ),
                    };
                    assert!(!delivers || arrives_at == owner, "{workers} workers, table {table}");
                    let answer = match is_v6 {
                        false => tcp(&to, &local.to_string(), SYN | ACK).via_gateway(),
                        true => tcp6(&to, &local.to_string(), SYN | ACK).via_gateway(),
                    };
                    let before = world.handed_over_for(HandOver::Reply);
                    let sent = world.burst(arrives_at, &[(WAN, answer)]);
                    let line = format!("lan: {to} > {from} tcp syn ack ttl 63");
                    assert_eq!((sent[0].line(), sent[0].worker), (line, owner));
                    let handed_over = world.handed_over_for(HandOver::Reply) - before;
                    assert_eq!(handed_over, u64::from(arrives_at != owner));
                    // The next of the flow finds the same connection.
                    let again = world.burst(at, &[(LAN, request(ACK))]);
                    assert_eq!((again[0].source(), again[0].worker), (local.to_string(), owner));
                }
            }
        }
    }
}

/// Errors find the worker by the port in the quoted packet.
#[test]
fn an_error_from_outside_finds_its_connection_over_workers() {
    let plan = plan().spread(Spread::ByFlow, Spread::ByFlow);
    for workers in [2, 5] {
        let mut world = World::with(&plan, setup(workers));
        let sent = world.burst(1, &[(LAN, tcp(&asker(0), OUTSIDE, SYN).via_server())]);
        let quote = read::ipv4_packet(&sent[0].frame).unwrap();
        let kind = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1_300 };
        let router = Ipv4Addr::new(198, 18, 0, 1);
        let error = icmp(router, OUTBOUND, Icmpv4Type::DestinationUnreachable(kind), quote).via_gateway();
        for worker in 0..workers {
            let lines: Vec<_> = world.burst(worker, &[(WAN, error.clone())]).iter().map(Sent::line).collect();
            let line = "lan: 198.18.0.1 > 198.51.100.11 icmp too big for 1300 [198.51.100.11:20000 > \
                        203.0.113.53:53 tcp syn ttl 63] ttl 63";
            assert_eq!(lines, [line], "at worker {worker}");
        }
        assert_eq!(world.handed_over_for(HandOver::Reply), workers as u64 - 1);
    }
}

/// Each has some of a small range, however ports spread.
#[test]
fn every_worker_finds_ports_in_a_small_range_and_none_outside_of_it() {
    for (spread, table) in [(Spread::ByClient, 128), (Spread::ByClient, 512), (Spread::ByFlow, 0)] {
        for workers in [1, 2, 3, 7, 16] {
            for first in [1_024, 20_000, 64_512] {
                let ports = PortRange { first, last: first + 1_023 };
                let mut plan = plan().udp().spread(spread, spread);
                plan.redirection_len = table;
                plan.snat[0].ports = vec![ports];
                let mut world = World::with(&plan, setup(workers));
                for number in 0..workers * 16 {
                    let at = number % workers;
                    let sent = world.burst(at, &[(LAN, udp(&asker(number), OUTSIDE, b"?").via_server())]);
                    assert_eq!(sent.len(), 1, "{workers} workers from {first}, table {table}");
                    assert!(sent[0].worker == at && ports.contains(local_of(&sent[0]).port()));
                }
            }
        }
    }
}

#[test]
fn who_finds_no_port_is_told_and_counted_and_others_are_asked_all_the_same() {
    let mut plan = plan().udp();
    plan.snat[0].ports = vec![PortRange { first: 20_000, last: 21_023 }];
    let mut world = World::with(&plan, Setup { connections: 4_000, ..Setup::default() });
    let ask = |world: &mut World, number: usize, to: &str| {
        world.receive(LAN, &udp(&asker(number), to, b"?").via_server())
    };
    let (mut locals, mut refused) = (HashSet::new(), 0);
    for number in 0..1_200 {
        let sent = ask(&mut world, number, OUTSIDE);
        match sent[0].port {
            WAN => assert!(locals.insert(local_of(&sent[0])), "a port has one connection with whom one asks"),
            _ => {
                let from = asker(number);
                let line = format!(
                    "lan: 203.0.113.53 > {} icmp port unreachable [{from} > {OUTSIDE} udp ttl 64] ttl 64",
                    from.split(':').next().unwrap()
                );
                assert_eq!(sent[0].line(), line);
                refused += 1;
            }
        }
    }
    assert_eq!(world.counters(0).ports_exhausted.get(), refused);
    assert!(locals.len() <= 1_024 && locals.len() > 960, "{} of 1,024", locals.len());
    // Somebody else has all ports for itself.
    assert_eq!(ask(&mut world, 1_199, "203.0.113.54:53")[0].port, WAN);
    // And they are free again once nothing has passed for the timeout of UDP.
    world.now = world.now + Duration::from_secs(301);
    world.pass(2_000);
    assert!(world.connections().is_empty());
    assert_eq!(ask(&mut world, 1_199, OUTSIDE)[0].port, WAN);
}

#[test]
fn states_and_timeouts_are_those_of_other_connections() {
    let mut world = World::new(&plan());
    let local = world.receive(LAN, &tcp(&asker(0), "203.0.113.80:80", SYN).via_server())[0].source();
    let state = |world: &World| world.connections().first().map(|it| it.state);
    assert_eq!(state(&world), Some(State::SynSent));
    world.receive(WAN, &tcp("203.0.113.80:80", &local, SYN | ACK).via_gateway());
    assert_eq!(state(&world), Some(State::SynRecv));
    world.receive(LAN, &tcp(&asker(0), "203.0.113.80:80", ACK).via_server());
    assert_eq!(state(&world), Some(State::Established));
    world.receive(LAN, &tcp(&asker(0), "203.0.113.80:80", FIN | ACK).via_server());
    assert_eq!(state(&world), Some(State::CloseWait));
    world.receive(WAN, &tcp("203.0.113.80:80", &local, FIN | ACK).via_gateway());
    world.receive(LAN, &tcp(&asker(0), "203.0.113.80:80", ACK).via_server());
    assert!(state(&world).is_some_and(State::is_over));
    world.now = world.now + Duration::from_secs(130);
    world.pass(2_000);
    assert_eq!(state(&world), None);
    assert!(world.workers[0].neighbours().len() <= 8, "next hops are given back");
}

#[test]
fn rules_come_and_go_while_the_director_runs() {
    let without = one_server(Method::Nat);
    let mut world = World::new(&without);
    let ask = |world: &mut World, flags| world.receive(LAN, &tcp(&asker(0), OUTSIDE, flags).via_server());
    assert!(ask(&mut world, SYN).is_empty());
    world.exchange(&plan());
    let local = ask(&mut world, SYN)[0].source();
    world.receive(WAN, &tcp(OUTSIDE, &local, SYN | ACK).via_gateway());
    assert_eq!(ask(&mut world, ACK)[0].source(), local);

    // Another address is for connections that begin then; the old one stays for those that have it.
    let mut moved = plan();
    moved.snat[0].addresses = vec![Ipv4Addr::new(192, 0, 2, 51).into()];
    world.exchange(&moved);
    assert_eq!(ask(&mut world, ACK)[0].source(), local);
    assert_eq!(world.receive(WAN, &tcp(OUTSIDE, &local, ACK).via_gateway()).len(), 1);
    let other = world.receive(LAN, &tcp(&asker(1), OUTSIDE, SYN).via_server());
    assert_eq!(local_of(&other[0]).ip(), Ipv4Addr::new(192, 0, 2, 51));

    // Connections of a rule that is gone end with their next packet, and who asked is told.
    world.exchange(&without);
    let lines: Vec<_> = ask(&mut world, ACK).iter().map(Sent::line).collect();
    assert_eq!(lines, [format!("lan: {OUTSIDE} > {} tcp rst ttl 64", asker(0))]);
    assert!(ask(&mut world, SYN).is_empty());
    assert_eq!(world.dropped(DropReason::NoSnat), 2);

    // And one that is back begins again.
    world.exchange(&plan());
    assert_eq!(ask(&mut world, SYN).len(), 1);
    world.check();
}

#[test]
fn services_come_and_go_beside_rules_and_each_keeps_its_connections() {
    let mut plan = plan();
    let mut world = World::new(&plan);
    let outward = world.receive(LAN, &tcp(&asker(0), OUTSIDE, SYN).via_server())[0].source();
    assert_eq!(world.receive(WAN, &tcp("203.0.113.10:4000", "192.0.2.100:80", SYN).via_gateway()).len(), 1);
    plan.services.insert(0, service(Method::Nat, "192.0.2.101:80", &["198.51.100.12:8080"]));
    plan.snat.insert(
        0,
        SnatPlan {
            sources: vec!["203.0.113.0/24".parse().unwrap()],
            addresses: vec![Ipv4Addr::new(192, 0, 2, 52).into()],
            ..SnatPlan::new("first")
        },
    );
    world.exchange(&plan);
    assert_eq!(world.receive(LAN, &tcp(&asker(0), OUTSIDE, ACK).via_server())[0].source(), outward);
    let line = world.lines(WAN, &tcp("203.0.113.10:4000", "192.0.2.100:80", ACK).via_gateway());
    assert_eq!(line, ["lan: 203.0.113.10:4000 > 198.51.100.11:8080 tcp ack ttl 63"]);
    let other = world.lines(WAN, &tcp("203.0.113.10:4000", "192.0.2.101:80", SYN).via_gateway());
    assert_eq!(other, ["lan: 203.0.113.10:4000 > 198.51.100.12:8080 tcp syn ttl 63"]);
    assert_eq!(world.receive(LAN, &tcp(&asker(2), OUTSIDE, SYN).via_server()).len(), 1);
}

#[test]
fn a_connection_goes_on_in_the_next_run() {
    let plan = plan().spread(Spread::ByFlow, Spread::ByFlow);
    let mut before = World::with(&plan, setup(3));
    let sent: Vec<Sent> = (0..30)
        .map(|number| {
            let syn = tcp(&asker(number), OUTSIDE, SYN).via_server();
            before.burst(number % 3, &[(LAN, syn)]).remove(0)
        })
        .collect();
    let left: Vec<Vec<Saved>> =
        before.workers.iter().map(|worker| worker.saved(before.now).collect()).collect();
    let mut after = World::with(&plan, setup(3));
    let now = after.now;
    for (at, saved) in left.iter().enumerate() {
        for saved in saved {
            assert_eq!(after.workers[at].restore(now, saved, Some(WorkerId(at as u16))), Ok(()));
        }
    }
    after.check();
    for (number, sent) in sent.iter().enumerate() {
        let answer = tcp(OUTSIDE, &sent.source(), SYN | ACK).via_gateway();
        let back = after.burst(0, &[(WAN, answer)]);
        let line = format!("lan: {OUTSIDE} > {} tcp syn ack ttl 63", asker(number));
        assert_eq!((back[0].line(), back[0].worker), (line, number % 3));
        let again = after.burst(number % 3, &[(LAN, tcp(&asker(number), OUTSIDE, ACK).via_server())]);
        assert_eq!(again[0].line(), format!("wan: {} > {OUTSIDE} tcp ack ttl 63", sent.source()));
    }
    let mut elsewhere = plan.clone();
    elsewhere.snat[0].addresses = vec![Ipv4Addr::new(192, 0, 2, 51).into()];
    let mut moved = World::with(&elsewhere, setup(1));
    assert_eq!(moved.workers[0].restore(now, &left[0][0], None), Err(Lost::NoServer));
    let mut gone = World::with(&one_server(Method::Nat), setup(1));
    assert_eq!(gone.workers[0].restore(now, &left[0][0], None), Err(Lost::NoServer));
}

/// An explanation says what then happens, and by which rule.
#[test]
fn explanations_name_the_rule() {
    let mut world = World::new(&plan());
    for (flags, expected) in [(SYN, "SYN_SENT"), (ACK, "ESTABLISHED")] {
        let frame = tcp(&asker(0), OUTSIDE, flags).via_server();
        let packet = lb_core::memory::MemoryPacket::new(LAN, &frame);
        let told = world.workers[0].explain(world.now, &packet, lb_core::decide::Origin::Port, &world.ios[0]);
        let text: Vec<_> = told.steps.iter().map(|step| step.text.clone()).collect();
        let text = text.join("\n");
        assert!(text.contains("outbound ([[snat]]): what servers send by themselves"), "{text}");
        assert!(
            text.contains("snat: source rewritten: 198.51.100.11:20000 > 203.0.113.53:53 -> 192.0.2.50:"),
            "{text}"
        );
        assert!(text.contains("192.0.2.254 behind wan is at"), "{text}");
        let sent = world.receive(LAN, &frame).remove(0);
        match told.outcome {
            lb_core::explanation::Outcome::Sent { port, frame } => {
                assert_eq!((port, &frame), (sent.port, &sent.frame));
            }
            other => panic!("{other:?}: {expected}"),
        }
        if flags == SYN {
            world.receive(WAN, &tcp(OUTSIDE, &sent.source(), SYN | ACK).via_gateway());
        }
    }
}
