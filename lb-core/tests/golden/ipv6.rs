//! IPv6 through each method, and what the director says about packets that do not go through.

use super::{
    common::{frame::*, frame6::*, plan::*, world::World},
    dump, expect, expect_nothing,
};
use etherparse::{IcmpEchoHeader, Icmpv6Type, IpNumber};
use lb_core::{
    counters::DropReason,
    service::plan::{Method, Plan, Unserved, VipPlan},
};
use std::net::Ipv6Addr;

const CLIENT: &str = "[2001:db8:a::10]:4000";
const SERVICE: &str = "[2001:db8:1::100]:80";
const SERVER: &str = "[2001:db8:2::11]:8080";
/// A router somewhere between the director and the client.
const FAR_ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1);
const OPTIONS: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];

fn world(method: Method) -> World {
    World::new(&one_server6(method))
}

fn syn() -> Ip6 {
    tcp6(CLIENT, SERVICE, SYN)
}

/// A director with an open connection.
fn connected(method: Method) -> World {
    let mut world = world(method);
    assert_eq!(world.receive(WAN, &syn().via_gateway()).len(), 1);
    world
}

fn data(len: usize) -> Ip6 {
    tcp6_with(endpoint6(CLIENT), endpoint6(SERVICE), ACK, &vec![b'x'; len - 60])
}

fn message(kind: u8, code: u8, rest: u32) -> Icmpv6Type {
    Icmpv6Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: rest.to_be_bytes() }
}

