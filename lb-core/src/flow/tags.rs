//! The tags of a bucket, all compared at once.

/// Slots of a bucket.
pub const SLOTS: usize = 8;

/// A tag for each slot of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags(pub [u16; SLOTS]);

impl Tags {
    /// The slots that have this tag.
    ///
    /// By name, because compilers make eight comparisons of a loop. SSE2 is part of every x86-64.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    #[must_use]
    pub fn matching(&self, tag: u16) -> Slots {
        use safe_arch::{cmp_eq_mask_i16_m128i, m128i, move_mask_i8_m128i, set_splat_i16_m128i};
        let equal = cmp_eq_mask_i16_m128i(m128i::from(self.0), set_splat_i16_m128i(tag.cast_signed()));
        Slots(move_mask_i8_m128i(equal).cast_unsigned())
    }

    /// The slots that have this tag.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    #[must_use]
    pub fn matching(&self, tag: u16) -> Slots {
        let both = |slot: usize| if self.0[slot] == tag { 0b11 << (slot * 2) } else { 0 };
        Slots((0..SLOTS).fold(0, |slots, slot| slots | both(slot)))
    }
}

/// Some slots of a bucket: two bits for each, which is how SSE2 gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots(u32);

impl Slots {
    /// The first of them.
    #[inline(always)]
    #[must_use]
    pub fn first(self) -> Option<usize> {
        // The mask changes nothing; it proves the bound to the compiler.
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize / 2 % SLOTS)
    }

    /// All but the first.
    #[inline(always)]
    #[must_use]
    pub fn without_first(self) -> Self {
        let rest = self.0 & self.0.wrapping_sub(1);
        Slots(rest & rest.wrapping_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn those_that_are_equal(tags in prop::array::uniform8(0u16..4), tag in 0u16..4) {
            let mut found = Vec::new();
            let mut slots = Tags(tags).matching(tag);
            while let Some(slot) = slots.first() {
                found.push(slot);
                slots = slots.without_first();
            }
            let expected: Vec<usize> = (0..SLOTS).filter(|&slot| tags[slot] == tag).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
