//! A port with a host side: what the kernel gets, and what it does not.

use super::{
    common::{
        frame::*,
        frame6::*,
        plan::*,
        world::{Setup, World},
    },
    expect, expect_nothing,
};
use etherparse::IpNumber;
use lb_core::{
    counters::DropReason,
    packet::Packet,
    service::plan::{Mac, Method, Plan, Tags},
};
use std::net::{Ipv4Addr, Ipv6Addr};

const CLIENT: &str = "203.0.113.10:4000";
const STRANGER: Mac = Mac([2, 0, 0, 0, 9, 9]);
const STRANGER_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn plan() -> Plan {
    let mut plan = one_server(Method::Nat);
    plan.host_ports = vec![WAN];
    plan
}

/// What the kernel got since it was last asked.
fn kernel(world: &mut World) -> Vec<Vec<u8>> {
    world.ios[0].kernel.drain(..).map(|packet| packet.bytes().to_vec()).collect()
}

#[test]
fn own_addresses_are_the_kernels() {
    let mut world = World::new(&plan());
    kernel(&mut world);
    for frame in [
        echo([203, 0, 113, 10].into(), OWN).via_gateway(),
        tcp(CLIENT, "192.0.2.1:22", SYN).via_gateway(),
        udp(CLIENT, "192.0.2.1:53", b"?").via_gateway(),
        arp_request((STRANGER, STRANGER_ADDRESS), OWN),
        arp_request((STRANGER, STRANGER_ADDRESS), STRANGER_ADDRESS),
    ] {
        expect_nothing(&mut world, WAN, &frame);
        assert_eq!(kernel(&mut world), [frame]);
    }
    // What is sent to all stations: VRRP, say, and what is no IPv4 at all.
    let mut vrrp = udp("192.0.2.254:1", "224.0.0.18:1", b"!").via_gateway();
    vrrp[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 18]);
    let mut lldp = [0; 60];
    lldp[..14].copy_from_slice(&[1, 0x80, 0xc2, 0, 0, 14, 2, 0, 0, 0, 9, 9, 0x88, 0xcc]);
    for frame in [&vrrp[..], &lldp[..]] {
        expect_nothing(&mut world, WAN, frame);
        assert_eq!(kernel(&mut world), [frame]);
    }
}

#[test]
fn vips_and_connections_are_the_directors() {
    let mut world = World::new(&plan());
    kernel(&mut world);
    let line = "wan: arp to 192.0.2.9: 192.0.2.100 is at 02:00:00:00:00:01";
    expect(&mut world, WAN, &arp_request((STRANGER, STRANGER_ADDRESS), VIP), line);
    let syn = tcp(CLIENT, "192.0.2.100:80", SYN).via_gateway();
    expect(&mut world, WAN, &syn, "lan: 203.0.113.10:4000 > 198.51.100.11:8080 tcp syn ttl 63");
    let line = "wan: 192.0.2.100:81 > 203.0.113.10:4000 tcp rst ack ttl 64";
    expect(&mut world, WAN, &tcp(CLIENT, "192.0.2.100:81", SYN).via_gateway(), line);
    let ping = echo([203, 0, 113, 10].into(), VIP).via_gateway();
    assert_eq!(world.receive(WAN, &ping).len(), 1);
    // Another port has no host side.
    let other = tcp("198.51.100.11:1", "198.51.100.1:22", SYN).via_server();
    expect_nothing(&mut world, LAN, &other);
    assert_eq!(world.dropped(DropReason::OwnAddress), 1);
    assert_eq!(kernel(&mut world), Vec::<Vec<u8>>::new());
}

#[test]
fn neighbours_are_learnt_by_both() {
    let mut world = World::silent(&plan(), Setup::default());
    world.tick();
    let reply = arp_reply((GATEWAY_MAC, GATEWAY), (WAN_MAC, OWN));
    expect_nothing(&mut world, WAN, &reply);
    assert_eq!(kernel(&mut world), [reply]);
    let notices = format!("{:?}", world.ios[0].notices);
    assert!(notices.contains("NeighbourFound"), "{notices}");
}