#[test]
fn nat_in_gets_the_servers_address_and_port() {
    let sent = world(Method::Nat).receive(WAN, &syn().via_gateway()).remove(0);
    let expected = [
        // To the server's station, from the lan port's.
        "02000000020b02000000000286dd",
        // One off the hop limit; 2001:db8:a::10...
        "600000000014063f20010db8000a000000000000",
        // ... to 2001:db8:2::11.
        "0000001020010db8000200000000000000000011",
        // Port 80 has become 8080; all but that and the checksum is as the client sent it.
        "0fa01f90000003e80000000050022000012c0000",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn nat_out_gets_the_vips_address_and_port_back() {
    let mut world = connected(Method::Nat);
    let line = "wan: [2001:db8:1::100]:80 > [2001:db8:a::10]:4000 tcp syn ack ttl 63";
    expect(&mut world, LAN, &tcp6(SERVER, CLIENT, SYN | ACK).via_server(), line);
    let line = "lan: [2001:db8:a::10]:4000 > [2001:db8:2::11]:8080 tcp ack ttl 63";
    expect(&mut world, WAN, &tcp6(CLIENT, SERVICE, ACK).via_gateway(), line);
}

#[test]
fn fullnat_hides_the_client_from_the_server() {
    let mut world = world(Method::FullNat);
    let sent = world.receive(WAN, &syn().via_gateway()).remove(0).line();
    let ends = "lan: [2001:db8:2::20]:";
    assert!(sent.starts_with(ends) && sent.ends_with(" > [2001:db8:2::11]:8080 tcp syn ttl 63"), "{sent}");
    let local = sent.strip_prefix("lan: ").and_then(|rest| rest.split(' ').next()).unwrap();
    let line = "wan: [2001:db8:1::100]:80 > [2001:db8:a::10]:4000 tcp syn ack ttl 63";
    expect(&mut world, LAN, &tcp6(SERVER, local, SYN | ACK).via_server(), line);
    let quoted = tcp6(local, SERVER, ACK).bytes();
    let error = icmp6(
        SERVERS6[0],
        local.parse::<std::net::SocketAddrV6>().unwrap().ip().to_owned(),
        message(1, 4, 0),
        &quoted,
    );
    let quoted = "[2001:db8:a::10]:4000 > [2001:db8:1::100]:80 tcp ack ttl 64";
    let line = format!("wan: 2001:db8:1::100 > 2001:db8:a::10 icmpv6 port unreachable [{quoted}] ttl 63");
    expect(&mut world, LAN, &error.via_server(), &line);
}

#[test]
fn dr_changes_the_stations_and_the_hop_limit_only() {
    let frame = syn().via_gateway();
    let sent = world(Method::Dr).receive(WAN, &frame).remove(0);
    assert_eq!(sent.line(), "lan: [2001:db8:a::10]:4000 > [2001:db8:1::100]:80 tcp syn ttl 63");
    assert_eq!(sent.frame[22..], frame[22..]);
}

#[test]
fn each_family_goes_through_tunnels_of_either() {
    let inner4 = "203.0.113.10:4000 > 192.0.2.100:80 tcp syn ttl 63";
    let inner6 = "[2001:db8:a::10]:4000 > [2001:db8:1::100]:80 tcp syn ttl 63";
    let outer4 = "198.51.100.1 > 198.51.100.11 ttl 64";
    let outer6 = "2001:db8:2::1 > 2001:db8:2::11 ttl 64";
    let (server4, server6) = ("198.51.100.11:80", "[2001:db8:2::11]:80");
    let syn4 = tcp("203.0.113.10:4000", "192.0.2.100:80", SYN).via_gateway();
    for (vip, server, frame, outer, inner) in [
        ("192.0.2.100:80", server4, &syn4, outer4, inner4),
        ("192.0.2.100:80", server6, &syn4, outer6, inner4),
        (SERVICE, server4, &syn().via_gateway(), outer4, inner6),
        (SERVICE, server6, &syn().via_gateway(), outer6, inner6),
    ] {
        let plan = network6().with(service(Method::Tun, vip, &[server]));
        expect(&mut World::new(&plan), WAN, frame, &format!("lan: {outer} [{inner}]"));
        // A tag is taken off, in front of the other family's number as well.
        let line = format!("lan: {outer} [{inner}]");
        expect(&mut World::new(&plan), WAN, &tagged(frame, 0), &line);
    }
}

#[test]
fn a_tunnel_of_ipv6_has_the_packets_class() {
    let mut packet = syn();
    packet.header.traffic_class = 0xab;
    let sent = world(Method::Tun).receive(WAN, &packet.via_gateway()).remove(0);
    let expected = [
        "02000000020b02000000000286dd",
        // Class 0xab, 60 bytes of IPv6, 2001:db8:2::1 to 2001:db8:2::11.
        "6ab00000003c294020010db80002000000000000",
        "0000000120010db8000200000000000000000011",
        "6ab000000014063f20010db8000a000000000000",
        "0000001020010db8000100000000000000000100",
        "0fa00050000003e800000000500220001f7e0000",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn extension_headers_stay_in_front_of_what_is_rewritten() {
    let mut world = world(Method::Nat);
    let packet = syn().behind(60, OPTIONS).behind(0, OPTIONS);
    let line = "lan: [2001:db8:a::10]:4000 > [2001:db8:2::11]:8080 tcp syn ttl 63 with options";
    expect(&mut world, WAN, &packet.via_gateway(), line);
    expect_nothing(&mut world, WAN, &syn().behind(43, OPTIONS).via_gateway());
    let many = (0..9).fold(syn(), |packet, _| packet.behind(60, OPTIONS));
    expect_nothing(&mut world, WAN, &many.via_gateway());
    assert_eq!(world.dropped(DropReason::BadExtensions), 2);
    expect_nothing(&mut world, WAN, &syn().behind(44, &[0, 0, 0, 1, 0, 0, 0, 9]).via_gateway());
    assert_eq!(world.dropped(DropReason::BadFragment), 1, "20 bytes, and more to follow");
    let twice = syn().behind(44, &[0, 0, 0, 0, 0, 0, 0, 9]).behind(44, &[0, 0, 0, 1, 0, 0, 0, 9]);
    expect_nothing(&mut world, WAN, &twice.via_gateway());
    assert_eq!(world.dropped(DropReason::BadExtensions), 3, "two fragment headers");
}

/// Eight headers and 256 bytes are the most, each for itself.
#[test]
fn extension_headers_have_bounds() {
    let options = |len: usize| {
        let mut header = vec![0; len];
        (header[1], header[2], header[3]) = ((len / 8 - 1) as u8, 1, (len - 4).min(255) as u8);
        header
    };
    // One option of padding takes 255 bytes at most, so longer headers have a second one of zeros.
    let chain = |count: usize, len: usize| (0..count).fold(syn(), |it, _| it.behind(60, &options(len)));
    for (count, len, passes) in [
        (8, 8, true),
        (9, 8, false),
        (8, 32, true),
        (8, 40, false),
        (1, 256, true),
        (1, 264, false),
        (2, 128, true),
    ] {
        let mut world = world(Method::Nat);
        let sent = world.receive(WAN, &chain(count, len).via_gateway());
        assert_eq!(sent.len(), usize::from(passes), "{count} headers of {len} bytes");
        assert_eq!(world.dropped(DropReason::BadExtensions), u64::from(!passes), "{count} of {len} bytes");
    }
}

#[test]
fn a_short_datagram_passes_and_one_without_checksum_does_not() {
    let mut world = World::new(&one_server6(Method::Nat).udp());
    for payload in [&b""[..], b"?", b"a longer one, which is of the common shape"] {
        let line = "lan: [2001:db8:a::10]:4000 > [2001:db8:2::11]:8080 udp ttl 63";
        let mut packet = udp6(CLIENT, SERVICE, payload);
        expect(&mut world, WAN, &packet.via_gateway(), line);
        packet.payload[6..8].fill(0);
        expect_nothing(&mut world, WAN, &packet.via_gateway());
    }
    assert_eq!(world.dropped(DropReason::BadL4Checksum), 3);
}

#[test]
fn pings_are_answered() {
    let mut world = world(Method::Nat);
    for (address, own) in [(VIP6, "2001:db8:1::100"), ("2001:db8:1::1".parse().unwrap(), "2001:db8:1::1")] {
        let ping =
            icmp6(CLIENT6, address, Icmpv6Type::EchoRequest(IcmpEchoHeader { id: 7, seq: 1 }), b"ping");
        let line = format!("wan: {own} > 2001:db8:a::10 icmpv6 echo reply ttl 64");
        let sent = expect(&mut world, WAN, &ping.via_gateway(), &line);
        assert_eq!(sent.frame[58..], ping.payload[4..], "identification, number and payload come back");
    }
}

#[test]
fn what_is_not_served_is_refused() {
    let mut world = World::new(&one_server6(Method::Nat));
    let other = "[2001:db8:1::100]:81";
    let line = "wan: [2001:db8:1::100]:81 > [2001:db8:a::10]:4000 tcp rst ack ttl 64";
    expect(&mut world, WAN, &tcp6(CLIENT, other, SYN).via_gateway(), line);
    let quoted = "[2001:db8:a::10]:4000 > [2001:db8:1::100]:81 udp ttl 64";
    let line = format!("wan: 2001:db8:1::100 > 2001:db8:a::10 icmpv6 port unreachable [{quoted}] ttl 64");
    expect(&mut world, WAN, &udp6(CLIENT, other, b"?").via_gateway(), &line);
    let strange = Ip6::new(IpNumber(50), CLIENT6, VIP6, vec![0; 8]);
    let quoted = "2001:db8:a::10 > 2001:db8:1::100 protocol 50 ttl 64";
    let line =
        format!("wan: 2001:db8:1::100 > 2001:db8:a::10 icmpv6 unknown protocol at 6 [{quoted}] ttl 64");
    expect(&mut world, WAN, &strange.via_gateway(), &line);
    let behind = strange.behind(60, OPTIONS).behind(60, OPTIONS);
    let line = world.receive(WAN, &behind.via_gateway()).remove(0).line();
    assert!(line.contains("unknown protocol at 48"), "it is the second header that names it: {line}");
    let vips = vec![VipPlan { address: VIP6.into(), unserved: Unserved::Drop }];
    let mut world = World::new(&Plan { vips, ..one_server6(Method::Nat) });
    expect_nothing(&mut world, WAN, &tcp6(CLIENT, other, SYN).via_gateway());
}

#[test]
fn a_quote_has_no_more_than_fits_1280_bytes() {
    let sent =
        world(Method::Nat).receive(WAN, &udp6(CLIENT, "[2001:db8:1::100]:81", &[7; 1_400]).via_gateway());
    assert_eq!(sent[0].frame.len(), 14 + 1_280);
}

#[test]
fn a_packet_that_cannot_go_on_is_reported() {
    for (method, mtu, fits) in
        [(Method::Nat, 1_400, 1_400), (Method::Dr, 1_400, 1_400), (Method::Tun, 1_400, 1_360)]
    {
        let mut world = World::new(&one_server6(method).mtu(LAN, mtu));
        world.receive(WAN, &syn().via_gateway());
        assert_eq!(world.receive(WAN, &data(fits).via_gateway()).len(), 1);
        let quoted = "[2001:db8:a::10]:4000 > [2001:db8:1::100]:80 tcp ack ttl 64";
        let line = format!("wan: 2001:db8:1::1 > 2001:db8:a::10 icmpv6 too big for {fits} [{quoted}] ttl 64");
        let sent = expect(&mut world, WAN, &data(fits + 1).via_gateway(), &line);
        assert_eq!(sent.frame.len(), 14 + 1_280);
        let line = line
            .replace(&format!("too big for {fits}"), "time exceeded")
            .replace("tcp ack ttl 64", "tcp ack ttl 1");
        expect(&mut world, WAN, &data(100).ttl(1).via_gateway(), &line);
    }
}

#[test]
fn nat_carries_errors_both_ways() {
    let mut world = connected(Method::Nat);
    // From the server's side, about what was sent to the server.
    let quoted = tcp6(CLIENT, SERVER, ACK).bytes();
    let error = icmp6(SERVERS6[0], CLIENT6, message(1, 4, 0), &quoted);
    let quoted = "[2001:db8:a::10]:4000 > [2001:db8:1::100]:80 tcp ack ttl 64";
    let line = format!("wan: 2001:db8:1::100 > 2001:db8:a::10 icmpv6 port unreachable [{quoted}] ttl 63");
    let sent = expect(&mut world, LAN, &error.via_server(), &line);
    super::common::read::check_ipv6(&sent.frame[62..])
        .expect("the quoted segment's checksum is right as well");
    // From the client's side, about what came from the VIP.
    let quoted = tcp6(SERVICE, CLIENT, ACK).bytes();
    let error = icmp6(FAR_ROUTER, VIP6, message(2, 0, 1_300), &quoted);
    let quoted = "[2001:db8:2::11]:8080 > [2001:db8:a::10]:4000 tcp ack ttl 64";
    let line = format!("lan: 2001:db8:ff::1 > 2001:db8:2::11 icmpv6 too big for 1300 [{quoted}] ttl 63");
    expect(&mut world, WAN, &error.via_gateway(), &line);
}

#[test]
fn a_path_mtu_inside_a_tunnel_is_remembered_and_reported_to_clients() {
    let mut world = connected(Method::Tun);
    let outer = world.receive(WAN, &data(1_460).via_gateway()).remove(0).frame[14..].to_vec();
    let own = "2001:db8:2::1".parse().unwrap();
    let report = |mtu: u32| icmp6(SERVERS6[1], own, message(2, 0, mtu), &outer[..200]);
    expect_nothing(&mut world, LAN, &report(1_279).via_server());
    assert_eq!(world.receive(WAN, &data(1_460).via_gateway()).len(), 1, "every link carries 1280 bytes");
    expect_nothing(&mut world, LAN, &report(1_400).via_server());
    let told = world.receive(WAN, &data(1_460).via_gateway()).remove(0).line();
    assert!(told.contains("too big for 1360"), "{told}");
}

#[test]
fn a_narrow_tunnel_of_ipv4_has_its_packets_fragmented_by_routers() {
    let plan = network6().with(service(Method::Tun, SERVICE, &["198.51.100.11:80"]));
    let mut world = World::new(&plan);
    world.receive(WAN, &syn().via_gateway());
    let outer = world.receive(WAN, &data(1_480).via_gateway()).remove(0).frame[14..].to_vec();
    assert_eq!(outer[6..8], [0x40, 0], "do not fragment");
    let too_big = etherparse::Icmpv4Type::DestinationUnreachable(
        etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1_290 },
    );
    let report = icmp(SERVERS[1], "198.51.100.1".parse().unwrap(), too_big, &outer[..120]);
    expect_nothing(&mut world, LAN, &report.via_server());
    // Nobody makes packets smaller than 1280 bytes, and 1270 are left.
    let outer = world.receive(WAN, &data(1_480).via_gateway()).remove(0).frame[14..].to_vec();
    assert_eq!(outer[6..8], [0, 0], "may be fragmented");
}

#[test]
fn what_cannot_come_from_another_link_opens_nothing() {
    let mut world = world(Method::Dr);
    for source in ["::", "::1", "ff02::1", "::ffff:192.0.2.1", "fe80::9", "2001:db8:1::100"] {
        let packet = tcp6(&format!("[{source}]:4000"), SERVICE, SYN);
        expect_nothing(&mut world, WAN, &packet.via_gateway());
    }
    assert_eq!(world.dropped(DropReason::BadSource), 6);
}
