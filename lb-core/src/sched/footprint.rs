//! What memory schedulers take, reckoned before they are made.

use super::{
    Candidate, build,
    destinations::Destinations,
    kind::{Hashes, SchedulerKind},
    maglev,
    members::{Key, Members},
    start::Start,
    tables::Tables,
};
use crate::packet::WorkerId;
use std::{collections::HashSet, sync::Arc};

/// The memory of all schedulers of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Footprint {
    tables: HashSet<Key>,
    own: usize,
    turns: usize,
}

impl Footprint {
    /// Adds the scheduler of a service with these servers; `destinations` makes what it remembers of them.
    pub fn add(
        &mut self,
        kind: SchedulerKind,
        hashes: Hashes,
        candidates: &[Candidate],
        destinations: &dyn Fn() -> Arc<Destinations>,
    ) {
        if kind.has_table() {
            let members = Members::of(candidates, maglev::size_for(hashes.servers));
            self.own += size_of_val(&*members.candidates);
            self.tables.insert(members.key);
        } else {
            let tables = &mut Tables::default();
            let scheduler = build(kind, hashes, candidates, Start::FIRST, tables, destinations);
            self.own += scheduler.bytes();
            self.turns += scheduler.first_turn(WorkerId(0)).bytes();
        }
    }

    /// Slots of the lookup table of a service with so many servers, if its scheduler has one.
    #[must_use]
    pub fn slots(kind: SchedulerKind, hashes: Hashes, servers: usize) -> Option<u32> {
        kind.has_table().then(|| maglev::size_for(hashes.servers)(servers))
    }

    /// How many lookup tables there are: one for all services with the same servers.
    #[must_use]
    pub fn tables(&self) -> usize {
        self.tables.len()
    }

    /// Bytes that all of it takes with so many workers.
    #[must_use]
    pub fn bytes(&self, workers: usize) -> u64 {
        let tables: usize = self.tables.iter().map(maglev::bytes_of).sum();
        (tables + self.own + self.turns * workers) as u64
    }

    /// Bytes of the tables that `other` has not.
    #[must_use]
    pub fn new_table_bytes(&self, other: &Footprint) -> u64 {
        self.tables.difference(&other.tables).map(|key| maglev::bytes_of(key) as u64).sum()
    }
}
