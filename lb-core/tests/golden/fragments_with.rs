//! Fragments with everything else: services of any port, one packet, persistence, tunnels' ports, the MSS clamp, and ICMP
//! errors that quote them.

use super::{
    common::{
        fragments::{assemble, cut, even, frame, piece},
        frame::*,
        frame6::*,
        plan::*,
        read,
        world::{Sent, Setup, World},
    },
    expect, expect_nothing,
};
use etherparse::{
    Icmpv4Type, Icmpv6Type, IpNumber, TcpHeader, TcpOptionElement, icmpv4::DestUnreachableHeader,
};
use lb_core::{
    conn::tunnel::Encapsulation,
    counters::DropReason,
    service::plan::{Method, PersistencePlan, Plan, TunnelPlan},
    time::Duration,
};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const CLIENT_V6: &str = "[2001:db8:a::10]:4000";
const SERVICE_V6: &str = "[2001:db8:1::100]:80";

fn pass(world: &mut World, pieces: &[Vec<u8>]) -> Vec<Sent> {
    pieces.iter().flat_map(|it| world.receive(WAN, &frame(WAN, it))).collect()
}

/// The station that all of a datagram goes to.
fn station(sent: &[Sent]) -> [u8; 6] {
    let station = *sent[0].frame.first_chunk().unwrap();
    assert!(sent.iter().all(|it| it.frame.starts_with(&station)), "all to one station");
    station
}

fn datagram(from: &str, to: &str, id: u32) -> Vec<Vec<u8>> {
    even(&udp(from, to, &[7; 4_000]).bytes(), id, 1_400)
}

#[test]
fn one_packet_is_a_datagram_with_all_its_fragments() {
    for (method, workers) in [(Method::Dr, 1), (Method::Tun, 1), (Method::Dr, 3)] {
        let mut plan = two_servers(method).udp();
        plan.first().one_packet = true;
        let mut world = World::with(&plan, Setup { workers, ..Setup::default() });
        let mut stations = Vec::new();
        for id in 0..6 {
            let mut pieces = datagram(CLIENT, SERVICE, id);
            // Whatever comes last.
            pieces.rotate_left(id as usize % 3);
            let sent = pass(&mut world, &pieces);
            assert_eq!(sent.len(), 3, "{method}: {id}");
            stations.push(station(&sent));
            assert!(world.connections().is_empty(), "{method}: none is kept");
        }
        let first = stations.iter().filter(|station| **station == stations[0]).count();
        assert!(first == 3 || workers > 1, "{method}: each is scheduled by itself");
    }
}

#[test]
fn a_service_of_any_port_gets_all_of_a_datagram_at_the_port_it_was_for() {
    let mut plan = network().with(service(Method::Nat, "192.0.2.100:0", &["198.51.100.11:0"])).udp();
    let mut world = World::new(&plan);
    for (port, id) in [(53, 1), (5_353, 2)] {
        let sent = pass(&mut world, &datagram(CLIENT, &format!("192.0.2.100:{port}"), id));
        let whole = assemble(sent.iter().map(|it| read::ip_packet(&it.frame).unwrap())).remove(0);
        read::check_ip(&whole).unwrap();
        let line = read::line(&frame(LAN, &whole));
        assert!(line.ends_with(&format!("> 198.51.100.11:{port} udp ttl 63")), "{line}");
    }
    plan.first().persistence =
        PersistencePlan { timeout: Duration::from_secs(300), ..PersistencePlan::default() };
    plan.first().servers.push(server("198.51.100.12:0", 1));
    let mut world = World::new(&plan);
    let stations: Vec<_> = (1..5)
        .map(|id| {
            let from = format!("203.0.113.10:{}", 4_000 + id);
            station(&pass(&mut world, &datagram(&from, &format!("192.0.2.100:{}", 50 + id), id)))
        })
        .collect();
    assert!(stations.iter().all(|station| *station == stations[0]), "a client stays with its server");
}

fn gue(vip: &str, server: &str) -> Plan {
    let mut plan = network6().with(service(Method::Tun, vip, &[server])).udp();
    plan.first().tunnel = TunnelPlan { kind: Encapsulation::Gue, ..TunnelPlan::default() };
    plan
}

#[test]
fn fragments_have_the_outer_port_of_their_flow() {
    for (vip, server, from) in [
        (SERVICE, "198.51.100.11:80", CLIENT),
        (SERVICE, "[2001:db8:2::11]:80", CLIENT),
        (SERVICE_V6, "198.51.100.11:80", CLIENT_V6),
    ] {
        let mut world = World::new(&gue(vip, server));
        let outer = if server.starts_with('[') { 40 } else { 20 };
        let port = |sent: &Sent| sent.frame[14 + outer..14 + outer + 2].to_vec();
        let (short, long) = match from {
            CLIENT => (udp(from, vip, b"?").bytes(), udp(from, vip, &[7; 4_000]).bytes()),
            _ => (udp6(from, vip, b"?").bytes(), udp6(from, vip, &[7; 4_000]).bytes()),
        };
        let whole = world.receive(WAN, &frame(WAN, &short)).remove(0);
        let sent = pass(&mut world, &even(&long, 9, 1_400));
        assert_eq!(sent.len(), 3);
        for sent in &sent {
            read::check_ip(read::ip_packet(&sent.frame).unwrap()).unwrap();
            assert_eq!(port(sent), port(&whole), "{vip} at {server}: they come in by one queue");
        }
    }
}

