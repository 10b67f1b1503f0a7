//! What of QUIC is the same in all its versions, RFC 8999: where a packet has the connection ID that it is for.

use std::{fmt, str::FromStr};

/// Bit of the first byte that says that the header is a long one.
const LONG: u8 = 0x80;
/// The other bit that packets have set, of versions 1 and 2.
const FIXED: u8 = 0x40;
/// Where in a long header the length of that connection ID is: behind the first byte and four of the version.
const LENGTH_AT: usize = 5;
/// Bytes of a server's name in connection IDs, at most. Those of QUIC version 1 have 20, of which a name leaves one for
/// what comes first and four that make each of them another.
pub const MOST_NAME_LEN: usize = 15;

/// The connection ID that a packet is for, chosen by the server, but for the first packets of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'a> {
    /// The ID. A short header does not say how long it is: then it begins so and ends somewhere among these bytes.
    pub bytes: &'a [u8],
    /// The header is a long one, which those of packets are until both sides know each other's IDs.
    pub is_long: bool,
}

/// The connection ID that the first packet of a datagram is for: all packets of a datagram have the same. `None` if the
/// datagram is too short to have one.
#[inline]
#[must_use]
pub fn destination(datagram: &[u8]) -> Option<Destination<'_>> {
    let (first, rest) = datagram.split_first()?;
    if first & LONG == 0 {
        return Some(Destination { bytes: rest, is_long: false });
    }
    let (len, rest) = datagram.get(LENGTH_AT..)?.split_first()?;
    Some(Destination { bytes: rest.get(..usize::from(*len))?, is_long: true })
}

/// The payload of a datagram with a short header and that connection ID, as one of a connection that goes on has it.
#[must_use]
pub fn short(id: &[u8]) -> Vec<u8> {
    [&[FIXED][..], id].concat()
}

/// What a server is called in connection IDs: bytes, or a number where the layout has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Bytes; 0 of a number.
    len: u8,
    bits: u128,
}

impl Name {
    /// Bytes.
    ///
    /// `None` if there are none, or too many.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let mut all = [0; 16];
        let at = 16 - bytes.len().min(16);
        all.get_mut(at..).filter(|to| to.len() == bytes.len())?.copy_from_slice(bytes);
        Name::of_bits(bytes.len(), u128::from_be_bytes(all))
    }

    /// As many bytes, as a number.
    #[inline]
    #[must_use]
    pub(super) fn of_bits(len: usize, bits: u128) -> Option<Self> {
        let len = u8::try_from(len).ok().filter(|len| (1..=MOST_NAME_LEN).contains(&usize::from(*len)))?;
        Some(Name { len, bits })
    }

    /// A number.
    #[must_use]
    pub const fn of_number(number: u32) -> Self {
        Name { len: 0, bits: number as u128 }
    }

    /// How many bytes it has; none if it is a number.
    #[must_use]
    pub const fn width(self) -> Option<u8> {
        if self.len == 0 { None } else { Some(self.len) }
    }
}

/// Hexadecimal digits of bytes; a number in decimal ones.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len {
            0 => write!(f, "{}", self.bits),
            len => write!(f, "{:0width$x}", self.bits, width = 2 * usize::from(len)),
        }
    }
}

/// Reads the hexadecimal digits of bytes.
impl FromStr for Name {
    type Err = ();

    fn from_str(digits: &str) -> Result<Self, ()> {
        let is_hexadecimal =
            digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && digits.len().is_multiple_of(2);
        let bits = u128::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal).ok_or(())?;
        Name::of_bits(digits.len() / 2, bits).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(datagram: &[u8]) -> Option<(&[u8], bool)> {
        destination(datagram).map(|it| (it.bytes, it.is_long))
    }

    #[test]
    fn a_long_header_says_how_long_the_id_is() {
        let initial = [0xc3, 0, 0, 0, 1, 3, 7, 8, 9, 2, 5, 5];
        assert_eq!(bytes(&initial), Some((&[7, 8, 9][..], true)));
        assert_eq!(bytes(&initial[..8]), None, "cut off");
        assert_eq!(bytes(&initial[..5]), None);
        let other = [0x80, 0x6b, 0x33, 0x43, 0xcf, 0];
        assert_eq!(bytes(&other), Some((&[][..], true)), "of any version, and of none");
    }

    #[test]
    fn a_short_header_does_not() {
        assert_eq!(bytes(&[0x40, 1, 2, 3]), Some((&[1, 2, 3][..], false)));
        assert_eq!(bytes(&[0x7f]), Some((&[][..], false)));
        assert_eq!(bytes(&[]), None);
    }

    #[test]
    fn names_are_written_as_they_are_read() {
        for text in ["00", "ed793a", "ed793a51d49b8f5fab651234567890"] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
        assert_eq!("ED79".parse::<Name>().unwrap().to_string(), "ed79");
        assert_ne!("00".parse::<Name>(), "0000".parse::<Name>());
        assert_ne!("11".parse(), Ok(Name::of_number(0x11)));
        assert_eq!(Name::of_number(17).to_string(), "17");
        for bad in ["", "0", "abc", "+1", "0x", " 1", "zz", &"00".repeat(16), &"ff".repeat(100)] {
            assert_eq!(bad.parse::<Name>(), Err(()), "{bad:?}");
        }
        assert_eq!(Name::of_bytes(&[0xed, 0x79]), "ed79".parse().ok());
        assert_eq!(
            (Name::of_bytes(&[]), Name::of_bytes(&[0; 16]), Name::of_bytes(&[0; 40])),
            (None, None, None)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(datagram in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(Destination { bytes, is_long }) = destination(&datagram) {
                prop_assert!(bytes.len() < datagram.len());
                prop_assert_eq!(is_long, datagram[0] >= 0x80);
            }
        }
    }
}
