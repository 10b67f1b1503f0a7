//! ICMP: pings, packets that cannot go on, and errors that find their way by the packet they quote.

use super::{
    common::{frame::*, plan::*, read, world::World},
    expect, expect_nothing,
};
use etherparse::{IcmpEchoHeader, Icmpv4Type, icmpv4::DestUnreachableHeader, icmpv4::TimeExceededCode};
use lb_core::{
    counters::DropReason,
    service::plan::{Method, Plan},
};
use std::net::Ipv4Addr;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const SERVER: &str = "198.51.100.11:8080";
/// A router somewhere between the director and the client.
const FAR_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

const UNREACHABLE: Icmpv4Type = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);

fn too_big_for(mtu: u16) -> Icmpv4Type {
    Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu })
}

/// A director with an open connection.
fn connected(plan: &Plan) -> World {
    let mut world = World::new(plan);
    assert_eq!(world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway()).len(), 1);
    world
}

fn data(len: usize) -> Ip {
    tcp_with(endpoint(CLIENT), endpoint(SERVICE), ACK, &vec![b'x'; len - 40])
}

#[test]
fn under_fullnat_an_error_from_the_servers_side_reaches_the_client_and_quotes_its_packet() {
    let mut world = World::new(&one_server(Method::FullNat));
    let sent = world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway()).remove(0);
    let quote = read::ipv4_packet(&sent.frame).unwrap();
    for (quote, flags) in [(quote, " syn"), (&quote[..28], " cut")] {
        let error = icmp(SERVERS[0], LOCAL, UNREACHABLE, quote).via_server();
        let line = format!(
            "wan: 192.0.2.100 > 203.0.113.10 icmp port unreachable [{CLIENT} > {SERVICE} tcp{flags} ttl 63] ttl 63"
        );
        expect(&mut world, LAN, &error, &line);
    }
}

#[test]
fn under_fullnat_an_error_from_the_clients_side_comes_from_a_local_address() {
    let mut world = World::new(&one_server(Method::FullNat));
    let local = world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway())[0].source();
    let reply = tcp(SERVER, &local, SYN | ACK).via_server();
    let sent = world.receive(LAN, &reply).remove(0);
    let quote = read::ipv4_packet(&sent.frame).unwrap();
    let error = icmp(FAR_ROUTER, VIP, too_big_for(1_300), quote).via_gateway();
    let line = format!(
        "lan: 198.51.100.20 > 198.51.100.11 icmp too big for 1300 [{SERVER} > {local} tcp syn ack ttl 63] ttl 63"
    );
    expect(&mut world, WAN, &error, &line);
}

#[test]
fn pings_are_answered() {
    let mut world = World::new(&one_server(Method::Nat));
    let lines = [
        (VIP, "wan: 192.0.2.100 > 203.0.113.10 icmp echo reply ttl 64"),
        ("192.0.2.1".parse().unwrap(), "wan: 192.0.2.1 > 203.0.113.10 icmp echo reply ttl 64"),
    ];
    for (address, line) in lines {
        let ping = echo(CLIENT_IP, address);
        let sent = expect(&mut world, WAN, &ping.via_gateway(), line);
        assert_eq!(sent.frame[38..], ping.payload[4..], "identification, number and payload come back");
    }
    let with_options = echo(CLIENT_IP, VIP).options(&[1, 1, 1, 0]).via_gateway();
    let line = "wan: 192.0.2.100 > 203.0.113.10 icmp echo reply ttl 64 with options";
    expect(&mut world, WAN, &with_options, line);
    expect_nothing(&mut world, WAN, &echo(CLIENT_IP, SERVERS[0]).via_gateway());
}

#[test]
fn a_ping_of_zeros_is_answered_with_a_right_checksum() {
    for len in [0, 1, 2, 56, 1_400] {
        let zeros = Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 0, seq: 0 });
        let ping = icmp(CLIENT_IP, VIP, zeros, &vec![0; len]);
        let mut frame = ping.via_gateway();
        // Padding is not part of it.
        frame.resize(frame.len() + 9, 0xee);
        let line = "wan: 192.0.2.100 > 203.0.113.10 icmp echo reply ttl 64";
        let sent = expect(&mut World::new(&one_server(Method::Nat)), WAN, &frame, line);
        assert_eq!(sent.frame[36..38], [0xff, 0xff], "{len} bytes");
    }
}

