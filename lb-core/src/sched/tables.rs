//! One lookup table for all services with the same servers.

use super::{
    Candidate, Grounds, Scheduler,
    maglev::{self, Table},
    members::{Key, Members},
};
use crate::sched::threshold::WithRoom;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The tables there are, while schedulers are made.
#[derive(Default)]
pub struct Tables {
    /// Of schedulers that are in use.
    before: Vec<Arc<Table>>,
    known: HashMap<Key, Arc<Table>>,
}

impl Tables {
    /// Those of schedulers that are in use, to be used again.
    pub fn of<'a>(schedulers: impl Iterator<Item = &'a dyn Scheduler>) -> Tables {
        let mut seen = HashSet::new();
        let tables = schedulers.filter_map(Scheduler::table);
        let before = tables.filter(|table| seen.insert(Arc::as_ptr(table))).cloned().collect();
        Tables { before, known: HashMap::new() }
    }

    fn get(&mut self, key: Key) -> Arc<Table> {
        // Only now, since most changes concern no table.
        self.known.extend(self.before.drain(..).map(|table| (table.key().clone(), table)));
        self.known.entry(key).or_insert_with_key(|key| Arc::new(Table::new(key.clone()))).clone()
    }
}

/// What the hashing schedulers have in common: a table, and which of a service's candidates its members are.
pub(super) struct Lookup {
    table: Arc<Table>,
    /// Candidates by member.
    candidates: Box<[u32]>,
}

impl Lookup {
    /// Of these candidates, made for so many servers if that is more.
    pub(super) fn new(candidates: &[Candidate], servers: u32, tables: &mut Tables) -> Self {
        let Members { key, candidates } = Members::of(candidates, maglev::size_for(servers));
        Lookup { table: tables.get(key), candidates }
    }

    /// The candidate for what these octets say about a request.
    #[inline]
    pub(super) fn pick(&self, octets: &[u8]) -> Option<usize> {
        let member = self.table.pick(octets)?;
        self.candidates.get(member).map(|&candidate| candidate as usize)
    }

    /// The same, of those that have room: the candidate that the hash says or, if it may fall back, those of the slots
    /// behind, as if the first were not there.
    pub(super) fn pick_with_room(&self, octets: &[u8], room: WithRoom<'_>) -> Option<usize> {
        let mut slots = self.table.from(self.table.slot(octets));
        let mut pick = || self.candidates.get(slots.next()?).map(|&candidate| candidate as usize);
        if room.falls_back {
            room.until(pick, self.candidates.iter().map(|&candidate| candidate as usize))
        } else {
            pick().filter(|&candidate| (room.has)(candidate))
        }
    }

    /// The slot that such a pick looks at.
    pub(super) fn grounds(&self, octets: &[u8], hashed: &'static str) -> Grounds {
        Grounds::Slot { slot: self.table.slot(octets) as u64, of: u64::from(self.table.key().slots), hashed }
    }

    pub(super) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Bytes that it takes, without the table.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.candidates)
    }
}
