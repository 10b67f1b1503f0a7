//! Tunnelling: the packet goes to the server inside another IPv4 packet, RFC 2003. The server takes it out, has the
//! VIP on its tunnel interface, and answers the client itself.

use crate::{
    cast::small,
    counters::DropReason,
    family::{Family, V4},
    packet::Packet,
    wire::{
        checksum::Folded,
        headers::Headers,
        ipv4::{self, Header},
        put16,
    },
};
use std::net::IpAddr;

/// Bytes that the tunnel adds.
pub const OVERHEAD: usize = ipv4::HEADER_LEN;

/// What packets to one server are wrapped in. Most of it is the same for all of them, so it is made once: a header with
/// a right checksum, but without length, class, flags and identification, which come to each packet's copy.
#[derive(Clone, Copy, Debug)]
pub struct Outer {
    header: [u8; OVERHEAD],
    /// What is left of a packet's flags: "do not fragment", unless the way carries so little that routers have to.
    flags: u16,
}

impl Outer {
    /// For servers that are not behind a tunnel.
    pub const NONE: Outer = Outer { header: [0; OVERHEAD], flags: 0 };

    /// From the director's address to the server's.
    #[must_use]
    pub fn new(source: IpAddr, server: IpAddr) -> Outer {
        // Tunnels of IPv6 are not configured yet.
        let (Some(source), Some(server)) = (V4::of(source), V4::of(server)) else { return Outer::NONE };
        let header = Header {
            header_len: OVERHEAD,
            total_len: 0,
            fragment: 0,
            ttl: ipv4::DEFAULT_TTL,
            protocol: ipv4::IPIP,
            source,
            destination: server,
        };
        let mut bytes = [0; OVERHEAD];
        ipv4::write(&mut bytes, &header, 0);
        Outer { header: bytes, flags: ipv4::DONT_FRAGMENT }
    }

    /// Whether routers may fragment all packets, whatever their senders say.
    pub fn set_fragments(&mut self, all: bool) {
        self.flags = if all { 0 } else { ipv4::DONT_FRAGMENT };
    }
}

/// The client's packet, on its way to the server. `last_id` identified the last outer packet that may be fragmented.
#[inline(always)]
pub fn inbound<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    outer: &Outer,
    last_id: &mut u16,
) -> Result<(), DropReason> {
    let l2_len = usize::from(at.l3);
    // Ethernet's padding must not end up in the middle of what the server sees.
    packet.set_len(at.end());
    if !packet.prepend(OVERHEAD) {
        return Err(DropReason::NoHeadroom);
    }
    let head = &mut packet.bytes_mut()[..l2_len + OVERHEAD + F::HEADER_LEN];
    head.copy_within(OVERHEAD..OVERHEAD + l2_len, 0);
    let Some((header, inner)) = head[l2_len..].split_first_chunk_mut::<OVERHEAD>() else {
        unreachable!("it was prepended")
    };

    // Forwarding takes one off the inner time to live, the tunnel itself nothing: RFC 2003 3.1.
    F::decrement_ttl(inner);
    // The outer packet gets the inner one's service class and congestion marks, RFC 2983 and RFC 6040.
    let (class, len) = (F::class(inner), at.ip_len + small(OVERHEAD));
    *header = outer.header;
    header[ipv4::CLASS] = class;
    put16(header, ipv4::TOTAL_LEN, len);
    // "Do not fragment" is copied, so that the path MTU of the tunnel can be found. An identification is for fragments
    // only, RFC 6864 4.1.
    let word = if F::has_flags(at.fragment, outer.flags) {
        put16(header, ipv4::FRAGMENT, ipv4::DONT_FRAGMENT);
        ipv4::DONT_FRAGMENT
    } else {
        *last_id = last_id.wrapping_add(1);
        put16(header, ipv4::ID, *last_id);
        *last_id
    };
    let change = Folded::OF_NOTHING.word(u16::from(class)).word(len).word(word);
    if let Some(checksum) = header[ipv4::CHECKSUM..].first_chunk_mut() {
        change.apply(checksum);
    }
    Ok(())
}