#[test]
fn a_packet_whose_time_runs_out_at_the_director_is_reported() {
    for method in [Method::Nat, Method::Tun, Method::Dr, Method::L3Dsr] {
        let mut world = connected(&one_server(method));
        let line = "wan: 192.0.2.1 > 203.0.113.10 icmp time exceeded \
                    [203.0.113.10:4000 > 192.0.2.100:80 tcp ack ttl 1] ttl 64";
        expect(&mut world, WAN, &tcp(CLIENT, SERVICE, ACK).ttl(1).via_gateway(), line);
        assert_eq!(world.receive(WAN, &tcp(CLIENT, SERVICE, ACK).ttl(2).via_gateway()).len(), 1);
    }
}

#[test]
fn a_reply_whose_time_runs_out_is_reported_to_the_server() {
    let mut world = connected(&one_server(Method::Nat));
    let line = "lan: 198.51.100.1 > 198.51.100.11 icmp time exceeded \
                [198.51.100.11:8080 > 203.0.113.10:4000 tcp syn ack ttl 1] ttl 64";
    expect(&mut world, LAN, &tcp(SERVER, CLIENT, SYN | ACK).ttl(1).via_server(), line);
}

#[test]
fn a_packet_too_big_for_the_way_is_reported_with_the_size_that_fits() {
    for (method, mtu, largest) in [
        // The tunnel's own header takes 20 bytes.
        (Method::Tun, 1500, 1480),
        (Method::Tun, 1400, 1380),
        (Method::Nat, 1400, 1400),
        (Method::Dr, 1400, 1400),
    ] {
        let mut world = connected(&one_server(method).mtu(LAN, mtu));
        let line = format!(
            "wan: 192.0.2.1 > 203.0.113.10 icmp too big for {largest} \
             [203.0.113.10:4000 > 192.0.2.100:80 tcp ack ttl 64] ttl 64"
        );
        expect(&mut world, WAN, &data(largest + 1).via_gateway(), &line);
        assert_eq!(world.receive(WAN, &data(largest).via_gateway()).len(), 1, "{method} {mtu}");
        let sent = world.receive(WAN, &data(largest + 1).may_fragment().via_gateway());
        assert_eq!(sent.len(), 2, "{method} {mtu}: what may be is fragmented");
    }
}

/// An error with "do not fragment" ends at the first router whose link carries less than its 576 bytes, without a word.
#[test]
fn routers_may_fragment_an_error_on_its_way_back() {
    let mut world = connected(&one_server(Method::Tun));
    let mut errors = (0..2).map(|byte| {
        let packet = tcp_with(endpoint(CLIENT), endpoint(SERVICE), ACK, &[byte; 1_460]);
        world.receive(WAN, &packet.via_gateway()).remove(0)
    });
    let [first, second] = [errors.next().unwrap(), errors.next().unwrap()];
    for sent in [&first, &second] {
        assert!(sent.line().contains("too big for 1480"), "{}", sent.line());
        assert_eq!(sent.frame.len(), 14 + 576);
        assert_eq!(sent.frame[20..22], [0, 0], "no flag forbids it");
    }
    assert_ne!(first.frame[18..20], second.frame[18..20], "fragments of one are told from the other's");
}

#[test]
fn nat_carries_an_error_to_the_client() {
    let mut world = connected(&one_server(Method::Nat));
    // The server has nobody on that port. It quotes what it received.
    let quote = tcp(CLIENT, SERVER, SYN).ttl(63).bytes();
    let error = icmp(SERVERS[0], CLIENT_IP, UNREACHABLE, &quote);
    // The client hears of its own packet, from the address that it knows.
    let line = "wan: 192.0.2.100 > 203.0.113.10 icmp port unreachable \
                [203.0.113.10:4000 > 192.0.2.100:80 tcp syn ttl 63] ttl 63";
    let sent = expect(&mut world, LAN, &error.via_server(), line);
    assert_quote_is_right(&sent.frame[42..]);

    // RFC 792 asks for no more than eight bytes of the segment: ports, but no checksum.
    let cut = icmp(SERVERS[0], CLIENT_IP, UNREACHABLE, &quote[..28]);
    let line = "wan: 192.0.2.100 > 203.0.113.10 icmp port unreachable \
                [203.0.113.10:4000 > 192.0.2.100:80 tcp cut ttl 63] ttl 63";
    expect(&mut world, LAN, &cut.via_server(), line);

    // A router between the director and the server stays unknown to clients.
    let router = icmp("198.51.100.9".parse().unwrap(), CLIENT_IP, too_big_for(1300), &quote[..28]);
    let line = "wan: 192.0.2.100 > 203.0.113.10 icmp too big for 1300 \
                [203.0.113.10:4000 > 192.0.2.100:80 tcp cut ttl 63] ttl 63";
    expect(&mut world, LAN, &router.via_server(), line);
}

