//! The PROXY protocol: a header in front of what clients send, and everybody's numbers afterwards.

use super::{
    common::{fragments::assemble, frame::*, frame6::*, plan::*, read, world::World},
    dump, expect,
    segment::{Segment, parse, segment},
};
use etherparse::{Icmpv4Type, icmpv4::DestUnreachableHeader};
use lb_core::service::plan::{ClientAddress, Method, Plan};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const SERVER: &str = "198.51.100.11:8080";

fn plan(told: ClientAddress) -> Plan {
    let mut plan = one_server(Method::Nat);
    plan.first().client_address = told;
    plan
}

fn world(told: ClientAddress) -> World {
    World::new(&plan(told))
}

// The client's numbers begin at 1000, the server's at 5000.

fn from_client(flags: u8, sequence: u32, payload: &[u8]) -> Ip {
    segment((CLIENT, SERVICE), flags, (sequence, 5_001), &[], payload)
}

fn from_server(flags: u8, acknowledgement: u32, options: &[u8]) -> Ip {
    segment((SERVER, CLIENT), flags, (5_000, acknowledgement), options, b"")
}

/// What leaves because of a client's packet.
fn pass(world: &mut World, packet: &Ip) -> Vec<Segment> {
    world.receive(WAN, &packet.via_gateway()).iter().map(|sent| parse(&sent.frame)).collect()
}

/// What leaves because of a server's packet.
fn answer(world: &mut World, packet: &Ip) -> Segment {
    let sent = world.receive(LAN, &packet.via_server());
    assert_eq!(sent.len(), 1);
    parse(&sent[0].frame)
}

fn sent(sequence: u32, payload: &[u8]) -> Vec<Segment> {
    vec![Segment { sequence, acknowledgement: 5_001, payload: payload.to_vec() }]
}

fn header(told: ClientAddress) -> Vec<u8> {
    match told {
        ClientAddress::ProxyV1 => b"PROXY TCP4 203.0.113.10 192.0.2.100 4000 80\r\n".to_vec(),
        _ => b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x0a\xc0\x00\x02\x64\x0f\xa0\x00\x50".to_vec(),
    }
}

/// A connection whose server has agreed.
fn agreed(told: ClientAddress) -> World {
    let mut world = world(told);
    assert_eq!(pass(&mut world, &segment((CLIENT, SERVICE), SYN, (1_000, 0), &[], b"")).len(), 1);
    let syn_ack = answer(&mut world, &from_server(SYN | ACK, 1_001, &[]));
    assert_eq!(syn_ack.acknowledgement, 1_001);
    world
}

/// The same, and it has the header.
fn told(told: ClientAddress) -> World {
    let mut world = agreed(told);
    pass(&mut world, &from_client(ACK, 1_001, b""));
    let len = header(told).len() as u32;
    assert_eq!(answer(&mut world, &from_server(ACK, 1_001 + len, &[])).acknowledgement, 1_001);
    world
}

#[test]
fn the_first_acknowledgement_brings_the_header() {
    let mut world = agreed(ClientAddress::ProxyV2);
    let sent = world.receive(WAN, &from_client(ACK, 1_001, b"").via_gateway()).remove(0);
    let expected = [
        // To the server's station, from the lan port's.
        "02000000020b0200000000020800",
        // 68 bytes of IPv4, 203.0.113.10 to 198.51.100.11.
        "45000044000040003f06d56acb00710ac633640b",
        // From port 4000 to 8080, number 1001; the header is to be read at once.
        "0fa01f90000003e90000138950182000e5810000",
        // The signature; version 2 on behalf of somebody; TCP over IPv4, 12 bytes.
        "0d0a0d0a000d0a515549540a2111000ccb00710a",
        // 203.0.113.10 to 192.0.2.100, from port 4000 to 80.
        "c00002640fa00050",
    ];
    assert_eq!(dump(&sent.frame), expected);
    read::line(&sent.frame);
    assert_eq!(world.counters(0).client_addresses.get(), 1);
}

