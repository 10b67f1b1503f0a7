//! Cycles of many bursts, with the generator's own cost taken off.

use crate::{
    frame::Frame,
    scene::{BURST, Scene, Which},
};
use lb_core::packet::Burst;
use quanta::Clock;

/// Packets measured at a time, between two readings of the clock: enough that reading it does not count.
const BURSTS_PER_READING: usize = 64;

/// What was measured: TSC cycles a packet.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The median over all readings.
    pub cycles: f64,
    /// The median of the generator alone, which has been taken off.
    pub generator: f64,
}

/// The time stamp counter's frequency in Hz.
#[must_use]
pub fn tsc_hz() -> f64 {
    let clock = Clock::new();
    let (start, raw) = (clock.now(), clock.raw());
    std::thread::sleep(std::time::Duration::from_millis(200));
    let cycles = clock.raw() - raw;
    cycles as f64 / (clock.now() - start).as_secs_f64()
}

/// Established connections, touched in random order by packets of one kind.
#[must_use]
pub fn established(scene: &mut Scene, which: Which, packets: usize) -> Cost {
    let clock = Clock::new();
    let readings = (packets / (BURST * BURSTS_PER_READING)).max(8);
    let mut order = Order::new(scene.setup.connections);
    let mut burst: Burst<Frame> = Burst::new();
    // The packets of a reading are made in advance, so that making them does not evict what the worker uses while it
    // is measured; copying one into its buffer is what remains of the generator.
    let mut heads = Vec::with_capacity(BURST * BURSTS_PER_READING);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for reading in 0..readings {
        heads.clear();
        heads.extend((0..BURST * BURSTS_PER_READING).map(|_| scene.head(order.draw(), which)));
        let mut run = |forward: bool, scene: &mut Scene| {
            let start = clock.raw();
            for heads in heads.chunks_exact(BURST) {
                scene.io.take(&mut burst, BURST);
                for (packet, (port, head, len)) in burst.iter_mut().zip(heads) {
                    packet.arrive(*port, head, *len);
                }
                if forward {
                    scene.worker.process(scene.now, &mut burst, &mut scene.io);
                } else {
                    burst.drain(..).for_each(|packet| scene.io.free.push(packet));
                }
            }
            (clock.raw() - start) as f64 / (BURST * BURSTS_PER_READING) as f64
        };
        let generator = run(false, scene);
        let whole = run(true, scene);
        // The first readings fill caches.
        if reading >= 2 {
            without.push(generator);
            with.push(whole);
        }
    }
    let generator = median(&mut without);
    Cost { cycles: median(&mut with) - generator, generator }
}

/// The median.
#[must_use]
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Numbers below a bound in an order without pattern, the same in every run.
#[derive(Clone, Debug)]
pub struct Order {
    state: u64,
    bound: u64,
}

impl Order {
    /// Numbers below `bound`.
    #[must_use]
    pub fn new(bound: u32) -> Self {
        Order { state: 0x9e37_79b9_7f4a_7c15, bound: u64::from(bound) }
    }

    /// The next one.
    #[inline]
    pub fn draw(&mut self) -> u32 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((self.state >> 32) * self.bound) >> 32) as u32
    }
}
