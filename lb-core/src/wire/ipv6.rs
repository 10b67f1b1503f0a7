//! The IPv6 header, RFC 8200, with the extension headers behind it.
//!
//! Extension headers are walked within fixed bounds, so that nobody else decides how long a packet is looked at. They are
//! left as they are: what is behind them is rewritten, if anything is.

use super::{
    checksum::{Change, Folded, Sum},
    get16, get32, get128, icmp, icmpv6, ipv4, put16, put32, put128,
};
use crate::{
    cast::{count32, high64, low16, low32, low64, small},
    family::{self, Family, Message, Piece, Problem, V4, V6},
    mix::fold_multiply,
};
use std::net::{IpAddr, Ipv6Addr};

/// Bytes of a header without extension headers.
pub const HEADER_LEN: usize = 40;
/// Where the length of what follows the header is.
pub const PAYLOAD_LEN: usize = 4;
/// Where the protocol is, or the kind of the first extension header.
pub const NEXT_HEADER: usize = 6;
/// Where the hop limit is.
pub const HOP_LIMIT: usize = 7;
/// Where the source address is.
pub const SOURCE: usize = 8;
/// Where the destination address is.
pub const DESTINATION: usize = 24;

/// Protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;
/// Protocol number of IPv6 in a tunnel, RFC 2473.
pub const IPV6: u8 = 41;
/// Bytes that every link carries, RFC 8200 5.
pub const SMALLEST_MTU: u16 = 1_280;

/// Extension header: options for every router.
const HOP_BY_HOP: u8 = 0;
/// Extension header: the way that the packet takes.
const ROUTING: u8 = 43;
/// Extension header: the packet is a fragment.
pub(crate) const FRAGMENT: u8 = 44;
/// Bytes of that header, RFC 8200 4.5.
pub(crate) const FRAGMENT_LEN: usize = 8;
/// Extension header: options for the destination.
const DESTINATION_OPTIONS: u8 = 60;
/// Most extension headers that are walked.
const MAX_EXTENSIONS: usize = 8;
/// Bytes of extension headers that are walked, at most.
const MAX_EXTENSIONS_LEN: usize = 256;

/// Of a fragment header's third word: where the fragment belongs, and whether more follow.
const OFFSET_AND_MORE: u16 = 0xfff9;
/// The same without the flag.
const OFFSET: u16 = 0xfff8;

/// The fields of an IPv6 header that decisions rest on.
pub type Header = family::Header<V6>;

/// Beside the offset and the flag that more follow: the packet was IPv4's, and its sender lets routers fragment it.
const MAY_FRAGMENT: u16 = 2;
/// In a header's second byte, the highest bit of the flow label: the same, of packets on their way through the director.
const MARK: u8 = 8;

/// Notes on a packet from an address of IPv4 that its sender lets routers fragment it.
pub fn mark_fragmentable(header: &mut [u8]) {
    header[1] |= MARK;
}

/// The note goes: the packet leaves as one of IPv6. Nothing else is in the flow label of what was IPv4's.
pub fn unmark_fragmentable(header: &mut [u8]) {
    if let Some(second) = header.get_mut(1) {
        *second &= !MARK;
    }
}

/// What the note says of a header. Only what the director has translated has such a source.
#[inline(always)]
#[must_use]
pub fn noted(second: u8, source: u128) -> u16 {
    if second & MARK != 0 && V6::is_embedded(source) { MAY_FRAGMENT } else { 0 }
}

/// Whether a packet has a sound header but for its extension headers.
#[must_use]
pub fn is_sound_but_for_extensions(packet: &[u8]) -> bool {
    packet.first_chunk::<HEADER_LEN>().is_some_and(|header| {
        header[0] >> 4 == 6 && HEADER_LEN + usize::from(get16(header, PAYLOAD_LEN)) <= packet.len()
    })
}

/// What is behind a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Payload {
    protocol: u8,
    /// Where the protocol is named.
    named_at: usize,
    /// Where it starts.
    at: usize,
    /// Of a fragment: where it belongs and whether more follow; else 0, as of one that is all of its packet (RFC 6946).
    fragment: u16,
    /// Where a fragment's part of its datagram starts: behind the header that says so. 0 without one.
    piece_at: usize,
}

