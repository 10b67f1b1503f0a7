//! `rr`: one server after the other.

use super::{Candidate, Grounds, Request, Scheduler, Turn, candidate::takers};
use crate::{packet::WorkerId, sched::load::Loads};

/// Round robin over the servers that take connections; weights do not matter beyond that.
pub(super) struct Rr {
    /// Candidates in turn.
    order: Box<[usize]>,
}

impl Rr {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        Rr { order: takers(candidates).iter().map(|&(index, _)| index).collect() }
    }
}

impl Scheduler for Rr {
    fn first_turn(&self, worker: WorkerId) -> Turn {
        Turn { position: usize::from(worker.0) % self.order.len().max(1), ..Turn::default() }
    }

    fn pick(&self, _: &Request, turn: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        let at = if turn.position < self.order.len() { turn.position } else { 0 };
        turn.position = at + 1;
        self.order.get(at).copied()
    }

    fn grounds(&self, _: &Request, turn: &Turn) -> Grounds {
        let of = self.order.len();
        Grounds::Turn { place: if turn.position < of { turn.position } else { 0 }, of }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{candidates, picks};
    use super::*;

    #[test]
    fn servers_take_turns_and_weight_0_takes_none() {
        let rr = Rr::new(&candidates(&[1, 0, 5, 1]));
        assert_eq!(picks(&rr, WorkerId(0), 7), [0, 2, 3, 0, 2, 3, 0]);
    }

    #[test]
    fn workers_start_at_different_servers() {
        let rr = Rr::new(&candidates(&[1, 1, 1]));
        let firsts = [0, 1, 2, 3].map(|worker| picks(&rr, WorkerId(worker), 1)[0]);
        assert_eq!(firsts, [0, 1, 2, 0]);
    }
}