#[test]
fn a_flood_leaves_room_for_routing() {
    let mut world = World::new(&plan());
    kernel(&mut world);
    let flood = udp(CLIENT, "192.0.2.1:9", b"!").via_gateway();
    for _ in 0..25_000 {
        world.receive(WAN, &flood);
    }
    assert_eq!(kernel(&mut world).len(), 20_000);
    assert_eq!(world.dropped(DropReason::HostLimited), 5_000);
    for frame in [
        tcp("192.0.2.254:40000", "192.0.2.1:179", ACK).via_gateway(),
        tcp("192.0.2.254:179", "192.0.2.1:40000", ACK).via_gateway(),
        udp("192.0.2.254:49152", "192.0.2.1:3784", b"bfd").ttl(255).via_gateway(),
        arp_request((GATEWAY_MAC, GATEWAY), OWN),
    ] {
        expect_nothing(&mut world, WAN, &frame);
        assert_eq!(kernel(&mut world), [frame]);
    }
}

#[test]
fn strangers_that_speak_of_routing_leave_room_for_neighbours() {
    let mut world = World::new(&plan());
    kernel(&mut world);
    let floods = [
        // Sessions over several routers have a budget; what cannot be BFD's of a neighbour is like anything else.
        (tcp(CLIENT, "192.0.2.1:179", SYN), 10_000),
        (udp(CLIENT, "192.0.2.1:4784", b"bfd"), 0),
        (udp(CLIENT, "192.0.2.1:3784", b"bfd").ttl(254), 20_000),
    ];
    for (flood, expected) in floods {
        let flood = flood.via_gateway();
        (0..21_000).for_each(|_| assert!(world.receive(WAN, &flood).is_empty()));
        assert_eq!(kernel(&mut world).len(), expected);
    }
    for frame in [
        tcp("192.0.2.254:40000", "192.0.2.1:179", ACK).via_gateway(),
        udp("192.0.2.254:49152", "192.0.2.1:3784", b"bfd").ttl(255).via_gateway(),
    ] {
        expect_nothing(&mut world, WAN, &frame);
        assert_eq!(kernel(&mut world), [frame]);
    }
}

/// Whoever forges a neighbour's source takes nothing of what only a neighbour can send.
#[test]
fn a_forged_neighbour_leaves_room_for_what_no_router_has_passed_on() {
    let (gateway, vrrp, ospf) = (GATEWAY, IpNumber(112), IpNumber(89));
    let group = |last, frame: Ip| {
        let to = Mac([1, 0, 0x5e, 0, 0, last]);
        ethernet(to, GATEWAY_MAC, 0x0800, &frame.bytes())
    };
    let floods = [
        tcp("192.0.2.254:40000", "192.0.2.1:179", SYN).ttl(64),
        Ip::new(ospf, gateway, OWN, vec![2, 1, 0, 4]).ttl(1),
    ];
    let mut world = World::new(&plan());
    kernel(&mut world);
    let mut given = 0;
    for flood in floods {
        let flood = flood.via_gateway();
        (0..11_000).for_each(|_| assert!(world.receive(WAN, &flood).is_empty()));
        given += kernel(&mut world).len();
    }
    assert_eq!(given, 10_000, "they have one budget");
    for frame in [
        udp("192.0.2.254:49152", "192.0.2.1:3784", b"bfd").ttl(255).via_gateway(),
        tcp("192.0.2.254:40000", "192.0.2.1:179", ACK).ttl(255).via_gateway(),
        group(18, Ip::new(vrrp, gateway, Ipv4Addr::new(224, 0, 0, 18), vec![0x31, 1, 100, 1]).ttl(255)),
        group(5, Ip::new(ospf, gateway, Ipv4Addr::new(224, 0, 0, 5), vec![2, 1, 0, 4]).ttl(1)),
    ] {
        expect_nothing(&mut world, WAN, &frame);
        assert_eq!(kernel(&mut world), [frame]);
    }
}

