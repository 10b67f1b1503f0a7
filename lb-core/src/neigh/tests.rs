//! Neighbours and the packets that wait for them, against a model of both.

use super::{
    entry::{Knowledge, Question},
    table::{Neighbours, hop},
    waiting::Waiting,
};
use crate::{
    ids::InterfaceId,
    packet::PortId,
    service::{plan::InterfacePlan, routing::NextHop},
    time::Instant,
    wire::ethernet::Mac,
};
use proptest::prelude::*;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

/// What a worker does with its neighbours. Hosts are numbers.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A connection with a client there begins.
    Use(u8),
    /// One ends.
    Leave(u8),
    /// A packet goes there.
    Send(u8),
    /// It says where it is.
    Answer(u8, u8),
    /// Time passes, so long.
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let host = || 0..40_u8;
    prop_oneof![
        4 => host().prop_map(Step::Use),
        4 => host().prop_map(Step::Leave),
        4 => host().prop_map(Step::Send),
        2 => (host(), 0..3_u8).prop_map(|(host, mac)| Step::Answer(host, mac)),
        3 => prop_oneof![Just(100), Just(1_000), 0..40_000_u16].prop_map(Step::Pass),
    ]
}

fn place(host: u8) -> NextHop {
    hop(InterfaceId(u16::from(host % 2)), Ipv4Addr::new(192, 0, 2, host))
}

fn interface(host: u8) -> InterfacePlan {
    InterfacePlan::new("wan", PortId(u16::from(host % 2)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn packets_reach_their_own_neighbour_or_nobody(steps in prop::collection::vec(step(), 1..300)) {
        let (mut table, mut waiting) = (Neighbours::new(), Waiting::new());
        // Who uses which host, by its number, and how often.
        let mut users = HashMap::new();
        let mut now = 0;
        let (mut sent, mut gone, mut pushed) = (0, 0, 0);
        for step in steps {
            let at = Instant::from_millis(now);
            match step {
                Step::Use(host) => {
                    let number = table.acquire(place(host), &interface(host), at).expect("room");
                    let (known, count) = users.entry(host).or_insert((number, 0));
                    prop_assert_eq!(*known, number, "a number stays while anybody uses it");
                    *count += 1;
                }
                Step::Leave(host) => {
                    if let Some((number, count)) = users.get_mut(&host) {
                        *count -= 1;
                        table.release(Some(*number));
                        if *count == 0 {
                            users.remove(&host);
                        }
                    }
                }
                Step::Send(host) => {
                    let Some(&(number, _)) = users.get(&host) else { continue };
                    let neighbour = table.get_mut(number).expect("it is used");
                    neighbour.wanted(at);
                    if neighbour.knowledge == Knowledge::Asking && waiting.push(number, host).is_ok() {
                        pushed += 1;
                    }
                }
                Step::Answer(host, mac) => {
                    let mac = Mac([2, 0, 0, 0, mac, host]);
                    let Some((number, _)) = table.answer(place(host), mac, at) else { continue };
                    let neighbour = *table.get(number).expect("it has answered");
                    let adjacency = *table.adjacency(Some(number)).expect("it has answered");
                    prop_assert_eq!((neighbour.hop, neighbour.mac), (place(host), mac));
                    prop_assert_eq!((adjacency.limit, adjacency.port), (1_500, interface(host).port));
                    prop_assert_eq!(adjacency.stations[..6].to_vec(), mac.0.to_vec());
                    while let Some(packet) = waiting.pop(number) {
                        prop_assert_eq!(packet, host, "somebody else's packet");
                        sent += 1;
                    }
                }
                Step::Pass(ms) => now += u64::from(ms),
            }
            // As often as a worker looks.
            let at = Instant::from_millis(now);
            let mut steps = 0;
            while let Some((number, question)) = table.poll(&mut steps, at) {
                let neighbour = table.get(number).expect("it is told apart from others when it is given up");
                let IpAddr::V4(address) = neighbour.hop.address else { unreachable!("all are of IPv4") };
                let host = address.octets()[3];
                if question == Question::GiveUp {
                    while let Some(packet) = waiting.pop(number) {
                        prop_assert_eq!(packet, host);
                        gone += 1;
                    }
                } else {
                    prop_assert!(users.contains_key(&host), "nobody needs {}", host);
                }
            }
            for (host, (number, count)) in &users {
                let neighbour = table.get(*number).expect("it is used");
                prop_assert_eq!((neighbour.hop, neighbour.users), (place(*host), *count));
                let limit = table.adjacency(Some(*number)).map(|adjacency| adjacency.limit);
                prop_assert!(limit == Some(0) || neighbour.knowledge == Knowledge::Known);
            }
            prop_assert_eq!(waiting.len(), pushed - sent - gone);
        }
        // In the end nobody is asked for and nothing is left.
        for (number, count) in users.values() {
            (0..*count).for_each(|_| table.release(Some(*number)));
        }
        for _ in 0..100 {
            now += 1_000;
            let mut steps = 0;
            while let Some((number, question)) = table.poll(&mut steps, Instant::from_millis(now)) {
                prop_assert_eq!(question, Question::GiveUp);
                while waiting.pop(number).is_some() {}
            }
        }
        prop_assert!(table.is_empty() && waiting.is_empty());
    }
}
