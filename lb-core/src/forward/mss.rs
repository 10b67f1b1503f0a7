//! Clamping the maximum segment size: the option of a SYN by which its sender says how much it takes in one segment (RFC
//! 9293 3.7.1, RFC 6691) is lowered to what fits the way, so that segments need not be fragmented and no ICMP error has to
//! arrive. It is never raised, and a SYN without the option stays without it.

use crate::{
    family::Family,
    wire::{
        checksum::Change,
        get16,
        headers::Headers,
        protocol, put16,
        tcp::{CHECKSUM, DATA_OFFSET, HEADER_LEN},
    },
};
use std::ops::Range;

/// Option: the list ends here.
const END: u8 = 0;
/// Option: nothing, to be skipped.
const NOTHING: u8 = 1;
/// Option: the maximum segment size.
const MSS: u8 = 2;
/// Bytes of that option.
const MSS_LEN: usize = 4;

/// Bytes of the largest segment's data in packets of that size.
#[must_use]
pub fn room<F: Family>(packet: u16) -> u16 {
    let headers = F::HEADER_LEN + HEADER_LEN;
    // Nobody's way carries less than that.
    packet.max(F::SMALLEST_PATH_MTU).saturating_sub(u16::try_from(headers).unwrap_or(u16::MAX))
}

/// Lowers the option in a segment with the flag SYN. Returns what it was, if it was more. A segment whose options are not
/// sound is left as it is.
pub fn clamp<F: Family>(frame: &mut [u8], at: &Headers<F>, most: u16) -> Option<u16> {
    change(frame, at, |size| size.min(most))
}

/// The same, to what follows from what it is.
pub(super) fn change<F: Family>(
    frame: &mut [u8],
    at: &Headers<F>,
    lowered_to: impl Fn(u16) -> u16,
) -> Option<u16> {
    if at.protocol != protocol::TCP || F::is_later_fragment(at.fragment) {
        return None;
    }
    let segment = frame.get_mut(usize::from(at.l4)..at.end())?;
    let header_len = usize::from(*segment.get(DATA_OFFSET)? >> 4) * 4;
    let header = segment.get_mut(..header_len).filter(|header| header.len() >= HEADER_LEN)?;
    let mut lowered = None;
    let mut next = HEADER_LEN;
    // A receiver may take any of several, so all are lowered; but none before all have been found sound.
    while let Some(option) = option(header, next)? {
        next = option.end;
    }
    next = HEADER_LEN;
    while let Some(option) = option(header, next)? {
        next = option.end;
        if header[option.start] == MSS {
            let value = option.start + 2;
            let old = get16(header, value);
            let most = lowered_to(old);
            if old > most {
                put16(header, value, most);
                // Where it does not begin at a word, its bytes are in two, each in the other half: RFC 1071 2 (B).
                let is_odd = value % 2 == 1;
                let (was, is) = if is_odd { (old.swap_bytes(), most.swap_bytes()) } else { (old, most) };
                let checksum = Change::OF_NOTHING.word(was, is).apply(get16(header, CHECKSUM));
                put16(header, CHECKSUM, checksum);
                lowered = Some(old);
            }
        }
    }
    lowered
}

