//! The hash behind `sh`, `dh` and `mh`.
//!
//! Two directors that share a VIP must send a client to the same server, whatever their CPU, compiler and version of
//! this program. So the function is a specified one, SipHash-1-3 (Aumasson and Bernstein, 2012), its keys are
//! constants and its input is octets in network order. Hashes made for `HashMap`s (ahash, foldhash, the standard
//! library's) promise none of that.

use siphasher::sip::SipHasher13;
use std::net::IpAddr;

/// Digits of pi. Changing them moves every client of every hashing scheduler.
const KEYS: (u64, u64) = (0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);

/// What a hash is for. Each purpose has its own function, so that results are independent.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Place of a request in a lookup table.
    Request = 0,
    /// Where a server's walk through a lookup table starts.
    Offset = 1,
    /// How long the steps of that walk are.
    Skip = 2,
}

/// The hash of `octets` for `purpose`.
#[inline]
pub(super) fn hash(purpose: Purpose, octets: &[u8]) -> u64 {
    SipHasher13::new_with_keys(KEYS.0, KEYS.1 ^ purpose as u64).hash(octets)
}

/// Calls `what` with an address, and a port if there is one, as octets to hash. They are of either family's size, and the
/// compiler knows it.
#[inline]
pub(super) fn with_octets<T>(address: IpAddr, port: Option<u16>, what: impl FnOnce(&[u8]) -> T) -> T {
    fn joined<const A: usize, const ALL: usize>(address: [u8; A], port: u16) -> [u8; ALL] {
        let mut octets = [0; ALL];
        octets[..A].copy_from_slice(&address);
        octets[A..].copy_from_slice(&port.to_be_bytes());
        octets
    }
    match (address, port) {
        (IpAddr::V4(address), None) => what(&address.octets()),
        (IpAddr::V4(address), Some(port)) => what(&joined::<4, 6>(address.octets(), port)),
        (IpAddr::V6(address), None) => what(&address.octets()),
        (IpAddr::V6(address), Some(port)) => what(&joined::<16, 18>(address.octets(), port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values come from an implementation of SipHash-1-3 written from its paper, not from this one.
    #[test]
    fn the_same_on_every_director() {
        let octets = with_octets([192, 0, 2, 1].into(), Some(0x1234), <[u8]>::to_vec);
        assert_eq!(octets, [192, 0, 2, 1, 0x12, 0x34]);
        assert_eq!(hash(Purpose::Request, &octets), 0x07ed_1270_7a6c_0a9b);
        assert_eq!(hash(Purpose::Request, &octets[..4]), 0x0262_6010_4aa5_24f7);
        assert_eq!(hash(Purpose::Offset, &octets), 0x068e_5536_2629_db28);
        assert_eq!(hash(Purpose::Skip, &octets), 0x6dde_64a3_55b3_43d7);
    }
}
