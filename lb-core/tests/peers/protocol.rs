//! The protocol between directors, over a network that loses, repeats, reorders and forges.

use crate::net::{HOLD, KEY, Net, address, exception};
use lb_core::{
    conn::method::Method,
    flow::key::Ends,
    peers::{datagram::VERSION, exception::Exception, machine::Happening, seal::Seal},
    service::key::Protocol,
    time::Instant,
};
use proptest::prelude::*;
use std::net::SocketAddr;

/// More have ended than are kept, while nothing arrived; and what follows is acknowledged before everything may be told again.
#[test]
fn a_peer_that_has_missed_ends_is_told_anew_although_it_has_what_follows() {
    let mut net = Net::new(2, 400, 1);
    net.nodes[0].own = (0..300).map(|number| (number, exception(number, 1))).collect();
    net.quiet(2_000);
    net.assert_told(0, 1);
    net.lost = 100;
    net.nodes[0].own.clear();
    net.quiet(600);
    net.lost = 0;
    net.nodes[0].own = (500..550).map(|number| (number, exception(number, 1))).collect();
    net.quiet(10_000);
    net.assert_told(0, 1);
}

#[test]
fn a_peer_that_joins_is_told_everything() {
    let mut net = Net::new(2, 10_000, 1);
    net.nodes[0].own = (0..5_000).map(|number| (number, exception(number, 1))).collect();
    net.pass(5_000, |node| node == 0);
    assert!(!net.peer(0).is_up);
    net.quiet(5_000);
    net.assert_told(0, 1);
    assert!(net.peer(1).is_whole && net.peer(0).is_up);
    assert_eq!(net.peer(0).unacknowledged, 0);
    assert_eq!(net.nodes[0].happened, [Happening::Up]);
    // Nothing more is said than that all is well.
    let before = net.peer(0).counts.sent;
    net.quiet(10_000);
    let after = net.peer(0).counts.sent;
    assert!(after[0] - before[0] <= 12, "{before:?} {after:?}");
}

#[test]
fn a_restart_is_believed_and_what_was_told_before_stays_for_a_while() {
    let mut net = Net::new(2, 1_000, 2);
    net.nodes[0].own = (0..100).map(|number| (number, exception(number, 1))).collect();
    net.quiet(5_000);
    net.assert_told(0, 1);
    net.restart(0, KEY);
    net.quiet(5_000);
    assert_eq!(net.nodes[1].told.len(), 100, "its connections may be anywhere now");
    assert_eq!(net.nodes[0].told.len(), 100, "and it is told of them");
    net.nodes[0].own = (50..150).map(|number| (number, exception(number, 2))).collect();
    net.quiet(5_000);
    assert_eq!(net.nodes[1].told.len(), 150);
    net.quiet(HOLD.as_millis());
    net.assert_told(0, 1);
}

#[test]
fn who_has_heard_one_peer_waits_for_the_others_a_while() {
    let mut net = Net::new(3, 1_000, 3);
    for node in [1, 2] {
        net.nodes[node].own =
            (0..10).map(|number| (number + node as u32 * 10, exception(number, 1))).collect();
    }
    net.quiet(5_000);
    net.restart(0, KEY);
    net.pass(3_000, |node| node != 2);
    let is_settled = |net: &Net, all| net.nodes[0].machine.is_settled(all);
    assert!(!is_settled(&net, true), "what the other one would tell is not known");
    assert!(is_settled(&net, false), "it may be dead");
    net.quiet(5_000);
    assert!(is_settled(&net, true));
}

#[test]
fn who_starts_anew_has_not_heard_all_before_it_has_what_it_had_told() {
    for seed in 1..20 {
        let mut net = Net::new(3, 1_000, seed);
        net.nodes[0].own = (0..100).map(|number| (number, exception(number, 1))).collect();
        net.quiet(5_000 + seed * 77);
        net.restart(0, KEY);
        while !net.nodes[0].machine.is_settled(true) {
            net.quiet(10);
        }
        assert_eq!(net.nodes[0].told.len(), 100, "{seed}");
    }
}

#[test]
fn a_peer_that_returns_gets_back_what_it_told() {
    let mut net = Net::new(3, 1_000, 12);
    net.nodes[0].own = (0..100).map(|number| (number, exception(number, 1))).collect();
    net.quiet(5_000);
    net.restart(0, KEY);
    net.quiet(6_000);
    assert_eq!(net.nodes[0].told.len(), 100);
    for other in [1, 2] {
        assert_eq!(net.nodes[other].told.len(), 100);
    }
    net.quiet(HOLD.as_millis() + 5_000);
    assert!(net.nodes.iter().all(|node| node.told.is_empty()), "nobody has them any more");
}

