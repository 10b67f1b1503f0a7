//! The UDP header, RFC 768.

use super::{get16, protocol, put16};
use crate::{cast::small, family::Family};

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;
/// Where the length is.
pub const LENGTH: usize = 4;
/// Where the checksum is; 0 means that there is none.
pub const CHECKSUM: usize = 6;

/// Whether a datagram's header is whole and its length fits the bytes. Bytes behind it are not part of it.
#[inline]
#[must_use]
pub fn is_whole(datagram: &[u8]) -> bool {
    datagram
        .first_chunk::<HEADER_LEN>()
        .is_some_and(|header| (HEADER_LEN..=datagram.len()).contains(&usize::from(get16(header, LENGTH))))
}

/// What a datagram says of its length. `None` if its header is not whole. Of a fragment it is that of all of it.
#[inline]
#[must_use]
pub fn len(datagram: &[u8]) -> Option<usize> {
    datagram.first_chunk::<HEADER_LEN>().map(|header| get16(header, LENGTH).into())
}

/// Whether a whole datagram has a checksum.
#[inline]
#[must_use]
pub fn has_checksum(datagram: &[u8]) -> bool {
    get16(datagram, CHECKSUM) != 0
}

/// Whether the checksum of a whole datagram is right, or absent where it may be.
#[inline]
#[must_use]
pub fn checksum_is_right<F: Family>(source: F::Address, destination: F::Address, datagram: &[u8]) -> bool {
    if !has_checksum(datagram) {
        return !F::DATAGRAMS_NEED_CHECKSUM;
    }
    let len = get16(datagram, LENGTH);
    let sum = F::pseudo(source, destination, protocol::UDP, len);
    sum.bytes(&datagram[..usize::from(len)]).fold() == 0xffff
}

/// Writes a header for the payload that is behind it. It has a checksum where it must.
pub fn write<F: Family>(bytes: &mut [u8], from: (F::Address, u16), to: (F::Address, u16)) {
    let len = small(bytes.len());
    bytes[..HEADER_LEN].fill(0);
    put16(bytes, 0, from.1);
    put16(bytes, 2, to.1);
    put16(bytes, LENGTH, len);
    if F::DATAGRAMS_NEED_CHECKSUM {
        let sum = F::pseudo(from.0, to.0, protocol::UDP, len);
        let checksum = sum.bytes(bytes).finish();
        put16(bytes, CHECKSUM, if checksum == 0 { 0xffff } else { checksum });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{V4, V6};

    #[test]
    fn lengths_and_checksums() {
        let mut datagram = [0x10, 0, 0x20, 0, 0, 9, 0, 0, b'x'];
        assert!(is_whole(&datagram));
        assert!(checksum_is_right::<V4>(1, 2, &datagram), "no checksum is a right one");
        assert!(!checksum_is_right::<V6>(1, 2, &datagram), "but not with IPv6");
        let sum = V4::pseudo(1, 2, protocol::UDP, 9).bytes(&datagram).finish();
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
        assert!(checksum_is_right::<V4>(1, 2, &datagram));
        datagram[8] ^= 1;
        assert!(!checksum_is_right::<V4>(1, 2, &datagram));
        datagram[5] = 8;
        assert!(is_whole(&datagram), "a byte of padding");
        for bad in [7, 10] {
            datagram[5] = bad;
            assert!(!is_whole(&datagram), "{bad}");
        }
        assert!(!is_whole(&datagram[..7]));
    }
}
