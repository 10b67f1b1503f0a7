//! Packets that are larger than the way out: fragmented where their senders allow it or would not send smaller ones.

use super::{
    common::{
        fragments::{assemble, even, frame},
        frame::*,
        frame6::*,
        plan::*,
        read,
        world::{Sent, World},
    },
    expect, expect_nothing,
};
use etherparse::{Icmpv4Type, Icmpv6Type, Ipv4HeaderSlice, icmpv4::DestUnreachableHeader};
use lb_core::{
    conn::tunnel::Encapsulation,
    counters::DropReason,
    service::plan::{Choice, Method, Plan, TunnelPlan},
    wire::ethernet::Tags,
};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const SERVER: &str = "198.51.100.11:8080";

/// A service over UDP with one server, behind interfaces that carry so much.
fn plan(method: Method, (vip, server): (&str, &str), mtu: u16) -> Plan {
    let port = if method.rewrites_endpoints() { 8080 } else { 80 };
    let vip = if vip == "4" { SERVICE } else { "[2001:db8:1::100]:80" };
    let server =
        if server == "4" { format!("198.51.100.11:{port}") } else { format!("[2001:db8:2::11]:{port}") };
    network6().with(service(method, vip, &[&server])).udp().mtu(LAN, mtu)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn datagram(len: usize) -> Ip {
    udp(CLIENT, SERVICE, &(0..len - 28).map(|at| (at / 3) as u8).collect::<Vec<_>>()).may_fragment()
}

fn lens(sent: &[Sent]) -> Vec<usize> {
    sent.iter().map(|it| read::ip_packet(&it.frame).unwrap().len()).collect()
}

/// The one packet that fragments are of, right in every checksum, as a line.
fn whole<'a>(packets: impl IntoIterator<Item = &'a [u8]>) -> String {
    let [whole] = &assemble(packets)[..] else { panic!("one packet") };
    read::check_ip(whole).expect("right in every checksum");
    read::line(&ethernet(LAN_MAC, WAN_MAC, if whole[0] >> 4 == 6 { 0x86dd } else { 0x0800 }, whole))
}

fn packets(sent: &[Sent]) -> Vec<&[u8]> {
    sent.iter().map(|it| read::ip_packet(&it.frame).unwrap()).collect()
}

/// Byte for byte what scapy makes; see `fragmenting.py`.
#[test]
fn fragments_are_as_an_independent_program_makes_them() {
    // Fragments of one datagram follow one another, and need the same director.
    let mut worlds = std::collections::HashMap::new();
    for (line, number) in include_str!("fragmenting.txt").lines().zip(0..) {
        let words: Vec<&str> = line.split(' ').collect();
        let [method, vip, server, mtu, packet, expected @ ..] = &words[..] else { panic!("{line}") };
        let method: Method = method.parse().unwrap();
        let packet = bytes(packet);
        let is_whole = packet[0] >> 4 == 6 || [packet[6] & 0x3f, packet[7]] == [0, 0];
        let key = (method, *vip, *server, if is_whole { number } else { 0 });
        let world = worlds
            .entry(key)
            .or_insert_with(|| World::new(&plan(method, (vip, server), mtu.parse().unwrap())));
        let before = world.counters(0).originated.get();
        let sent = world.receive(WAN, &frame(WAN, &packet));
        let made: Vec<String> = packets(&sent).into_iter().map(hex).collect();
        assert_eq!(made, expected, "line {number}: {method}, {vip} in {server}");
        assert_eq!(world.counters(0).originated.get() - before, sent.len() as u64 - 1);
        assert!(sent.iter().all(|it| it.frame.starts_with(&sent[0].frame[..14])), "to one station");
    }
}

