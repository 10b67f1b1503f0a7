//! The TCP header, RFC 9293.

use super::{get16, get32, protocol, put16, put32};
use crate::{cast::small, family::Family};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest.
pub const MAX_HEADER_LEN: usize = 60;
/// Where the source port is; the destination port follows.
pub const SOURCE_PORT: usize = 0;
/// Where the destination port is.
pub const DESTINATION_PORT: usize = 2;
/// Where the sequence number is.
pub const SEQUENCE: usize = 4;
/// Where the acknowledgement number is.
pub const ACKNOWLEDGEMENT: usize = 8;
/// Where the header's length is, in the upper half of the byte.
pub const DATA_OFFSET: usize = 12;
/// Where the flags are.
pub const FLAGS: usize = 13;
/// Where the window is.
pub const WINDOW: usize = 14;
/// Where the checksum is.
pub const CHECKSUM: usize = 16;
/// Where the urgent pointer is: how far behind the sequence number urgent data ends.
pub const URGENT: usize = 18;

/// The sender has closed its direction.
pub const FIN: u8 = 0x01;
/// Synchronise sequence numbers: a connection begins.
pub const SYN: u8 = 0x02;
/// The connection is void.
pub const RST: u8 = 0x04;
/// The receiver need not wait for more.
pub const PSH: u8 = 0x08;
/// The acknowledgement number counts.
pub const ACK: u8 = 0x10;
/// The urgent pointer counts.
pub const URG: u8 = 0x20;

/// Whether a segment's header is whole and fits the segment.
#[inline]
#[must_use]
pub fn is_whole(segment: &[u8]) -> bool {
    header_len(segment).is_some()
}

/// Bytes of a segment's header; `None` if it is not whole.
#[inline]
#[must_use]
pub fn header_len(segment: &[u8]) -> Option<usize> {
    let header = segment.first_chunk::<HEADER_LEN>()?;
    let header_len = usize::from(header[DATA_OFFSET] >> 4) * 4;
    (HEADER_LEN..=segment.len()).contains(&header_len).then_some(header_len)
}

/// The sequence number of a segment.
#[must_use]
pub fn sequence(segment: &[u8]) -> Option<u32> {
    segment.get(..HEADER_LEN).map(|header| get32(header, SEQUENCE))
}

/// The numbers of a reset that answers a segment, RFC 9293 3.10.7.1: sequence, acknowledgement, flags.
/// `None` when the segment is a reset itself. The segment must be whole.
#[must_use]
pub fn reset_for(segment: &[u8]) -> Option<(u32, u32, u8)> {
    let flags = segment[FLAGS];
    if flags & RST != 0 {
        return None;
    }
    if flags & ACK != 0 {
        return Some((get32(segment, ACKNOWLEDGEMENT), 0, RST));
    }
    let header_len = usize::from(segment[DATA_OFFSET] >> 4) * 4;
    let payload = u32::from(small(segment.len().saturating_sub(header_len)));
    let length = payload + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    Some((0, get32(segment, SEQUENCE).wrapping_add(length), RST | ACK))
}

/// Writes a header without options, window or payload, and without its checksum, to the first [`HEADER_LEN`] bytes.
pub fn write_unsummed(bytes: &mut [u8], (from, to): (u16, u16), numbers: (u32, u32, u8)) {
    let (sequence, acknowledgement, flags) = numbers;
    bytes[..HEADER_LEN].fill(0);
    put16(bytes, SOURCE_PORT, from);
    put16(bytes, DESTINATION_PORT, to);
    put32(bytes, SEQUENCE, sequence);
    put32(bytes, ACKNOWLEDGEMENT, acknowledgement);
    (bytes[DATA_OFFSET], bytes[FLAGS]) = (5 << 4, flags);
}

/// The same with its checksum.
pub fn write_bare<F: Family>(
    bytes: &mut [u8],
    from: (F::Address, u16),
    to: (F::Address, u16),
    numbers: (u32, u32, u8),
) {
    write_unsummed(bytes, (from.1, to.1), numbers);
    let sum = F::pseudo(from.0, to.0, protocol::TCP, small(HEADER_LEN));
    put16(bytes, CHECKSUM, sum.bytes(&bytes[..HEADER_LEN]).finish());
}

/// Whether the checksum of a segment is right.
#[inline]
#[must_use]
pub fn checksum_is_right<F: Family>(source: F::Address, destination: F::Address, segment: &[u8]) -> bool {
    let sum = F::pseudo(source, destination, protocol::TCP, small(segment.len()));
    sum.bytes(segment).fold() == 0xffff
}

/// The two ports at the start of a TCP or UDP header.
#[inline]
#[must_use]
pub fn ports(segment: &[u8]) -> Option<(u16, u16)> {
    let ports = segment.first_chunk::<4>()?;
    Some((get16(ports, 0), get16(ports, 2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::V4;

    #[test]
    fn resets_carry_the_numbers_of_rfc_9293() {
        let mut syn = [0; 20];
        write_bare::<V4>(&mut syn, (1, 10), (2, 20), (100, 0, SYN));
        assert_eq!(reset_for(&syn), Some((0, 101, RST | ACK)), "a SYN counts one");
        let mut data = [0; 25];
        write_bare::<V4>(&mut data, (1, 10), (2, 20), (100, 777, ACK));
        assert_eq!(reset_for(&data), Some((777, 0, RST)), "an acknowledged number is taken over");
        write_bare::<V4>(&mut data, (1, 10), (2, 20), (u32::MAX, 0, FIN));
        assert_eq!(reset_for(&data), Some((0, 5, RST | ACK)), "five bytes and a FIN, across the wrap");
        write_bare::<V4>(&mut data, (1, 10), (2, 20), (1, 1, RST));
        assert_eq!(reset_for(&data), None, "never a reset for a reset");
    }

    #[test]
    fn the_header_must_fit() {
        let mut segment = [0; 24];
        write_bare::<V4>(&mut segment, (1, 10), (2, 20), (0, 0, ACK));
        assert!(is_whole(&segment));
        segment[DATA_OFFSET] = 7 << 4;
        assert!(!is_whole(&segment), "28 bytes of header in 24");
        segment[DATA_OFFSET] = 4 << 4;
        assert!(!is_whole(&segment), "16 bytes of header");
        assert!(!is_whole(&segment[..19]));
    }
}
