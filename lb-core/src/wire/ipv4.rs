//! The IPv4 header, RFC 791.

use super::{
    checksum::{Change, Folded, Sum},
    get16, get32, put16, put32,
};
use crate::cast::small;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Where the traffic class is: differentiated services and congestion marks.
pub const CLASS: usize = 1;
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
/// Flag "more fragments" and the fragment offset: not zero in a fragment.
pub const IS_FRAGMENT: u16 = 0x3fff;

/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of IPv4 in IPv4, RFC 2003.
pub const IPIP: u8 = 4;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;

/// Time to live of packets that the director makes, RFC 1700.
pub const DEFAULT_TTL: u8 = 64;

/// The fields of a header that decisions rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header, options included.
    pub header_len: usize,
    /// Bytes of the packet, header included.
    pub total_len: usize,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
}

impl Header {
    /// Reads a header; `None` when version or lengths do not fit the bytes there are.
    #[inline]
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Header> {
        Self::read_cut(bytes).filter(|header| header.total_len <= bytes.len())
    }

    /// Reads the header of a packet whose end may be missing, as those quoted by ICMP errors are.
    #[inline]
    #[must_use]
    pub fn read_cut(bytes: &[u8]) -> Option<Header> {
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

    /// Whether the sender forbids fragmentation.
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        self.fragment & DONT_FRAGMENT != 0
    }
}

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

/// Takes one off the time to live, which must not be zero, and keeps the checksum right: RFC 1624's update for the
/// one change that all forwarded packets have in common.
#[inline(always)]
pub fn decrement_ttl(header: &mut [u8]) {
    change_with_ttl(header, const { ONE_OFF_TTL.folded() });
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
            protocol: TCP,
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
            decrement_ttl(&mut bytes);
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
            decrement_ttl(&mut bytes);
            assert_eq!(get16(&bytes, CHECKSUM), change.apply(checksum), "{checksum:#x}");
        }
    }
}
