//! One packet through each method.

use super::{
    common::{frame::*, plan::*, world::World},
    dump, expect, expect_nothing,
};
use lb_core::{
    counters::DropReason,
    memory::MemoryPacket,
    packet::Checksum,
    service::plan::{Method, Plan},
};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";

fn world(method: Method) -> World {
    World::new(&one_server(method))
}

fn syn() -> Ip {
    tcp(CLIENT, SERVICE, SYN)
}

#[test]
fn nat_in_gets_the_servers_address_and_port() {
    let sent = world(Method::Nat).receive(WAN, &syn().via_gateway()).remove(0);
    let expected = [
        // To the server's station, from the lan port's.
        "02000000020b0200000000020800",
        // One off the time to live; 203.0.113.10 to 198.51.100.11.
        "45000028000040003f06d586cb00710ac633640b",
        // Port 80 has become 8080; all but that and the checksum is as the client sent it.
        "0fa01f90000003e80000000050022000f6800000",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn nat_out_gets_the_vips_address_and_port_back() {
    let mut world = world(Method::Nat);
    world.receive(WAN, &syn().via_gateway());
    let reply = tcp("198.51.100.11:8080", CLIENT, SYN | ACK).via_server();
    let sent = world.receive(LAN, &reply).remove(0);
    let expected = [
        // To the gateway's station, from the wan port's.
        "0200000001fe0200000000010800",
        // 192.0.2.100 to 203.0.113.10.
        "45000028000040003f063d61c0000264cb00710a",
        // From port 80.
        "00500fa0000003e800001388501220006a030000",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn fullnat_in_gets_the_servers_and_a_local_address_and_port() {
    let sent = world(Method::FullNat).receive(WAN, &syn().via_gateway()).remove(0);
    let expected = [
        // To the server's station, from the lan port's.
        "02000000020b0200000000020800",
        // 198.51.100.20 to 198.51.100.11.
        "45000028000040003f06e749c6336414c633640b",
        // From local port 39608 to port 8080.
        "9ab81f90000003e800000000500220007d2b0000",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn fullnat_out_gets_the_vips_and_the_clients_address_and_port() {
    let mut world = world(Method::FullNat);
    let local = world.receive(WAN, &syn().via_gateway())[0].source();
    let reply = tcp("198.51.100.11:8080", &local, SYN | ACK).via_server();
    let sent = world.receive(LAN, &reply).remove(0);
    let expected = [
        // As under NAT, byte for byte: clients cannot tell.
        "0200000001fe0200000000010800",
        "45000028000040003f063d61c0000264cb00710a",
        "00500fa0000003e800001388501220006a030000",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn dr_changes_the_stations_and_the_time_to_live_only() {
    let frame = syn().via_gateway();
    let sent = world(Method::Dr).receive(WAN, &frame).remove(0);
    let expected = [
        "02000000020b0200000000020800",
        "45000028000040003f063d61cb00710ac0000264",
        "0fa00050000003e800000000500220007d9b0000",
    ];
    assert_eq!(dump(&sent.frame), expected);
    assert_eq!(sent.frame[34..], frame[34..], "the segment is untouched");
}

#[test]
fn tun_puts_another_header_in_front() {
    let frame = syn().via_gateway();
    let sent = world(Method::Tun).receive(WAN, &frame).remove(0);
    let expected = [
        "02000000020b0200000000020800",
        // The outer header: 60 bytes, "do not fragment" as inside, protocol 4, 198.51.100.1 to 198.51.100.11.
        "4500003c000040004004e64ac6336401c633640b",
        // The inner one with one off its time to live.
        "45000028000040003f063d61cb00710ac0000264",
        "0fa00050000003e800000000500220007d9b0000",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn tun_lets_the_outer_packet_be_fragmented_if_the_inner_may_be() {
    let mut world = world(Method::Tun);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let sent = world.receive(WAN, &syn().may_fragment().via_gateway()).remove(0);
        assert_eq!(sent.frame[20..22], [0, 0], "neither flag nor offset");
        ids.push(sent.frame[18..20].to_vec());
    }
    assert_ne!(ids[0], ids[1], "fragments of two packets must not be mixed up");
}

#[test]
fn tun_copies_the_traffic_class_and_congestion_marks() {
    let mut packet = syn();
    packet.header.dscp = 46.try_into().unwrap();
    packet.header.ecn = 3.try_into().unwrap();
    let sent = world(Method::Tun).receive(WAN, &packet.via_gateway()).remove(0);
    assert_eq!((sent.frame[15], sent.frame[35]), (46 << 2 | 3, 46 << 2 | 3));
}

#[test]
fn tun_does_not_carry_ethernets_padding() {
    let mut frame = syn().via_gateway();
    frame.resize(60, 0xee);
    let sent = world(Method::Tun).receive(WAN, &frame).remove(0);
    assert_eq!(sent.frame.len(), 14 + 20 + 40);
}

#[test]
fn a_tunnel_starts_at_the_configured_address() {
    let plan = Plan { tunnel_local: Some("192.0.2.77".parse().unwrap()), ..one_server(Method::Tun) };
    let line = "lan: 192.0.2.77 > 198.51.100.11 ttl 64 [203.0.113.10:4000 > 192.0.2.100:80 tcp syn ttl 63]";
    expect(&mut World::new(&plan), WAN, &syn().via_gateway(), line);
}

#[test]
fn a_tag_that_is_only_a_priority_is_taken_off() {
    let lines = [
        (Method::Nat, "lan: 203.0.113.10:4000 > 198.51.100.11:8080 tcp syn ttl 63"),
        (Method::Dr, "lan: 203.0.113.10:4000 > 192.0.2.100:80 tcp syn ttl 63"),
        (
            Method::Tun,
            "lan: 198.51.100.1 > 198.51.100.11 ttl 64 [203.0.113.10:4000 > 192.0.2.100:80 tcp syn ttl 63]",
        ),
    ];
    for (method, line) in lines {
        expect(&mut world(method), WAN, &tagged(&syn().via_gateway(), 0), line);
    }
}

#[test]
fn ip_options_are_kept() {
    let frame = syn().options(&[7, 7, 4, 0, 0, 0, 0, 0]).via_gateway();
    for method in [Method::Nat, Method::Dr, Method::L3Dsr] {
        let sent = world(method).receive(WAN, &frame).remove(0);
        assert!(sent.line().ends_with("tcp syn ttl 63 with options"), "{}", sent.line());
        assert_eq!(sent.frame[34..42], frame[34..42]);
    }
}

#[test]
fn a_udp_checksum_of_zero_stays_zero() {
    let mut packet = udp(CLIENT, SERVICE, b"hello");
    packet.payload[6..8].fill(0);
    let mut world = World::new(&one_server(Method::Nat).udp());
    let sent = expect(
        &mut world,
        WAN,
        &packet.via_gateway(),
        "lan: 203.0.113.10:4000 > 198.51.100.11:8080 udp ttl 63",
    );
    assert_eq!(sent.frame[40..42], [0, 0]);
}

#[test]
fn a_udp_checksum_is_never_made_zero() {
    let mut world = World::new(&one_server(Method::Nat).udp());
    // Two bytes of payload go through all values, so the right sum after the rewrite is once 0, sent as 0xffff.
    let mut all_ones = 0;
    for value in 0..=u16::MAX {
        let packet = udp(CLIENT, SERVICE, &value.to_be_bytes());
        let sent = world.receive(WAN, &packet.via_gateway()).remove(0);
        assert_ne!(sent.frame[40..42], [0, 0], "payload {value}");
        all_ones += u32::from(sent.frame[40..42] == [0xff, 0xff]);
    }
    assert_eq!(all_ones, 1);
}

#[test]
fn an_error_of_the_checksum_stays_one() {
    let plan = Plan { verify_checksums: false, ..one_server(Method::Nat) };
    let mut packet = syn();
    packet.payload[16] ^= 0x40;
    let sent = World::new(&plan).receive(WAN, &packet.via_gateway()).remove(0);
    let right = World::new(&plan).receive(WAN, &syn().via_gateway()).remove(0);
    assert_eq!(sent.frame[50] ^ right.frame[50], 0x40);
    assert_eq!(sent.frame[..50], right.frame[..50]);

    let mut world = world(Method::Nat);
    expect_nothing(&mut world, WAN, &packet.via_gateway());
    assert_eq!(world.dropped(DropReason::BadL4Checksum), 1, "noticed where it is looked for");
}

#[test]
fn a_port_that_says_right_is_believed_and_one_that_says_wrong_is_checked() {
    use Checksum::{Bad, Good, Unknown};
    let (sound, mut broken) = (syn(), syn());
    broken.payload[16] ^= 0x40;
    for (packet, verdict, verify, passes) in [
        (&broken, Good, true, true),
        (&broken, Unknown, false, true),
        (&broken, Unknown, true, false),
        (&broken, Bad, true, false),
        (&broken, Bad, false, false),
        (&sound, Bad, true, true),
        (&sound, Bad, false, true),
    ] {
        let mut arrives = MemoryPacket::new(WAN, &packet.via_gateway());
        arrives.l4_checksum = verdict;
        let mut world = World::new(&Plan { verify_checksums: verify, ..one_server(Method::Dr) });
        assert_eq!(world.packets(0, &[arrives]).len(), usize::from(passes), "{verdict:?}, {verify}");
        assert_eq!(world.dropped(DropReason::BadL4Checksum), u64::from(!passes));
    }
}

/// Intel's 82599 says so of every datagram without a checksum.
#[test]
fn a_datagram_without_a_checksum_passes_although_its_port_calls_that_wrong() {
    for method in [Method::Nat, Method::Tun, Method::Dr, Method::L3Dsr] {
        for verify in [true, false] {
            let mut packet = udp(CLIENT, SERVICE, b"hello");
            packet.payload[6..8].fill(0);
            let with_options = packet.clone().options(&[1; 4]).via_gateway();
            let plain = packet.via_gateway();
            for frame in [tagged(&plain, 0), plain, with_options] {
                let mut arrives = MemoryPacket::new(WAN, &frame);
                (arrives.ipv4_checksum, arrives.l4_checksum) = (Checksum::Good, Checksum::Bad);
                let plan = Plan { verify_checksums: verify, ..one_server(method).udp() };
                assert_eq!(World::new(&plan).packets(0, &[arrives]).len(), 1, "{method}, {verify}");
            }
        }
    }
}
