//! `ovf`: weighted overflow. The server with the highest weight gets new connections until it has more active ones than
//! its weight; then the next.
//!
//! As IPVS's `ip_vs_ovf.c`: when all are full, a new connection is refused. Of equal weights the first in the operator's
//! order comes first. Weights are numbers of connections here, over all workers; with several workers, whose counts of
//! one another are some milliseconds old, a few more may get through.

use super::{
    Candidate, Grounds, Request, Scheduler, Turn,
    candidate::{Taker, takers},
};
use crate::sched::{load::Loads, threshold::WithRoom};
use std::cmp::Reverse;

/// Weighted overflow.
pub(super) struct Ovf {
    /// The highest weight first.
    takers: Box<[Taker]>,
}

impl Ovf {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let mut takers = takers(candidates);
        takers.sort_by_key(|(_, candidate)| Reverse(candidate.weight));
        Ovf { takers }
    }
}

impl Scheduler for Ovf {
    fn pick(&self, _: &Request, _: &mut Turn, loads: &Loads<'_>) -> Option<usize> {
        let has_room = |(_, candidate): &&Taker| loads.of(candidate.server).active <= candidate.weight;
        self.takers.iter().find(has_room).map(|&(index, _)| index)
    }

    fn pick_with_room(
        &self,
        _: &Request,
        _: &mut Turn,
        loads: &Loads<'_>,
        room: WithRoom<'_>,
    ) -> Option<usize> {
        let has_room = |(index, candidate): &&Taker| {
            loads.of(candidate.server).active <= candidate.weight && (room.has)(*index)
        };
        self.takers.iter().find(has_room).map(|&(index, _)| index)
    }

    fn grounds(&self, _: &Request, _: &Turn) -> Grounds {
        Grounds::HighestWeightWithRoom
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.takers)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{REQUEST, board, candidates};
    use super::*;
    use crate::packet::WorkerId;

    #[test]
    fn what_is_full_runs_over_into_the_next() {
        let ovf = Ovf::new(&candidates(&[2, 5, 0, 3]));
        let pick =
            |loads: &[(u32, u32)]| ovf.pick(&REQUEST, &mut Turn::default(), &board(loads).view(WorkerId(0)));
        assert_eq!(pick(&[(0, 0), (5, 99), (0, 0), (0, 0)]), Some(1), "as many as its weight, as in IPVS");
        assert_eq!(pick(&[(0, 0), (6, 0), (0, 0), (0, 0)]), Some(3));
        assert_eq!(pick(&[(0, 0), (6, 0), (0, 0), (4, 0)]), Some(0));
        assert_eq!(pick(&[(3, 0), (6, 0), (0, 0), (4, 0)]), None, "all are full");
    }
}
