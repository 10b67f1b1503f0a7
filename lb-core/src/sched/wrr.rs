//! `wrr`: in turn, by weight, spread smoothly.
//!
//! IPVS gives a server of weight 3 up to three connections in a row. Here its turns are at even distances, so that
//! a burst of new connections meets every server with its share.

use super::{Candidate, Grounds, Request, Scheduler, Turn, candidate::takers, shares::Shares, start::Start};
use crate::{
    packet::WorkerId,
    sched::{load::Loads, threshold::WithRoom},
};

/// Weighted round robin.
pub(super) struct Wrr {
    shares: Shares,
    /// Candidate of each member of `shares`.
    members: Box<[usize]>,
    start: Start,
}

impl Wrr {
    pub(super) fn new(candidates: &[Candidate], start: Start) -> Self {
        let takers = takers(candidates);
        let weights: Vec<u32> = takers.iter().map(|(_, candidate)| candidate.weight).collect();
        let members = takers.iter().map(|&(index, _)| index).collect();
        Wrr { shares: Shares::smooth(&weights), members, start }
    }
}

impl Scheduler for Wrr {
    fn first_turn(&self, worker: WorkerId) -> Turn {
        let mut due = self.shares.first_from(self.start);
        for _ in 0..worker.0 {
            self.shares.next(&mut due);
        }
        Turn { due, ..Turn::default() }
    }

    fn pick(&self, _: &Request, turn: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        self.shares.next(&mut turn.due).map(|member| self.members[member])
    }

    fn pick_with_room(
        &self,
        request: &Request,
        turn: &mut Turn,
        loads: &Loads<'_>,
        room: WithRoom<'_>,
    ) -> Option<usize> {
        room.until(|| self.pick(request, turn, loads), self.members.iter().copied())
    }

    fn grounds(&self, _: &Request, _: &Turn) -> Grounds {
        Grounds::WeightedTurn
    }

    fn bytes(&self) -> usize {
        self.shares.bytes() + size_of_val(&*self.members)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{candidates, picks};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_weights_1_and_2_the_second_goes_first() {
        let wrr = Wrr::new(&candidates(&[1, 2]), Start::FIRST);
        assert_eq!(picks(&wrr, WorkerId(0), 6), [1, 0, 1, 1, 0, 1]);
    }

    #[test]
    fn weight_0_has_no_turn() {
        let wrr = Wrr::new(&candidates(&[0, 1, 0, 1]), Start::FIRST);
        assert_eq!(picks(&wrr, WorkerId(0), 4), [1, 3, 1, 3]);
        assert_eq!(Wrr::new(&candidates(&[0]), Start::FIRST).first_turn(WorkerId(3)).due, []);
    }

    #[test]
    fn workers_go_through_the_same_order_from_different_places() {
        let wrr = Wrr::new(&candidates(&[5, 1, 2, 2]), Start::FIRST);
        let order = picks(&wrr, WorkerId(0), 30);
        for worker in 1..=20 {
            assert_eq!(picks(&wrr, WorkerId(worker), 10), order[usize::from(worker)..][..10]);
        }
    }

    proptest! {
        /// A window of as many picks as two servers' weights add up to, counted over these two only, has of each
        /// its weight, give or take two: one for where the window starts, one for phases.
        #[test]
        fn no_server_runs_ahead(weights in prop::collection::vec(1_u32..=20, 2..10)) {
            let wrr = Wrr::new(&candidates(&weights), Start::FIRST);
            let order = picks(&wrr, WorkerId(0), 2_000);
            for other in 1..weights.len() {
                let pair: Vec<_> = order.iter().filter(|&&pick| pick == 0 || pick == other).collect();
                let window = (weights[0] + weights[other]) as usize;
                for picks in pair.windows(window) {
                    let count = picks.iter().filter(|&&&pick| pick == 0).count();
                    prop_assert!(count.abs_diff(weights[0] as usize) <= 2);
                }
            }
        }
    }

    /// With servers of two weights no server gets more than its share, rounded up, in any window, and one.
    #[test]
    fn no_burst_for_one_server() {
        for (weights, window) in
            [(vec![1, 2], 3), (vec![1; 7], 7), (vec![1, 1, 1, 1, 4], 2), (vec![3, 9, 3], 5)]
        {
            let total: u32 = weights.iter().sum();
            let wrr = Wrr::new(&candidates(&weights), Start::FIRST);
            for picks in picks(&wrr, WorkerId(0), 300).windows(window) {
                for (server, &weight) in weights.iter().enumerate() {
                    let share = (window as u32 * weight).div_ceil(total);
                    let count = picks.iter().filter(|&&pick| pick == server).count() as u32;
                    assert!(count <= share, "{weights:?}: {count} of {window} for server {server}");
                }
            }
        }
    }
}
