//! What RFC 4787 asks of a NAT about errors and fragments, REQ-12 to REQ-14, and RFC 5382 of one about TCP, REQ-4 and
//! REQ-10, as a table under NAT and FullNAT, in both families. The realm of servers is the private one, as in
//! [`rfc5508`](super::rfc5508).

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
    family::{V4, V6},
    packet::PortId,
    service::plan::{Method, Plan},
};
use std::net::{IpAddr, SocketAddr};

/// A requirement, in its own words, and its test.
type Row = (&'static str, &'static str, fn(Case));

const TABLE: [Row; 7] = [
    ("RFC 4787 REQ-12", "no ICMP message terminates the mapping", udp_outlives_errors),
    ("RFC 4787 REQ-13", "what is too big and may not be fragmented is reported", too_big),
    // In IPv6 that is all there is: routers fragment nothing.
    ("RFC 4787 REQ-13 a", "what is too big and may be fragmented goes on in order", fragmented),
    ("RFC 4787 REQ-14", "fragments in order are translated", in_order),
    ("RFC 4787 REQ-14 a", "fragments out of order are translated", out_of_order),
    // It is about both ends opening at once. A server never opens from a VIP, so a SYN to a port of a VIP is a client's, and
    // its refusal need not wait. What only servers may send to, a local address, stays silent.
    ("RFC 5382 REQ-4", "an unsolicited SYN from outside to a mapping is not answered", unsolicited_syn),
    ("RFC 5382 REQ-10", "no ICMP message terminates the connection", tcp_outlives_errors),
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

/// A method in a family.
#[derive(Clone, Copy, Debug)]
struct Case {
    method: Method,
    is_ipv6: bool,
}

impl Case {
    fn client(self) -> &'static str {
        if self.is_ipv6 { "[2001:db8:a::10]:4000" } else { "203.0.113.10:4000" }
    }

    fn service(self) -> &'static str {
        if self.is_ipv6 { "[2001:db8:1::100]:80" } else { "192.0.2.100:80" }
    }

    fn server(self) -> &'static str {
        if self.is_ipv6 { "[2001:db8:2::11]:8080" } else { "198.51.100.11:8080" }
    }

    /// Routers on the clients' side and on that of servers.
    fn routers(self) -> [(PortId, IpAddr); 2] {
        let routers =
            if self.is_ipv6 { ["2001:db8:b::1", "2001:db8:2::9"] } else { ["198.18.0.1", "198.51.100.9"] };
        let [wan, lan] = routers.map(|router| router.parse().expect("an address"));
        [(WAN, wan), (LAN, lan)]
    }

    fn plan(self) -> Plan {
        if self.is_ipv6 { one_server6(self.method) } else { one_server(self.method) }
    }

    /// A message of ICMP in the ends' family.
    fn message(ends: (IpAddr, IpAddr), (kind, code): (u8, u8), quote: &[u8]) -> Vec<u8> {
        let bytes5to8 = [0, 0, 2, 0x40];
        match ends {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let kind = Icmpv4Type::Unknown { type_u8: kind, code_u8: code, bytes5to8 };
                icmp(from, to, kind, quote).bytes()
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let kind = Icmpv6Type::Unknown { type_u8: kind, code_u8: code, bytes5to8 };
                icmp6(from, to, kind, quote).bytes()
            }
            _ => unreachable!("of one family"),
        }
    }
}

/// A datagram, which may be fragmented.
fn datagram(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    if from.starts_with('[') {
        udp6(from, to, payload).bytes()
    } else {
        udp(from, to, payload).may_fragment().bytes()
    }
}

/// One that may not.
fn whole_datagram(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    if from.starts_with('[') { udp6(from, to, payload).bytes() } else { udp(from, to, payload).bytes() }
}

fn segment(from: &str, to: &str, flags: u8) -> Vec<u8> {
    if from.starts_with('[') { tcp6(from, to, flags).bytes() } else { tcp(from, to, flags).bytes() }
}

fn packets(sent: &[Sent]) -> Vec<&[u8]> {
    sent.iter().map(|sent| read::ip_packet(&sent.frame).unwrap()).collect()
}

/// The one datagram that fragments are of, right in every checksum.
fn whole(sent: &[Sent]) -> String {
    let [whole] = &assemble(packets(sent))[..] else { panic!("one packet") };
    read::check_ip(whole).expect("right in every checksum");
    read::line(&frame(LAN, whole))
}

/// Sends every type of ICMP message about what was sent to each side, and then packets both ways, which pass as before.
fn outlives_errors(case: Case, mut world: World, request: &[u8], reply: impl Fn(&str) -> Vec<u8>) {
    let sent = world.receive(WAN, &frame(WAN, request));
    let (seen, forward) = (sent[0].source(), sent[0].line());
    let back = world.receive(LAN, &frame(LAN, &reply(&seen)));
    let backward = back[0].line();
    let quotes = [packets(&back)[0].to_vec(), packets(&sent)[0].to_vec()];
    let ends = [case.service(), &seen].map(|end| end.parse::<SocketAddr>().unwrap().ip());
    for ((port, router), (quote, end)) in case.routers().into_iter().zip(quotes.iter().zip(ends)) {
        let mut passed = 0;
        for kind in 0..=255 {
            for code in [0, 1, 2, 3, 4, 13] {
                let packet = Case::message((router, end), (kind, code), quote);
                let sent = world.receive(port, &frame(port, &packet));
                passed += sent.iter().filter(|sent| sent.port != port).count();
            }
        }
        assert!(passed > 6, "errors get to the other side");
    }
    let worker = &world.workers[0];
    assert_eq!(worker.connections::<V4>().len() + worker.connections::<V6>().len(), 1);
    assert_eq!(world.receive(WAN, &frame(WAN, request))[0].line(), forward);
    assert_eq!(world.receive(LAN, &frame(LAN, &reply(&seen)))[0].line(), backward);
}