#[test]
fn what_begins_where_the_client_does_brings_it_again_until_the_server_has_it() {
    for told in [ClientAddress::ProxyV1, ClientAddress::ProxyV2] {
        let header = header(told);
        let len = header.len() as u32;
        let with = |data: &[u8]| [header.as_slice(), data].concat();
        let mut world = agreed(told);
        assert_eq!(pass(&mut world, &from_client(ACK, 1_001, b"")), sent(1_001, &with(b"")));
        assert_eq!(pass(&mut world, &from_client(ACK, 1_001, b"GET /")), sent(1_001, &with(b"GET /")));
        assert_eq!(pass(&mut world, &from_client(ACK, 1_006, b" HT")), sent(1_006 + len, b" HT"));
        // The server misses the first of both, and acknowledges a part of the header only.
        for partly in [1_001, 1_011] {
            assert_eq!(answer(&mut world, &from_server(ACK, partly, &[])).acknowledgement, 1_001);
            assert_eq!(pass(&mut world, &from_client(ACK, 1_001, b"G")), sent(1_001, &with(b"G")));
        }
        assert_eq!(answer(&mut world, &from_server(ACK, 1_009 + len, &[])).acknowledgement, 1_009);
        assert_eq!(pass(&mut world, &from_client(ACK, 1_001, b"GET / HT")), sent(1_001 + len, b"GET / HT"));
        assert_eq!(pass(&mut world, &from_client(ACK, 1_009, b"")), sent(1_009 + len, b""));
        assert_eq!(pass(&mut world, &from_client(FIN | ACK, 1_009, b"")), sent(1_009 + len, b""));
    }
}

#[test]
fn a_close_without_data_brings_it_as_well() {
    let mut world = agreed(ClientAddress::ProxyV2);
    let fin = pass(&mut world, &from_client(FIN | ACK, 1_001, b""));
    assert_eq!(fin, sent(1_001, &header(ClientAddress::ProxyV2)));
    // The server acknowledges header and end; the client knows of the end only.
    assert_eq!(answer(&mut world, &from_server(ACK, 1_030, &[])).acknowledgement, 1_002);
}

#[test]
fn a_client_gives_up_with_the_number_that_the_server_expects() {
    let mut world = agreed(ClientAddress::ProxyV2);
    assert_eq!(pass(&mut world, &from_client(RST, 1_001, b""))[0].sequence, 1_001, "nothing was sent");
    let mut world = agreed(ClientAddress::ProxyV2);
    pass(&mut world, &from_client(ACK, 1_001, b""));
    assert_eq!(pass(&mut world, &from_client(RST, 1_001, b""))[0].sequence, 1_029);
    // One far from what the server expects, in the client's numbers, changes nothing: RFC 5961 3.2.
    let mut world = told(ClientAddress::ProxyV2);
    pass(&mut world, &from_client(RST, 80_000, b""));
    let state = |world: &World| world.connections()[0].state.name();
    assert_eq!(state(&world), "ESTABLISHED");
    assert_eq!(pass(&mut world, &from_client(RST, 1_001, b""))[0].sequence, 1_029);
    assert_eq!(state(&world), "CLOSE");
}

#[test]
fn a_client_that_asks_whether_the_connection_lives_brings_none() {
    let mut world = agreed(ClientAddress::ProxyV2);
    assert_eq!(pass(&mut world, &from_client(ACK, 1_000, b"?")), sent(1_000, b"?"));
    let mut world = told(ClientAddress::ProxyV2);
    assert_eq!(pass(&mut world, &from_client(ACK, 1_000, b"?")), sent(1_028, b"?"));
}

#[test]
fn a_header_that_does_not_fit_goes_before_by_itself() {
    let mut world = agreed(ClientAddress::ProxyV2);
    let data = [b'x'; 1_460];
    let both = pass(&mut world, &from_client(ACK | FIN, 1_001, &data));
    let [alone, data] = [sent(1_001, &header(ClientAddress::ProxyV2)), sent(1_029, &data)];
    assert_eq!(both, [alone, data].into_iter().flatten().collect::<Vec<_>>());
    assert_eq!(world.counters(0).client_addresses.get(), 1);
    // Without a buffer for it the client's segment goes all the same, and the client repeats it.
    let mut world = agreed(ClientAddress::ProxyV2);
    world.ios[0].pool = 0;
    assert_eq!(pass(&mut world, &from_client(ACK, 1_001, &[b'x'; 1_460])).len(), 1);
    assert_eq!(world.counters(0).no_buffer.get(), 1);
}

#[test]
fn urgent_data_ends_where_it_did() {
    // The first three bytes are urgent; and so far behind that no pointer reaches it, as far as one does.
    for (pointer, moved) in [(3, 31), (0xfff0, 0xffff)] {
        let mut world = agreed(ClientAddress::ProxyV2);
        let mut packet = from_client(ACK, 1_001, b"urgent");
        packet.change_tcp(|header| (header.urg, header.urgent_pointer) = (true, pointer));
        let sent = world.receive(WAN, &packet.via_gateway()).remove(0);
        assert_eq!(parse(&sent.frame).payload.len(), 34, "and its checksum is right");
        let frame = dump(&sent.frame);
        assert!(frame[2].ends_with(&format!("{moved:04x}")), "{frame:?}");
    }
}

