//! RTSP: what servers say of themselves, and where media goes.

use super::{
    common::{
        frame::*,
        frame6::*,
        plan::*,
        read,
        world::{Sent, Setup, World},
    },
    expect,
    segment::{self, Segment, parse},
};
use lb_core::{
    counters::DropReason,
    packet::PortId,
    service::{
        check::check,
        plan::{Method, ModuleKind, Plan},
    },
};
use proptest::prelude::*;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:554";
const SERVER: &str = "198.51.100.11:8554";
const OTHER: &str = "198.51.100.12:8554";

pub(crate) fn plan(method: Method, servers: &[&str]) -> Plan {
    let mut service = service(method, SERVICE, servers);
    service.module = ModuleKind::Rtsp;
    network().with(service)
}

/// A message of these lines.
pub(crate) fn message(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\r\n")).collect::<String>() + "\r\n"
}

/// A control connection, whose ends wait until what they have sent is acknowledged.
struct Control {
    client: String,
    server: String,
    /// The next numbers of the client's, of the server's, and of the server's as the client sees them.
    next: [u32; 3],
}

impl Control {
    fn open(world: &mut World, client: &str) -> Control {
        let syn = segment::segment((client, SERVICE), SYN, (999, 0), &[], b"").via_gateway();
        let server = world.receive(WAN, &syn)[0].destination();
        let syn = segment::segment((&server, client), SYN | ACK, (4_999, 1_000), &[], b"").via_server();
        world.receive(LAN, &syn);
        let mut control = Control { client: client.to_owned(), server, next: [1_000, 5_000, 5_000] };
        control.asks(world, "");
        control
    }

    /// What the server gets of what the client says.
    #[track_caller]
    fn asks(&mut self, world: &mut World, said: &str) -> String {
        let numbers = (self.next[0], self.next[2]);
        let ends = (self.client.as_str(), SERVICE);
        let frame = segment::segment(ends, ACK, numbers, &[], said.as_bytes()).via_gateway();
        let sent = world.receive(WAN, &frame);
        assert_eq!(sent.len(), 1);
        let got = parse(&sent[0].frame);
        assert_eq!((got.sequence, got.acknowledgement), (self.next[0], self.next[1]), "{said}");
        self.next[0] += said.len() as u32;
        got.text().to_owned()
    }

    /// One segment of the server's.
    #[track_caller]
    fn segment(&self, world: &mut World, text: &[u8]) -> Segment {
        let ends = (self.server.as_str(), self.client.as_str());
        let frame = segment::segment(ends, ACK, (self.next[1], self.next[0]), &[], text).via_server();
        let sent = world.receive(LAN, &frame);
        assert_eq!(sent.len(), 1);
        parse(&sent[0].frame)
    }

    /// What the client gets of what the server says, in segments of at most so many bytes, each repeated from where the client
    /// has acknowledged.
    #[track_caller]
    fn hears_in(&mut self, world: &mut World, said: &[u8], most: usize) -> Vec<u8> {
        let (mut at, mut heard) = (0, Vec::new());
        let mut tries = 0;
        while at < said.len() {
            let got = self.segment(world, &said[at..said.len().min(at + most)]);
            let known = usize::try_from(self.next[2].wrapping_sub(got.sequence)).unwrap();
            let new = got.payload.get(known..).unwrap_or_default();
            heard.extend_from_slice(new);
            self.next[2] += new.len() as u32;
            let ack = (self.next[0], self.next[2]);
            let frame = segment::segment((&self.client, SERVICE), ACK, ack, &[], b"").via_gateway();
            let acknowledged = parse(&world.receive(WAN, &frame)[0].frame).acknowledgement;
            at += usize::try_from(acknowledged.wrapping_sub(self.next[1])).unwrap();
            self.next[1] = acknowledged;
            tries += 1;
            assert!(tries < 20 + 8 * said.len(), "it stands still at {at}");
        }
        heard
    }

    #[track_caller]
    fn hears(&mut self, world: &mut World, said: &str) -> String {
        String::from_utf8(self.hears_in(world, said.as_bytes(), 1_400)).unwrap()
    }

