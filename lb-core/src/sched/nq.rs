//! `nq`: never queue. A server without connections gets the next one, else the one with the shortest expected delay.
//!
//! As IPVS's `ip_vs_nq.c`. Here idle servers take turns; in IPVS the first in the list gets the connection.

use super::{Candidate, Grounds, Scheduler, least::Least, load::Load, sed, start::Start, tournament::Cost};

/// Never queue.
pub(super) fn new(candidates: &[Candidate], start: Start) -> impl Scheduler + use<> {
    Least::new(candidates, start, cost, Grounds::IdleOrDelay)
}

fn cost(candidate: &Candidate, load: Load) -> Cost {
    match load.active {
        0 => Cost { load: 0, weight: candidate.weight },
        _ => sed::cost(candidate, load),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{REQUEST, board, candidates, picks};
    use super::*;
    use crate::packet::WorkerId;

    #[test]
    fn an_idle_server_comes_first_however_slow() {
        let nq = new(&candidates(&[1, 9, 0]), Start::FIRST);
        let mut turn = nq.first_turn(WorkerId(0));
        let mut pick =
            |loads: &[(u32, u32)]| nq.pick(&REQUEST, &mut turn, &board(loads).view(WorkerId(0))).unwrap();
        assert_eq!(pick(&[(0, 5), (1, 0), (0, 0)]), 0);
        assert_eq!(pick(&[(1, 0), (2, 0), (0, 0)]), 1, "3/9 is less than 2/1");
        assert_eq!(picks(&nq, WorkerId(0), 4), [0, 1, 0, 1], "idle ones take turns, whatever their weights");
    }
}
