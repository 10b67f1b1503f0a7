//! Tunnels of each kind and family: what is put in front of packets, what their way carries, and what routers report of it.

use super::{
    common::{frame::*, frame6::*, plan::*, world::World},
    expect, expect_nothing,
};
use etherparse::{IcmpEchoHeader, Icmpv4Type, Icmpv6Type, icmpv4::DestUnreachableHeader};
use lb_core::{
    conn::tunnel::Encapsulation,
    counters::DropReason,
    service::plan::{Choice, Method, OwnTunnel, Plan, TunnelPlan},
};
use std::{collections::BTreeSet, net::SocketAddr};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const CLIENT_OF_V6: &str = "[2001:db8:a::10]:4000";
const SERVICE_OF_V6: &str = "[2001:db8:1::100]:80";

/// A service of a family with one server of another behind such a tunnel.
fn plan(vip: &str, server: &str, kind: Encapsulation, checksum: Choice) -> Plan {
    let service_at = if vip == "4" { SERVICE } else { SERVICE_OF_V6 };
    let server = if server == "4" { "198.51.100.11:80" } else { "[2001:db8:2::11]:80" };
    let mut plan = network6().with(service(Method::Tun, service_at, &[server]));
    plan.first().tunnel = TunnelPlan { kind, checksum, ..TunnelPlan::default() };
    plan
}

