//! The Internet checksum, RFC 1071, and its incremental update, RFC 1624.

use crate::cast::{high16, low16};

/// A running one's complement sum. Order does not matter, except that only the last slice may have odd length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes as big-endian 16-bit words; an odd last byte counts as if a zero followed.
    #[must_use]
    #[inline]
    pub fn bytes(self, bytes: &[u8]) -> Sum {
        // As they lie in memory, which is quicker and the same in the end: RFC 1071 2 (B). A packet has far fewer than
        // 2^32 words, so no carry is lost.
        let (words, rest) = bytes.as_chunks::<4>();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        self.word(Sum(sum + u64::from(u32::from_ne_bytes(last))).fold().to_be())
    }

    /// Adds one 16-bit word.
    #[must_use]
    #[inline(always)]
    pub const fn word(self, word: u16) -> Sum {
        Sum(self.0 + word as u64)
    }

    /// Adds a 32-bit word: two 16-bit ones.
    #[must_use]
    #[inline(always)]
    pub const fn long(self, long: u32) -> Sum {
        Sum(self.0 + long as u64)
    }

    /// The sum folded to 16 bits.
    #[must_use]
    #[inline(always)]
    pub const fn fold(self) -> u16 {
        // Adding a number to itself with its halves exchanged leaves the end-around sum in the upper half.
        let long = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        (long.wrapping_add(long.rotate_left(16)) >> 16) as u16
    }

    /// The checksum to put into a header: the complement of the sum.
    #[must_use]
    #[inline(always)]
    pub const fn finish(self) -> u16 {
        !self.fold()
    }
}

/// A [`Change`] of known words, folded, to be kept for the packets that it will happen to. It lies in memory as the
/// checksums do: a one's complement sum is the same in either byte order (RFC 1071 2 (B)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded(u16);

impl Folded {
    /// No change yet.
    pub const OF_NOTHING: Folded = Folded(0);

    /// One more 16-bit word changes, from 0 to this.
    #[must_use]
    #[inline(always)]
    pub const fn word(self, word: u16) -> Folded {
        let (sum, carry) = self.0.overflowing_add(word.to_be());
        Folded(sum + carry as u16)
    }

    /// This change and another.
    #[must_use]
    #[inline(always)]
    pub const fn and(self, other: Folded) -> Folded {
        let (sum, carry) = self.0.overflowing_add(other.0);
        Folded(sum + carry as u16)
    }

    /// The change that undoes this one.
    #[must_use]
    #[inline(always)]
    pub const fn undone(self) -> Folded {
        Folded(!self.0)
    }

    /// Two 16-bit words change, given as they lie in memory, one behind the other.
    #[must_use]
    #[inline(always)]
    pub const fn of_words(old: u32, new: u32) -> Folded {
        // A difference with its borrow put back at the end, then both halves of it.
        let (difference, borrow) = new.overflowing_sub(old);
        let difference = difference.wrapping_sub(borrow as u32);
        Folded(low16(difference)).and(Folded(high16(difference)))
    }

    /// As a number, to be kept.
    #[must_use]
    #[inline(always)]
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// The change that was kept as that number.
    #[must_use]
    #[inline(always)]
    pub const fn of_raw(raw: u16) -> Folded {
        Folded(raw)
    }

    /// Changes a checksum.
    #[inline(always)]
    pub fn apply(self, checksum: &mut [u8; 2]) {
        *checksum = self.updated(*checksum).to_ne_bytes();
    }

    /// Changes a UDP checksum, if there is one: see [`Change::apply_udp`].
    #[inline(always)]
    pub fn apply_udp(self, checksum: &mut [u8; 2]) {
        if *checksum != [0; 2] {
            let updated = self.updated(*checksum);
            *checksum = if updated == 0 { [0xff; 2] } else { updated.to_ne_bytes() };
        }
    }

    /// RFC 1624 equation 4, which is equation 3 with all of it complemented.
    #[inline(always)]
    const fn updated(self, checksum: [u8; 2]) -> u16 {
        let (difference, borrow) = u16::from_ne_bytes(checksum).overflowing_sub(self.0);
        difference.wrapping_sub(borrow as u16)
    }
}

