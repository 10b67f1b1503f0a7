//! SIP: what servers say of where to reach them, and where media goes.

use super::{
    common::{
        frame::*,
        frame6::*,
        plan::*,
        read,
        world::{Sent, Setup, World},
    },
    expect, expect_nothing,
};
use etherparse::{SlicedPacket, TransportSlice};
use lb_core::{
    counters::DropReason,
    service::{
        check::check,
        plan::{Method, ModuleKind, Plan},
    },
};
use proptest::prelude::*;

const CLIENT: &str = "203.0.113.10:5060";
const SERVICE: &str = "192.0.2.100:5060";
const SERVER: &str = "198.51.100.11:5060";
const OTHER: &str = "198.51.100.12:5060";

fn plan() -> Plan {
    let mut service = service(Method::Nat, SERVICE, &[SERVER, OTHER]);
    service.module = ModuleKind::Sip;
    network().with(service).udp()
}

/// A message of these lines, and a body of those.
pub(crate) fn message(head: &[&str], body: &[&str]) -> String {
    let end = |lines: &[&str]| lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
    let body = end(body);
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{}{kind}Content-Length: {}\r\n\r\n{body}", end(head), body.len())
}

/// The text of a datagram whose lengths and checksums are right.
#[track_caller]
fn text(frame: &[u8]) -> String {
    read::check_ip(read::ip_packet(frame).unwrap()).unwrap();
    let Some(TransportSlice::Udp(udp)) = SlicedPacket::from_ethernet(frame).unwrap().transport else {
        panic!("a datagram");
    };
    String::from_utf8(udp.payload().to_vec()).unwrap()
}

/// What a server gets of a client's datagram.
#[track_caller]
fn ask(world: &mut World, client: &str, said: &str) -> (String, String) {
    let sent = world.receive(WAN, &udp(client, SERVICE, said.as_bytes()).via_gateway());
    assert_eq!(sent.len(), 1);
    (sent[0].destination(), text(&sent[0].frame))
}

/// What a client gets of a server's.
#[track_caller]
fn answer(world: &mut World, server: &str, client: &str, said: &str) -> String {
    let sent = world.receive(LAN, &udp(server, client, said.as_bytes()).via_server());
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].source().as_str(), sent[0].destination().as_str()), (SERVICE, client));
    text(&sent[0].frame)
}

const INVITE: [&str; 6] = [
    "INVITE sip:bob@example.com SIP/2.0",
    "Via: SIP/2.0/UDP 203.0.113.10:5060;branch=z9hG4bK1",
    "From: <sip:alice@203.0.113.10>;tag=1",
    "To: <sip:bob@192.0.2.100>",
    "Call-ID: 1@203.0.113.10",
    "Contact: <sip:alice@203.0.113.10:5060>",
];

/// A call of a client's that the service has given to a server.
fn called(world: &mut World, client: &str) -> String {
    let (server, text) = ask(world, client, &message(&INVITE, &[]));
    assert_eq!(text, message(&INVITE, &[]), "nothing in it is the VIP's");
    server
}

/// A server's answer with its address and the port of its media.
pub(crate) fn ok(address: &str, media: u16) -> String {
    let (contact, owner) =
        (format!("Contact: <sip:bob@{address}:5060>"), format!("o=- 1 1 IN IP4 {address}"));
    let (connection, audio) = (format!("c=IN IP4 {address}"), format!("m=audio {media} RTP/AVP 0 101"));
    let head = ["SIP/2.0 200 OK", INVITE[1], INVITE[3], &contact];
    message(&head, &["v=0", &owner, "s=-", &connection, "t=0 0", &audio, "a=sendrecv"])
}

#[test]
fn what_names_the_server_becomes_the_vip() {
    let mut world = World::new(&plan());
    assert_eq!(called(&mut world, CLIENT), SERVER);
    let told = answer(&mut world, SERVER, CLIENT, &ok("198.51.100.11", 40_000));
    assert_eq!(told, ok("192.0.2.100", 40_000));
    assert_eq!(world.counters(0).rewritten.get(), 1);
    assert_eq!(world.counters(0).expected.get(), 2, "media, and reports about it");
}

