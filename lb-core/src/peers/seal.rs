//! Datagrams are sealed with a key that all peers have: HMAC-SHA-256 (RFC 2104, FIPS 198-1), of which the first 128 bits
//! are sent (RFC 2104 5).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Bytes of a seal.
pub const LEN: usize = 16;
/// Bytes of a key, at least.
pub const LEAST_KEY: usize = 16;
/// Bytes of a key, at most.
pub const LONGEST_KEY: usize = 4_096;

/// What datagrams are sealed with.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// By a key. `None` if it is too short or too long.
    #[must_use]
    pub fn new(key: &[u8]) -> Option<Self> {
        let fits = (LEAST_KEY..=LONGEST_KEY).contains(&key.len());
        fits.then(|| Hmac::new_from_slice(key).ok()).flatten().map(Seal)
    }

    /// Adds the seal to a datagram.
    pub fn close(&self, datagram: &mut Vec<u8>) {
        let sum = self.0.clone().chain_update(&*datagram).finalize().into_bytes();
        datagram.extend(sum.iter().take(LEN));
    }

    /// The datagram without its seal, if that is right.
    #[must_use]
    pub fn open<'a>(&self, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (datagram, seal) = sealed.split_at_checked(sealed.len().checked_sub(LEN)?)?;
        self.0.clone().chain_update(datagram).verify_truncated_left(seal).is_ok().then_some(datagram)
    }

    /// A number that follows from others, and that nobody without the key can foretell.
    #[must_use]
    pub fn draw(&self, of: &[u64]) -> u64 {
        let mut mac = self.0.clone().chain_update(b"draw");
        of.iter().for_each(|number| mac.update(&number.to_be_bytes()));
        let sum = mac.finalize().into_bytes();
        sum.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}
