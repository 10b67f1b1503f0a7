//! Anything that may reach a director: packets, frames and plans, for property tests.

use super::{fragments, frame::*, frame6::*, plan::*, sctp};
use etherparse::{IcmpEchoHeader, Icmpv4Type, Icmpv6Type, IpNumber, icmpv4::DestUnreachableHeader};
use lb_core::{
    conn::tunnel::Encapsulation,
    packet::{Checksum, PortId},
    service::{
        key::Protocol,
        plan::{
            Choice, ClientAddress, Held, Mac, Method, Plan, Role, ServicePlan, Spread, TunnelPlan, Unserved,
        },
    },
};
use proptest::{prelude::*, sample::Index, sample::select};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

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
        [192, 0, 2, 50],
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
    (ends(), 0..7u8, any::<u8>(), sizes).prop_map(|((from, to), which, flags, payload)| {
        match which {
            0..3 => return tcp_with(from, to, flags & 0x17, &payload),
            3 => return sctp_with(&from.to_string(), &to.to_string(), flags, &payload),
            _ => {}
        }
        let mut packet = udp(&from.to_string(), &to.to_string(), &payload);
        if flags == 0 {
            packet.payload[6..8].fill(0);
        }
        packet
    })
}

/// Chunks of SCTP: what either side says, sometimes with data behind it.
fn chunks(kind: u8, payload: &[u8]) -> (u32, Vec<Vec<u8>>) {
    let (tag, first) = sctp::says(kind & 0x10 == 0, kind & 0xf);
    let data = (kind & 0x20 != 0).then(|| sctp::chunk(sctp::DATA, 3, payload));
    (tag, std::iter::once(first).chain(data).collect())
}

fn sctp_with(from: &str, to: &str, kind: u8, payload: &[u8]) -> Ip {
    let (tag, chunks) = chunks(kind, payload);
    sctp::sctp(from, to, tag, &chunks)
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

/// The same in IPv6.
pub fn address6() -> impl Strategy<Value = Ipv6Addr> {
    let known = [
        "2001:db8:a::10",
        "2001:db8:a::11",
        "2001:db8:1::100",
        "2001:db8:1::1",
        "2001:db8:1::9",
        "2001:db8:1::50",
        "2001:db8:1::fe",
        "2001:db8:2::11",
        "2001:db8:2::12",
        "2001:db8:2::1",
        "fe80::9",
        "::",
        "::1",
        "ff02::1",
        "::ffff:192.0.2.100",
    ];
    select(known.map(|text| text.parse().unwrap()).to_vec())
}

pub fn socket6() -> impl Strategy<Value = SocketAddrV6> {
    let port = select(vec![80, 8080, 4000, 4001, 53]);
    (address6(), port).prop_map(|(address, port)| SocketAddrV6::new(address, port, 0, 0))
}

pub fn ends6() -> impl Strategy<Value = (SocketAddrV6, SocketAddrV6)> {
    let client = (0..4u16).prop_map(|port| SocketAddrV6::new(CLIENT6, 4000 + port, 0, 0));
    let server = select(vec!["[2001:db8:2::11]:8080", "[2001:db8:2::12]:8080"]).prop_map(endpoint6);
    prop_oneof![
        4 => client.clone().prop_map(|client| (client, endpoint6("[2001:db8:1::100]:80"))),
        2 => (server.clone(), client.clone()),
        1 => client.clone().prop_map(|client| (endpoint6("[2001:db8:1::100]:80"), client)),
        1 => (client, server),
        2 => (socket6(), socket6()),
    ]
}

pub fn flow_packet6() -> impl Strategy<Value = Ip6> {
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    let sizes = prop_oneof![9 => payload, 1 => Just(vec![7; 1400])];
    (ends6(), 0..7u8, any::<u8>(), sizes).prop_map(|((from, to), which, flags, payload)| {
        match which {
            0..3 => return tcp6_with(from, to, flags & 0x17, &payload),
            3 => {
                let (tag, chunks) = chunks(flags, &payload);
                return sctp::sctp6(&from.to_string(), &to.to_string(), tag, &chunks);
            }
            _ => {}
        }
        let mut packet = udp6(&from.to_string(), &to.to_string(), &payload);
        if flags == 0 {
            packet.payload[6..8].fill(0);
        }
        packet
    })
}

/// A packet of IPv6 of any kind, sometimes with extension headers.
pub fn packet6() -> impl Strategy<Value = Ip6> {
    let kinds = select(vec![(1, 4, 0), (2, 0, 1_300), (2, 0, 1_000), (3, 0, 0), (4, 1, 6), (137, 0, 0)]);
    let error = (address6(), address6(), flow_packet6(), any::<Index>(), kinds).prop_map(
        |(from, to, quoted, cut, (type_u8, code_u8, rest))| {
            let quote = quoted.bytes();
            let kind = Icmpv6Type::Unknown { type_u8, code_u8, bytes5to8: u32::to_be_bytes(rest) };
            icmp6(from, to, kind, &quote[..cut.index(quote.len() + 1)])
        },
    );
    let ping = (address6(), address6(), any::<bool>()).prop_map(|(from, to, asks)| {
        let header = IcmpEchoHeader { id: 0, seq: 0 };
        let kind = if asks { Icmpv6Type::EchoRequest(header) } else { Icmpv6Type::EchoReply(header) };
        icmp6(from, to, kind, b"ping")
    });
    let other = (address6(), address6(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(from, to, protocol, payload)| Ip6::new(IpNumber(protocol), from, to, payload));
    let kind = prop_oneof![8 => flow_packet6(), 2 => error, 1 => ping, 1 => other];
    let extensions = prop::collection::vec(
        select(vec![
            (0, [0, 0, 1, 4, 0, 0, 0, 0]),
            (60, [0, 0, 1, 4, 0, 0, 0, 0]),
            (43, [0; 8]),
            (44, [0; 8]),
            (44, [0, 0, 0, 1, 0, 0, 0, 1]),
        ]),
        0..3,
    );
    let extensions = prop_oneof![4 => Just(Vec::new()), 1 => extensions];
    (kind, prop_oneof![3 => Just(64u8), 1 => any::<u8>()], extensions).prop_map(
        |(packet, ttl, extensions)| {
            let packet = extensions.iter().fold(packet, |packet, (kind, bytes)| packet.behind(*kind, bytes));
            packet.ttl(ttl)
        },
    )
}

/// A fragment of a packet of either family: one of few datagrams, whose fragments may meet.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        flow_packet().prop_map(|packet| packet.bytes()),
        flow_packet6().prop_map(|packet| packet.bytes()),
        ping().prop_map(|packet| packet.bytes()),
    ];
    (whole, 0..3u32, select(vec![8, 24, 24, 40, 800]), any::<Index>()).prop_map(
        |(packet, id, size, which)| {
            let mut pieces = fragments::even(&packet, id, size);
            pieces.swap_remove(which.index(pieces.len()))
        },
    )
}

