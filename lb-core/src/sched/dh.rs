//! `dh`: by a hash of the destination address.
//!
//! Meant for caches in front of many addresses. The slots are those of `mh`, for the reasons given in `sh`.

use super::{
    Candidate,
    hashing::{Hashed, Hashing},
    tables::Tables,
};

/// Destination hashing.
pub(super) fn new(candidates: &[Candidate], servers: u32, tables: &mut Tables) -> Hashing {
    Hashing::new(candidates, Hashed::Vip, servers, tables)
}