#[test]
fn a_report_that_quotes_a_fragment_in_a_tunnel_is_believed() {
    for quoted in [0, 1] {
        let mut world = World::new(&gue(SERVICE_V6, "198.51.100.11:80"));
        let sent = pass(&mut world, &even(&udp6(CLIENT_V6, SERVICE_V6, &[7; 4_000]).bytes(), 9, 1_400));
        let outer = &read::ip_packet(&sent[quoted].frame).unwrap()[..200];
        let header = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1_400 };
        let kind = Icmpv4Type::DestinationUnreachable(header);
        let report = icmp("198.51.100.9".parse().unwrap(), "198.51.100.1".parse().unwrap(), kind, outer);
        expect_nothing(&mut world, LAN, &report.via_server());
        let next = even(&udp6(CLIENT_V6, SERVICE_V6, &[7; 4_000]).bytes(), 10, 1_400);
        let lines = world.lines(WAN, &frame(WAN, &next[0]));
        assert!(lines[0].contains("too big for 1368"), "{quoted}: {lines:?}");
    }
}

#[test]
fn an_error_about_a_fragment_is_relayed_if_it_tells_whose_it_is() {
    for method in [Method::Nat, Method::FullNat] {
        let mut world = World::new(&one_server(method).udp());
        let sent = pass(&mut world, &datagram(CLIENT, SERVICE, 9));
        let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
        let local = if method.hides_clients() { LOCAL } else { CLIENT_IP };
        let about = |sent: &Sent| {
            let quote = &read::ip_packet(&sent.frame).unwrap()[..60];
            icmp(SERVERS[0], local, kind.clone(), quote).via_server()
        };
        let first = world.receive(LAN, &about(&sent[0])).remove(0);
        // The quote is cut off, so it is read by hand: addresses and ports as the client sent them.
        let packet = read::ip_packet(&first.frame).unwrap();
        assert_eq!(
            packet[28 + 12..28 + 24],
            even(&udp(CLIENT, SERVICE, &[7; 4_000]).bytes(), 9, 1_400)[0][12..24]
        );
        assert_eq!(first.frame[26..34], [192, 0, 2, 100, 203, 0, 113, 10], "{method}: from the VIP");
        expect_nothing(&mut world, LAN, &about(&sent[1]));
        assert_eq!(world.dropped(DropReason::IcmpUnrelated), 1, "{method}: a later one has no ports");
    }
    let mut world = World::new(&one_server6(Method::Nat).udp());
    let pieces = even(&udp6(CLIENT_V6, SERVICE_V6, &[7; 4_000]).bytes(), 9, 1_400);
    let sent = pass(&mut world, &pieces);
    let about = |sent: &Sent| {
        let quote = &read::ip_packet(&sent.frame).unwrap()[..80];
        icmp6(SERVERS6[0], CLIENT6, Icmpv6Type::PacketTooBig { mtu: 1_400 }, quote).via_server()
    };
    let first = world.receive(LAN, &about(&sent[0])).remove(0);
    let packet = read::ip_packet(&first.frame).unwrap();
    assert_eq!(packet[48 + 8..48 + 52], pieces[0][8..52], "as the client sent it");
    expect_nothing(&mut world, LAN, &about(&sent[1]));
}

#[test]
fn the_mss_is_lowered_in_a_first_fragment_and_later_ones_are_left_alone() {
    let mut header = TcpHeader::new(4_000, 80, 1_000, 8_192);
    header.syn = true;
    header.set_options(&[TcpOptionElement::MaximumSegmentSize(1_460)]).unwrap();
    // What follows looks like the option.
    let data = [2_u8, 4, 0x05, 0xb4].repeat(40);
    let (from, to) = (endpoint(CLIENT), endpoint(SERVICE));
    header.checksum = header.calc_checksum_ipv4_raw(from.ip().octets(), to.ip().octets(), &data).unwrap();
    let segment = [header.to_bytes().as_slice(), &data].concat();
    let packet = Ip::new(IpNumber::TCP, *from.ip(), *to.ip(), segment).bytes();
    for sizes in [[24, 200], [64, 200]] {
        let mut world = World::new(&one_server(Method::Tun));
        let sent = pass(&mut world, &cut(&packet, 9, sizes));
        let inner = sent.iter().map(|it| &read::ip_packet(&it.frame).unwrap()[20..]);
        let whole = assemble(inner).remove(0);
        read::check_ip(&whole).expect("a right checksum");
        assert_eq!(whole[20 + 20..20 + 24], [2, 4, 0x05, 0xa0], "1440 fit");
        assert_eq!(whole[20 + 24..], data, "and all else is as it was");
    }
    let (header, payload) = packet.split_at(20);
    let mut world = World::new(&one_server(Method::Tun));
    expect_nothing(&mut world, WAN, &frame(WAN, &piece(header, 9, 0, &payload[..16], true)));
    assert_eq!(world.dropped(DropReason::FragmentTiny), 1, "without the whole header nothing is opened");
    let line = "lan: 198.51.100.1 > 198.51.100.11 ttl 64 [203.0.113.10:4000 > 192.0.2.100:80 tcp syn ttl 63]";
    expect(&mut world, WAN, &frame(WAN, &packet), line);
}
