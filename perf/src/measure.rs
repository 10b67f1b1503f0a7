//! Cycles of many bursts, with the generator's own cost taken off.

use crate::{
    frame::Frame,
    scene::{BURST, Head, Scene},
};
use lb_core::packet::Burst;
use quanta::Clock;

/// Packets between two readings of the clock: enough that reading it does not count, few enough that their heads,
/// which are made in advance, do not push what the worker uses out of the cache.
pub const READING: usize = 64 * BURST;

/// The median of all rounds, and the lowest and highest.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Spread {
    /// Of these values, one a round.
    #[must_use]
    pub fn of(mut rounds: Vec<f64>) -> Self {
        let median = median(&mut rounds);
        let (low, high) = (rounds.first().copied(), rounds.last().copied());
        Spread { median, low: low.unwrap_or(f64::NAN), high: high.unwrap_or(f64::NAN) }
    }
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

/// Sends packets and reads the clock.
pub struct Stopwatch {
    /// Counts TSC cycles.
    pub clock: Clock,
    burst: Burst<Frame>,
}

impl Default for Stopwatch {
    fn default() -> Self {
        Stopwatch { clock: Clock::new(), burst: Burst::new() }
    }
}

impl Stopwatch {
    /// Cycles a packet for these packets. The generator's part, copying a head into a buffer, is measured with the same
    /// packets just before, and taken off.
    pub fn reading(&mut self, scene: &mut Scene, heads: &[Head]) -> f64 {
        let generator = self.run(scene, heads, false);
        self.run(scene, heads, true) - generator
    }

    fn run(&mut self, scene: &mut Scene, all: &[Head], forward: bool) -> f64 {
        let start = self.clock.raw();
        for heads in all.chunks(BURST) {
            scene.io.take(&mut self.burst, heads.len());
            for (packet, head) in self.burst.iter_mut().zip(heads) {
                packet.arrive(head);
            }
            if forward {
                scene.forward(&mut self.burst);
            } else {
                self.burst.drain(..).for_each(|packet| scene.io.free.push(packet));
            }
        }
        (self.clock.raw() - start) as f64 / all.len() as f64
    }

    /// One round: the median of many readings of packets that `head` makes. The first of them fill caches.
    pub fn round(
        &mut self,
        scene: &mut Scene,
        packets: usize,
        mut head: impl FnMut(&Scene, &mut Order) -> Head,
        order: &mut Order,
    ) -> f64 {
        const WARM: usize = 2;
        let readings = (packets / READING).max(8) + WARM;
        let mut all = Vec::with_capacity(readings);
        let mut made = Vec::with_capacity(READING);
        for _ in 0..readings {
            made.clear();
            made.extend((0..READING).map(|_| head(scene, order)));
            all.push(self.reading(scene, &made));
        }
        median(&mut all[WARM..])
    }
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
    bound: u32,
}

impl Order {
    /// Numbers below `bound`.
    #[must_use]
    pub fn new(bound: u32) -> Self {
        Order { state: 0x9e37_79b9_7f4a_7c15, bound }
    }

    /// The next one.
    #[inline]
    pub fn draw(&mut self) -> u32 {
        self.below(self.bound)
    }

    /// The next one, below another bound.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((self.state >> 32) * u64::from(bound)) >> 32) as u32
    }
}