#[test]
fn in_every_method_and_direction_a_datagram_arrives_as_it_was() {
    for (method, to) in [(Method::Nat, SERVER), (Method::FullNat, SERVER), (Method::Dr, SERVICE)] {
        let mut world = World::new(&plan(method, ("4", "4"), 600).mtu(WAN, 700));
        let sent = world.receive(WAN, &datagram(1_500).via_gateway());
        assert_eq!(lens(&sent), [596, 596, 348], "{method}");
        let line = whole(packets(&sent));
        assert!(line.contains(&format!("> {to} udp ttl 63")), "{method}: {line}");
        let client = line.split(' ').next().unwrap();
        if method.sees_replies() {
            let reply = udp(SERVER, client, &[7; 1_472]).may_fragment().via_server();
            let back = world.receive(LAN, &reply);
            assert_eq!(lens(&back), [700, 700, 140], "{method}");
            assert_eq!(whole(packets(&back)), format!("{SERVICE} > {CLIENT} udp ttl 63"));
        }
        let counters = world.counters(0);
        let (fragmented, made) = (counters.fragmented.get(), counters.made_fragments.get());
        assert_eq!((fragmented, made), if method.sees_replies() { (2, 6) } else { (1, 3) });
        assert_eq!(world.connections()[0].packets(lb_core::conn::entry::Direction::In), 1, "as it came");
    }
}

#[test]
fn tcp_without_do_not_fragment_goes_on_in_fragments() {
    let mut world = World::new(&one_server(Method::Nat).mtu(LAN, 576));
    world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let segment = tcp_with(endpoint(CLIENT), endpoint(SERVICE), ACK, &[9; 1_400]);
    let sent = world.receive(WAN, &segment.clone().may_fragment().via_gateway());
    assert_eq!(whole(packets(&sent)), format!("{CLIENT} > {SERVER} tcp ack ttl 63"));
    let line = "wan: 192.0.2.1 > 203.0.113.10 icmp too big for 576 \
                [203.0.113.10:4000 > 192.0.2.100:80 tcp ack ttl 64] ttl 64";
    expect(&mut world, WAN, &segment.via_gateway(), line);
}

#[test]
fn fragments_are_fragmented_again() {
    for method in [Method::Nat, Method::FullNat, Method::Dr] {
        let mut world = World::new(&plan(method, ("4", "4"), 576));
        let mut pieces = even(&datagram(6_000).bytes(), 9, 1_480);
        pieces.reverse();
        let sent: Vec<Sent> = pieces.iter().flat_map(|it| world.receive(WAN, &frame(WAN, it))).collect();
        assert!(sent.len() > 10 && lens(&sent).iter().all(|len| *len <= 576), "{method}");
        assert_eq!(sent[0].frame[20..22], [0x20, 0], "the first goes first");
        assert!(whole(packets(&sent)).ends_with("udp ttl 63"), "{method}");
    }
}

/// RFC 791 3.1: a router alert (148) and a loose route (131) are in all, a recorded route (7) and a timestamp (68) in the first.
#[test]
fn options_are_in_all_fragments_or_in_the_first() {
    let options = [
        [7, 7, 4, 0, 0, 0, 0, 1].as_slice(),
        &[148, 4, 0, 0],
        &[68, 8, 5, 0, 0, 0, 0, 0],
        &[1, 1, 1, 131, 3, 4, 0, 0],
    ]
    .concat();
    let mut world = World::new(&plan(Method::Nat, ("4", "4"), 576));
    let packet = datagram(1_400).options(&options);
    let sent = world.receive(WAN, &packet.via_gateway());
    let headers = packets(&sent).into_iter().map(|it| Ipv4HeaderSlice::from_slice(it).unwrap());
    let found: Vec<Vec<u8>> = headers.map(|header| header.options().to_vec()).collect();
    assert_eq!(found, [options, vec![148, 4, 0, 0, 131, 3, 4, 0], vec![148, 4, 0, 0, 131, 3, 4, 0]]);
    let mut payload = Vec::new();
    for packet in packets(&sent) {
        read::check_ipv4_header(packet).unwrap();
        let header = Ipv4HeaderSlice::from_slice(packet).unwrap();
        assert_eq!(usize::from(header.fragments_offset().value()) * 8, payload.len());
        payload.extend_from_slice(&packet[header.slice().len()..]);
    }
    assert_eq!(payload[8..], packet.payload[8..], "all of it, with other ports");
}