#[test]
fn media_goes_to_its_server_whoever_begins() {
    for (server_begins, workers) in [(false, 1), (true, 1), (false, 4), (true, 4)] {
        let mut world = World::with(&plan(), Setup { workers, ..Setup::default() });
        called(&mut world, CLIENT);
        answer(&mut world, SERVER, CLIENT, &ok("198.51.100.11", 40_000));
        for (from, port) in [("203.0.113.10:7000", 40_000), ("203.0.113.10:7001", 40_001)] {
            let to_server = |world: &mut World| {
                let line = format!("lan: {from} > 198.51.100.11:{port} udp ttl 63");
                let packet = udp(from, &format!("192.0.2.100:{port}"), b"rtp").via_gateway();
                expect(world, WAN, &packet, &line);
            };
            let to_client = |world: &mut World| {
                let line = format!("wan: 192.0.2.100:{port} > {from} udp ttl 63");
                let packet = udp(&format!("198.51.100.11:{port}"), from, b"rtp").via_server();
                expect(world, LAN, &packet, &line);
            };
            if server_begins {
                to_client(&mut world);
            }
            to_server(&mut world);
            to_client(&mut world);
        }
        let came = (0..workers).map(|worker| world.counters(worker).expected_came.get());
        assert_eq!(came.sum::<u64>(), 2);
        assert_eq!(world.connections().len(), 3);
        // Nobody else's.
        let packet = udp("203.0.113.11:7000", "192.0.2.100:40000", b"rtp").via_gateway();
        assert!(world.receive(WAN, &packet)[0].line().contains("icmp"));
        expect_nothing(
            &mut world,
            LAN,
            &udp("198.51.100.11:40000", "203.0.113.11:7000", b"rtp").via_server(),
        );
    }
}

#[test]
fn media_is_expected_as_long_as_a_telephone_rings() {
    let mut world = World::new(&plan());
    called(&mut world, CLIENT);
    answer(&mut world, SERVER, CLIENT, &ok("198.51.100.11", 40_000));
    world.pass(170_000);
    let media = udp("203.0.113.10:7000", "192.0.2.100:40000", b"rtp").via_gateway();
    expect(&mut world, WAN, &media, "lan: 203.0.113.10:7000 > 198.51.100.11:40000 udp ttl 63");
    world.pass(20_000);
    let media = udp("203.0.113.10:7002", "192.0.2.100:40000", b"rtp").via_gateway();
    assert!(world.receive(WAN, &media)[0].line().contains("icmp"), "its time is over");
}

#[test]
fn what_names_the_vip_becomes_the_server() {
    let mut world = World::new(&plan());
    called(&mut world, CLIENT);
    let ack = |address: &str| {
        let request = format!("ACK sip:bob@{address}:5060;ob SIP/2.0");
        let route = format!("Route: <sip:{address};lr>, <sip:192.0.2.101;lr>");
        message(&[&request, INVITE[1], &route, INVITE[3]], &[])
    };
    assert_eq!(ask(&mut world, CLIENT, &ack("192.0.2.100")).1, ack("198.51.100.11"));
    // The server asks, and what comes back has its own Via again.
    let options = |address: &str| {
        let (via, recorded) = (
            format!("v: SIP/2.0/UDP {address}:5060;branch=z9hG4bK2, SIP/2.0/UDP 198.51.100.99"),
            format!("Record-Route: <sip:{address};lr>"),
        );
        message(&["OPTIONS sip:alice@203.0.113.10:5060 SIP/2.0", &via, &recorded, INVITE[2]], &[])
    };
    let told = answer(&mut world, SERVER, CLIENT, &options("198.51.100.11"));
    assert_eq!(told, options("192.0.2.100"));
    let reply = |address: &str| {
        options(address).replace("OPTIONS sip:alice@203.0.113.10:5060 SIP/2.0", "SIP/2.0 200 OK")
    };
    assert_eq!(ask(&mut world, CLIENT, &reply("192.0.2.100")).1, reply("198.51.100.11"));
}

#[test]
fn ports_are_those_of_the_service_and_of_the_server() {
    let mut plan = plan();
    plan.first().servers.iter_mut().for_each(|server| server.port = 5_070);
    let mut world = World::new(&plan);
    let (server, _) = ask(&mut world, CLIENT, &message(&INVITE, &[]));
    assert_eq!(server, "198.51.100.11:5070");
    let contact =
        |at: &str| message(&["SIP/2.0 200 OK", &format!("m: \"B\" <sip:bob@{at}>;expires=60")], &[]);
    let mut told = |at: &str| answer(&mut world, "198.51.100.11:5070", CLIENT, &contact(at));
    assert_eq!(told("198.51.100.11:5070"), contact("192.0.2.100:5060"));
    assert_eq!(told("198.51.100.11:5060"), contact("198.51.100.11:5060"), "something else of the server's");
    assert_eq!(told("198.51.100.11"), contact("198.51.100.11"), "which is port 5060");
    let (_, text) = ask(&mut world, CLIENT, "BYE sip:bob@192.0.2.100 SIP/2.0\r\nl: 0\r\n\r\n");
    assert_eq!(text, "BYE sip:bob@198.51.100.11:5070 SIP/2.0\r\nl: 0\r\n\r\n");
}

