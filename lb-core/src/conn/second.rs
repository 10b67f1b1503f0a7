//! The second line of a connection, for what few connections need and a packet of all others does not look at.
//!
//! A bit in the first line says whether there is one. Lines are numbered as their connections are, so a packet that needs
//! one can load it with the first.

use std::net::SocketAddr;

/// What a connection has besides its first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Second {
    /// Bytes inserted into the stream, less those taken out, by [`Direction`](super::entry::Direction), modulo 2^32: what
    /// is added to sequence numbers, and taken from the other direction's acknowledgements.
    pub inserted: [u32; 2],
    /// The client's own endpoint, if a proxy in front of the director says that it has another.
    pub client: Option<SocketAddr>,
}

const _: () = assert!(size_of::<Second>() == 64, "one cache line");
