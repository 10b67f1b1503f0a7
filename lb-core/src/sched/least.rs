//! The server with the least load: what `lc` and `wlc` share.
//!
//! A few servers are simply all looked at. Many stand in a tournament: a binary tree whose leaves are the servers' costs
//! and whose inner nodes are the lower of the two below, so that the lowest of a thousand is known at once. The load
//! board tells which loads have changed since the last pick; each of them climbs ten levels at most.

use super::{Candidate, Taker, Turn, takers};
use crate::{
    ids::ServerId,
    sched::load::{Load, Loads, Seen},
};

/// So many servers are looked at one by one, which is quicker than keeping a tournament.
const FEW: usize = 16;

/// A load in proportion to a weight: `load / weight`, without dividing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) load: u64,
    /// Not 0.
    pub(super) weight: u32,
}

impl Cost {
    /// More than any load in proportion to any weight.
    const INFINITE: Cost = Cost { load: 1, weight: 0 };

    /// Exact: a load of IPVS's kind needs 41 bits and a weight 16.
    fn is_below(self, other: Cost) -> bool {
        self.load * u64::from(other.weight) < other.load * u64::from(self.weight)
    }

    fn lower(self, other: Cost) -> Cost {
        if other.is_below(self) { other } else { self }
    }
}

/// IPVS's measure of a load, `ip_vs_dest_conn_overhead`: 256 connections that are opening or closing are as much
/// work as one that carries data.
pub(super) fn overhead(load: Load) -> u64 {
    (u64::from(load.active) << 8) + u64::from(load.inactive)
}

/// The candidates that take connections, to choose the least loaded of.
pub(super) struct Field {
    takers: Box<[Taker]>,
    /// The place of each server among them, by the server's number.
    places: Box<[(ServerId, u32)]>,
}

impl Field {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let takers = takers(candidates);
        let mut places: Box<[_]> = takers.iter().map(|(_, candidate)| candidate.server).zip(0u32..).collect();
        places.sort_unstable();
        Field { takers, places }
    }

    /// A first turn that starts at that place.
    pub(super) fn first_turn(&self, position: usize) -> Turn {
        let count = self.takers.len();
        let tournament = if count > FEW { Tournament::new(count) } else { Tournament::default() };
        Turn { position: position % count.max(1), tournament, ..Turn::default() }
    }

    /// The candidate with the lowest cost. Where several have it, they take turns.
    ///
    /// This differs from IPVS, where the first in the list always wins: there, a service whose connections are short
    /// and rare sends nearly all of them to its first server.
    pub(super) fn least(
        &self,
        turn: &mut Turn,
        loads: &Loads<'_>,
        cost: impl Fn(&Candidate, Load) -> Cost,
    ) -> Option<usize> {
        let cost = |(_, candidate): &Taker| cost(candidate, loads.of(candidate.server));
        let place = if self.takers.len() > FEW {
            self.update(&mut turn.tournament, loads, cost);
            turn.tournament.lowest_from(turn.position)?
        } else {
            self.lowest_from(turn.position, cost)?
        };
        turn.position = place + 1;
        Some(self.takers[place].0)
    }

    fn lowest_from(&self, position: usize, cost: impl Fn(&Taker) -> Cost) -> Option<usize> {
        let (before, from) = self.takers.split_at(position.min(self.takers.len()));
        let mut best: Option<(usize, Cost)> = None;
        for (place, taker) in (position..).zip(from).chain((0..).zip(before)) {
            let cost = cost(taker);
            if best.is_none_or(|(_, lowest)| cost.is_below(lowest)) {
                best = Some((place, cost));
            }
        }
        best.map(|(place, _)| place)
    }

    fn update(&self, tournament: &mut Tournament, loads: &Loads<'_>, cost: impl Fn(&Taker) -> Cost) {
        // Before looking: what changes meanwhile is looked at again.
        let now = loads.now();
        match loads.changed_since(tournament.seen) {
            Some(servers) => {
                for place in servers.filter_map(|server| self.place_of(server)) {
                    tournament.set(place, cost(&self.takers[place]));
                }
            }
            None => tournament.begin(self.takers.iter().map(cost)),
        }
        tournament.seen = Some(now);
    }

    /// Numbers of a service's servers mostly follow one another; then the place is found at once.
    fn place_of(&self, server: ServerId) -> Option<usize> {
        let (first, _) = *self.places.first()?;
        let guess = server.index().checked_sub(first.index())?;
        if let Some(&(found, place)) = self.places.get(guess)
            && found == server
        {
            return Some(place as usize);
        }
        let at = self.places.binary_search_by_key(&server, |&(server, _)| server).ok()?;
        Some(self.places[at].1 as usize)
    }
}

