//! Tunnelling: the packet goes to the server inside another one, of the family of the server's address: RFC 2003 for IPv4
//! in IPv4, RFC 4213 for IPv6 in IPv4, RFC 2473 for both in IPv6. The server takes it out, has the VIP on its tunnel
//! interface, and answers the client itself.

use crate::{
    cast::small,
    counters::DropReason,
    family::{Family, Header, V4, V6},
    packet::Packet,
    wire::{checksum::Folded, headers::Headers, ipv4, ipv6, put16},
};
use std::net::IpAddr;

/// What packets to one server are wrapped in. Most of it is the same for all of them, so it is made once: a header, of IPv4
/// with a right checksum, but without length, class, flags and identification, which come to each packet's copy.
#[derive(Clone, Copy, Debug)]
pub struct Outer {
    /// What is left of a packet's flags: "do not fragment", unless the way carries so little that routers have to.
    flags: u16,
    is_ipv6: bool,
    carries_ipv6: bool,
    /// A header of IPv4 takes the first half.
    header: [u8; ipv6::HEADER_LEN],
}

impl Outer {
    /// For servers that are not behind a tunnel.
    pub const NONE: Outer =
        Outer { flags: 0, is_ipv6: false, carries_ipv6: false, header: [0; ipv6::HEADER_LEN] };

    /// From the director's address to the server's, for packets to a VIP.
    #[must_use]
    pub fn new(source: IpAddr, server: IpAddr, vip: IpAddr) -> Outer {
        let inside = if vip.is_ipv4() { V4::INSIDE } else { V6::INSIDE };
        let mut header = [0; ipv6::HEADER_LEN];
        let is_ipv6 = server.is_ipv6();
        let is_written = match is_ipv6 {
            false => write::<V4>(&mut header, source, server, inside),
            true => write::<V6>(&mut header, source, server, inside),
        };
        match is_written {
            true => Outer { flags: ipv4::DONT_FRAGMENT, is_ipv6, carries_ipv6: vip.is_ipv6(), header },
            false => Outer::NONE,
        }
    }

    /// Whether it is a header of IPv6, whose routers do not fragment.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.is_ipv6
    }

    /// Bytes that it must carry without its end being told that a packet is too large: nobody makes packets of IPv6 smaller.
    #[must_use]
    pub fn least_limit(&self) -> u16 {
        if self.carries_ipv6 { V6::SMALLEST_PATH_MTU } else { 0 }
    }

    #[inline(always)]
    fn ipv4(&self) -> [u8; ipv4::HEADER_LEN] {
        self.header.first_chunk().copied().unwrap_or_default()
    }

    /// Whether routers may fragment all packets, whatever their senders say.
    pub fn set_fragments(&mut self, all: bool) {
        self.flags = if all { 0 } else { ipv4::DONT_FRAGMENT };
    }
}

/// A header between two addresses of a family. `false` if they are not of it.
fn write<F: Family>(bytes: &mut [u8], source: IpAddr, server: IpAddr, protocol: u8) -> bool {
    let (Some(source), Some(destination)) = (F::of(source), F::of(server)) else { return false };
    let header = Header {
        header_len: F::HEADER_LEN,
        total_len: 0,
        fragment: 0,
        ttl: ipv4::DEFAULT_TTL,
        protocol,
        source,
        destination,
    };
    F::write(bytes, &header);
    true
}

/// The client's packet, on its way to the server. `last_id` identified the last outer packet that may be fragmented.
#[inline(always)]
pub fn inbound<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    outer: &Outer,
    last_id: &mut u16,
) -> Result<(), DropReason> {
    if outer.is_ipv6 { in_ipv6(packet, at, outer) } else { in_ipv4(packet, at, outer, last_id) }
}

#[inline(always)]
fn in_ipv4<F: Family>(
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

#[inline(never)]
fn in_ipv6<F: Family>(packet: &mut impl Packet, at: &Headers<F>, outer: &Outer) -> Result<(), DropReason> {
    const LEN: usize = ipv6::HEADER_LEN;
    let (header, inner) = wrap::<LEN, F, V6>(packet, at).ok_or(DropReason::NoHeadroom)?;
    let class = F::class(inner);
    *header = outer.header;
    put16(header, 0, 6 << 12 | u16::from(class) << 4);
    put16(header, ipv6::PAYLOAD_LEN, at.ip_len);
    Ok(())
}

/// Makes room for a header of family `O` in front of a packet, and takes one off the packet's time to live: forwarding does,
/// the tunnel itself does not (RFC 2003 3.1). Returns where the header is to be written, and the packet's own.
#[inline(always)]
fn wrap<'a, const LEN: usize, F: Family, O: Family>(
    packet: &'a mut impl Packet,
    at: &Headers<F>,
) -> Option<(&'a mut [u8; LEN], &'a mut [u8])> {
    let l2_len = usize::from(at.l3);
    // Ethernet's padding must not end up in the middle of what the server sees.
    packet.set_len(at.end());
    if !packet.prepend(LEN) {
        return None;
    }
    let head = &mut packet.bytes_mut()[..l2_len + LEN + F::HEADER_LEN];
    head.copy_within(LEN..LEN + l2_len, 0);
    if F::ETHERTYPE != O::ETHERTYPE {
        put16(head, l2_len - 2, O::ETHERTYPE);
    }
    let (header, inner) = head[l2_len..].split_first_chunk_mut::<LEN>()?;
    F::decrement_ttl(inner);
    Some((header, inner))
}
