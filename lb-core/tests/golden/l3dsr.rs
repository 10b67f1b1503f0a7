//! L3DSR: the server's own address, a DSCP that stands for the VIP, and checksums that are right for both.

use super::{
    common::{
        fragments::frame,
        frame::*,
        frame6::*,
        plan::*,
        read,
        world::{Station, World},
    },
    expect,
};
use etherparse::{Icmpv4Type, Icmpv6Type, icmpv4::DestUnreachableHeader};
use lb_core::{
    counters::DropReason,
    service::plan::{Mac, Method, Plan, RoutePlan, ServicePlan, Unserved, VipPlan},
    worker::host::Recipient,
};
use std::collections::BTreeSet;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const CLIENT_OF_V6: &str = "[2001:db8:a::10]:4000";
const SERVICE_OF_V6: &str = "[2001:db8:1::100]:80";
const LINE: &str = "lan: 203.0.113.10:4000 > 198.51.100.11:80 tcp syn ttl 63";

/// A service of TCP and one of UDP.
fn plan(is_ipv6: bool) -> Plan {
    let plan = if is_ipv6 { one_server6(Method::L3Dsr) } else { one_server(Method::L3Dsr) };
    let udp = plan.clone().udp().services.remove(0);
    plan.with(ServicePlan { name: "udp".into(), ..udp })
}

fn syn(is_ipv6: bool) -> Vec<u8> {
    match is_ipv6 {
        false => tcp(CLIENT, SERVICE, SYN).via_gateway(),
        true => tcp6(CLIENT_OF_V6, SERVICE_OF_V6, SYN).via_gateway(),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Byte for byte what scapy makes of the same packets; see `l3dsr.py`. In the common shape and in another.
#[test]
fn every_packet_is_as_an_independent_program_makes_it() {
    for tag in [None, Some(0)] {
        let mut seen = BTreeSet::new();
        let mut worlds = [false, true].map(|is_ipv6| {
            let mut world = World::new(&plan(is_ipv6));
            world.receive(WAN, &syn(is_ipv6));
            world
        });
        for line in include_str!("l3dsr.txt").lines() {
            let [family, what, before, after] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let arrives = frame(WAN, &bytes(before));
            let arrives = tag.map_or(arrives.clone(), |tag| tagged(&arrives, tag));
            let sent = worlds[usize::from(family == "6")].receive(WAN, &arrives).remove(0);
            assert_eq!(&sent.frame[14..], bytes(after), "IPv{family}: {what}");
            assert_eq!(read::stations(&sent.frame).0, SERVER_MACS[0]);
            seen.insert((family, what));
        }
        assert_eq!(seen.len(), 13);
    }
}

#[test]
fn a_server_may_be_behind_a_router() {
    let router = Mac([2, 0, 0, 0, 2, 254]);
    let mut plan = network().with(service(Method::L3Dsr, SERVICE, &["198.18.0.11:80"]));
    plan.routes.push(RoutePlan::new("198.18.0.0/24".parse().unwrap(), [198, 51, 100, 254].into()));
    let mut world = World::new(&plan);
    world.stations.push(Station { port: LAN, address: [198, 51, 100, 254].into(), mac: router });
    world.pass(3_000);
    let line = "lan: 203.0.113.10:4000 > 198.18.0.11:80 tcp syn ttl 63";
    let sent = expect(&mut world, WAN, &syn(false), line);
    assert_eq!(read::stations(&sent.frame).0, router);
}

/// Servers have been told of the new number before, so all packets may have it.
#[test]
fn another_dscp_is_for_connections_that_there_are_as_well() {
    let mut plan = one_server(Method::L3Dsr);
    let mut world = World::new(&plan);
    let class = |world: &mut World| expect(world, WAN, &syn(false), LINE).frame[15] >> 2;
    assert_eq!(class(&mut world), DSCP);
    plan.first().dscp = 63;
    world.exchange(&plan);
    assert_eq!(class(&mut world), 63);
    assert_eq!(world.counters(0).created.get(), 1);
}

/// What the server would answer, a client gets from it, never through the director.
#[test]
fn replies_that_come_by_are_nobodys() {
    let mut world = World::new(&one_server(Method::L3Dsr));
    world.receive(WAN, &syn(false));
    assert!(world.receive(LAN, &tcp("198.51.100.11:80", CLIENT, SYN | ACK).via_server()).is_empty());
    assert_eq!(world.dropped(DropReason::NotForUs), 1);
}

/// A check of the VIP takes the way of clients' packets.
#[test]
fn a_check_of_the_vip_is_marked_as_well() {
    for is_ipv6 in [false, true] {
        let mut world = World::new(&plan(is_ipv6));
        let (server, address) =
            world.snapshot.servers.numbered().map(|(id, it)| (id, it.plan.address)).next().unwrap();
        let (check, line) = match is_ipv6 {
            false => (
                tcp("198.51.100.1:5000", SERVICE, SYN).bytes(),
                "lan: 198.51.100.1:5000 > 198.51.100.11:80 tcp syn ttl 63",
            ),
            true => (
                tcp6("[2001:db8:2::1]:5000", SERVICE_OF_V6, SYN).bytes(),
                "lan: [2001:db8:2::1]:5000 > [2001:db8:2::11]:80 tcp syn ttl 63",
            ),
        };
        let to = Recipient { server, address, as_traffic: true };
        world.workers[0].originate(world.now, to, &check, &mut world.ios[0]);
        let sent = world.settle().remove(0);
        assert_eq!(sent.line(), line);
        let class =
            u16::from_be_bytes([sent.frame[14], sent.frame[15]]) >> if is_ipv6 { 6 } else { 2 } & 0x3f;
        assert_eq!(class as u8 & 0x3f, DSCP);
    }
}

/// A router between director and server, whose way to clients is by the director: its report quotes the server's address.
#[test]
fn an_error_about_a_packet_on_its_way_to_the_server_is_one_that_the_client_understands() {
    let mut world = World::new(&plan(false));
    let sent = world.receive(WAN, &syn(false)).remove(0);
    let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
        next_hop_mtu: 1_300,
    });
    for (quoted, rest) in [(40, "tcp syn ttl 63"), (28, "tcp cut ttl 63")] {
        let error = icmp([198, 51, 100, 9].into(), CLIENT_IP, kind.clone(), &sent.frame[14..14 + quoted]);
        let line = format!(
            "wan: 192.0.2.100 > 203.0.113.10 icmp too big for 1300 [{CLIENT} > {SERVICE} {rest}] ttl 63"
        );
        expect(&mut world, LAN, &error.via_server(), &line);
    }
    let mut world = World::new(&plan(true));
    let sent = world.receive(WAN, &syn(true)).remove(0);
    let kind = Icmpv6Type::PacketTooBig { mtu: 1_300 };
    let error = icmp6("2001:db8:2::9".parse().unwrap(), CLIENT6, kind, &sent.frame[14..]);
    let line = format!(
        "wan: 2001:db8:1::100 > 2001:db8:a::10 icmpv6 too big for 1300 [{CLIENT_OF_V6} > {SERVICE_OF_V6} tcp syn ttl 63] \
         ttl 63"
    );
    expect(&mut world, LAN, &error.via_server(), &line);
}