#[test]
fn another_port_is_told_where_the_client_is_expected_with_another_server() {
    let mut world = World::new(&plan());
    called(&mut world, CLIENT);
    assert_eq!(called(&mut world, "203.0.113.10:5061"), OTHER);
    answer(&mut world, SERVER, CLIENT, &ok("198.51.100.11", 40_000));
    let said = |address: &str, port: u16| {
        let audio = format!("m=audio {port} RTP/AVP 0");
        let rtcp = format!("a=rtcp:{} IN IP4 {address}", port + 1);
        let connection = format!("c=IN IP4 {address}");
        message(
            &["SIP/2.0 183 Session Progress"],
            &["v=0", &connection, "t=0 0", &audio, &rtcp, "m=audio 0 RTP/AVP 0"],
        )
    };
    let told = answer(&mut world, OTHER, "203.0.113.10:5061", &said("198.51.100.12", 40_000));
    let port = (49_152..=u16::MAX - 1).step_by(2).find(|port| told == said("192.0.2.100", *port));
    let port = port.unwrap_or_else(|| panic!("{told}"));
    assert_eq!(answer(&mut world, OTHER, "203.0.113.10:5061", &said("198.51.100.12", 40_000)), told, "again");
    for by in 0..2 {
        let from = format!("203.0.113.10:{}", 7_000 + by);
        let media = udp(&from, &format!("192.0.2.100:{}", port + by), b"rtp").via_gateway();
        let line = format!("lan: {from} > 198.51.100.12:{} udp ttl 63", 40_000 + by);
        expect(&mut world, WAN, &media, &line);
        let from_server =
            udp(&format!("198.51.100.12:{}", 40_000 + by), "203.0.113.10:7100", b"rtp").via_server();
        let line = format!("wan: 192.0.2.100:{} > 203.0.113.10:7100 udp ttl 63", port + by);
        expect(&mut world, LAN, &from_server, &line);
    }
    let media = udp("203.0.113.10:7200", "192.0.2.100:40000", b"rtp").via_gateway();
    expect(&mut world, WAN, &media, "lan: 203.0.113.10:7200 > 198.51.100.11:40000 udp ttl 63");
}

#[test]
fn a_server_that_calls_opens_a_connection_from_the_vip() {
    let mut world = World::new(&plan());
    let invite = |address: &str| {
        let via = format!("Via: SIP/2.0/UDP {address}:5060;branch=z9hG4bK3");
        message(&["INVITE sip:alice@203.0.113.10 SIP/2.0", &via, "Call-ID: 7@x"], &[])
    };
    assert_eq!(answer(&mut world, SERVER, CLIENT, &invite("198.51.100.11")), invite("192.0.2.100"));
    let ringing = "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK3\r\n\r\n";
    let (server, text) = ask(&mut world, CLIENT, ringing);
    assert_eq!((server.as_str(), text), (SERVER, ringing.replace("192.0.2.100", "198.51.100.11")));
}

#[test]
fn what_is_not_the_servers_or_no_message_stays_as_it_is() {
    let mut world = World::new(&plan());
    called(&mut world, CLIENT);
    for said in [
        "\r\n\r\n".to_owned(),
        "198.51.100.11".to_owned(),
        "SIP/2.0 200 OK\r\nContact: <sip:bob@198.51.100.11:5060".to_owned(),
        "SIP/2.0 200 OK\r\nX: <sip:bob@198.51.100.11:5060>\r\nFrom: <sip:bob@198.51.100.11:5060>\r\n\r\n"
            .to_owned(),
        message(
            &["SIP/2.0 200 OK", "Contact: <sip:bob@198.51.100.110:5060>, <sip:198.51.100.11.example.com>"],
            &[],
        ),
        message(&["SIP/2.0 200 OK"], &["v=0", "c=IN IP4 203.0.113.99", "m=audio 40000 RTP/AVP 0"]),
        message(
            &["SIP/2.0 200 OK"],
            &["v=0", "c=IN IP4 192.0.2.100", "m=audio 40000 TCP/RTP/AVP 0", "m=audio"],
        ),
        message(&["SIP/2.0 200 OK"], &["v=0", "m=audio 40000 RTP/AVP 0"]),
        "SIP/2.0 200 OK\r\nContent-Type: text/plain\r\n\r\nc=IN IP4 198.51.100.11\r\nm=audio 4 RTP/AVP 0\r\n"
            .to_owned(),
    ] {
        assert_eq!(answer(&mut world, SERVER, CLIENT, &said), said);
    }
    let counters = world.counters(0);
    assert_eq!((counters.rewritten.get(), counters.expected.get()), (0, 0));
    // A server that says the VIP by itself.
    let said = message(&["SIP/2.0 200 OK"], &["v=0", "c=IN IP4 192.0.2.100", "m=audio 40000 RTP/AVP 0"]);
    assert_eq!(answer(&mut world, SERVER, CLIENT, &said), said);
    assert_eq!((counters.rewritten.get(), counters.expected.get()), (0, 2));
}