    /// A session whose media waits at that port of the server.
    #[track_caller]
    fn set_up(&mut self, world: &mut World, session: &str, port: u16) -> String {
        let asked = message(&[
            "SETUP rtsp://192.0.2.100/film/track1 RTSP/1.0",
            "CSeq: 3",
            "Transport: RTP/AVP;unicast;client_port=5000-5001",
        ]);
        assert_eq!(self.asks(world, &asked), asked);
        let (address, _) = self.server.rsplit_once(':').unwrap();
        self.hears(world, &agreed(address, session, port, port + 1))
    }

    #[track_caller]
    fn plays(&mut self, world: &mut World, method: &str, session: &str) {
        let of = format!("Session: {session}");
        let line = format!("{method} rtsp://192.0.2.100/film RTSP/1.0");
        let asked = message(&[&line, "CSeq: 4", &of]);
        assert_eq!(self.asks(world, &asked), asked);
        let said = message(&["RTSP/1.0 200 OK", "CSeq: 4", &of]);
        assert_eq!(self.hears(world, &said), said);
    }
}

/// A server's answer to SETUP.
fn agreed(address: &str, session: &str, rtp: u16, rtcp: u16) -> String {
    let transport = format!(
        "Transport: RTP/AVP;unicast;destination=203.0.113.10;source={address};client_port=5000-5001;server_port={rtp}-{rtcp}"
    );
    message(&["RTSP/1.0 200 OK", "CSeq: 3", &transport, &format!("Session: {session};timeout=60")])
}

/// Where a client's datagram to a port of the VIP goes, if it goes to a server.
fn reaches(world: &mut World, from: &str, port: u16) -> Option<String> {
    let sent =
        world.receive(WAN, &udp(from, &format!("192.0.2.100:{port}"), b"\x80\xc9 media").via_gateway());
    sent.iter().find(|sent| sent.port == LAN).map(Sent::destination)
}

#[test]
fn media_goes_between_both_whoever_begins() {
    for (server_begins, workers) in [(false, 1), (true, 1), (false, 4), (true, 4)] {
        let setup = Setup { workers, ..Setup::default() };
        let mut world = World::with(&plan(Method::Nat, &[SERVER]), setup);
        let mut control = Control::open(&mut world, CLIENT);
        let told = control.set_up(&mut world, "12345678", 6_970);
        assert_eq!(told, agreed("192.0.2.100", "12345678", 6_970, 6_971));
        for (from, port) in [("203.0.113.10:5000", 6_970), ("203.0.113.10:5001", 6_971)] {
            let to_server = |world: &mut World| {
                let line = format!("lan: {from} > 198.51.100.11:{port} udp ttl 63");
                let packet = udp(from, &format!("192.0.2.100:{port}"), b"media").via_gateway();
                expect(world, WAN, &packet, &line);
            };
            let to_client = |world: &mut World| {
                let line = format!("wan: 192.0.2.100:{port} > {from} udp ttl 63");
                let packet = udp(&format!("198.51.100.11:{port}"), from, b"media").via_server();
                expect(world, LAN, &packet, &line);
            };
            let both: [&dyn Fn(&mut World); 2] = match server_begins {
                true => [&to_client, &to_server],
                false => [&to_server, &to_client],
            };
            both.iter().for_each(|goes| goes(&mut world));
        }
        assert_eq!(reaches(&mut world, "203.0.113.11:5000", 6_970), None, "another client");
        assert_eq!(reaches(&mut world, "203.0.113.10:5000", 6_972), None, "another port");
    }
}

