//! `mh`: by a hash of the client's address into a weighted Maglev table.

use super::{Candidate, Grounds, Request, Scheduler, Turn, hash::endpoint, maglev::Maglev};
use crate::sched::load::Loads;

/// Maglev hashing.
pub(super) struct Mh {
    table: Maglev,
    hash_port: bool,
}

impl Mh {
    pub(super) fn new(candidates: &[Candidate], hash_port: bool) -> Self {
        Mh { table: Maglev::new(candidates), hash_port }
    }
}

impl Scheduler for Mh {
    fn pick(&self, request: &Request, _: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        if self.hash_port {
            self.table.pick(&endpoint(request.client, request.client_port))
        } else {
            self.table.pick(&request.client.octets())
        }
    }

    fn grounds(&self, request: &Request, _: &Turn) -> Grounds {
        if self.hash_port {
            let octets = endpoint(request.client, request.client_port);
            self.table.grounds(&octets, "the client's address and port")
        } else {
            self.table.grounds(&request.client.octets(), "the client's address")
        }
    }
}
