//! `mh`: by a hash of the client's address into a weighted Maglev table.

use super::{
    Candidate, Grounds, Request, Scheduler, Turn,
    hash::endpoint,
    maglev::Table,
    tables::{Lookup, Tables},
};
use crate::sched::load::Loads;
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
}

impl Scheduler for Mh {
    fn pick(&self, request: &Request, _: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        if self.hash_port {
            self.lookup.pick(&endpoint(request.client, request.client_port))
        } else {
            self.lookup.pick(&request.client.octets())
        }
    }

    fn grounds(&self, request: &Request, _: &Turn) -> Grounds {
        if self.hash_port {
            let octets = endpoint(request.client, request.client_port);
            self.lookup.grounds(&octets, "the client's address and port")
        } else {
            self.lookup.grounds(&request.client.octets(), "the client's address")
        }
    }

    fn table(&self) -> Option<&Arc<Table>> {
        Some(self.lookup.table())
    }

    fn bytes(&self) -> usize {
        self.lookup.bytes()
    }
}
