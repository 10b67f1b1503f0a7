//! PPTP where servers answer clients themselves: a call goes to the server of its control connection, by the client's address.

use super::{
    common::{
        frame::*,
        plan::*,
        world::{Setup, World},
    },
    pptp_ends::*,
};
use std::collections::BTreeSet;

#[test]
fn where_servers_answer_by_themselves_calls_go_to_the_server_of_their_control_connection() {
    for method in STEERING {
        let mut world = World::with(&plan(method), Setup { workers: 4, ..Setup::default() });
        let mut servers = BTreeSet::new();
        // Each server gives its first call the same number, and so does each client.
        for round in 0..3 {
            for client in ["203.0.113.10", "203.0.113.11", "203.0.113.12"] {
                let at = format!("{client}:{}", 4_000 + round);
                let syn = world.receive(WAN, &tcp(&at, SERVICE, SYN).via_gateway());
                let frame = it_call(client);
                let text = message(OUTGOING_CALL_REQUEST, 5, 0, 0);
                let mut asks = tcp_with(endpoint(&at), endpoint(SERVICE), ACK, &text);
                asks.set_sequence(1_001);
                let asked = world.receive(WAN, &asks.via_gateway());
                assert_eq!(asked[0].frame[..12], syn[0].frame[..12], "{method}");
                for worker in 0..4 {
                    let sent = world.burst(worker, &[(WAN, frame.clone())]);
                    assert_eq!(sent.len(), 1, "{method}");
                    assert_eq!(sent[0].frame[..12], asked[0].frame[..12], "{method}");
                }
                servers.insert(asked[0].frame[..6].to_vec());
            }
        }
        assert_eq!(servers.len(), 2, "{method}");
        let came: u64 = (0..4).map(|worker| world.counters(worker).expected_came.get()).sum();
        assert_eq!(came, 9, "{method}");
    }
}

/// Of two clients behind one address.
#[test]
fn where_servers_answer_by_themselves_a_call_stays_where_it_is() {
    for method in STEERING {
        let mut world = World::new(&plan(method));
        let client = "203.0.113.10";
        let ask = |world: &mut World, port: u16| {
            let at = format!("{client}:{port}");
            world.receive(WAN, &tcp(&at, SERVICE, SYN).via_gateway());
            let text = message(OUTGOING_CALL_REQUEST, 5, 0, 0);
            let mut asks = tcp_with(endpoint(&at), endpoint(SERVICE), ACK, &text);
            asks.set_sequence(1_001);
            world.receive(WAN, &asks.via_gateway())[0].frame[..12].to_vec()
        };
        let sent = |world: &mut World, call: u16, number: u32| {
            let mut packet = call_packet(client.parse().unwrap(), VIP, call);
            packet.payload[8..12].copy_from_slice(&number.to_be_bytes());
            world.receive(WAN, &packet.via_gateway())[0].frame[..12].to_vec()
        };
        let first = ask(&mut world, 4_000);
        assert_eq!(sent(&mut world, 1, 0), first, "{method}");
        let second = ask(&mut world, 4_001);
        assert_ne!(first, second, "{method}");
        assert_eq!(sent(&mut world, 1, 1_000), first, "{method}: it goes on");
        assert_eq!(sent(&mut world, 2, 0), second, "{method}");
        assert_eq!(sent(&mut world, 1, 1_001), first, "{method}");
        // The first is over, and a server gives the next call its number.
        ask(&mut world, 4_002);
        let fourth = ask(&mut world, 4_003);
        assert_eq!(fourth, second, "in turn");
        assert_eq!(sent(&mut world, 1, 0), fourth, "{method}: another call");
        assert_eq!(sent(&mut world, 1, 1_002), fourth, "{method}");
    }
}
