//! What RFC 4787 asks of a NAT about errors and fragments, REQ-12 to REQ-14, and for how long it remembers, REQ-5 and REQ-6,
//! and RFC 5382 of one about TCP, REQ-2, REQ-4 and REQ-10, as a table under NAT, FullNAT and SNAT, in both families. The
//! realm of servers is the private one, as in [`rfc5508`](super::rfc5508). Who begins is outside under NAT and FullNAT, and
//! a server under SNAT.

use super::common::{
    fragments::{assemble, even, frame},
    frame::*,
    frame6::*,
    plan::*,
    read,
    world::{Sent, World},
};
use etherparse::{Icmpv4Type, Icmpv6Type};
use lb_core::{
    counters::DropReason,
    packet::PortId,
    service::plan::{Method, Plan},
    time::Duration,
};
use std::net::{IpAddr, SocketAddr};

/// A requirement, in its own words, and its test.
type Row = (&'static str, &'static str, fn(Case));

const TABLE: [Row; 10] = [
    // Mappings are by address and port of both ends, which REQ-1 would have otherwise: it is about peers that are told of
    // an endpoint by others, and those of servers are not.
    ("RFC 4787 REQ-5", "a mapping does not expire in less than two minutes", lasts),
    ("RFC 4787 REQ-6", "what goes outward refreshes the mapping", is_refreshed),
    ("RFC 4787 REQ-12", "no ICMP message terminates the mapping", udp_outlives_errors),
    ("RFC 4787 REQ-13", "what is too big and may not be fragmented is reported", too_big),
    ("RFC 4787 REQ-13 a", "what is too big and may be fragmented goes on in order", fragmented),
    ("RFC 4787 REQ-14", "fragments in order are translated", in_order),
    ("RFC 4787 REQ-14 a", "fragments out of order are translated", out_of_order),
    ("RFC 5382 REQ-2", "both ends may open at once", opened_by_both),
    // It is about both ends opening at once. A server never opens from a VIP, so a SYN to a port of a VIP is a client's, and
    // its refusal need not wait. What only servers may send to, a local address, stays silent, as does what servers have
    // asked from.
    ("RFC 5382 REQ-4", "an unsolicited SYN from outside to a mapping is not answered", unsolicited_syn),
    ("RFC 5382 REQ-10", "no ICMP message terminates the connection", tcp_outlives_errors),
];

#[test]
fn each_requirement_is_met() {
    for (requirement, text, test) in TABLE {
        for method in [Method::Nat, Method::FullNat, Method::Snat] {
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

impl Case {
    fn pick<T>(self, v4: T, v6: T) -> T {
        if self.is_ipv6 { v6 } else { v4 }
    }

    fn is_outward(self) -> bool {
        self.method == Method::Snat
    }

    fn plan(self) -> Plan {
        let method = if self.is_outward() { Method::Nat } else { self.method };
        let plan = if self.is_ipv6 { one_server6(method) } else { one_server(method) };
        if self.is_outward() { plan.snat() } else { plan }
    }

    fn client(self) -> &'static str {
        self.pick("203.0.113.10:4000", "[2001:db8:a::10]:4000")
    }

    /// Who begins, and by which port.
    fn asker(self) -> (PortId, &'static str) {
        match self.is_outward() {
            true => (LAN, self.pick("198.51.100.11:33000", "[2001:db8:2::11]:33000")),
            false => (WAN, self.client()),
        }
    }

    /// Whom it sends to.
    fn asked(self) -> &'static str {
        match self.is_outward() {
            true => self.client(),
            false => self.pick("192.0.2.100:80", "[2001:db8:1::100]:80"),
        }
    }

    /// Who answers, and by which port.
    fn answerer(self) -> (PortId, &'static str) {
        match self.is_outward() {
            true => (WAN, self.client()),
            false => (LAN, self.pick("198.51.100.11:8080", "[2001:db8:2::11]:8080")),
        }
    }

    fn tcp(self, from: &str, to: &str, flags: u8) -> Vec<u8> {
        if self.is_ipv6 { tcp6(from, to, flags).bytes() } else { tcp(from, to, flags).bytes() }
    }

    fn udp(self, from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
        if self.is_ipv6 { udp6(from, to, payload).bytes() } else { udp(from, to, payload).bytes() }
    }

    fn request(self, packet: impl Fn(&str, &str) -> Vec<u8>) -> (PortId, Vec<u8>) {
        let (port, from) = self.asker();
        (port, frame(port, &packet(from, self.asked())))
    }

    /// `seen` is what the asker is known by.
    fn reply(self, seen: &str, packet: impl Fn(&str, &str) -> Vec<u8>) -> (PortId, Vec<u8>) {
        let (port, from) = self.answerer();
        (port, frame(port, &packet(from, seen)))
    }

    /// An ICMP message that says so many bytes where it may say any.
    fn message(self, (from, to): (IpAddr, IpAddr), (kind, code): (u8, u8), quote: &[u8]) -> Vec<u8> {
        let bytes5to8 = [0, 0, 5, 0x40];
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let kind = Icmpv4Type::Unknown { type_u8: kind, code_u8: code, bytes5to8 };
                icmp(from, to, kind, quote).bytes()
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let kind = Icmpv6Type::Unknown { type_u8: kind, code_u8: code, bytes5to8 };
                icmp6(from, to, kind, quote).bytes()
            }
            _ => unreachable!("both of one family"),
        }
    }

    fn router(self, port: PortId) -> IpAddr {
        let router = match port {
            WAN => self.pick("198.18.0.1", "2001:db8:ff::1"),
            _ => self.pick("198.51.100.9", "2001:db8:2::9"),
        };
        router.parse().unwrap()
    }
}

