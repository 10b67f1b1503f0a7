//! Weights that change while connections open: what each scheduler makes of it, and how a server that joins others is
//! warmed up.

use crate::common::{frame::*, plan::*, world::World};
use lb_core::{
    ids::ServerId,
    service::plan::{Health, Method, Plan, SchedulerKind, ServerPlan},
};

const SERVICE: &str = "192.0.2.100:80";

fn plan(scheduler: SchedulerKind, weights: [u32; 2]) -> Plan {
    let mut plan = two_servers(Method::Nat);
    plan.first().scheduler = scheduler;
    set(&mut plan, weights);
    plan
}

fn set(plan: &mut Plan, weights: [u32; 2]) {
    for (server, weight) in plan.first().servers.iter_mut().zip(weights) {
        server.weight = weight;
    }
}

/// The `n`th client opens a connection and sends something; the server that it is with, or 0 if it is refused.
fn establish(world: &mut World, n: u16) -> u8 {
    let [high, low] = n.to_be_bytes();
    let from = format!("203.0.{}.{low}:{}", 113 + high, 4_000 + n);
    let [syn, ack] = [SYN, ACK].map(|flags| tcp(&from, SERVICE, flags).via_gateway());
    let server = world.receive(WAN, &syn)[0].server();
    if server != 0 {
        assert_eq!(world.receive(WAN, &ack)[0].server(), server);
    }
    server
}

fn active(world: &World) -> [u32; 2] {
    [0, 1].map(|server| world.board.total(ServerId::new(server)).active)
}

#[test]
fn fo_goes_by_the_weights_of_now() {
    let mut plan = plan(SchedulerKind::Fo, [2, 1]);
    let mut world = World::new(&plan);
    let mut expected = [0, 0];
    for (n, (weights, server)) in (0..).step_by(10).zip([
        ([2, 1], 0),
        ([2, 3], 1),
        ([3, 3], 0),
        ([0, 1], 1),
        ([1, 1], 0),
        ([65_535, 65_534], 0),
        ([65_533, 65_534], 1),
    ]) {
        set(&mut plan, weights);
        world.exchange(&plan);
        (n..n + 10).for_each(|n| {
            establish(&mut world, n);
        });
        expected[server] += 10;
        assert_eq!(active(&world), expected, "{weights:?}: the others stay where they are");
    }
}

#[test]
fn ovf_runs_over_by_the_weights_of_now() {
    let mut plan = plan(SchedulerKind::Ovf, [4, 3]);
    let mut world = World::new(&plan);
    let mut n = 0;
    let mut open = |world: &mut World, count: usize| -> Vec<u8> {
        let servers = std::iter::repeat_with(|| {
            n += 1;
            establish(world, n)
        });
        servers.take(count).collect()
    };
    assert_eq!(open(&mut world, 10), [11, 11, 11, 11, 11, 12, 12, 12, 12, 0], "one more than its weight");
    // The second becomes the first choice, and has room for as many more.
    set(&mut plan, [4, 6]);
    world.exchange(&plan);
    assert_eq!(open(&mut world, 4), [12, 12, 12, 0]);
    // The first may have more again.
    set(&mut plan, [7, 6]);
    world.exchange(&plan);
    assert_eq!(open(&mut world, 4), [11, 11, 11, 0]);
    // Neither has room any more, which ends no connection.
    set(&mut plan, [1, 1]);
    world.exchange(&plan);
    assert_eq!(open(&mut world, 1), [0]);
    assert_eq!(active(&world), [8, 7]);
}

/// Who joins others by slow start gets few connections at first and its share in the end, whichever scheduler looks at
/// weights; and neither has all of them at any time.
#[test]
fn a_server_that_is_added_warms_up_under_every_scheduler_that_knows_weights() {
    use SchedulerKind::{Mh, Nq, Sed, Sh, Twos, Wlc, Wrr};
    for scheduler in [Wrr, Wlc, Sed, Nq, Twos, Mh, Sh] {
        let mut plan = plan(scheduler, [1, 1]);
        let added = plan.first().servers.pop().unwrap();
        let mut world = World::new(&plan);
        let mut clients = 0..;
        let mut open = |world: &mut World, count: usize| -> [usize; 2] {
            let mut seen = [0; 2];
            for n in clients.by_ref().take(count) {
                seen[usize::from(establish(world, n) - 11)] += 1;
            }
            seen
        };
        assert_eq!(open(&mut world, 60), [60, 0], "{scheduler}");
        plan.first().servers.push(added);
        let mut early = 0;
        for step in 1..20 {
            // As health checks say it, and as an operator does it halfway.
            if step == 10 {
                set(&mut plan, [3, 3]);
            }
            let added: &mut ServerPlan = &mut plan.first().servers[1];
            added.health = Health::Warming(step * 50);
            world.exchange(&plan);
            let seen = open(&mut world, 20);
            assert!(seen[0] > 0, "{scheduler}, step {step}: {seen:?}");
            early += if step <= 5 { seen[1] } else { 0 };
        }
        assert!((1..=35).contains(&early), "{scheduler}: {early} of the first hundred");
        plan.first().servers[1].health = Health::Up;
        world.exchange(&plan);
        open(&mut world, 20);
        let seen = open(&mut world, 100);
        // Of twos' two draws both are the server with more connections in a quarter, until the other has as many.
        let least = if scheduler == Twos { 12 } else { 30 };
        assert!(seen.iter().all(|count| (least..=100 - least).contains(count)), "{scheduler}: {seen:?}");
    }
}

/// With a change between any two connections, as checks that set weights make it, each gets its share all the same.
#[test]
fn weights_that_change_between_any_two_connections_keep_shares() {
    use SchedulerKind::{Lc, Mh, Nq, Rr, Sed, Sh, Twos, Wlc, Wrr};
    for scheduler in [Rr, Wrr, Lc, Wlc, Sed, Nq, Twos, Mh, Sh] {
        let mut plan = plan(scheduler, [10, 10]);
        let mut world = World::new(&plan);
        let mut seen = [0; 2];
        for n in 0..200_u16 {
            let wobble = u32::from(n * 7 % 5);
            set(&mut plan, [8 + wobble, 12 - wobble]);
            world.exchange(&plan);
            seen[usize::from(establish(&mut world, n) - 11)] += 1;
        }
        assert!(seen.iter().all(|count| (70..=130).contains(count)), "{scheduler}: {seen:?}");
    }
}
