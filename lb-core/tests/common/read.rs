//! What a frame says, in one line, once it has been found to be right in every length and checksum.

use super::sctp;
use etherparse::{
    ArpOperation, ArpPacketSlice, EtherType, Icmpv4Slice, IpNumber, Ipv4HeaderSlice, Ipv4Slice,
    Ipv6HeaderSlice, Ipv6Slice, SlicedPacket, TcpSlice, UdpSlice, checksum::Sum16BitWords,
};
use lb_core::service::plan::Mac;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The line of a frame. Panics, saying why, if the frame is not right.
pub fn line(frame: &[u8]) -> String {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
    let tags: String = sliced.vlan_ids().iter().map(|id| format!("vlan {} ", id.value())).collect();
    let payload = sliced.ether_payload().expect("a payload");
    let text = match payload.ether_type {
        EtherType::ARP => arp(payload.payload),
        EtherType::IPV4 => {
            check_ipv4(payload.payload).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
            ipv4(payload.payload)
        }
        EtherType::IPV6 => {
            check_ipv6(payload.payload).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
            ipv6(payload.payload)
        }
        other => panic!("ethertype {other:?}"),
    };
    format!("{tags}{text}")
}

/// Whom a frame is for and from.
pub fn stations(frame: &[u8]) -> (Mac, Mac) {
    let mac = |at: usize| Mac(frame[at..at + 6].try_into().expect("an Ethernet header"));
    (mac(0), mac(6))
}

/// The IPv4 packet in a frame, without padding; `None` for other frames.
pub fn ipv4_packet(frame: &[u8]) -> Option<&[u8]> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let payload = sliced.ether_payload()?;
    (payload.ether_type == EtherType::IPV4).then_some(())?;
    let start = frame.len() - payload.payload.len();
    let packet = Ipv4HeaderSlice::from_slice(&frame[start..]).ok()?;
    frame.get(start..start + usize::from(packet.total_len()))
}

/// The IP packet in a frame, without padding; `None` for other frames.
pub fn ip_packet(frame: &[u8]) -> Option<&[u8]> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let payload = sliced.ether_payload()?;
    if payload.ether_type != EtherType::IPV6 {
        return ipv4_packet(frame);
    }
    let start = frame.len() - payload.payload.len();
    let header = Ipv6HeaderSlice::from_slice(&frame[start..]).ok()?;
    frame.get(start..start + 40 + usize::from(header.payload_length()))
}

/// Whether an IP packet is right: see [`check_ipv4`] and [`check_ipv6`].
pub fn check_ip(packet: &[u8]) -> Result<(), String> {
    if packet[0] >> 4 == 6 { check_ipv6(packet) } else { check_ipv4(packet) }
}

/// Whether an IPv4 packet's header, what is in it and all checksums are right.
pub fn check_ipv4(packet: &[u8]) -> Result<(), String> {
    check_ipv4_header(packet)?;
    let ip = Ipv4Slice::from_slice(packet).map_err(|error| error.to_string())?;
    let (header, payload) = (ip.header(), ip.payload().payload);
    if ip.payload().fragmented {
        return Ok(());
    }
    match ip.payload().ip_number {
        IpNumber::TCP => {
            TcpSlice::from_slice(payload).map_err(|error| error.to_string())?;
            right(&pseudo(&header, payload).add_slice(payload), "TCP")
        }
        IpNumber::UDP => {
            let udp = UdpSlice::from_slice(payload).map_err(|error| error.to_string())?;
            if udp.checksum() != 0 {
                right(&pseudo(&header, udp.slice()).add_slice(udp.slice()), "UDP")?;
            }
            check_carried(udp_carries(payload))
        }
        IpNumber::SCTP => sctp::check(payload),
        IpNumber::GRE => check_carried(gre_carries(payload)),
        IpNumber::ICMP => right(&Sum16BitWords::new().add_slice(payload), "ICMP"),
        IpNumber::IPV4 => check_ipv4(payload),
        IpNumber::IPV6 => check_ipv6(payload),
        // Encrypted, or nothing behind an authentication header.
        IpNumber::ENCAPSULATING_SECURITY_PAYLOAD | IpNumber::IPV6_NO_NEXT_HEADER => Ok(()),
        other => Err(format!("protocol {other:?}")),
    }
}

/// Whether an IPv4 packet's header is right.
pub fn check_ipv4_header(packet: &[u8]) -> Result<(), String> {
    let ip = Ipv4Slice::from_slice(packet).map_err(|error| error.to_string())?;
    right(&Sum16BitWords::new().add_slice(ip.header().slice()), "IPv4")
}