/// Costs by place, and which is the lowest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tournament {
    /// Node 1 is the root, those below node n are 2n and 2n + 1, and the leaves fill the second half.
    nodes: Box<[Cost]>,
    /// The state of the load board that they are from.
    seen: Option<Seen>,
}

impl Tournament {
    /// The same, but nothing of it is up to date.
    pub(super) fn unread(&self) -> Tournament {
        Tournament { seen: None, ..self.clone() }
    }

    fn new(places: usize) -> Self {
        let nodes = vec![Cost::INFINITE; places.next_power_of_two() * 2].into_boxed_slice();
        Tournament { nodes, seen: None }
    }

    fn leaves(&self) -> usize {
        self.nodes.len() / 2
    }

    /// Takes all costs, by place.
    fn begin(&mut self, costs: impl Iterator<Item = Cost>) {
        let leaves = self.leaves();
        for (leaf, cost) in self.nodes[leaves..].iter_mut().zip(costs) {
            *leaf = cost;
        }
        for node in (1..leaves).rev() {
            self.nodes[node] = self.nodes[2 * node].lower(self.nodes[2 * node + 1]);
        }
    }

    fn set(&mut self, place: usize, cost: Cost) {
        let mut node = self.leaves() + place;
        let mut winner = cost;
        while self.nodes[node] != winner {
            self.nodes[node] = winner;
            if node == 1 {
                return;
            }
            // The lower number first, whichever has changed, so that equal costs of different numbers do not alternate.
            winner = self.nodes[node & !1].lower(self.nodes[node | 1]);
            node /= 2;
        }
    }

    /// The first place with the lowest cost, looking from `position` on and then from the beginning.
    fn lowest_from(&self, position: usize) -> Option<usize> {
        let lowest = *self.nodes.get(1)?;
        if lowest == Cost::INFINITE {
            return None;
        }
        let leaves = self.leaves();
        let from = if position < leaves { position } else { 0 };
        let mut node = leaves + from;
        // Up and to the right, to the first part of the tree that has it.
        while lowest.is_below(self.nodes[node]) {
            while node % 2 == 1 {
                node /= 2;
            }
            // No right neighbour: from the beginning, where all of the tree is.
            node = if node == 0 { 1 } else { node + 1 };
        }
        // Down to its first leaf that has it.
        while node < leaves {
            node *= 2;
            node += usize::from(lowest.is_below(self.nodes[node]));
        }
        Some(node - leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{board, candidates};
    use super::*;
    use crate::packet::WorkerId;
    use proptest::prelude::*;

    fn weighted(candidate: &Candidate, load: Load) -> Cost {
        Cost { load: overhead(load), weight: candidate.weight }
    }

    proptest! {
        #[test]
        fn a_tournament_picks_what_looking_at_all_picks(
            weights in prop::collection::vec(0_u32..4, 17..70),
            steps in prop::collection::vec((0_u32..70, 0_u32..3, 0_u32..3, 0_usize..6), 1..200),
            board_len in 60_usize..80,
        ) {
            let field = Field::new(&candidates(&weights));
            let board = board(&vec![(0, 0); board_len]);
            let mut turn = field.first_turn(0);
            for (step, (server, active, inactive, picks)) in steps.into_iter().enumerate() {
                let worker = WorkerId(u16::from(step % 5 == 0));
                board.publish(worker, ServerId::new(server), Load { active, inactive });
                if step % 7 == 0 {
                    board.sum_up(usize::MAX);
                }
                for _ in 0..picks {
                    let view = board.view(WorkerId(0));
                    let all = field.lowest_from(turn.position, |(_, candidate)| {
                        weighted(candidate, view.of(candidate.server))
                    });
                    let picked = field.least(&mut turn, &view, weighted);
                    prop_assert_eq!(picked, all.map(|place| field.takers[place].0));
                }
            }
        }
    }
}