/// A frame of neighbour discovery.
fn nd_frame() -> impl Strategy<Value = Vec<u8>> {
    (mac(), address6(), address6(), 0..3u8, any::<bool>()).prop_map(|(mac, from, about, kind, overrides)| {
        match kind {
            0 => solicitation((mac, from), about),
            1 => advertisement((mac, about), (WAN_MAC, from)),
            _ => unasked((mac, about), if overrides { 0x20 } else { 0 }),
        }
    })
}

/// A frame that could be on the wire: right, with a tag or padding, or ARP.
pub fn sound_frame() -> impl Strategy<Value = (PortId, Vec<u8>)> {
    let via = |is_wan, packet: Ip| if is_wan { packet.via_gateway() } else { packet.via_server() };
    let via6 = |is_wan, packet: Ip6| if is_wan { packet.via_gateway() } else { packet.via_server() };
    let frame = prop_oneof![
        (any::<bool>(), packet()).prop_map(move |(is_wan, packet)| (is_wan, via(is_wan, packet))),
        (any::<bool>(), packet6()).prop_map(move |(is_wan, packet)| (is_wan, via6(is_wan, packet))),
        (any::<bool>(), fragment()).prop_map(|(is_wan, packet)| {
            (is_wan, fragments::frame(if is_wan { WAN } else { LAN }, &packet))
        }),
        (any::<bool>(), nd_frame()),
    ];
    let ip = (frame, 0..6u16, 0..20usize).prop_map(|((is_wan, mut frame), tag, padding)| {
        frame.resize(frame.len() + padding, 0xee);
        if tag == 2 && frame[..6] == WAN_MAC.0 {
            frame[..6].copy_from_slice(&VIRTUAL_MAC.0);
        }
        // A priority only, or a VLAN that nobody is in.
        let frame = match tag {
            0 => tagged(&frame, 0),
            1 => tagged(&frame, 7),
            _ => frame,
        };
        (if is_wan { WAN } else { LAN }, frame)
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
    let role = prop_oneof![4 => Just(Role::Active), 1 => Just(Role::Standby), 1 => Just(Role::Follow)];
    let held = prop::collection::btree_map(
        select(vec![IpAddr::from(VIP), VIP6.into(), LOCAL.into()]),
        select(vec![WAN_MAC, VIRTUAL_MAC]).prop_map(|mac| Held { port: WAN, mac }),
        0..3,
    );
    let role = (role, held);
    let told = select(ClientAddress::ALL);
    let flags = (any::<(bool, bool, bool)>(), role, any::<bool>(), told);
    let tunnels_to = (select(vec!["[2001:db8:2::11]:80", "198.51.100.11:80"]), tunnel(), any::<bool>());
    (method, spread(), spread(), flags, select(vec![576, 1400, 1500]), tunnels_to).prop_map(
        |(
            method,
            wan,
            lan,
            ((verify, adopt, drop), (role, held), host, told),
            mtu,
            (tunnels_to, tunnel, sources),
        )| {
            let mut plan = two_servers(method);
            let udp = two_servers(method).udp().services.remove(0);
            let sctp = ServicePlan { protocol: Protocol::Sctp, name: "sctp".into(), ..udp.clone() };
            plan.services.extend([udp, sctp]);
            with_family(&mut plan, method, tunnels_to);
            for service in &mut plan.services {
                service.adopt = adopt && !method.hides_clients();
                let takes = match service.protocol {
                    Protocol::Tcp => true,
                    Protocol::Udp => told.takes_datagrams(),
                    Protocol::Sctp | Protocol::Icmp => false,
                };
                if told.goes_with(method) && takes {
                    service.client_address = told;
                }
                if method.tunnels() {
                    service.tunnel = tunnel;
                    // One server differs from its service.
                    service.servers[1].tunnel.kind = Some(Encapsulation::Ipip);
                }
            }
            // What servers send by themselves passes in half of them, whatever else there is.
            if verify != adopt {
                plan = plan.snat();
            }
            if sources {
                plan.tunnel_sources =
                    ["198.18.7.0/24", "2001:db8:ff::/64"].map(|net| net.parse().unwrap()).into();
            }
            if method.hides_clients() && tunnels_to.starts_with('[') {
                translate(&mut plan, drop);
            }
            plan.host_ports = if host { vec![WAN] } else { Vec::new() };
            plan.verify_checksums = verify;
            let unserved = if drop { Unserved::Drop } else { Unserved::Reject };
            plan.held = held;
            plan.spread(wan, lan).mtu(LAN, mtu).unserved(VIP, unserved).role(role)
        },
    )
}

/// The services of one family have servers of the other.
fn translate(plan: &mut Plan, of_ipv6: bool) {
    let (servers, local): (_, IpAddr) = match of_ipv6 {
        // Local addresses of IPv4 are those of one kind of service only.
        true => (["198.51.100.11:8080", "198.51.100.12:8080"], Ipv4Addr::new(198, 51, 100, 21).into()),
        false => (["[2001:db8:2::11]:8080", "[2001:db8:2::12]:8080"], LOCAL6.into()),
    };
    for service in plan.services.iter_mut().filter(|service| service.vip.is_ipv6() == of_ipv6) {
        service.servers = servers.iter().map(|endpoint| server(endpoint, 1)).collect();
        service.local_addresses = vec![local];
    }
}

/// Any way to wrap packets.
pub fn tunnel() -> impl Strategy<Value = TunnelPlan> {
    (select(Encapsulation::ALL), select(Choice::ALL)).prop_map(|(kind, checksum)| TunnelPlan {
        kind,
        checksum: if kind.has_checksum() { checksum } else { Choice::Default },
        ..TunnelPlan::default()
    })
}

/// The same services for IPv6; one of the servers behind a tunnel of either family.
fn with_family(plan: &mut Plan, method: Method, tunnels_to: &str) {
    let dual = network6();
    (plan.interfaces, plan.routes) = (dual.interfaces, dual.routes);
    let servers = match method {
        Method::Nat | Method::FullNat => ["[2001:db8:2::11]:8080", "[2001:db8:2::12]:8080"],
        Method::Tun => [tunnels_to, "[2001:db8:2::12]:80"],
        Method::Dr | Method::L3Dsr => ["[2001:db8:2::11]:80", "[2001:db8:2::12]:80"],
        Method::Snat => unreachable!("no service's"),
    };
    let tcp = service(method, "[2001:db8:1::100]:80", &servers);
    let udp = ServicePlan { protocol: Protocol::Udp, name: format!("{}-udp", tcp.name), ..tcp.clone() };
    let sctp = ServicePlan { protocol: Protocol::Sctp, name: format!("{}-sctp", tcp.name), ..tcp.clone() };
    plan.services.extend([tcp, udp, sctp]);
}
