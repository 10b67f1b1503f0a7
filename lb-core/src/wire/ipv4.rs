//! The IPv4 header, RFC 791.

use super::{
    checksum::{Change, Folded, Sum},
    get16, get32, icmp, put16, put32,
};
use crate::{
    cast::{count32, high16, high32, low16, low32, small},
    family::{self, Family, Message, Piece, Problem, V4},
};
use std::net::{IpAddr, Ipv4Addr};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Where the traffic class is: differentiated services and congestion marks.
pub const CLASS: usize = 1;
/// The congestion marks of a traffic class, RFC 3168 5; the rest is the DSCP, RFC 2474 3.
pub const CONGESTION: u8 = 3;
/// Where the total length is.
pub const TOTAL_LEN: usize = 2;
/// Where identification is.
pub const ID: usize = 4;
/// Where flags and fragment offset are.
pub const FRAGMENT: usize = 6;
/// Where the time to live is; the protocol follows it.
pub const TTL: usize = 8;
/// Where the protocol is.
pub const PROTOCOL: usize = 9;
/// Where the header checksum is.
pub const CHECKSUM: usize = 10;
/// Where the source address is.
pub const SOURCE: usize = 12;
/// Where the destination address is.
pub const DESTINATION: usize = 16;

/// Flag "do not fragment", in the word at [`FRAGMENT`].
pub const DONT_FRAGMENT: u16 = 0x4000;
/// Flag "more fragments".
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// Flag "more fragments" and the fragment offset: not zero in a fragment.
pub const IS_FRAGMENT: u16 = 0x3fff;
/// The fragment offset.
pub const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of IPv4 in IPv4, RFC 2003.
pub const IPIP: u8 = 4;

/// Time to live of packets that the director makes, RFC 1700.
pub const DEFAULT_TTL: u8 = 64;

/// The fields of an IPv4 header that decisions rest on.
pub type Header = family::Header<V4>;

/// Whether the checksum of a header is right. The slice is exactly the header.
#[inline]
#[must_use]
pub fn checksum_is_right(header: &[u8]) -> bool {
    Sum::default().bytes(header).fold() == 0xffff
}

/// Writes a header without options and with a right checksum to the first [`HEADER_LEN`] bytes. `fragment` holds
/// flags and offset.
pub fn write(bytes: &mut [u8], header: &Header, id: u16) {
    let Some(bytes) = bytes.first_chunk_mut::<HEADER_LEN>() else { unreachable!("the caller has made room") };
    put16(bytes, 0, 0x4500);
    put16(bytes, TOTAL_LEN, small(header.total_len));
    put16(bytes, ID, id);
    put16(bytes, FRAGMENT, header.fragment);
    put16(bytes, TTL, u16::from_be_bytes([header.ttl, header.protocol]));
    put32(bytes, SOURCE, header.source);
    put32(bytes, DESTINATION, header.destination);
    set_checksum(bytes);
}

/// Makes the checksum of a header anew. The slice is exactly the header.
#[inline(always)]
pub fn set_checksum(header: &mut [u8]) {
    put16(header, CHECKSUM, 0);
    let checksum = Sum::default().bytes(header).finish();
    put16(header, CHECKSUM, checksum);
}

/// What one off the time to live does to the checksum: the word it is the upper half of becomes smaller by 256.
pub const ONE_OFF_TTL: Change = Change::OF_NOTHING.word(0x0100, 0);

/// Takes one off the time to live; `change` is what this and other changes do to the checksum.
#[inline(always)]
pub fn change_with_ttl(header: &mut [u8], change: Folded) {
    let Some(header) = header.first_chunk_mut::<HEADER_LEN>() else { return };
    header[TTL] = header[TTL].wrapping_sub(1);
    if let Some(checksum) = header[CHECKSUM..].first_chunk_mut() {
        change.apply(checksum);
    }
}

/// Whether a host may send from this address: not multicast, reserved, loopback or "this network".
/// RFC 1122 3.2.1.3.
#[inline]
#[must_use]
pub const fn is_host(address: u32) -> bool {
    let first = address >> 24;
    first.wrapping_sub(1) < 223 && first != 127
}

impl Family for V4 {
    type Address = u32;
    type Pair = u64;
    type Aside = [u8; 8];

