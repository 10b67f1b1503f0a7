//! The second line of a connection, for what few connections need and a packet of all others does not look at.
//!
//! A bit in the first line says whether there is one. Lines are numbered as their connections are, so a packet that needs
//! one can load it with the first.

use crate::family::{Family, V4};
use std::net::SocketAddr;

/// What a connection has besides its first line. Addresses and ports are in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Second<F: Family = V4> {
    /// The address that its packets to the server come from, in the place of the client's; 0 if they keep the client's.
    pub local: F::Address,
    /// The port that they come from.
    pub local_port: u16,
    /// Bytes inserted into the stream, less those taken out, by [`Direction`](super::entry::Direction), modulo 2^32: what
    /// is added to sequence numbers, and taken from the other direction's acknowledgements.
    pub inserted: [u32; 2],
    /// The client's own endpoint, if a proxy in front of the director says that it has another.
    pub client: Option<SocketAddr>,
}

const _: () = assert!(size_of::<Second<V4>>() == 64, "one cache line");

impl<F: Family> Default for Second<F> {
    fn default() -> Self {
        Second { local: F::Address::default(), local_port: 0, inserted: [0; 2], client: None }
    }
}