#[test]
fn a_peer_that_is_silent_is_forgotten_in_the_end() {
    let mut net = Net::new(2, 1_000, 3);
    net.nodes[0].own = (0..100).map(|number| (number, exception(number, 1))).collect();
    net.quiet(5_000);
    net.pass(HOLD.as_millis() - 1_000, |node| node == 1);
    assert_eq!(net.nodes[1].told.len(), 100);
    assert_eq!(net.nodes[1].happened, [Happening::Up, Happening::Silent]);
    net.pass(2_000, |node| node == 1);
    assert_eq!(net.nodes[1].told.len(), 0);
    // The same run is heard again.
    net.quiet(5_000);
    net.assert_told(0, 1);
}

#[test]
fn a_peer_that_has_missed_too_much_is_told_anew() {
    let mut net = Net::new(2, 1_000, 4);
    net.nodes[0].own = (0..900).map(|number| (number, exception(number, 1))).collect();
    net.quiet(5_000);
    // More ends while it hears nothing than is remembered.
    for round in 0..10 {
        net.nodes[0].own = (round * 50..900).map(|number| (number, exception(number, 1))).collect();
        net.lost = 100;
        net.quiet(1_000);
    }
    net.lost = 0;
    net.quiet(15_000);
    net.assert_told(0, 1);
    assert_eq!(net.peer(0).counts.tellings, 2);
}

#[test]
fn who_has_another_key_is_not_believed_and_counted() {
    let mut net = Net::new(2, 1_000, 5);
    net.restart(0, b"another key altogether");
    net.nodes[0].own = (0..100).map(|number| (number, exception(number, 1))).collect();
    net.quiet(10_000);
    assert!(net.nodes[1].told.is_empty());
    assert!(!net.peer(1).is_up && !net.peer(0).is_up);
    assert!(net.peer(1).counts.wrong_key >= 9);
    assert!(Seal::new(b"short").is_none());
}

#[test]
fn what_was_recorded_is_not_believed_again() {
    let mut net = Net::new(2, 1_000, 6);
    net.nodes[0].own = (0..100).map(|number| (number, exception(number, 1))).collect();
    net.quiet(5_000);
    let recorded = net.log.clone();
    net.nodes[0].own.clear();
    net.quiet(5_000);
    assert!(net.nodes[1].told.is_empty());
    // In the same run, then when the sender runs anew, then when the receiver does.
    for restarted in [None, Some(0), Some(1)] {
        if let Some(node) = restarted {
            net.restart(node, KEY);
            net.quiet(5_000);
        }
        for (from, to, datagram) in &recorded {
            net.deliver(*from, *to, datagram);
            net.deliver(*to, *from, datagram);
            if net.draw(10) == 0 {
                net.quiet(10);
            }
        }
        net.quiet(5_000);
        assert!(net.nodes[1].told.is_empty(), "{restarted:?}");
        assert!(net.nodes[0].told.is_empty(), "{restarted:?}");
        assert!(net.peer(0).is_up && net.peer(1).is_up, "{restarted:?}");
    }
    net.nodes[0].own = (0..10).map(|number| (number, exception(number, 3))).collect();
    net.quiet(5_000);
    net.assert_told(0, 1);
}

#[test]
fn another_version_is_left_alone_and_counted() {
    let mut net = Net::new(2, 1_000, 7);
    net.quiet(5_000);
    let (from, to, mut datagram) = net.log.last().unwrap().clone();
    datagram[4] = VERSION + 1;
    net.deliver(from, to, &datagram);
    let at = usize::from(to == address(1));
    assert_eq!(net.peer(at).counts.other_version, 1);
    net.deliver("192.0.2.77:4789".parse().unwrap(), to, &datagram);
    assert_eq!(net.nodes[at].machine.strangers(), 1);
}

#[test]
fn exceptions_without_room_are_counted_and_proven_ones_come_first() {
    let mut net = Net::new(2, 100, 8);
    let machine = &mut net.nodes[0].machine;
    machine.begin_look();
    (0..100).for_each(|number| machine.found(&exception(number, 1), false));
    machine.end_look();
    assert_eq!((machine.own().len(), machine.own().refused()), (50, 50));
    machine.begin_look();
    (50..150).for_each(|number| machine.found(&exception(number, 1), true));
    machine.end_look();
    assert_eq!(
        (machine.own().len(), machine.own().refused()),
        (50, 50),
        "others are not known to be gone yet"
    );
    machine.begin_look();
    (50..150).for_each(|number| machine.found(&exception(number, 1), true));
    machine.end_look();
    assert_eq!((machine.own().len(), machine.own().refused()), (100, 0));
}

