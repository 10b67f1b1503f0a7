//! What RFC 5508 asks of a NAT about ICMP errors, REQ-3 to REQ-8, as a table: under NAT and FullNAT, in both families. The
//! realm of servers is its private one, that of clients the external one. REQ-1 and REQ-2 are about pings through a NAT;
//! a director answers those to its VIPs itself.

use super::{
    common::{frame::*, frame6::*, plan::*, read, world::World},
    dump,
};
use etherparse::{Icmpv4Type, Icmpv6Type};
use lb_core::{
    conn::entry::Direction,
    counters::DropReason,
    family::{V4, V6},
    packet::PortId,
    service::plan::{Mac, Method},
};
use std::net::IpAddr;

/// A requirement, in its own words, and its test.
type Row = (&'static str, &'static str, fn(Case));

const TABLE: [Row; 17] = [
    ("REQ-3", "an error whose ICMP checksum is wrong is silently dropped", wrong_checksum),
    // a) has errors dropped whose embedded IP checksum is wrong. It is a SHOULD, and IPVS and Linux do not: routers that
    // change what they quote would have their reports of a path MTU lost. What is wrong stays as wrong as it is.
    ("REQ-3 a", "what is wrong in the embedded header's checksum stays visible", wrong_embedded_checksum),
    ("REQ-3 b", "options of the embedded packet are traversed to its ports", embedded_options),
    ("REQ-3 c", "the embedded transport checksum is not validated", wrong_embedded_transport_checksum),
    ("REQ-3 d", "extensions behind the embedded packet are left as they are", extensions),
    ("REQ-4", "from clients' side, without a mapping: silently dropped", unknown_from_clients),
    ("REQ-4 a", "from clients' side: the embedded packet is the server's own", quoted_to_server),
    ("REQ-4 b", "from clients' side: type and code stay", codes_to_server),
    ("REQ-4 c", "from clients' side: the destination is the embedded packet's source", ends_to_server),
    ("REQ-5", "from servers' side, without a mapping: silently dropped", unknown_from_servers),
    ("REQ-5 a", "from servers' side: the embedded packet is the client's own", quoted_to_client),
    ("REQ-5 b", "from servers' side: type and code stay", codes_to_client),
    ("REQ-5 c", "from servers' side: the destination is the embedded packet's source", ends_to_client),
    ("REQ-5 d", "from servers' side, and routers there: the source is the VIP", source_to_client),
    ("REQ-6", "an error neither refreshes nor deletes what it is about", session_stays),
    ("REQ-7", "an error between two hosts on servers' side gets from one to the other", hairpin),
    // The code is that of a closed port, not 13: what clients try next depends on it.
    ("REQ-8", "a flow that cannot be set up is refused and dropped", refused),
];

