//! Anything that may reach a director: packets, frames and plans, for property tests.

use super::{frame::*, plan::*};
use etherparse::{IcmpEchoHeader, Icmpv4Type, IpNumber, icmpv4::DestUnreachableHeader};
use lb_core::{
    packet::{Checksum, PortId},
    service::plan::{Mac, Method, Plan, Role, Spread, Unserved},
};
use proptest::{prelude::*, sample::Index, sample::select};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Stations and strangers: clients, servers, the director's own addresses, and what nobody can be.
pub fn address() -> impl Strategy<Value = Ipv4Addr> {
    let known = [
        [203, 0, 113, 10],
        [203, 0, 113, 11],
        [192, 0, 2, 100],
        [192, 0, 2, 1],
        [192, 0, 2, 9],
        [192, 0, 2, 254],
        [192, 0, 2, 255],
        [198, 51, 100, 11],
        [198, 51, 100, 12],
        [198, 51, 100, 1],
        [198, 51, 100, 20],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
    ];
    select(known.to_vec()).prop_map(Ipv4Addr::from)
}

pub fn socket() -> impl Strategy<Value = SocketAddrV4> {
    let port = select(vec![80, 8080, 4000, 4001, 53]);
    (address(), port).prop_map(|(address, port)| SocketAddrV4::new(address, port))
}

/// Mostly what a client sends to a service or a server to a client; also both as they are after NAT, which is what
/// ICMP errors quote; sometimes anything.
pub fn ends() -> impl Strategy<Value = (SocketAddrV4, SocketAddrV4)> {
    let client = (0..4u16).prop_map(|port| SocketAddrV4::new(CLIENT_IP, 4000 + port));
    let server = select(vec!["198.51.100.11:8080", "198.51.100.12:8080"]).prop_map(endpoint);
    prop_oneof![
        4 => client.clone().prop_map(|client| (client, endpoint("192.0.2.100:80"))),
        2 => (server.clone(), client.clone()),
        1 => client.clone().prop_map(|client| (endpoint("192.0.2.100:80"), client)),
        1 => (client, server),
        2 => (socket(), socket()),
    ]
}

/// A right packet of some flow.
pub fn flow_packet() -> impl Strategy<Value = Ip> {
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    let sizes = prop_oneof![9 => payload, 1 => Just(vec![7; 1400])];
    (ends(), any::<bool>(), any::<u8>(), sizes).prop_map(|((from, to), is_tcp, flags, payload)| {
        if is_tcp {
            return tcp_with(from, to, flags & 0x17, &payload);
        }
        let mut packet = udp(&from.to_string(), &to.to_string(), &payload);
        if flags == 0 {
            packet.payload[6..8].fill(0);
        }
        packet
    })
}

/// A ping, often of nothing but zeros.
pub fn ping() -> impl Strategy<Value = Ip> {
    let ends = (prop_oneof![Just(CLIENT_IP), address()], prop_oneof![Just(VIP), address()]);
    let content =
        prop_oneof![(0..60usize).prop_map(|len| vec![0; len]), prop::collection::vec(any::<u8>(), 0..60)];
    (ends, select(vec![(0, 0), (7, 1)]), content).prop_map(|((from, to), (id, seq), content)| {
        icmp(from, to, Icmpv4Type::EchoRequest(IcmpEchoHeader { id, seq }), &content)
    })
}

/// What a port says of a checksum.
pub fn verdict() -> impl Strategy<Value = Checksum> {
    select(vec![Checksum::Bad, Checksum::Unknown, Checksum::Good])
}