/// Walks the extension headers of a packet whose end may be missing. `None` if they are cut off, are more than the bounds
/// allow, stand where they must not, or want the packet to go on to another router: it does not end here then.
fn payload(packet: &[u8], first: u8) -> Option<Payload> {
    let (mut protocol, mut named_at, mut at) = (first, NEXT_HEADER, HEADER_LEN);
    let (mut fragment, mut piece_at) = (0, 0);
    for number in 0..=MAX_EXTENSIONS {
        if !matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS) {
            return Some(Payload { protocol, named_at, at, fragment, piece_at });
        }
        let header = packet.get(at..)?.first_chunk::<8>()?;
        let len = match protocol {
            // Of two that contradict each other, which would count?
            FRAGMENT if piece_at > 0 => return None,
            FRAGMENT => {
                fragment = get16(header, 2) & OFFSET_AND_MORE;
                piece_at = at + FRAGMENT_LEN;
                FRAGMENT_LEN
            }
            HOP_BY_HOP if number > 0 => return None,
            ROUTING if header[3] > 0 => return None,
            _ => 8 + 8 * usize::from(header[1]),
        };
        (protocol, named_at, at) = (header[0], at, at + len);
        if at > packet.len() || at > HEADER_LEN + MAX_EXTENSIONS_LEN {
            return None;
        }
        // What follows is the middle of something.
        if fragment & OFFSET != 0 {
            return Some(Payload { protocol, named_at, at, fragment, piece_at });
        }
    }
    None
}

/// Where a packet names its protocol: in the last of its extension headers, if it has any.
fn protocol_at(packet: &[u8]) -> u32 {
    let walked = packet.get(NEXT_HEADER).and_then(|&first| payload(packet, first));
    count32(walked.map_or(NEXT_HEADER, |it| it.named_at))
}

/// Whether a host may send from this address: neither multicast, loopback or "nobody" (RFC 4291 2.5.2, 2.5.3, 2.7), nor one
/// of IPv4 written as one of IPv6, which is for programs and not for packets.
#[inline]
#[must_use]
pub const fn is_host(address: u128) -> bool {
    let address = Ipv6Addr::from_bits(address);
    !address.is_multicast()
        && !address.is_loopback()
        && !address.is_unspecified()
        && address.to_ipv4_mapped().is_none()
}

/// Whether an Ethernet address is that of all nodes, or of those that may have some address: RFC 2464 7, RFC 4291 2.7.1.
#[must_use]
pub const fn is_neighbours_group(mac: [u8; 6]) -> bool {
    matches!(mac, [0x33, 0x33, 0xff, ..] | [0x33, 0x33, 0, 0, 0, 1])
}

impl Family for V6 {
    type Address = u128;
    type Pair = [u64; 4];
    type Aside = [u8; 20];

    const ETHERTYPE: u16 = super::ethernet::IPV6;
    const HEADER_LEN: usize = HEADER_LEN;
    const LENGTH: usize = PAYLOAD_LEN;
    const SOURCE: usize = SOURCE;
    const DESTINATION: usize = DESTINATION;
    const ICMP: u8 = ICMPV6;
    const INSIDE: u8 = IPV6;
    const SMALLEST_PATH_MTU: u16 = SMALLEST_MTU;
    const FRAGMENTS_SHARE_PROTOCOL: bool = false;
    const DATAGRAMS_NEED_CHECKSUM: bool = true;
    const MAX_ERROR_LEN: usize = icmpv6::MAX_ERROR_LEN;
    const ECHO_REQUEST: u8 = icmpv6::ECHO_REQUEST;
    const ECHO_REPLY: u8 = icmpv6::ECHO_REPLY;
    const ONE_OFF_TTL: Change = Change::OF_NOTHING;

    #[inline(always)]
    fn pair(source: u128, destination: u128) -> [u64; 4] {
        [high64(source), low64(source), high64(destination), low64(destination)]
    }

