//! What RFC 4787 asks of a NAT about errors and fragments, REQ-12 to REQ-14, and RFC 5382 of one about TCP, REQ-4 and
//! REQ-10, as a table under NAT and FullNAT. The realm of servers is the private one, as in [`rfc5508`](super::rfc5508).

use super::common::{
    fragments::{assemble, even, frame},
    frame::*,
    plan::*,
    read,
    world::{Sent, World},
};
use etherparse::Icmpv4Type;
use lb_core::{counters::DropReason, packet::PortId, service::plan::Method};
use std::net::{IpAddr, Ipv4Addr};

/// A requirement, in its own words, and its test.
type Row = (&'static str, &'static str, fn(Method));

const TABLE: [Row; 7] = [
    ("RFC 4787 REQ-12", "no ICMP message terminates the mapping", udp_outlives_errors),
    ("RFC 4787 REQ-13", "what is too big and may not be fragmented is reported", too_big),
    ("RFC 4787 REQ-13 a", "what is too big and may be fragmented goes on in order", fragmented),
    ("RFC 4787 REQ-14", "fragments in order are translated", in_order),
    ("RFC 4787 REQ-14 a", "fragments out of order are translated", out_of_order),
    // It is about both ends opening at once. A server never opens from a VIP, so a SYN to a port of a VIP is a client's, and
    // its refusal need not wait. What only servers may send to, a local address, stays silent.
    ("RFC 5382 REQ-4", "an unsolicited SYN from outside to a mapping is not answered", unsolicited_syn),
    ("RFC 5382 REQ-10", "no ICMP message terminates the connection", tcp_outlives_errors),
];

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const SERVER: &str = "198.51.100.11:8080";
const ROUTERS: [(PortId, Ipv4Addr); 2] =
    [(WAN, Ipv4Addr::new(198, 18, 0, 1)), (LAN, Ipv4Addr::new(198, 51, 100, 9))];

#[test]
fn each_requirement_is_met() {
    for (requirement, text, test) in TABLE {
        for method in [Method::Nat, Method::FullNat] {
            println!("{requirement}, {method}: {text}");
            test(method);
        }
    }
}

fn packets(sent: &[Sent]) -> Vec<&[u8]> {
    sent.iter().map(|sent| read::ip_packet(&sent.frame).unwrap()).collect()
}

/// The one datagram that fragments are of, right in every checksum.
fn whole(sent: &[Sent]) -> String {
    let [whole] = &assemble(packets(sent))[..] else { panic!("one packet") };
    read::check_ip(whole).expect("right in every checksum");
    read::line(&ethernet(LAN_MAC, WAN_MAC, 0x0800, whole))
}

/// Sends every type of ICMP message about what was sent to each side, and then packets both ways, which pass as before.
fn outlives_errors(mut world: World, request: &Ip, reply: impl Fn(&str) -> Ip) {
    let sent = world.receive(WAN, &request.via_gateway());
    let (seen, forward) = (sent[0].source(), sent[0].line());
    let back = world.receive(LAN, &reply(&seen).via_server());
    let backward = back[0].line();
    let quotes = [packets(&back)[0].to_vec(), packets(&sent)[0].to_vec()];
    let ends: [IpAddr; 2] = [SERVICE, &seen].map(|end| end.parse::<std::net::SocketAddr>().unwrap().ip());
    for ((port, router), (quote, end)) in ROUTERS.into_iter().zip(quotes.iter().zip(ends)) {
        let IpAddr::V4(end) = end else { unreachable!("IPv4") };
        let mut passed = 0;
        for type_u8 in 0..=255 {
            for code_u8 in [0, 1, 2, 3, 4, 13] {
                let kind = Icmpv4Type::Unknown { type_u8, code_u8, bytes5to8: [0, 0, 2, 0x40] };
                let packet = icmp(router, end, kind, quote);
                let it = if port == WAN { packet.via_gateway() } else { packet.via_server() };
                let sent = world.receive(port, &it);
                passed += sent.iter().filter(|sent| sent.port != port).count();
            }
        }
        assert!(passed > 6, "errors get to the other side");
    }
    assert_eq!(world.connections().len(), 1);
    assert_eq!(world.receive(WAN, &request.via_gateway())[0].line(), forward);
    assert_eq!(world.receive(LAN, &reply(&seen).via_server())[0].line(), backward);
}

