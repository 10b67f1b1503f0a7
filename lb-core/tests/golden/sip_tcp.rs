//! SIP over TCP: what gives way in messages of a stream, in whatever segments they come.

use super::{
    common::{frame::*, frame6::*, plan::*, world::World},
    expect,
    segment::{Segment, parse, segment},
    sip::{message, ok},
};
use lb_core::{
    counters::DropReason,
    service::plan::{Method, ModuleKind},
};
use proptest::prelude::*;

const CLIENT: &str = "203.0.113.10:5060";
const SERVICE: &str = "192.0.2.100:5060";
const SERVER: &str = "198.51.100.11:5060";
/// Bytes of a segment that fills a packet.
const FULL: usize = 1_460;

/// A connection with a server; the client's numbers begin at 1000, the server's at 5000.
fn connected() -> World {
    let mut service = service(Method::Nat, SERVICE, &[SERVER]);
    service.module = ModuleKind::Sip;
    let mut world = World::new(&network().with(service));
    world.receive(WAN, &segment((CLIENT, SERVICE), SYN, (999, 0), &[], b"").via_gateway());
    world.receive(LAN, &segment((SERVER, CLIENT), SYN | ACK, (4_999, 1_000), &[], b"").via_server());
    world.receive(WAN, &segment((CLIENT, SERVICE), ACK, (1_000, 5_000), &[], b"").via_gateway());
    world
}

/// What the client gets of a segment of the server's, if it gets anything.
fn answer(world: &mut World, at: usize, said: &[u8]) -> Option<Segment> {
    let numbers = (5_000 + at as u32, 1_000);
    let sent = world.receive(LAN, &segment((SERVER, CLIENT), ACK, numbers, &[], said).via_server());
    sent.first().map(|sent| parse(&sent.frame))
}

/// How much of what the server says has been acknowledged where the client has so much.
fn acknowledge(world: &mut World, heard: usize) -> usize {
    let numbers = (1_000, 5_000 + heard as u32);
    let sent = world.receive(WAN, &segment((CLIENT, SERVICE), ACK, numbers, &[], b"").via_gateway());
    parse(&sent[0].frame).acknowledgement as usize - 5_000
}

fn is(at: usize, payload: &str) -> Option<Segment> {
    let payload = payload.as_bytes().to_vec();
    Some(Segment { sequence: 5_000 + at as u32, acknowledgement: 1_000, payload })
}

/// A message with a description and a header that makes it so long.
fn long(address: &str, len: usize) -> String {
    let short = ok(address, 40_000);
    short.replacen("\r\n", &format!("\r\nX: {}\r\n", "x".repeat(len - short.len() - 5)), 1)
}

#[test]
fn what_names_the_server_becomes_the_vip() {
    let mut world = connected();
    let (said, told) = (ok("198.51.100.11", 40_000), ok("192.0.2.100", 40_000));
    assert_ne!(said.len(), told.len());
    assert_eq!(answer(&mut world, 0, said.as_bytes()), is(0, &told));
    assert_eq!(answer(&mut world, 0, said.as_bytes()), is(0, &told), "again");
    assert_eq!(world.counters(0).expected.get(), 2, "media, and reports about it");
    // Before and after it has been acknowledged, what follows is where it belongs.
    assert_eq!(answer(&mut world, said.len(), said.as_bytes()), is(told.len(), &told));
    assert_eq!(acknowledge(&mut world, told.len()), said.len());
    assert_eq!(answer(&mut world, said.len(), said.as_bytes()), is(told.len(), &told));
    assert_eq!(acknowledge(&mut world, 2 * told.len()), 2 * said.len());
    let media = udp("203.0.113.10:7000", "192.0.2.100:40000", b"rtp").via_gateway();
    expect(&mut world, WAN, &media, "lan: 203.0.113.10:7000 > 198.51.100.11:40000 udp ttl 63");
}