#[test]
fn each_requirement_is_met() {
    for (requirement, text, test) in TABLE {
        for method in [Method::Nat, Method::FullNat] {
            for is_ipv6 in [false, true] {
                println!("{requirement}, {method}, {}: {text}", if is_ipv6 { "IPv6" } else { "IPv4" });
                test(Case { method, is_ipv6 });
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    method: Method,
    is_ipv6: bool,
}

/// Where an error comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Clients,
    Servers,
}

/// A director with an open connection, and what its server knows the client by.
struct Connected {
    case: Case,
    world: World,
    seen: String,
}

/// The types and codes of errors that there are, but for those that say something in the rest of the header.
const CODES: [(u8, u8); 10] =
    [(3, 0), (3, 1), (3, 2), (3, 3), (3, 9), (3, 10), (3, 13), (11, 0), (11, 1), (12, 0)];
const CODES6: [(u8, u8); 8] = [(1, 0), (1, 1), (1, 3), (1, 4), (1, 5), (3, 0), (3, 1), (4, 1)];

impl Case {
    fn pick<T>(self, v4: T, v6: T) -> T {
        if self.is_ipv6 { v6 } else { v4 }
    }

    fn client(self) -> &'static str {
        self.pick("203.0.113.10:4000", "[2001:db8:a::10]:4000")
    }

    fn service(self) -> &'static str {
        self.pick("192.0.2.100:80", "[2001:db8:1::100]:80")
    }

    fn server(self) -> &'static str {
        self.pick("198.51.100.11:8080", "[2001:db8:2::11]:8080")
    }

    /// A router somewhere between the director and clients, and one between it and servers.
    fn router(self, side: Side) -> IpAddr {
        match side {
            Side::Clients => self.pick("198.18.0.1", "2001:db8:ff::1"),
            Side::Servers => self.pick("198.51.100.9", "2001:db8:2::9"),
        }
        .parse()
        .unwrap()
    }

    fn tcp(self, from: &str, to: &str, flags: u8) -> Vec<u8> {
        if self.is_ipv6 { tcp6(from, to, flags).bytes() } else { tcp(from, to, flags).bytes() }
    }

    fn error(self, from: IpAddr, to: IpAddr, (kind, code): (u8, u8), quote: &[u8]) -> Vec<u8> {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let kind = Icmpv4Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: [0; 4] };
                icmp(from, to, kind, quote).bytes()
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let kind = Icmpv6Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: [0; 4] };
                icmp6(from, to, kind, quote).bytes()
            }
            _ => unreachable!("both of one family"),
        }
    }

    fn frame(self, side: Side, packet: &[u8]) -> (PortId, Vec<u8>) {
        let (port, to, from): (_, Mac, Mac) = match side {
            Side::Clients => (WAN, WAN_MAC, GATEWAY_MAC),
            Side::Servers => (LAN, LAN_MAC, SERVER_MACS[0]),
        };
        (port, ethernet(to, from, self.pick(0x0800, 0x86dd), packet))
    }

    fn port_unreachable(self) -> (u8, u8) {
        self.pick((3, 3), (1, 4))
    }

    /// Bytes of a frame in front of an ICMP message.
    fn message_at(self) -> usize {
        14 + self.pick(20, 40)
    }

    fn connect(self) -> Connected {
        let plan = if self.is_ipv6 { one_server6(self.method) } else { one_server(self.method) };
        self.connect_to(World::new(&plan), self.client(), Side::Clients)
    }

    fn connect_to(self, mut world: World, client: &str, side: Side) -> Connected {
        let (port, frame) = self.frame(side, &self.tcp(client, self.service(), SYN));
        let sent = world.receive(port, &frame).remove(0);
        let seen = sent.source();
        Connected { case: self, world, seen }
    }
}

fn address(endpoint: &str) -> IpAddr {
    endpoint.parse::<std::net::SocketAddr>().unwrap().ip()
}

impl Connected {
    /// An error of a router on one side, about the packet that it saw there.
    fn about(&self, side: Side, code: (u8, u8), quote: &[u8]) -> Vec<u8> {
        let to = match side {
            Side::Clients => address(self.case.service()),
            Side::Servers => address(&self.seen),
        };
        self.case.error(self.case.router(side), to, code, quote)
    }

    /// What was sent to that side, as it is seen there.
    fn sent_to(&self, side: Side) -> Vec<u8> {
        match side {
            Side::Clients => self.case.tcp(self.case.service(), self.case.client(), SYN | ACK),
            Side::Servers => self.case.tcp(&self.seen, self.case.server(), SYN),
        }
    }

    /// The same packet as its sender made it.
    fn as_sent(&self, side: Side) -> Vec<u8> {
        match side {
            Side::Clients => self.case.tcp(self.case.server(), &self.seen, SYN | ACK),
            Side::Servers => self.case.tcp(self.case.client(), self.case.service(), SYN),
        }
    }

    fn receive(&mut self, side: Side, packet: &[u8]) -> Vec<Vec<u8>> {
        let (port, frame) = self.case.frame(side, packet);
        self.world.receive(port, &frame).into_iter().map(|sent| sent.frame).collect()
    }

    /// An error goes through, and is right in every checksum that can be checked.
    #[track_caller]
    fn passes(&mut self, side: Side, packet: &[u8]) -> Vec<u8> {
        let sent = self.receive(side, packet);
        assert_eq!(sent.len(), 1, "{:?} {side:?}", self.case);
        read::line(&sent[0]);
        sent.into_iter().next().unwrap()
    }

    /// An error ends here for a reason, and nobody hears of it.
    #[track_caller]
    fn is_dropped(&mut self, side: Side, packet: &[u8], reason: DropReason) {
        let before = self.world.dropped(reason);
        assert!(self.receive(side, packet).is_empty(), "{:?} {side:?}", self.case);
        assert_eq!(self.world.dropped(reason), before + 1, "{:?} {side:?}", self.case);
    }