fn udp_outlives_errors(method: Method) {
    let world = World::new(&one_server(method).udp());
    outlives_errors(world, &udp(CLIENT, SERVICE, b"?"), |seen| udp(SERVER, seen, b"!"));
}

fn tcp_outlives_errors(method: Method) {
    let mut world = World::new(&one_server(method));
    let sent = world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let seen = sent[0].source();
    world.receive(LAN, &tcp(SERVER, &seen, SYN | ACK).via_server());
    outlives_errors(world, &tcp(CLIENT, SERVICE, ACK), |seen| tcp(SERVER, seen, ACK));
}

fn too_big(method: Method) {
    let mut world = World::new(&one_server(method).udp().mtu(LAN, 600).mtu(WAN, 700));
    let sent = world.receive(WAN, &udp(CLIENT, SERVICE, b"?").via_gateway());
    let seen = sent[0].source();
    let request = world.lines(WAN, &udp(CLIENT, SERVICE, &[1; 900]).via_gateway());
    assert!(request[0].starts_with("wan: ") && request[0].contains("too big for 600"), "{request:?}");
    let reply = world.lines(LAN, &udp(SERVER, &seen, &[1; 900]).via_server());
    assert!(reply[0].starts_with("lan: ") && reply[0].contains("too big for 700"), "{reply:?}");
}

fn fragmented(method: Method) {
    let mut world = World::new(&one_server(method).udp().mtu(LAN, 600).mtu(WAN, 700));
    let sent = world.receive(WAN, &udp(CLIENT, SERVICE, &[1; 1_400]).may_fragment().via_gateway());
    let seen = whole(&sent).split(' ').next().unwrap().to_owned();
    let back = world.receive(LAN, &udp(SERVER, &seen, &[1; 1_400]).may_fragment().via_server());
    assert_eq!(whole(&back), format!("{SERVICE} > {CLIENT} udp ttl 63"));
    for sent in [&sent, &back] {
        let offset = |packet: &[u8]| u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff;
        assert!(sent.len() == 3 && packets(sent).into_iter().is_sorted_by_key(offset), "{method}");
    }
}

/// Datagrams in fragments in both directions, each in the order that `arrange` gives them.
fn fragments(method: Method, arrange: impl Fn(&mut Vec<Vec<u8>>)) {
    let mut world = World::new(&one_server(method).udp());
    let mut pass = |port, packet: &Ip, id| {
        let mut pieces = even(&packet.bytes(), id, 1_480);
        arrange(&mut pieces);
        let sent: Vec<Sent> = pieces.iter().flat_map(|it| world.receive(port, &frame(port, it))).collect();
        whole(&sent)
    };
    let line = pass(WAN, &udp(CLIENT, SERVICE, &[7; 8_000]), 9);
    assert!(line.ends_with(&format!("> {SERVER} udp ttl 63")), "{method}: {line}");
    let seen = line.split(' ').next().unwrap().to_owned();
    let line = pass(LAN, &udp(SERVER, &seen, &[8; 8_000]), 10);
    assert_eq!(line, format!("{SERVICE} > {CLIENT} udp ttl 63"), "{method}");
}

fn in_order(method: Method) {
    fragments(method, |_| ());
}

fn out_of_order(method: Method) {
    fragments(method, |pieces| pieces.reverse());
    fragments(method, |pieces| pieces.rotate_left(2));
}

fn unsolicited_syn(method: Method) {
    if method == Method::Nat {
        // A server's mapping is the VIP's endpoint, where a SYN is a client's and opens a connection.
        return;
    }
    let mut world = World::new(&one_server(method));
    let sent = world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let seen = sent[0].source();
    for from in ["203.0.113.77:4000", CLIENT] {
        assert!(world.receive(WAN, &tcp(from, &seen, SYN).via_gateway()).is_empty());
    }
    assert_eq!(world.dropped(DropReason::WrongPort), 2);
    world.pass(7_000);
    let reply = tcp(SERVER, &seen, SYN | ACK).via_server();
    assert_eq!(world.lines(LAN, &reply), [format!("wan: {SERVICE} > {CLIENT} tcp syn ack ttl 63")]);
}