/// What it is about, what a server says, and what of that gives way to what.
type Dialogue = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const DIALOGUES: [Dialogue; 12] = [
    (
        "urls of a description",
        &["RTSP/1.0 200 OK", "Content-Base: rtsp://198.51.100.11:8554/film/", "Content-Length: 0"],
        &[("198.51.100.11:8554", "192.0.2.100:554")],
    ),
    (
        "a name and a password",
        &["RTSP/1.0 301 Moved", "location:rtsp://me:pw@198.51.100.11:8554"],
        &[("198.51.100.11:8554", "192.0.2.100:554")],
    ),
    (
        "several urls",
        &[
            "RTSP/1.0 200 OK",
            "RTP-Info: url=rtsp://198.51.100.11:8554/a/track1;seq=1;rtptime=2,url=\"rtsp://198.51.100.11:8554/a/track2\";seq=3",
        ],
        &[("198.51.100.11:8554", "192.0.2.100:554")],
    ),
    (
        "several headers",
        &[
            "RTSP/1.0 200 OK",
            "Content-Base: rtsp://198.51.100.11:8554/",
            "Content-Location: RTSPU://198.51.100.11:8554?x",
            "Transport: RTP/AVP;source=198.51.100.11",
        ],
        &[("198.51.100.11:8554", "192.0.2.100:554"), ("198.51.100.11", "192.0.2.100")],
    ),
    ("a request of a server's", &["ANNOUNCE rtsp://198.51.100.11:8554/ RTSP/1.0", "CSeq: 1"], &[]),
    ("another port of it", &["RTSP/1.0 200 OK", "Content-Base: rtsp://198.51.100.11:9554/"], &[]),
    ("no port, which is another", &["RTSP/1.0 200 OK", "Content-Base: rtsp://198.51.100.11/"], &[]),
    ("a name", &["RTSP/1.0 200 OK", "Content-Base: rtsp://198.51.100.11.example.com:8554/"], &[]),
    (
        "no such scheme",
        &["RTSP/1.0 200 OK", "Location: http://198.51.100.11:8554/, xrtsp://198.51.100.11:8554/"],
        &[],
    ),
    ("no such header", &["RTSP/1.0 200 OK", "X: rtsp://198.51.100.11:8554/", " source=198.51.100.11"], &[]),
    (
        "interleaved and multicast",
        &[
            "RTSP/1.0 200 OK",
            "Transport: RTP/AVP/TCP;interleaved=0-1, RTP/AVP;multicast;port=6970-6971;destination=233.252.0.1",
        ],
        &[],
    ),
    (
        "nonsense",
        &[
            "RTSP/1.0 200 OK",
            "Transport",
            "Transport:",
            "Transport: =;;=;server_port=;server_port=0-1;server_port=70000;source=;source=[::1;server_port=6970-x",
        ],
        &[],
    ),
];

#[test]
fn what_names_the_server_becomes_the_vip() {
    for (name, said, replaced) in DIALOGUES {
        let said = message(said);
        let told = replaced.iter().fold(said.clone(), |told, (old, new)| told.replace(old, new));
        assert_eq!(said != told, !replaced.is_empty(), "{name}");
        let mut world = World::new(&plan(Method::Nat, &[SERVER]));
        let mut control = Control::open(&mut world, CLIENT);
        let asked = message(&["DESCRIBE rtsp://192.0.2.100/film RTSP/1.0", "CSeq: 2"]);
        assert_eq!(control.asks(&mut world, &asked), asked);
        for _ in 0..2 {
            assert_eq!(control.hears(&mut world, &said), told, "{name}");
        }
        assert_eq!(world.expected.len(), 0, "{name}");
    }
}

#[test]
fn several_texts_give_way_at_once() {
    let mut world = World::new(&plan(Method::Nat, &[SERVER]));
    let mut control = Control::open(&mut world, CLIENT);
    let said = |host: &str| {
        let urls: Vec<String> =
            (1..=6).map(|track| format!("url=rtsp://{host}/a/track{track};seq=1")).collect();
        message(&["RTSP/1.0 200 OK", &format!("RTP-Info: {}", urls.join(","))])
    };
    let (text, told) = (said("198.51.100.11:8554"), said("192.0.2.100:554"));
    for _ in 0..2 {
        assert_eq!(control.segment(&mut world, text.as_bytes()).text(), told);
    }
    assert_eq!(control.hears(&mut world, &text), told);
    assert_eq!(control.hears(&mut world, &text), told);
}

