//! Servers of another family than their clients: what becomes of headers, errors and fragments on the way, RFC 7915.

use super::{
    common::{
        fragments::{even, frame},
        frame::*,
        frame6::*,
        plan::*,
        read,
        world::World,
    },
    dump, expect, expect_nothing,
};
use etherparse::{Icmpv4Type, Icmpv6Type, icmpv4::DestUnreachableHeader, icmpv6};
use lb_core::{
    counters::DropReason,
    family::V6,
    packet::{PortId, WorkerId},
    service::plan::{ClientAddress, Plan},
};
use std::net::{Ipv4Addr, Ipv6Addr};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const SERVER: &str = "198.51.100.11:8080";
const CLIENT_6: &str = "[2001:db8:a::10]:4000";
const SERVICE_6: &str = "[2001:db8:1::100]:80";
const SERVER_6: &str = "[2001:db8:2::11]:8080";
const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 99);
const ROUTER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x99);

/// Clients of IPv6, a server of IPv4.
fn to_ipv4() -> Plan {
    one_server_of_other_family(true)
}

/// The reverse.
fn to_ipv6() -> Plan {
    one_server_of_other_family(false)
}

/// The local port of the one connection.
fn port(world: &World) -> u16 {
    let (_, connection) =
        world.workers[0].connections::<V6>().iter(0..u32::MAX).next().expect("a connection");
    connection.local().unwrap().1
}

/// The endpoint that the server sees.
fn local(world: &World) -> String {
    format!("198.51.100.20:{}", port(world))
}

fn local_6(world: &World) -> String {
    format!("[2001:db8:2::20]:{}", port(world))
}

/// A connection of a client of IPv6 that its server has agreed to.
fn connected(plan: &Plan) -> World {
    let mut world = World::new(plan);
    let local = {
        let sent = world.receive(WAN, &tcp6(CLIENT_6, SERVICE_6, SYN).via_gateway());
        assert_eq!(sent.len(), 1);
        local(&world)
    };
    assert_eq!(sent_line(&mut world, LAN, &tcp(SERVER, &local, SYN | ACK).via_server()).len(), 1);
    world
}

fn sent_line(world: &mut World, port: PortId, frame: &[u8]) -> Vec<String> {
    world.lines(port, frame)
}

#[test]
fn a_request_of_ipv6_goes_to_a_server_of_ipv4() {
    let mut world = World::new(&to_ipv4());
    let mut syn = tcp6(CLIENT_6, SERVICE_6, SYN).bytes();
    // A traffic class, and a flow label, which IPv4 has not.
    (syn[0], syn[1], syn[2]) = (0x6b, 0x81, 0x23);
    let sent = world.receive(WAN, &ethernet(WAN_MAC, GATEWAY_MAC, 0x86dd, &syn)).remove(0);
    let port = port(&world);
    assert_eq!(sent.line(), format!("lan: 198.51.100.20:{port} > {SERVER} tcp syn ttl 63"));
    let frame = dump(&sent.frame);
    assert_eq!(frame[0], "02000000020b0200000000020800", "EtherType of IPv4, to the server's station");
    // Its class, 40 bytes, may be fragmented, and so has an identification.
    assert!(frame[1].starts_with("45b80028") && &frame[1][8..12] != "0000", "{frame:?}");
    assert_eq!(&frame[1][12..20], "00003f06");
    // And back.
    let reply = tcp(SERVER, &format!("198.51.100.20:{port}"), SYN | ACK).via_server();
    let line = format!("wan: {SERVICE_6} > {CLIENT_6} tcp syn ack ttl 63");
    let sent = expect(&mut world, LAN, &reply, &line);
    assert_eq!(dump(&sent.frame)[0], "0200000001fe02000000000186dd");
}

