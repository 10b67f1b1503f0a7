//! `lc`: the server with the fewest connections.

use super::{
    Candidate, Grounds, Scheduler,
    least::{Least, overhead},
    load::Load,
    start::Start,
    tournament::Cost,
};

/// Least connections; weights do not matter beyond taking connections or not.
pub(super) fn new(candidates: &[Candidate], start: Start) -> impl Scheduler + use<> {
    Least::new(candidates, start, cost, Grounds::Load)
}

fn cost(_: &Candidate, load: Load) -> Cost {
    Cost { load: overhead(load), weight: 1 }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{REQUEST, board, candidates, picks};
    use super::*;
    use crate::{ids::ServerId, packet::WorkerId};

    #[test]
    fn the_least_loaded_takes_the_next_whatever_its_weight() {
        let lc = new(&candidates(&[100, 1, 0, 1]), Start::FIRST);
        let mut turn = lc.first_turn(WorkerId(0));
        let board = board(&[(3, 0), (1, 255), (0, 0), (2, 0)]);
        assert_eq!(
            lc.pick(&REQUEST, &mut turn, &board.view(WorkerId(0))),
            Some(1),
            "255 inactive weigh less than 1"
        );
    }

    #[test]
    fn equals_take_turns() {
        let lc = new(&candidates(&[1, 1, 0, 1]), Start::FIRST);
        assert_eq!(picks(&lc, WorkerId(0), 5), [0, 1, 3, 0, 1]);
        assert_eq!(picks(&lc, WorkerId(1), 3), [1, 3, 0]);
    }

    #[test]
    fn connections_of_all_workers_count() {
        let lc = new(&candidates(&[1, 1]), Start::FIRST);
        let board = board(&[(0, 0), (1, 0)]);
        board.publish(WorkerId(1), ServerId::new(0), Load { active: 5, inactive: 0 });
        board.sum_up(usize::MAX);
        let mut turn = lc.first_turn(WorkerId(0));
        assert_eq!(lc.pick(&REQUEST, &mut turn, &board.view(WorkerId(0))), Some(1));
    }
}
