//! Connections that go on in another run of the director.

use crate::common::{
    frame::*,
    plan::*,
    world::{Sent, Setup, World},
};
use lb_core::{
    conn::{entry::Direction, saved::Saved},
    ids::ServerId,
    packet::WorkerId,
    service::plan::{Admin, Method, Plan, Spread},
    time::Duration,
    worker::life::Lost,
};

const SERVICE: &str = "192.0.2.100:80";

fn client(world: &mut World, worker: usize, port: u16, flags: u8) -> Vec<Sent> {
    let frame = tcp(&format!("203.0.113.10:{port}"), SERVICE, flags).via_gateway();
    world.burst(worker, &[(WAN, frame)])
}

/// What every worker would leave.
fn saved(world: &World) -> Vec<(WorkerId, Saved)> {
    let workers = (0..).map(WorkerId).zip(&world.workers);
    workers.flat_map(|(id, worker)| worker.saved(world.now).map(move |saved| (id, saved))).collect()
}

/// Gives all to all workers of a new world, and returns how many were taken over.
fn restore(world: &mut World, all: &[(WorkerId, Saved)], same: bool) -> usize {
    let now = world.now;
    let mut restored = 0;
    for worker in &mut world.workers {
        restored += all
            .iter()
            .filter(|(was, saved)| worker.restore(now, saved, same.then_some(*was)).is_ok())
            .count();
    }
    world.check();
    restored
}

fn run(plan: &Plan, workers: usize) -> World {
    World::with(plan, Setup { workers, ..Setup::default() })
}

#[test]
fn a_connection_goes_on_with_its_server_its_state_and_its_counts() {
    for &method in Method::ALL {
        let plan = two_servers(method);
        let mut before = run(&plan, 1);
        for port in 1..=4 {
            client(&mut before, 0, port, SYN);
            client(&mut before, 0, port, ACK);
        }
        let served: Vec<_> = (1..=4).map(|port| client(&mut before, 0, port, ACK)[0].frame.clone()).collect();
        before.pass(5_000);
        let left = saved(&before);

        let mut after = run(&plan, 1);
        assert_eq!(restore(&mut after, &left, true), 4);
        assert_eq!(restore(&mut after, &left, true), 0, "once is enough");
        let (old, new) = (before.connections(), after.connections());
        for (old, new) in old.iter().zip(&new) {
            assert_eq!((new.state, new.packets(Direction::In)), (old.state, 3));
            assert_eq!(new.seen.age(after.now), Duration::from_millis(5_000));
            assert_eq!(new.bytes(Direction::In), old.bytes(Direction::In));
        }
        assert_eq!(after.board.total(ServerId::new(0)), before.board.total(ServerId::new(0)));
        for (port, frame) in (1..=4).zip(served) {
            let sent = client(&mut after, 0, port, ACK);
            assert_eq!(sent[0].frame[..6], frame[..6], "{method}: the same server");
        }
        // It ends when it would have ended.
        let timeout = plan.services[0].timeouts.of(new[0].state);
        let mut idle = run(&plan, 1);
        restore(&mut idle, &left, true);
        idle.pass(timeout.as_millis() - 5_000 - 300);
        assert_eq!(idle.connections().len(), 4);
        idle.pass(1_000);
        assert_eq!(idle.connections().len(), 0);
    }
}

#[test]
fn replies_find_it_too() {
    let plan = two_servers(Method::Nat);
    let mut before = run(&plan, 1);
    client(&mut before, 0, 7, SYN);
    let mut after = run(&plan, 1);
    restore(&mut after, &saved(&before), true);
    let reply = tcp("198.51.100.11:8080", "203.0.113.10:7", SYN | ACK);
    let sent = after.receive(LAN, &reply.via_server());
    assert_eq!(sent[0].line(), "wan: 192.0.2.100:80 > 203.0.113.10:7 tcp syn ack ttl 63");
}

#[test]
fn as_many_workers_have_what_they_had_and_others_what_can_be_computed() {
    for (method, spread, with_others) in [
        (Method::Dr, Spread::ByFlow, 0),
        (Method::Dr, Spread::Unknown, 30),
        (Method::Nat, Spread::ByFlow, 30),
        (Method::Nat, Spread::Unknown, 30),
    ] {
        let plan = two_servers(method).spread(spread, spread);
        let mut before = run(&plan, 3);
        for port in 1..=30 {
            client(&mut before, usize::from(port % 3), port, SYN);
        }
        let left = saved(&before);
        assert_eq!(left.len(), 30);
        let mut same = run(&plan, 3);
        assert_eq!(restore(&mut same, &left, true), 30);
        for port in 1..=30 {
            let sent = client(&mut same, usize::from(port % 3), port, SYN);
            assert_eq!(sent[0].port, LAN, "{method} {spread:?}");
        }
        assert_eq!(same.connections().len(), 30, "{method} {spread:?}: found, not opened again");
        let mut two = run(&plan, 2);
        assert_eq!(restore(&mut two, &left, false), with_others, "{method} {spread:?}");
        let mut one = run(&plan, 1);
        assert_eq!(restore(&mut one, &left, false), 30, "{method} {spread:?}");
    }
}

#[test]
fn what_does_not_fit_is_left_out() {
    let plan = two_servers(Method::Nat);
    let mut before = run(&plan, 1);
    client(&mut before, 0, 1, SYN);
    let (_, left) = saved(&before)[0];
    let lost = |plan: &Plan, left: &Saved| {
        let mut world = run(plan, 1);
        let now = world.now;
        let outcome = world.workers[0].restore(now, left, None);
        world.check();
        outcome
    };
    assert_eq!(lost(&plan, &left), Ok(()));
    let mut disabled = plan.clone();
    disabled.first().servers[0].admin = Admin::Disabled;
    assert_eq!(lost(&disabled, &left), Err(Lost::NoServer));
    assert_eq!(lost(&network(), &left), Err(Lost::NoServer));
    assert_eq!(lost(&two_servers(Method::Dr), &left), Err(Lost::NoServer));
    assert_eq!(lost(&plan, &Saved { idle: Duration::from_secs(3_600), ..left }), Err(Lost::Over));
}