#[test]
fn tables_that_differ_for_a_while_have_everything_told() {
    let mut net = Net::new(2, 100, 9);
    net.quiet(5_000);
    let tells_all = |net: &Net, node: usize| net.nodes[node].machine.tells_all(Instant::from_millis(net.now));
    let set = |net: &mut Net, node: usize, tables| {
        let now = Instant::from_millis(net.now);
        net.nodes[node].machine.set_tables(now, tables);
    };
    set(&mut net, 0, 7);
    net.quiet(1_000);
    assert!(!tells_all(&net, 0), "checks find out at different times");
    net.quiet(3_000);
    assert!(tells_all(&net, 0) && tells_all(&net, 1));
    set(&mut net, 1, 7);
    net.quiet(1_500);
    assert!(!tells_all(&net, 0) && !tells_all(&net, 1));
    // A peer that is gone differs from nobody.
    set(&mut net, 0, 8);
    net.pass(10_000, |node| node == 0);
    assert!(!tells_all(&net, 0));
}

#[test]
fn bandwidth_of_a_hundred_thousand() {
    let mut net = Net::new(2, 131_072, 10);
    net.delay = 1;
    let v4 = |number: u32| {
        let ends = Ends {
            protocol: Protocol::Tcp,
            source: SocketAddr::new(
                [203, 0, 113, (number % 250) as u8].into(),
                (1_024 + number / 250) as u16,
            ),
            destination: "198.51.100.1:80".parse().unwrap(),
        };
        Exception {
            ends,
            server: "10.0.0.1:8080".parse().unwrap(),
            method: Method::Nat,
            local: None,
            beside: None,
        }
    };
    net.nodes[0].own = (0..100_000).map(|number| (number, v4(number))).collect();
    net.quiet(3_000);
    net.assert_told(0, 1);
    let [datagrams, bytes] = net.peer(0).counts.sent;
    let per_entry = bytes as f64 / 100_000.0;
    // Ethernet, IPv4 and UDP: 14 + 20 + 8.
    let on_wire = |entries: f64| entries * (per_entry + datagrams as f64 / 100_000.0 * 42.0);
    println!(
        "100,000 connections told to one peer: {datagrams} datagrams, {bytes} bytes, {per_entry:.1} each"
    );
    net.nodes[0].own.clear();
    net.quiet(3_000);
    let gone = (net.peer(0).counts.sent[1] - bytes) as f64 / 100_000.0;
    println!("and forgotten again: {gone:.1} bytes each");
    let mbit = |per_s: f64| (on_wire(per_s) + per_s * gone * 1.05) * 8.0 / 1e6;
    println!("1,000,000 connections a second, all older than 3 s: {:.0} Mbit/s to each peer", mbit(1e6));
    println!("of which 1 in 100 is: {:.1} Mbit/s", mbit(1e4));
    assert!(per_entry < 30.0 && gone < 22.0, "{per_entry} {gone}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However bad the network was, both sides have the same once it is good.
    #[test]
    fn all_is_told_in_the_end(
        seed in any::<u64>(),
        (lost, repeated, delay) in (0u64..60, 0u64..30, 1u64..400),
        rounds in prop::collection::vec((0u32..300, 0u32..300, 0u8..3), 1..6),
    ) {
        let mut net = Net::new(2, 2_000, seed);
        for (from, count, server) in rounds {
            (net.lost, net.repeated, net.delay) = (lost, repeated, delay);
            for node in &mut net.nodes {
                let odd = u32::from(node.address == address(1)) * 1_000;
                node.own = (from..from + count).map(|number| (number, exception(odd + number, server))).collect();
            }
            net.quiet(2_000);
        }
        (net.lost, net.repeated, net.delay) = (0, 0, 5);
        net.quiet(10_000);
        net.assert_told(0, 1);
        net.assert_told(1, 0);
    }

    /// Whatever arrives, nothing is taken that nobody told, and nobody panics.
    #[test]
    fn anything_may_arrive(
        seed in any::<u64>(),
        hostile in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), 0usize..3, any::<u16>()), 1..40),
    ) {
        let mut net = Net::new(2, 100, seed);
        net.nodes[0].own = (0..20).map(|number| (number, exception(number, 1))).collect();
        net.quiet(3_000);
        let log = net.log.clone();
        for (bytes, kind, at) in hostile {
            let (from, to, mut datagram) = log[usize::from(at) % log.len()].clone();
            match kind {
                0 => datagram = bytes,
                1 => datagram.truncate(usize::from(at) % (datagram.len() + 1)),
                _ => {
                    let place = usize::from(at) % datagram.len();
                    datagram[place] ^= bytes.first().copied().unwrap_or(1).max(1);
                }
            }
            net.deliver(from, to, &datagram);
        }
        net.quiet(2_000);
        net.assert_told(0, 1);
    }
}