#[test]
fn a_request_of_ipv4_goes_to_a_server_of_ipv6() {
    let mut world = World::new(&to_ipv6());
    let syn = tcp(CLIENT, SERVICE, SYN).options(&[1, 1, 1, 0]).via_gateway();
    let sent = world.receive(WAN, &syn).remove(0);
    let local = local_6(&world);
    assert_eq!(sent.line(), format!("lan: {local} > {SERVER_6} tcp syn ttl 63"), "options are left out");
    let reply = tcp6(SERVER_6, &local, SYN | ACK).via_server();
    expect(&mut world, LAN, &reply, &format!("wan: {SERVICE} > {CLIENT} tcp syn ack ttl 63"));
    let data = |len: usize| tcp_with(endpoint(CLIENT), endpoint(SERVICE), ACK, &vec![b'x'; len - 40]);
    expect(&mut world, WAN, &data(1_480).via_gateway(), &format!("lan: {local} > {SERVER_6} tcp ack ttl 63"));
    // 20 bytes more than IPv4's.
    let line = format!(
        "wan: 192.0.2.1 > 203.0.113.10 icmp too big for 1480 [{CLIENT} > {SERVICE} tcp ack ttl 64] ttl 64"
    );
    expect(&mut world, WAN, &data(1_481).via_gateway(), &line);
}

/// RFC 7915 4: what routers of IPv4 may fragment and is too large for IPv6 goes on in fragments that fit every way there.
/// Fragments are cut again even where they fit the way out, since nobody would make them smaller for a way behind it.
#[test]
fn what_may_be_fragmented_goes_on_in_fragments() {
    for is_reply in [true, false] {
        let plan = if is_reply { to_ipv4() } else { to_ipv6() }.udp();
        let mut world = World::new(&plan);
        let (port, from, to) = match is_reply {
            true => {
                world.receive(WAN, &udp6(CLIENT_6, SERVICE_6, b"?").via_gateway());
                (LAN, SERVER, local(&world))
            }
            false => (WAN, CLIENT, SERVICE.to_owned()),
        };
        // What each leaves in: packets of so many bytes.
        let mut leaves = |id: u16, len: usize, size: Option<usize>| {
            let mut whole = udp(from, &to, &vec![b'y'; len - 28]).may_fragment();
            whole.header.identification = id;
            let bytes = whole.bytes();
            let pieces = size.map_or_else(|| vec![bytes.clone()], |size| even(&bytes, id.into(), size));
            let sent: Vec<_> =
                pieces.iter().flat_map(|piece| world.receive(port, &frame(port, piece))).collect();
            let packets: Vec<&[u8]> = sent.iter().map(|sent| read::ip_packet(&sent.frame).unwrap()).collect();
            assert!(packets.iter().all(|packet| packet[1..4] == [0; 3]), "no flow label");
            let whole = match packets[..] {
                [packet] if packet[6] != 44 => packet.to_vec(),
                _ => super::common::fragments::assemble(packets.iter().copied()).remove(0),
            };
            read::check_ip(&whole).expect("the datagram");
            assert_eq!(whole.len(), len + 20);
            packets.iter().map(|packet| packet.len()).collect::<Vec<_>>()
        };
        assert_eq!(leaves(1, 1_480, None), [1_500], "it fits");
        assert_eq!(leaves(2, 1_481, None), [1_280, 277]);
        assert_eq!(leaves(3, 1_500, None), [1_280, 296]);
        assert_eq!(leaves(4, 3_028, Some(1_480)), [1_280, 296, 1_280, 296, 96]);
        assert_eq!(leaves(5, 1_260, Some(1_232)), [1_280, 56]);
        assert_eq!((world.counters(0).fragmented.get(), world.counters(0).made_fragments.get()), (4, 8));
    }
    // Also where the header of the PROXY protocol makes it too large, and explanations say so.
    let mut plan = to_ipv6().udp();
    plan.first().client_address = ClientAddress::ProxyV2;
    let mut world = World::new(&plan);
    let large = udp(CLIENT, SERVICE, &[b'y'; 1_450]).may_fragment().via_gateway();
    let packet = lb_core::memory::MemoryPacket::new(WAN, &large);
    let origin = lb_core::decide::Origin::Port;
    let explained = world.workers[0].explain(world.now, &packet, origin, &world.ios[0]);
    assert!(explained.steps.iter().any(|step| step.text.contains("fragmented into 2")), "{explained:?}");
    let sent = world.receive(WAN, &large);
    let lb_core::explanation::Outcome::Sent { frame, .. } = &explained.outcome else {
        panic!("{explained:?}")
    };
    assert_eq!((sent.len(), &sent[0].frame), (2, frame));
    // Its sender forbids it: as before.
    let whole = udp(CLIENT, SERVICE, &[b'y'; 1_472]).via_gateway();
    assert!(sent_line(&mut world, WAN, &whole)[0].contains("icmp too big for 1428"));
}

