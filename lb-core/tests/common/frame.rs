//! Frames for the director, made with etherparse.

use super::plan::{GATEWAY_MAC, LAN_MAC, SERVER_MACS, WAN_MAC};
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, IcmpEchoHeader, Icmpv4Header, Icmpv4Type, IpNumber, Ipv4Header,
    Ipv4Options, TcpHeader, UdpHeader,
};
use lb_core::service::plan::Mac;
use std::net::{Ipv4Addr, SocketAddrV4};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// An IPv4 packet: don't fragment, time to live 64, no options.
#[derive(Clone, Debug)]
pub struct Ip {
    pub header: Ipv4Header,
    pub payload: Vec<u8>,
}

impl Ip {
    pub fn new(protocol: IpNumber, from: Ipv4Addr, to: Ipv4Addr, payload: Vec<u8>) -> Ip {
        let len = payload.len() as u16;
        let mut header = Ipv4Header::new(len, 64, protocol, from.octets(), to.octets()).unwrap();
        header.dont_fragment = true;
        Ip { header, payload }
    }

    pub fn ttl(mut self, ttl: u8) -> Ip {
        self.header.time_to_live = ttl;
        self
    }

    /// Gives a TCP segment another sequence number.
    pub fn set_sequence(&mut self, number: u32) {
        self.change_tcp(|header| header.sequence_number = number);
    }

    /// Gives a TCP segment another acknowledgement number.
    pub fn set_acknowledgement(&mut self, number: u32) {
        self.change_tcp(|header| header.acknowledgment_number = number);
    }

    /// Changes the header of a TCP segment.
    pub fn change_tcp(&mut self, change: impl FnOnce(&mut TcpHeader)) {
        let (mut header, payload) = TcpHeader::from_slice(&self.payload).expect("a TCP segment");
        change(&mut header);
        let payload = payload.to_vec();
        let (from, to) = (self.header.source, self.header.destination);
        header.checksum = header.calc_checksum_ipv4_raw(from, to, &payload).unwrap();
        self.payload = [header.to_bytes().as_slice(), &payload].concat();
    }

    pub fn may_fragment(mut self) -> Ip {
        self.header.dont_fragment = false;
        self
    }

    pub fn options(mut self, options: &[u8]) -> Ip {
        self.header.options = Ipv4Options::try_from(options).unwrap();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut header = self.header.clone();
        header.set_payload_len(self.payload.len()).unwrap();
        header.header_checksum = header.calc_header_checksum();
        [header.to_bytes().as_slice(), &self.payload].concat()
    }

    /// The frame that the gateway sends to the director.
    pub fn via_gateway(&self) -> Vec<u8> {
        ethernet(WAN_MAC, GATEWAY_MAC, 0x0800, &self.bytes())
    }

    /// The frame that the first server sends to the director.
    pub fn via_server(&self) -> Vec<u8> {
        ethernet(LAN_MAC, SERVER_MACS[0], 0x0800, &self.bytes())
    }
}

pub fn ethernet(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [to.0.as_slice(), &from.0, &ethertype.to_be_bytes(), payload].concat()
}

/// The same frame with an 802.1Q tag.
pub fn tagged(frame: &[u8], tag: u16) -> Vec<u8> {
    [&frame[..12], &[0x81, 0x00], &tag.to_be_bytes(), &frame[12..]].concat()
}

pub fn endpoint(text: &str) -> SocketAddrV4 {
    text.parse().unwrap_or_else(|_| panic!("an address and a port, not {text}"))
}

/// A TCP segment with sequence number 1000, and acknowledgement number 5000 if it acknowledges.
pub fn tcp(from: &str, to: &str, flags: u8) -> Ip {
    tcp_with(endpoint(from), endpoint(to), flags, b"")
}

pub fn tcp_with(from: SocketAddrV4, to: SocketAddrV4, flags: u8, payload: &[u8]) -> Ip {
    let mut header = TcpHeader::new(from.port(), to.port(), 1000, 0x2000);
    header.fin = flags & FIN != 0;
    header.syn = flags & SYN != 0;
    header.rst = flags & RST != 0;
    header.ack = flags & ACK != 0;
    if header.ack {
        header.acknowledgment_number = 5000;
    }
    let addresses = (from.ip().octets(), to.ip().octets());
    header.checksum = header.calc_checksum_ipv4_raw(addresses.0, addresses.1, payload).unwrap();
    let bytes = [header.to_bytes().as_slice(), payload].concat();
    Ip::new(IpNumber::TCP, *from.ip(), *to.ip(), bytes)
}

pub fn udp(from: &str, to: &str, payload: &[u8]) -> Ip {
    let (from, to) = (endpoint(from), endpoint(to));
    let mut header = UdpHeader {
        source_port: from.port(),
        destination_port: to.port(),
        length: (UdpHeader::LEN + payload.len()) as u16,
        checksum: 0,
    };
    let addresses = (from.ip().octets(), to.ip().octets());
    header.checksum = header.calc_checksum_ipv4_raw(addresses.0, addresses.1, payload).unwrap();
    Ip::new(IpNumber::UDP, *from.ip(), *to.ip(), [header.to_bytes().as_slice(), payload].concat())
}

pub fn icmp(from: Ipv4Addr, to: Ipv4Addr, kind: Icmpv4Type, payload: &[u8]) -> Ip {
    let header = Icmpv4Header::with_checksum(kind, payload);
    Ip::new(IpNumber::ICMP, from, to, [header.to_bytes().as_slice(), payload].concat())
}

pub fn echo(from: Ipv4Addr, to: Ipv4Addr) -> Ip {
    icmp(from, to, Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 7, seq: 1 }), b"ping")
}

pub fn arp_request(from: (Mac, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    arp(ArpOperation::REQUEST, Mac::BROADCAST, from, (Mac::default(), target))
}

pub fn arp_reply(from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr)) -> Vec<u8> {
    arp(ArpOperation::REPLY, to.0, from, to)
}

fn arp(operation: ArpOperation, to: Mac, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let packet = ArpEthIpv4Packet {
        operation,
        sender_mac: sender.0.0,
        sender_ipv4: sender.1.octets(),
        target_mac: target.0.0,
        target_ipv4: target.1.octets(),
    };
    ethernet(to, sender.0, 0x0806, &packet.to_bytes())
}