    const ETHERTYPE: u16 = super::ethernet::IPV4;
    const HEADER_LEN: usize = HEADER_LEN;
    const LENGTH: usize = TOTAL_LEN;
    const SOURCE: usize = SOURCE;
    const DESTINATION: usize = DESTINATION;
    const ICMP: u8 = ICMP;
    const INSIDE: u8 = IPIP;
    const SMALLEST_PATH_MTU: u16 = 576;
    const FRAGMENTS_SHARE_PROTOCOL: bool = true;
    const DATAGRAMS_NEED_CHECKSUM: bool = false;
    const MAX_ERROR_LEN: usize = icmp::MAX_ERROR_LEN;
    const ECHO_REQUEST: u8 = icmp::ECHO_REQUEST;
    const ECHO_REPLY: u8 = icmp::ECHO_REPLY;
    const ONE_OFF_TTL: Change = ONE_OFF_TTL;

    #[inline(always)]
    fn pair(source: u32, destination: u32) -> u64 {
        u64::from(source) << 32 | u64::from(destination)
    }

    #[inline(always)]
    fn ends(pair: u64) -> (u32, u32) {
        (high32(pair), low32(pair))
    }

    #[inline(always)]
    fn difference(a: u64, b: u64) -> u64 {
        a ^ b
    }

    #[inline(always)]
    fn mix(pair: u64, secret: u64) -> u64 {
        pair ^ secret
    }

    fn words(address: u32) -> u16 {
        high16(address) ^ low16(address)
    }

    fn ip(address: u32) -> IpAddr {
        Ipv4Addr::from_bits(address).into()
    }

    fn embed(ip: IpAddr) -> Option<u32> {
        Self::of(ip)
    }

    #[inline(always)]
    fn is_embedded(_address: u32) -> bool {
        false
    }

    fn of(ip: IpAddr) -> Option<u32> {
        match ip {
            IpAddr::V4(address) => Some(address.to_bits()),
            IpAddr::V6(_) => None,
        }
    }

    #[inline]
    fn is_host(address: u32) -> bool {
        is_host(address)
    }

    #[inline]
    fn leaves_link(_address: u32) -> bool {
        // RFC 3927 7 leaves it to routers whether they are so strict; those of this director's networks have been.
        true
    }

    #[inline(always)]
    fn get(bytes: &[u8], at: usize) -> u32 {
        get32(bytes, at)
    }

    #[inline(always)]
    fn put(bytes: &mut [u8], at: usize, address: u32) {
        put32(bytes, at, address);
    }

    #[inline(always)]
    fn changed(change: Change, old: u32, new: u32) -> Change {
        change.long(old, new)
    }

    #[inline]
    fn pseudo(source: u32, destination: u32, protocol: u8, l4_len: u16) -> Sum {
        Sum::default().long(source).long(destination).word(u16::from(protocol)).word(l4_len)
    }

    #[inline]
    fn header_is_right(header: &[u8]) -> bool {
        checksum_is_right(header)
    }

    #[inline]
    fn read_cut(bytes: &[u8]) -> Option<Header> {
        let b = bytes.first_chunk::<HEADER_LEN>()?;
        let header_len = usize::from(b[0] & 0x0f) * 4;
        let total_len = usize::from(get16(b, TOTAL_LEN));
        if b[0] >> 4 != 4 || header_len < HEADER_LEN || total_len < header_len || bytes.len() < header_len {
            return None;
        }
        Some(Header {
            header_len,
            total_len,
            fragment: get16(b, FRAGMENT),
            ttl: b[TTL],
            protocol: b[PROTOCOL],
            source: get32(b, SOURCE),
            destination: get32(b, DESTINATION),
        })
    }

    fn write(bytes: &mut [u8], header: &Header) {
        write(bytes, header, 0);
    }

    #[inline(always)]
    fn forward(header: &mut [u8], change: Folded) {
        change_with_ttl(header, change);
    }

    #[inline(always)]
    fn forward_readdressed(header: &mut [u8], change: Folded) {
        // Each by itself, which is fewer instructions than both in one.
        if let Some(checksum) = header.get_mut(CHECKSUM..).and_then(|rest| rest.first_chunk_mut()) {
            change.apply(checksum);
        }
        Self::decrement_ttl(header);
    }

    fn update(header: &mut [u8], change: Change) -> (u16, u16) {
        let old = get16(header, CHECKSUM);
        let new = change.apply(old);
        put16(header, CHECKSUM, new);
        (old, new)
    }

    fn identify(header: &mut [u8], id: u16) {
        put16(header, ID, id);
        set_checksum(&mut header[..HEADER_LEN]);
    }

    fn turn(header: &mut [u8], source: u32, destination: u32) {
        put32(header, SOURCE, source);
        put32(header, DESTINATION, destination);
        header[TTL] = DEFAULT_TTL;
        set_checksum(header);
    }

