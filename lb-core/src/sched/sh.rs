//! `sh`: by a hash of the client's address.
//!
//! IPVS deals 256 slots out in turn, so that a server that goes moves nearly every client and weights are coarse. Here
//! the slots are those of `mh`: few clients move, and shares are exact. Rendezvous hashing would move none needlessly,
//! but it costs a hash for each server and new connection, and its shares are only as even as chance.

use super::{
    Candidate,
    hashing::{Hashed, Hashing},
    kind::Hashes,
    tables::Tables,
};

/// Source hashing.
pub(super) fn new(candidates: &[Candidate], hashes: Hashes, tables: &mut Tables) -> Hashing {
    Hashing::new(candidates, Hashed::client(hashes.port), hashes.servers, tables)
}
