//! `mh`: by a hash of the client's address into a weighted Maglev table.

use super::{
    Candidate,
    hashing::{Hashed, Hashing},
    tables::Tables,
};

/// Maglev hashing.
pub(super) fn new(candidates: &[Candidate], hash_port: bool, tables: &mut Tables) -> Hashing {
    Hashing::new(candidates, Hashed::client(hash_port), tables)
}
