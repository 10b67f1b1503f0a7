//! Frames as the network and the hosts read them: with smoltcp's eyes, not the load balancer's.

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Message,
    Icmpv4Packet, IpProtocol, Ipv4Packet,
};
use std::net::Ipv4Addr;

const ETHERNET_HEADER: usize = 14;
const IPIP: IpProtocol = IpProtocol::Unknown(4);

/// Who a flow's packet is from and to. Packets without ports have zeros for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub(crate) source: (Ipv4Addr, u16),
    pub(crate) destination: (Ipv4Addr, u16),
}

/// An ICMP error that reached a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) from: Ipv4Addr,
    pub(crate) kind: Icmpv4Message,
    pub(crate) code: u8,
    /// The next hop's MTU; only in "fragmentation needed".
    pub(crate) mtu: u16,
    /// The packet it is about.
    pub(crate) about: Ends,
}

pub(crate) fn ethernet(frame: &[u8]) -> EthernetFrame<&[u8]> {
    EthernetFrame::new_checked(frame).expect("whole frames only")
}

/// The IPv4 packet in a frame, if that is what is in it.
pub(crate) fn ipv4(frame: &[u8]) -> Option<Ipv4Packet<&[u8]>> {
    let is_ipv4 = ethernet(frame).ethertype() == EthernetProtocol::Ipv4;
    is_ipv4.then(|| Ipv4Packet::new_checked(&frame[ETHERNET_HEADER..]).expect("sound IPv4"))
}

pub(crate) fn is_tcp(frame: &[u8]) -> bool {
    ipv4(frame).is_some_and(|packet| packet.next_header() == IpProtocol::Tcp)
}

/// The question in a frame, if that is an ARP request.
pub(crate) fn arp_question(frame: &[u8]) -> Option<ArpRepr> {
    let is_arp = ethernet(frame).ethertype() == EthernetProtocol::Arp;
    let arp = is_arp.then(|| ArpPacket::new_checked(&frame[ETHERNET_HEADER..]).expect("sound ARP"))?;
    ArpRepr::parse(&arp).ok().filter(|_| arp.operation() == ArpOperation::Request)
}

/// A packet's ends.
pub(crate) fn ends(packet: &Ipv4Packet<&[u8]>) -> Ends {
    let has_ports = matches!(packet.next_header(), IpProtocol::Tcp | IpProtocol::Udp);
    let port = |at: usize| {
        let bytes = packet.payload().get(at..at + 2).filter(|_| has_ports);
        bytes.map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    Ends { source: (packet.src_addr(), port(0)), destination: (packet.dst_addr(), port(2)) }
}

/// Takes a tunnelled packet out of its outer one, as the receiving end of a tunnel does. Other frames stay as they are.
pub(crate) fn leave_tunnel(mut frame: Vec<u8>, director: Ipv4Addr, own: Ipv4Addr) -> Vec<u8> {
    let Some(outer) = ipv4(&frame).filter(|outer| outer.next_header() == IPIP) else { return frame };
    assert!(outer.verify_checksum(), "the outer header's checksum is wrong");
    assert_eq!((outer.src_addr(), outer.dst_addr()), (director, own), "ends of the tunnel");
    let header_len = usize::from(outer.header_len());
    frame.drain(ETHERNET_HEADER..ETHERNET_HEADER + header_len);
    frame
}

/// The ICMP error in a frame, if there is one. Its checksums must be right, the quoted header's as well.
pub(crate) fn report(frame: &[u8]) -> Option<Report> {
    let packet = ipv4(frame).filter(|packet| packet.next_header() == IpProtocol::Icmp)?;
    let message = Icmpv4Packet::new_checked(packet.payload()).expect("sound ICMP");
    if matches!(message.msg_type(), Icmpv4Message::EchoRequest | Icmpv4Message::EchoReply) {
        return None;
    }
    assert!(message.verify_checksum(), "the message's checksum is wrong");
    let quoted = Ipv4Packet::new_unchecked(message.data());
    let header = &message.data()[..usize::from(quoted.header_len())];
    assert!(Ipv4Packet::new_unchecked(header).verify_checksum(), "the quoted header's checksum is wrong");
    let mtu = u16::from_be_bytes([packet.payload()[6], packet.payload()[7]]);
    // The quote is cut off, so its lengths cannot be right, but the ports are there.
    let ports = &message.data()[header.len()..];
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Some(Report {
        from: packet.src_addr(),
        kind: message.msg_type(),
        code: message.msg_code(),
        mtu,
        about: Ends { source: (quoted.src_addr(), port(0)), destination: (quoted.dst_addr(), port(2)) },
    })
}

/// Gives a frame to another station, as a router does when it passes a packet on.
pub(crate) fn readdress(frame: &mut [u8], source: EthernetAddress, destination: EthernetAddress) {
    let mut ethernet = EthernetFrame::new_unchecked(&mut *frame);
    ethernet.set_src_addr(source);
    ethernet.set_dst_addr(destination);
    let mut packet = Ipv4Packet::new_unchecked(&mut frame[ETHERNET_HEADER..]);
    assert!(packet.hop_limit() > 1, "a packet ran in circles");
    packet.set_hop_limit(packet.hop_limit() - 1);
    packet.fill_checksum();
}
