//! `fo`: weighted failover. All new connections go to the server with the highest weight that takes any.
//!
//! As IPVS's `ip_vs_fo.c`. Of equal weights the first in the operator's order has it, on every director.

use super::{Candidate, Grounds, Request, Scheduler, Turn, candidate::takers};
use crate::sched::{load::Loads, threshold::WithRoom};
use std::cmp::Reverse;

/// Weighted failover.
pub(super) struct Fo {
    /// By weight, the highest first.
    order: Box<[usize]>,
}

impl Fo {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let mut takers = takers(candidates);
        takers.sort_by_key(|(_, candidate)| Reverse(candidate.weight));
        Fo { order: takers.iter().map(|&(index, _)| index).collect() }
    }
}

impl Scheduler for Fo {
    fn pick(&self, _: &Request, _: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        self.order.first().copied()
    }

    fn pick_with_room(&self, _: &Request, _: &mut Turn, _: &Loads<'_>, room: WithRoom<'_>) -> Option<usize> {
        self.order.iter().copied().find(|&candidate| (room.has)(candidate))
    }

    fn grounds(&self, _: &Request, _: &Turn) -> Grounds {
        Grounds::HighestWeight
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.order)
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
