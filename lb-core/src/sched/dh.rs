//! `dh`: by a hash of the destination address.
//!
//! Meant for caches in front of many addresses. The slots are those of `mh`, for the reasons given in `sh`.

use super::{Candidate, Grounds, Request, Scheduler, Turn, maglev::Maglev};
use crate::sched::load::Loads;

/// Destination hashing.
pub(super) struct Dh {
    table: Maglev,
}

impl Dh {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        Dh { table: Maglev::new(candidates) }
    }
}

impl Scheduler for Dh {
    fn pick(&self, request: &Request, _: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        self.table.pick(&request.vip.octets())
    }

    fn grounds(&self, request: &Request, _: &Turn) -> Grounds {
        self.table.grounds(&request.vip.octets(), "the virtual address")
    }
}