#[test]
fn nat_carries_an_error_to_the_server() {
    let mut world = connected(&one_server(Method::Nat));
    // What the router quotes is the server's packet as it left the director.
    let quote = tcp_with(endpoint(SERVICE), endpoint(CLIENT), ACK, &[b'x'; 1000]).ttl(50).bytes();
    let error = icmp(FAR_ROUTER, VIP, too_big_for(1300), &quote[..28]);
    let line = "lan: 198.18.0.1 > 198.51.100.11 icmp too big for 1300 \
                [198.51.100.11:8080 > 203.0.113.10:4000 tcp cut ttl 50] ttl 63";
    expect(&mut world, WAN, &error.via_gateway(), line);

    let whole =
        icmp(FAR_ROUTER, VIP, Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit), &quote);
    let line = "lan: 198.18.0.1 > 198.51.100.11 icmp time exceeded \
                [198.51.100.11:8080 > 203.0.113.10:4000 tcp ack ttl 50] ttl 63";
    let sent = expect(&mut world, WAN, &whole.via_gateway(), line);
    assert_quote_is_right(&sent.frame[42..]);
}

#[test]
fn nat_translates_errors_about_udp() {
    let mut world = World::new(&one_server(Method::Nat).udp());
    world.receive(WAN, &udp(CLIENT, SERVICE, b"?").via_gateway());
    let quote = udp(CLIENT, SERVER, b"?").bytes();
    let line = "wan: 192.0.2.100 > 203.0.113.10 icmp port unreachable \
                [203.0.113.10:4000 > 192.0.2.100:80 udp ttl 64] ttl 63";
    let sent = expect(&mut world, LAN, &icmp(SERVERS[0], CLIENT_IP, UNREACHABLE, &quote).via_server(), line);
    assert_quote_is_right(&sent.frame[42..]);
    let mut without = quote.clone();
    without[26..28].fill(0);
    let sent =
        expect(&mut world, LAN, &icmp(SERVERS[0], CLIENT_IP, UNREACHABLE, &without).via_server(), line);
    assert_eq!(sent.frame[68..70], [0, 0], "no checksum stays none");
}

#[test]
fn a_quoted_udp_checksum_is_never_made_zero() {
    let mut world = World::new(&one_server(Method::Nat).udp());
    world.receive(WAN, &udp(CLIENT, SERVICE, b"?").via_gateway());
    for value in 0..=u16::MAX {
        let quote = udp(CLIENT, SERVER, &value.to_be_bytes()).bytes();
        let error = icmp(SERVERS[0], CLIENT_IP, UNREACHABLE, &quote).via_server();
        let sent = world.receive(LAN, &error).remove(0);
        assert_ne!(sent.frame[68..70], [0, 0], "payload {value}");
        assert_quote_is_right(&sent.frame[42..]);
    }
}

#[test]
fn tun_and_dr_carry_errors_to_the_server() {
    // The server answered the client itself; a router on that way reports to the VIP, which is here.
    let quote = tcp(SERVICE, CLIENT, ACK).ttl(50).bytes();
    let error = icmp(FAR_ROUTER, VIP, too_big_for(1300), &quote[..28]).via_gateway();
    let inner = "198.18.0.1 > 192.0.2.100 icmp too big for 1300 \
                 [192.0.2.100:80 > 203.0.113.10:4000 tcp cut ttl 50] ttl 63";
    let mut world = connected(&one_server(Method::Dr));
    expect(&mut world, WAN, &error, &format!("lan: {inner}"));
    let mut world = connected(&one_server(Method::Tun));
    expect(&mut world, WAN, &error, &format!("lan: 198.51.100.1 > 198.51.100.11 ttl 64 [{inner}]"));
}