#[test]
fn a_url_without_a_port_has_that_of_rtsp() {
    for (vip_port, server_port, told) in [(554, 554, "192.0.2.100"), (8_554, 554, "192.0.2.100:8554")] {
        let (vip, server) = (format!("192.0.2.100:{vip_port}"), format!("198.51.100.11:{server_port}"));
        let mut service = service(Method::Nat, &vip, &[&server]);
        service.module = ModuleKind::Rtsp;
        let mut world = World::new(&network().with(service));
        world.receive(WAN, &segment::segment((CLIENT, &vip), SYN, (999, 0), &[], b"").via_gateway());
        let syn = segment::segment((&server, CLIENT), SYN | ACK, (4_999, 1_000), &[], b"");
        world.receive(LAN, &syn.via_server());
        let said = |host: &str| message(&["RTSP/1.0 200 OK", &format!("Content-Base: rtsp://{host}/film/")]);
        let text = said("198.51.100.11");
        let frame = segment::segment((&server, CLIENT), ACK, (5_000, 1_000), &[], text.as_bytes());
        let sent = world.receive(LAN, &frame.via_server());
        assert_eq!(parse(&sent[0].frame).text(), said(told));
    }
}

#[test]
fn however_a_message_is_cut_it_is_read() {
    let said = agreed("198.51.100.11", "abc", 6_970, 6_971)
        + &message(&["RTSP/1.0 200 OK", "RTP-Info: url=rtsp://198.51.100.11:8554/a/track1;seq=1"]);
    let told = said.replace("198.51.100.11:8554", "192.0.2.100:554").replace("198.51.100.11", "192.0.2.100");
    for most in 40..said.len() {
        let mut world = World::new(&plan(Method::Nat, &[SERVER]));
        let mut control = Control::open(&mut world, CLIENT);
        let heard = control.hears_in(&mut world, said.as_bytes(), most);
        assert_eq!(String::from_utf8(heard).unwrap(), told, "segments of {most} bytes");
        assert!(reaches(&mut world, "203.0.113.10:5001", 6_971).is_some(), "segments of {most} bytes");
    }
    // Who sends byte by byte is let through, and media is expected all the same.
    let mut world = World::new(&plan(Method::Nat, &[SERVER]));
    let mut control = Control::open(&mut world, CLIENT);
    assert_eq!(control.hears_in(&mut world, said.as_bytes(), 1), said.as_bytes());
    assert!(reaches(&mut world, "203.0.113.10:5001", 6_971).is_some());
}

#[test]
fn frames_between_messages_pass_unharmed() {
    let mut world = World::new(&plan(Method::Nat, &[SERVER]));
    let mut control = Control::open(&mut world, CLIENT);
    let trap = message(&["RTSP/1.0 200 OK", "Content-Base: rtsp://198.51.100.11:8554/"]);
    let framed = |channel: u8, content: &[u8]| {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[b'$', channel, len[0], len[1]], content].concat()
    };
    // A body of `Content-Length` bytes is skipped as well.
    let described = format!("RTSP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{trap}", trap.len());
    let parts: [(&[u8], bool); 6] = [
        (&framed(0, trap.as_bytes()), false),
        (&framed(1, b""), false),
        (trap.as_bytes(), true),
        (&framed(255, &[b'$'; 3_000]), false),
        (described.as_bytes(), false),
        (trap.as_bytes(), true),
    ];
    let said: Vec<u8> = parts.iter().flat_map(|(part, _)| part.to_vec()).collect();
    let replaced = trap.replace("198.51.100.11:8554", "192.0.2.100:554").into_bytes();
    let told: Vec<u8> = parts
        .iter()
        .flat_map(|(part, gives_way)| if *gives_way { replaced.clone() } else { part.to_vec() })
        .collect();
    for most in [1_400, 97, 331] {
        assert!(control.hears_in(&mut world, &said, most) == told, "segments of {most} bytes");
    }
    // The client's own frames.
    let frame = format!("$\u{1}\0\u{4}TEAR{}", message(&["OPTIONS * RTSP/1.0", "CSeq: 9"]));
    assert_eq!(control.asks(&mut world, &frame), frame);
    assert_eq!(control.hears(&mut world, &trap).into_bytes(), replaced);
}