/// What a rewrite does to every checksum that covers the rewritten words: RFC 1624 equation 3,
/// `HC' = ~(~HC + ~m + m')`, with the `~m + m'` of all words collected.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change(u64);

impl Change {
    /// No change yet.
    pub const OF_NOTHING: Change = Change(0);

    /// One 16-bit word changes from `old` to `new`.
    #[must_use]
    #[inline(always)]
    pub const fn word(self, old: u16, new: u16) -> Change {
        Change(self.0 + (!old) as u64 + new as u64)
    }

    /// A 32-bit word changes from `old` to `new`.
    #[must_use]
    #[inline(always)]
    pub const fn long(self, old: u32, new: u32) -> Change {
        Change(self.0 + (!old) as u64 + new as u64)
    }

    /// This change and another.
    #[must_use]
    #[inline(always)]
    pub const fn and(self, other: Change) -> Change {
        Change(self.0 + other.0)
    }

    /// Any bytes change, the first of which is at `at` of what is summed. One of both slices may be empty: then bytes come,
    /// or go.
    #[must_use]
    pub fn bytes(self, at: usize, old: &[u8], new: &[u8]) -> Change {
        let sum = |bytes| {
            let sum = Sum::default().bytes(bytes).fold();
            // At an odd place every byte is the other half of its word: RFC 1071 2 (B).
            if at % 2 == 1 { sum.swap_bytes() } else { sum }
        };
        self.word(sum(old), sum(new))
    }

    /// The same for every packet with these words.
    #[must_use]
    #[inline(always)]
    pub const fn folded(self) -> Folded {
        Folded(Sum(self.0).fold().to_be())
    }

    /// The checksum after the change.
    ///
    /// What it covers must not be nothing but zeros afterwards: that has the checksum 0xffff, for which an update gives 0.
    /// A header of IPv4 never is, nor anything summed with a pseudo-header; for ICMP see
    /// [`change_checksum`](super::icmp::change_checksum). The same holds for [`Folded::apply`].
    #[must_use]
    #[inline(always)]
    pub const fn apply(self, checksum: u16) -> u16 {
        Sum(self.0 + (!checksum) as u64).finish()
    }

    /// The UDP checksum after the change: 0 means "none" and stays (RFC 768); a computed 0 is sent as 0xFFFF.
    #[must_use]
    #[inline(always)]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        if checksum == 0 {
            return 0;
        }
        match self.apply(checksum) {
            0 => 0xffff,
            new => new,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
    }

    #[test]
    fn the_examples_of_rfc_1624() {
        assert_eq!(Change::default().word(0x5555, 0x3285).apply(0xdd2f), 0x0000, "section 4, equation 3");
    }

    #[test]
    fn a_udp_checksum_of_zero_stays_and_is_never_made() {
        assert_eq!(Change::default().word(1, 2).apply_udp(0), 0);
        assert_eq!(Change::default().word(0x5555, 0x3285).apply_udp(0xdd2f), 0xffff);
    }

    proptest! {
        #[test]
        fn a_folded_change_is_the_same_change(old: u32, new: u32, port: u16, checksum: u16) {
            // Nobody has the address 255.255.255.255, the one that could become nothing at all.
            prop_assume!(old != u32::MAX);
            let change = Change::default().long(old, new).word(port, 80);
            for (folded, plain) in [
                (Folded::apply as fn(Folded, &mut [u8; 2]), change.apply(checksum)),
                (Folded::apply_udp, change.apply_udp(checksum)),
            ] {
                let mut bytes = checksum.to_be_bytes();
                folded(change.folded(), &mut bytes);
                prop_assert_eq!(u16::from_be_bytes(bytes), plain);
            }
        }

        #[test]
        fn a_change_is_as_good_as_a_new_sum(mut bytes in prop::collection::vec(any::<u8>(), 8..200), new: u32) {
            bytes.truncate(bytes.len() & !3);
            // A header's other words are never all zero; without that, 0 and 0xffff would be two names of one sum.
            bytes[4] = 1;
            let before = Sum::default().bytes(&bytes).finish();
            let old = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            bytes[..4].copy_from_slice(&new.to_be_bytes());
            let after = Sum::default().bytes(&bytes).finish();
            prop_assert_eq!(Change::default().long(old, new).apply(before), after);
        }
    }
}