#[test]
fn a_session_has_several_media_with_addresses_of_their_own() {
    let mut world = World::new(&plan());
    called(&mut world, CLIENT);
    let said = |address: &str| {
        let connection = format!("c=IN IP4 {address}");
        let body = [
            "v=0",
            "c=IN IP4 203.0.113.99",
            "m=audio 40000 RTP/AVP 0",
            "m=video 40002 RTP/SAVPF 96",
            &connection,
            "m=image 40004 udptl t38",
            &connection,
        ];
        message(&["SIP/2.0 200 OK"], &body)
    };
    assert_eq!(answer(&mut world, SERVER, CLIENT, &said("198.51.100.11")), said("192.0.2.100"));
    for (port, is_expected) in [(40_000, false), (40_002, true), (40_003, true), (40_004, true)] {
        let media = udp("203.0.113.10:7000", &format!("192.0.2.100:{port}"), b"rtp").via_gateway();
        let line = world.receive(WAN, &media)[0].line();
        assert_eq!(line.contains(&format!("> 198.51.100.11:{port}")), is_expected, "{line}");
    }
}

#[test]
fn addresses_of_ipv6_too() {
    let (client, vip, server) = ("[2001:db8:a::10]:5060", "[2001:db8:1::100]:5060", "[2001:db8:2::11]:5060");
    let mut service = service(Method::Nat, vip, &[server]);
    service.module = ModuleKind::Sip;
    let mut world = World::new(&network6().with(service).udp());
    let sent = world
        .receive(WAN, &udp6(client, vip, b"OPTIONS sip:[2001:db8:1::100] SIP/2.0\r\n\r\n").via_gateway());
    assert_eq!(text(&sent[0].frame), "OPTIONS sip:[2001:db8:2::11] SIP/2.0\r\n\r\n");
    let said = |address: &str| {
        let contact = format!("Contact: <sip:[{address}]:5060>");
        let (owner, connection) = (format!("o=- 1 1 IN IP6 {address}"), format!("c=IN IP6 {address}"));
        message(&["SIP/2.0 200 OK", &contact], &["v=0", &owner, &connection, "m=audio 40000 RTP/AVP 0"])
    };
    let sent = world.receive(LAN, &udp6(server, client, said("2001:db8:2::11").as_bytes()).via_server());
    assert_eq!(text(&sent[0].frame), said("2001:db8:1::100"));
    let media = udp6("[2001:db8:a::10]:7000", "[2001:db8:1::100]:40000", b"rtp").via_gateway();
    assert_eq!(world.receive(WAN, &media)[0].destination(), "[2001:db8:2::11]:40000");
}

/// Else a client could say in a server's name which of its ports it may reach.
#[test]
fn what_claims_to_be_a_servers_and_comes_from_outside_is_not_read() {
    let mut world = World::new(&plan());
    called(&mut world, CLIENT);
    expect_nothing(&mut world, WAN, &udp(SERVER, CLIENT, ok("198.51.100.11", 160).as_bytes()).via_gateway());
    assert_eq!((world.counters(0).expected.get(), world.dropped(DropReason::WrongPort)), (0, 1));
}

#[test]
fn under_fullnat_it_is_refused() {
    let mut plan = plan();
    plan.first().method = Method::FullNat;
    plan.first().local_addresses = vec![LOCAL.into()];
    let mistake = check(&plan, []).unwrap_err().to_string();
    assert!(mistake.contains("does not go together with fullnat"), "{mistake}");
    for method in [Method::Nat, Method::Tun, Method::Dr] {
        plan.first().method = method;
        plan.first().local_addresses = vec![];
        check(&plan, []).unwrap();
    }
}

