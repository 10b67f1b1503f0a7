//! `mh`: by a hash of the client's address into a weighted Maglev table.

use super::{
    Candidate, Grounds, Request, Scheduler, Turn,
    hash::with_octets,
    maglev::Table,
    tables::{Lookup, Tables},
};
use crate::sched::{load::Loads, threshold::WithRoom};
use std::sync::Arc;

/// Maglev hashing.
pub(super) struct Mh {
    lookup: Lookup,
    hash_port: bool,
}

impl Mh {
    pub(super) fn new(candidates: &[Candidate], hash_port: bool, tables: &mut Tables) -> Self {
        Mh { lookup: Lookup::new(candidates, tables), hash_port }
    }

    /// The port that is hashed with the client's address, if any is.
    fn hashed_port(&self, request: &Request) -> Option<u16> {
        self.hash_port.then_some(request.client_port)
    }
}

impl Scheduler for Mh {
    fn pick(&self, request: &Request, _: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        with_octets(request.client, self.hashed_port(request), |octets| self.lookup.pick(octets))
    }

    fn pick_with_room(
        &self,
        request: &Request,
        _: &mut Turn,
        _: &Loads<'_>,
        room: WithRoom<'_>,
    ) -> Option<usize> {
        with_octets(request.client, self.hashed_port(request), |octets| {
            self.lookup.pick_with_room(octets, room)
        })
    }

    fn grounds(&self, request: &Request, _: &Turn) -> Grounds {
        let hashed = if self.hash_port { "the client's address and port" } else { "the client's address" };
        with_octets(request.client, self.hashed_port(request), |octets| self.lookup.grounds(octets, hashed))
    }

    fn table(&self) -> Option<&Arc<Table>> {
        Some(self.lookup.table())
    }

    fn bytes(&self) -> usize {
        self.lookup.bytes()
    }
}
