//! A million connections end within one second, while packets of others pass.
//!
//! Time is simulated: a burst every 3.2 microseconds, which is 10 Mpps. So all rounds do the same work, burst by burst,
//! and what a burst cost is the least of all rounds: what interrupts and other tenants of the machine add hits another
//! burst each time.

use super::{Bench, row};
use crate::{
    measure::{Order, Stopwatch},
    rows::Row,
    scene::{BURST, Head, Scene, Which},
    setup::Setup,
};
use anyhow::Result;
use hdrhistogram::Histogram;
use lb_core::{
    packet::Burst,
    service::plan::{Method, Protocol},
    time::{Duration, Instant},
};

/// Bursts in a millisecond of simulated time.
const BURSTS_PER_MS: u64 = 312;
/// Milliseconds in which connections end, and some before and after.
const MEASURED_MS: u64 = 1_400;
/// Connections that packets pass on.
const ALIVE: u32 = 10_000;
/// LVS's timeout of UDP.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Rounds: each begins with a new worker.
const ROUNDS: usize = 5;

/// Measures it.
///
/// # Errors
/// When the histogram refuses a value.
pub fn expiry(bench: &mut Bench) -> Result<()> {
    let setup = Setup::new(Method::Nat, Protocol::Udp, ALIVE + bench.million);
    let mut least: Vec<u64> = Vec::new();
    for round in 0..ROUNDS {
        bench.progress(&format!("expiry, round {} of {ROUNDS}", round + 1));
        let cycles = run(setup);
        if least.is_empty() {
            least = cycles;
        } else {
            least.iter_mut().zip(cycles).for_each(|(least, cycles)| *least = cycles.min(*least));
        }
    }
    let mut histogram = Histogram::<u64>::new(3)?;
    for cycles in &least {
        histogram.record((*cycles as f64 / bench.hz * 1e9) as u64)?;
    }
    let total: u64 = least.iter().sum();
    let us = |ns: u64| Some(ns as f64 / 1e3);
    bench.push(Row {
        cycles_per_packet: Some(total as f64 / (least.len() * BURST) as f64),
        worst_burst_us: us(histogram.max()),
        p999_burst_us: us(histogram.value_at_quantile(0.999)),
        median_burst_us: us(histogram.value_at_quantile(0.5)),
        connections: Some(bench.million.into()),
        ..row("expiry", &setup, "in")
    });
    Ok(())
}

/// One round: the cycles of each burst with what is due after it.
fn run(setup: Setup) -> Vec<u64> {
    let mut scene = Scene::new(setup);
    let begin = scene.now;
    // The first packets come evenly within one second.
    scene.each(0..ALIVE, Which::In(0));
    let expiring = ALIVE..setup.connections;
    let at_ms = |ms: u64| ALIVE + (u64::from(setup.connections - ALIVE) * ms / 1_000) as u32;
    for ms in 0..1_000 {
        scene.each(at_ms(ms)..at_ms(ms + 1), Which::In(0));
        pass(&mut scene, Duration::from_millis(1));
    }
    assert_eq!(scene.connections(), setup.connections as usize, "all {expiring:?} are open");
    // Some of them stay in use.
    let used = begin + Duration::from_millis(TIMEOUT.as_millis() / 2);
    while scene.now < used {
        pass(&mut scene, Duration::from_millis(1));
    }
    scene.each(0..ALIVE, Which::In(0));
    let end = begin + TIMEOUT;
    while scene.now.as_millis() + 100 < end.as_millis() {
        pass(&mut scene, Duration::from_millis(1));
    }

    let mut order = Order::new(ALIVE);
    let heads: Vec<Head> = (0..ALIVE).map(|_| scene.head(order.draw(), Which::In(0))).collect();
    let mut chunks = heads.chunks_exact(BURST).cycle();
    let stopwatch = Stopwatch::default();
    let mut burst = Burst::new();
    let mut cycles = Vec::with_capacity((BURSTS_PER_MS * MEASURED_MS) as usize);
    let first = scene.now.as_millis();
    for number in 0..BURSTS_PER_MS * MEASURED_MS {
        scene.now = Instant::from_millis(first + number / BURSTS_PER_MS);
        scene.io.take(&mut burst, BURST);
        for (packet, head) in burst.iter_mut().zip(chunks.next().expect("endless")) {
            packet.arrive(head);
        }
        let start = stopwatch.clock.raw();
        scene.forward(&mut burst);
        scene.tick();
        cycles.push(stopwatch.clock.raw() - start);
    }
    assert_eq!(scene.connections(), ALIVE as usize, "all others have ended");
    cycles
}

/// Lets time pass with as many empty rounds as a worker makes at least.
fn pass(scene: &mut Scene, time: Duration) {
    scene.now = scene.now + time;
    (0..20).for_each(|_| scene.tick());
}
