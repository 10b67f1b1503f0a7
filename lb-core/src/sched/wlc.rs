//! `wlc`: the server with the fewest connections for its weight.

use super::{
    Candidate, Grounds, Scheduler,
    least::{Least, overhead},
    load::Load,
    start::Start,
    tournament::Cost,
};

/// Weighted least connections.
pub(super) fn new(candidates: &[Candidate], start: Start) -> impl Scheduler + use<> {
    Least::new(candidates, start, cost, Grounds::LoadByWeight)
}

/// A load in proportion to the weight.
pub(super) fn cost(candidate: &Candidate, load: Load) -> Cost {
    Cost { load: overhead(load), weight: candidate.weight }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{REQUEST, board, candidates};
    use super::*;
    use crate::{ids::ServerId, limits::MAX_WEIGHT, packet::WorkerId};

    /// Connections that only come: the servers fill up in proportion to their weights.
    #[test]
    fn connections_follow_weights() {
        let weights = [1, 2, 0, 5];
        let wlc = new(&candidates(&weights), Start::FIRST);
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
        let wlc = new(&candidates(&[MAX_WEIGHT, MAX_WEIGHT - 1]), Start::FIRST);
        let board = board(&[(u32::MAX, u32::MAX), (u32::MAX, u32::MAX)]);
        let mut turn = wlc.first_turn(WorkerId(1));
        assert_eq!(wlc.pick(&REQUEST, &mut turn, &board.view(WorkerId(0))), Some(0));
    }
}
