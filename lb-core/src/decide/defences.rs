//! When each of the director's addresses was last defended against another host's claim.
//!
//! RFC 5227 2.4 counts for each address: whoever claims ten of them has ten answers, and none of them twice within ten
//! seconds. The memory is fixed: two addresses that share a place share its limit too.

use crate::{
    cast::{high64, index, low64},
    limits::DEFENCES,
    mix::fold_multiply,
    time::{Duration, Instant},
};
use std::net::IpAddr;

/// Time between two defences of an address, RFC 5227 2.4 (DEFEND_INTERVAL).
const DEFEND_EVERY: Duration = Duration::from_secs(10);

/// When addresses were last defended.
#[derive(Debug)]
pub struct Defences(Box<[Option<Instant>]>);

impl Defences {
    /// None has been.
    #[must_use]
    pub fn new() -> Self {
        Defences(vec![None; DEFENCES].into_boxed_slice())
    }

    /// Whether an address may be defended now.
    #[must_use]
    pub fn may_defend(&self, address: IpAddr, now: Instant) -> bool {
        self.0[place(address)].is_none_or(|last| now.since(last) >= DEFEND_EVERY)
    }

    /// An address is defended now.
    pub fn defended(&mut self, address: IpAddr, now: Instant) {
        self.0[place(address)] = Some(now);
    }
}

impl Default for Defences {
    fn default() -> Self {
        Self::new()
    }
}

/// Where an address has its time. Neighbouring addresses, as VIPs often are, have places of their own.
fn place(address: IpAddr) -> usize {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let low = match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => fold_multiply(high64(address.to_bits()), PRIME) ^ low64(address.to_bits()),
    };
    index(low) % DEFENCES
}