#[test]
fn a_request_with_data_is_sent_without() {
    let mut world = world(ClientAddress::ProxyV2);
    // A maximum segment size, and a cookie of fast open, at an odd place.
    let options = [2, 4, 5, 180, 1, 34, 6, 1, 2, 3, 4, 0];
    let syn = segment((CLIENT, SERVICE), SYN, (1_000, 0), &options, b"early");
    let sent = world.receive(WAN, &syn.via_gateway()).remove(0);
    assert!(parse(&sent.frame).payload.is_empty());
    assert_eq!(sent.frame[54..66], [2, 4, 5, 180, 1, 1, 1, 1, 1, 1, 1, 0]);
    answer(&mut world, &from_server(SYN | ACK, 1_001, &[]));
    let header = header(ClientAddress::ProxyV2);
    let data = [header.as_slice(), b"early"].concat();
    assert_eq!(pass(&mut world, &from_client(ACK, 1_001, b"early")), self::sent(1_001, &data));
}

#[test]
fn selective_acknowledgements_are_in_the_clients_numbers() {
    let mut world = agreed(ClientAddress::ProxyV2);
    pass(&mut world, &from_client(ACK, 1_001, b"one"));
    let block = |from: u32, to: u32| [from.to_be_bytes(), to.to_be_bytes()].concat();
    let blocks = |world: &mut World, acknowledgement, blocks: &[(u32, u32)]| {
        let blocks: Vec<u8> = blocks.iter().flat_map(|&(from, to)| block(from, to)).collect();
        let options = [&[1, 1, 5, 2 + blocks.len() as u8], blocks.as_slice()].concat();
        let sent = world.receive(LAN, &from_server(ACK, acknowledgement, &options).via_server()).remove(0);
        parse(&sent.frame);
        sent.frame[54..].to_vec()
    };
    // The header is missing, and something behind the client's first bytes has arrived.
    let expected = [&[1, 1, 5, 10], block(1_004, 1_010).as_slice()].concat();
    assert_eq!(blocks(&mut world, 1_001, &[(1_032, 1_038)]), expected);
    // The header came twice, which the client need not know.
    let expected = [&[1, 1, 5, 10], block(1_014, 1_020).as_slice(), &[1; 8]].concat();
    assert_eq!(blocks(&mut world, 1_032, &[(1_001, 1_029), (1_042, 1_048)]), expected);
    assert_eq!(blocks(&mut world, 1_032, &[(1_001, 1_029)]), [1; 12]);
}

#[test]
fn the_header_takes_its_part_of_the_first_window() {
    let mut world = world(ClientAddress::ProxyV2);
    pass(&mut world, &segment((CLIENT, SERVICE), SYN, (1_000, 0), &[], b""));
    let sent = world.receive(LAN, &from_server(SYN | ACK, 1_001, &[]).via_server()).remove(0);
    parse(&sent.frame);
    assert_eq!(sent.frame[48..50], (8_192u16 - 28).to_be_bytes());
}

#[test]
fn errors_quote_what_their_receivers_know() {
    let mut world = told(ClientAddress::ProxyV2);
    let quote = segment((CLIENT, SERVER), ACK, (1_033, 5_001), &[], b"data").bytes();
    let router = std::net::Ipv4Addr::new(198, 51, 100, 99);
    let unreachable = |header| Icmpv4Type::DestinationUnreachable(header);
    let report = icmp(router, CLIENT_IP, unreachable(DestUnreachableHeader::Host), &quote);
    let sent = world.receive(LAN, &report.via_server()).remove(0);
    read::check_ip(read::ip_packet(&sent.frame).unwrap()).unwrap();
    assert_eq!(sent.frame[14 + 20 + 8 + 20 + 4..][..4], 1_005u32.to_be_bytes());
}

#[test]
fn a_narrow_way_has_the_header_go_by_itself() {
    let mut world = agreed(ClientAddress::ProxyV2);
    let data = [b'x'; 1_360];
    assert_eq!(pass(&mut world, &from_client(ACK, 1_001, &data)).len(), 1, "1428 bytes fit");
    let quote = segment((CLIENT, SERVER), ACK, (1_001, 5_001), &[], &data).bytes();
    let header = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1_400 };
    let kind = Icmpv4Type::DestinationUnreachable(header);
    let report = icmp(std::net::Ipv4Addr::new(198, 51, 100, 99), CLIENT_IP, kind, &quote[..28]);
    let line = format!(
        "wan: 192.0.2.100 > 203.0.113.10 icmp too big for 1400 [{CLIENT} > {SERVICE} tcp cut ttl 64] ttl 63"
    );
    expect(&mut world, LAN, &report.via_server(), &line);
    assert_eq!(
        pass(&mut world, &from_client(ACK, 1_001, &data)).len(),
        2,
        "the client's part fits by itself"
    );
}

