//! Clamping of the maximum segment size: which SYNs, to what, and that nothing else changes.

use super::common::{frame::*, frame6::*, plan::*, world::World};
use etherparse::{IpNumber, TcpHeader, TcpOptionElement};
use lb_core::{
    conn::tunnel::Encapsulation,
    service::plan::{Choice, Method, Plan, TunnelPlan},
};
use std::net::SocketAddr;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";

/// A segment with options, by etherparse, from one end to the other.
fn segment(from: &str, to: &str, is_answer: bool, options: &[TcpOptionElement]) -> Vec<u8> {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let mut tcp = TcpHeader::new(from.port(), to.port(), 1000, 8192);
    (tcp.syn, tcp.ack) = (true, is_answer);
    tcp.set_options(options).unwrap();
    let mut payload = Vec::new();
    match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            tcp.checksum = tcp.calc_checksum_ipv4_raw(from.ip().octets(), to.ip().octets(), &[]).unwrap();
            tcp.write(&mut payload).unwrap();
            let packet = Ip::new(IpNumber::TCP, *from.ip(), *to.ip(), payload);
            if is_answer { packet.via_server() } else { packet.via_gateway() }
        }
        (SocketAddr::V6(from), SocketAddr::V6(to)) => {
            tcp.checksum = tcp.calc_checksum_ipv6_raw(from.ip().octets(), to.ip().octets(), &[]).unwrap();
            tcp.write(&mut payload).unwrap();
            let packet = Ip6::new(IpNumber::TCP, *from.ip(), *to.ip(), payload);
            if is_answer { packet.via_server() } else { packet.via_gateway() }
        }
        _ => panic!("of one family"),
    }
}

fn syn(options: &[TcpOptionElement]) -> Vec<u8> {
    segment(CLIENT, SERVICE, false, options)
}

/// The MSS that the last TCP header of a frame tells, found by its option from behind. All of the frame is right.
fn told(world: &mut World, port: lb_core::packet::PortId, frame: &[u8]) -> u16 {
    let sent = world.receive(port, frame).remove(0);
    sent.line();
    let at = sent.frame.windows(2).rposition(|pair| pair == [2, 4]).expect("an MSS");
    u16::from_be_bytes([sent.frame[at + 2], sent.frame[at + 3]])
}

fn mss(size: u16) -> [TcpOptionElement; 1] {
    [TcpOptionElement::MaximumSegmentSize(size)]
}

#[test]
fn a_syn_through_a_tunnel_tells_what_fits_it() {
    for (kind, checksum, overhead) in [
        (Encapsulation::Ipip, Choice::Default, 20),
        (Encapsulation::Gre, Choice::On, 28),
        (Encapsulation::Gue, Choice::Default, 32),
        (Encapsulation::Gue1, Choice::Default, 28),
    ] {
        let mut plan = one_server(Method::Tun);
        plan.first().tunnel = TunnelPlan { kind, checksum, ..TunnelPlan::default() };
        assert_eq!(told(&mut World::new(&plan), WAN, &syn(&mss(1460))), 1460 - overhead, "{kind}");
    }
    let mut world = World::new(&one_server6(Method::Tun));
    let frame = segment("[2001:db8:a::10]:4000", "[2001:db8:1::100]:80", false, &mss(1440));
    assert_eq!(told(&mut world, WAN, &frame), 1500 - 40 - 60);
}

#[test]
fn it_follows_the_path_mtu_and_repeated_syns_are_as_the_first() {
    let plan = one_server(Method::Tun).mtu(LAN, 1400);
    let mut world = World::new(&plan);
    for _ in 0..3 {
        assert_eq!(told(&mut world, WAN, &syn(&mss(1460))), 1400 - 20 - 40);
    }
    assert_eq!(told(&mut world, WAN, &syn(&mss(1000))), 1000, "it is not raised");
    let options =
        [TcpOptionElement::Noop, TcpOptionElement::MaximumSegmentSize(1460), TcpOptionElement::Noop];
    assert_eq!(told(&mut world, WAN, &syn(&options)), 1340, "at an odd place as well");
}

#[test]
fn a_syn_without_the_option_is_only_wrapped() {
    let mut world = World::new(&one_server(Method::Tun));
    let frame = syn(&[TcpOptionElement::WindowScale(7)]);
    let sent = world.receive(WAN, &frame).remove(0);
    assert_eq!(sent.frame[54..], frame[34..]);
}

#[test]
fn each_method_does_as_its_service_says() {
    let with = |method, choice: Choice| -> Plan {
        let mut plan = one_server(method).mtu(LAN, 1400);
        plan.first().mss_clamp = choice;
        plan
    };
    for (method, choice, expected) in [
        (Method::Tun, Choice::Default, 1340),
        (Method::Tun, Choice::Off, 1460),
        (Method::Nat, Choice::Default, 1460),
        (Method::Nat, Choice::On, 1360),
        (Method::FullNat, Choice::On, 1360),
        (Method::Dr, Choice::Default, 1460),
        (Method::Dr, Choice::On, 1360),
    ] {
        let mut world = World::new(&with(method, choice));
        assert_eq!(told(&mut world, WAN, &syn(&mss(1460))), expected, "{method}, {choice}");
    }
}

#[test]
fn the_servers_answer_is_clamped_where_it_passes() {
    for (wan, lan) in [(1400, 1500), (1500, 1400)] {
        let mut plan = one_server(Method::Nat).mtu(LAN, lan).mtu(WAN, wan);
        plan.first().mss_clamp = Choice::On;
        let mut world = World::new(&plan);
        assert_eq!(told(&mut world, WAN, &syn(&mss(1460))), 1360, "the narrower of both ways");
        let answer = segment("198.51.100.11:8080", CLIENT, true, &mss(1460));
        assert_eq!(told(&mut world, LAN, &answer), 1360);
    }
}
