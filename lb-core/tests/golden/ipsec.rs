//! AH and ESP go with the connection of UDP by which their keys were agreed on, by addresses alone.

use super::{
    common::{
        fragments,
        frame::*,
        frame6::*,
        plan::*,
        world::{Setup, World},
    },
    expect, expect_nothing,
};
use etherparse::{Icmpv4Type, IpNumber, icmpv4::DestUnreachableHeader};
use lb_core::{
    counters::DropReason,
    service::{
        key::Protocol,
        plan::{Method, Plan, Spread},
    },
};
use std::net::Ipv4Addr;

const ESP: IpNumber = IpNumber::ENCAPSULATING_SECURITY_PAYLOAD;
const AH: IpNumber = IpNumber::AUTHENTICATION_HEADER;
/// An authentication header, and nothing behind it.
const AH_HEADER: [u8; 24] = [59, 4, 0, 0, 0, 0, 0x10, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
const CLIENT: &str = "203.0.113.10:500";
const SERVICE: &str = "192.0.2.100:500";

fn plan(method: Method) -> Plan {
    let mut service = service(method, SERVICE, &["198.51.100.11:500", "198.51.100.12:500"]);
    service.protocol = Protocol::Udp;
    network().with(service)
}

/// A world whose client has agreed on keys.
fn agreed(method: Method) -> World {
    let mut world = World::new(&plan(method));
    assert_eq!(world.receive(WAN, &udp(CLIENT, SERVICE, b"keys").via_gateway()).len(), 1);
    world
}

fn packet(protocol: IpNumber, from: Ipv4Addr, to: Ipv4Addr) -> Ip {
    let payload =
        if protocol == AH { &AH_HEADER[..] } else { b"\0\0\x10\x01\0\0\0\x01secret words, 24 bytes.." };
    Ip::new(protocol, from, to, payload.to_vec())
}

#[test]
fn esp_goes_where_the_keys_went_in_both_directions_of_nat() {
    let mut world = agreed(Method::Nat);
    let frame = packet(ESP, CLIENT_IP, VIP).via_gateway();
    let sent = expect(&mut world, WAN, &frame, "lan: 203.0.113.10 > 198.51.100.11 protocol 50 ttl 63");
    assert_eq!(sent.frame[34..], frame[34..], "what is encrypted stays");
    let frame = packet(ESP, SERVERS[0], CLIENT_IP).via_server();
    let sent = expect(&mut world, LAN, &frame, "wan: 192.0.2.100 > 203.0.113.10 protocol 50 ttl 63");
    assert_eq!(sent.frame[34..], frame[34..]);
    assert_eq!(world.connections().len(), 1);
    // It keeps the connection.
    for _ in 0..4 {
        world.pass(200_000);
        assert_eq!(world.receive(WAN, &packet(ESP, CLIENT_IP, VIP).via_gateway()).len(), 1);
    }
}

#[test]
fn both_go_through_methods_that_leave_addresses() {
    for (method, line) in [
        (Method::Dr, "lan: 203.0.113.10 > 192.0.2.100 protocol N ttl 63"),
        (
            Method::Tun,
            "lan: 198.51.100.1 > 198.51.100.11 ttl 64 [203.0.113.10 > 192.0.2.100 protocol N ttl 63]",
        ),
        (Method::L3Dsr, "lan: 203.0.113.10 > 198.51.100.11 protocol N ttl 63"),
    ] {
        for protocol in [ESP, AH] {
            let frame = packet(protocol, CLIENT_IP, VIP).via_gateway();
            expect(&mut agreed(method), WAN, &frame, &line.replace('N', &protocol.0.to_string()));
        }
    }
}

/// AH covers addresses, and under FullNAT servers know another port.
#[test]
fn what_cannot_work_is_refused() {
    for (method, protocol) in [(Method::Nat, AH), (Method::FullNat, AH), (Method::FullNat, ESP)] {
        let line = format!(
            "wan: 192.0.2.100 > 203.0.113.10 icmp protocol unreachable [203.0.113.10 > 192.0.2.100 protocol {} ttl 64] ttl 64",
            protocol.0
        );
        expect(&mut agreed(method), WAN, &packet(protocol, CLIENT_IP, VIP).via_gateway(), &line);
    }
}

#[test]
fn without_keys_it_opens_nothing() {
    let mut world = World::new(&plan(Method::Dr));
    expect_nothing(&mut world, WAN, &packet(ESP, CLIENT_IP, VIP).via_gateway());
    expect_nothing(&mut world, LAN, &packet(ESP, SERVERS[0], CLIENT_IP).via_server());
    assert_eq!(world.dropped(DropReason::NoConnection), 1);
    assert!(world.connections().is_empty());
}

#[test]
fn its_fragments_go_one_by_one() {
    for method in [Method::Nat, Method::Dr] {
        let mut world = agreed(method);
        let whole = Ip::new(ESP, CLIENT_IP, VIP, vec![7; 400]).may_fragment();
        let mut pieces = fragments::even(&whole.bytes(), 7, 200);
        pieces.reverse();
        for piece in &pieces {
            assert_eq!(world.receive(WAN, &fragments::frame(WAN, piece)).len(), 1, "{method}");
        }
    }
}

#[test]
fn a_router_that_says_how_large_it_may_be_is_heard() {
    let mut world = agreed(Method::Nat);
    let quote = packet(ESP, VIP, CLIENT_IP).bytes();
    let kind = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1300 };
    let error =
        icmp("198.18.0.1".parse().unwrap(), VIP, Icmpv4Type::DestinationUnreachable(kind), &quote[..28]);
    let sent = world.receive(WAN, &error.via_gateway()).remove(0);
    let line = sent.line();
    assert!(line.starts_with("lan: 198.18.0.1 > 198.51.100.11 icmp"), "{line}");
    assert!(line.contains("[198.51.100.11 > 203.0.113.10 protocol 50 ttl 64]"), "{line}");
}