#[test]
fn peers_come_and_go_while_others_stay() {
    let mut net = Net::new(3, 1_000, 7);
    for node in 0..3 {
        net.nodes[node].own =
            (0..50).map(|number| (number, exception(number + 100 * node as u32, 1))).collect();
    }
    net.change(0, &[1], KEY);
    net.quiet(5_000);
    assert_eq!(net.nodes[0].told.len(), 50, "of the one that is its peer");
    assert!(net.nodes[0].machine.strangers() > 2);
    let tellings = net.peer(0).counts.tellings;
    // The third becomes a peer and tells everything; nothing begins anew with the second.
    net.change(0, &[1, 2], KEY);
    net.quiet(5_000);
    assert_eq!(net.nodes[0].told.len(), 100);
    assert_eq!(net.nodes[2].told.len(), 100, "and is told");
    assert!(net.nodes[0].machine.is_settled(true));
    assert_eq!(net.peer(0).counts.tellings, tellings);
    let named = |net: &Net, number| net.nodes[0].told.peer(number);
    assert_eq!([named(&net, 0), named(&net, 1), named(&net, 2)], [Some(address(1)), Some(address(2)), None]);
    // The second is none any more: what it told is kept, as its connections may be on their way here.
    net.change(0, &[2], KEY);
    net.quiet(HOLD.as_millis() / 2);
    assert_eq!(net.nodes[0].machine.peers().count(), 1);
    assert_eq!(net.nodes[0].told.len(), 100);
    let sent = net.log.iter().filter(|(from, to, _)| (*from, *to) == (address(0), address(1))).count();
    net.quiet(HOLD.as_millis());
    assert_eq!(net.nodes[0].told.len(), 50);
    assert_eq!(named(&net, 0), None, "its number is free");
    let after = net.log.iter().filter(|(from, to, _)| (*from, *to) == (address(0), address(1))).count();
    assert_eq!(after, sent, "it is told nothing");
    // It comes back.
    net.change(0, &[2, 1], KEY);
    net.quiet(5_000);
    assert_eq!(net.nodes[0].told.len(), 100);
    assert_eq!(named(&net, 0), Some(address(1)));
}

#[test]
fn a_key_changes_on_one_director_after_the_other() {
    let mut net = Net::new(2, 1_000, 8);
    net.nodes[0].own = (0..100).map(|number| (number, exception(number, 1))).collect();
    net.quiet(5_000);
    let other = b"another key altogether";
    net.change(0, &[1], other);
    net.quiet(2_000);
    assert!(net.peer(1).counts.wrong_key > 0);
    assert_eq!(net.nodes[1].told.len(), 100, "what was told stays meanwhile");
    net.change(1, &[0], other);
    net.nodes[0].own.extend((100..120).map(|number| (number, exception(number, 1))));
    net.quiet(5_000);
    net.assert_told(0, 1);
    assert!(net.peer(0).is_up && net.peer(1).is_up);
    assert_eq!(net.peer(1).counts.tellings, 1, "they still know each other");
}

#[test]
fn more_peers_come_and_go_than_there_are_numbers() {
    let mut net = Net::new(2, 1_000, 9);
    net.nodes[1].own = (0..10).map(|number| (number, exception(number, 1))).collect();
    net.quiet(3_000);
    for round in 0..40 {
        let others: Vec<usize> = (0..63).map(|other| 2 + round * 63 + other).collect();
        net.change(0, &[&[1][..], &others].concat(), KEY);
        assert_eq!(net.nodes[0].machine.peers().count(), 64);
    }
    net.change(0, &[1], KEY);
    net.quiet(3_000);
    net.assert_told(1, 0);
    assert_eq!(net.nodes[0].machine.peers().count(), 1);
}
