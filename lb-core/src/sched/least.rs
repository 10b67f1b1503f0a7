//! The server with the least load: what `lc` and `wlc` share.

use super::{Candidate, Taker, Turn};
use crate::sched::load::{Load, Loads};

/// A load in proportion to a weight: `load / weight`, without dividing.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub(super) load: u64,
    /// Not 0.
    pub(super) weight: u32,
}

impl Cost {
    /// Exact: a load of IPVS's kind needs 41 bits and a weight 16.
    fn is_below(self, other: Cost) -> bool {
        self.load * u64::from(other.weight) < other.load * u64::from(self.weight)
    }
}

/// IPVS's measure of a load, `ip_vs_dest_conn_overhead`: 256 connections that are opening or closing are as much
/// work as one that carries data.
pub(super) fn overhead(load: Load) -> u64 {
    (u64::from(load.active) << 8) + u64::from(load.inactive)
}

/// The candidate with the lowest cost. Where several have it, they take turns.
///
/// This differs from IPVS, where the first in the list always wins: there, a service whose connections are short
/// and rare sends nearly all of them to its first server.
pub(super) fn least(
    takers: &[Taker],
    turn: &mut Turn,
    loads: &Loads<'_>,
    cost: impl Fn(&Candidate, Load) -> Cost,
) -> Option<usize> {
    let (before, from) = takers.split_at(turn.position.min(takers.len()));
    let mut best: Option<(usize, Cost)> = None;
    for (place, (_, candidate)) in (turn.position..).zip(from).chain((0..).zip(before)) {
        let cost = cost(candidate, loads.of(candidate.server));
        if best.is_none_or(|(_, lowest)| cost.is_below(lowest)) {
            best = Some((place, cost));
        }
    }
    let (place, _) = best?;
    turn.position = place + 1;
    Some(takers[place].0)
}
