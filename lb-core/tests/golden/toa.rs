//! TOA: an option with the client's address in the client's first segments.

use super::{
    common::{fragments, frame::*, frame6::*, plan::*, read, world::World},
    dump,
};
use etherparse::{IpNumber, SlicedPacket, TcpHeader, TcpOptions, TransportSlice};
use lb_core::{
    family::V6,
    service::plan::{ClientAddress, Method, Plan},
};
use std::net::SocketAddr;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
/// The option that tells of the client.
const OPTION: [u8; 8] = [254, 8, 0x0f, 0xa0, 203, 0, 113, 10];
/// A client's own, which tells of another.
const FORGED: [u8; 8] = [254, 8, 0, 9, 203, 0, 113, 99];
/// Time stamps as everybody writes them.
const STAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0];

fn plan() -> Plan {
    let mut plan = one_server(Method::FullNat);
    plan.first().client_address = ClientAddress::Toa;
    plan
}

/// A segment; the client's numbers begin at 1000, the server's at 5000.
fn segment(
    (from, to): (SocketAddr, SocketAddr),
    flags: u8,
    (sequence, acknowledgement): (u32, u32),
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let mut header = TcpHeader::new(from.port(), to.port(), sequence, 8_192);
    (header.syn, header.fin) = (flags & SYN != 0, flags & FIN != 0);
    (header.rst, header.ack) = (flags & RST != 0, flags & ACK != 0);
    header.acknowledgment_number = acknowledgement;
    header.options = TcpOptions::try_from_slice(options).unwrap();
    header.checksum = match (from.ip(), to.ip()) {
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => {
            header.calc_checksum_ipv4_raw(from.octets(), to.octets(), payload).unwrap()
        }
        (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) => {
            header.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload).unwrap()
        }
        _ => panic!("of one family"),
    };
    [header.to_bytes().as_slice(), payload].concat()
}

fn ip(from: &str, to: &str, flags: u8, numbers: (u32, u32), options: &[u8], payload: &[u8]) -> Ip {
    let (from, to) = (endpoint(from), endpoint(to));
    let bytes = segment((from.into(), to.into()), flags, numbers, options, payload);
    Ip::new(IpNumber::TCP, *from.ip(), *to.ip(), bytes)
}

/// What a segment is: options and payload. Lengths and checksums of the frame are right.
fn parse(frame: &[u8]) -> (Vec<u8>, Vec<u8>) {
    read::check_ip(read::ip_packet(frame).unwrap()).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = SlicedPacket::from_ethernet(frame).unwrap().transport else {
        panic!("a segment");
    };
    (tcp.options().to_vec(), tcp.payload().to_vec())
}

/// What the server receives of a client's segment.
fn pass(world: &mut World, flags: u8, sequence: u32, options: &[u8], payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let acknowledgement = if flags & ACK == 0 { 0 } else { 5_001 };
    let packet = ip(CLIENT, SERVICE, flags, (sequence, acknowledgement), options, payload);
    let sent = world.receive(WAN, &packet.via_gateway());
    assert_eq!(sent.len(), 1);
    parse(&sent[0].frame)
}

/// What the client receives of a server's segment.
fn answer(
    world: &mut World,
    flags: u8,
    acknowledgement: u32,
    options: &[u8],
    payload: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let (address, port) = world.connections()[0].local().unwrap();
    let local = format!("{}:{port}", std::net::Ipv4Addr::from(address));
    let packet = ip("198.51.100.11:8080", &local, flags, (5_000, acknowledgement), options, payload);
    let sent = world.receive(LAN, &packet.via_server());
    assert_eq!(sent.len(), 1);
    parse(&sent[0].frame)
}

/// A connection whose server has agreed.
fn agreed() -> World {
    let mut world = World::new(&plan());
    pass(&mut world, SYN, 1_000, &[], b"");
    answer(&mut world, SYN | ACK, 1_001, &[], b"");
    world
}

#[test]
fn a_segment_gets_the_option_behind_what_every_header_has() {
    let mut world = agreed();
    let packet = ip(CLIENT, SERVICE, ACK, (1_001, 5_001), &STAMPS, b"hi");
    let sent = world.receive(WAN, &packet.via_gateway()).remove(0);
    read::line(&sent.frame);
    let frame = dump(&sent.frame);
    // 62 bytes of IPv4.
    assert!(frame[1].starts_with("4500003e"), "{frame:?}");
    // Numbers 1001 and 5001, and a header of ten words.
    assert!(frame[2][8..].starts_with("000003e900001389a0102000"), "{frame:?}");
    // Port 4000 of 203.0.113.10, in 8 bytes of kind 254; time stamps; data.
    assert_eq!(frame[3..], ["fe080fa0cb00710a0101080a0000000100000000", "6869"]);
    assert_eq!(world.counters(0).client_addresses.get(), 2, "and the SYN");
}