/// The same in IPv6, where VRRP's group and OSPF's are of the link as well.
#[test]
fn a_forged_neighbour_of_ipv6_leaves_room_for_what_no_router_has_passed_on() {
    let mut plan = network6();
    plan.host_ports = vec![WAN];
    let mut world = World::new(&plan);
    kernel(&mut world);
    let (neighbour, own) = ("[2001:db8:1::fe]:40000", "[2001:db8:1::1]:179");
    let flood = tcp6(neighbour, own, SYN).ttl(64).via_gateway();
    (0..11_000).for_each(|_| assert!(world.receive(WAN, &flood).is_empty()));
    assert_eq!(kernel(&mut world).len(), 10_000);
    let group = |last: u16, frame: Ip6| {
        let to = Mac([0x33, 0x33, 0, 0, 0, last as u8]);
        ethernet(to, GATEWAY_MAC, 0x86dd, &frame.bytes())
    };
    let of_link = |last| Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, last);
    for frame in [
        udp6("[2001:db8:1::fe]:49152", "[2001:db8:1::1]:3784", b"bfd").ttl(255).via_gateway(),
        tcp6(neighbour, own, ACK).ttl(255).via_gateway(),
        group(18, Ip6::new(IpNumber(112), GATEWAY6, of_link(18), vec![0x31, 1, 100, 1]).ttl(255)),
        // OSPF speaks from addresses of the link.
        group(5, Ip6::new(IpNumber(89), "fe80::1".parse().unwrap(), of_link(5), vec![3, 1, 0, 4]).ttl(1)),
    ] {
        expect_nothing(&mut world, WAN, &frame);
        assert_eq!(kernel(&mut world), [frame]);
    }
}

#[test]
fn what_the_kernel_sends_leaves_as_it_is() {
    let mut world = World::new(&plan());
    let frame = arp_request((WAN_MAC, OWN), STRANGER_ADDRESS);
    let (worker, io) = (&mut world.workers[0], &mut world.ios[0]);
    worker.originate_frame(WAN, &frame, io);
    let sent = world.tick();
    assert_eq!((sent.len(), &sent[0].frame), (1, &frame));
}

#[test]
fn vlans_are_the_kernels_unless_the_director_is_in_them() {
    let mut plan = plan();
    let mut dmz = interface("dmz", WAN, WAN_MAC, "198.18.0.1/24");
    dmz.tags = Tags::vlan(8);
    plan.interfaces.push(dmz);
    let mut world = World::new(&plan);
    kernel(&mut world);
    let ping = echo([203, 0, 113, 10].into(), Ipv4Addr::new(10, 0, 0, 1)).via_gateway();
    let question = arp_request((STRANGER, [10, 0, 0, 9].into()), [10, 0, 0, 1].into());
    for frame in [&ping, &question] {
        let frame = tagged(frame, 9);
        expect_nothing(&mut world, WAN, &frame);
        assert_eq!(kernel(&mut world), [frame]);
    }
    let mut elsewhere = tagged(&ping, 9);
    elsewhere[5] = 0x77;
    expect_nothing(&mut world, WAN, &elsewhere);
    assert_eq!((kernel(&mut world).len(), world.dropped(DropReason::UnknownVlan)), (0, 1));
    // Where the director is, it answers for itself.
    let question = arp_request((STRANGER, [198, 18, 0, 9].into()), [198, 18, 0, 1].into());
    let line = "wan: vlan 8 arp to 198.18.0.9: 198.18.0.1 is at 02:00:00:00:00:01";
    expect(&mut world, WAN, &tagged(&question, 8), line);
    let ping = echo([198, 18, 0, 9].into(), Ipv4Addr::new(198, 18, 0, 1)).via_gateway();
    assert_eq!(world.receive(WAN, &tagged(&ping, 8)).len(), 1);
    assert!(kernel(&mut world).is_empty());
    // A tag that is only a priority is none.
    let own = tagged(&arp_request((STRANGER, STRANGER_ADDRESS), OWN), 0);
    expect_nothing(&mut world, WAN, &own);
    assert_eq!(kernel(&mut world), [own]);
}
