//! Which server a new connection gets, seen from outside; the schedulers themselves are tested where they are.

mod common;

use common::{
    frame::*,
    plan::*,
    world::{Sent, Setup, World},
};
use lb_core::{
    ids::ServerId,
    service::plan::{Method, SchedulerKind, Spread},
};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";

fn open(world: &mut World, port: u16) -> Vec<Sent> {
    world.receive(WAN, &tcp(&format!("203.0.113.10:{port}"), SERVICE, SYN).via_gateway())
}

fn lines(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::line).collect()
}

#[test]
fn a_hash_of_the_client_sends_it_to_the_same_server_on_every_worker() {
    for scheduler in [SchedulerKind::Sh, SchedulerKind::Mh] {
        let mut plan = two_servers(Method::Nat).spread(Spread::ByClient, Spread::ByClient);
        plan.first().scheduler = scheduler;
        let mut world = World::with(&plan, Setup { workers: 3, ..Setup::default() });
        let mut seen = [0; 2];
        for host in 1..=100 {
            let syn = |port: u16| tcp(&format!("203.0.113.{host}:{port}"), SERVICE, SYN).via_gateway();
            let chosen = [0, 1, 2].map(|worker| world.burst(worker, &[(WAN, syn(5000))])[0].server());
            assert_eq!(chosen, [chosen[0]; 3], "{scheduler}, client {host}");
            seen[usize::from(chosen[0] - 11)] += 1;
        }
        assert!(seen.iter().all(|&count| count > 25), "{scheduler}: {seen:?}");
    }
}

#[test]
fn a_server_of_weight_zero_takes_no_new_connections() {
    for scheduler in SchedulerKind::ALL {
        let mut plan = two_servers(Method::Nat);
        plan.first().scheduler = *scheduler;
        plan.first().servers[0].weight = 0;
        let mut world = World::new(&plan);
        let chosen: Vec<_> = (1..=20).map(|port| open(&mut world, port)[0].server()).collect();
        assert_eq!(chosen, [12; 20], "{scheduler}");
        plan.first().servers[1].weight = 0;
        let mut world = World::new(&plan);
        let line = "wan: 192.0.2.100:80 > 203.0.113.10:9 tcp rst ack ttl 64";
        assert_eq!(lines(&open(&mut world, 9)), [line], "{scheduler}");
        assert_eq!(world.counters(0).no_server.get(), 1);
    }
}

#[test]
fn a_service_without_servers_refuses() {
    let mut world = World::new(&network().with(service(Method::Dr, SERVICE, &[])).udp());
    let line = "wan: 192.0.2.100 > 203.0.113.10 icmp port unreachable \
                [203.0.113.10:4000 > 192.0.2.100:80 udp ttl 64] ttl 64";
    assert_eq!(world.lines(WAN, &udp(CLIENT, SERVICE, b"?").via_gateway()), [line]);
}

#[test]
fn the_fewest_connections_are_counted_over_all_workers() {
    for (scheduler, weights, expected) in
        [(SchedulerKind::Lc, [1, 1], [150, 150]), (SchedulerKind::Wlc, [2, 1], [200, 100])]
    {
        let mut plan = two_servers(Method::Nat);
        plan.first().scheduler = scheduler;
        for (server, weight) in plan.first().servers.iter_mut().zip(weights) {
            server.weight = weight;
        }
        let plan = plan.spread(Spread::ByClient, Spread::ByClient);
        let mut world = World::with(&plan, Setup { workers: 3, ..Setup::default() });
        let establish = |world: &mut World, worker, port| {
            for flags in [SYN, ACK] {
                let segment = tcp(&format!("203.0.113.10:{port}"), SERVICE, flags).via_gateway();
                assert_eq!(world.burst(worker, &[(WAN, segment)]).len(), 1);
            }
            world.board.sum_up(world.snapshot.servers.len());
        };
        for port in 0..300u16 {
            // Most of them at one worker, so that a worker that knew only its own would be wrong.
            establish(
                &mut world,
                if port % 10 == 0 { usize::from(port / 10 % 2) + 1 } else { 0 },
                1_000 + port,
            );
        }
        let active = [0, 1].map(|server| world.board.total(ServerId::new(server)).active);
        assert_eq!(active, expected, "{scheduler}");
        world.pass(20 * 60 * 1_000);
        assert_eq!([0, 1].map(|server| world.board.total(ServerId::new(server)).active), [0, 0], "all gone");
        assert_eq!([0, 1].map(|server| world.board.total(ServerId::new(server)).inactive), [0, 0]);
    }
}