#[test]
fn it_is_in_all_segments_until_the_server_has_left_the_handshake() {
    // Acknowledging a byte, saying one, and saying that there are no more show it.
    for (flags, acknowledgement, says) in
        [(ACK, 1_003, &b""[..]), (ACK, 1_001, b"hello"), (ACK | FIN, 1_001, b"")]
    {
        let mut world = World::new(&plan());
        let syn = [2, 4, 5, 180, 1, 3, 3, 7];
        assert_eq!(pass(&mut world, SYN, 1_000, &syn, b""), ([&OPTION[..], &syn].concat(), Vec::new()));
        answer(&mut world, SYN | ACK, 1_001, &[], b"");
        assert_eq!(pass(&mut world, ACK, 1_001, &[], b""), (OPTION.to_vec(), Vec::new()));
        // It repeats its SYN+ACK, or asks what was meant: RFC 9293 3.10.7.4.
        answer(&mut world, SYN | ACK, 1_001, &[], b"");
        answer(&mut world, ACK, 1_001, &[], b"");
        assert_eq!(pass(&mut world, ACK, 1_001, &[], b"hi"), (OPTION.to_vec(), b"hi".to_vec()));
        assert_eq!(
            pass(&mut world, ACK | FIN, 1_003, &STAMPS, b""),
            ([&OPTION[..], &STAMPS].concat(), Vec::new())
        );
        answer(&mut world, flags, acknowledgement, &[], says);
        assert_eq!(pass(&mut world, ACK, 1_003, &[], b"more"), (Vec::new(), b"more".to_vec()));
        // A late copy of the agreement changes nothing.
        answer(&mut world, SYN | ACK, 1_001, &[], b"");
        assert_eq!(pass(&mut world, ACK, 1_003, &STAMPS, b""), (STAMPS.to_vec(), Vec::new()));
        assert_eq!(world.counters(0).client_addresses.get(), 4);
        assert_eq!(world.counters(0).client_addresses_left_out.get(), 0);
    }
}

#[test]
fn a_clients_own_option_goes() {
    let mut world = World::new(&plan());
    assert_eq!(pass(&mut world, SYN, 1_000, &FORGED, b"").0, OPTION, "the director's takes its place");
    answer(&mut world, SYN | ACK, 1_001, &[], b"");
    // At an odd place, and twice.
    let twice = [&[1][..], &FORGED, &[254, 2, 254, 4, 9, 9], &[0]].concat();
    let once = [&[1][..], &OPTION, &[1; 6], &[0]].concat();
    assert_eq!(pass(&mut world, ACK, 1_001, &twice, b"hi"), (once, b"hi".to_vec()));
    // Of another length, so there is not room for the director's in its place.
    let short = [254, 7, 1, 2, 3, 4, 5, 0];
    let expected = [&OPTION[..], &[1; 7], &[0]].concat();
    assert_eq!(pass(&mut world, ACK, 1_001, &short, b"hi"), (expected, b"hi".to_vec()));
    answer(&mut world, ACK, 1_003, &[], b"");
    // Also of later segments, and of resets.
    assert_eq!(pass(&mut world, ACK, 1_003, &FORGED, b"hi"), (vec![1; 8], b"hi".to_vec()));
    assert_eq!(pass(&mut world, RST, 1_003, &FORGED, b""), (vec![1; 8], Vec::new()));
}

#[test]
fn what_has_no_room_goes_without() {
    let mut world = agreed();
    // 40 bytes of options, of which none is another's.
    let full: Vec<u8> = [&STAMPS[..], &[5, 26], &[7; 24], &[1, 1]].concat();
    assert_eq!(pass(&mut world, ACK, 1_001, &full, b""), (full, Vec::new()));
    // The largest that leaves room in 1500 bytes, and one more.
    assert_eq!(pass(&mut world, ACK, 1_001, &[], &[b'x'; 1_452]).0, OPTION);
    assert_eq!(pass(&mut world, ACK, 1_001, &[], &[b'x'; 1_453]).0, []);
    assert_eq!(world.counters(0).client_addresses_left_out.get(), 2);
    // A client's own makes the room that it takes.
    let forged = [&STAMPS[..], &[5, 18], &[7; 16], &FORGED, &[1, 1]].concat();
    let expected = [&STAMPS[..], &[5, 18], &[7; 16], &OPTION, &[1, 1]].concat();
    assert_eq!(pass(&mut world, ACK, 1_001, &forged, b"hi").0, expected);
}