/// A client's call with where its media is, which comes from there.
fn invite(address: &str, audio: u16) -> String {
    let (session, medium) = (format!("c=IN IP4 {address}"), format!("m=audio {audio} RTP/AVP 0"));
    message(&INVITE, &["v=0", &session, "t=0 0", &medium, "a=sendrecv"])
}

/// The frame's station: the server that it goes to.
fn station(sent: &[Sent]) -> Option<[u8; 6]> {
    sent.first().filter(|sent| sent.port == LAN).map(|sent| sent.frame[..6].try_into().unwrap())
}

/// Where servers answer clients themselves: media that a client says it sends goes to the server that it calls.
#[test]
fn media_follows_the_call_where_servers_answer_by_themselves() {
    for (method, workers, one_packet) in [
        (Method::Tun, 1, false),
        (Method::Dr, 1, false),
        (Method::Dr, 1, true),
        (Method::Dr, 4, false),
        (Method::L3Dsr, 1, false),
    ] {
        let mut plan = plan();
        plan.first().method = method;
        plan.first().one_packet = one_packet;
        plan.first().dscp = if method.marks() { 10 } else { 0 };
        let mut world = World::with(&plan, Setup { workers, ..Setup::default() });
        let mut stations = Vec::new();
        for client in [10, 11, 12] {
            let (address, media) = (format!("203.0.113.{client}"), 7_000 + 10 * client);
            let packet = |from: u16, to: u16, said: &str| {
                udp(&format!("{address}:{from}"), &format!("192.0.2.100:{to}"), said.as_bytes()).via_gateway()
            };
            assert!(
                station(&world.receive(WAN, &packet(media, 40_000, "rtp"))).is_none(),
                "nothing is expected"
            );
            let called = station(&world.receive(WAN, &packet(5_060, 5_060, &invite(&address, media))));
            assert!(called.is_some());
            // To whatever ports of the VIP, also of several servers' choice, and reports about it.
            for (from, to) in [(media, 40_000), (media, 50_002), (media + 1, 40_001)] {
                let sent = world.receive(WAN, &packet(from, to, "rtp"));
                assert_eq!(station(&sent), called, "{method} {from} {to}");
            }
            assert!(
                station(&world.receive(WAN, &packet(media + 2, 40_000, "rtp"))).is_none(),
                "another port's"
            );
            stations.push(called);
        }
        assert!(workers > 1 || stations[0] != stations[1], "{method}: calls are scheduled");
    }
}

#[test]
fn what_a_service_wants_goes_before_a_clients_media() {
    let mut plan = plan();
    plan.first().method = Method::Dr;
    plan.services.push(lb_core::service::plan::ServicePlan {
        name: "dns".to_owned(),
        ..service(Method::Dr, "192.0.2.100:53", &["198.51.100.11:53"])
    });
    let mut world = World::new(&plan.udp());
    let packet = |to: u16, said: &str| {
        udp("203.0.113.11:7000", &format!("192.0.2.100:{to}"), said.as_bytes()).via_gateway()
    };
    // The first server has had a call, so this is the second's.
    world.receive(WAN, &udp(CLIENT, SERVICE, message(&INVITE, &[]).as_bytes()).via_gateway());
    let call = udp("203.0.113.11:5060", SERVICE, invite("203.0.113.11", 7_000).as_bytes()).via_gateway();
    let called = station(&world.receive(WAN, &call));
    let dns = station(&world.receive(WAN, &packet(53, "dns")));
    assert_ne!(dns, called);
    assert_eq!(station(&world.receive(WAN, &packet(40_000, "rtp"))), called);
}

#[test]
fn media_of_another_host_is_not_expected() {
    let mut plan = plan();
    plan.first().method = Method::Dr;
    let mut world = World::new(&plan);
    for said in [
        invite("203.0.113.99", 7_000),
        message(&INVITE, &["v=0", "m=audio 7000 RTP/AVP 0"]),
        message(&INVITE, &["v=0", "c=IN IP4 203.0.113.10", "m=audio 7000 TCP/RTP/AVP 0"]),
        message(
            &INVITE,
            &["v=0", "c=IN IP4 203.0.113.99", "m=audio 7000 RTP/AVP 0", "c=IN IP4 203.0.113.98"],
        ),
        invite("203.0.113.10", 7_000).replace("application/sdp", "text/plain"),
    ] {
        world.receive(WAN, &udp(CLIENT, SERVICE, said.as_bytes()).via_gateway());
        assert_eq!(world.counters(0).expected.get(), 0, "{said}");
    }
    // A medium with an address of its own.
    let own = ["v=0", "c=IN IP4 203.0.113.99", "m=audio 7000 RTP/AVP 0", "c=IN IP4 203.0.113.10"];
    world.receive(WAN, &udp(CLIENT, SERVICE, message(&INVITE, &own).as_bytes()).via_gateway());
    assert_eq!(world.counters(0).expected.get(), 2);
}