/// RFC 7915 4.1: a way that the sender has chosen and that is not at its end leads to somebody else.
#[test]
fn what_has_a_way_of_its_own_to_go_ends() {
    let mut world = connected(&to_ipv4());
    let reply = tcp(SERVER, &local(&world), ACK);
    let mut passes = |options: &[u8]| {
        let before = world.dropped(DropReason::Untranslatable);
        let sent = world.receive(LAN, &reply.clone().options(options).via_server()).len() as u64;
        assert_eq!(world.dropped(DropReason::Untranslatable) - before, 1 - sent, "{options:?}");
        sent == 1
    };
    for kind in [131, 137] {
        assert!(!passes(&[1, kind, 7, 4, 198, 51, 100, 9]), "not at its end");
        assert!(!passes(&[7, 3, 4, kind, 7, 4, 198, 51, 100, 9, 0, 0]), "behind another option");
        assert!(passes(&[1, kind, 7, 8, 198, 51, 100, 9]), "at its end");
    }
    assert!(passes(&[7, 7, 4, 131, 7, 4, 9, 0]), "within another option");
    assert!(passes(&[0, 131, 7, 4, 198, 51, 100, 9]), "behind the end of the list");
}

/// What routers on the client's side report of the server's packets, and what comes with its last hop.
#[test]
fn errors_from_clients_side_reach_servers_of_the_other_family() {
    let mut world = connected(&to_ipv4());
    let local_end = local(&world);
    let quote = tcp6_with(endpoint6(SERVICE_6), endpoint6(CLIENT_6), ACK, &[b'x'; 1_400]).bytes();
    let router = "2001:db8:ff::1".parse().unwrap();
    for (mtu, told) in [(1_400, 1_380), (1_280, 1_260)] {
        let report = icmp6(router, VIP6, Icmpv6Type::PacketTooBig { mtu }, &quote[..1_200]);
        let line = format!(
            "lan: 198.51.100.20 > 198.51.100.11 icmp too big for {told} [{SERVER} > {local_end} tcp ack ttl 64] ttl 63"
        );
        expect(&mut world, WAN, &report.via_gateway(), &line);
    }
    let last = tcp(SERVER, &local_end, ACK).ttl(1).via_server();
    let line = format!(
        "lan: 198.51.100.1 > 198.51.100.11 icmp time exceeded [{SERVER} > {local_end} tcp ack ttl 1] ttl 64"
    );
    expect(&mut world, LAN, &last, &line);

    let mut world = World::new(&to_ipv6());
    world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let local_end = local_6(&world);
    let quote = tcp_with(endpoint(SERVICE), endpoint(CLIENT), ACK, &[b'x'; 1_400]).bytes();
    for (mtu, told) in [(1_400, 1_420), (576, 1_280), (0, 1_280)] {
        let needed = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu };
        let report =
            icmp(Ipv4Addr::new(198, 18, 0, 1), VIP, Icmpv4Type::DestinationUnreachable(needed), &quote[..28]);
        let line = format!(
            "lan: 2001:db8:2::20 > 2001:db8:2::11 icmpv6 too big for {told} [{SERVER_6} > {local_end} tcp cut ttl 64] ttl 63"
        );
        expect(&mut world, WAN, &report.options(&[1, 1, 1, 0]).via_gateway(), &line);
    }
    let last = tcp6(SERVER_6, &local_end, ACK).ttl(1).via_server();
    let line = format!(
        "lan: 2001:db8:2::1 > 2001:db8:2::11 icmpv6 time exceeded [{SERVER_6} > {local_end} tcp ack ttl 1] ttl 64"
    );
    expect(&mut world, LAN, &last, &line);
}

/// As within one family: open connections keep it, and their server finds them.
#[test]
fn a_local_address_that_is_removed_serves_its_connections() {
    let mut plan = to_ipv4();
    let mut world = connected(&plan);
    let local = local(&world);
    plan.services[0].local_addresses = vec!["198.51.100.21".parse().unwrap()];
    world.exchange(&plan);
    let line = format!("wan: {SERVICE_6} > {CLIENT_6} tcp ack ttl 63");
    expect(&mut world, LAN, &tcp(SERVER, &local, ACK).via_server(), &line);
    let line = format!("lan: {local} > {SERVER} tcp ack ttl 63");
    expect(&mut world, WAN, &tcp6(CLIENT_6, SERVICE_6, ACK).via_gateway(), &line);
}

