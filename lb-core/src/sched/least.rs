//! The server with the least cost: what `lc`, `wlc`, `sed` and `nq` share, each with a cost of its own.
//!
//! A few servers are simply all looked at. Many stand in a [`Tournament`]; the load board tells which loads have changed
//! since the last pick.

use super::{
    Candidate, Grounds, Request, Scheduler, Turn,
    candidate::{Taker, takers},
    start::Start,
    tournament::{Cost, Tournament},
};
use crate::{
    ids::ServerId,
    packet::WorkerId,
    sched::{
        load::{Load, Loads},
        threshold::WithRoom,
    },
};

/// So many servers are looked at one by one, which is quicker than keeping a tournament.
const FEW: usize = 16;

/// IPVS's measure of a load, `ip_vs_dest_conn_overhead`: 256 connections that are opening or closing are as much
/// work as one that carries data.
pub(super) fn overhead(load: Load) -> u64 {
    (u64::from(load.active) << 8) + u64::from(load.inactive)
}

/// A scheduler that chooses the candidate of which `cost` makes the least.
pub(super) struct Least<C> {
    field: Field,
    cost: C,
    grounds: Grounds,
}

impl<C: Fn(&Candidate, Load) -> Cost> Least<C> {
    pub(super) fn new(candidates: &[Candidate], start: Start, cost: C, grounds: Grounds) -> Self {
        Least { field: Field::new(candidates, start), cost, grounds }
    }
}

impl<C: Fn(&Candidate, Load) -> Cost + Send + Sync> Scheduler for Least<C> {
    fn first_turn(&self, worker: WorkerId) -> Turn {
        self.field.first_turn(worker)
    }

    fn pick(&self, _: &Request, turn: &mut Turn, loads: &Loads<'_>) -> Option<usize> {
        self.field.least(turn, loads, &self.cost)
    }

    fn pick_with_room(
        &self,
        _: &Request,
        turn: &mut Turn,
        loads: &Loads<'_>,
        room: WithRoom<'_>,
    ) -> Option<usize> {
        self.field.least_with_room(turn, loads, &self.cost, room)
    }

    fn grounds(&self, _: &Request, _: &Turn) -> Grounds {
        self.grounds
    }

    fn bytes(&self) -> usize {
        self.field.bytes()
    }
}

/// The candidates that take connections, to choose the least loaded of.
pub(super) struct Field {
    takers: Box<[Taker]>,
    /// The place of each server among them, by the server's number.
    places: Box<[(ServerId, u32)]>,
    start: Start,
}

impl Field {
    pub(super) fn new(candidates: &[Candidate], start: Start) -> Self {
        let takers = takers(candidates);
        let mut places: Box<[_]> = takers.iter().map(|(_, candidate)| candidate.server).zip(0u32..).collect();
        places.sort_unstable();
        Field { takers, places, start }
    }

    /// A worker's first turn: where it starts to look.
    pub(super) fn first_turn(&self, worker: WorkerId) -> Turn {
        let count = self.takers.len();
        let position = self.start.place(count) + usize::from(worker.0);
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
            self.lowest_from(turn.position, |taker| Some(cost(taker)))?
        };
        turn.position = place + 1;
        Some(self.takers[place].0)
    }

    /// The same, of those that have room. All are looked at: one that is full may have the lowest cost.
    pub(super) fn least_with_room(
        &self,
        turn: &mut Turn,
        loads: &Loads<'_>,
        cost: impl Fn(&Candidate, Load) -> Cost,
        room: WithRoom<'_>,
    ) -> Option<usize> {
        let place = self.lowest_from(turn.position, |&(index, ref candidate)| {
            (room.has)(index).then(|| cost(candidate, loads.of(candidate.server)))
        })?;
        turn.position = place + 1;
        Some(self.takers[place].0)
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.takers) + size_of_val(&*self.places)
    }

    /// The place of the lowest cost, from a position on. Those that have none do not take part.
    fn lowest_from(&self, position: usize, cost: impl Fn(&Taker) -> Option<Cost>) -> Option<usize> {
        let (before, from) = self.takers.split_at(position.min(self.takers.len()));
        let mut best: Option<(usize, Cost)> = None;
        for (place, taker) in (position..).zip(from).chain((0..).zip(before)) {
            let Some(cost) = cost(taker) else { continue };
            if best.is_none_or(|(_, lowest)| cost.is_below(lowest)) {
                best = Some((place, cost));
            }
        }
        best.map(|(place, _)| place)
    }

    fn update(&self, tournament: &mut Tournament, loads: &Loads<'_>, cost: impl Fn(&Taker) -> Cost) {
        // Before reading: what changes meanwhile is read again.
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
            let field = Field::new(&candidates(&weights), Start::FIRST);
            let board = board(&vec![(0, 0); board_len]);
            let mut turn = field.first_turn(WorkerId(0));
            for (step, (server, active, inactive, picks)) in steps.into_iter().enumerate() {
                let worker = WorkerId(u16::from(step % 5 == 0));
                board.publish(worker, ServerId::new(server), Load { active, inactive });
                if step % 7 == 0 {
                    board.sum_up(usize::MAX);
                }
                for _ in 0..picks {
                    let view = board.view(WorkerId(0));
                    let all = field.lowest_from(turn.position, |(_, candidate)| {
                        Some(weighted(candidate, view.of(candidate.server)))
                    });
                    let picked = field.least(&mut turn, &view, weighted);
                    prop_assert_eq!(picked, all.map(|place| field.takers[place].0));
                }
            }
        }
    }
}
