//! `mh`: by a hash of the client's address into a weighted Maglev table.

use super::{
    Candidate,
    hashing::{Hashed, Hashing},
    kind::Hashes,
    tables::Tables,
};

/// Maglev hashing.
pub(super) fn new(candidates: &[Candidate], hashes: Hashes, tables: &mut Tables) -> Hashing {
    Hashing::new(candidates, Hashed::client(hashes.port), hashes.servers, tables)
}
