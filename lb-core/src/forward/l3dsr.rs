//! Direct routing through routers: the packet goes to the server's own address, and its DSCP says which VIP it is for. The
//! server puts the VIP back, by a rule for that DSCP, before anything else looks at the packet, and answers the client itself.
//!
//! All checksums are right for the packet as it is on the way: what the server has for such rules (nftables, the DADDR target
//! of Yahoo's l3dsr for Linux) updates them for the address that it puts back, and VPP's load balancer sends them so as well.

use super::outer::Outer;
use crate::{
    family::Family,
    wire::{
        checksum::{Change, Folded},
        headers::Headers,
        icmp,
        protocol::{Protocol, SCTP, UDP},
        tcp, udp,
    },
};

/// The client's packet, on its way to the server: whole, or the first fragment.
#[inline(never)]
pub(super) fn inbound<F: Family>(frame: &mut [u8], (l3, l4, protocol): (u16, u16, u8), outer: &Outer) {
    let mark = outer.mark::<F>();
    let Some((ip, l4)) = frame[usize::from(l3)..].split_at_mut_checked(usize::from(l4 - l3)) else { return };
    F::mark(ip, mark.dscp);
    F::put(ip, F::DESTINATION, mark.server);
    F::forward(ip, mark.header);
    change_segment(l4, protocol, mark.segment);
}

/// That of SCTP covers no address.
fn change_segment(l4: &mut [u8], protocol: u8, change: Folded) {
    if protocol == SCTP {
        return;
    }
    let is_udp = protocol == UDP;
    let at = if is_udp { udp::CHECKSUM } else { tcp::CHECKSUM };
    if let Some(checksum) = l4.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        if is_udp { change.apply_udp(checksum) } else { change.apply(checksum) }
    }
}

/// Any other packet for the VIP, on its way to the server: a fragment that is not the first of its datagram, an ICMP error
/// about what the server has sent, a check. An error may have been sent to another VIP than the one that it is about.
#[cold]
pub(super) fn readdress<F: Family>(frame: &mut [u8], at: &Headers<F>, outer: &Outer) {
    let mark = outer.mark::<F>();
    let address = F::changed(Change::OF_NOTHING, at.destination, mark.server);
    let end = at.end();
    let ip = &mut frame[usize::from(at.l3)..];
    F::mark(ip, mark.dscp);
    F::put(ip, F::DESTINATION, mark.server);
    F::forward(ip, address.and(F::ONE_OFF_TTL).folded());
    if F::is_later_fragment(at.fragment) {
        return;
    }
    let payload = &mut frame[usize::from(at.l4)..end];
    if Protocol::from_number(at.protocol).is_some() {
        change_segment(payload, at.protocol, address.folded());
    } else if at.protocol == F::ICMP && F::MESSAGES_COVER_ADDRESSES {
        icmp::change_checksum(payload, address);
    }
}