/// A client on an attached network is found first: connections whose replies do not pass here need not know where it is.
#[test]
fn an_error_for_a_client_that_nobody_has_asked_for_waits_until_it_is_found() {
    let mut world = World::new(&plan(false));
    let near = "192.0.2.9:4000";
    let sent = world.receive(WAN, &tcp(near, SERVICE, SYN).via_gateway()).remove(0);
    let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
    let error = icmp([198, 51, 100, 11].into(), [192, 0, 2, 9].into(), kind, &sent.frame[14..]);
    let asks = "wan: arp who has 192.0.2.9? tell 192.0.2.1";
    expect(&mut world, LAN, &error.via_server(), asks);
    let answer =
        arp_reply((Mac([2, 0, 0, 0, 1, 9]), [192, 0, 2, 9].into()), (WAN_MAC, [192, 0, 2, 1].into()));
    let line = format!(
        "wan: 192.0.2.100 > 192.0.2.9 icmp port unreachable [{near} > {SERVICE} tcp syn ttl 63] ttl 63"
    );
    expect(&mut world, WAN, &answer, &line);
    world.pass(60_000);
}

/// Its checksum was that of an error to the VIP which it is about.
#[test]
fn an_error_may_have_been_sent_to_another_vip() {
    for is_ipv6 in [false, true] {
        let other = if is_ipv6 { "2001:db8:1::109" } else { "192.0.2.109" };
        let mut plan = plan(is_ipv6);
        plan.vips.push(VipPlan { address: other.parse().unwrap(), unserved: Unserved::Reject });
        let mut world = World::new(&plan);
        world.receive(WAN, &syn(is_ipv6));
        let frame = if is_ipv6 {
            let about = tcp6(SERVICE_OF_V6, CLIENT_OF_V6, SYN | ACK).bytes();
            icmp6(CLIENT6, other.parse().unwrap(), Icmpv6Type::PacketTooBig { mtu: 1_300 }, &about)
                .via_gateway()
        } else {
            let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
            let about = tcp(SERVICE, CLIENT, SYN | ACK).bytes();
            icmp(CLIENT_IP, other.parse().unwrap(), kind, &about).via_gateway()
        };
        let sent = world.receive(WAN, &frame).remove(0);
        read::check_ip(read::ip_packet(&sent.frame).unwrap()).unwrap();
        assert_eq!(read::stations(&sent.frame).0, SERVER_MACS[0]);
    }
}