#[test]
fn clients_segments_leave_room_for_it() {
    let mss = |size: u16| [&[2, 4][..], &size.to_be_bytes()].concat();
    // What the server allows, and what the way to it carries, is less by the option; what is too small for that stays.
    for (allows, is_allowed) in [(1_460, 1_452), (1_400, 1_392), (8_960, 1_452), (8, 8)] {
        let mut world = World::new(&plan());
        pass(&mut world, SYN, 1_000, &mss(1_460), b"");
        assert_eq!(answer(&mut world, SYN | ACK, 1_001, &mss(allows), b"").0, mss(is_allowed), "{allows}");
    }
}

#[test]
fn a_request_with_data_is_sent_without() {
    let mut world = World::new(&plan());
    // A cookie of fast open, by its number and by that of the experiment, which is the option's own as well.
    let cookies = [34, 6, 1, 2, 3, 4, 254, 6, 0xf9, 0x89, 5, 6];
    let (options, payload) = pass(&mut world, SYN, 1_000, &cookies, b"early");
    assert_eq!((options, payload), ([&OPTION[..], &[1; 12]].concat(), Vec::new()));
}

#[test]
fn fragments_have_no_room_in_the_handshake() {
    let mut world = agreed();
    let whole = ip(CLIENT, SERVICE, ACK, (1_001, 5_001), &[], &[b'x'; 100]);
    let first = |world: &mut World, id| {
        world.receive(WAN, &fragments::frame(WAN, &fragments::even(&whole.bytes(), id, 64)[0])).len()
    };
    assert_eq!(first(&mut world, 7), 0);
    let dropped = lb_core::counters::DropReason::Fragment;
    assert_eq!(world.counters(0).dropped[dropped as usize].get(), 1);
    answer(&mut world, ACK, 1_001, &[], b"hello");
    assert_eq!(first(&mut world, 8), 1);
}

#[test]
fn a_change_is_for_connections_that_begin_then() {
    let mut world = agreed();
    let mut changed = plan();
    changed.first().client_address = ClientAddress::Packets;
    world.exchange(&changed);
    assert_eq!(pass(&mut world, ACK, 1_001, &[], b"hi").0, OPTION);
}

#[test]
fn clients_of_ipv6_have_an_option_of_20_bytes() {
    let mut plan = one_server6(Method::FullNat);
    plan.first().client_address = ClientAddress::Toa;
    let mut world = World::new(&plan);
    let (client, vip) = (SocketAddr::new(CLIENT6.into(), 4_000), SocketAddr::new(VIP6.into(), 80));
    let own = [&[254, 20, 0x0f, 0xa0][..], &CLIENT6.octets()].concat();
    // The 20 bytes of options that most have are as many as leave room for it.
    let usual = [2, 4, 5, 160, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    let syn = segment((client, vip), SYN, (1_000, 0), &usual, b"");
    let sent = world.receive(WAN, &Ip6::new(IpNumber::TCP, CLIENT6, VIP6, syn).via_gateway()).remove(0);
    assert_eq!(parse(&sent.frame).0, [&own[..], &usual].concat());
    let (_, connection) = world.workers[0].connections::<V6>().iter(0..u32::MAX).next().unwrap();
    let (local, port) = connection.local().unwrap();
    let local = std::net::Ipv6Addr::from(local);
    let server = SocketAddr::new(SERVERS6[0].into(), 8_080);
    let ends = (server, SocketAddr::new(local.into(), port));
    let syn_ack = segment(ends, SYN | ACK, (5_000, 1_001), &[2, 4, 5, 160], b"");
    let sent =
        world.receive(LAN, &Ip6::new(IpNumber::TCP, SERVERS6[0], local, syn_ack).via_server()).remove(0);
    assert_eq!(parse(&sent.frame).0, [&[2, 4][..], &1_420u16.to_be_bytes()].concat());
    let data = segment((client, vip), ACK, (1_001, 5_001), &STAMPS, b"hi");
    let sent = world.receive(WAN, &Ip6::new(IpNumber::TCP, CLIENT6, VIP6, data).via_gateway()).remove(0);
    assert_eq!(parse(&sent.frame), ([&own[..], &STAMPS].concat(), b"hi".to_vec()));
}
