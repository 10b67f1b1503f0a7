//! PPTP: packets of a call go with its control connection, by a number that each side knows.

use super::{
    common::{
        fragments,
        frame::*,
        plan::*,
        world::{Sent, Setup, World},
    },
    expect_nothing,
    pptp_ends::*,
};
use lb_core::{
    conn::saved::Saved,
    counters::DropReason,
    decide::Origin,
    family::V4,
    flow::key::Secret,
    memory::MemoryPacket,
    packet::{PortId, WorkerId},
    peers::{
        exception::Exception,
        told::{Source, Told},
    },
    service::plan::{Method, ModuleKind},
    worker::exceptions::Wanted,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn packets_of_a_call_go_between_its_client_and_its_server() {
    for method in REWRITING {
        let mut world = World::new(&plan(method));
        let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
        let [told_server, told_client] = it.call(&mut world, 5, 7);
        assert_eq!(told_server, endpoint(&it.seen).port(), "{method}");
        assert_eq!(told_client, 4_000, "{method}");

        let frame = it.client_says(told_client).via_gateway();
        let server = ("198.51.100.11".to_owned(), 7);
        let (from, to, call) = called(&world.receive(WAN, &frame), &frame);
        assert_eq!((from, (to, call)), (it.address(&it.seen).to_string(), server), "{method}");
        let frame = it.server_says(told_server).via_server();
        let (from, to, call) = called(&world.receive(LAN, &frame), &frame);
        assert_eq!((&*from, &*to, call), ("192.0.2.100", "203.0.113.10", 5), "{method}");

        // What else names the call.
        let heard = it.say(&mut world, 0, &message(SET_LINK_INFO, told_client, 0xffff, 0));
        assert_eq!(numbers(&heard), [7, 0xffff], "{method}");
        let heard = it.say(&mut world, 1, &message(WAN_ERROR_NOTIFY, told_server, 0, 0));
        assert_eq!(numbers(&heard), [5, 0], "{method}");
        let heard = it.say(&mut world, 0, &message(ECHO_REQUEST, told_client, 7, 0));
        assert_eq!(numbers(&heard), [told_client, 7], "no call's");
        let heard = it.say(&mut world, 0, &message(CALL_CLEAR_REQUEST, 5, 0, 0));
        assert_eq!(numbers(&heard), [told_server, 0], "{method}");
        assert_eq!(world.receive(LAN, &it.server_says(told_server).via_server()).len(), 1);
        let heard = it.say(&mut world, 1, &message(CALL_DISCONNECT_NOTIFY, 7, 0x0100, 0));
        assert_eq!(numbers(&heard), [told_client, 0x0100], "{method}");
        // It is over.
        expect_nothing(&mut world, WAN, &it.client_says(told_client).via_gateway());
        expect_nothing(&mut world, LAN, &it.server_says(told_server).via_server());
        assert_eq!(world.dropped(DropReason::NoConnection), 2, "{method}");
        // Another one may follow.
        assert_eq!(it.call(&mut world, 6, 7), [told_server, told_client]);
        let frame = it.server_says(told_server).via_server();
        assert_eq!(called(&world.receive(LAN, &frame), &frame).2, 6);
        assert_eq!(world.connections().len(), 1);
        assert_eq!(world.counters(0).expected_lost.get(), 0);
    }
}

#[test]
fn a_call_that_comes_in_is_one_as_well() {
    let mut world = World::new(&plan(Method::Nat));
    let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
    let asked = it.say(&mut world, 0, &message(INCOMING_CALL_REQUEST, 5, 0x1234, 0));
    assert_eq!(numbers(&asked), [4_000, 0x1234]);
    let answered = it.say(&mut world, 1, &message(INCOMING_CALL_REPLY, 7, 4_000, 1));
    assert_eq!(numbers(&answered), [4_000, 5]);
    let connected = it.say(&mut world, 0, &message(INCOMING_CALL_CONNECTED, 4_000, 0, 0));
    assert_eq!(numbers(&connected), [7, 0]);
    let frame = it.client_says(4_000).via_gateway();
    assert_eq!(called(&world.receive(WAN, &frame), &frame).2, 7);
    // The client says that it is over.
    let heard = it.say(&mut world, 0, &message(CALL_DISCONNECT_NOTIFY, 5, 0, 0));
    assert_eq!(numbers(&heard), [4_000, 0]);
    expect_nothing(&mut world, WAN, &frame);
}

#[test]
fn a_call_that_is_refused_is_none() {
    let mut world = World::new(&plan(Method::Nat));
    let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
    it.say(&mut world, 0, &message(OUTGOING_CALL_REQUEST, 5, 0, 0));
    let heard = it.say(&mut world, 1, &message(OUTGOING_CALL_REPLY, 0, 4_000, 4));
    assert_eq!((numbers(&heard), heard[16]), ([4_000, 5], 4));
    expect_nothing(&mut world, WAN, &it.client_says(4_000).via_gateway());
    expect_nothing(&mut world, LAN, &it.server_says(4_000).via_server());
}

/// Two servers give calls the same number, and two clients behind one address do, whichever workers packets come to.
#[test]
fn calls_with_the_same_numbers_are_told_apart() {
    for method in REWRITING {
        let mut world = World::with(&plan(method), Setup { workers: 4, ..Setup::default() });
        let clients = ["203.0.113.10:4000", "203.0.113.10:4001", "203.0.113.10:4002", "203.0.113.11:4000"];
        let mut calls: Vec<_> = clients.map(|client| Dialled::new(&mut world, client)).into_iter().collect();
        let told: Vec<_> = calls.iter_mut().map(|it| it.call(&mut world, 5, 7)).collect();
        let servers: BTreeSet<&str> = calls.iter().map(|it| &*it.server).collect();
        assert_eq!(servers.len(), 2, "{method}");
        for worker in 0..4 {
            for (it, [told_server, told_client]) in calls.iter().zip(&told) {
                let frame = it.client_says(*told_client).via_gateway();
                let (from, to, call) = called(&world.burst(worker, &[(WAN, frame.clone())]), &frame);
                let server = it.address(&it.server).to_string();
                assert_eq!((from, to, call), (it.address(&it.seen).to_string(), server, 7), "{method}");
                let frame = it.server_says(*told_server).via_server();
                let (from, to, call) = called(&world.burst(worker, &[(LAN, frame.clone())]), &frame);
                let client = it.address(&it.client).to_string();
                assert_eq!((&*from, to, call), ("192.0.2.100", client, 5), "{method}");
            }
        }
        assert_eq!(world.connections().len(), 4, "{method}");
    }
}

#[test]
fn messages_may_be_cut_anywhere() {
    for method in REWRITING {
        for cut in 1..32 {
            let mut world = World::new(&plan(method));
            let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
            let text = message(OUTGOING_CALL_REQUEST, 5, 0, 0);
            let heard = [it.say(&mut world, 0, &text[..cut]), it.say(&mut world, 0, &text[cut..])].concat();
            let [told, _] = numbers(&heard);
            assert_eq!(told, endpoint(&it.seen).port(), "{method}, {cut}");
            // And the other side's byte by byte from there on.
            let text = message(OUTGOING_CALL_REPLY, 7, told, 1);
            let mut heard = it.say(&mut world, 1, &text[..cut]);
            for byte in &text[cut..] {
                heard.extend(it.say(&mut world, 1, &[*byte]));
            }
            assert_eq!(numbers(&heard), [4_000, 5], "{method}, {cut}");
            assert_eq!(heard[16..], text[16..]);
            let frame = it.client_says(4_000).via_gateway();
            assert_eq!(called(&world.receive(WAN, &frame), &frame).2, 7, "{method}, {cut}");
        }
    }
}

#[test]
fn what_is_sent_again_is_the_same() {
    let mut world = World::new(&plan(Method::FullNat));
    let it = Dialled::new(&mut world, "203.0.113.10:4000");
    let (port, frame) = it.segment(0, 1_001, &message(OUTGOING_CALL_REQUEST, 5, 0, 0));
    let first = payload(&world.receive(port, &frame));
    assert_eq!(payload(&world.receive(port, &frame)), first);
    assert_eq!(numbers(&first)[0], endpoint(&it.seen).port());
    assert_eq!(world.counters(0).expected_lost.get(), 0, "one call");
}

/// Its packets would go to the other call.
#[test]
fn another_call_of_a_connection_goes_nowhere() {
    let mut world = World::new(&plan(Method::Nat));
    let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
    it.call(&mut world, 5, 7);
    let asked = it.say(&mut world, 0, &message(OUTGOING_CALL_REQUEST, 6, 0, 0));
    assert_eq!(numbers(&asked), [0, 0]);
    let answered = it.say(&mut world, 1, &message(OUTGOING_CALL_REPLY, 8, 0, 1));
    assert_eq!(numbers(&answered), [0, 0]);
    assert_eq!(world.counters(0).expected_lost.get(), 1);
    for call in [0, 6, 8] {
        expect_nothing(&mut world, WAN, &it.client_says(call).via_gateway());
        expect_nothing(&mut world, LAN, &it.server_says(call).via_server());
    }
    // It ends by itself.
    assert_eq!(numbers(&it.say(&mut world, 0, &message(CALL_CLEAR_REQUEST, 6, 0, 0))), [0, 0]);
    assert_eq!(numbers(&it.say(&mut world, 1, &message(CALL_DISCONNECT_NOTIFY, 8, 0, 0))), [0, 0]);
    let frame = it.client_says(4_000).via_gateway();
    assert_eq!(called(&world.receive(WAN, &frame), &frame).2, 7);
}

#[test]
fn a_call_ends_with_its_connection_and_keeps_it() {
    for method in REWRITING {
        let mut world = World::new(&plan(method));
        let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
        let [told_server, told_client] = it.call(&mut world, 5, 7);
        for _ in 0..3 {
            world.pass(800_000);
            assert_eq!(world.receive(LAN, &it.server_says(told_server).via_server()).len(), 1, "{method}");
        }
        let mut reset = tcp(&it.server, &it.seen, RST);
        reset.set_sequence(it.said[1]);
        assert_eq!(world.receive(LAN, &reset.via_server()).len(), 1);
        for _ in 0..4 {
            expect_nothing(&mut world, WAN, &it.client_says(told_client).via_gateway());
            expect_nothing(&mut world, LAN, &it.server_says(told_server).via_server());
            world.pass(5_000);
        }
        assert!(world.connections().is_empty(), "{method}: packets of the call do not keep it");
    }
}

#[test]
fn fragments_follow_the_first() {
    for method in REWRITING {
        let mut world = World::with(&plan(method), Setup { workers: 3, ..Setup::default() });
        let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
        let [told_server, told_client] = it.call(&mut world, 5, 7);
        for (port, packet, number) in
            [(WAN, it.client_says(told_client), 7), (LAN, it.server_says(told_server), 5)]
        {
            let mut packet = packet.may_fragment();
            packet.payload.resize(1_200, 0x77);
            let mut pieces = fragments::even(&packet.bytes(), 7, 400);
            pieces.rotate_left(1);
            let mut sent = Vec::new();
            for (worker, piece) in pieces.iter().enumerate() {
                sent.extend(world.burst(worker % 3, &[(port, fragments::frame(port, piece))]));
            }
            assert_eq!(sent.len(), pieces.len(), "{method}");
            let calls = |sent: &Sent| u16::from_be_bytes([sent.frame[40], sent.frame[41]]);
            let firsts = sent.iter().filter(|sent| sent.frame[34..36] == [0x30, 0x81]);
            assert_eq!(firsts.map(calls).collect::<Vec<_>>(), [number], "{method}");
            let later = sent.iter().filter(|sent| sent.frame[34..].starts_with(&[0x77; 8]));
            assert_eq!(later.count(), pieces.len() - 1, "{method}: they have no number");
        }
    }
}

#[test]
fn nothing_is_opened_by_a_call_that_nobody_has_asked_for() {
    for method in REWRITING.into_iter().chain(STEERING) {
        let mut world = World::new(&plan(method));
        let it = Dialled::new(&mut world, "203.0.113.10:4000");
        for call in [0, 1, 1_723, 4_000, 4_001] {
            if method.rewrites_endpoints() {
                expect_nothing(&mut world, WAN, &it.client_says(call).via_gateway());
                expect_nothing(&mut world, LAN, &it.server_says(call).via_server());
            }
            expect_nothing(&mut world, WAN, &it_call("203.0.113.99"));
        }
        assert_eq!(world.connections().len(), 1, "{method}");
    }
}

/// As it was without a module.
#[test]
fn other_packets_of_gre_are_refused() {
    let refused = |world: &mut World, packet: &Ip| {
        let lines = world.lines(WAN, &packet.via_gateway());
        assert!(lines[0].contains("192.0.2.100 > 203.0.113.10 icmp protocol unreachable"), "{lines:?}");
    };
    let mut plain = plan(Method::Nat);
    plain.first().module = ModuleKind::None;
    let mut world = World::new(&plain);
    Dialled::new(&mut world, "203.0.113.10:4000");
    refused(&mut world, &call_packet(CLIENT_IP, VIP, 4_000));
    let mut world = World::new(&plan(Method::Nat));
    let inside = echo(CLIENT_IP, VIP).bytes();
    let tunnel = Ip::new(GRE, CLIENT_IP, VIP, [&[0, 0, 8, 0], inside.as_slice()].concat());
    refused(&mut world, &tunnel);
}

/// Who claims to be a server comes by a port that servers are behind.
#[test]
fn a_servers_packets_come_by_a_servers_port() {
    let mut world = World::new(&plan(Method::Nat));
    let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
    let [told_server, _] = it.call(&mut world, 5, 7);
    expect_nothing(&mut world, WAN, &it.server_says(told_server).via_gateway());
    assert_eq!(world.dropped(DropReason::WrongPort), 1);
}

#[test]
fn it_goes_on_in_the_next_run_and_with_another_director() {
    for method in REWRITING {
        let mut world = World::new(&plan(method));
        let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
        let [told_server, told_client] = it.call(&mut world, 5, 7);
        let saved: Vec<Saved<V4>> = world.workers[0].saved::<V4>(world.now).collect();
        let mut after = World::new(&plan(method));
        assert_eq!(after.workers[0].restore(after.now, &saved[0], Some(WorkerId(0))), Ok(()));
        let goes_on = |after: &mut World, is_clients: bool| {
            for at in 0..2 {
                if (at == 0) == is_clients {
                    let frame = it.client_says(told_client).via_gateway();
                    assert_eq!(called(&after.receive(WAN, &frame), &frame).2, 7, "{method}");
                } else {
                    let frame = it.server_says(told_server).via_server();
                    assert_eq!(called(&after.receive(LAN, &frame), &frame).2, 5, "{method}");
                }
            }
        };
        goes_on(&mut after, true);
        // Packets of the call may be the first that another director sees, also where more has been said since.
        world.pass(3_000);
        let mut told_of: Vec<Exception> = Vec::new();
        world.workers[0].exceptions::<V4>(world.now, 0..u32::MAX, Wanted::default(), |seen| {
            told_of.push(seen.exception);
        });
        it.say(&mut world, 0, &message(ECHO_REQUEST, 0, 9, 0));
        for is_clients in [true, false] {
            let (told, mut writer) = Told::new(64, Secret(7), vec!["192.0.2.2:4789".parse().unwrap()]);
            for exception in &told_of {
                writer.tell(exception, Source { peer: 0, is_odd: false }).unwrap();
            }
            let mut another = World::told(&plan(method), Setup::default(), told);
            let mut it = it.clone();
            let first = if is_clients {
                let frame = it.client_says(told_client).via_gateway();
                called(&another.receive(WAN, &frame), &frame).2
            } else {
                let frame = it.server_says(told_server).via_server();
                called(&another.receive(LAN, &frame), &frame).2
            };
            assert_eq!(first, if is_clients { 7 } else { 5 }, "{method}");
            let heard = it.say(&mut another, 0, &message(SET_LINK_INFO, told_client, 0, 0));
            assert_eq!(numbers(&heard), [7, 0], "{method}");
            let heard = it.say(&mut another, 1, &message(CALL_DISCONNECT_NOTIFY, 7, 0, 0));
            assert_eq!(numbers(&heard), [told_client, 0], "{method}");
        }
    }
}

/// What a trace says.
#[test]
fn a_trace_tells_of_calls() {
    let mut world = World::new(&plan(Method::Nat));
    let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
    let says = |world: &mut World, port: PortId, frame: &[u8], text: &str| {
        let told = world.trace(0, MemoryPacket::new(port, frame), Origin::Port);
        let told: Vec<String> = told.steps.iter().map(|step| step.text.clone()).collect();
        assert!(told.iter().any(|step| step == text), "{told:#?}");
    };
    it.say(&mut world, 0, &message(OUTGOING_CALL_REQUEST, 5, 0, 0));
    let (port, frame) = it.segment(1, it.said[1], &message(OUTGOING_CALL_REPLY, 7, 4_000, 1));
    let text = "module pptp: a call; the client's number 5 is 4000 to the server; \
                the server's number 7 is 4000 to the client";
    says(&mut world, port, &frame, text);
    let frame = it.client_says(4_000).via_gateway();
    says(&mut world, WAN, &frame, "module pptp: its call 4000 is 7 on the other side");
    let text = "nat: destination rewritten: 203.0.113.10 > 192.0.2.100 (call 4000) -> \
                203.0.113.10 > 198.51.100.11 (call 7); time to live 64 -> 63";
    says(&mut world, WAN, &frame, text);

    let mut world = World::new(&plan(Method::Dr));
    world.receive(WAN, &tcp("203.0.113.10:4000", SERVICE, SYN).via_gateway());
    let text = message(OUTGOING_CALL_REQUEST, 5, 0, 0);
    let mut asks = tcp_with(endpoint("203.0.113.10:4000"), endpoint(SERVICE), ACK, &text);
    asks.set_sequence(1_001);
    says(
        &mut world,
        WAN,
        &asks.via_gateway(),
        "module pptp: expects GRE 203.0.113.10 > 192.0.2.100, within 1m",
    );
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(vec![5_u8, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    let number = prop::sample::select(vec![0_u16, 5, 6, 7, 8, 4_000, 4_001]);
    let whole = (kinds, number.clone(), number, 0..3_u8)
        .prop_map(|(kind, first, second, result)| message(kind, first, second, result));
    let any = prop::collection::vec(any::<u8>(), 1..40);
    prop_oneof![4 => whole, 1 => any]
}

proptest! {
    /// Whatever is said, cut anywhere: the accounts are exact, bytes keep their places, and only the numbers of calls are
    /// others on the other side.
    #[test]
    fn any_bytes_are_harmless(
        texts in prop::collection::vec((0..2_usize, any_message(), any::<prop::sample::Index>()), 1..12),
        calls in prop::collection::vec((any::<bool>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..20)), 0..6),
        method in prop::sample::select([REWRITING.as_slice(), &STEERING].concat()),
    ) {
        let mut world = World::with(&plan(method), Setup { workers: 2, ..Setup::default() });
        let mut it = Dialled::new(&mut world, "203.0.113.10:4000");
        for (at, text, cut) in texts {
            if at == 1 && !method.rewrites_endpoints() {
                continue;
            }
            let cut = cut.index(text.len());
            for part in [&text[..cut], &text[cut..]].into_iter().filter(|part| !part.is_empty()) {
                let (port, frame) = it.segment(at, it.said[at], part);
                let sent = world.receive(port, &frame);
                prop_assert_eq!(sent.len(), 1);
                it.said[at] += part.len() as u32;
                let (port, frame) = it.segment(1 - at, it.said[1 - at], b"");
                if method.rewrites_endpoints() {
                    prop_assert_eq!(world.receive(port, &frame).len(), 1);
                }
            }
        }
        for (is_clients, call, bytes) in calls {
            let packet = if is_clients { it.client_says(call) } else { it.server_says(call) };
            let frame = |packet: &Ip| if is_clients { packet.via_gateway() } else { packet.via_server() };
            let port = if is_clients { WAN } else { LAN };
            world.receive(port, &frame(&packet));
            world.receive(port, &frame(&Ip { payload: bytes, ..packet }));
        }
        world.pass(1_000);
    }
}
