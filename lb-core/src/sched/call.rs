//! Whose an entry of [persistence](super::persistence) is where that goes by a call instead of an address.
//!
//! A call is known by a hash of its Call-ID and of the client's network. It is written as an address of multicast (RFC 4291
//! 2.7), which is the source of no packet that opens anything, so calls and clients are not mixed up in the table, in a state
//! file and between directors. Which one is a constant function, so that another run and another director know the call again.
//!
//! Of the hash there are 120 bits: two of 2^26 calls, the most that a table has, have the same with a probability of 2^-69, and
//! would go to one server. Whoever seeks such calls gets nothing that the same Call-ID would not get him. Which bucket of
//! the table an entry is in follows from a secret, as for addresses.

use siphasher::sip128::{Hash128, Hasher128, SipHasher24};
use std::{
    hash::Hasher,
    net::{IpAddr, Ipv6Addr},
};

/// Digits of e. Changing them forgets all calls of earlier versions and of other directors.
const KEYS: (u64, u64) = (0xb7e1_5162_8aed_2a6a, 0xbf71_5880_9cf4_f3c7);

/// The name of a call: its Call-ID, among those of a network; that of all addresses is `0.0.0.0` or `::`.
#[must_use]
pub fn name(call_id: &[u8], network: IpAddr) -> IpAddr {
    let mut hasher = SipHasher24::new_with_keys(KEYS.0, KEYS.1);
    match network {
        IpAddr::V4(network) => hasher.write(&network.octets()),
        IpAddr::V6(network) => hasher.write(&network.octets()),
    }
    hasher.write(call_id);
    let Hash128 { h1, h2 } = hasher.finish128();
    Ipv6Addr::from_bits(u128::from(0xff << 56 | h1) << 64 | u128::from(h2)).into()
}

/// Whether it is a call's.
#[must_use]
pub fn is_call(name: IpAddr) -> bool {
    name.is_ipv6() && name.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const ALL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    /// The value comes from another implementation of SipHash-2-4 with 128 bits.
    #[test]
    fn the_same_on_every_director() {
        assert_eq!(
            name(b"a84b4c76e66710@pc33.example.com", ALL).to_string(),
            "ff2b:ff01:8ebc:490d:8904:46d8:4f75:5953"
        );
    }

    #[test]
    fn calls_are_told_apart_and_from_addresses() {
        let one = name(b"1", ALL);
        assert!(is_call(one));
        assert_ne!(one, name(b"2", ALL));
        assert_ne!(one, name(b"1", Ipv4Addr::new(203, 0, 113, 1).into()));
        for address in ["203.0.113.1", "2001:db8::1", "224.0.0.1"] {
            assert!(!is_call(address.parse().unwrap()), "{address}");
        }
    }
}
