//! Frames of IPv6 for the director, made with etherparse.

use super::{
    frame::{ACK, FIN, RST, SYN, ethernet},
    plan::{GATEWAY_MAC, LAN_MAC, SERVER_MACS, WAN_MAC},
};
use etherparse::{Icmpv6Header, Icmpv6Type, IpNumber, Ipv6Header, TcpHeader, UdpHeader};
use lb_core::service::plan::Mac;
use std::net::{Ipv6Addr, SocketAddrV6};

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// An IPv6 packet: hop limit 64, no extension headers.
#[derive(Clone, Debug)]
pub struct Ip6 {
    pub header: Ipv6Header,
    /// Extension headers, whose last names the protocol of the payload.
    pub extensions: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Ip6 {
    pub fn new(protocol: IpNumber, from: Ipv6Addr, to: Ipv6Addr, payload: Vec<u8>) -> Ip6 {
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: Default::default(),
            payload_length: 0,
            next_header: protocol,
            hop_limit: 64,
            source: from.octets(),
            destination: to.octets(),
        };
        Ip6 { header, extensions: Vec::new(), payload }
    }

    pub fn ttl(mut self, ttl: u8) -> Ip6 {
        self.header.hop_limit = ttl;
        self
    }

    /// Puts an extension header of that kind in front of what there is. Its first byte is overwritten.
    pub fn behind(mut self, kind: u8, extension: &[u8]) -> Ip6 {
        let next = std::mem::replace(&mut self.header.next_header, IpNumber(kind));
        self.extensions.splice(0..0, [&[next.0], &extension[1..]].concat());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut header = self.header.clone();
        header.payload_length = (self.extensions.len() + self.payload.len()) as u16;
        [header.to_bytes().as_slice(), &self.extensions, &self.payload].concat()
    }

    /// The frame that the gateway sends to the director.
    pub fn via_gateway(&self) -> Vec<u8> {
        ethernet(WAN_MAC, GATEWAY_MAC, 0x86dd, &self.bytes())
    }

    /// The frame that the first server sends to the director.
    pub fn via_server(&self) -> Vec<u8> {
        ethernet(LAN_MAC, SERVER_MACS[0], 0x86dd, &self.bytes())
    }
}

pub fn endpoint6(text: &str) -> SocketAddrV6 {
    text.parse().unwrap_or_else(|_| panic!("an IPv6 address and a port, not {text}"))
}

/// A TCP segment with sequence number 1000, and acknowledgement number 5000 if it acknowledges.
pub fn tcp6(from: &str, to: &str, flags: u8) -> Ip6 {
    tcp6_with(endpoint6(from), endpoint6(to), flags, b"")
}

pub fn tcp6_with(from: SocketAddrV6, to: SocketAddrV6, flags: u8, payload: &[u8]) -> Ip6 {
    tcp6_numbered((from, to), flags, (1000, 5000), payload)
}

/// A segment with these numbers, the second if it acknowledges.
pub fn tcp6_numbered(
    (from, to): (SocketAddrV6, SocketAddrV6),
    flags: u8,
    (sequence, acknowledgement): (u32, u32),
    payload: &[u8],
) -> Ip6 {
    let mut header = TcpHeader::new(from.port(), to.port(), sequence, 0x2000);
    header.fin = flags & FIN != 0;
    header.syn = flags & SYN != 0;
    header.rst = flags & RST != 0;
    header.ack = flags & ACK != 0;
    if header.ack {
        header.acknowledgment_number = acknowledgement;
    }
    let addresses = (from.ip().octets(), to.ip().octets());
    header.checksum = header.calc_checksum_ipv6_raw(addresses.0, addresses.1, payload).unwrap();
    let bytes = [header.to_bytes().as_slice(), payload].concat();
    Ip6::new(IpNumber::TCP, *from.ip(), *to.ip(), bytes)
}

pub fn udp6(from: &str, to: &str, payload: &[u8]) -> Ip6 {
    let (from, to) = (endpoint6(from), endpoint6(to));
    let mut packet = Ip6::new(IpNumber::UDP, *from.ip(), *to.ip(), Vec::new());
    let header = UdpHeader::with_ipv6_checksum(from.port(), to.port(), &packet.header, payload).unwrap();
    packet.payload = [header.to_bytes().as_slice(), payload].concat();
    packet
}

pub fn icmp6(from: Ipv6Addr, to: Ipv6Addr, kind: Icmpv6Type, payload: &[u8]) -> Ip6 {
    let header = Icmpv6Header::with_checksum(kind, from.octets(), to.octets(), payload).unwrap();
    Ip6::new(IpNumber::IPV6_ICMP, from, to, [header.to_bytes().as_slice(), payload].concat())
}

/// Asks who has an address; from nobody, whether somebody has it.
pub fn solicitation(from: (Mac, Ipv6Addr), target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let option = [&[1, 1], from.0.0.as_slice()].concat();
    let option = if from.1.is_unspecified() { &[][..] } else { &option };
    let packet = nd(SOLICITATION, (from.1, group), 0, target, option);
    ethernet(Mac([0x33, 0x33, 0xff, a, b, c]), from.0, 0x86dd, &packet.bytes())
}

/// Says to who asked that an address is here.
pub fn advertisement(from: (Mac, Ipv6Addr), to: (Mac, Ipv6Addr)) -> Vec<u8> {
    let option = [&[2, 1], from.0.0.as_slice()].concat();
    let packet = nd(ADVERTISEMENT, (from.1, to.1), 0x60, from.1, &option);
    ethernet(to.0, from.0, 0x86dd, &packet.bytes())
}

/// Says to everybody that an address is here.
pub fn unasked(from: (Mac, Ipv6Addr), flags: u8) -> Vec<u8> {
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let option = [&[2, 1], from.0.0.as_slice()].concat();
    let packet = nd(ADVERTISEMENT, (from.1, all), flags, from.1, &option);
    ethernet(Mac([0x33, 0x33, 0, 0, 0, 1]), from.0, 0x86dd, &packet.bytes())
}

pub fn nd(kind: u8, ends: (Ipv6Addr, Ipv6Addr), flags: u8, target: Ipv6Addr, option: &[u8]) -> Ip6 {
    let kind = Icmpv6Type::Unknown { type_u8: kind, code_u8: 0, bytes5to8: [flags, 0, 0, 0] };
    icmp6(ends.0, ends.1, kind, &[target.octets().as_slice(), option].concat()).ttl(255)
}

/// Who asks in a frame for whose Ethernet address, and where the answer is to go.
pub fn asked(frame: &[u8]) -> Option<(Ipv6Addr, Mac, Ipv6Addr)> {
    let packet = frame.get(14..)?;
    let address = |at: usize| Some(Ipv6Addr::from(*packet.get(at..)?.first_chunk::<16>()?));
    let asks = address(8)?;
    let is_question = packet[6] == 58 && packet.get(40) == Some(&SOLICITATION) && !asks.is_unspecified();
    let mac = packet.get(66..)?.first_chunk().map(|mac| Mac(*mac))?;
    is_question.then_some((asks, mac, address(48)?))
}
