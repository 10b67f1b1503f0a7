//! Packet formats, one protocol a file.
//!
//! Every file has the same shape: the layout as constants, a checked reader that returns plain values, and writers
//! that take a slice which the caller has made long enough. Numbers are in host byte order once read. The readers
//! never panic, whatever the bytes; the writers panic if the slice is too short, which is a defect of the caller.

pub mod arp;
pub mod checksum;
pub mod crc32c;
pub mod ethernet;
pub mod gre;
pub mod gue;
pub mod headers;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod katran;
pub mod nd;
pub mod options;
pub mod pptp;
pub mod protocol;
pub mod proxy;
pub mod quic;
pub mod quic_lb;
pub mod resolution;
pub mod sctp;
pub mod sip;
pub mod tcp;
pub mod toa;
pub mod udp;
pub mod whole;

/// The two bytes at `at` as a number.
#[inline(always)]
pub(crate) fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The four bytes at `at` as a number.
#[inline(always)]
pub(crate) fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The eight bytes at `at` as a number.
#[inline(always)]
pub(crate) fn get64(bytes: &[u8], at: usize) -> u64 {
    let b = &bytes[at..at + 8];
    u64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
}

/// The eight bytes at `at` as they lie in memory, to be compared with others that do.
#[inline(always)]
pub(crate) fn raw64(bytes: &[u8], at: usize) -> u64 {
    get64(bytes, at).to_be()
}

/// The four bytes at `at` as they lie in memory.
#[inline(always)]
pub(crate) fn raw32(bytes: &[u8], at: usize) -> u32 {
    get32(bytes, at).to_be()
}

/// The sixteen bytes at `at` as a number.
#[inline(always)]
pub(crate) fn get128(bytes: &[u8], at: usize) -> u128 {
    u128::from(get64(bytes, at)) << 64 | u128::from(get64(bytes, at + 8))
}

/// Writes `value` to the two bytes at `at`.
#[inline(always)]
pub(crate) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Writes `value` to the four bytes at `at`.
#[inline(always)]
pub(crate) fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// Writes `value` to the sixteen bytes at `at`.
#[inline(always)]
pub(crate) fn put128(bytes: &mut [u8], at: usize, value: u128) {
    bytes[at..at + 16].copy_from_slice(&value.to_be_bytes());
}