/// A connection goes on in the next run with its local end, and with how far its server has been told.
#[test]
fn connections_go_on_in_the_next_run() {
    for told in [ClientAddress::Packets, ClientAddress::ProxyV2, ClientAddress::Toa] {
        let mut plan = to_ipv4();
        plan.first().client_address = told;
        let before = connected(&plan);
        let local = local(&before);
        let saved: Vec<_> = before.workers[0].saved::<V6>(before.now).collect();
        let mut after = World::new(&plan);
        let now = after.now;
        assert_eq!(after.workers[0].restore(now, &saved[0], Some(WorkerId(0))), Ok(()), "{told}");
        let line = format!("wan: {SERVICE_6} > {CLIENT_6} tcp ack ttl 63");
        expect(&mut after, LAN, &tcp(SERVER, &local, ACK).via_server(), &line);
    }
}

#[test]
fn large_packets_must_not_be_fragmented() {
    let mut world = connected(&to_ipv4());
    let data = |len: usize| tcp6_with(endpoint6(CLIENT_6), endpoint6(SERVICE_6), ACK, &vec![b'x'; len - 60]);
    // RFC 7915 5.1: 1260 bytes of IPv4 may be, more may not.
    for (len, word) in [(1_280, "0000"), (1_281, "4000")] {
        let sent = world.receive(WAN, &data(len).via_gateway()).remove(0);
        read::line(&sent.frame);
        assert_eq!((sent.frame.len(), &dump(&sent.frame)[1][12..16]), (14 + len - 20, word));
    }
}

#[test]
fn datagrams_of_ipv4_get_the_checksum_that_ipv6_wants() {
    let mut world = World::new(&to_ipv6().udp());
    let mut query = udp(CLIENT, SERVICE, b"query");
    query.payload[6..8].fill(0);
    let sent = world.receive(WAN, &query.via_gateway()).remove(0);
    assert_eq!(sent.line(), format!("lan: {} > {SERVER_6} udp ttl 63", local_6(&world)));
    assert_ne!(sent.frame[60..62], [0, 0]);
    // In fragments nobody can compute it.
    let whole = udp(CLIENT, SERVICE, &[b'x'; 100]);
    let mut whole = whole.may_fragment();
    whole.payload[6..8].fill(0);
    let first = &even(&whole.bytes(), 9, 64)[0];
    expect_nothing(&mut world, WAN, &frame(WAN, first));
    assert_eq!(world.dropped(DropReason::Untranslatable), 1);
}

#[test]
fn fragments_go_on_as_fragments() {
    let mut world = World::new(&to_ipv4().udp());
    let whole = udp6(CLIENT_6, SERVICE_6, &[b'x'; 1_000]);
    let mut packets = Vec::new();
    for piece in even(&whole.bytes(), 0x1234_5678, 400) {
        let sent = world.receive(WAN, &frame(WAN, &piece)).remove(0);
        packets.push(read::ipv4_packet(&sent.frame).unwrap().to_vec());
    }
    assert!(packets.iter().all(|packet| packet[4..6] == [0x56, 0x78]), "the lower half of its number");
    let whole = super::common::fragments::assemble(packets.iter().map(Vec::as_slice));
    read::check_ip(&whole[0]).expect("the datagram");
    assert_eq!((whole.len(), whole[0].len()), (1, 1_028));
    // And those of the server's answer.
    let answer = udp(SERVER, &local(&world), &[b'y'; 1_000]).may_fragment();
    let mut packets = Vec::new();
    for piece in even(&answer.bytes(), 7, 400) {
        for sent in world.receive(LAN, &frame(LAN, &piece)) {
            packets.push(read::ip_packet(&sent.frame).unwrap().to_vec());
        }
    }
    let whole = super::common::fragments::assemble(packets.iter().map(Vec::as_slice));
    read::check_ip(&whole[0]).expect("the answer");
    assert_eq!((whole.len(), whole[0].len()), (1, 1_048));
}