#[test]
fn what_is_another_protocol_goes_on_unread() {
    let said = agreed("198.51.100.11", "abc", 6_970, 6_971);
    for begins in [
        "\u{16}\u{3}\u{1}",
        "GET /x HTTP/1.0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "RTSP/1.0 200 OK\r\nContent-Length: 65536\r\n\r\n",
        " ",
    ] {
        let mut world = World::new(&plan(Method::Nat, &[SERVER]));
        let mut control = Control::open(&mut world, CLIENT);
        let said = format!("{begins}{said}");
        assert_eq!(control.hears(&mut world, &said), said);
        assert_eq!(control.asks(&mut world, &said), said, "and what the other side says");
        assert_eq!(world.expected.len(), 0, "{begins:?}");
    }
}

#[test]
fn one_client_is_told_different_ports_for_two_servers() {
    let mut world = World::new(&plan(Method::Nat, &[SERVER, OTHER]));
    let [mut first, mut second] =
        ["203.0.113.10:4000", "203.0.113.10:4001"].map(|it| Control::open(&mut world, it));
    assert_ne!(first.server, second.server);
    assert_eq!(first.set_up(&mut world, "a", 6_970), agreed("192.0.2.100", "a", 6_970, 6_971));
    let told = second.set_up(&mut world, "b", 6_970);
    let is_it = |port: &u16| told == agreed("192.0.2.100", "b", *port, *port + 1);
    let port = (49_152..u16::MAX).step_by(2).find(is_it).expect("an even port of nobody's");
    for (by, from) in [(0, "203.0.113.10:5002"), (1, "203.0.113.10:5003")] {
        let at = |server: &str| Some(format!("{}:{}", &server[..13], 6_970 + by));
        assert_eq!(reaches(&mut world, from, 6_970 + by), at(&first.server));
        assert_eq!(reaches(&mut world, from, port + by), at(&second.server));
    }
    // It is told the same again.
    assert_eq!(second.set_up(&mut world, "b", 6_970), told);
}

#[test]
fn media_is_expected_until_the_session_ends() {
    let mut world = World::new(&plan(Method::Nat, &[SERVER]));
    let mut control = Control::open(&mut world, CLIENT);
    control.set_up(&mut world, "abc", 6_970);
    control.set_up(&mut world, "abc", 6_972);
    control.set_up(&mut world, "other", 6_974);
    // Each of the server's messages is another 180 s.
    for _ in 0..3 {
        world.pass(150_000);
        control.plays(&mut world, "GET_PARAMETER", "abc");
    }
    assert_eq!(reaches(&mut world, "203.0.113.10:5000", 6_970).as_deref(), Some("198.51.100.11:6970"));
    control.plays(&mut world, "TEARDOWN", "abc");
    assert_eq!(world.expected.len(), 4, "two of either port of the other session");
    assert_eq!(
        reaches(&mut world, "203.0.113.10:5000", 6_970).as_deref(),
        Some("198.51.100.11:6970"),
        "it flows"
    );
    assert_eq!(reaches(&mut world, "203.0.113.10:5002", 6_972), None);
    assert_eq!(reaches(&mut world, "203.0.113.10:5004", 6_975).as_deref(), Some("198.51.100.11:6975"));
    world.pass(150_000);
    control.plays(&mut world, "OPTIONS", "other");
    world.pass(179_000);
    assert!(reaches(&mut world, "203.0.113.10:5006", 6_974).is_some());
    world.pass(2_000);
    assert_eq!(reaches(&mut world, "203.0.113.10:5008", 6_974), None, "nobody has said anything for 180 s");
}

#[test]
fn media_of_other_hosts_and_of_well_known_ports_is_not_expected() {
    for transport in [
        "RTP/AVP;source=198.51.100.99;server_port=6970-6971",
        "RTP/AVP;server_port=6970-6971;source=198.51.100.99",
        "RTP/AVP;server_port=161-162",
    ] {
        let mut world = World::new(&plan(Method::Nat, &[SERVER]));
        let mut control = Control::open(&mut world, CLIENT);
        let said = message(&["RTSP/1.0 200 OK", &format!("Transport: {transport}")]);
        assert_eq!(control.hears(&mut world, &said), said);
        assert_eq!(world.expected.len(), 0, "{transport}");
        // However it is cut, and by whom.
        for most in [1, 45, 50, 60] {
            let mut world = World::new(&plan(Method::Nat, &[SERVER]));
            let mut control = Control::open(&mut world, CLIENT);
            assert_eq!(control.hears_in(&mut world, said.as_bytes(), most), said.as_bytes());
            assert_eq!(world.expected.len(), 0, "{transport}, {most} bytes at once");
        }
    }
}

