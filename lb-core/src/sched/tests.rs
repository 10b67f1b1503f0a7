//! What holds for every scheduler, and what their own tests share.

use super::*;
use crate::{
    ids::ServerId,
    sched::{
        destinations::Destinations,
        kind::SchedulerKind,
        load::{Load, LoadBoard},
        start::Start,
        tables::Tables,
        threshold::WithRoom,
    },
    time::Instant,
};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

/// Candidates with these weights and addresses of their own.
pub(super) fn candidates(weights: &[u32]) -> Vec<Candidate> {
    let address = |n: usize| IpAddr::from(Ipv4Addr::from(0x0a00_0001 + n as u32));
    let candidate = |(n, &weight): (usize, &u32)| Candidate {
        server: ServerId::new(n as u32),
        address: address(n),
        port: 8080,
        weight,
    };
    weights.iter().enumerate().map(candidate).collect()
}

/// A request like any other.
pub(super) const REQUEST: Request = request(0, 40_000);

const fn request(n: u32, client_port: u16) -> Request {
    Request {
        client: IpAddr::V4(Ipv4Addr::from_bits(0xc633_6400 + n)),
        client_port,
        vip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
        vip_port: 80,
        now: Instant::from_millis(1_000),
    }
}

/// A board of two workers, of which the first has these loads, active and inactive.
pub(super) fn board(loads: &[(u32, u32)]) -> LoadBoard {
    let board = LoadBoard::new(2, loads.len());
    for (server, &(active, inactive)) in loads.iter().enumerate() {
        board.publish(WorkerId(0), ServerId::new(server as u32), Load { active, inactive });
    }
    board
}

/// The first picks of a worker when no server has any connection.
pub(super) fn picks(scheduler: &dyn Scheduler, worker: WorkerId, count: usize) -> Vec<usize> {
    let board = board(&[]);
    let mut turn = scheduler.first_turn(worker);
    (0..count).map(|_| scheduler.pick(&REQUEST, &mut turn, &board.view(WorkerId(0))).unwrap()).collect()
}

/// One that starts with its first server.
fn scheduler(kind: SchedulerKind, hash_port: bool, candidates: &[Candidate]) -> Arc<dyn Scheduler> {
    let destinations = || Destinations::of(std::iter::once(REQUEST.vip), None);
    let hashes = Hashes { port: hash_port, servers: 0 };
    build(kind, hashes, candidates, Start::FIRST, &mut Tables::default(), &destinations)
}

/// What clients get one after the other from a scheduler without turns.
fn choices(kind: SchedulerKind, hash_port: bool, requests: impl Iterator<Item = Request>) -> Vec<usize> {
    let scheduler = scheduler(kind, hash_port, &candidates(&[1, 2, 3, 4, 0, 6, 7, 8]));
    let board = board(&[]);
    let turn = &mut scheduler.first_turn(WorkerId(0));
    requests.map(|request| scheduler.pick(&request, turn, &board.view(WorkerId(0))).unwrap()).collect()
}

/// The numbers only change with a change that moves every client of every user: not by accident.
#[test]
fn hashing_schedulers_choose_as_they_always_have() {
    let clients = || (0..12).map(|n| request(n * 977, 40_000));
    let ports = || (0..12).map(|n| request(0, 40_000 + n));
    let vips = || (0..12).map(|n| Request { vip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)), ..REQUEST });
    for kind in [SchedulerKind::Sh, SchedulerKind::Mh] {
        assert_eq!(choices(kind, false, clients()), [6, 6, 7, 7, 5, 5, 0, 3, 5, 3, 6, 3], "{kind}");
        assert_eq!(choices(kind, true, ports()), [0, 6, 6, 3, 7, 7, 0, 0, 5, 3, 5, 6], "{kind}");
    }
    assert_eq!(choices(SchedulerKind::Dh, true, vips()), [7, 5, 7, 7, 5, 6, 5, 3, 6, 2, 5, 3]);
}

