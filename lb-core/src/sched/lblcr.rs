//! `lblcr`: locality-based least connection with replication. A destination has a set of servers, of which the one with
//! the fewest connections for its weight gets the next; when that is overloaded while another server has little to do, the
//! server with the fewest connections of all is put into the set.
//!
//! As IPVS's `ip_vs_lblcr.c`: overloaded is who has more active connections than its weight, while another has less than
//! half of its own, so weights are numbers of connections, as for `ovf`. A set of several that was the same for a day loses
//! the server with the most connections for its weight; a destination that is not asked for in a day loses all.
//!
//! Differences: a set has at most 32 servers; beyond that the most loaded makes room for the least. Of servers with equal
//! loads not always the first is put in, as under `wlc`. Connections are counted over all workers, those of others as of
//! some milliseconds ago. What destinations there can be is known, see [`destinations`](super::destinations).

use super::{
    Candidate, Grounds, Request, Scheduler, Turn,
    destinations::{Destinations, Entry},
    locality::Locality,
    start::Start,
};
use crate::{
    ids::ServerId,
    packet::WorkerId,
    sched::{load::Loads, threshold::WithRoom},
    time::Instant,
};
use std::sync::Arc;

/// Locality-based least connection with replication.
pub(super) struct Lblcr(Locality);

impl Lblcr {
    pub(super) fn new(candidates: &[Candidate], start: Start, destinations: Arc<Destinations>) -> Self {
        Lblcr(Locality::new(candidates, start, destinations))
    }

    fn choose(
        &self,
        request: &Request,
        turn: &mut Turn,
        loads: &Loads<'_>,
        room: Option<WithRoom<'_>>,
    ) -> Option<usize> {
        let Some(entry) = self.0.entry(request.vip) else { return self.0.least(turn, loads, room) };
        let now = request.now;
        if !turn.is_rehearsed {
            entry.ask(now);
        }
        let least_of_set = self.least_of_set(entry, now, loads, room);
        if !turn.is_rehearsed && entry.is_settled(now) && entry.servers(now).nth(1).is_some() {
            // This connection still goes to the set as it was, as in IPVS.
            if let Some(most) = self.most_of_set(entry, now, loads) {
                entry.remove(most, now);
            }
        }
        let stays = least_of_set.filter(|&candidate| !self.0.is_overloaded(candidate, loads));
        if stays.is_some() {
            return stays;
        }
        let least = self.0.least(turn, loads, room)?;
        if !turn.is_rehearsed {
            entry.add(self.0.server(least), now, || self.makes_room(entry, now, loads));
        }
        Some(least)
    }

    /// IPVS's `ip_vs_dest_set_min`.
    fn least_of_set(
        &self,
        entry: &Entry,
        now: Instant,
        loads: &Loads<'_>,
        room: Option<WithRoom<'_>>,
    ) -> Option<usize> {
        let takers = entry.servers(now).filter_map(|server| self.0.taker(server, room));
        takers.reduce(|least, other| {
            if self.0.cost(other, loads).is_below(self.0.cost(least, loads)) { other } else { least }
        })
    }

    /// IPVS's `ip_vs_dest_set_max`.
    fn most_of_set(&self, entry: &Entry, now: Instant, loads: &Loads<'_>) -> Option<ServerId> {
        let takers = entry.servers(now).filter_map(|server| self.0.taker(server, None));
        let most = takers.reduce(|most, other| {
            if self.0.cost(most, loads).is_below(self.0.cost(other, loads)) { other } else { most }
        });
        most.map(|candidate| self.0.server(candidate))
    }

    /// Whose place another gets in a set that is full: who takes no connections, else the most loaded.
    fn makes_room(&self, entry: &Entry, now: Instant, loads: &Loads<'_>) -> Option<ServerId> {
        let idle = entry.servers(now).find(|&server| self.0.taker(server, None).is_none());
        idle.or_else(|| self.most_of_set(entry, now, loads))
    }
}

impl Scheduler for Lblcr {
    fn first_turn(&self, worker: WorkerId) -> Turn {
        self.0.first_turn(worker)
    }

    fn pick(&self, request: &Request, turn: &mut Turn, loads: &Loads<'_>) -> Option<usize> {
        self.choose(request, turn, loads, None)
    }

    fn pick_with_room(
        &self,
        request: &Request,
        turn: &mut Turn,
        loads: &Loads<'_>,
        room: WithRoom<'_>,
    ) -> Option<usize> {
        self.choose(request, turn, loads, Some(room))
    }

    fn grounds(&self, request: &Request, _: &Turn) -> Grounds {
        let entry = self.0.entry(request.vip);
        Grounds::Destination { servers: entry.map_or(0, |entry| entry.servers(request.now).count()) }
    }

