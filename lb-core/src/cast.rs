//! Numbers in other sizes. The crate's lints refuse an `as` that may lose something, so what is meant is said by name.

// The one place where it is allowed: below is said of each why nothing is lost, or that losing it is the point.
#![allow(clippy::cast_possible_truncation)]

/// The lower half.
#[inline(always)]
#[must_use]
pub(crate) const fn low16(number: u32) -> u16 {
    number as u16
}

/// The upper half.
#[inline(always)]
#[must_use]
pub(crate) const fn high16(number: u32) -> u16 {
    (number >> 16) as u16
}

/// The lower half.
#[inline(always)]
#[must_use]
pub(crate) const fn low32(number: u64) -> u32 {
    number as u32
}

/// The upper half.
#[inline(always)]
#[must_use]
pub(crate) const fn high32(number: u64) -> u32 {
    (number >> 32) as u32
}

/// The lower half.
#[inline(always)]
#[must_use]
pub(crate) const fn low64(number: u128) -> u64 {
    number as u64
}

/// The upper half.
#[inline(always)]
#[must_use]
pub(crate) const fn high64(number: u128) -> u64 {
    (number >> 64) as u64
}

/// A number of bytes in a frame, or of one of few things (ports, workers), which fits.
#[inline(always)]
#[must_use]
pub(crate) const fn small(number: usize) -> u16 {
    debug_assert!(number <= u16::MAX as usize, "less than 64 Ki");
    number as u16
}

/// A number of things of which there are less than 4 Gi by `limits`.
#[inline(always)]
#[must_use]
pub(crate) const fn count32(number: usize) -> u32 {
    debug_assert!(number <= u32::MAX as usize, "less than 4 Gi");
    number as u32
}

const _: () = assert!(usize::BITS == u64::BITS, "DPDK's platforms have 64 bits");

/// A place in a list, or a number of places.
#[inline(always)]
#[must_use]
pub(crate) const fn index(number: u64) -> usize {
    number as usize
}