#[test]
fn what_names_the_vip_becomes_the_server() {
    let mut world = connected();
    let asked = |address: &str| {
        let request = format!("BYE sip:bob@{address}:5060 SIP/2.0");
        message(&[&request, &format!("Route: <sip:{address};lr>"), "To: <sip:bob@192.0.2.100>"], &[])
    };
    let (said, told) = (asked("192.0.2.100"), asked("198.51.100.11"));
    // Two of them, and the beginning of another.
    let all = format!("{said}\r\n\r\n{said}BYE sip:b");
    let sent = world
        .receive(WAN, &segment((CLIENT, SERVICE), ACK, (1_000, 5_000), &[], all.as_bytes()).via_gateway());
    assert_eq!(parse(&sent[0].frame).text(), format!("{told}\r\n\r\n{told}"));
    let numbers = (5_000, 1_000 + 2 * told.len() as u32 + 4);
    let sent = world.receive(LAN, &segment((SERVER, CLIENT), ACK, numbers, &[], b"").via_server());
    let acknowledged = 1_000 + 2 * said.len() as u32 + 4;
    assert_eq!(parse(&sent[0].frame).acknowledgement, acknowledged);
    let sent = world.receive(
        WAN,
        &segment((CLIENT, SERVICE), ACK, (acknowledged, 5_000), &[], said.as_bytes()).via_gateway(),
    );
    assert_eq!(
        parse(&sent[0].frame),
        Segment { sequence: numbers.1, acknowledgement: 5_000, payload: told.into_bytes() }
    );
}

#[test]
fn what_has_not_come_whole_is_held_back() {
    let mut world = connected();
    let (said, told) = (long("198.51.100.11", 1_500), long("192.0.2.100", 1_494));
    let before = |text: &str| text.find("Content-Length").unwrap();
    // The lines before it pass, with the VIP in them.
    assert_eq!(answer(&mut world, 0, &said.as_bytes()[..FULL]), is(0, &told[..before(&told)]));
    assert_eq!(answer(&mut world, FULL, &said.as_bytes()[FULL..]), None);
    assert_eq!(world.dropped(DropReason::OutOfOrder), 1);
    assert_eq!(acknowledge(&mut world, before(&told)), before(&said));
    let rest = &said.as_bytes()[before(&said)..];
    assert_eq!(answer(&mut world, before(&said), rest), is(before(&told), &told[before(&told)..]));
    assert_eq!(acknowledge(&mut world, told.len()), said.len());
    assert_eq!(world.counters(0).expected.get(), 2);
    assert_eq!(world.counters(0).expected_lost.get(), 0);
}

/// A description that no segment has room for goes on as it is, and the director says so.
#[test]
fn what_never_comes_whole_passes_as_it_is() {
    let mut world = connected();
    let line = format!("a=x:{}\r\n", "x".repeat(200));
    let body = format!("v=0\r\nc=IN IP4 198.51.100.11\r\nm=audio 40000 RTP/AVP 0\r\n{}", line.repeat(10));
    let head =
        format!("SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n", body.len());
    let contact = |address: &str| format!("Contact: <sip:bob@{address}:5060>\r\n\r\n");
    let said = format!("{head}{}{body}", contact("198.51.100.11"));
    let told = format!("{head}{}{body}", contact("192.0.2.100"));
    let held = said.find("Content-Length").unwrap();
    let part = |at: usize| &said.as_bytes()[at..said.len().min(at + FULL)];
    assert_eq!(answer(&mut world, 0, part(0)), is(0, &said[..held]));
    assert_eq!(acknowledge(&mut world, held), held);
    assert_eq!(answer(&mut world, held, part(held)), is(held, ""));
    assert_eq!(answer(&mut world, held, part(held)), is(held, ""));
    assert_eq!(world.counters(0).expected_lost.get(), 0);
    assert_eq!(answer(&mut world, held, part(held)), is(held, &told[held..held + FULL - 2]));
    assert_eq!(world.counters(0).expected_lost.get(), 1);
    assert_eq!(world.counters(0).expected.get(), 2, "the server may be reached all the same");
    let at = held + FULL;
    assert_eq!(acknowledge(&mut world, at - 2), at);
    // What follows is a message again.
    let both = [part(at), ok("198.51.100.11", 40_000).as_bytes()].concat();
    let wanted = format!("{}{}", &told[at - 2..], ok("192.0.2.100", 40_000));
    assert_eq!(answer(&mut world, at, &both), is(at - 2, &wanted));
}