#[test]
fn a_router_of_ipv4_tells_a_client_of_ipv6_what_the_way_carries() {
    let mut world = connected(&to_ipv4());
    let local = local(&world);
    let quote = tcp_with(endpoint(&local), endpoint(SERVER), ACK, &[b'x'; 1_460]).bytes();
    let needed = |mtu| {
        let header = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu };
        icmp(ROUTER, LOCAL, Icmpv4Type::DestinationUnreachable(header), &quote[..100]).via_server()
    };
    let too_big = |mtu| {
        format!(
            "wan: 2001:db8:1::100 > 2001:db8:a::10 icmpv6 too big for {mtu} [{CLIENT_6} > {SERVICE_6} tcp ack ttl 64] ttl 63"
        )
    };
    expect(&mut world, LAN, &needed(1_400), &too_big(1_420));
    // Less than IPv6 has: routers may fragment what is so small.
    expect(&mut world, LAN, &needed(600), &too_big(1_280));
    expect(&mut world, LAN, &needed(0), &too_big(1_280));
    let host = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
    let report = icmp(ROUTER, LOCAL, host, &quote[..28]).via_server();
    let lines = sent_line(&mut world, LAN, &report);
    assert!(lines[0].contains("icmpv6") && lines[0].contains(SERVICE_6), "{lines:?}");
}

#[test]
fn a_router_of_ipv6_tells_a_client_of_ipv4_what_the_way_carries() {
    let mut world = World::new(&to_ipv6());
    world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let local = local_6(&world);
    let quote = tcp6_with(endpoint6(&local), endpoint6(SERVER_6), ACK, &[b'x'; 1_400]).bytes();
    let report =
        icmp6(ROUTER_6, LOCAL6, Icmpv6Type::PacketTooBig { mtu: 1_400 }, &quote[..1_200]).via_server();
    let line = format!(
        "wan: 192.0.2.100 > 203.0.113.10 icmp too big for 1380 [{CLIENT} > {SERVICE} tcp ack ttl 64] ttl 63"
    );
    expect(&mut world, LAN, &report, &line);
    let report = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
    let lines = sent_line(&mut world, LAN, &icmp6(ROUTER_6, LOCAL6, report, &quote[..100]).via_server());
    assert!(lines[0].starts_with("wan: 192.0.2.100 > 203.0.113.10 icmp"), "{lines:?}");
}

#[test]
fn what_is_refused_is_told_in_the_senders_family() {
    // By a reset, and by errors of ICMP, from whom the client has sent to.
    let mut world = World::new(&to_ipv6());
    expect(
        &mut world,
        WAN,
        &tcp(CLIENT, SERVICE, ACK).via_gateway(),
        &format!("wan: {SERVICE} > {CLIENT} tcp rst ttl 64"),
    );
    let lines = sent_line(&mut world, WAN, &udp(CLIENT, "192.0.2.100:99", b"?").via_gateway());
    assert!(lines[0].starts_with("wan: 192.0.2.100 > 203.0.113.10 icmp"), "{lines:?}");
    let expired = tcp(CLIENT, SERVICE, SYN).ttl(1).via_gateway();
    let lines = sent_line(&mut world, WAN, &expired);
    assert!(lines[0].starts_with("wan: 192.0.2.1 > 203.0.113.10 icmp"), "{lines:?}");
    let ping = echo(CLIENT_IP, VIP).via_gateway();
    assert_eq!(sent_line(&mut world, WAN, &ping).len(), 1, "pings are answered as ever");
    // A server that knows of a connection that is not known here.
    let mut world = World::new(&to_ipv4());
    let lines = sent_line(&mut world, LAN, &tcp(SERVER, "198.51.100.20:40000", ACK).via_server());
    assert!(lines[0].starts_with(&format!("lan: 198.51.100.20:40000 > {SERVER} tcp rst")), "{lines:?}");
}

#[test]
fn nobody_else_writes_addresses_of_ipv4_like_that() {
    let mut world = connected(&to_ipv4());
    let forged =
        tcp6("[::ffff:0:198.51.100.11]:8080", &format!("[::ffff:0:198.51.100.20]:{}", port(&world)), ACK);
    expect_nothing(&mut world, LAN, &forged.via_server());
    let forged = tcp6("[::ffff:0:203.0.113.10]:4000", SERVICE_6, SYN);
    expect_nothing(&mut world, WAN, &forged.via_gateway());
    assert_eq!(world.dropped(DropReason::BadSource), 2);
}