    fn destinations(&self) -> Option<&Arc<Destinations>> {
        Some(&self.0.destinations)
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{REQUEST, board, candidates};
    use super::*;
    use crate::{
        sched::{
            destinations::{EXPIRATION, MOST},
            load::{Load, LoadBoard},
        },
        time::Duration,
    };

    const START: Instant = Instant::from_millis(1_000_000_000);

    fn lblcr(weights: &[u32]) -> Lblcr {
        let destinations = Destinations::of(std::iter::once(REQUEST.vip), None);
        Lblcr::new(&candidates(weights), Start::FIRST, destinations)
    }

    fn load(board: &LoadBoard, server: u32, active: u32) {
        board.publish(WorkerId(0), ServerId::new(server), Load { active, inactive: 0 });
    }

    fn set(scheduler: &Lblcr, now: Instant) -> Vec<u32> {
        scheduler.0.entry(REQUEST.vip).unwrap().servers(now).map(ServerId::number).collect()
    }

    fn pick(scheduler: &Lblcr, board: &LoadBoard, now: Instant) -> Option<usize> {
        let request = Request { now, ..REQUEST };
        scheduler.pick(&request, &mut scheduler.first_turn(WorkerId(0)), &board.view(WorkerId(0)))
    }

    #[test]
    fn a_set_grows_under_load_and_its_least_loaded_is_chosen() {
        let scheduler = lblcr(&[10, 10, 10]);
        let board = board(&[(0, 0), (5, 0), (6, 0)]);
        assert_eq!(pick(&scheduler, &board, START), Some(0));
        load(&board, 0, 11);
        assert_eq!(pick(&scheduler, &board, START), Some(0), "nobody has less than half");
        load(&board, 1, 4);
        assert_eq!(pick(&scheduler, &board, START), Some(1));
        assert_eq!(set(&scheduler, START), [0, 1]);
        load(&board, 0, 3);
        assert_eq!(pick(&scheduler, &board, START), Some(0), "the first is the less loaded again");
        load(&board, 2, 0);
        assert_eq!(
            pick(&scheduler, &board, START),
            Some(0),
            "who is not in the set waits until it is overloaded"
        );
    }

    #[test]
    fn a_set_shrinks_by_its_most_loaded_once_a_day_and_expires_unasked() {
        let scheduler = lblcr(&[10, 10, 10]);
        let board = board(&[(0, 0), (1, 0), (2, 0)]);
        let mut now = START;
        for (server, idle) in [(0, 1), (1, 2)] {
            pick(&scheduler, &board, now);
            load(&board, server, 20);
            load(&board, idle, 0);
            pick(&scheduler, &board, now);
        }
        assert_eq!(set(&scheduler, now), [0, 1, 2]);
        for (server, active) in [(0, 3), (1, 9), (2, 4)] {
            load(&board, server, active);
        }
        // Asked for now and then, or it would have no servers at all.
        for (hours, left) in [(12, &[0, 1, 2][..]), (13, &[0, 2]), (12, &[0, 2]), (13, &[0]), (25, &[0])] {
            now = now + Duration::from_secs(if hours == 25 { 86_399 } else { hours * 3_600 });
            assert_eq!(pick(&scheduler, &board, now), Some(0));
            assert_eq!(set(&scheduler, now), left, "after {hours} h");
        }
        assert_eq!(set(&scheduler, now + EXPIRATION + Duration::from_secs(1)), [0; 0]);
    }

    #[test]
    fn a_set_that_is_full_gives_the_place_of_the_most_loaded_to_the_least() {
        let count = MOST as u32 + 2;
        let scheduler = lblcr(&vec![10; count as usize]);
        let board = board(&vec![(0, 0); count as usize]);
        for server in 0..count - 1 {
            let chosen = pick(&scheduler, &board, START).unwrap();
            load(&board, chosen as u32, if server == 3 { 99 } else { 11 });
        }
        let set = set(&scheduler, START);
        assert_eq!(set.len(), MOST);
        let loads: Vec<u32> = set.iter().map(|&server| board.total(ServerId::new(server)).active).collect();
        assert!(!loads.contains(&99), "{loads:?}");
    }

    #[test]
    fn drained_servers_stay_in_the_set_and_get_nothing() {
        let destinations = Destinations::of(std::iter::once(REQUEST.vip), None);
        let with = |weights: &[u32]| Lblcr::new(&candidates(weights), Start::FIRST, destinations.clone());
        let board = board(&[(0, 0), (1, 0)]);
        assert_eq!(pick(&with(&[10, 10]), &board, START), Some(0));
        assert_eq!(pick(&with(&[0, 10]), &board, START), Some(1));
        load(&board, 1, 5);
        assert_eq!(pick(&with(&[10, 10]), &board, START), Some(0), "back at once");
    }
}