#[test]
fn in_a_tunnel_of_any_kind_each_fragment_is_a_packet_of_the_tunnel() {
    for (kind, checksum, overhead) in [
        (Encapsulation::Ipip, Choice::Default, 20),
        (Encapsulation::Gre, Choice::On, 28),
        (Encapsulation::Gue, Choice::On, 32),
        (Encapsulation::Gue1, Choice::Off, 28),
    ] {
        for server in ["4", "6"] {
            let mut plan = plan(Method::Tun, ("4", server), 1_280);
            plan.first().tunnel = TunnelPlan { kind, checksum, ..TunnelPlan::default() };
            let overhead = overhead + if server == "6" { 20 } else { 0 };
            let mut world = World::new(&plan);
            let sent = world.receive(WAN, &datagram(1_490).via_gateway());
            let outer = packets(&sent);
            outer.iter().for_each(|packet| read::check_ip(packet).expect("right, with all that is in it"));
            assert!(outer.iter().all(|packet| packet.len() <= 1_280), "{kind} {server}");
            let ports: Vec<&[u8]> = outer.iter().map(|it| &it[overhead - 12..overhead - 8]).collect();
            assert!(kind != Encapsulation::Gue || ports.iter().all(|it| *it == ports[0]), "one source port");
            let inner = outer.iter().map(|packet| &packet[overhead..]);
            assert_eq!(whole(inner), format!("{CLIENT} > {SERVICE} udp ttl 63"), "{kind} {server}");
        }
    }
}

/// What a router reports of a tunnel's packet.
fn report(outer: &[u8], mtu: u16) -> Vec<u8> {
    if outer[0] >> 4 == 6 {
        let kind = Icmpv6Type::PacketTooBig { mtu: mtu.into() };
        return icmp6(
            "2001:db8:2::9".parse().unwrap(),
            "2001:db8:2::1".parse().unwrap(),
            kind,
            &outer[..200],
        )
        .via_server();
    }
    let header = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu };
    let kind = Icmpv4Type::DestinationUnreachable(header);
    icmp("198.51.100.9".parse().unwrap(), "198.51.100.1".parse().unwrap(), kind, &outer[..200]).via_server()
}

fn datagram6(len: usize) -> Ip6 {
    udp6("[2001:db8:a::10]:4000", "[2001:db8:1::100]:80", &vec![7; len - 48])
}

#[test]
fn a_learnt_path_mtu_has_packets_fragmented_in_the_tunnel() {
    for (server, overhead) in [("4", 20), ("6", 40)] {
        let mut world = World::new(&plan(Method::Tun, ("4", server), 1_500));
        let mut fixed = datagram(1_400);
        fixed.header.dont_fragment = true;
        let sent = world.receive(WAN, &fixed.via_gateway()).remove(0);
        expect_nothing(&mut world, LAN, &report(read::ip_packet(&sent.frame).unwrap(), 1_300));
        let sent = world.receive(WAN, &datagram(1_400).via_gateway());
        assert_eq!(sent.len(), 2, "{server}");
        assert!(lens(&sent).iter().all(|len| *len <= 1_300));
        let inner = packets(&sent).into_iter().map(|packet| &packet[overhead..]);
        assert_eq!(whole(inner), format!("{CLIENT} > {SERVICE} udp ttl 63"));
        world.pass(11 * 60 * 1_000);
        assert_eq!(world.receive(WAN, &datagram(1_400).via_gateway()).len(), 1, "believed for ten minutes");
    }
}