#[test]
fn servers_are_told_of_clients_of_the_other_family() {
    // Clients of IPv4 are told of as that.
    let mut plan = to_ipv6().udp();
    plan.first().client_address = ClientAddress::ProxyV2;
    let sent = World::new(&plan).receive(WAN, &udp(CLIENT, SERVICE, b"query").via_gateway()).remove(0);
    read::line(&sent.frame);
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\x00\x0c\xcb\x00\x71\x0a\xc0\x00\x02\x64\x0f\xa0\x00\x50query";
    assert_eq!(sent.frame[62..], *header);
    let mut plan = to_ipv4();
    plan.first().client_address = ClientAddress::Toa;
    let mut world = World::new(&plan);
    let sent = world.receive(WAN, &tcp6(CLIENT_6, SERVICE_6, SYN).via_gateway()).remove(0);
    read::line(&sent.frame);
    let expected = [&[254, 20, 0x0f, 0xa0][..], &CLIENT6.octets()].concat();
    assert_eq!(sent.frame[14 + 20 + 20..][..20], expected, "20 bytes, as DPVS has it");
}

#[test]
fn explanations_and_traces_show_both_families() {
    let mut world = World::new(&to_ipv6());
    let syn = tcp(CLIENT, SERVICE, SYN).via_gateway();
    let packet = lb_core::memory::MemoryPacket::new(WAN, &syn);
    let origin = lb_core::decide::Origin::Port;
    let explained = world.workers[0].explain(world.now, &packet, origin, &world.ios[0]);
    let text: Vec<&str> = explained.steps.iter().map(|step| step.text.as_str()).collect();
    assert!(text.iter().any(|text| text.starts_with("IPv4 becomes IPv6")), "{text:?}");
    assert!(text.iter().any(|text| text.contains(SERVER_6)), "{text:?}");
    let traced = world.trace(0, packet, origin);
    let sent = world.settle();
    assert_eq!(sent.len(), 1);
    let lb_core::explanation::Outcome::Sent { frame, .. } = &traced.outcome else { panic!("{traced:?}") };
    assert_eq!(*frame, sent[0].frame);
    assert_eq!(traced.outcome, explained.outcome);
    let reply = tcp6(SERVER_6, &local_6(&world), SYN | ACK).via_server();
    let traced = world.trace(0, lb_core::memory::MemoryPacket::new(LAN, &reply), origin);
    assert!(traced.steps.iter().any(|step| step.text == "IPv6 becomes IPv4"), "{traced:?}");
    let sent = world.settle();
    let lb_core::explanation::Outcome::Sent { frame, .. } = &traced.outcome else { panic!("{traced:?}") };
    assert_eq!(*frame, sent[0].frame);
}

#[test]
fn both_families_may_be_in_one_burst() {
    let mut plan = to_ipv4();
    plan.services.push(to_ipv6().services.remove(0));
    plan.services[1].servers[0].port = 8081;
    plan = plan.with(service(lb_core::service::plan::Method::Nat, "192.0.2.101:80", &["198.51.100.12:8080"]));
    for first_is_ipv6 in [false, true] {
        let mut world = World::new(&plan);
        let mut frames = vec![
            (WAN, tcp(CLIENT, SERVICE, SYN).via_gateway()),
            (WAN, tcp6(CLIENT_6, SERVICE_6, SYN).via_gateway()),
            (WAN, tcp(CLIENT, "192.0.2.101:80", SYN).via_gateway()),
        ];
        if first_is_ipv6 {
            frames.swap(0, 1);
        }
        let mut sent: Vec<String> =
            world.burst(0, &frames).iter().map(super::common::world::Sent::line).collect();
        sent.sort();
        assert_eq!(sent.len(), 3, "{sent:?}");
        assert!(
            sent[2].contains("198.51.100.12:8080")
                || sent.iter().any(|line| line.contains("198.51.100.12:8080"))
        );
        assert_eq!(world.workers[0].connections::<V6>().len(), 2);
    }
}