    #[inline(always)]
    fn ends([a, b, c, d]: [u64; 4]) -> (u128, u128) {
        (u128::from(a) << 64 | u128::from(b), u128::from(c) << 64 | u128::from(d))
    }

    #[inline(always)]
    fn difference(a: [u64; 4], b: [u64; 4]) -> u64 {
        (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])
    }

    /// Who knows neither the secret nor what follows from it can make no factor 0.
    #[inline(always)]
    fn mix([a, b, c, d]: [u64; 4], secret: u64) -> u64 {
        let other = secret.rotate_left(32) ^ PI;
        fold_multiply(a ^ secret, b ^ other)
            ^ fold_multiply(c ^ other, d ^ secret.rotate_left(16)).rotate_left(24)
    }

    fn words(address: u128) -> u16 {
        if let Some(original) = original(address) {
            // Ports that deliver its packets see no other.
            return V4::words(original);
        }
        let folded = high64(address) ^ low64(address);
        let folded = folded ^ folded >> 32;
        low16(low32(folded ^ folded >> 16))
    }

    fn ip(address: u128) -> IpAddr {
        match original(address) {
            Some(original) => V4::ip(original),
            None => Ipv6Addr::from_bits(address).into(),
        }
    }

    fn embed(ip: IpAddr) -> Option<u128> {
        Some(match ip {
            IpAddr::V4(address) => EMBEDDED | u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        })
    }

    #[inline(always)]
    fn is_embedded(address: u128) -> bool {
        address >> 32 == EMBEDDED >> 32
    }

    fn of(ip: IpAddr) -> Option<u128> {
        match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address.to_bits()),
        }
    }

    #[inline]
    fn is_host(address: u128) -> bool {
        is_host(address)
    }

    #[inline]
    fn leaves_link(address: u128) -> bool {
        !Ipv6Addr::from_bits(address).is_unicast_link_local()
    }

    #[inline(always)]
    fn get(bytes: &[u8], at: usize) -> u128 {
        get128(bytes, at)
    }

    #[inline(always)]
    fn put(bytes: &mut [u8], at: usize, address: u128) {
        put128(bytes, at, address);
    }

    #[inline(always)]
    fn changed(change: Change, old: u128, new: u128) -> Change {
        longs(old).into_iter().zip(longs(new)).fold(change, |change, (old, new)| change.long(old, new))
    }

    #[inline]
    fn pseudo(source: u128, destination: u128, protocol: u8, l4_len: u16) -> Sum {
        let addresses = longs(source).into_iter().chain(longs(destination));
        addresses.fold(Sum::default(), Sum::long).word(u16::from(protocol)).word(l4_len)
    }

    #[inline]
    fn header_is_right(_header: &[u8]) -> bool {
        true
    }

    #[inline]
    fn read_cut(bytes: &[u8]) -> Option<Header> {
        let b = bytes.first_chunk::<HEADER_LEN>()?;
        if b[0] >> 4 != 6 {
            return None;
        }
        let total_len = HEADER_LEN + usize::from(get16(b, PAYLOAD_LEN));
        let packet = &bytes[..total_len.min(bytes.len())];
        let Payload { protocol, at, fragment, .. } = payload(packet, b[NEXT_HEADER])?;
        Some(Header {
            header_len: at,
            total_len,
            fragment: fragment | noted(b[1], get128(b, SOURCE)),
            ttl: b[HOP_LIMIT],
            protocol,
            source: get128(b, SOURCE),
            destination: get128(b, DESTINATION),
        })
    }

    fn write(bytes: &mut [u8], header: &Header) {
        put32(bytes, 0, 6 << 28);
        put16(bytes, PAYLOAD_LEN, small(header.total_len.saturating_sub(HEADER_LEN)));
        (bytes[NEXT_HEADER], bytes[HOP_LIMIT]) = (header.protocol, header.ttl);
        put128(bytes, SOURCE, header.source);
        put128(bytes, DESTINATION, header.destination);
    }

    #[inline(always)]
    fn forward(header: &mut [u8], _change: Folded) {
        if let Some(hop_limit) = header.get_mut(HOP_LIMIT) {
            *hop_limit = hop_limit.wrapping_sub(1);
        }
    }

    #[inline(always)]
    fn forward_readdressed(header: &mut [u8], change: Folded) {
        Self::forward(header, change);
    }

    fn update(_header: &mut [u8], _change: Change) -> (u16, u16) {
        (0, 0)
    }

    fn identify(_header: &mut [u8], _id: u16) {}

    fn turn(header: &mut [u8], source: u128, destination: u128) {
        put128(header, SOURCE, source);
        put128(header, DESTINATION, destination);
        header[HOP_LIMIT] = ipv4::DEFAULT_TTL;
    }

    #[inline]
    fn is_asked_at(group: [u8; 6]) -> bool {
        is_neighbours_group(group)
    }

    #[inline]
    fn is_about_neighbours(header: &Header, payload: &[u8]) -> bool {
        // Not behind an extension header, RFC 6980.
        header.protocol == ICMPV6
            && header.header_len == HEADER_LEN
            && matches!(payload, [icmpv6::NEIGHBOUR_SOLICITATION | icmpv6::NEIGHBOUR_ADVERTISEMENT, ..])
    }

    #[inline(always)]
    fn class(header: &[u8]) -> u8 {
        header[0] << 4 | header[1] >> 4
    }

    #[inline(always)]
    fn mark(header: &mut [u8], dscp: u8) {
        let Some([first, second, ..]) = header.first_chunk_mut::<2>() else { return };
        let class = dscp << 2 | (*second >> 4 & ipv4::CONGESTION);
        (*first, *second) = (6 << 4 | class >> 4, class << 4 | *second & 0xf);
    }

    /// No router fragments but what was IPv4's.
    #[inline(always)]
    fn dont_fragment(fragment: u16) -> bool {
        fragment & MAY_FRAGMENT == 0
    }

    #[inline(always)]
    fn has_flags(_fragment: u16, flags: u16) -> bool {
        flags != 0
    }

    #[inline(always)]
    fn is_fragment(fragment: u16) -> bool {
        fragment & OFFSET_AND_MORE != 0
    }

    fn is_later_fragment(fragment: u16) -> bool {
        fragment & OFFSET != 0
    }

    fn piece(packet: &[u8]) -> Option<Piece> {
        let Payload { fragment, piece_at, .. } = payload(packet, *packet.get(NEXT_HEADER)?)?;
        let start = u32::from(fragment & OFFSET);
        (fragment != 0).then(|| Piece {
            id: get32(packet, piece_at - 4),
            start,
            end: start + count32(packet.len() - piece_at),
            more: fragment & !OFFSET != 0,
            most: u32::from(u16::MAX) - count32(piece_at - FRAGMENT_LEN - HEADER_LEN),
        })
    }

    fn message(kind: u8) -> Message {
        icmpv6::message(kind)
    }

    fn too_big(message: &[u8]) -> Option<u16> {
        // Less than every link carries is no report: RFC 8201 4.
        icmpv6::too_big(message).filter(|mtu| *mtu >= SMALLEST_MTU)
    }

    fn problem(problem: Problem, packet: &[u8]) -> (u8, u8, u32) {
        icmpv6::problem(problem, protocol_at(packet))
    }

    const MESSAGES_COVER_ADDRESSES: bool = true;

    fn message_sum(source: u128, destination: u128, len: u16) -> Sum {
        Self::pseudo(source, destination, ICMPV6, len)
    }
}

const _: () = assert!(icmp::HEADER_LEN == 8, "ICMPv6 has a header of the same length, RFC 4443 2.1");

/// What an address of IPv4 is embedded in.
const EMBEDDED: u128 = 0xffff << 48;

/// The address of IPv4 that is embedded in one.
#[inline]
fn original(address: u128) -> Option<u32> {
    V6::is_embedded(address).then_some(low32(low64(address)))
}

/// Digits of pi: no structure.
const PI: u64 = 0x243f_6a88_85a3_08d3;

/// The four 32-bit words of an address.
#[inline(always)]
fn longs(address: u128) -> [u32; 4] {
    let bytes = address.to_be_bytes();
    let (longs, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|at| u32::from_be_bytes(longs[at]))
}

#[cfg(test)]
mod tests;