/// RFC 2473 7.1: nobody makes packets of IPv6 smaller than 1280 bytes, and no system those of IPv4 than 576.
#[test]
fn what_senders_do_not_make_smaller_is_fragmented_outside() {
    // By a port that carries little, or by a router's report.
    for (vip, server, mtu, learnt, least) in [
        ("6", "6", 1_500, Some(1_290), 1_280),
        ("6", "6", 1_280, None, 1_280),
        ("6", "4", 1_290, None, 1_280),
        ("4", "4", 580, None, 576),
        ("6", "4", 576, None, 1_280),
    ] {
        let named = format!("{vip} in {server} by {mtu}, {learnt:?}");
        let mut world = World::new(&plan(Method::Tun, (vip, server), mtu));
        let data = |len: usize| match vip {
            "6" => datagram6(len).via_gateway(),
            _ => udp(CLIENT, SERVICE, &vec![7; len - 28]).via_gateway(),
        };
        if let Some(mtu) = learnt {
            let sent = world.receive(WAN, &data(1_400)).remove(0);
            expect_nothing(&mut world, LAN, &report(read::ip_packet(&sent.frame).unwrap(), mtu));
        }
        let sent = world.receive(WAN, &data(least));
        let most = usize::from(learnt.unwrap_or(mtu));
        assert!(sent.len() > 1 && lens(&sent).iter().all(|len| *len <= most), "{named}: {:?}", lens(&sent));
        let [outer] = &assemble(packets(&sent))[..] else { panic!("one packet") };
        read::check_ip(outer).expect("right, with what is in it");
        assert_eq!(outer.len(), least + if server == "6" { 40 } else { 20 });
        let next = world.receive(WAN, &data(least));
        assert_ne!(packets(&sent)[0], packets(&next)[0], "another identification");
        let told = world.lines(WAN, &data(least + 1)).remove(0);
        assert!(told.contains(&format!("too big for {least}")), "{named}: {told}");
        assert_eq!(world.receive(WAN, &data(most - 40)).len(), 1, "{named}: what fits goes on whole");
    }
}

#[test]
fn tags_are_of_the_interface_that_fragments_leave_by() {
    let mut plan = plan(Method::Nat, ("4", "4"), 576);
    plan.interfaces[WAN_SIDE.index()].tags = Tags::vlan(5);
    let mut world = World::new(&plan);
    world.receive(WAN, &tagged(&arp_reply((GATEWAY_MAC, GATEWAY), (WAN_MAC, [192, 0, 2, 1].into())), 5));
    let sent = world.receive(WAN, &tagged(&datagram(1_400).via_gateway(), 5));
    assert_eq!(lens(&sent), [572, 572, 296]);
    assert_eq!(whole(packets(&sent)), format!("{CLIENT} > {SERVER} udp ttl 63"));
}

#[test]
fn without_buffers_nothing_of_a_packet_leaves() {
    for pool in 0..3 {
        let mut world = World::new(&plan(Method::Nat, ("4", "4"), 576));
        world.ios[0].pool = pool;
        let sent = world.receive(WAN, &datagram(1_400).via_gateway());
        assert_eq!(sent.len(), if pool < 2 { 0 } else { 3 });
        let counters = world.counters(0);
        assert_eq!(world.dropped(DropReason::NoBuffer), u64::from(pool < 2));
        assert_eq!(
            (counters.fragmented.get(), counters.no_buffer.get()),
            if pool < 2 { (0, 1) } else { (1, 0) }
        );
    }
}

#[test]
fn an_error_that_is_too_large_is_fragmented_as_well() {
    for method in [Method::Nat, Method::FullNat, Method::Tun, Method::Dr] {
        let mut world = World::new(&plan(method, ("4", "4"), 576));
        let sent = world.receive(WAN, &udp(CLIENT, SERVICE, b"?").via_gateway());
        assert_eq!(sent.len(), 1);
        let quoted = udp(SERVICE, CLIENT, &[7; 900]).ttl(60).bytes();
        let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
        let error = icmp(CLIENT_IP, VIP, kind, &quoted).may_fragment().via_gateway();
        let sent = world.receive(WAN, &error);
        assert!(sent.len() == 2 && lens(&sent).iter().all(|len| *len <= 576), "{method}");
        let skipped = if method == Method::Tun { 20 } else { 0 };
        let line = whole(packets(&sent).into_iter().map(|packet| &packet[skipped..]));
        assert!(line.contains("icmp port unreachable ["), "{method}: {line}");
    }
}