    #[inline]
    fn is_asked_at(_group: [u8; 6]) -> bool {
        // Neighbours are asked for by ARP.
        false
    }

    #[inline]
    fn is_about_neighbours(_header: &Header, _payload: &[u8]) -> bool {
        false
    }

    #[inline(always)]
    fn class(header: &[u8]) -> u8 {
        header[CLASS]
    }

    #[inline(always)]
    fn mark(header: &mut [u8], dscp: u8) {
        let Some(header) = header.first_chunk_mut::<HEADER_LEN>() else { return };
        let old = header[CLASS];
        header[CLASS] = dscp << 2 | old & CONGESTION;
        let change = Folded::OF_NOTHING.word(!u16::from(old)).word(u16::from(header[CLASS]));
        if let Some(checksum) = header[CHECKSUM..].first_chunk_mut() {
            change.apply(checksum);
        }
    }

    #[inline(always)]
    fn dont_fragment(fragment: u16) -> bool {
        fragment & DONT_FRAGMENT != 0
    }

    #[inline(always)]
    fn has_flags(fragment: u16, flags: u16) -> bool {
        fragment & flags != 0
    }

    #[inline(always)]
    fn is_fragment(fragment: u16) -> bool {
        fragment & IS_FRAGMENT != 0
    }

    fn is_later_fragment(fragment: u16) -> bool {
        fragment & FRAGMENT_OFFSET != 0
    }

    fn piece(packet: &[u8]) -> Option<Piece> {
        let header = Header::read(packet)?;
        let word = u32::from(header.fragment);
        let start = (word & u32::from(FRAGMENT_OFFSET)) * 8;
        Self::is_fragment(header.fragment).then(|| Piece {
            id: u32::from(get16(packet, ID)),
            start,
            end: start + count32(header.total_len - header.header_len),
            more: word & u32::from(MORE_FRAGMENTS) != 0,
            most: u32::from(u16::MAX) - count32(header.header_len),
        })
    }

    fn message(kind: u8) -> Message {
        icmp::message(kind)
    }

    fn too_big(message: &[u8]) -> Option<u16> {
        icmp::too_big(message)
    }

    fn problem(problem: Problem, _packet: &[u8]) -> (u8, u8, u32) {
        icmp::problem(problem)
    }

    const MESSAGES_COVER_ADDRESSES: bool = false;

    fn message_sum(_source: u32, _destination: u32, _len: u16) -> Sum {
        Sum::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> [u8; 40] {
        let mut bytes = [0; 40];
        let header = Header {
            header_len: 20,
            total_len: 40,
            fragment: DONT_FRAGMENT,
            ttl: 64,
            protocol: crate::wire::protocol::TCP,
            source: 0xc000_0201,
            destination: 0xc633_640b,
        };
        write(&mut bytes, &header, 7);
        bytes
    }

    #[test]
    fn what_is_written_is_read_and_has_a_right_checksum() {
        let bytes = sample();
        let header = Header::read(&bytes).unwrap();
        assert_eq!((header.source, header.total_len, header.dont_fragment()), (0xc000_0201, 40, true));
        assert!(checksum_is_right(&bytes[..20]));
    }

    #[test]
    fn lengths_are_checked() {
        let bytes = sample();
        assert_eq!(Header::read(&bytes[..39]), None, "shorter than it says");
        assert!(Header::read_cut(&bytes[..28]).is_some(), "quoted packets may be cut");
        for (at, value) in [(0, 0x65), (0, 0x44), (3, 19), (0, 0x4f)] {
            let mut bad = sample();
            bad[at] = value;
            let read = if at == 0 && value == 0x4f { Header::read(&bad[..40]) } else { Header::read(&bad) };
            assert_eq!(read, None, "byte {at} = {value:#x}");
        }
    }

    #[test]
    fn a_smaller_ttl_keeps_the_checksum_right() {
        let mut bytes = sample();
        for ttl in (1..=63).rev() {
            V4::decrement_ttl(&mut bytes);
            assert_eq!(bytes[TTL], ttl);
            assert!(checksum_is_right(&bytes[..20]));
        }
    }

    #[test]
    fn a_smaller_ttl_is_any_other_change() {
        for checksum in 0..=u16::MAX {
            let mut bytes = sample();
            bytes[CHECKSUM..CHECKSUM + 2].copy_from_slice(&checksum.to_be_bytes());
            let change = Change::default().word(0x4006, 0x3f06);
            V4::decrement_ttl(&mut bytes);
            assert_eq!(get16(&bytes, CHECKSUM), change.apply(checksum), "{checksum:#x}");
        }
    }
}
