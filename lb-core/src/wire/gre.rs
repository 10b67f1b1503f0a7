//! Generic Routing Encapsulation, RFC 2784: a header between an IP packet and the one that it carries. Without the key and
//! sequence number of RFC 2890.

use super::{checksum::Sum, get16, put16};

/// Protocol number of GRE, in either family.
pub const PROTOCOL: u8 = super::protocol::GRE;
/// Where the flags and the version are.
const FLAGS: usize = 0;
/// Where the Ethertype of the packet inside is.
const ETHERTYPE: usize = 2;
/// Where the checksum is, if there is one; two bytes of zero follow it.
const CHECKSUM: usize = 4;
/// The only flag that there may be: a checksum is there.
const HAS_CHECKSUM: u16 = 0x8000;

/// Bytes of a header.
#[must_use]
pub const fn header_len(has_checksum: bool) -> usize {
    if has_checksum { 8 } else { 4 }
}

/// Writes the header at the start of `bytes`, which end with the packet inside.
pub fn write(bytes: &mut [u8], ethertype: u16, has_checksum: bool) {
    put16(bytes, FLAGS, if has_checksum { HAS_CHECKSUM } else { 0 });
    put16(bytes, ETHERTYPE, ethertype);
    if has_checksum {
        bytes[CHECKSUM..header_len(true)].fill(0);
        let checksum = Sum::default().bytes(bytes).finish();
        put16(bytes, CHECKSUM, checksum);
    }
}

/// The Ethertype of the packet inside and whether there is a checksum, if the header is of the kind that is written here.
/// The end of the packet may be missing.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<(u16, bool)> {
    let header = bytes.get(..header_len(false))?;
    match get16(header, FLAGS) {
        0 => Some((get16(header, ETHERTYPE), false)),
        HAS_CHECKSUM => Some((get16(header, ETHERTYPE), true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for (has_checksum, len) in [(false, 7), (true, 8), (true, 13)] {
            let mut bytes = vec![0xa5; len + 4];
            write(&mut bytes, 0x86dd, has_checksum);
            assert_eq!(read(&bytes), Some((0x86dd, has_checksum)));
            assert!(!has_checksum || Sum::default().bytes(&bytes).fold() == 0xffff);
        }
        assert_eq!(read(&[0x20, 0, 8, 0]), None, "with a key");
        assert_eq!(read(&[0, 1, 8, 0]), None, "of PPTP");
        assert_eq!(read(&[0, 0, 8]), None);
    }
}
