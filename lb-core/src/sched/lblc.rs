//! `lblc`: locality-based least connection. A destination keeps its server, so that caches behind it stay warm; when the
//! server is overloaded while another has little to do, the destination moves to the server with the fewest connections
//! for its weight.
//!
//! As IPVS's `ip_vs_lblc.c`: overloaded is who has more active connections than its weight, while another has less than
//! half of its own, so weights are numbers of connections, as for `ovf`; a destination that is not asked for in a day has
//! no server any more.
//!
//! Differences: a server that has reached its upper threshold does not keep its destinations, in IPVS it does. Of servers
//! with equal loads not always the first is chosen, as under `wlc`. Connections are counted over all workers, those of
//! others as of some milliseconds ago. What destinations there can be is known, see [`destinations`](super::destinations).

use super::{
    Candidate, Grounds, Request, Scheduler, Turn, destinations::Destinations, locality::Locality,
    start::Start,
};
use crate::{
    packet::WorkerId,
    sched::{load::Loads, threshold::WithRoom},
};
use std::sync::Arc;

/// Locality-based least connection.
pub(super) struct Lblc(Locality);

impl Lblc {
    pub(super) fn new(candidates: &[Candidate], start: Start, destinations: Arc<Destinations>) -> Self {
        Lblc(Locality::new(candidates, start, destinations))
    }

    fn choose(
        &self,
        request: &Request,
        turn: &mut Turn,
        loads: &Loads<'_>,
        room: Option<WithRoom<'_>>,
    ) -> Option<usize> {
        let Some(entry) = self.0.entry(request.vip) else { return self.0.least(turn, loads, room) };
        if !turn.is_rehearsed {
            entry.ask(request.now);
        }
        let has = entry.servers(request.now).next();
        let stays = has
            .and_then(|server| self.0.taker(server, room))
            .filter(|&candidate| !self.0.is_overloaded(candidate, loads));
        if stays.is_some() {
            return stays;
        }
        let least = self.0.least(turn, loads, room)?;
        if turn.is_rehearsed {
            return Some(least);
        }
        // Another worker may have been faster; then all go where it went.
        let server = entry.turn(has, self.0.server(least));
        self.0.taker(server, room).or(Some(least))
    }
}