#[test]
fn a_path_mtu_inside_the_tunnel_is_remembered_and_reported_to_clients() {
    let mut world = connected(&one_server(Method::Tun));
    let outer =
        Ip::new(etherparse::IpNumber::IPV4, "198.51.100.1".parse().unwrap(), SERVERS[0], data(1480).bytes());
    let error = |mtu| {
        let router = "198.51.100.9".parse().unwrap();
        icmp(router, "198.51.100.1".parse().unwrap(), too_big_for(mtu), &outer.bytes()[..28]).via_server()
    };
    expect_nothing(&mut world, LAN, &error(1400));
    assert_eq!(world.counters(0).host.get(), 2 + 1, "two ARP replies and this");
    let line = "wan: 192.0.2.1 > 203.0.113.10 icmp too big for 1380 \
                [203.0.113.10:4000 > 192.0.2.100:80 tcp ack ttl 64] ttl 64";
    expect(&mut world, WAN, &data(1381).via_gateway(), line);
    assert_eq!(world.receive(WAN, &data(1380).via_gateway()).len(), 1);
    expect_nothing(&mut world, LAN, &error(100));
    assert_eq!(world.receive(WAN, &data(1380).via_gateway()).len(), 1, "nobody's MTU is 100");
    world.pass(11 * 60 * 1_000);
    assert_eq!(world.receive(WAN, &data(1480).via_gateway()).len(), 1, "forgotten after ten minutes");
}

/// The tunnel's packet that carries a client's, as a router quotes it.
fn tunnelled(inner: &Ip, from: &str, to: Ipv4Addr) -> Ip {
    Ip::new(etherparse::IpNumber::IPV4, from.parse().unwrap(), to, inner.bytes())
}

/// The MTU that clients are told after a report about a tunnel's packet, if any.
fn told_after(world: &mut World, outer: &[u8], mtu: u16) -> Option<String> {
    let report = icmp(FAR_ROUTER, "198.51.100.1".parse().unwrap(), too_big_for(mtu), outer).via_gateway();
    expect_nothing(world, WAN, &report);
    let line = world.lines(WAN, &data(1480).via_gateway()).remove(0);
    line.contains("too big")
        .then(|| line.split_whitespace().skip_while(|word| *word != "for").nth(1).unwrap().to_owned())
}

#[test]
fn a_report_about_a_tunnel_is_believed_only_if_it_quotes_what_was_sent() {
    let at_server = |inner: &Ip| tunnelled(inner, "198.51.100.1", SERVERS[0]).bytes();
    let other_flow = tcp_with(endpoint("203.0.113.10:4001"), endpoint(SERVICE), ACK, &[0; 1440]);
    for (what, outer) in [
        ("another server", tunnelled(&data(1480), "198.51.100.1", SERVERS[1]).bytes()),
        ("another source", tunnelled(&data(1480), "198.51.100.2", SERVERS[0]).bytes()),
        ("a flow that is not known", at_server(&other_flow)),
        ("a packet that fits", at_server(&data(1000))),
        ("one that may be fragmented", {
            let mut outer = at_server(&data(1480));
            outer[6] &= !0x40;
            outer
        }),
    ] {
        let mut world = connected(&one_server(Method::Tun));
        assert_eq!(told_after(&mut world, &outer, 1400), None, "{what}");
    }
    let mut world = connected(&one_server(Method::Tun));
    world.pass(20_000);
    assert_eq!(told_after(&mut world, &at_server(&data(1480)), 1400), None, "nothing was sent lately");
    assert_eq!(told_after(&mut world, &at_server(&data(1480)), 1400).as_deref(), Some("1380"), "now it was");
}