/// The server is not reached at ports that another host has media at.
#[test]
fn media_of_another_host_is_not_expected_where_a_description_passes_as_it_is() {
    let line = format!("a=x:{}\r\n", "x".repeat(200));
    for (session, medium, expected) in [
        ("203.0.113.99", "", 0),
        ("203.0.113.99", "c=IN IP4 203.0.113.98\r\n", 0),
        ("203.0.113.99", "c=IN IP4 198.51.100.11\r\n", 2),
        ("192.0.2.100", "", 2),
    ] {
        let mut world = connected();
        let body =
            format!("v=0\r\nc=IN IP4 {session}\r\nm=audio 40000 RTP/AVP 0\r\n{medium}{}", line.repeat(10));
        let head = "SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\n";
        let said = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        answer(&mut world, 0, &said.as_bytes()[..FULL]);
        let held = said.find("Content-Length").unwrap();
        acknowledge(&mut world, held);
        for _ in 0..3 {
            answer(&mut world, held, &said.as_bytes()[held..held + FULL]);
        }
        let at = held + FULL;
        acknowledge(&mut world, at);
        assert!(answer(&mut world, at, &said.as_bytes()[at..]).is_some());
        assert_eq!(world.counters(0).expected.get(), expected, "{session} {medium}");
    }
}

/// More than there is room for in front of a packet.
#[test]
fn what_grows_by_much_goes_in_two() {
    let vip = "2001:db8:1111:2222:3333:4444:5555:6666";
    let (client, server) = ("[2001:db8:a::10]:5060", "[2001:db8:2::11]:5060");
    let mut service = service(Method::Nat, &format!("[{vip}]:5060"), &[server]);
    service.module = ModuleKind::Sip;
    let mut world = World::new(&network6().with(service));
    world.receive(WAN, &tcp6(client, &format!("[{vip}]:5060"), SYN).via_gateway());
    world.receive(LAN, &tcp6(server, client, SYN | ACK).via_server());
    let message = |address: &str| {
        let route = format!("Record-Route: <sip:[{address}];lr>");
        message(&["SIP/2.0 200 OK", &route, &route, &route, &route, &route, &route, &route], &[])
    };
    // The byte ahead of it has the SYN's number.
    let (said, told) = (format!(".{}", message("2001:db8:2::11")), format!(".{}", message(vip)));
    let frame = tcp6_with(endpoint6(server), endpoint6(client), ACK, said.as_bytes()).via_server();
    let sent = world.receive(LAN, &frame);
    let part = parse(&sent[0].frame).text().to_owned();
    assert!(told.starts_with(&part) && part.matches(vip).count() > 2, "{part}");
    assert_eq!(world.dropped(DropReason::NoHeadroom), 0);
}

#[test]
fn what_grows_beyond_a_packet_goes_in_two() {
    let mut world = connected();
    let asked = |address: &str| format!("BYE sip:bob@{address} SIP/2.0\r\nX: {}\r\n", "x".repeat(FULL - 38));
    let (said, told) = (asked("192.0.2.100"), asked("198.51.100.11"));
    assert_eq!((said.len(), told.len()), (FULL, FULL + 2));
    let numbers = (1_000, 5_000);
    let sent =
        world.receive(WAN, &segment((CLIENT, SERVICE), ACK, numbers, &[], said.as_bytes()).via_gateway());
    assert_eq!(parse(&sent[0].frame).text(), &told[..FULL]);
    let numbers = (5_000, 1_000 + FULL as u32);
    let sent = world.receive(LAN, &segment((SERVER, CLIENT), ACK, numbers, &[], b"").via_server());
    assert_eq!(parse(&sent[0].frame).acknowledgement, 1_000 + FULL as u32 - 2);
}

