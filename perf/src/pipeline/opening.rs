//! Connections a second, with a million open already.

use super::{Bench, row};
use crate::{
    measure::{READING, Spread, Stopwatch, median},
    rows::Row,
    scene::{Scene, Which},
    setup::{PROTOCOLS, Setup},
};
use lb_core::{
    service::plan::{Method, Protocol, SchedulerKind},
    time::{Duration, Instant},
    wire::tcp,
};

/// Connections of a round.
const BATCH: u32 = 100 * READING as u32;
/// Longer than connections live that are not established.
const FORGOTTEN: Duration = Duration::from_secs(301);

/// The first packet of a connection only.
pub fn first_packets(bench: &mut Bench) {
    for method in Method::OF_CONNECTIONS.iter().copied() {
        for protocol in PROTOCOLS {
            let setup = Setup { spare: BATCH, ..Setup::new(method, protocol, bench.million) };
            first_packets_of(bench, setup);
            // Between the families as well, where a method can.
            for is_ipv6 in [true, false].into_iter().filter(|_| method == Method::FullNat) {
                first_packets_of(bench, Setup { is_ipv6, is_translated: true, ..setup });
            }
        }
    }
}

fn first_packets_of(bench: &mut Bench, setup: Setup) {
    let (case, Setup { method, protocol, .. }) = (format!("open{}", setup.families()), setup);
    bench.progress(&format!("new connections, {case}, {method}, {protocol}"));
    let first = [Which::In(if protocol == Protocol::Tcp { tcp::SYN } else { 0 })];
    let mut scene = opened(setup);
    let rounds = (0..bench.rounds).map(|_| {
        let cycles = batch(&mut scene, &first);
        expire(&mut scene);
        cycles
    });
    let cycles = Spread::of(rounds.collect());
    bench.push_connections(row(&case, &setup, "in"), cycles);
}

/// The same with many services or servers, and the default scheduler.
pub fn crowds(bench: &mut Bench) {
    for (services, servers) in [(1, 2), (1_000, 2), (1, 1_000)] {
        bench.progress(&format!("new connections, {services} services with {servers} servers each"));
        let setup = Setup {
            spare: BATCH,
            services,
            servers,
            scheduler: SchedulerKind::Wlc,
            ..Setup::new(Method::Dr, Protocol::Tcp, bench.million)
        };
        let mut scene = opened(setup);
        let rounds = (0..bench.rounds).map(|_| {
            let cycles = batch(&mut scene, &[Which::In(tcp::SYN)]);
            expire(&mut scene);
            cycles
        });
        let cycles = Spread::of(rounds.collect());
        let row = Row {
            services: Some(services.into()),
            servers: Some(servers.into()),
            ..row("open-crowd", &setup, "in")
        };
        bench.push_connections(row, cycles);
    }
}

/// Whole connections, from the SYN until they are forgotten.
pub fn cycles(bench: &mut Bench) {
    for method in Method::OF_CONNECTIONS.iter().copied() {
        bench.progress(&format!("connections from beginning to end, {method}"));
        let setup = Setup { spare: BATCH, ..Setup::new(method, Protocol::Tcp, bench.million) };
        let mut scene = opened(setup);
        let packets: Vec<Which> = scene.opening().iter().chain(scene.closing()).copied().collect();
        let rounds = (0..bench.rounds).map(|_| batch(&mut scene, &packets) + expire(&mut scene));
        let cycles = Spread::of(rounds.collect());
        bench.push_connections(row("cycle", &setup, "in"), cycles);
    }
}

fn opened(setup: Setup) -> Scene {
    let mut scene = Scene::opened(setup);
    // UDP connections of the base must not end with the others: they are never as old as that.
    scene.now = scene.now + Duration::from_millis(1);
    scene
}

/// Sends these packets of each connection of a batch, of as many connections at a time as are in a reading. Returns
/// the cycles of a connection.
fn batch(scene: &mut Scene, packets: &[Which]) -> f64 {
    let mut stopwatch = Stopwatch::default();
    let first = scene.setup.connections;
    let before = scene.connections();
    let mut all = Vec::new();
    for start in (first..first + BATCH).step_by(READING) {
        let mut cycles = 0.0;
        for which in packets {
            let heads: Vec<_> =
                (start..start + READING as u32).map(|index| scene.head(index, *which)).collect();
            cycles += stopwatch.reading(scene, &heads);
        }
        all.push(cycles);
        scene.now = scene.now + Duration::from_millis(1);
    }
    assert_eq!(scene.connections(), before + BATCH as usize, "all have opened");
    median(&mut all)
}

/// Lets time pass until the batch is forgotten, while the base is kept alive. Returns the cycles of a connection.
fn expire(scene: &mut Scene) -> f64 {
    let base = scene.setup.connections;
    if scene.setup.protocol == Protocol::Udp {
        scene.now = scene.now + Duration::from_secs(200);
        scene.each(0..base, Which::In(0));
    }
    let target = Instant::from_millis(scene.now.as_millis() + FORGOTTEN.as_millis());
    let clock = quanta::Clock::new();
    let (mut all, mut idle) = (Vec::new(), 0);
    while scene.connections() > base as usize {
        let before = scene.connections();
        let start = clock.raw();
        scene.tick();
        let cycles = (clock.raw() - start) as f64;
        let ended = before - scene.connections();
        if ended > 0 {
            all.push(cycles / ended as f64);
            idle = 0;
            continue;
        }
        // Nothing to forget at this time.
        idle += 1;
        if idle > 1_000 {
            assert!(scene.now < target, "they are forgotten");
            scene.now = scene.now + Duration::from_millis(500);
            idle = 0;
        }
    }
    median(&mut all)
}