    /// What an error that went through quotes.
    fn quote<'a>(&self, sent: &'a [u8]) -> &'a [u8] {
        &sent[self.case.message_at() + 8..]
    }
}

const SIDES: [Side; 2] = [Side::Clients, Side::Servers];

fn wrong_checksum(case: Case) {
    for side in SIDES {
        let mut it = case.connect();
        let mut error = it.about(side, case.port_unreachable(), &it.sent_to(side));
        error[case.message_at() - 14 + 2] ^= 1;
        it.is_dropped(side, &error, DropReason::BadL4Checksum);
    }
}

fn wrong_embedded_checksum(case: Case) {
    if case.is_ipv6 {
        // Its header has none.
        return;
    }
    for side in SIDES {
        let mut it = case.connect();
        let mut quote = it.sent_to(side);
        quote[10] ^= 1;
        let error = it.about(side, case.port_unreachable(), &quote);
        let sent = it.receive(side, &error).remove(0);
        assert!(read::check_ipv4(it.quote(&sent)).is_err(), "{case:?} {side:?}");
    }
}

fn embedded_options(case: Case) {
    for side in SIDES {
        let mut it = case.connect();
        let with_options = |packet: Vec<u8>| {
            if case.is_ipv6 {
                // Destination options of eight bytes.
                let mut packet = [&packet[..40], &[6, 0, 1, 4, 0, 0, 0, 0], &packet[40..]].concat();
                packet[6] = 60;
                packet[5] += 8;
                packet
            } else {
                let (header, rest) = etherparse::Ipv4Header::from_slice(&packet).unwrap();
                Ip { header, payload: rest.to_vec() }.options(&[1, 1, 1, 0]).bytes()
            }
        };
        let error = it.about(side, case.port_unreachable(), &with_options(it.sent_to(side)));
        let sent = it.passes(side, &error);
        assert_eq!(it.quote(&sent), with_options(it.as_sent(side)), "{case:?} {side:?}");
    }
}

fn wrong_embedded_transport_checksum(case: Case) {
    for side in SIDES {
        let mut it = case.connect();
        let mut quote = it.sent_to(side);
        let at = case.pick(20, 40) + 16;
        quote[at] ^= 0x55;
        let error = it.about(side, case.port_unreachable(), &quote);
        let (port, frame) = case.frame(side, &error);
        assert_eq!(it.world.receive(port, &frame).len(), 1, "{case:?} {side:?}");
    }
}

/// RFC 4884: zeros up to 128 bytes, then a structure with a checksum of its own, which no address is in.
fn extensions(case: Case) {
    for side in SIDES {
        let mut it = case.connect();
        let mut quote = it.sent_to(side);
        quote.resize(128, 0);
        let extension = [0x20, 0, 0xdc, 0xf7, 0, 8, 1, 1, 0, 1, 0x41, 0xff];
        quote.extend(extension);
        let error = it.about(side, case.port_unreachable(), &quote);
        let sent = it.receive(side, &error).remove(0);
        assert_eq!(sent.len(), case.message_at() + 8 + 128 + extension.len());
        assert!(sent.ends_with(&extension), "{case:?} {side:?}: {:?}", dump(&sent));
        let packet = it.as_sent(side);
        assert_eq!(it.quote(&sent)[..packet.len()], packet, "{case:?} {side:?}");
    }
}

fn unknown(case: Case, side: Side) {
    let mut it = case.connect();
    let stranger = case.pick("203.0.113.77:4000", "[2001:db8:a::77]:4000");
    let quote = match side {
        Side::Clients => case.tcp(case.service(), stranger, SYN | ACK),
        Side::Servers => case.tcp(&it.seen, case.pick("198.51.100.12:8080", "[2001:db8:2::12]:8080"), SYN),
    };
    let error = it.about(side, case.port_unreachable(), &quote);
    it.is_dropped(side, &error, DropReason::IcmpUnrelated);
}

fn unknown_from_clients(case: Case) {
    unknown(case, Side::Clients);
}

fn unknown_from_servers(case: Case) {
    unknown(case, Side::Servers);
}

fn quoted(case: Case, side: Side) {
    let mut it = case.connect();
    let error = it.about(side, case.port_unreachable(), &it.sent_to(side));
    let sent = it.passes(side, &error);
    assert_eq!(it.quote(&sent), it.as_sent(side), "{case:?} {side:?}");
}

