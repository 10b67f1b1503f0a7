//! Frames as the network and the hosts read them: with smoltcp's eyes, not the load balancer's.

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet,
    Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket,
};
use std::net::IpAddr;

pub(crate) const ETHERNET_HEADER: usize = 14;
/// Packets inside packets of a tunnel.
const INSIDE: [(IpProtocol, EthernetProtocol); 2] =
    [(IpProtocol::Unknown(4), EthernetProtocol::Ipv4), (IpProtocol::Unknown(41), EthernetProtocol::Ipv6)];

/// Who a flow's packet is from and to. Packets without ports have zeros for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub(crate) source: (IpAddr, u16),
    pub(crate) destination: (IpAddr, u16),
}

/// What an ICMP error of either family says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    PortUnreachable,
    /// With the next hop's MTU.
    TooBig(u32),
    /// Type and code.
    Other(u8, u8),
}

/// An ICMP error that reached a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) from: IpAddr,
    pub(crate) trouble: Trouble,
    /// The packet it is about.
    pub(crate) about: Ends,
}

/// A packet of either family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: IpProtocol,
    dscp: u8,
    header_len: usize,
    pub(crate) payload: &'a [u8],
}

pub(crate) fn ethernet(frame: &[u8]) -> EthernetFrame<&[u8]> {
    EthernetFrame::new_checked(frame).expect("whole frames only")
}

/// The packet in a frame, if one is in it.
pub(crate) fn ip(frame: &[u8]) -> Option<Ip<'_>> {
    let bytes = &frame[ETHERNET_HEADER..];
    match ethernet(frame).ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(bytes).expect("sound IPv4");
            assert!(packet.verify_checksum(), "the header's checksum is wrong");
            let (start, end) = (usize::from(packet.header_len()), usize::from(packet.total_len()));
            Some(Ip {
                source: packet.src_addr().into(),
                destination: packet.dst_addr().into(),
                protocol: packet.next_header(),
                dscp: packet.dscp(),
                header_len: start,
                payload: &bytes[start..end],
            })
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(bytes).expect("sound IPv6");
            Some(Ip {
                source: packet.src_addr().into(),
                destination: packet.dst_addr().into(),
                protocol: packet.next_header(),
                dscp: packet.traffic_class() >> 2,
                header_len: packet.header_len(),
                payload: &bytes[packet.header_len()..packet.total_len()],
            })
        }
        _ => None,
    }
}

pub(crate) fn is_tcp(frame: &[u8]) -> bool {
    ip(frame).is_some_and(|packet| packet.protocol == IpProtocol::Tcp)
}

/// Whose Ethernet address a frame asks for, if it does: by ARP or by neighbour discovery.
pub(crate) fn asked(frame: &[u8]) -> Option<IpAddr> {
    if let Some(ArpRepr::EthernetIpv4 { target_protocol_addr, .. }) = arp_question(frame) {
        return Some(target_protocol_addr.into());
    }
    let packet = ip(frame).filter(|packet| packet.protocol == IpProtocol::Icmpv6)?;
    let message = Icmpv6Packet::new_checked(packet.payload).expect("sound ICMPv6");
    (message.msg_type() == Icmpv6Message::NeighborSolicit).then(|| message.target_addr().into())
}

/// The question in a frame, if that is an ARP request.
pub(crate) fn arp_question(frame: &[u8]) -> Option<ArpRepr> {
    let is_arp = ethernet(frame).ethertype() == EthernetProtocol::Arp;
    let arp = is_arp.then(|| ArpPacket::new_checked(&frame[ETHERNET_HEADER..]).expect("sound ARP"))?;
    ArpRepr::parse(&arp).ok().filter(|_| arp.operation() == ArpOperation::Request)
}

impl Ip<'_> {
    /// A packet's ends.
    pub(crate) fn ends(&self) -> Ends {
        let has_ports = matches!(self.protocol, IpProtocol::Tcp | IpProtocol::Udp);
        let port = |at: usize| {
            let bytes = self.payload.get(at..at + 2).filter(|_| has_ports);
            bytes.map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        Ends { source: (self.source, port(0)), destination: (self.destination, port(2)) }
    }
}

/// Takes a tunnelled packet out of its outer one, as the receiving end of a tunnel does. Other frames stay as they are.
pub(crate) fn leave_tunnel(mut frame: Vec<u8>, director: IpAddr, own: IpAddr) -> Vec<u8> {
    let Some(outer) = ip(&frame) else { return frame };
    let Some((_, inside)) = INSIDE.into_iter().find(|(protocol, _)| *protocol == outer.protocol) else {
        return frame;
    };
    assert_eq!((outer.source, outer.destination), (director, own), "ends of the tunnel");
    let header_len = outer.header_len;
    frame.drain(ETHERNET_HEADER..ETHERNET_HEADER + header_len);
    EthernetFrame::new_unchecked(&mut frame[..]).set_ethertype(inside);
    frame
}