fn udp_outlives_errors(case: Case) {
    let world = World::new(&case.plan().udp());
    let request = whole_datagram(case.client(), case.service(), b"?");
    outlives_errors(case, world, &request, |seen| whole_datagram(case.server(), seen, b"!"));
}

fn tcp_outlives_errors(case: Case) {
    let mut world = World::new(&case.plan());
    let sent = world.receive(WAN, &frame(WAN, &segment(case.client(), case.service(), SYN)));
    let seen = sent[0].source();
    world.receive(LAN, &frame(LAN, &segment(case.server(), &seen, SYN | ACK)));
    let request = segment(case.client(), case.service(), ACK);
    outlives_errors(case, world, &request, |seen| segment(case.server(), seen, ACK));
}

/// MTUs of the servers' and the clients' port: less than 1280 bytes there are not in IPv6.
fn narrow(case: Case) -> (u16, u16, usize) {
    if case.is_ipv6 { (1_300, 1_400, 1_440) } else { (600, 700, 900) }
}

fn too_big(case: Case) {
    let (lan, wan, len) = narrow(case);
    let mut world = World::new(&case.plan().udp().mtu(LAN, lan).mtu(WAN, wan));
    let sent = world.receive(WAN, &frame(WAN, &whole_datagram(case.client(), case.service(), b"?")));
    let seen = sent[0].source();
    let large = vec![1; len];
    let request = world.lines(WAN, &frame(WAN, &whole_datagram(case.client(), case.service(), &large)));
    let told = |line: &str, port, mtu| line.starts_with(port) && line.contains(&format!("too big for {mtu}"));
    assert!(told(&request[0], "wan: ", lan), "{request:?}");
    let reply = world.lines(LAN, &frame(LAN, &whole_datagram(case.server(), &seen, &large)));
    assert!(told(&reply[0], "lan: ", wan), "{reply:?}");
}

fn fragmented(case: Case) {
    if case.is_ipv6 {
        return;
    }
    let mut world = World::new(&case.plan().udp().mtu(LAN, 600).mtu(WAN, 700));
    let sent = world.receive(WAN, &frame(WAN, &datagram(case.client(), case.service(), &[1; 1_400])));
    let seen = whole(&sent).split(' ').next().unwrap().to_owned();
    let back = world.receive(LAN, &frame(LAN, &datagram(case.server(), &seen, &[1; 1_400])));
    assert_eq!(whole(&back), format!("{} > {} udp ttl 63", case.service(), case.client()));
    for sent in [&sent, &back] {
        let offset = |packet: &[u8]| u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff;
        assert!(sent.len() == 3 && packets(sent).into_iter().is_sorted_by_key(offset), "{case:?}");
    }
}

/// Datagrams in fragments in both directions, each in the order that `arrange` gives them.
fn fragments(case: Case, arrange: impl Fn(&mut Vec<Vec<u8>>)) {
    let mut world = World::new(&case.plan().udp());
    let mut pass = |port, packet: &[u8], id| {
        // Behind a header of 40 bytes and one of 8, as well.
        let mut pieces = even(packet, id, 1_448);
        arrange(&mut pieces);
        let sent: Vec<Sent> = pieces.iter().flat_map(|it| world.receive(port, &frame(port, it))).collect();
        whole(&sent)
    };
    let line = pass(WAN, &datagram(case.client(), case.service(), &[7; 8_000]), 9);
    assert!(line.ends_with(&format!("> {} udp ttl 63", case.server())), "{case:?}: {line}");
    let seen = line.split(' ').next().unwrap().to_owned();
    let line = pass(LAN, &datagram(case.server(), &seen, &[8; 8_000]), 10);
    assert_eq!(line, format!("{} > {} udp ttl 63", case.service(), case.client()), "{case:?}");
}

fn in_order(case: Case) {
    fragments(case, |_| ());
}

fn out_of_order(case: Case) {
    fragments(case, |pieces| pieces.reverse());
    fragments(case, |pieces| pieces.rotate_left(2));
}

fn unsolicited_syn(case: Case) {
    if case.method == Method::Nat {
        // A server's mapping is the VIP's endpoint, where a SYN is a client's and opens a connection.
        return;
    }
    let mut world = World::new(&case.plan());
    let sent = world.receive(WAN, &frame(WAN, &segment(case.client(), case.service(), SYN)));
    let seen = sent[0].source();
    let stranger = if case.is_ipv6 { "[2001:db8:a::77]:4000" } else { "203.0.113.77:4000" };
    for from in [stranger, case.client()] {
        assert!(world.receive(WAN, &frame(WAN, &segment(from, &seen, SYN))).is_empty());
    }
    assert_eq!(world.dropped(DropReason::WrongPort), 2);
    world.pass(7_000);
    let reply = segment(case.server(), &seen, SYN | ACK);
    let line = format!("wan: {} > {} tcp syn ack ttl 63", case.service(), case.client());
    assert_eq!(world.lines(LAN, &frame(LAN, &reply)), [line]);
}