fn receive(world: &mut World, (port, frame): &(PortId, Vec<u8>)) -> Vec<Sent> {
    world.receive(*port, frame)
}

fn packets(sent: &[Sent]) -> Vec<&[u8]> {
    sent.iter().map(|sent| read::ip_packet(&sent.frame).unwrap()).collect()
}

/// The one datagram that fragments are of, right in every checksum.
fn whole(sent: &[Sent]) -> String {
    let [whole] = &assemble(packets(sent))[..] else { panic!("one packet") };
    read::check_ip(whole).expect("right in every checksum");
    read::line(&ethernet(LAN_MAC, WAN_MAC, if whole[0] >> 4 == 6 { 0x86dd } else { 0x0800 }, whole))
}

fn connections(world: &World) -> usize {
    let worker = &world.workers[0];
    worker.connections::<lb_core::family::V4>().len() + worker.connections::<lb_core::family::V6>().len()
}

/// A packet from one end to another.
type Packet<'a> = &'a dyn Fn(&str, &str) -> Vec<u8>;

/// Sends every type of ICMP message about what was sent to each side, and then packets both ways, which pass as before.
fn outlives_errors(case: Case, mut world: World, packets_of: [Packet<'_>; 2]) {
    let request = case.request(packets_of[0]);
    let sent = receive(&mut world, &request);
    let (seen, forward) = (sent[0].source(), sent[0].line());
    let reply = case.reply(&seen, packets_of[1]);
    let back = receive(&mut world, &reply);
    let backward = back[0].line();
    // Errors about a request come from where it went, to what it came from there.
    let ends: [IpAddr; 2] = [&seen, case.asked()].map(|end| end.parse::<SocketAddr>().unwrap().ip());
    let sides =
        [(case.answerer().0, packets(&sent)[0], ends[0]), (case.asker().0, packets(&back)[0], ends[1])];
    for (port, quote, end) in sides {
        let mut passed = 0;
        for kind in 0..=255 {
            // In IPv6, those are about neighbours. And a ping of a server's begins something of its own.
            let is_nd = case.is_ipv6 && (133..=137).contains(&kind);
            if is_nd || case.is_outward() && kind == case.pick(8, 128) {
                continue;
            }
            for code in [0, 1, 2, 3, 4, 13] {
                let message = case.message((case.router(port), end), (kind, code), quote);
                let sent = world.receive(port, &frame(port, &message));
                passed += sent.iter().filter(|sent| sent.port != port).count();
            }
        }
        assert!(passed > 6, "{case:?}: errors get to the other side");
    }
    assert_eq!(connections(&world), 1);
    assert_eq!(receive(&mut world, &request)[0].line(), forward);
    assert_eq!(receive(&mut world, &reply)[0].line(), backward);
}

fn udp_outlives_errors(case: Case) {
    let packet = |from: &str, to: &str| case.udp(from, to, b"?");
    outlives_errors(case, World::new(&case.plan().udp()), [&packet, &packet]);
}

fn tcp_outlives_errors(case: Case) {
    let mut world = World::new(&case.plan());
    let sent = receive(&mut world, &case.request(|from, to| case.tcp(from, to, SYN)));
    let seen = sent[0].source();
    receive(&mut world, &case.reply(&seen, |from, to| case.tcp(from, to, SYN | ACK)));
    let packet = |from: &str, to: &str| case.tcp(from, to, ACK);
    outlives_errors(case, world, [&packet, &packet]);
}

/// A mapping of a datagram, and what it is known by.
fn mapped(case: Case, plan: &Plan) -> (World, String) {
    let mut world = World::new(plan);
    let sent = receive(&mut world, &case.request(|from, to| case.udp(from, to, b"?")));
    let seen = sent[0].source();
    (world, seen)
}

fn lasts(case: Case) {
    let (mut world, seen) = mapped(case, &case.plan().udp());
    world.now = world.now + Duration::from_secs(119);
    world.pass(500);
    assert_eq!(receive(&mut world, &case.reply(&seen, |from, to| case.udp(from, to, b"!"))).len(), 1);
}

fn is_refreshed(case: Case) {
    let (mut world, seen) = mapped(case, &case.plan().udp());
    for _ in 0..4 {
        world.now = world.now + Duration::from_secs(119);
        world.pass(500);
        // Outward is from servers.
        let sent = match case.is_outward() {
            true => receive(&mut world, &case.request(|from, to| case.udp(from, to, b"?"))),
            false => receive(&mut world, &case.reply(&seen, |from, to| case.udp(from, to, b"!"))),
        };
        assert_eq!(sent.len(), 1);
        assert_eq!(connections(&world), 1);
    }
}

/// What goes to each side is as small as its MTU, or reported.
fn too_big(case: Case) {
    let (mut world, seen) = mapped(case, &case.plan().udp().mtu(LAN, 1_300).mtu(WAN, 1_400));
    let mtu = |port| if port == LAN { 1_400 } else { 1_300 };
    let name = |port| if port == LAN { "lan" } else { "wan" };
    let large = |from: &str, to: &str| case.udp(from, to, &[1; 1_450]);
    for packet in [case.request(large), case.reply(&seen, large)] {
        let line = receive(&mut world, &packet)[0].line();
        let expected = format!("too big for {}", mtu(packet.0));
        assert!(line.starts_with(&format!("{}: ", name(packet.0))) && line.contains(&expected), "{line}");
    }
}

fn fragmented(case: Case) {
    // Routers do not fragment IPv6.
    if case.is_ipv6 {
        return;
    }
    let mut world = World::new(&case.plan().udp().mtu(LAN, 600).mtu(WAN, 700));
    let large = |from: &str, to: &str| udp(from, to, &[1; 1_400]).may_fragment().bytes();
    let sent = receive(&mut world, &case.request(large));
    let seen = whole(&sent).split(' ').next().unwrap().to_owned();
    let back = receive(&mut world, &case.reply(&seen, large));
    assert_eq!(whole(&back), format!("{} > {} udp ttl 63", case.asked(), case.asker().1));
    for sent in [&sent, &back] {
        let offset = |packet: &[u8]| u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff;
        assert!(sent.len() == 3 && packets(sent).into_iter().is_sorted_by_key(offset), "{case:?}");
    }
}

/// Datagrams in fragments in both directions, each in the order that `arrange` gives them.
fn fragments(case: Case, arrange: impl Fn(&mut Vec<Vec<u8>>)) {
    let mut world = World::new(&case.plan().udp());
    let mut pass = |port, packet: &[u8], id| {
        let mut pieces = even(packet, id, 1_400);
        arrange(&mut pieces);
        let sent: Vec<Sent> = pieces.iter().flat_map(|it| world.receive(port, &frame(port, it))).collect();
        whole(&sent)
    };
    let (port, from) = case.asker();
    let line = pass(port, &case.udp(from, case.asked(), &[7; 8_000]), 9);
    assert!(line.ends_with(&format!("> {} udp ttl 63", case.answerer().1)), "{case:?}: {line}");
    let seen = line.split(' ').next().unwrap().to_owned();
    let (port, from) = case.answerer();
    let line = pass(port, &case.udp(from, &seen, &[8; 8_000]), 10);
    assert_eq!(line, format!("{} > {} udp ttl 63", case.asked(), case.asker().1), "{case:?}");
}

fn in_order(case: Case) {
    fragments(case, |_| ());
}

fn out_of_order(case: Case) {
    fragments(case, |pieces| pieces.reverse());
    fragments(case, |pieces| pieces.rotate_left(2));
}

/// The other end's SYN, on its way while the first one is, gets to who has asked; then each answers the other's.
fn opened_by_both(case: Case) {
    let mut world = World::new(&case.plan());
    let sent = receive(&mut world, &case.request(|from, to| case.tcp(from, to, SYN)));
    let seen = sent[0].source();
    for flags in [SYN, SYN | ACK] {
        let back = receive(&mut world, &case.reply(&seen, |from, to| case.tcp(from, to, flags)));
        assert_eq!(back.len(), 1, "{case:?}");
        assert_eq!((back[0].port, back[0].destination()), (case.asker().0, case.asker().1.to_owned()));
    }
    assert_eq!(receive(&mut world, &case.request(|from, to| case.tcp(from, to, SYN | ACK))).len(), 1);
    assert_eq!(receive(&mut world, &case.request(|from, to| case.tcp(from, to, ACK))).len(), 1);
    assert_eq!(connections(&world), 1);
}

fn unsolicited_syn(case: Case) {
    if case.method == Method::Nat {
        // A server's mapping is the VIP's endpoint, where a SYN is a client's and opens a connection.
        return;
    }
    let mut world = World::new(&case.plan());
    let sent = receive(&mut world, &case.request(|from, to| case.tcp(from, to, SYN)));
    let seen = sent[0].source();
    let stranger = case.pick("203.0.113.77:4000", "[2001:db8:a::77]:4000");
    let (strangers, reason): (&[&str], _) = match case.is_outward() {
        // What it has asked may open at the same time.
        true => (&[stranger], DropReason::NoConnection),
        false => (&[stranger, case.client()], DropReason::WrongPort),
    };
    for from in strangers {
        assert!(world.receive(WAN, &frame(WAN, &case.tcp(from, &seen, SYN))).is_empty());
    }
    assert_eq!(world.dropped(reason), strangers.len() as u64);
    world.pass(7_000);
    let back = receive(&mut world, &case.reply(&seen, |from, to| case.tcp(from, to, SYN | ACK)));
    assert_eq!(back[0].destination(), case.asker().1);
}
