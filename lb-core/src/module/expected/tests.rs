//! How many there is room for, and who makes room for whom.

use super::*;
use crate::wire::protocol::Protocol;
use std::{net::Ipv4Addr, net::SocketAddr, thread};

const WORKERS: u32 = 4;
/// Announced by one who would have all of it.
const FLOOD: u32 = 4 * 65_536;

fn expected() -> Expected {
    Expected::new(Secret(0x1234_5678_9abc_def0))
}

/// That of a number among those of a service, of a client.
fn announced(service: u32, client: u32, number: u32) -> Expectation {
    let [_, high, low @ ..] = number.to_be_bytes();
    let client = Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + client);
    let server = Ipv4Addr::new(198, 51, 100, high);
    let ends = Ends {
        protocol: Protocol::Udp,
        source: SocketAddr::new(client.into(), u16::from_be_bytes(low)),
        destination: SocketAddr::new(server.into(), 1_000 + u16::try_from(service).unwrap()),
    };
    Expectation {
        ends,
        request: ends,
        server: (ServerId::new(service), 1),
        service: ServiceId::new(service),
        server_port: 0,
        local: None,
        times: Times::Once,
    }
}

/// What became of them, entered by all workers at once: those that were well, came instead of others, and did not.
fn enter(
    expected: &Expected,
    all: &(impl Fn(u32) -> Expectation + Sync),
    count: u32,
    now: Instant,
) -> [usize; 3] {
    let by_worker = |worker: u32| {
        let mut became = [0; 3];
        for number in (worker..count).step_by(usize::try_from(WORKERS).unwrap()) {
            became[match expected.enter(&all(number), now) {
                Entered::Well => 0,
                Entered::Instead => 1,
                Entered::Not => 2,
            }] += 1;
        }
        became
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || by_worker(worker))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .fold([0; 3], |all, one| [all[0] + one[0], all[1] + one[1], all[2] + one[2]])
    })
}

/// How many of them are expected.
fn found(expected: &Expected, all: impl Fn(u32) -> Expectation, count: u32, now: Instant) -> usize {
    (0..count)
        .filter(|&number| {
            expected.find(&all(number).ends, now).is_some_and(|it| it.expectation == all(number))
        })
        .count()
}

#[test]
fn it_fills_and_says_what_made_room() {
    let now = Instant::from_millis(1_000);
    let many = |number| announced(number % 8, number % 1_000, number);
    for (count, most_early) in [(32_768, 1_500), (65_536, 16_000)] {
        let expected = expected();
        let [well, instead, not] = enter(&expected, &many, count, now);
        assert_eq!(well + instead + not, usize::try_from(count).unwrap());
        assert_eq!(
            found(&expected, many, count, now),
            well,
            "each that came instead of another took one away"
        );
        assert!(instead < most_early && not < 10, "{instead} early, {not} not at all");
        assert_eq!(expected.len(), well);
        // The same again take their own places.
        let is_there = |it: &Expectation| expected.find(&it.ends, now).is_some();
        let one = (0..count).map(many).find(is_there).unwrap();
        assert_eq!((expected.enter(&one, now), expected.len()), (Entered::Well, well));
        // Those whose time is over make room for as many others.
        let later = now + Times::Once.lasts();
        assert_eq!(found(&expected, many, count, later), 0);
        let others = |number| announced(9, number % 1_000, number);
        let [well, instead, not] = enter(&expected, &others, 16_384, later);
        assert!(well + 200 > 16_384 && not < 10, "{well} well, {instead} early, {not} not at all");
    }
}

#[test]
fn a_service_takes_the_places_of_its_own() {
    let now = Instant::from_millis(1_000);
    let (few, flood) = (|number| announced(1, number, number), |number| announced(2, number % 5_000, number));
    // Whoever was first.
    for is_first in [true, false] {
        let expected = expected();
        let enter_few = || assert_eq!(enter(&expected, &few, 1_000, now)[2], 0);
        if is_first {
            enter_few();
        }
        let [_, instead, _] = enter(&expected, &flood, FLOOD, now);
        assert!(instead > 190_000, "{instead}");
        if !is_first {
            enter_few();
        }
        assert_eq!(found(&expected, few, 1_000, now), 1_000);
        // And it has what nobody else needs.
        assert!(found(&expected, flood, FLOOD, now) > 60_000);
    }
}

#[test]
fn a_client_takes_the_places_of_its_own() {
    let now = Instant::from_millis(1_000);
    let (many, flood) = (|number| announced(1, 1 + number, number), |number| announced(1, 0, number));
    for is_first in [true, false] {
        let expected = expected();
        if is_first {
            enter(&expected, &many, 2_000, now);
        }
        enter(&expected, &flood, FLOOD, now);
        if !is_first {
            enter(&expected, &many, 2_000, now);
        }
        assert_eq!(found(&expected, many, 2_000, now), 2_000);
    }
}

#[test]
fn the_oldest_of_ones_own_makes_room() {
    let now = Instant::from_millis(1_000);
    let own = Owner::of(&announced(1, 1, 0));
    let (other, elsewhere) = (Owner::of(&announced(1, 2, 0)), Owner::of(&announced(2, 1, 0)));
    let held = |all: &[(Owner, u64)]| -> Vec<Held> {
        all.iter().map(|&(owner, until)| Held::By(owner, until)).collect()
    };
    // Another service has more, whether older or not.
    assert_eq!(
        room(&held(&[(own, 2_000), (elsewhere, 3_000), (elsewhere, 4_000), (elsewhere, 5_000)]), own, now),
        Some(1)
    );
    // With the new one it would have fewer: one's own.
    assert_eq!(
        room(&held(&[(elsewhere, 2_000), (elsewhere, 2_500), (own, 4_000), (own, 3_000)]), own, now),
        Some(3)
    );
    // Among clients of one service.
    assert_eq!(
        room(&held(&[(own, 2_000), (other, 2_500), (other, 2_400), (other, 2_450)]), own, now),
        Some(2)
    );
    assert_eq!(room(&held(&[(other, 2_000), (own, 2_500)]), own, now), Some(1));
    // Nobody makes room before those whose time is over.
    assert_eq!(room(&held(&[(other, 2_000), (elsewhere, 1_000), (other, 3_000)]), own, now), Some(1));
    assert_eq!(room(&[Held::ByWriter, Held::ByNobody], own, now), Some(1));
    assert_eq!(room(&[Held::ByWriter], own, now), None);
}