/// A world whose client of IPv6 has agreed on keys.
fn agreed6(method: Method) -> World {
    let mut service = service(method, "[2001:db8:1::100]:500", &["[2001:db8:2::11]:500"]);
    service.protocol = Protocol::Udp;
    let mut world = World::new(&network6().with(service));
    world.receive(WAN, &udp6("[2001:db8:a::10]:500", "[2001:db8:1::100]:500", b"keys").via_gateway());
    world
}

#[test]
fn methods_that_leave_addresses_take_both_of_ipv6() {
    for (method, line) in [
        (Method::Dr, "lan: 2001:db8:a::10 > 2001:db8:1::100 protocol N ttl 63"),
        (
            Method::Tun,
            "lan: 2001:db8:2::1 > 2001:db8:2::11 ttl 64 [2001:db8:a::10 > 2001:db8:1::100 protocol N ttl 63]",
        ),
        (Method::L3Dsr, "lan: 2001:db8:a::10 > 2001:db8:2::11 protocol N ttl 63"),
    ] {
        for protocol in [ESP, AH] {
            let frame = Ip6::new(protocol, CLIENT6, VIP6, AH_HEADER.to_vec()).via_gateway();
            let line = line.replace('N', &protocol.0.to_string());
            let sent = expect(&mut agreed6(method), WAN, &frame, &line);
            assert!(sent.frame.ends_with(&AH_HEADER));
        }
    }
}

#[test]
fn what_cannot_work_is_refused_in_ipv6() {
    for (method, protocol) in [(Method::Nat, AH), (Method::FullNat, AH), (Method::FullNat, ESP)] {
        let frame = Ip6::new(protocol, CLIENT6, VIP6, AH_HEADER.to_vec()).via_gateway();
        let mut world = agreed6(method);
        let lines = world.lines(WAN, &frame);
        assert_eq!(lines.len(), 1, "{method}, {protocol:?}");
        assert!(lines[0].starts_with("wan: 2001:db8:1::100 > 2001:db8:a::10 icmpv6"), "{lines:?}");
    }
}

#[test]
fn ipv6_as_well() {
    let mut world = agreed6(Method::Nat);
    let frame = Ip6::new(ESP, CLIENT6, VIP6, vec![7; 40]).via_gateway();
    expect(&mut world, WAN, &frame, "lan: 2001:db8:a::10 > 2001:db8:2::11 protocol 50 ttl 63");
    let frame = Ip6::new(ESP, SERVERS6[0], CLIENT6, vec![7; 40]).via_server();
    expect(&mut world, LAN, &frame, "wan: 2001:db8:1::100 > 2001:db8:a::10 protocol 50 ttl 63");
}

/// Ports spread what has no ports in another way than the flow of the keys.
#[test]
fn it_comes_to_the_worker_that_has_the_connection_whatever_ports_do() {
    for method in [Method::Nat, Method::Dr, Method::Tun] {
        for spread in [Spread::ByClient, Spread::ByFlow, Spread::Unknown] {
            for workers in 1..=4 {
                let plan = plan(method).spread(spread, spread);
                let mut world = World::with(&plan, Setup { workers, ..Setup::default() });
                for host in 1..20 {
                    let client = Ipv4Addr::new(203, 0, 113, host);
                    let keys = udp(&format!("{client}:500"), SERVICE, b"keys").via_gateway();
                    let opened = world.burst(usize::from(host) % workers, &[(WAN, keys)]).remove(0);
                    for worker in 0..workers {
                        let frame = packet(ESP, client, VIP).via_gateway();
                        let sent = world.burst(worker, &[(WAN, frame)]);
                        assert_eq!(sent.len(), 1, "{method} {spread:?} {workers} workers");
                        assert_eq!(sent[0].worker, opened.worker);
                        if method == Method::Nat {
                            let server =
                                SERVERS.into_iter().find(|it| it.octets()[3] == opened.server()).unwrap();
                            let frame = packet(ESP, server, client).via_server();
                            assert_eq!(world.burst(worker, &[(LAN, frame)])[0].worker, opened.worker);
                        }
                    }
                }
            }
        }
    }
}
