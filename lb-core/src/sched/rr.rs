//! `rr`: one server after the other.

use super::{Candidate, Grounds, Request, Scheduler, Turn, candidate::takers, start::Start};
use crate::{
    packet::WorkerId,
    sched::{load::Loads, threshold::WithRoom},
};

/// Round robin over the servers that take connections; weights do not matter beyond that.
pub(super) struct Rr {
    /// Candidates in turn.
    order: Box<[usize]>,
    start: Start,
}

impl Rr {
    pub(super) fn new(candidates: &[Candidate], start: Start) -> Self {
        Rr { order: takers(candidates).iter().map(|&(index, _)| index).collect(), start }
    }
}

impl Scheduler for Rr {
    fn first_turn(&self, worker: WorkerId) -> Turn {
        let count = self.order.len();
        Turn { position: (self.start.place(count) + usize::from(worker.0)) % count.max(1), ..Turn::default() }
    }

    fn pick(&self, _: &Request, turn: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        let at = if turn.position < self.order.len() { turn.position } else { 0 };
        turn.position = at + 1;
        self.order.get(at).copied()
    }

    fn pick_with_room(
        &self,
        request: &Request,
        turn: &mut Turn,
        loads: &Loads<'_>,
        room: WithRoom<'_>,
    ) -> Option<usize> {
        room.until(|| self.pick(request, turn, loads), self.order.iter().copied())
    }

    fn grounds(&self, _: &Request, turn: &Turn) -> Grounds {
        let of = self.order.len();
        Grounds::Turn { place: if turn.position < of { turn.position } else { 0 }, of }
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.order)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{candidates, picks};
    use super::*;

    #[test]
    fn servers_take_turns_and_weight_0_takes_none() {
        let rr = Rr::new(&candidates(&[1, 0, 5, 1]), Start::FIRST);
        assert_eq!(picks(&rr, WorkerId(0), 7), [0, 2, 3, 0, 2, 3, 0]);
    }

    #[test]
    fn workers_start_at_different_servers() {
        let rr = Rr::new(&candidates(&[1, 1, 1]), Start::FIRST);
        let firsts = [0, 1, 2, 3].map(|worker| picks(&rr, WorkerId(worker), 1)[0]);
        assert_eq!(firsts, [0, 1, 2, 0]);
    }
}