/// More texts than are remembered: the message after them waits until they have come.
#[test]
fn several_messages_are_replaced_as_far_as_there_is_room() {
    let mut world = connected();
    let one = |address: &str| {
        ok(address, 40_000).replacen("\r\n", &format!("\r\nRecord-Route: <sip:{address};lr>\r\n"), 1)
    };
    let (said, told) = (one("198.51.100.11"), one("192.0.2.100"));
    let got = answer(&mut world, 0, said.repeat(4).as_bytes());
    assert_eq!(got, is(0, &told.repeat(3)), "five texts of each, and sixteen are remembered");
    assert_eq!(acknowledge(&mut world, 3 * told.len()), 3 * said.len());
    assert_eq!(answer(&mut world, 3 * said.len(), said.as_bytes()), is(3 * told.len(), &told));
    assert_eq!(world.counters(0).expected_lost.get(), 0);
}

/// Servers that answer by themselves are told what their clients say, and media from there is theirs.
#[test]
fn where_servers_answer_by_themselves_media_is_expected_and_nothing_is_replaced() {
    let mut service = service(Method::Dr, SERVICE, &[SERVER]);
    service.module = ModuleKind::Sip;
    let mut world = World::new(&network().with(service));
    world.receive(WAN, &segment((CLIENT, SERVICE), SYN, (999, 0), &[], b"").via_gateway());
    let said = message(
        &["INVITE sip:bob@192.0.2.100 SIP/2.0"],
        &["v=0", "c=IN IP4 203.0.113.10", "m=audio 7000 RTP/AVP 0", "a=x"],
    );
    // However it is cut.
    let (mut at, mut heard) = (0, String::new());
    for len in [1, 100, 30, 7, said.len()] {
        let end = said.len().min(at + len);
        let numbers = (1_000 + at as u32, 5_000);
        let part = segment((CLIENT, SERVICE), ACK, numbers, &[], &said.as_bytes()[at..end]);
        let sent = world.receive(WAN, &part.via_gateway());
        let got = parse(&sent[0].frame);
        assert_eq!(got.sequence, numbers.0);
        heard.push_str(got.text());
        at = end;
    }
    assert_eq!(heard, said);
    assert_eq!(world.counters(0).expected.get(), 2);
    let media = udp("203.0.113.10:7000", "192.0.2.100:40000", b"rtp").via_gateway();
    expect(&mut world, WAN, &media, "lan: 203.0.113.10:7000 > 192.0.2.100:40000 udp ttl 63");
}

#[test]
fn what_is_encrypted_or_no_message_passes_as_it_is() {
    for said in [
        &b"\x16\x03\x01\x00\x05SIP/2.0 200 OK\r\nContact: <sip:198.51.100.11:5060>\r\n"[..],
        b"\x00\x01\x02",
        b"\r\n",
    ] {
        let mut world = connected();
        assert_eq!(answer(&mut world, 0, said).unwrap().payload, said);
        assert_eq!(world.counters(0).rewritten.get(), 0);
    }
}

/// Messages by what they say before their body, Content-Length apart, and by their body: as long as they say.
fn read(mut text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while let Some(end) = text.find("\r\n\r\n") {
        let (head, rest) = text.split_at(end + 4);
        let is_length = |line: &&str| line.starts_with("Content-Length: ");
        let len: usize = head.lines().find(is_length).map_or(0, |line| line[16..].parse().unwrap());
        let (body, next) = rest.split_at(len);
        let others = head.lines().filter(|line| !is_length(line)).map(|line| format!("{line}\n"));
        all.push((others.collect(), body.to_owned()));
        text = next;
    }
    assert_eq!(text, "");
    all
}

