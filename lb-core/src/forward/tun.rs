//! Tunnelling: the packet goes to the server inside another one, of the family of the server's address. Directly: RFC 2003
//! for IPv4 in IPv4, RFC 4213 for IPv6 in IPv4, RFC 2473 for both in IPv6; or with a header of GRE or UDP between the two,
//! which is in [`shim`]. The server takes it out, has the VIP on its tunnel interface, and answers the client itself.

use super::{
    outer::{Outer, Shape, complete, make_room},
    shim::{self, Spread},
};
use crate::{
    cast::small,
    counters::DropReason,
    family::{Family, Header, V4, V6},
    packet::Packet,
    wire::{checksum::Folded, headers::Headers, ipv4, ipv6, put16},
};

/// The client's packet, on its way to the server, that is a fragment of a flow that comes from there: it may have no ports to
/// tell by.
#[cold]
pub fn fragment<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    (outer, spread): (&Outer, Spread),
    last_id: &mut u16,
) -> Result<(), DropReason> {
    match outer.shape {
        Shape::PlainIpv4 => in_ipv4(packet, at, outer, last_id),
        Shape::PlainIpv6 => in_ipv6::<F>(packet, (at.l3, at.ip_len), outer),
        // Its packets are in no tunnel.
        Shape::Marked => Ok(()),
        Shape::OtherIpv4 | Shape::OtherIpv6 => in_another::<F>(packet, at.l3, (outer, Some(spread)), last_id),
    }
}

/// With something behind the outer header, or from a source that follows from the flow.
#[inline(never)]
pub(super) fn in_another<F: Family>(
    packet: &mut impl Packet,
    l3: u16,
    (outer, spread): (&Outer, Option<Spread>),
    last_id: &mut u16,
) -> Result<(), DropReason> {
    // It has been read before, so it can be.
    let l3 = usize::from(l3);
    let header = packet.bytes().get(l3..).and_then(Header::<F>::read).ok_or(DropReason::NoHeadroom)?;
    let at = Headers::new(l3, &header);
    if outer.is_ipv6() {
        shim::in_ipv6(packet, &at, (outer, spread))
    } else {
        shim::in_ipv4(packet, &at, (outer, spread), last_id)
    }
}

/// With a header of IPv4 and nothing else. `last_id` identified the last outer packet that may be fragmented.
#[inline(always)]
pub(super) fn in_ipv4<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    outer: &Outer,
    last_id: &mut u16,
) -> Result<(), DropReason> {
    const LEN: usize = ipv4::HEADER_LEN;
    let (header, inner) = wrap::<LEN, F, V4>(packet, at).ok_or(DropReason::NoHeadroom)?;
    // The outer packet gets the inner one's service class and congestion marks, RFC 2983 and RFC 6040.
    let (class, len) = (F::class(inner), at.ip_len + small(LEN));
    *header = outer.ipv4();
    complete(header, at, outer, (class, len, Folded::OF_NOTHING), last_id);
    Ok(())
}

/// The same of IPv6.
#[inline(never)]
pub(super) fn in_ipv6<F: Family>(
    packet: &mut impl Packet,
    (l3, ip_len): (u16, u16),
    outer: &Outer,
) -> Result<(), DropReason> {
    const LEN: usize = ipv6::HEADER_LEN;
    let at = &Headers { l3, ip_len, ..Headers::<F>::default() };
    let (header, inner) = wrap::<LEN, F, V6>(packet, at).ok_or(DropReason::NoHeadroom)?;
    let class = F::class(inner);
    *header = outer.header;
    put16(header, 0, 6 << 12 | u16::from(class) << 4);
    put16(header, ipv6::PAYLOAD_LEN, at.ip_len);
    Ok(())
}

/// Makes room for a header of family `O` in front of a packet. Returns where the header is to be written, and the packet's
/// own.
#[inline(always)]
fn wrap<'a, const LEN: usize, F: Family, O: Family>(
    packet: &'a mut impl Packet,
    at: &Headers<F>,
) -> Option<(&'a mut [u8; LEN], &'a mut [u8])> {
    let (room, inner) = make_room::<F, O>(packet, at, LEN)?;
    Some((room.first_chunk_mut()?, inner))
}
