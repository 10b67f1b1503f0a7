//! `wlc`: the server with the fewest connections for its weight.

use super::{
    Candidate, Grounds, Request, Scheduler, Turn,
    least::{Field, overhead},
    start::Start,
    tournament::Cost,
};
use crate::{packet::WorkerId, sched::load::Loads};

/// Weighted least connections.
pub(super) struct Wlc {
    field: Field,
}

impl Wlc {
    pub(super) fn new(candidates: &[Candidate], start: Start) -> Self {
        Wlc { field: Field::new(candidates, start) }
    }
}

impl Scheduler for Wlc {
    fn first_turn(&self, worker: WorkerId) -> Turn {
        self.field.first_turn(worker)
    }

    fn pick(&self, _: &Request, turn: &mut Turn, loads: &Loads<'_>) -> Option<usize> {
        self.field
            .least(turn, loads, |candidate, load| Cost { load: overhead(load), weight: candidate.weight })
    }

    fn grounds(&self, _: &Request, _: &Turn) -> Grounds {
        Grounds::LoadByWeight
    }

    fn bytes(&self) -> usize {
        self.field.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{REQUEST, board, candidates};
    use super::*;
    use crate::{ids::ServerId, limits::MAX_WEIGHT, sched::load::Load};

    /// Connections that only come: the servers fill up in proportion to their weights.
    #[test]
    fn connections_follow_weights() {
        let weights = [1, 2, 0, 5];
        let wlc = Wlc::new(&candidates(&weights), Start::FIRST);
        let board = board(&[(0, 0); 4]);
        let mut turn = wlc.first_turn(WorkerId(0));
        let mut active = [0; 4];
        for _ in 0..800 {
            let pick = wlc.pick(&REQUEST, &mut turn, &board.view(WorkerId(0))).unwrap();
            active[pick] += 1;
            let load = Load { active: active[pick], inactive: 0 };
            board.publish(WorkerId(0), ServerId::new(pick as u32), load);
        }
        assert_eq!(active, [100, 200, 0, 500]);
    }

    #[test]
    fn no_overflow_at_the_limits() {
        let wlc = Wlc::new(&candidates(&[MAX_WEIGHT, MAX_WEIGHT - 1]), Start::FIRST);
        let board = board(&[(u32::MAX, u32::MAX), (u32::MAX, u32::MAX)]);
        let mut turn = wlc.first_turn(WorkerId(1));
        assert_eq!(wlc.pick(&REQUEST, &mut turn, &board.view(WorkerId(0))), Some(0));
    }
}
