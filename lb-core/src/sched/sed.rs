//! `sed`: the server where a new connection has the shortest expected delay.
//!
//! As IPVS's `ip_vs_sed.c`: `(active + 1) / weight`, where the one more is the connection that wants a server, so that an
//! idle slow server does not get what a fast one would serve sooner. Connections that open or close do not count. Here
//! equals take turns; in IPVS the first in the list gets them all.

use super::{Candidate, Grounds, Scheduler, least::Least, load::Load, start::Start, tournament::Cost};

/// Shortest expected delay.
pub(super) fn new(candidates: &[Candidate], start: Start) -> impl Scheduler + use<> {
    Least::new(candidates, start, cost, Grounds::Delay)
}

/// How long a new connection waits: IPVS's `ip_vs_sed_dest_overhead`, in proportion to the weight.
pub(super) fn cost(candidate: &Candidate, load: Load) -> Cost {
    Cost { load: u64::from(load.active) + 1, weight: candidate.weight }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{REQUEST, board, candidates};
    use super::*;
    use crate::packet::WorkerId;

    #[test]
    fn a_fast_server_comes_before_an_idle_slow_one() {
        let sed = new(&candidates(&[1, 3, 0]), Start::FIRST);
        let mut turn = sed.first_turn(WorkerId(0));
        let mut pick =
            |loads: &[(u32, u32)]| sed.pick(&REQUEST, &mut turn, &board(loads).view(WorkerId(0))).unwrap();
        assert_eq!(pick(&[(0, 0), (1, 0), (0, 0)]), 1, "2/3 is less than 1/1");
        assert_eq!(pick(&[(0, 900), (3, 0), (0, 0)]), 0, "4/3 is more, and what is closing does not count");
    }
}
