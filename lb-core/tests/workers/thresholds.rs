//! Thresholds: servers that are full get no new connections until they have few again, whatever the scheduler, the method
//! and the worker, and operators are told why.

use crate::common::{
    frame::*,
    plan::*,
    world::{Setup, World},
};
use lb_core::{
    decide::Origin,
    memory::MemoryPacket,
    sched::threshold::Thresholds,
    service::{
        check::check,
        plan::{Method, PersistencePlan, Plan, SchedulerKind},
    },
    time::Duration,
};

const SERVICE: &str = "192.0.2.100:80";

/// Two servers, the first of which may have so many connections.
fn plan(method: Method, scheduler: SchedulerKind, upper: u32, lower: u32) -> Plan {
    let mut plan = two_servers(method);
    let service = plan.first();
    service.scheduler = scheduler;
    service.servers[0].thresholds = Thresholds { upper, lower };
    check(&plan, []).unwrap();
    plan
}

/// A client opens a connection from a port.
fn open(world: &mut World, port: u16) {
    world.receive(WAN, &tcp(&format!("203.0.113.10:{port}"), SERVICE, SYN).via_gateway());
}

fn reset(world: &mut World, port: u16) {
    world.receive(WAN, &tcp(&format!("203.0.113.10:{port}"), SERVICE, RST).via_gateway());
    // Longer than CLOSE lasts.
    world.pass(20_000);
}

/// Connections of each server.
fn counts(world: &World) -> [usize; 2] {
    let connections = world.connections();
    [0, 1].map(|server| connections.iter().filter(|one| one.server.index() == server).count())
}

#[test]
fn a_server_that_is_full_gets_no_more_under_any_method_and_scheduler() {
    use SchedulerKind::{Fo, Lblc, Lblcr, Lc, Nq, Rr, Sed, Twos, Wlc, Wrr};
    for method in [Method::Nat, Method::Tun, Method::Dr] {
        for scheduler in [Rr, Wrr, Lc, Wlc, Sed, Nq, Fo, Twos, Lblc, Lblcr] {
            let mut world = World::new(&plan(method, scheduler, 3, 0));
            (4_000..4_020).for_each(|port| open(&mut world, port));
            assert_eq!(counts(&world), [3, 17], "{method} {scheduler}");
        }
    }
}

#[test]
fn it_gets_connections_again_when_it_has_few() {
    let mut world = World::new(&plan(Method::Dr, SchedulerKind::Fo, 4, 2));
    (4_000..4_006).for_each(|port| open(&mut world, port));
    assert_eq!(counts(&world), [4, 2]);
    (4_000..4_002).for_each(|port| reset(&mut world, port));
    open(&mut world, 4_010);
    assert_eq!(counts(&world)[0], 2, "as many as the lower threshold");
    reset(&mut world, 4_002);
    open(&mut world, 4_011);
    open(&mut world, 4_012);
    assert_eq!(counts(&world)[0], 3, "fewer, and then up to the upper one again");
}

#[test]
fn when_all_are_full_clients_are_refused_by_a_reason_of_its_own() {
    let mut plan = plan(Method::Nat, SchedulerKind::Wlc, 2, 0);
    plan.first().servers[1].thresholds = Thresholds { upper: 1, lower: 0 };
    let mut world = World::new(&plan);
    (4_000..4_010).for_each(|port| open(&mut world, port));
    assert_eq!(counts(&world), [2, 1]);
    assert_eq!(world.counters(0).resets.get(), 7);
    let another = tcp("203.0.113.10:5000", SERVICE, SYN).via_gateway();
    let story = world.trace(0, MemoryPacket::new(WAN, &another), Origin::Port);
    world.settle();
    let said: String = story.steps.iter().map(|step| format!("{}\n", step.text)).collect();
    assert!(said.contains("rejected with a TCP reset: servers-full"), "{said}");
    assert!(said.contains("0 active, 1 inactive, full from 1 on"), "{said}");
    // Without thresholds there is room again.
    plan.first().servers.iter_mut().for_each(|server| server.thresholds = Thresholds::default());
    world.exchange(&plan);
    open(&mut world, 4_020);
    assert_eq!(counts(&world).iter().sum::<usize>(), 4);
}

#[test]
fn a_hash_falls_back_where_its_flag_says_so() {
    for (falls_back, expected) in [(false, [2, 0]), (true, [2, 8])] {
        let mut plan = plan(Method::Tun, SchedulerKind::Sh, 2, 0);
        plan.first().hash_fallback = falls_back;
        let mut world = World::new(&plan);
        // One client, so one server: the first that is tried to be it.
        open(&mut world, 4_000);
        if counts(&world)[0] == 0 {
            let servers = &mut plan.first().servers;
            servers[1].thresholds = std::mem::take(&mut servers[0].thresholds);
            world = World::new(&plan);
            open(&mut world, 4_000);
        }
        (4_001..4_010).for_each(|port| open(&mut world, port));
        let mut counts = counts(&world);
        if counts[0] != 2 {
            counts.reverse();
        }
        assert_eq!(counts, expected, "falls back: {falls_back}");
    }
}

/// As in IPVS, where a template's server is not asked for room.
#[test]
fn who_stays_with_a_server_gets_it_all_the_same() {
    let mut plan = plan(Method::Dr, SchedulerKind::Fo, 2, 0);
    plan.first().persistence =
        PersistencePlan { timeout: Duration::from_secs(300), ..PersistencePlan::default() };
    let mut world = World::new(&plan);
    (4_000..4_005).for_each(|port| open(&mut world, port));
    assert_eq!(counts(&world), [5, 0]);
    world.receive(WAN, &tcp("203.0.113.11:4000", SERVICE, SYN).via_gateway());
    assert_eq!(counts(&world), [5, 1], "another client has no claim");
}

#[test]
fn workers_count_together() {
    let mut plan = plan(Method::Dr, SchedulerKind::Wlc, 6, 0);
    plan.first().servers[0].weight = 1_000;
    let mut world = World::with(&plan, Setup { workers: 2, ..Setup::default() });
    for port in 4_000..4_040 {
        open(&mut world, port);
        world.board.sum_up(2);
    }
    assert_eq!(counts(&world), [6, 34]);
}
