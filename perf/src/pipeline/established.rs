//! Packets of connections that are open, touched in random order.

use super::{Bench, row};
use crate::{
    measure::{Order, Spread, Stopwatch},
    rows::Row,
    scene::{Scene, Team, Which},
    setup::{PROTOCOLS, Setup},
};
use lb_core::{
    service::plan::{Method, Protocol},
    wire::tcp,
};
use std::{sync::Barrier, thread};

/// Everything a connection can be, at one table size.
pub fn all(bench: &mut Bench, connections: u32) {
    for method in Method::OF_CONNECTIONS.iter().copied() {
        for protocol in PROTOCOLS {
            bench.progress(&format!("{connections} connections, {method}, {protocol}"));
            let setup = Setup::new(method, protocol, connections);
            both_directions(bench, "established", setup, |_| {});
        }
    }
}

/// Many services, or many servers: what they cost, above one service with two servers.
pub fn crowds(bench: &mut Bench) {
    for method in Method::ALL.iter().copied() {
        for (services, servers) in [(1, 2), (1_000, 2), (1, 1_000)] {
            bench.progress(&format!("{services} services with {servers} servers each, {method}"));
            let setup = Setup { services, servers, ..Setup::new(method, Protocol::Tcp, bench.million) };
            both_directions(bench, "crowd", setup, |row| {
                (row.services, row.servers) = (Some(services.into()), Some(servers.into()));
            });
        }
    }
}

/// The worker verifies checksums itself.
pub fn verified(bench: &mut Bench) {
    for method in Method::ALL.iter().copied() {
        bench.progress(&format!("checksum verification, {method}"));
        let setup = Setup { verify: true, ..Setup::new(method, Protocol::Tcp, 10_000) };
        both_directions(bench, "verified", setup, |_| {});
    }
}

fn both_directions(bench: &mut Bench, case: &str, setup: Setup, more: impl Fn(&mut Row)) {
    let mut scene = Scene::opened(setup);
    for (direction, which) in directions(setup.method) {
        let cycles = measure(&mut scene, *which, bench.rounds, bench.packets);
        let mut row = row(case, &setup, direction);
        more(&mut row);
        bench.push_cycles(row, cycles);
    }
}

/// One worker and two, each with its own connections, at the same time on two cores.
pub fn two_workers(bench: &mut Bench) {
    for workers in [1, 2] {
        bench.progress(&format!("{workers} workers at a time"));
        let setup = Setup::new(Method::Nat, Protocol::Tcp, bench.million);
        let team = Team::new(setup, workers);
        let (rounds, packets) = (bench.rounds, bench.packets);
        let together = Barrier::new(workers);
        let run = |id: usize| {
            let mut scene = team.worker(id as u16);
            scene.open();
            together.wait();
            let cycles: Vec<_> = directions(setup.method)
                .iter()
                .map(|(direction, which)| (*direction, measure(&mut scene, *which, rounds, packets)))
                .collect();
            (cycles, scene.io.handed_over)
        };
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|id| scope.spawn(move || run(id))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a worker ends")).collect()
        });
        let handed_over = results.iter().map(|(_, handed_over)| handed_over).sum();
        for (number, (direction, _)) in directions(setup.method).iter().enumerate() {
            let of_workers: Vec<Spread> = results.iter().map(|(cycles, _)| cycles[number].1).collect();
            let mean = |of: fn(&Spread) -> f64| of_workers.iter().map(of).sum::<f64>() / workers as f64;
            let cycles = Spread {
                median: mean(|spread| spread.median),
                low: mean(|spread| spread.low),
                high: mean(|spread| spread.high),
            };
            let row = Row {
                workers: Some(workers as u64),
                handed_over: Some(handed_over),
                ..row("workers", &setup, direction)
            };
            bench.push_cycles(row, cycles);
        }
    }
}

fn directions(method: Method) -> &'static [(&'static str, Which)] {
    let all = &[("in", Which::In(tcp::ACK)), ("out", Which::Out(tcp::ACK))];
    if method.sees_replies() { all } else { &all[..1] }
}

/// Cycles a packet over some rounds.
pub fn measure(scene: &mut Scene, which: Which, rounds: usize, packets: usize) -> Spread {
    let mut stopwatch = Stopwatch::default();
    let mut order = Order::new(scene.setup.connections);
    let head = |scene: &Scene, order: &mut Order| scene.head(order.draw(), which);
    Spread::of((0..rounds).map(|_| stopwatch.round(scene, packets, head, &mut order)).collect())
}