#[test]
fn what_comes_damaged_is_not_read() {
    let mut plan = plan();
    plan.verify_checksums = false;
    let mut world = World::new(&plan);
    called(&mut world, CLIENT);
    let mut damaged = udp(SERVER, CLIENT, ok("198.51.100.11", 40_000).as_bytes()).via_server();
    *damaged.last_mut().unwrap() ^= 1;
    let sent = world.receive(LAN, &damaged);
    let dropped: Vec<_> = DropReason::ALL.iter().filter(|reason| world.dropped(**reason) > 0).collect();
    assert_eq!(sent.len(), 1, "{dropped:?}");
    assert_eq!(sent[0].frame.len(), damaged.len(), "as it was");
    assert_eq!(world.counters(0).expected.get(), 0);
}

proptest! {
    /// Whatever a datagram says, it goes on with right lengths and checksums.
    #[test]
    fn any_message_passes(
        parts in prop::collection::vec(prop_oneof![
            Just("SIP/2.0 200 OK\r\n"), Just("INVITE sip:a@192.0.2.100 SIP/2.0\r\n"), Just("Via: SIP/2.0/UDP "),
            Just("198.51.100.11:5060"), Just("198.51.100.11"), Just("192.0.2.100"), Just("Contact: "),
            Just("<sip:"), Just("a@"), Just(">"), Just("\r\n"), Just("\r\n\r\n"), Just("Content-Length: 9"),
            Just("Content-Type: application/sdp\r\n"), Just("c=IN IP4 "), Just("m=audio 40000 RTP/AVP 0\r\n"),
            Just("a=rtcp:40001 IN IP4 "), Just("o=- 1 1 IN IP4 "), Just(" "), Just("["), Just("sips:"), Just("\t"),
        ], 0..60),
        is_answer: bool,
    ) {
        let mut world = World::new(&plan());
        called(&mut world, CLIENT);
        let said = parts.concat();
        let frame = match is_answer {
            true => udp(SERVER, CLIENT, said.as_bytes()).via_server(),
            false => udp(CLIENT, SERVICE, said.as_bytes()).via_gateway(),
        };
        let sent = world.receive(if is_answer { LAN } else { WAN }, &frame);
        prop_assert_eq!(sent.len(), 1);
        let told = text(&sent[0].frame);
        let (from, to) = if is_answer { ("198.51.100.11", "192.0.2.100") } else { ("192.0.2.100", "198.51.100.11") };
        // Lengths apart, only these addresses are others.
        let same = |text: &str| text.replace(from, to).replace(|c: char| c.is_ascii_digit(), "");
        prop_assert_eq!(same(&told), same(&said));
    }
}

/// Servers pass on what others say, and so others' ports and hosts could be opened by it.
#[test]
fn no_well_known_port_is_opened() {
    let mut world = World::new(&plan());
    called(&mut world, CLIENT);
    assert_eq!(answer(&mut world, SERVER, CLIENT, &ok("198.51.100.11", 161)), ok("192.0.2.100", 161));
    assert_eq!((world.counters(0).expected.get(), world.expected.len()), (0, 0));
    // Nor by a client that says where its media comes from.
    let mut plan = plan();
    plan.first().method = Method::Dr;
    let mut world = World::new(&plan);
    let packet = |from: u16, to: u16, said: &str| {
        udp(&format!("203.0.113.10:{from}"), &format!("192.0.2.100:{to}"), said.as_bytes()).via_gateway()
    };
    let called = station(&world.receive(WAN, &packet(5_060, 5_060, &invite("203.0.113.10", 7_000))));
    for (port, is_expected) in [(161, false), (1_023, false), (1_024, true)] {
        let sent = station(&world.receive(WAN, &packet(7_000, port, "rtp")));
        assert_eq!(sent, called.filter(|_| is_expected), "{port}");
    }
}
