//! Connection IDs that name their server as Katran reads them (`katran/lib/bpf/pckt_parsing.h`, `parse_quic`), and Meta's
//! mvfst writes them: two bits say how wide the server's number is and where it stands.

use super::quic::Name;

/// Bytes of a connection ID that has a number, at least: Katran's `QUIC_MIN_CONNID_LEN`.
pub const LEAST_LEN: usize = 8;

/// The number in a connection ID that begins so. `None` if it is too short, or of another version.
#[inline]
#[must_use]
pub fn name(id: &[u8]) -> Option<Name> {
    let [a, b, c, d, e, ..] = *id.first_chunk::<LEAST_LEN>()?;
    let number = match a >> 6 {
        // 16 bits, right behind the version.
        1 => u32::from_be_bytes([0, a, b, c]) >> 6 & 0xffff,
        // 24, from the second byte on.
        2 => u32::from_be_bytes([0, b, c, d]),
        3 => u32::from_be_bytes([b, c, d, e]),
        _ => return None,
    };
    // Nobody's: Katran takes none for it.
    (number != 0).then(|| Name::of_number(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(id: &[u8]) -> Option<String> {
        name(id).map(|name| name.to_string())
    }

    #[test]
    fn each_version_has_its_width() {
        // 0x1234 = 000100 10001101 00 in six, eight and two bits.
        assert_eq!(number(&[0x44, 0x8d, 0x3f, 0, 0, 0, 0, 0]).as_deref(), Some("4660"));
        assert_eq!(number(&[0x7f, 0xff, 0xff, 0, 0, 0, 0, 0]).as_deref(), Some("65535"));
        assert_eq!(number(&[0x80, 1, 2, 3, 9, 0, 0, 0]).as_deref(), Some("66051"));
        assert_eq!(number(&[0xff, 1, 2, 3, 4, 0, 0, 0]).as_deref(), Some("16909060"));
        assert_eq!(number(&[0x3f, 1, 2, 3, 4, 0, 0, 0]), None, "a version that there is not");
        assert_eq!(number(&[0x80, 0, 0, 0, 4, 0, 0, 0]), None, "0 is nobody");
        assert_eq!(number(&[0x80, 1, 2, 3, 9, 0, 0]), None, "too short");
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_are_written(number: u32, version in 1u32..=3, own in any::<[u8; 8]>()) {
            let number = match version {
                1 => number & 0xffff,
                2 => number & 0xff_ffff,
                _ => number,
            };
            let mut id = own;
            match version {
                1 => {
                    let [_, a, b, c] = (1 << 22 | number << 6 | u32::from(own[2] & 0x3f)).to_be_bytes();
                    id[..3].copy_from_slice(&[a, b, c]);
                }
                2 => {
                    id[0] = 0x80 | own[0] & 0x3f;
                    id[1..4].copy_from_slice(&number.to_be_bytes()[1..]);
                }
                _ => {
                    id[0] = 0xc0 | own[0] & 0x3f;
                    id[1..5].copy_from_slice(&number.to_be_bytes());
                }
            }
            prop_assert_eq!(name(&id), (number != 0).then_some(Name::of_number(number)));
        }

        #[test]
        fn any_bytes_can_be_read(id in proptest::collection::vec(any::<u8>(), 0..24)) {
            prop_assert!(name(&id).is_none_or(|name| name.width().is_none()));
        }
    }
}
