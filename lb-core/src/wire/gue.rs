//! Generic UDP Encapsulation, draft-ietf-intarea-gue: a packet inside a datagram, behind a header of its own (variant 0) or
//! by itself (variant 1). The first two bits tell which; those of an IP packet of either family say 1.

/// The UDP port that servers take packets at, by default.
pub const PORT: u16 = 6080;
/// Bytes of a header of variant 0 without extensions.
pub const HEADER_LEN: usize = 4;
/// Where the protocol number of the packet inside is.
const PROTOCOL: usize = 1;

/// Writes a header of variant 0: no control message, no extensions, no flags.
pub fn write(bytes: &mut [u8], protocol: u8) {
    bytes[..HEADER_LEN].copy_from_slice(&[0, protocol, 0, 0]);
}

/// What a datagram carries: whether a header of variant 0 is in front, and the protocol number of the packet behind it.
/// Nothing if it is a control message, has extensions, or is neither variant.
#[must_use]
pub fn read(datagram: &[u8], ipv4: u8, ipv6: u8) -> Option<(bool, u8)> {
    match datagram.first()? >> 4 {
        4 => Some((false, ipv4)),
        6 => Some((false, ipv6)),
        _ => {
            let header = datagram.get(..HEADER_LEN)?;
            (header[0] == 0 && header[2..] == [0, 0]).then(|| (true, header[PROTOCOL]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_variants_are_told_apart() {
        let mut header = [0xa5; HEADER_LEN];
        write(&mut header, 41);
        assert_eq!(read(&header, 4, 41), Some((true, 41)));
        assert_eq!(read(&[0x45], 4, 41), Some((false, 4)));
        assert_eq!(read(&[0x60], 4, 41), Some((false, 41)));
        for other in [&[0x20, 4, 0, 0], &[0x01, 4, 0, 0], &[0, 4, 0, 1], &[0x80, 4, 0, 0]] {
            assert_eq!(read(other, 4, 41), None, "{other:?}");
        }
        assert_eq!(read(&[0, 4, 0], 4, 41), None);
        assert_eq!(read(&[], 4, 41), None);
    }
}