/// A right packet of any kind: a flow's, a ping, an ICMP error that quotes one (often cut), another protocol.
pub fn packet() -> impl Strategy<Value = Ip> {
    let error = (address(), address(), flow_packet(), any::<Index>(), select(vec![0, 68, 600, 1400]))
        .prop_map(|(from, to, quoted, cut, mtu)| {
            let quote = quoted.bytes();
            let kind = match mtu {
                0 => DestUnreachableHeader::Port,
                next_hop_mtu => DestUnreachableHeader::FragmentationNeeded { next_hop_mtu },
            };
            let quote = &quote[..cut.index(quote.len() + 1)];
            icmp(from, to, Icmpv4Type::DestinationUnreachable(kind), quote)
        });
    let other = (address(), address(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(from, to, protocol, payload)| Ip::new(IpNumber(protocol), from, to, payload));
    let kind = prop_oneof![
        8 => flow_packet(),
        2 => error,
        1 => ping(),
        1 => (address(), address()).prop_map(|(from, to)| {
            icmp(from, to, Icmpv4Type::EchoReply(IcmpEchoHeader { id: 1, seq: 1 }), b"pong")
        }),
        1 => other,
    ];
    (kind, prop_oneof![3 => Just(64u8), 1 => any::<u8>()], any::<bool>(), 0..4usize).prop_map(
        |(packet, ttl, dont_fragment, options)| {
            let packet = packet.ttl(ttl).options(&[1; 8][..options.saturating_sub(1) * 4]);
            if dont_fragment { packet } else { packet.may_fragment() }
        },
    )
}

pub fn mac() -> impl Strategy<Value = Mac> {
    select(vec![WAN_MAC, LAN_MAC, GATEWAY_MAC, SERVER_MACS[0], Mac::BROADCAST])
}

/// A frame that could be on the wire: right, with a tag or padding, or ARP.
pub fn sound_frame() -> impl Strategy<Value = (PortId, Vec<u8>)> {
    let ip = (any::<bool>(), packet(), 0..3u16, 0..20usize).prop_map(|(is_wan, packet, tag, padding)| {
        let mut frame = if is_wan { packet.via_gateway() } else { packet.via_server() };
        frame.resize(frame.len() + padding, 0xee);
        (if is_wan { WAN } else { LAN }, if tag == 1 { tagged(&frame, 7) } else { frame })
    });
    let arp = (any::<bool>(), mac(), address(), address(), any::<bool>()).prop_map(
        |(is_wan, mac, sender, target, is_request)| {
            let own = if is_wan { WAN_MAC } else { LAN_MAC };
            let sender = (mac, sender);
            let frame =
                if is_request { arp_request(sender, target) } else { arp_reply(sender, (own, target)) };
            (if is_wan { WAN } else { LAN }, frame)
        },
    );
    prop_oneof![5 => ip, 1 => arp]
}

/// Any frame: sound, damaged, cut off, or noise.
pub fn any_frame() -> impl Strategy<Value = (PortId, Vec<u8>)> {
    let damage = prop::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    let damaged = (sound_frame(), damage, any::<Index>(), any::<bool>()).prop_map(
        |((port, mut frame), damage, cut, cuts)| {
            for (at, value) in damage {
                let at = at.index(frame.len());
                frame[at] = value;
            }
            if cuts {
                frame.truncate(cut.index(frame.len() + 1));
            }
            (port, frame)
        },
    );
    let noise = (
        any::<bool>(),
        select(vec![0x0800, 0x0806, 0x8100, 0x86dd]),
        prop::collection::vec(any::<u8>(), 0..100),
    )
        .prop_map(|(is_wan, ethertype, bytes)| {
            let (port, own) = if is_wan { (WAN, WAN_MAC) } else { (LAN, LAN_MAC) };
            (port, ethernet(own, GATEWAY_MAC, ethertype, &bytes))
        });
    let bytes =
        (0..4u16, prop::collection::vec(any::<u8>(), 0..100)).prop_map(|(port, bytes)| (PortId(port), bytes));
    prop_oneof![4 => sound_frame(), 4 => damaged, 1 => noise, 1 => bytes]
}

pub fn spread() -> impl Strategy<Value = Spread> {
    select(vec![Spread::ByClient, Spread::ByFlow, Spread::Unknown])
}

pub fn plan() -> impl Strategy<Value = Plan> {
    let method = select(Method::ALL);
    let role = prop_oneof![4 => Just(Role::Active), 1 => Just(Role::Standby)];
    let flags = (any::<(bool, bool, bool)>(), role);
    (method, spread(), spread(), flags, select(vec![576, 1400, 1500])).prop_map(
        |(method, wan, lan, ((verify, adopt, drop), role), mtu)| {
            let mut plan = two_servers(method);
            let udp = two_servers(method).udp().services.remove(0);
            plan.services.push(udp);
            for service in &mut plan.services {
                service.adopt = adopt && !method.hides_clients();
            }
            plan.verify_checksums = verify;
            let unserved = if drop { Unserved::Drop } else { Unserved::Reject };
            plan.spread(wan, lan).mtu(LAN, mtu).unserved(VIP, unserved).role(role)
        },
    )
}