/// RFC 1071: summed over all of it, checksum included, everything is one bits.
fn right(sum: &Sum16BitWords, what: &str) -> Result<(), String> {
    if sum.ones_complement() == 0 { Ok(()) } else { Err(format!("wrong {what} checksum")) }
}

/// The call of a packet of GRE, RFC 2637 4.1.
pub fn gre_call(payload: &[u8]) -> Option<u16> {
    let [flags, 1 | 0x81, 0x88, 0x0b, _, _, high, low, ..] = payload else { return None };
    (flags & 0xef == 0x20).then(|| u16::from_be_bytes([*high, *low]))
}

/// The packet behind a header of GRE, RFC 2784, unless it is of a call; or what is wrong with that.
fn gre_carries(payload: &[u8]) -> Option<Result<&[u8], String>> {
    gre_call(payload).is_none().then(|| gre_inner(payload))
}

fn gre_inner(payload: &[u8]) -> Result<&[u8], String> {
    let (header_len, ethertype) = match payload {
        [0, 0, a, b, ..] => (4, [*a, *b]),
        [0x80, 0, a, b, _, _, 0, 0, ..] => {
            right(&Sum16BitWords::new().add_slice(payload), "GRE")?;
            (8, [*a, *b])
        }
        _ => return Err("unexpected GRE header".into()),
    };
    let inner = payload.get(header_len..).unwrap_or_default();
    match (u16::from_be_bytes(ethertype), inner.first().map(|first| first >> 4)) {
        (0x0800, Some(4)) | (0x86dd, Some(6)) => Ok(inner),
        (ethertype, version) => Err(format!("GRE of {ethertype:04x} with version {version:?}")),
    }
}

/// The packet in a datagram to the port of GUE, if it is for that; or what is wrong with it.
fn udp_carries(datagram: &[u8]) -> Option<Result<&[u8], String>> {
    (datagram.get(2..4)? == 6080_u16.to_be_bytes()).then_some(())?;
    let inner = datagram.get(8..).unwrap_or_default();
    Some(match inner {
        [0x40..=0x6f, ..] => Ok(inner),
        [0, 4, 0, 0, rest @ ..] if rest.first().is_some_and(|first| first >> 4 == 4) => Ok(rest),
        [0, 41, 0, 0, rest @ ..] if rest.first().is_some_and(|first| first >> 4 == 6) => Ok(rest),
        _ => Err("unexpected GUE header".into()),
    })
}

fn check_carried(carried: Option<Result<&[u8], String>>) -> Result<(), String> {
    carried.map_or(Ok(()), |carried| check_ip(carried?))
}

/// What a tunnel's packet carries, in words.
fn carried(by: &str, carried: Result<&[u8], String>) -> String {
    match carried {
        Ok(packet) if packet[0] >> 4 == 6 => format!("{by} [{}]", ipv6(packet)),
        Ok(packet) => format!("{by} [{}]", ipv4(packet)),
        Err(what) => format!("{by}: {what}"),
    }
}

fn pseudo(header: &Ipv4HeaderSlice<'_>, payload: &[u8]) -> Sum16BitWords {
    Sum16BitWords::new()
        .add_4bytes(header.source())
        .add_4bytes(header.destination())
        .add_2bytes([0, header.protocol().0])
        .add_2bytes((payload.len() as u16).to_be_bytes())
}

fn arp(bytes: &[u8]) -> String {
    let arp = ArpPacketSlice::from_slice(bytes).expect("an ARP packet").to_packet();
    let arp = arp.try_eth_ipv4().expect("for Ethernet and IPv4");
    let (sender, target) = (arp.sender_ipv4_addr(), arp.target_ipv4_addr());
    match arp.operation {
        ArpOperation::REQUEST if sender == target => format!("arp {sender} is at {}", Mac(arp.sender_mac)),
        ArpOperation::REQUEST => format!("arp who has {target}? tell {sender}"),
        _ => format!("arp to {target}: {sender} is at {}", Mac(arp.sender_mac)),
    }
}