/// A message of any kind, from one that has this address.
fn any_message() -> impl Strategy<Value = String> {
    let bodies = prop_oneof![
        Just(String::new()),
        Just("c=IN IP4 198.51.100.11\r\nm=audio 40000 RTP/AVP 0\r\n".to_owned()),
        Just(
            "o=- 1 1 IN IP4 198.51.100.11\r\nc=IN IP4 198.51.100.11\r\nm=audio 40002 RTP/AVP 0\r\na=x"
                .to_owned()
        ),
        Just("198.51.100.11\r\n\r\nSIP/2.0 200 OK\r\n".to_owned()),
    ];
    let is_sdp = |body: &str| body.contains("c=");
    (bodies, any::<bool>(), 0..200usize, any::<bool>()).prop_map(move |(body, names, padding, first)| {
        let contact = if names { "Contact: <sip:b@198.51.100.11:5060>\r\n" } else { "" };
        let kind = if is_sdp(&body) { "application/sdp" } else { "text/plain" };
        let (kind, len) = (format!("c: {kind}\r\n"), format!("Content-Length: {}\r\n", body.len()));
        let both = if first { format!("{kind}{len}") } else { format!("{len}{kind}") };
        format!("SIP/2.0 200 OK\r\n{contact}X: {}\r\n{both}{contact}\r\n{body}", "x".repeat(padding))
    })
}

proptest! {
    /// However a server's bytes are cut and lost, the client gets messages that are as long as they say, with the VIP where
    /// the server was named; and all of them where no segment has been too short.
    #[test]
    fn each_message_arrives_as_long_as_it_says(
        messages in prop::collection::vec(any_message(), 1..6),
        events in prop::collection::vec((any::<u8>(), 1..400usize, prop::bool::weighted(0.2)), 0..60),
        len in 1..FULL,
    ) {
        let said = messages.concat();
        let (mut world, mut heard) = (connected(), Vec::new());
        let (mut sent, mut acknowledged) = (0, 0);
        let mut events = events.into_iter();
        let mut patience = 4 * said.len() + 50;
        let mut is_short = len < 900;
        while acknowledged < said.len() {
            patience -= 1;
            prop_assert!(patience > 0, "stands still at {}", acknowledged);
            let (place, len, is_lost) = events.next().map_or((0, len, false), |event| { is_short = true; event });
            let start = acknowledged + (sent - acknowledged) * usize::from(place) / 255;
            let end = said.len().min(start + len);
            sent = sent.max(end);
            let Some(got) = answer(&mut world, start, &said.as_bytes()[start..end]).filter(|_| !is_lost) else { continue };
            let begins = got.sequence.wrapping_sub(5_000).cast_signed();
            for (at, byte) in got.payload.iter().enumerate() {
                match usize::try_from(begins + at as i32) {
                    Ok(place) if place < heard.len() => prop_assert_eq!(heard[place], *byte, "the same again"),
                    Ok(place) if place == heard.len() => heard.push(*byte),
                    _ => {}
                }
            }
            let now = acknowledge(&mut world, heard.len());
            prop_assert!((acknowledged..=sent).contains(&now), "{} acknowledged", now);
            acknowledged = now;
        }
        let heard = String::from_utf8(heard).unwrap();
        let same = |all: &[(String, String)]| -> Vec<(String, String)> {
            all.iter().map(|(head, body)| (head.replace("198.51.100.11", "192.0.2.100"), body.replace("198.51.100.11", "192.0.2.100"))).collect()
        };
        prop_assert_eq!(same(&read(&heard)), same(&read(&said)));
        if !is_short {
            prop_assert!(world.counters(0).expected_lost.get() == 0);
            for (head, body) in read(&heard) {
                prop_assert!(!head.contains("198.51.100.11"), "{}", head);
                prop_assert!(!body.contains("c=") || !body.contains("198.51.100.11"), "{}", body);
            }
        }
    }
}
