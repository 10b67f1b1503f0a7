//! The time stamp counter as the core's time. Reading it is neither a system call nor a division.

use crate::dpdk;
use lb_core::time::Instant;

/// Milliseconds since the director started. Copies agree, because all CPUs' counters do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: u64,
    /// Milliseconds per cycle, times 2^64.
    factor: u64,
}

impl Clock {
    /// Starts now. DPDK must run: it is what measures the counter's frequency.
    pub(crate) fn start() -> Self {
        Clock { start: dpdk::tsc(), factor: factor(dpdk::tsc_hz()) }
    }

    /// Now.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.at(dpdk::tsc())
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        let cycles = u128::from(dpdk::tsc().wrapping_sub(self.start));
        (cycles * 1_000_000_000 / u128::from(dpdk::tsc_hz().max(1))) as u64
    }

    /// The time at a value of the counter.
    #[inline]
    pub(crate) fn at(&self, cycles: u64) -> Instant {
        Instant::from_millis(scale(cycles.wrapping_sub(self.start), self.factor))
    }
}

fn factor(hz: u64) -> u64 {
    ((1_000u128 << 64) / u128::from(hz.max(1_001))) as u64
}

#[inline]
fn scale(cycles: u64, factor: u64) -> u64 {
    ((u128::from(cycles) * u128::from(factor)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_become_milliseconds() {
        for hz in [1_000_000_000, 2_499_998_000, 3_700_000_000] {
            let factor = factor(hz);
            for seconds in [0, 1, 60, 86_400, 365 * 86_400] {
                let ms = scale(hz * seconds, factor);
                assert!(ms.abs_diff(seconds * 1_000) <= 1, "{ms} ms for {seconds} s at {hz} Hz");
            }
        }
    }
}