#[test]
fn every_datagram_begins_with_a_header() {
    let mut world = World::new(&plan(ClientAddress::ProxyV2).udp());
    let sent = world.receive(WAN, &udp(CLIENT, SERVICE, b"query").via_gateway()).remove(0);
    read::line(&sent.frame);
    let mut header = header(ClientAddress::ProxyV2);
    header[13] = 0x12;
    assert_eq!(sent.frame[42..], [header.as_slice(), b"query"].concat());
    // One without a checksum stays one.
    let mut bare = udp(CLIENT, SERVICE, b"query");
    bare.payload[6..8].fill(0);
    let sent = world.receive(WAN, &bare.via_gateway()).remove(0);
    assert_eq!((sent.frame.len(), &sent.frame[40..42]), (42 + 28 + 5, &[0, 0][..]));
    expect(
        &mut world,
        LAN,
        &udp(SERVER, CLIENT, b"answer").via_server(),
        &format!("wan: {SERVICE} > {CLIENT} udp ttl 63"),
    );
    assert_eq!(world.counters(0).client_addresses.get(), 2);
}

#[test]
fn datagrams_leave_room_for_the_header() {
    let mut world = World::new(&plan(ClientAddress::ProxyV2).udp());
    let datagram = |len: usize| udp(CLIENT, SERVICE, &vec![b'x'; len - 28]);
    let too_big = format!(
        "wan: 192.0.2.1 > 203.0.113.10 icmp too big for 1472 [{CLIENT} > {SERVICE} udp ttl 64] ttl 64"
    );
    // For the first of a flow and for later ones.
    for _ in 0..2 {
        expect(&mut world, WAN, &datagram(1_473).via_gateway(), &too_big);
        assert_eq!(world.receive(WAN, &datagram(1_472).via_gateway())[0].frame.len(), 14 + 1_500);
    }
    let may_fragment = datagram(1_473).may_fragment().via_gateway();
    let sent = world.receive(WAN, &may_fragment);
    let [whole] = &assemble(sent.iter().map(|it| read::ip_packet(&it.frame).unwrap()))[..] else { panic!() };
    read::check_ip(whole).expect("the datagram and its header, in fragments");
    assert_eq!((sent.len(), whole.len()), (2, 1_501));
    // What a router says of the way behind the director is for larger packets than the client's.
    let quote = udp(CLIENT, SERVER, &[b'x'; 1_472]).bytes();
    let header = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1_400 };
    let kind = Icmpv4Type::DestinationUnreachable(header);
    let report = icmp(std::net::Ipv4Addr::new(198, 51, 100, 99), CLIENT_IP, kind, &quote[..28]);
    let line = format!(
        "wan: 192.0.2.100 > 203.0.113.10 icmp too big for 1372 [{CLIENT} > {SERVICE} udp ttl 64] ttl 63"
    );
    expect(&mut world, LAN, &report.via_server(), &line);
}

#[test]
fn ipv6_has_a_longer_header() {
    let mut plan = one_server6(Method::FullNat).udp();
    plan.first().client_address = ClientAddress::ProxyV2;
    let mut world = World::new(&plan);
    let query =
        udp6("[2001:db8:a::10]:4000", "[2001:db8:1::100]:80", b"query").behind(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
    let sent = world.receive(WAN, &query.via_gateway()).remove(0);
    read::line(&sent.frame);
    let data = &sent.frame[14 + 40 + 8 + 8..];
    assert_eq!((data.len(), &data[12..16], &data[52..]), (57, &[0x21, 0x22, 0, 36][..], &b"query"[..]));
    assert_eq!(data[16..32], CLIENT6.octets());
    assert_eq!(data[32..48], VIP6.octets());
}

#[test]
fn a_connection_that_is_adopted_has_none() {
    let mut plan = plan(ClientAddress::ProxyV2);
    plan.first().adopt = true;
    let mut world = World::new(&plan);
    assert_eq!(pass(&mut world, &from_client(ACK, 1_001, b"later")), sent(1_001, b"later"));
    assert_eq!(pass(&mut world, &from_client(ACK, 1_006, b"on")), sent(1_006, b"on"));
}

#[test]
fn a_change_is_for_connections_that_begin_then() {
    let mut world = told(ClientAddress::ProxyV2);
    world.exchange(&plan(ClientAddress::Packets));
    assert_eq!(pass(&mut world, &from_client(ACK, 1_001, b"on")), sent(1_029, b"on"));
    world.exchange(&plan(ClientAddress::ProxyV1));
    assert_eq!(pass(&mut world, &from_client(ACK, 1_003, b"on")), sent(1_031, b"on"));
}
