//! Mixing of numbers, for hashes.

use crate::cast::{high64, index, low64};

/// Both halves of a 128-bit product combined: one multiplication that mixes 64 bits well.
#[inline(always)]
#[must_use]
pub(crate) fn fold_multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    high64(product) ^ low64(product)
}

/// Maps a well-mixed hash to `0..count` without a division.
#[inline(always)]
#[must_use]
pub(crate) fn scale(hash: u64, count: usize) -> usize {
    index(high64(u128::from(hash) * count as u128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_covers_the_range() {
        assert_eq!(scale(0, 10), 0);
        assert_eq!(scale(u64::MAX, 10), 9);
        assert_eq!(scale(u64::MAX / 2 + 1, 10), 5);
    }
}