/// What an IPv4 packet says; one whose end is missing, as in the quotes of ICMP errors, as far as it is there.
fn ipv4(packet: &[u8]) -> String {
    let header = Ipv4HeaderSlice::from_slice(packet).expect("an IPv4 header");
    let (from, to) = (header.source_addr(), header.destination_addr());
    let end = packet.len().min(usize::from(header.total_len()));
    let l4 = &packet[header.slice().len()..end];
    let options = if header.options().is_empty() { "" } else { " with options" };
    let ttl = header.ttl();
    if header.is_fragmenting_payload() {
        let at = usize::from(header.fragments_offset().byte_offset());
        return format!("{from} > {to} fragment {at} to {} ttl {ttl}", at + l4.len());
    }
    let ports = |from: Ipv4Addr, to: Ipv4Addr| {
        let port = |at: usize| u16::from_be_bytes([l4[at], l4[at + 1]]);
        format!("{from}:{} > {to}:{}", port(0), port(2))
    };
    match header.protocol() {
        IpNumber::TCP => format!("{} tcp{} ttl {ttl}{options}", ports(from, to), flags(l4)),
        IpNumber::UDP => match udp_carries(l4) {
            Some(packet) => format!("{} ttl {ttl} {}", ports(from, to), carried("gue", packet)),
            None => format!("{} udp ttl {ttl}{options}", ports(from, to)),
        },
        IpNumber::SCTP => format!("{} sctp {} ttl {ttl}{options}", ports(from, to), sctp::names(l4)),
        IpNumber::GRE => match gre_carries(l4) {
            Some(packet) => format!("{from} > {to} ttl {ttl} {}", carried("gre", packet)),
            None => format!("{from} > {to} gre call {} ttl {ttl}", gre_call(l4).unwrap_or_default()),
        },
        IpNumber::ICMP => format!("{from} > {to} icmp {} ttl {ttl}{options}", icmp(l4)),
        IpNumber::IPV4 => format!("{from} > {to} ttl {ttl} [{}]", ipv4(l4)),
        IpNumber::IPV6 => format!("{from} > {to} ttl {ttl} [{}]", ipv6(l4)),
        other => format!("{from} > {to} protocol {} ttl {ttl}", other.0),
    }
}

/// Whether an IPv6 packet's lengths, what is in it and all checksums are right.
pub fn check_ipv6(packet: &[u8]) -> Result<(), String> {
    let ip = Ipv6Slice::from_slice(packet).map_err(|error| error.to_string())?;
    let payload = ip.payload();
    if payload.fragmented {
        return Ok(());
    }
    let sum_of = |bytes: &[u8]| {
        Sum16BitWords::new()
            .add_16bytes(ip.header().source())
            .add_16bytes(ip.header().destination())
            .add_2bytes([0, payload.ip_number.0])
            .add_2bytes((bytes.len() as u16).to_be_bytes())
            .add_slice(bytes)
    };
    let sum = sum_of(payload.payload);
    match payload.ip_number {
        IpNumber::TCP => {
            TcpSlice::from_slice(payload.payload).map_err(|error| error.to_string())?;
            right(&sum, "TCP")
        }
        IpNumber::UDP => {
            let udp = UdpSlice::from_slice(payload.payload).map_err(|error| error.to_string())?;
            // There may be more behind it.
            let sum = sum_of(udp.slice());
            let carried = udp_carries(payload.payload);
            match udp.checksum() {
                // RFC 6935: a tunnel may do without.
                0 if carried.is_none() => return Err("no UDP checksum".into()),
                0 => {}
                _ => right(&sum, "UDP")?,
            }
            check_carried(carried)
        }
        IpNumber::SCTP => sctp::check(payload.payload),
        IpNumber::GRE => check_carried(gre_carries(payload.payload)),
        IpNumber::IPV6_ICMP => right(&sum, "ICMPv6"),
        IpNumber::IPV4 => check_ipv4(payload.payload),
        IpNumber::IPV6 => check_ipv6(payload.payload),
        // As in IPv4.
        IpNumber::ENCAPSULATING_SECURITY_PAYLOAD | IpNumber::IPV6_NO_NEXT_HEADER => Ok(()),
        other => Err(format!("protocol {other:?}")),
    }
}