fn quoted_to_server(case: Case) {
    quoted(case, Side::Clients);
}

fn quoted_to_client(case: Case) {
    quoted(case, Side::Servers);
}

fn codes(case: Case, side: Side) {
    let all: &[_] = if case.is_ipv6 { &CODES6 } else { &CODES };
    for code in all {
        let mut it = case.connect();
        let error = it.about(side, *code, &it.sent_to(side));
        let sent = it.receive(side, &error);
        let at = case.message_at();
        assert_eq!(sent.first().map(|sent| (sent[at], sent[at + 1])), Some(*code), "{case:?} {side:?}");
    }
}

fn codes_to_server(case: Case) {
    codes(case, Side::Clients);
}

fn codes_to_client(case: Case) {
    codes(case, Side::Servers);
}

/// Source and destination of an error that went through.
fn ends(case: Case, side: Side) -> (IpAddr, IpAddr) {
    let mut it = case.connect();
    let error = it.about(side, case.port_unreachable(), &it.sent_to(side));
    let sent = it.passes(side, &error);
    let address = |at: usize| -> IpAddr {
        match case.is_ipv6 {
            false => IpAddr::from(*sent[14 + 12 + at * 4..].first_chunk::<4>().unwrap()),
            true => IpAddr::from(*sent[14 + 8 + at * 16..].first_chunk::<16>().unwrap()),
        }
    };
    (address(0), address(1))
}

fn ends_to_server(case: Case) {
    assert_eq!(ends(case, Side::Clients).1, address(case.server()), "{case:?}");
}

fn ends_to_client(case: Case) {
    assert_eq!(ends(case, Side::Servers).1, address(case.client()), "{case:?}");
}

fn source_to_client(case: Case) {
    assert_eq!(ends(case, Side::Servers).0, address(case.service()), "{case:?}");
}

fn session_stays(case: Case) {
    let all: &[_] = if case.is_ipv6 { &CODES6 } else { &CODES };
    for side in SIDES {
        let mut it = case.connect();
        let known = |world: &World| {
            let v4 = world.workers[0].connections::<V4>().iter(0..u32::MAX);
            let v4 = v4.map(|(_, it)| (it.state, it.seen, it.packets(Direction::In)));
            let v6 = world.workers[0].connections::<V6>().iter(0..u32::MAX);
            let v6 = v6.map(|(_, it)| (it.state, it.seen, it.packets(Direction::In)));
            v4.chain(v6).collect::<Vec<_>>()
        };
        let before = known(&it.world);
        assert_eq!(before.len(), 1);
        for code in all {
            it.world.pass(200);
            let error = it.about(side, *code, &it.sent_to(side));
            it.receive(side, &error);
            assert_eq!(known(&it.world), before, "{case:?} {side:?} {code:?}");
        }
    }
}

/// The second server is a client of the first one's service.
fn hairpin(case: Case) {
    let plan = if case.is_ipv6 { one_server6(case.method) } else { one_server(case.method) };
    let client = case.pick("198.51.100.12:4000", "[2001:db8:2::12]:4000");
    let mut it = case.connect_to(World::new(&plan), client, Side::Servers);
    let quote = case.tcp(&it.seen, case.server(), SYN);
    let error = it.about(Side::Servers, case.port_unreachable(), &quote);
    let sent = it.passes(Side::Servers, &error);
    assert_eq!(it.quote(&sent), case.tcp(client, case.service(), SYN), "{case:?}");
    let line = read::line(&sent);
    let vip = address(case.service());
    assert!(line.starts_with(&format!("{vip} > {} ", address(client))), "{case:?}: {line}");
}

fn refused(case: Case) {
    let mut plan = if case.is_ipv6 { one_server6(case.method) } else { one_server(case.method) };
    plan.first().servers[0].weight = 0;
    let mut world = World::new(&plan.udp());
    let packet = if case.is_ipv6 {
        udp6(case.client(), case.service(), b"?").bytes()
    } else {
        udp(case.client(), case.service(), b"?").bytes()
    };
    let (port, frame) = case.frame(Side::Clients, &packet);
    let line = world.lines(port, &frame).remove(0);
    assert!(line.starts_with("wan: ") && line.contains("port unreachable"), "{case:?}: {line}");
    assert_eq!(world.counters(0).created.get(), 0, "{case:?}");
}
