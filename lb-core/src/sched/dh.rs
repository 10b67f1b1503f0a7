//! `dh`: by a hash of the destination address.
//!
//! Meant for caches in front of many addresses. The slots are those of `mh`, for the reasons given in `sh`.

use super::{
    Candidate, Grounds, Request, Scheduler, Turn,
    hash::with_octets,
    maglev::Table,
    tables::{Lookup, Tables},
};
use crate::sched::{load::Loads, threshold::WithRoom};
use std::sync::Arc;

/// Destination hashing.
pub(super) struct Dh {
    lookup: Lookup,
}

impl Dh {
    pub(super) fn new(candidates: &[Candidate], tables: &mut Tables) -> Self {
        Dh { lookup: Lookup::new(candidates, tables) }
    }
}

impl Scheduler for Dh {
    fn pick(&self, request: &Request, _: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        with_octets(request.vip, None, |octets| self.lookup.pick(octets))
    }

    fn pick_with_room(
        &self,
        request: &Request,
        _: &mut Turn,
        _: &Loads<'_>,
        room: WithRoom<'_>,
    ) -> Option<usize> {
        let room = WithRoom { falls_back: false, ..room };
        with_octets(request.vip, None, |octets| self.lookup.pick_with_room(octets, room))
    }

    fn grounds(&self, request: &Request, _: &Turn) -> Grounds {
        with_octets(request.vip, None, |octets| self.lookup.grounds(octets, "the virtual address"))
    }

    fn table(&self) -> Option<&Arc<Table>> {
        Some(self.lookup.table())
    }

    fn bytes(&self) -> usize {
        self.lookup.bytes()
    }
}
