//! What packets to a server behind a tunnel are wrapped in, and the parts of wrapping that all tunnels have in common.

use crate::{
    conn::tunnel::{Encapsulation, Tunnel},
    family::{Family, Header, V4, V6},
    packet::Packet,
    service::snapshot::TunnelTo,
    wire::{
        checksum::{Change, Folded},
        gre,
        headers::Headers,
        ipv4, ipv6, protocol, put16,
    },
};
use ipnet::IpNet;
use std::net::IpAddr;

/// What packets to one server are wrapped in, or marked with. Most of it is the same for all of them, so it is made once: a header, of IPv4
/// with a right checksum, but without length, class, flags and identification, which come to each packet's copy.
#[derive(Clone, Copy, Debug)]
pub struct Outer {
    /// A header of IPv4 takes the first half.
    pub(super) header: [u8; ipv6::HEADER_LEN],
    /// What is left of a packet's flags: "do not fragment", unless the way carries so little that routers have to.
    pub(super) flags: u16,
    pub(super) shape: Shape,
    /// Bytes of the largest packet inside whose sender is not told that it is too large, as it would not follow.
    least: u16,
    /// How many of the source address's last bits follow from the flow.
    pub(super) host_bits: u8,
    pub(super) tunnel: Tunnel,
}

/// The header, and whether it is all that is put in front of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A header of IPv4, with one source, and nothing else.
    PlainIpv4,
    /// The same of IPv6.
    PlainIpv6,
    /// A header of IPv4, with another behind it or with sources that follow from flows.
    OtherIpv4,
    /// The same of IPv6.
    OtherIpv6,
    /// No header: packets go as they are, but for a [`Mark`].
    Marked,
}

/// What packets to a server under L3DSR get. It is kept where a tunnel has its header.
pub(super) struct Mark<F: Family> {
    /// Their destination.
    pub(super) server: F::Address,
    /// What that, and one off the time to live, do to the checksum of a header of IPv4.
    pub(super) header: Folded,
    /// What it does to that of a segment or datagram.
    pub(super) segment: Folded,
    /// What stands for the VIP.
    pub(super) dscp: u8,
}

const MARK_HEADER: usize = 16;
const MARK_SEGMENT: usize = 18;
const MARK_DSCP: usize = 20;

impl Outer {
    /// For servers that are not behind a tunnel.
    pub const NONE: Outer = Outer {
        header: [0; ipv6::HEADER_LEN],
        flags: 0,
        shape: Shape::PlainIpv4,
        least: 0,
        host_bits: 0,
        tunnel: Tunnel::IPIP,
    };

    /// Nothing, for a packet to a VIP that is sent to the server's own address, with a DSCP that stands for the VIP.
    #[must_use]
    pub fn marked(dscp: u8, server: IpAddr, vip: IpAddr) -> Outer {
        let mut outer = Outer { shape: Shape::Marked, ..Outer::NONE };
        outer.write_mark::<V4>(dscp, server, vip);
        outer.write_mark::<V6>(dscp, server, vip);
        outer
    }

    /// In the place of a header, if both addresses are of that family.
    fn write_mark<F: Family>(&mut self, dscp: u8, server: IpAddr, vip: IpAddr) {
        let (Some(server), Some(vip)) = (F::of(server), F::of(vip)) else { return };
        let address = F::changed(Change::OF_NOTHING, vip, server);
        let header = address.and(F::ONE_OFF_TTL);
        F::put(&mut self.header, 0, server);
        for (at, change) in [(MARK_HEADER, header), (MARK_SEGMENT, address)] {
            self.header[at..at + 2].copy_from_slice(&change.folded().raw().to_ne_bytes());
        }
        self.header[MARK_DSCP] = dscp;
    }

    /// What was written so.
    #[inline(always)]
    pub(super) fn mark<F: Family>(&self) -> Mark<F> {
        let raw = |at: usize| Folded::of_raw(u16::from_ne_bytes([self.header[at], self.header[at + 1]]));
        Mark {
            server: F::get(&self.header, 0),
            header: raw(MARK_HEADER),
            segment: raw(MARK_SEGMENT),
            dscp: self.header[MARK_DSCP],
        }
    }

