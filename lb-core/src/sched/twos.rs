//! `twos`: the better of two choices. Two servers are drawn at random by weight; the one with fewer connections for its
//! weight gets the new one.
//!
//! As IPVS's `ip_vs_twos.c`, which may draw one server twice as well. Each worker has a row of random numbers of its own.

use super::{
    Candidate, Grounds, Request, Scheduler, Turn,
    candidate::{Taker, takers},
    start::Start,
    wlc,
};
use crate::{
    cast::high64,
    mix::fold_multiply,
    packet::WorkerId,
    sched::{load::Loads, threshold::WithRoom},
};

/// The better of two choices.
pub(super) struct Twos {
    takers: Box<[Taker]>,
    /// By place: the weights up to it, its own included.
    sums: Box<[u64]>,
    start: Start,
}

impl Twos {
    pub(super) fn new(candidates: &[Candidate], start: Start) -> Self {
        let takers = takers(candidates);
        let mut sum = 0;
        let sums = takers.iter().map(|(_, candidate)| {
            sum += u64::from(candidate.weight);
            sum
        });
        Twos { sums: sums.collect(), takers, start }
    }

    fn draw(&self, turn: &mut Turn) -> Option<&Taker> {
        let total = *self.sums.last()?;
        let at = high64(u128::from(turn.random()) * u128::from(total));
        self.takers.get(self.sums.partition_point(|sum| *sum <= at))
    }
}

impl Scheduler for Twos {
    fn first_turn(&self, worker: WorkerId) -> Turn {
        let place = self.start.place(1 << 16) as u64;
        Turn {
            random: fold_multiply(place << 16 | u64::from(worker.0), 0x9e37_79b9_7f4a_7c15),
            ..Turn::default()
        }
    }

    fn pick(&self, _: &Request, turn: &mut Turn, loads: &Loads<'_>) -> Option<usize> {
        let (one, other) = (self.draw(turn)?, self.draw(turn)?);
        let cost = |(_, candidate): &Taker| wlc::cost(candidate, loads.of(candidate.server));
        let better = if cost(other).is_below(cost(one)) { other } else { one };
        Some(better.0)
    }

    fn pick_with_room(
        &self,
        request: &Request,
        turn: &mut Turn,
        loads: &Loads<'_>,
        room: WithRoom<'_>,
    ) -> Option<usize> {
        let takers = self.takers.iter().map(|(index, _)| *index);
        room.until(|| self.pick(request, turn, loads), takers)
    }

    fn grounds(&self, _: &Request, _: &Turn) -> Grounds {
        Grounds::BetterOfTwo
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.takers) + size_of_val(&*self.sums)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{REQUEST, board, candidates};
    use super::*;

    fn shares(weights: &[u32], loads: &[(u32, u32)]) -> Vec<u32> {
        let twos = Twos::new(&candidates(weights), Start::FIRST);
        let (mut turn, board) = (twos.first_turn(WorkerId(2)), board(loads));
        let mut shares = vec![0; weights.len()];
        for _ in 0..10_000 {
            shares[twos.pick(&REQUEST, &mut turn, &board.view(WorkerId(0))).unwrap()] += 1;
        }
        shares
    }

    #[test]
    fn draws_follow_weights_and_loads_decide() {
        let by_weight = shares(&[1, 3, 0], &[(0, 0); 3]);
        assert!((2_200..2_800).contains(&by_weight[0]) && by_weight[2] == 0, "a quarter: {by_weight:?}");
        // Drawn twice in 1 of 16 draws only.
        let by_load = shares(&[1, 3], &[(9, 0), (0, 0)]);
        assert!((450..800).contains(&by_load[0]), "{by_load:?}");
        assert_eq!(shares(&[7], &[(9, 9)]), [10_000]);
    }
}