fn syn(vip: &str) -> Vec<u8> {
    match vip {
        "4" => tcp(CLIENT, SERVICE, SYN).via_gateway(),
        _ => tcp6(CLIENT_OF_V6, SERVICE_OF_V6, SYN).via_gateway(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Byte for byte what scapy makes; see `tunnels.py`.
#[test]
fn every_kind_is_as_an_independent_program_makes_it() {
    let mut seen = BTreeSet::new();
    for line in include_str!("tunnels.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [vip, server, kind, checksum, expected] = words[..] else { panic!("{line}") };
        let has_checksum = if checksum == "1" { Choice::On } else { Choice::Off };
        let kind: Encapsulation = kind.parse().unwrap();
        let has_checksum = if kind.has_checksum() { has_checksum } else { Choice::Default };
        let mut frame = syn(vip);
        // Padding is not carried.
        frame.resize(frame.len() + 6, 0xee);
        let sent = World::new(&plan(vip, server, kind, has_checksum)).receive(WAN, &frame).remove(0);
        assert_eq!(hex(&sent.frame[14..]), expected, "{vip} in {server}, {kind}, checksum {checksum}");
        let ethertype = if server == "4" { [0x08, 0x00] } else { [0x86, 0xdd] };
        assert_eq!(sent.frame[12..14], ethertype);
        seen.insert((vip, server, kind, checksum));
    }
    assert_eq!(seen.len(), 2 * 2 * 7);
}

/// What each kind puts in front of packets, in bytes.
const OVERHEADS: [(Encapsulation, Choice, u16); 7] = [
    (Encapsulation::Ipip, Choice::Default, 20),
    (Encapsulation::Gre, Choice::Off, 24),
    (Encapsulation::Gre, Choice::On, 28),
    (Encapsulation::Gue, Choice::Off, 32),
    (Encapsulation::Gue, Choice::On, 32),
    (Encapsulation::Gue1, Choice::Off, 28),
    (Encapsulation::Gue1, Choice::On, 28),
];

/// An acknowledgement with data, of that many bytes in all.
fn data(vip: &str, len: u16) -> Vec<u8> {
    match vip {
        "4" => tcp_with(endpoint(CLIENT), endpoint(SERVICE), ACK, &vec![b'x'; usize::from(len) - 40])
            .via_gateway(),
        _ => {
            let (from, to) = (endpoint6(CLIENT_OF_V6), endpoint6(SERVICE_OF_V6));
            tcp6_with(from, to, ACK, &vec![b'x'; usize::from(len) - 60]).via_gateway()
        }
    }
}

/// The MTU that the client is told, if the packet is too large.
fn told(world: &mut World, frame: &[u8]) -> Option<u16> {
    let line = world.lines(WAN, frame).remove(0);
    let mut words = line.split(' ').skip_while(|word| *word != "big").skip(2);
    words.next().map(|mtu| mtu.parse().unwrap())
}

#[test]
fn a_packet_without_room_for_the_headers_of_its_tunnel_is_reported_with_the_size_that_fits() {
    for (kind, checksum, overhead) in OVERHEADS {
        for (vip, server) in [("4", "4"), ("4", "6"), ("6", "4"), ("6", "6")] {
            let mut world = World::new(&plan(vip, server, kind, checksum));
            world.receive(WAN, &syn(vip));
            let fits = 1500 - overhead - if server == "6" { 20 } else { 0 };
            assert_eq!(told(&mut world, &data(vip, fits + 1)), Some(fits), "{vip} in {server} by {kind}");
            let sent = world.receive(WAN, &data(vip, fits)).remove(0);
            assert_eq!(sent.frame.len(), 1514, "{vip} in {server} by {kind}");
        }
    }
}

/// A router's report that an outer packet was too large, which quotes that much of it.
fn report(outer: &[u8], mtu: u16, quoted: usize) -> Vec<u8> {
    let quote = &outer[..quoted.min(outer.len())];
    if outer[0] >> 4 == 4 {
        let to = std::net::Ipv4Addr::from(*outer[12..].first_chunk::<4>().unwrap());
        let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
            next_hop_mtu: mtu,
        });
        icmp("198.51.100.9".parse().unwrap(), to, kind, quote).via_server()
    } else {
        let to = std::net::Ipv6Addr::from(*outer[8..].first_chunk::<16>().unwrap());
        let kind = Icmpv6Type::PacketTooBig { mtu: mtu.into() };
        icmp6("2001:db8:2::9".parse().unwrap(), to, kind, quote).via_server()
    }
}

#[test]
fn a_path_mtu_is_learnt_in_tunnels_of_every_kind() {
    for (kind, checksum, overhead) in OVERHEADS {
        for (vip, server, sources) in
            [("4", "4", false), ("4", "4", true), ("4", "6", true), ("6", "4", true), ("6", "6", false)]
        {
            let mut plan = plan(vip, server, kind, checksum);
            if sources {
                plan.tunnel_sources =
                    ["198.18.7.0/24", "2001:db8:ff::/64"].map(|network| network.parse().unwrap()).into();
            }
            let named = format!("{vip} in {server} by {kind}, {checksum}, {sources}");
            let mut world = World::new(&plan);
            world.receive(WAN, &syn(vip));
            let overhead = overhead + if server == "6" { 20 } else { 0 };
            let outer = world.receive(WAN, &data(vip, 1500 - overhead)).remove(0).frame[14..].to_vec();
            // Where the quote ends before the packet inside, it is believed if there are connections at all.
            let short = if server == "6" { 48 } else { 28 };
            for (mtu, quoted) in [(1450, short), (1400, 200)] {
                expect_nothing(&mut world, LAN, &report(&outer, mtu, quoted));
                let room = mtu - overhead;
                assert_eq!(told(&mut world, &data(vip, room + 1)), Some(room), "{named}, {quoted}");
            }
        }
    }
}

/// Changes of a quote, each with what they make it.
type Forged = (&'static str, Vec<u8>);

#[test]
fn a_report_about_a_tunnel_of_any_kind_is_believed_only_if_it_quotes_what_was_sent() {
    for (kind, checksum, overhead) in OVERHEADS {
        let mut plan = plan("4", "4", kind, checksum);
        plan.tunnel_sources = vec!["198.18.7.0/24".parse().unwrap()];
        let mut world = World::new(&plan);
        world.receive(WAN, &syn("4"));
        let outer = world.receive(WAN, &data("4", 1500 - overhead)).remove(0).frame[14..].to_vec();
        let with = |at: usize, by: u8| {
            let mut outer = outer.clone();
            outer[at] ^= by;
            outer
        };
        let inner = usize::from(overhead);
        let mut forged: Vec<Forged> = vec![
            ("another source", with(15, 1)),
            ("another server", with(19, 1)),
            ("another client", with(inner + 15, 1)),
            ("another client's port", with(inner + 21, 1)),
            ("another protocol", with(9, 0x80)),
        ];
        match kind {
            Encapsulation::Ipip => {}
            Encapsulation::Gre => forged.extend([
                ("GRE with another flag", with(20, 0x20)),
                ("GRE of another family", with(22, 0x8e)),
                ("with a checksum, or without", with(20, 0x80)),
            ]),
            Encapsulation::Gue | Encapsulation::Gue1 => {
                forged.extend([("another source port", with(21, 1)), ("another port", with(23, 1))]);
            }
        }
        if kind == Encapsulation::Gue {
            forged.extend([("a control message", with(28, 0x20)), ("GUE with flags", with(31, 1))]);
        }
        for (what, outer) in forged {
            expect_nothing(&mut world, LAN, &report(&outer, 1400, 200));
            assert_eq!(told(&mut world, &data("4", 1500 - overhead)), None, "{kind}: {what}");
        }
        expect_nothing(&mut world, LAN, &report(&outer, 1400, 200));
        assert_eq!(told(&mut world, &data("4", 1500 - overhead)), Some(1400 - overhead), "{kind}");
    }
}

#[test]
fn a_server_may_have_another_tunnel_than_its_service() {
    let mut plan = two_servers(Method::Tun);
    plan.first().tunnel = TunnelPlan { kind: Encapsulation::Gue, port: 6081, ..TunnelPlan::default() };
    plan.first().servers[1].tunnel =
        OwnTunnel { kind: Some(Encapsulation::Gre), checksum: Choice::On, ..OwnTunnel::default() };
    let mut world = World::new(&plan);
    let mut lines = Vec::new();
    for port in [4000, 4001] {
        let syn = tcp(&format!("203.0.113.10:{port}"), SERVICE, SYN).via_gateway();
        lines.push(world.lines(WAN, &syn).remove(0));
    }
    lines.sort();
    let gre = "lan: 198.51.100.1 > 198.51.100.12 ttl 64 gre [203.0.113.10:400";
    assert!(lines[0].starts_with(gre), "{lines:?}");
    assert!(lines[1].contains(" > 198.51.100.11:6081 udp ttl 64"), "{lines:?}");
}

/// Where the packets of clients come from, as servers see it.
fn outer_ends(plan: &Plan, is_udp: bool) -> Vec<(SocketAddr, u16)> {
    let mut world = World::new(plan);
    let mut ends = Vec::new();
    for port in 4000..4200 {
        let from = format!("203.0.113.10:{port}");
        let packet = if is_udp { udp(&from, SERVICE, b"x") } else { tcp(&from, SERVICE, SYN) };
        let mut of_flow = BTreeSet::new();
        for _ in 0..3 {
            let sent = world.receive(WAN, &packet.via_gateway()).remove(0);
            sent.line();
            let ip: [u8; 4] = sent.frame[26..30].try_into().unwrap();
            let port = u16::from_be_bytes([sent.frame[34], sent.frame[35]]);
            of_flow.insert((SocketAddr::from((ip, 0)), port));
        }
        assert_eq!(of_flow.len(), 1, "a flow has one source");
        ends.extend(of_flow);
    }
    ends
}

#[test]
fn gue_spreads_flows_over_dynamic_source_ports() {
    for is_udp in [false, true] {
        for kind in [Encapsulation::Gue, Encapsulation::Gue1] {
            let mut plan = plan("4", "4", kind, Choice::Default);
            plan.tunnel_sources = vec!["198.18.7.0/24".parse().unwrap()];
            let plan = if is_udp { plan.udp() } else { plan };
            let ends = outer_ends(&plan, is_udp);
            assert!(ends.iter().all(|(ip, port)| ip.ip().to_string() == "198.51.100.1" && *port >= 0xc000));
            let ports: BTreeSet<u16> = ends.iter().map(|(_, port)| *port).collect();
            assert!(ports.len() > 190, "{} of 200", ports.len());
            // Servers have few queues: each gets some.
            assert!((0..8).all(|queue| ports.iter().filter(|port| *port % 8 == queue).count() > 10));
        }
    }
}

#[test]
fn flows_by_ipip_and_gre_come_from_the_addresses_of_a_network() {
    for kind in [Encapsulation::Ipip, Encapsulation::Gre] {
        let mut plan = plan("4", "4", kind, Choice::Default);
        plan.tunnel_sources = vec!["198.18.7.0/26".parse().unwrap()];
        let sources: BTreeSet<SocketAddr> =
            outer_ends(&plan, false).into_iter().map(|(source, _)| source).collect();
        let network: ipnet::IpNet = "198.18.7.0/26".parse().unwrap();
        assert!(sources.iter().all(|source| network.contains(&source.ip())), "{sources:?}");
        assert!(sources.len() > 50, "{} of 64", sources.len());
        plan.tunnel_sources.clear();
        assert_eq!(
            outer_ends(&plan, false).iter().map(|(source, _)| source).collect::<BTreeSet<_>>().len(),
            1
        );
    }
}

#[test]
fn nobody_is_at_the_addresses_that_tunnels_come_from() {
    let mut plan = plan("4", "4", Encapsulation::Ipip, Choice::Default);
    plan.tunnel_sources = vec!["198.18.7.0/24".parse().unwrap()];
    let mut world = World::new(&plan);
    let (from, to) = (CLIENT_IP, "198.18.7.9".parse().unwrap());
    let ping = icmp(from, to, Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 1, seq: 1 }), b"ping");
    expect_nothing(&mut world, WAN, &ping.via_gateway());
    assert_eq!(world.dropped(DropReason::NotForUs), 1);
    expect_nothing(&mut world, WAN, &tcp(CLIENT, "198.18.7.9:80", SYN).via_gateway());
    assert_eq!(world.dropped(DropReason::NotForUs), 2);
    let stranger = tcp("198.18.7.9:80", CLIENT, ACK).bytes();
    expect_nothing(&mut world, LAN, &report(&stranger, 1400, 200));
    assert_eq!(world.dropped(DropReason::IcmpUnrelated), 1);
    let line = "lan: 198.18.7.149 > 198.51.100.11 ttl 64 [203.0.113.10:4000 > 192.0.2.100:80 tcp syn ttl 63]";
    expect(&mut world, WAN, &syn("4"), line);
}