#[test]
fn what_claims_to_be_a_servers_and_comes_from_outside_is_not_read() {
    let mut world = World::new(&plan(Method::Nat, &[SERVER]));
    let control = Control::open(&mut world, CLIENT);
    let said = agreed("198.51.100.11", "a", 6_970, 6_971);
    let ends = (control.server.as_str(), CLIENT);
    let frame = segment::segment(ends, ACK, (5_000, 1_000), &[], said.as_bytes()).via_gateway();
    assert!(world.receive(WAN, &frame).is_empty());
    assert_eq!((world.expected.len(), world.dropped(DropReason::WrongPort)), (0, 1));
}

#[test]
fn where_servers_answer_by_themselves_a_clients_media_goes_to_its_server() {
    for method in [Method::Tun, Method::Dr] {
        let mut world = World::new(&plan(method, &["198.51.100.11:554", "198.51.100.12:554"]));
        let go = |world: &mut World, frame: Vec<u8>| -> Option<(PortId, Vec<u8>)> {
            let sent = world.receive(WAN, &frame);
            sent.first().map(|sent| (sent.port, sent.frame[..12].to_vec()))
        };
        let say = |world: &mut World, client: &str, at: u32, text: &str| {
            let flags = if at == 999 { SYN } else { ACK };
            let frame = segment::segment((client, SERVICE), flags, (at, 5_000), &[], text.as_bytes());
            go(world, frame.via_gateway()).unwrap()
        };
        let clients = ["203.0.113.10:4000", "203.0.113.11:4000"];
        let servers = clients.map(|client| say(&mut world, client, 999, ""));
        assert_ne!(servers[0], servers[1]);
        let asked = message(&[
            "SETUP rtsp://192.0.2.100/a RTSP/1.0",
            "Transport: RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP;interleaved=0-1",
        ]);
        for (client, server) in clients.iter().zip(&servers) {
            // However it is cut.
            let (mut at, mut left) = (1_000, asked.as_str());
            while !left.is_empty() {
                let (part, rest) = left.split_at(left.len().min(7));
                assert_eq!(say(&mut world, client, at, part), *server);
                (at, left) = (at + part.len() as u32, rest);
            }
        }
        let mut at = 1_000 + asked.len() as u32;
        let media = |world: &mut World, from: &str, port: u16| {
            let datagram = udp(from, &format!("192.0.2.100:{port}"), b"media").via_gateway();
            go(world, datagram).filter(|(port, _)| *port == LAN)
        };
        for (client, server) in ["203.0.113.10", "203.0.113.11"].iter().zip(&servers) {
            for (from, to) in [(5_000, 6_970), (5_001, 6_971)] {
                assert_eq!(media(&mut world, &format!("{client}:{from}"), to).as_ref(), Some(server));
            }
            assert_eq!(media(&mut world, &format!("{client}:5002"), 6_970), None);
        }
        // It is expected as long as the client goes on, or until it ends.
        for _ in 0..2 {
            world.pass(150_000);
            let plays = message(&["PLAY rtsp://192.0.2.100/a RTSP/1.0", "Session: 1"]);
            say(&mut world, CLIENT, at, &plays);
            at += plays.len() as u32;
        }
        assert_eq!(media(&mut world, "203.0.113.10:5001", 7_001).as_ref(), Some(&servers[0]));
        assert_eq!(media(&mut world, "203.0.113.11:5001", 7_001), None, "nothing was said for so long");
        say(&mut world, CLIENT, at, &message(&["TEARDOWN rtsp://192.0.2.100/a RTSP/1.0", "Session: 1"]));
        assert_eq!(media(&mut world, "203.0.113.10:5001", 7_003), None);
    }
}