impl Scheduler for Lblc {
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
        // Behind the first may be what `lblcr` has left.
        let servers = entry.map_or(0, |entry| entry.servers(request.now).take(1).count());
        Grounds::Destination { servers }
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
        ids::ServerId,
        sched::{
            destinations::EXPIRATION,
            load::{Load, LoadBoard},
        },
        time::{Duration, Instant},
    };
    use std::net::{IpAddr, Ipv4Addr};

    fn vip(n: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, n))
    }

    fn destinations() -> Arc<Destinations> {
        Destinations::of((0..20).map(vip), None)
    }

    fn to(n: u8) -> Request {
        Request { vip: vip(n), ..REQUEST }
    }

    fn lblc(weights: &[u32], destinations: &Arc<Destinations>) -> Lblc {
        Lblc::new(&candidates(weights), Start::FIRST, destinations.clone())
    }

    fn load(board: &LoadBoard, server: u32, active: u32) {
        board.publish(WorkerId(0), ServerId::new(server), Load { active, inactive: 0 });
    }

    #[test]
    fn a_destination_keeps_its_server_until_that_is_overloaded_and_another_is_not() {
        let scheduler = lblc(&[10, 10, 10], &destinations());
        let (mut turn, board) = (scheduler.first_turn(WorkerId(0)), board(&[(0, 0), (6, 0), (6, 0)]));
        let mut pick = |board: &LoadBoard, n| scheduler.pick(&to(n), &mut turn, &board.view(WorkerId(0)));
        assert_eq!(pick(&board, 1), Some(0));
        load(&board, 0, 9);
        assert_eq!(pick(&board, 2), Some(1), "another goes where least is");
        assert_eq!(pick(&board, 1), Some(0), "although it has more than others");
        load(&board, 0, 10);
        load(&board, 2, 4);
        assert_eq!(pick(&board, 1), Some(0), "no more than its weight");
        load(&board, 0, 11);
        load(&board, 2, 5);
        assert_eq!(pick(&board, 1), Some(0), "nobody has less than half");
        load(&board, 2, 4);
        assert_eq!(pick(&board, 1), Some(2), "moved");
        load(&board, 0, 0);
        assert_eq!(pick(&board, 1), Some(2), "and it stays there");
    }

    #[test]
    fn all_workers_agree_and_changes_of_servers_move_no_destination() {
        let destinations = destinations();
        let before = lblc(&[4, 4, 4, 4], &destinations);
        let board = board(&[(0, 0); 4]);
        let picks = |scheduler: &Lblc, worker: u16| -> Vec<usize> {
            let mut turn = scheduler.first_turn(WorkerId(worker));
            (0..20).map(|n| scheduler.pick(&to(n), &mut turn, &board.view(WorkerId(0))).unwrap()).collect()
        };
        let first = picks(&before, 0);
        assert!((0..4).all(|server| first.contains(&server)), "equals take turns: {first:?}");
        assert!((1..4).all(|worker| picks(&before, worker) == first));
        // One is drained, and all have other weights.
        let after = picks(&lblc(&[9, 0, 8, 7], &destinations), 1);
        for (was, is) in first.iter().zip(&after) {
            assert!(if *was == 1 { *is != 1 } else { is == was }, "{first:?} {after:?}");
        }
        assert_eq!(picks(&lblc(&[9, 9, 8, 7], &destinations), 2), after, "none moves back");
        // Another address is another destination; the rest stay.
        let more = Destinations::of((5..30).map(vip), Some(&destinations));
        assert_eq!(picks(&lblc(&[9, 9, 8, 7], &more), 3)[5..], after[5..]);
    }

    #[test]
    fn a_destination_that_nobody_asks_for_has_no_server_any_more() {
        let scheduler = lblc(&[10, 10], &destinations());
        let (mut turn, board) = (scheduler.first_turn(WorkerId(0)), board(&[(0, 0), (1, 0)]));
        let mut pick = |now| {
            let request = Request { now, ..to(1) };
            let known = scheduler.grounds(&request, &turn);
            (known, scheduler.pick(&request, &mut turn, &board.view(WorkerId(0))))
        };
        let known = |servers| Grounds::Destination { servers };
        let start = Instant::from_millis(1_000_000_000);
        assert_eq!(pick(start), (known(0), Some(0)));
        load(&board, 0, 2);
        let late = start + EXPIRATION;
        assert_eq!(pick(late), (known(1), Some(0)), "just in time, and from then on another day");
        assert_eq!(pick(late + EXPIRATION), (known(1), Some(0)));
        let too_late = late + EXPIRATION + EXPIRATION + Duration::from_secs(1);
        assert_eq!(pick(too_late), (known(0), Some(1)));
    }

    #[test]
    fn a_rehearsal_leaves_nothing_behind() {
        let scheduler = lblc(&[10, 10], &destinations());
        let board = board(&[(0, 0), (0, 0)]);
        let mut turn = scheduler.first_turn(WorkerId(0)).rehearsed();
        for expected in [0, 1, 0] {
            assert_eq!(scheduler.pick(&to(1), &mut turn, &board.view(WorkerId(0))), Some(expected));
            assert_eq!(scheduler.grounds(&to(1), &turn), Grounds::Destination { servers: 0 });
        }
    }

    /// Workers that meet a destination for the first time at once send it to one server.
    #[test]
    fn workers_at_once_end_with_one_server() {
        for round in 0..50 {
            let scheduler = lblc(&[10; 8], &destinations());
            let board = board(&[(0, 0); 8]);
            let pick = |worker: u16| {
                let mut turn = scheduler.first_turn(WorkerId(worker));
                let request = Request { now: Instant::from_millis(1_000_000_000), ..to(round % 20) };
                scheduler.pick(&request, &mut turn, &board.view(WorkerId(0)))
            };
            let picks: Vec<_> = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..4).map(|worker| scope.spawn(move || pick(worker))).collect();
                workers.into_iter().map(|worker| worker.join().unwrap()).collect()
            });
            assert_eq!(picks, [picks[0]; 4]);
        }
    }
}
