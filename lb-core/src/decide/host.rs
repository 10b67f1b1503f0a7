//! What of the packets on a port is its host side's: everything for the director's own addresses, and what is sent to all
//! stations. VIPs and connections never are. The kernel answers ARP, neighbour discovery and ping for own addresses
//! there; see `hear.rs` for what it hears of neighbours. VLANs that the director has no interface in are the host side's as well:
//! the kernel may have its own there.
//!
//! What keeps routes and neighbours alive has budgets of its own, so that a flood to an own address takes nothing of it. What
//! only neighbours can send has another than what shows no more than an address of theirs, which anybody can write if the
//! routers on the way let it pass; and that another than what says that it comes from farther away.

use super::{
    Act, Answer, Course, Decision, Origin, Refusal,
    budgets::Purpose,
    known::{Forwarded, Known},
};
use crate::{
    counters::DropReason,
    family::{Family, Header, V4, V6},
    packet::{Packet, PortId},
    service::snapshot::Local,
    wire::{ethernet, get16, protocol},
};
use std::net::IpAddr;

/// VRRP's protocol number; CARP has the same.
const VRRP: u8 = 112;
const OSPF: u8 = 89;
/// ICMPv6's types for neighbours and routers.
const DISCOVERY: std::ops::RangeInclusive<u8> = 133..=137;
/// BGP's port, of either end.
const BGP: u16 = 179;
/// BFD's port between neighbours, RFC 5881 4.
const BFD: u16 = 3784;
/// BFD's port over several routers, RFC 5883 5.
const BFD_FAR: u16 = 4784;
/// The time to live of what no router has passed on, which strangers therefore cannot send: RFC 5881 5 has it of BFD,
/// RFC 5798 5.1.1.3 of VRRP, RFC 4861 of neighbour discovery.
const CROSSED_NO_ROUTER: u8 = 255;

impl Known {
    /// The same decision, unless the packet is the host side's of its port.
    #[cold]
    pub(super) fn with_host<F: Forwarded>(
        &self,
        packet: &impl Packet,
        origin: Origin,
        decision: Decision<F>,
    ) -> Decision<F> {
        // What other workers share has been given to the host side by them.
        if origin == Origin::Worker {
            return decision;
        }
        let reason = match decision.course {
            Course::Act(Act::Refuse(Refusal { answer: Answer::Echo, .. })) => DropReason::OwnAddress,
            Course::Act(Act::Drop(reason)) => reason,
            _ => return decision,
        };
        if self.is_for_host(packet) { Act::Host(reason).into() } else { decision }
    }

    /// Whether a frame is for the director's own addresses, or for all stations; or of a VLAN that the kernel may be in.
    fn is_for_host(&self, packet: &impl Packet) -> bool {
        let frame = packet.bytes();
        let Some((ethertype, l3)) = ethernet::payload(frame) else { return false };
        let to = ethernet::destination(frame);
        let untagged = self.snapshot.untagged_of(packet.port());
        let is_here = ethernet::is_group(to) || self.snapshot.is_mac_of(untagged, to);
        if !is_here || !self.is_of_host(packet) {
            return false;
        }
        if !self.is_known_vlan(packet) {
            return true;
        }
        let is_own = |address: Option<IpAddr>| {
            let local = address.and_then(|address| self.snapshot.local_ip(address));
            ethernet::is_group(to) || matches!(local, Some(Local::Own(_)))
        };
        match ethertype {
            // What there is to hear has been heard.
            ethernet::ARP => false,
            V4::ETHERTYPE => is_own(destination::<V4>(&frame[l3..])),
            V6::ETHERTYPE => is_own(destination::<V6>(&frame[l3..])),
            _ => true,
        }
    }

    /// Whether a port has a host side.
    #[must_use]
    pub fn has_host(&self, port: PortId) -> bool {
        self.snapshot.has_host(port)
    }

    /// Whether a frame may be a host side's: its port has one, and it is of no VLAN that the director has an interface in.
    pub(crate) fn is_of_host(&self, packet: &impl Packet) -> bool {
        let is_tagged = ethernet::is_tagged(packet.bytes());
        let is_untagged = || self.snapshot.is_on_host(self.arrival(packet));
        self.has_host(packet.port()) && (!is_tagged || !self.is_known_vlan(packet) || is_untagged())
    }

    /// Whether an interface is for the frame's VLAN, or it has none.
    fn is_known_vlan(&self, packet: &impl Packet) -> bool {
        let frame = packet.bytes();
        !ethernet::is_tagged(frame) || self.snapshot.interface_of_vlan(packet.port(), frame).is_some()
    }
}

/// Whether routers pass nothing on that is sent to this group: RFC 5771 4, RFC 4291 2.7.
fn is_of_link_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => address.segments()[0] == 0xff02,
    }
}

fn destination<F: Family>(packet: &[u8]) -> Option<IpAddr> {
    Header::<F>::read_cut(packet).map(|header| F::ip(header.destination))
}

impl Known {
    /// The budget that a frame for a host side is taken from.
    #[must_use]
    pub fn host_purpose(&self, frame: &[u8]) -> Purpose {
        let read = || {
            let (ethertype, l3) = ethernet::payload(frame)?;
            match ethertype {
                ethernet::ARP => Some(Purpose::HostResolve),
                V4::ETHERTYPE => self.purpose_of::<V4>(&frame[l3..]),
                V6::ETHERTYPE => self.purpose_of::<V6>(&frame[l3..]),
                _ => None,
            }
        };
        read().unwrap_or(Purpose::HostOther)
    }

    /// `None` for what is neither of routing nor about neighbours.
    fn purpose_of<F: Family>(&self, packet: &[u8]) -> Option<Purpose> {
        let header = Header::<F>::read_cut(packet)?;
        let payload = packet.get(header.header_len..)?;
        let ports = || (payload.len() >= 4).then(|| [get16(payload, 0), get16(payload, 2)]);
        let is_of_link = || header.ttl == CROSSED_NO_ROUTER;
        let is_neighbour = || self.snapshot.routing.attached(F::ip(header.source)).is_some();
        match header.protocol {
            VRRP if is_of_link() => Some(Purpose::HostLink),
            OSPF if is_of_link_group(F::ip(header.destination)) => Some(Purpose::HostLink),
            OSPF if is_neighbour() => Some(Purpose::HostRouting),
            protocol::TCP if ports()?.contains(&BGP) => Some(match is_neighbour() {
                true if is_of_link() => Purpose::HostLink,
                true => Purpose::HostRouting,
                false => Purpose::HostRoutingFar,
            }),
            protocol::UDP if ports()?[1] == BFD && is_of_link() => Some(Purpose::HostLink),
            protocol::UDP if ports()?[1] == BFD_FAR => Some(Purpose::HostRoutingFar),
            of_family if of_family == F::ICMP && F::ETHERTYPE == V6::ETHERTYPE => {
                (DISCOVERY.contains(payload.first()?) && is_of_link()).then_some(Purpose::HostResolve)
            }
            _ => None,
        }
    }
}