#[test]
fn the_port_matters_only_where_asked_for() {
    let ports = || (0..200).map(|n| request(7, n));
    for kind in [SchedulerKind::Sh, SchedulerKind::Mh] {
        let all_alike = |picks: &[usize]| picks.windows(2).all(|pair| pair[0] == pair[1]);
        assert!(all_alike(&choices(kind, false, ports())), "{kind}");
        assert!(!all_alike(&choices(kind, true, ports())), "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn picks_are_candidates_that_take_connections(
        weights in prop::collection::vec(prop_oneof![Just(0), 1_u32..=4, Just(65_535)], 0..20),
        loads in prop::collection::vec((any::<u32>(), any::<u32>()), 0..20),
        clients in prop::collection::vec((0_u32..10_000, any::<u16>()), 1..50),
        worker in 0_u16..128,
    ) {
        let board = board(&loads);
        for &kind in SchedulerKind::ALL {
            let scheduler = scheduler(kind, true, &candidates(&weights));
            let mut turn = scheduler.first_turn(WorkerId(worker));
            for &(client, port) in &clients {
                let pick = scheduler.pick(&request(client, port), &mut turn, &board.view(WorkerId(0)));
                let has_room = |(server, &weight): (usize, &u32)| {
                    let active = board.view(WorkerId(0)).of(ServerId::new(server as u32)).active;
                    weight > 0 && (kind != SchedulerKind::Ovf || active <= weight)
                };
                let any_takes = weights.iter().enumerate().any(has_room);
                prop_assert_eq!(pick.is_some(), any_takes, "{}", kind);
                prop_assert!(pick.is_none_or(|pick| weights[pick] > 0), "{}", kind);
            }
        }
    }

    /// Whoever has room gets the connection, whatever the scheduler; those that hash say who it has to be, unless they may
    /// fall back.
    #[test]
    fn picks_with_room_have_room(
        servers in prop::collection::vec((prop_oneof![Just(0), 1_u32..=4, Just(65_535)], any::<bool>()), 0..80),
        clients in prop::collection::vec((0_u32..10_000, any::<u16>()), 1..20),
        falls_back: bool,
    ) {
        let weights: Vec<u32> = servers.iter().map(|(weight, _)| *weight).collect();
        let board = board(&[]);
        let view = board.view(WorkerId(0));
        let has = |candidate: usize| servers[candidate].1;
        let room = WithRoom { has: &has, falls_back };
        for &kind in SchedulerKind::ALL {
            let scheduler = scheduler(kind, true, &candidates(&weights));
            let mut turn = scheduler.first_turn(WorkerId(0));
            let any = servers.iter().any(|(weight, has)| *weight > 0 && *has);
            for &(client, port) in &clients {
                let request = request(client, port);
                let expected = match kind {
                    SchedulerKind::Dh => scheduler.pick(&request, &mut turn, &view).is_some_and(has),
                    SchedulerKind::Sh | SchedulerKind::Mh if !falls_back => {
                        scheduler.pick(&request, &mut turn, &view).is_some_and(has)
                    }
                    _ => any,
                };
                let pick = scheduler.pick_with_room(&request, &mut turn, &view, room);
                prop_assert_eq!(pick.is_some(), expected, "{}", kind);
                prop_assert!(pick.is_none_or(|pick| weights[pick] > 0 && has(pick)), "{}", kind);
            }
        }
    }

    /// Where all have room, it is as if nobody had asked.
    #[test]
    fn room_for_all_changes_nothing(
        weights in prop::collection::vec(0_u32..9, 0..40),
        clients in prop::collection::vec((0_u32..10_000, any::<u16>()), 1..40),
        loads in prop::collection::vec((0_u32..9, 0_u32..9), 40),
    ) {
        let board = board(&loads);
        let view = board.view(WorkerId(0));
        let room = WithRoom { has: &|_| true, falls_back: true };
        for &kind in SchedulerKind::ALL {
            // Two, as some remember what was picked.
            let schedulers = [(); 2].map(|()| scheduler(kind, true, &candidates(&weights)));
            let mut turns = [0, 1].map(|of| schedulers[of].first_turn(WorkerId(0)));
            for &(client, port) in &clients {
                let request = request(client, port);
                let one = schedulers[0].pick(&request, &mut turns[0], &view);
                let other = schedulers[1].pick_with_room(&request, &mut turns[1], &view, room);
                prop_assert_eq!(one, other, "{}", kind);
            }
        }
    }

    /// A worker that has picked takes no more room: picking does not allocate.
    #[test]
    fn turns_do_not_grow(weights in prop::collection::vec(0_u32..9, 0..20)) {
        for &kind in SchedulerKind::ALL {
            let scheduler = scheduler(kind, false, &candidates(&weights));
            let mut turn = scheduler.first_turn(WorkerId(3));
            let before = (turn.due.len(), turn.due.capacity());
            for n in 0..100 {
                scheduler.pick(&request(n, 1), &mut turn, &board(&[]).view(WorkerId(0)));
            }
            prop_assert_eq!((turn.due.len(), turn.due.capacity()), before);
        }
    }
}
