//! What a worker does when its queues stay empty.

use crate::config::Idle;
use std::{hint, thread, time::Duration};

/// Empty rounds that are spent waiting for the next packet at full attention.
const SPIN_ROUNDS: u32 = 256;
/// Empty rounds after those in which the core is offered to others.
const YIELD_ROUNDS: u32 = 32;
/// Sleeps begin with this and double.
const FIRST_SLEEP_US: u64 = 10;
/// Sleeps end with this: what the first packet after a long silence waits at most.
const LONGEST_SLEEP_US: u64 = 500;
/// Rounds with sleeps of one length.
const ROUNDS_PER_LENGTH: u32 = 16;

/// The idle policy of one worker, and how long it has been idle.
#[derive(Debug)]
pub(crate) struct Rest {
    policy: Idle,
    empty_rounds: u32,
}

/// What to do after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Go,
    Spin,
    Yield,
    Sleep(u64),
}

impl Rest {
    pub(crate) const fn new(policy: Idle) -> Self {
        Rest { policy, empty_rounds: 0 }
    }

    /// To be called after every round, with whether there was anything to do.
    #[inline]
    pub(crate) fn after(&mut self, busy: bool) {
        match self.step(busy) {
            Step::Go => {}
            Step::Spin => hint::spin_loop(),
            Step::Yield => thread::yield_now(),
            Step::Sleep(us) => thread::sleep(Duration::from_micros(us)),
        }
    }

    #[inline]
    fn step(&mut self, busy: bool) -> Step {
        if busy {
            self.empty_rounds = 0;
            return Step::Go;
        }
        if self.policy == Idle::Poll {
            return Step::Spin;
        }
        let round = self.empty_rounds;
        self.empty_rounds = round.saturating_add(1);
        if round < SPIN_ROUNDS {
            return Step::Spin;
        }
        if round < SPIN_ROUNDS + YIELD_ROUNDS {
            return Step::Yield;
        }
        let doublings = ((round - SPIN_ROUNDS - YIELD_ROUNDS) / ROUNDS_PER_LENGTH).min(16);
        Step::Sleep((FIRST_SLEEP_US << doublings).min(LONGEST_SLEEP_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_gets_deeper_and_a_packet_ends_it() {
        let mut rest = Rest::new(Idle::Adaptive);
        let steps: Vec<Step> = (0..1_000).map(|_| rest.step(false)).collect();
        assert_eq!((steps[0], steps[256], steps[288]), (Step::Spin, Step::Yield, Step::Sleep(10)));
        assert_eq!(steps[999], Step::Sleep(500));
        assert_eq!(rest.step(true), Step::Go);
        assert_eq!(rest.step(false), Step::Spin);
    }

    #[test]
    fn polling_never_rests() {
        let mut rest = Rest::new(Idle::Poll);
        assert!((0..10_000).all(|_| rest.step(false) == Step::Spin));
    }
}
