//! Tunnelling: the packet goes to the server inside another IPv4 packet, RFC 2003. The server takes it out, has the
//! VIP on its tunnel interface, and answers the client itself.

use crate::{
    packet::Packet,
    wire::{
        headers::Headers,
        ipv4::{self, Header},
    },
};

/// Bytes that the tunnel adds.
pub const OVERHEAD: usize = ipv4::HEADER_LEN;

/// The packet has no room in front for another header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHeadroom;

/// The client's packet, on its way to the server. `id` identifies the outer packet if it may be fragmented.
#[inline(always)]
pub fn inbound(
    packet: &mut impl Packet,
    at: &Headers,
    source: u32,
    server: u32,
    id: u16,
) -> Result<(), NoHeadroom> {
    let l2_len = usize::from(at.l3);
    // Ethernet's padding must not end up in the middle of what the server sees.
    packet.set_len(at.end());
    if !packet.prepend(OVERHEAD) {
        return Err(NoHeadroom);
    }
    let frame = packet.bytes_mut();
    frame.copy_within(OVERHEAD..OVERHEAD + l2_len, 0);
    let (outer, inner) = frame[l2_len..].split_at_mut(OVERHEAD);

    // Forwarding takes one off the inner time to live, the tunnel itself nothing: RFC 2003 3.1.
    ipv4::decrement_ttl(inner);
    let header = Header {
        header_len: OVERHEAD,
        total_len: usize::from(at.ip_len) + OVERHEAD,
        // "Do not fragment" is copied, so that the path MTU of the tunnel can be found.
        fragment: at.fragment & ipv4::DONT_FRAGMENT,
        ttl: ipv4::DEFAULT_TTL,
        protocol: ipv4::IPIP,
        source,
        destination: server,
    };
    // An identification is for fragments only, RFC 6864 4.1. The outer packet gets the inner one's service class and
    // congestion marks, RFC 2983 and RFC 6040.
    ipv4::write_with_class(outer, &header, inner[1], if at.dont_fragment() { 0 } else { id });
    Ok(())
}