/// Where the next option is, behind those that are nothing; `Some(None)` at the end of the list, `None` if it is not sound.
fn option(header: &[u8], mut at: usize) -> Option<Option<Range<usize>>> {
    loop {
        match header.get(at) {
            None | Some(&END) => return Some(None),
            Some(&NOTHING) => at += 1,
            Some(&kind) => {
                let len = usize::from(*header.get(at + 1)?);
                let is_sound = len >= 2 && at + len <= header.len() && (kind != MSS || len == MSS_LEN);
                return is_sound.then_some(Some(at..at + len));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        family::{V4, V6},
        wire::{checksum::Sum, tcp::SYN},
    };
    use proptest::prelude::*;

    /// A segment with these options, and headers that say where it is.
    fn segment<F: Family>(options: &[u8]) -> (Vec<u8>, Headers<F>) {
        let len = HEADER_LEN + options.len().div_ceil(4) * 4;
        let mut bytes = vec![0; F::HEADER_LEN + len];
        let tcp = &mut bytes[F::HEADER_LEN..];
        tcp[..HEADER_LEN].fill(0x5a);
        (tcp[DATA_OFFSET], tcp[DATA_OFFSET + 1]) = (u8::try_from(len / 4).unwrap() << 4, SYN);
        tcp[HEADER_LEN..HEADER_LEN + options.len()].copy_from_slice(options);
        put16(tcp, CHECKSUM, 0);
        let checksum = Sum::default().bytes(tcp).finish();
        put16(tcp, CHECKSUM, checksum);
        let (l4, ip_len) = (u16::try_from(F::HEADER_LEN).unwrap(), u16::try_from(bytes.len()).unwrap());
        (bytes, Headers { l4, ip_len, protocol: protocol::TCP, ..Headers::default() })
    }

    fn is_right<F: Family>(bytes: &[u8]) -> bool {
        Sum::default().bytes(&bytes[F::HEADER_LEN..]).fold() == 0xffff
    }

    #[test]
    fn it_is_lowered_wherever_it_stands_and_never_raised() {
        for before in [&[][..], &[1], &[1, 1], &[3, 3, 7], &[8, 10, 0, 0, 0, 1, 0, 0, 0, 0]] {
            for (size, most, expected) in
                [(1460, 1440, 1440), (1440, 1440, 1440), (536, 1440, 536), (0, 9, 0)]
            {
                let mss = [MSS, 4, (size >> 8) as u8, size as u8];
                let options = [before, &mss, &[4, 2]].concat();
                let (mut bytes, at) = segment::<V4>(&options);
                let was = clamp(&mut bytes, &at, most);
                assert_eq!(was, (size > most).then_some(size), "{before:?}");
                assert_eq!(get16(&bytes, V4::HEADER_LEN + HEADER_LEN + before.len() + 2), expected);
                assert!(is_right::<V4>(&bytes), "{before:?}");
            }
        }
    }

    #[test]
    fn what_is_not_sound_is_left_alone() {
        for options in [
            &[][..],
            &[MSS, 3, 5, 0xb4],
            &[MSS, 0, 5, 0xb4],
            &[MSS, 4, 5, 0xb4, 3, 1, 0, 0],
            &[MSS, 4, 5, 0xb4, 8, 200, 0, 0],
            &[END, MSS, 4, 5, 0xb4, 0, 0, 0],
            &[NOTHING, NOTHING, NOTHING, MSS],
        ] {
            let (bytes, at) = segment::<V6>(options);
            let mut after = bytes.clone();
            assert_eq!(clamp(&mut after, &at, 1000), None, "{options:?}");
            assert_eq!(after, bytes, "{options:?}");
        }
        let (bytes, at) = segment::<V4>(&[MSS, 4, 5, 0xb4]);
        for at in [
            Headers { protocol: protocol::UDP, ..at },
            Headers { fragment: 0x2004, ..at },
            Headers { ip_len: 30, ..at },
            Headers { ip_len: 42, ..at },
        ] {
            let mut after = bytes.clone();
            assert_eq!(clamp(&mut after, &at, 1000), None);
            assert_eq!(after, bytes);
        }
        assert_eq!((room::<V4>(1480), room::<V6>(1460), room::<V4>(100)), (1440, 1400, 536));
    }

    proptest! {
        #[test]
        fn whatever_the_options_are_nothing_else_changes(
            options in prop::collection::vec(prop_oneof![0..=8u8, any::<u8>()], 0..40),
            most: u16,
        ) {
            let (before, at) = segment::<V4>(&options);
            let mut after = before.clone();
            let was = clamp(&mut after, &at, most);
            prop_assert!(is_right::<V4>(&after));
            prop_assert_eq!(was.is_none(), after == before);
            let differing = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            prop_assert!(differing <= 2 + 2 * options.len() / 4);
        }
    }
}
