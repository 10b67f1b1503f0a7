//! `fo`: weighted failover. All new connections go to the server with the highest weight that takes any.
//!
//! As IPVS's `ip_vs_fo.c`. Of equal weights the first in the operator's order has it, on every director.

use super::{Candidate, Grounds, Request, Scheduler, Turn, candidate::takers};
use crate::sched::load::Loads;
use std::cmp::Reverse;

/// Weighted failover.
pub(super) struct Fo {
    first: Option<usize>,
}

impl Fo {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let takers = takers(candidates);
        let first = takers.iter().min_by_key(|(_, candidate)| Reverse(candidate.weight));
        Fo { first: first.map(|&(index, _)| index) }
    }
}

impl Scheduler for Fo {
    fn pick(&self, _: &Request, _: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        self.first
    }

    fn grounds(&self, _: &Request, _: &Turn) -> Grounds {
        Grounds::HighestWeight
    }

    fn bytes(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{candidates, picks};
    use super::*;
    use crate::packet::WorkerId;

    #[test]
    fn the_highest_weight_has_it_and_then_the_next() {
        assert_eq!(picks(&Fo::new(&candidates(&[1, 9, 9, 3])), WorkerId(3), 2), [1, 1]);
        assert_eq!(picks(&Fo::new(&candidates(&[1, 0, 0, 3])), WorkerId(0), 2), [3, 3]);
    }
}