/// Nobody can make packets so small that clients' systems do not follow; what a way carries less gets fragmented.
#[test]
fn a_report_of_a_tiny_path_mtu_makes_nothing_smaller_and_lets_routers_fragment() {
    for mtu in [0, 68, 552, 571, 575] {
        let mut world = connected(&one_server(Method::Tun));
        let is_fragile = |world: &mut World| {
            let sent = world.receive(WAN, &data(1480).via_gateway()).remove(0);
            sent.frame[14 + 6] & 0x40 != 0
        };
        assert!(is_fragile(&mut world));
        let outer = tunnelled(&data(1480), "198.51.100.1", SERVERS[0]).bytes();
        assert_eq!(told_after(&mut world, &outer, mtu), None, "{mtu}");
        assert!(!is_fragile(&mut world), "{mtu}: routers may fragment");
        world.pass(11 * 60 * 1_000);
        assert!(is_fragile(&mut world), "{mtu}: forgotten after ten minutes");
    }
    let mut world = connected(&one_server(Method::Tun));
    let outer = tunnelled(&data(1480), "198.51.100.1", SERVERS[0]).bytes();
    // 20 of them are the tunnel's.
    assert_eq!(told_after(&mut world, &outer, 595), None, "nobody goes below 576 bytes");
    assert_eq!(told_after(&mut world, &outer, 596).as_deref(), Some("576"));
}

#[test]
fn a_packet_that_may_be_fragmented_passes_whatever_routers_report() {
    let mut world = connected(&one_server(Method::Tun));
    let outer = tunnelled(&data(1480), "198.51.100.1", SERVERS[0]).bytes();
    assert_eq!(told_after(&mut world, &outer, 600).as_deref(), Some("580"));
    let whole = data(1480).may_fragment().via_gateway();
    let sent = world.receive(WAN, &whole);
    assert_eq!(sent.iter().map(|it| it.frame.len()).collect::<Vec<_>>(), [14 + 600, 14 + 600, 14 + 380]);
}

#[test]
fn errors_about_nothing_we_know_are_dropped() {
    let mut world = connected(&one_server(Method::Nat));
    let about = |quote: Vec<u8>| icmp(FAR_ROUTER, VIP, UNREACHABLE, &quote).via_gateway();
    expect_nothing(&mut world, WAN, &about(tcp(SERVICE, "203.0.113.10:4001", ACK).bytes()));
    expect_nothing(&mut world, WAN, &about(tcp(SERVICE, CLIENT, ACK).bytes()[..23].to_vec()));
    expect_nothing(&mut world, WAN, &about(Vec::new()));
    expect_nothing(&mut world, WAN, &about(echo(VIP, CLIENT_IP).bytes()));
    assert_eq!(world.dropped(DropReason::IcmpUnrelated), 4);
}

#[test]
fn an_error_does_not_keep_a_connection_alive() {
    let mut world = connected(&one_server(Method::Nat));
    let quote = tcp(SERVICE, CLIENT, ACK).bytes();
    for _ in 0..7 {
        world.pass(9_000);
        world.receive(WAN, &icmp(FAR_ROUTER, VIP, UNREACHABLE, &quote).via_gateway());
    }
    assert!(world.connections().is_empty());
}

/// A whole quote must be right inside as well.
#[track_caller]
fn assert_quote_is_right(quote: &[u8]) {
    read::check_ipv4(quote).unwrap();
}

/// Only what tells an end of a connection something: RFC 792's unreachable, time exceeded, parameter problem.
#[test]
fn redirects_and_source_quenches_concern_no_connection() {
    for method in [Method::Nat, Method::Tun, Method::Dr, Method::L3Dsr] {
        let mut world = World::new(&one_server(method));
        let request = tcp("203.0.113.10:4000", "192.0.2.100:80", SYN);
        world.receive(WAN, &request.via_gateway());
        let reply = tcp("192.0.2.100:80", "203.0.113.10:4000", SYN | ACK).bytes();
        let passes = |world: &mut World, kind: u8| {
            let error = icmp(
                FAR_ROUTER,
                VIP,
                Icmpv4Type::Unknown { type_u8: kind, code_u8: 0, bytes5to8: [0; 4] },
                &reply,
            );
            world.receive(WAN, &error.via_gateway()).len()
        };
        let relayed: Vec<u8> = (0..=40).filter(|&kind| kind != 8 && passes(&mut world, kind) > 0).collect();
        assert_eq!(relayed, [3, 11, 12], "{method}");
        assert_eq!(world.dropped(DropReason::IcmpUnrelated), 37, "{method}");
    }
}