/// What an IPv6 packet says; one whose end is missing, as far as it is there.
fn ipv6(packet: &[u8]) -> String {
    let header = Ipv6HeaderSlice::from_slice(packet).expect("an IPv6 header");
    let (from, to, ttl) = (header.source_addr(), header.destination_addr(), header.hop_limit());
    let end = packet.len().min(40 + usize::from(header.payload_length()));
    let (mut protocol, mut at, mut options) = (header.next_header().0, 40, "");
    while matches!(protocol, 0 | 43 | 44 | 60) {
        let start = usize::from(u16::from_be_bytes([packet[at + 2], packet[at + 3]]) & 0xfff8);
        if protocol == 44 && packet[at + 2..at + 4] != [0, 0] {
            return format!("{from} > {to} fragment {start} to {} ttl {ttl}", start + end - at - 8);
        }
        options = " with options";
        let len = if protocol == 44 { 8 } else { 8 + 8 * usize::from(packet[at + 1]) };
        (protocol, at) = (packet[at], at + len);
    }
    let l4 = &packet[at..end];
    let ports = || {
        let port = |at: usize| u16::from_be_bytes([l4[at], l4[at + 1]]);
        format!("[{from}]:{} > [{to}]:{}", port(0), port(2))
    };
    match IpNumber(protocol) {
        IpNumber::TCP => format!("{} tcp{} ttl {ttl}{options}", ports(), flags(l4)),
        IpNumber::UDP => match udp_carries(l4) {
            Some(packet) => format!("{} ttl {ttl} {}", ports(), carried("gue", packet)),
            None => format!("{} udp ttl {ttl}{options}", ports()),
        },
        IpNumber::SCTP => format!("{} sctp {} ttl {ttl}{options}", ports(), sctp::names(l4)),
        IpNumber::GRE => match gre_carries(l4) {
            Some(packet) => format!("{from} > {to} ttl {ttl} {}", carried("gre", packet)),
            None => format!("{from} > {to} gre call {} ttl {ttl}", gre_call(l4).unwrap_or_default()),
        },
        IpNumber::IPV6_ICMP if matches!(l4[0], 135 | 136) => nd(from, to, l4),
        IpNumber::IPV6_ICMP => format!("{from} > {to} icmpv6 {} ttl {ttl}{options}", icmpv6(l4)),
        IpNumber::IPV4 => format!("{from} > {to} ttl {ttl} [{}]", ipv4(l4)),
        IpNumber::IPV6 => format!("{from} > {to} ttl {ttl} [{}]", ipv6(l4)),
        other => format!("{from} > {to} protocol {} ttl {ttl}", other.0),
    }
}

fn nd(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> String {
    let target = Ipv6Addr::from(*message[8..].first_chunk::<16>().expect("a target"));
    let mac = || Mac(*message[26..].first_chunk::<6>().expect("an Ethernet address"));
    match message[0] {
        135 if from.is_unspecified() => format!("nd is {target} taken?"),
        135 => format!("nd who has {target}? tell {from}"),
        _ if to.is_multicast() => format!("nd {target} is at {}", mac()),
        _ => format!("nd to {to}: {target} is at {}", mac()),
    }
}

fn icmpv6(message: &[u8]) -> String {
    let quote = || format!("[{}]", ipv6(&message[8..]));
    let rest = u32::from_be_bytes(*message[4..].first_chunk().expect("an ICMPv6 header"));
    match (message[0], message[1]) {
        (128, 0) => "echo request".into(),
        (129, 0) => "echo reply".into(),
        (1, 4) => format!("port unreachable {}", quote()),
        (2, 0) => format!("too big for {rest} {}", quote()),
        (3, 0) => format!("time exceeded {}", quote()),
        (4, 1) => format!("unknown protocol at {rest} {}", quote()),
        (kind, code) => format!("{kind}/{code} {}", quote()),
    }
}

fn flags(segment: &[u8]) -> String {
    let Ok(tcp) = TcpSlice::from_slice(segment) else { return " cut".into() };
    let names = [(tcp.syn(), " syn"), (tcp.fin(), " fin"), (tcp.rst(), " rst"), (tcp.ack(), " ack")];
    names.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect()
}

fn icmp(message: &[u8]) -> String {
    let icmp = Icmpv4Slice::from_slice(message).expect("an ICMP header");
    let quote = || format!("[{}]", ipv4(icmp.payload()));
    match (icmp.type_u8(), icmp.code_u8()) {
        (0, 0) => "echo reply".into(),
        (8, 0) => "echo request".into(),
        (3, 2) => format!("protocol unreachable {}", quote()),
        (3, 3) => format!("port unreachable {}", quote()),
        (3, 4) => format!("too big for {} {}", u16::from_be_bytes([message[6], message[7]]), quote()),
        (11, 0) => format!("time exceeded {}", quote()),
        (kind, code) => format!("{kind}/{code} {}", quote()),
    }
}