    /// For packets to a VIP, through a tunnel to the server's address.
    #[must_use]
    pub fn new(to: &TunnelTo, server: IpAddr, vip: IpAddr) -> Outer {
        let inside = match to.tunnel.kind {
            Encapsulation::Ipip if vip.is_ipv4() => V4::INSIDE,
            Encapsulation::Ipip => V6::INSIDE,
            Encapsulation::Gre => gre::PROTOCOL,
            Encapsulation::Gue | Encapsulation::Gue1 => protocol::UDP,
        };
        let spread = to.spread();
        let source = spread.map_or(to.source, |network| network.network());
        let mut header = [0; ipv6::HEADER_LEN];
        let is_ipv6 = server.is_ipv6();
        let is_written = match is_ipv6 {
            false => write::<V4>(&mut header, source, server, inside),
            true => write::<V6>(&mut header, source, server, inside),
        };
        if !is_written {
            return Outer::NONE;
        }
        let is_plain = to.tunnel.kind == Encapsulation::Ipip && spread.is_none();
        Outer {
            header,
            flags: ipv4::DONT_FRAGMENT,
            shape: match (is_plain, is_ipv6) {
                (true, false) => Shape::PlainIpv4,
                (true, true) => Shape::PlainIpv6,
                (false, false) => Shape::OtherIpv4,
                (false, true) => Shape::OtherIpv6,
            },
            least: if vip.is_ipv6() { V6::SMALLEST_PATH_MTU } else { V4::SMALLEST_PATH_MTU },
            host_bits: spread.map_or(0, host_bits),
            tunnel: to.tunnel,
        }
    }

    /// Whether it is a header of IPv6, whose routers do not fragment.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        matches!(self.shape, Shape::PlainIpv6 | Shape::OtherIpv6)
    }

    /// Bytes of the largest packet inside whose sender is not told that it is too large: senders do not make packets smaller
    /// than that, so where they do not fit, what is wrapped around them is fragmented. RFC 2473 7.1. 0 if it is no tunnel.
    #[must_use]
    pub fn least(&self) -> u16 {
        self.least
    }

    #[inline(always)]
    pub(super) fn ipv4(&self) -> [u8; ipv4::HEADER_LEN] {
        self.header.first_chunk().copied().unwrap_or_default()
    }

    /// The same for a packet that is fragmented.
    #[must_use]
    pub fn fragmented(&self) -> Outer {
        Outer { flags: 0, ..*self }
    }

    /// Whether routers may fragment all packets, whatever their senders say.
    pub fn set_fragments(&mut self, all: bool) {
        self.flags = if all { 0 } else { ipv4::DONT_FRAGMENT };
    }
}

/// Bits of an address of the network that its hosts have, as far as flows can choose them.
fn host_bits(network: IpNet) -> u8 {
    (network.max_prefix_len() - network.prefix_len()).min(64)
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

/// Completes a header of IPv4, in which something else may have changed since its checksum was right.
#[inline(always)]
pub(super) fn complete<F: Family>(
    header: &mut [u8; ipv4::HEADER_LEN],
    at: &Headers<F>,
    outer: &Outer,
    (class, len, change): (u8, u16, Folded),
    last_id: &mut u16,
) {
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
    let change = change.word(u16::from(class)).word(len).word(word);
    if let Some(checksum) = header[ipv4::CHECKSUM..].first_chunk_mut() {
        change.apply(checksum);
    }
}

/// Makes room for `len` bytes in front of a packet, for a header of family `O` and what is behind it, and takes one off the
/// packet's time to live: forwarding does, the tunnel itself does not (RFC 2003 3.1). Returns the room, and the packet's own
/// header.
#[inline(always)]
pub(super) fn make_room<'a, F: Family, O: Family>(
    packet: &'a mut impl Packet,
    at: &Headers<F>,
    len: usize,
) -> Option<(&'a mut [u8], &'a mut [u8])> {
    let l2_len = usize::from(at.l3);
    // Ethernet's padding must not end up in the middle of what the server sees.
    packet.set_len(at.end());
    if !packet.prepend(len) {
        return None;
    }
    let head = &mut packet.bytes_mut()[..l2_len + len + F::HEADER_LEN];
    head.copy_within(len..len + l2_len, 0);
    if F::ETHERTYPE != O::ETHERTYPE {
        put16(head, l2_len - 2, O::ETHERTYPE);
    }
    let (room, inner) = head[l2_len..].split_at_mut_checked(len)?;
    F::decrement_ttl(inner);
    Some((room, inner))
}