/// Puts the VIP back into a packet to a server's own address that is marked with the VIP's DSCP, as a rule of the server's does.
/// Its checksum must be right before. Other frames stay as they are.
pub(crate) fn put_back(mut frame: Vec<u8>, mark: u8, (own, vip): (IpAddr, IpAddr)) -> Vec<u8> {
    let Some(to_own) = ip(&frame).filter(|packet| packet.destination == own && packet.dscp == mark) else {
        return frame;
    };
    let (source, protocol, header_len, len) =
        (to_own.source, to_own.protocol, to_own.header_len, to_own.payload.len());
    let (header, payload) = frame[ETHERNET_HEADER..].split_at_mut(header_len);
    let payload = &mut payload[..len];
    match protocol {
        IpProtocol::Tcp => {
            let mut segment = TcpPacket::new_checked(payload).expect("sound TCP");
            assert!(segment.verify_checksum(&source.into(), &own.into()), "the segment's checksum is wrong");
            segment.fill_checksum(&source.into(), &vip.into());
        }
        IpProtocol::Udp => {
            let mut datagram = UdpPacket::new_checked(payload).expect("sound UDP");
            assert!(
                datagram.verify_checksum(&source.into(), &own.into()),
                "the datagram's checksum is wrong"
            );
            datagram.fill_checksum(&source.into(), &vip.into());
        }
        other => panic!("{other} for the VIP"),
    }
    match vip {
        IpAddr::V4(vip) => {
            let mut packet = Ipv4Packet::new_unchecked(header);
            packet.set_dst_addr(vip);
            packet.fill_checksum();
        }
        IpAddr::V6(vip) => Ipv6Packet::new_unchecked(header).set_dst_addr(vip),
    }
    frame
}

/// The ICMP error in a frame, if there is one. Its checksums must be right, the quoted header's as well.
pub(crate) fn report(frame: &[u8]) -> Option<Report> {
    let packet = ip(frame)?;
    let [kind, code, .., a, b] = *packet.payload.first_chunk::<8>()?;
    let (is_error, quoted) = match packet.protocol {
        IpProtocol::Icmp => {
            let message = Icmpv4Packet::new_checked(packet.payload).expect("sound ICMP");
            assert!(message.verify_checksum(), "the message's checksum is wrong");
            // All but echo requests and replies.
            (kind != 0 && kind != 8, packet.payload.get(8..)?)
        }
        IpProtocol::Icmpv6 => {
            let message = Icmpv6Packet::new_checked(packet.payload).expect("sound ICMPv6");
            let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination) else {
                panic!("ICMPv6 is of IPv6");
            };
            assert!(message.verify_checksum(&source, &destination), "the message's checksum is wrong");
            (kind < 128, packet.payload.get(8..)?)
        }
        _ => return None,
    };
    let is_ipv4 = packet.protocol == IpProtocol::Icmp;
    let trouble = match (is_ipv4, kind, code) {
        (true, 3, 3) | (false, 1, 4) => Trouble::PortUnreachable,
        (true, 3, 4) | (false, 2, 0) => Trouble::TooBig(u16::from_be_bytes([a, b]).into()),
        _ => Trouble::Other(kind, code),
    };
    is_error.then(|| Report { from: packet.source, trouble, about: quoted_ends(is_ipv4, quoted) })
}

/// The ends of a packet that an error quotes: cut off, so that its lengths cannot be right, but the ports are there.
fn quoted_ends(is_ipv4: bool, quoted: &[u8]) -> Ends {
    let (source, destination, ports): (IpAddr, IpAddr, _) = if is_ipv4 {
        let packet = Ipv4Packet::new_unchecked(quoted);
        let header = &quoted[..usize::from(packet.header_len())];
        assert!(Ipv4Packet::new_unchecked(header).verify_checksum(), "the quoted header's checksum is wrong");
        (packet.src_addr().into(), packet.dst_addr().into(), &quoted[header.len()..])
    } else {
        let packet = Ipv6Packet::new_unchecked(quoted);
        (packet.src_addr().into(), packet.dst_addr().into(), &quoted[packet.header_len()..])
    };
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Ends { source: (source, port(0)), destination: (destination, port(2)) }
}

/// Gives a frame to another station, as a router does when it passes a packet on.
pub(crate) fn readdress(frame: &mut [u8], source: EthernetAddress, destination: EthernetAddress) {
    let mut ethernet = EthernetFrame::new_unchecked(&mut *frame);
    ethernet.set_src_addr(source);
    ethernet.set_dst_addr(destination);
    let is_ipv4 = ethernet.ethertype() == EthernetProtocol::Ipv4;
    let packet = &mut frame[ETHERNET_HEADER..];
    if is_ipv4 {
        let mut packet = Ipv4Packet::new_unchecked(packet);
        assert!(packet.hop_limit() > 1, "a packet ran in circles");
        packet.set_hop_limit(packet.hop_limit() - 1);
        packet.fill_checksum();
    } else {
        let mut packet = Ipv6Packet::new_unchecked(packet);
        assert!(packet.hop_limit() > 1, "a packet ran in circles");
        packet.set_hop_limit(packet.hop_limit() - 1);
    }
}