#[test]
fn addresses_of_ipv6_too() {
    let (client, vip, server) = ("[2001:db8:a::10]:4000", "[2001:db8:1::100]:554", "[2001:db8:2::11]:554");
    let mut service = service(Method::Nat, vip, &[server]);
    service.module = ModuleKind::Rtsp;
    let plan = network6().with(service);
    let answer = |said: &str| {
        let mut world = World::new(&plan);
        world.receive(WAN, &tcp6(client, vip, SYN).via_gateway());
        world.receive(LAN, &tcp6(server, client, SYN | ACK).via_server());
        // The byte ahead of it has the SYN's number.
        let text = format!(".{said}");
        let frame = tcp6_with(endpoint6(server), endpoint6(client), ACK, text.as_bytes()).via_server();
        let sent = world.receive(LAN, &frame);
        read::check_ip(read::ip_packet(&sent[0].frame).unwrap()).unwrap();
        (String::from_utf8(sent[0].frame[14 + 40 + 20 + 1..].to_vec()).unwrap(), world)
    };
    for header in
        ["Content-Base: rtsp://[HERE]:554/", "Location: rtsp://[HERE]", "Transport: RTP/AVP;source=HERE"]
    {
        let said = |address| message(&["RTSP/1.0 200 OK", &header.replace("HERE", address)]);
        assert_eq!(answer(&said("2001:db8:2::11")).0, said("2001:db8:1::100"));
    }
    let (_, mut world) = answer(&message(&["RTSP/1.0 200 OK", "Transport: RTP/AVP;server_port=6970-6971"]));
    let media = udp6("[2001:db8:a::10]:5001", "[2001:db8:1::100]:6971", b"rtcp").via_gateway();
    assert_eq!(world.receive(WAN, &media)[0].destination(), "[2001:db8:2::11]:6971");
}

#[test]
fn it_is_for_all_methods_that_show_clients() {
    for method in [Method::Nat, Method::Tun, Method::Dr] {
        check(&plan(method, &["198.51.100.11:554"]), []).unwrap();
    }
    let mut plan = plan(Method::FullNat, &[SERVER]);
    plan.first().local_addresses = vec![LOCAL.into()];
    let mistake = check(&plan, []).unwrap_err().to_string();
    assert!(
        mistake.contains("module \"rtsp\" tells no local ports") && mistake.contains("fullnat"),
        "{mistake}"
    );
}

/// Any of the words that matter, or any bytes.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "RTSP/1.0 200 OK\r\n",
        "SETUP rtsp://192.0.2.100/ RTSP/1.0\r\n",
        "TEARDOWN * RTSP/1.0\r\n",
        "Transport: ",
        "RTP/AVP;",
        "server_port=6970-6971",
        "client_port=5000-5001",
        "source=",
        "198.51.100.11",
        "198.51.100.11:8554",
        "destination=",
        "Content-Base: ",
        "RTP-Info: url=",
        "rtsp://",
        "Content-Length: 9\r\n",
        "Session: 7",
        ";",
        ",",
        "\r\n",
        "\r\n\r\n",
        "$\0\0\u{9}",
        " ",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is said, all of it arrives, and nothing in it is another than addresses.
    #[test]
    fn any_bytes_arrive(parts in prop::collection::vec(part(), 0..60), most in 1..400usize, is_asked: bool) {
        let mut world = World::new(&plan(Method::Nat, &[SERVER]));
        let mut control = Control::open(&mut world, CLIENT);
        let said = parts.concat();
        if is_asked {
            let asked = String::from_utf8_lossy(&said).into_owned();
            for part in asked.chars().collect::<Vec<_>>().chunks(most) {
                let part: String = part.iter().collect();
                prop_assert_eq!(control.asks(&mut world, &part), part);
            }
        }
        let heard = control.hears_in(&mut world, &said, most);
        let without = |bytes: &[u8]| -> String {
            let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            text.replace("198.51.100.11:8554", "").replace("192.0.2.100:554", "").replace("198.51.100.11", "").replace("192.0.2.100", "")
        };
        prop_assert_eq!(without(&heard), without(&said));
    }
}
