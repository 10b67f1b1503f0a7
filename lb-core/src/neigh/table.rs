//! All neighbours that one worker knows.
//!
//! Each worker has its own table, so that looking up a next hop touches nobody else's memory. A worker that gets a
//! neighbour's answer passes a copy on to the others, so in the end one question serves all.
//!
//! A neighbour's number stays its own as long as anything uses it, which is what a connection stores.

use super::entry::{Knowledge, Neighbour, Question};
use crate::{
    flow::key::{fold_multiply, scale},
    limits::MAX_NEIGHBOURS,
    packet::PortId,
    service::routing::NextHop,
    time::Instant,
    wire::ethernet::{self, Mac},
};
use std::net::Ipv4Addr;

/// Neighbours looked at in one call of [`Neighbours::poll`].
const POLL_STEP: usize = 16;

/// The way to a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Its address and that of our port, as they stand in a frame to it.
    pub stations: [u8; ethernet::ADDRESSES_LEN],
    /// The port it is behind.
    pub port: PortId,
    /// Largest IPv4 packet that can be sent to it now, in bytes; 0 while its address is not known.
    pub limit: u16,
}

impl Way {
    const NONE: Way = Way { stations: [0; ethernet::ADDRESSES_LEN], port: PortId(0), limit: 0 };

    fn of(neighbour: &Neighbour) -> Way {
        let limit = if neighbour.knowledge == Knowledge::Known { neighbour.mtu } else { 0 };
        Way { stations: neighbour.stations, port: neighbour.port(), limit }
    }
}

/// One worker's neighbours.
pub struct Neighbours {
    entries: Vec<Option<Neighbour>>,
    /// What a packet needs of each, close together.
    ways: Box<[Way]>,
    /// Number of the neighbour by a hash of its address: open addressing with linear probing, at most half full.
    index: Box<[u16]>,
    count: usize,
    /// First number that may be free.
    free_hint: usize,
    /// Behind the last number in use.
    end: usize,
    /// Where the round of [`Neighbours::poll`] goes on.
    cursor: usize,
}

const NONE: u16 = u16::MAX;
const INDEX_LEN: usize = MAX_NEIGHBOURS * 2;

impl Neighbours {
    /// An empty table with all the room it will ever have.
    #[must_use]
    pub fn new() -> Self {
        Neighbours {
            entries: vec![None; MAX_NEIGHBOURS],
            ways: vec![Way::NONE; MAX_NEIGHBOURS].into_boxed_slice(),
            index: vec![NONE; INDEX_LEN].into_boxed_slice(),
            count: 0,
            free_hint: 0,
            end: 0,
            cursor: 0,
        }
    }

    /// Neighbours in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the table is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The neighbour of that number.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, number: u16) -> Option<&Neighbour> {
        self.entries.get(usize::from(number)).and_then(Option::as_ref)
    }

    /// The way to the neighbour of that number.
    #[inline(always)]
    #[must_use]
    pub fn way(&self, number: u16) -> Option<&Way> {
        self.ways.get(usize::from(number))
    }

    /// The largest IPv4 packet for the port that a neighbour is behind. That a neighbour does not exist is noticed
    /// when it is sent to.
    #[inline(always)]
    #[must_use]
    pub fn mtu(&self, number: u16) -> u16 {
        self.get(number).map_or(u16::MAX, |neighbour| neighbour.mtu)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, number: u16) -> Option<&mut Neighbour> {
        self.entries.get_mut(usize::from(number)).and_then(Option::as_mut)
    }

    /// The number of a neighbour that is in the table.
    #[must_use]
    pub fn find(&self, hop: NextHop) -> Option<u16> {
        let number = self.index[self.slot_of(hop)];
        (number != NONE).then_some(number)
    }

    /// The number of a neighbour, taken into the table if need be, with one more user. `None` when the table is
    /// full of neighbours in use.
    pub fn acquire(&mut self, hop: NextHop, source: Mac, mtu: u16, now: Instant) -> Option<u16> {
        let number = match self.find(hop) {
            Some(number) => number,
            None => self.add(Neighbour::new(hop, source, mtu, now))?,
        };
        self.get_mut(number)?.users += 1;
        Some(number)
    }

    /// One user less. A neighbour without users is forgotten when it is next polled and no longer fresh.
    pub fn release(&mut self, number: u16) {
        if let Some(neighbour) = self.get_mut(number) {
            neighbour.users = neighbour.users.saturating_sub(1);
        }
    }

    /// Takes note that `address` on a port is at `mac`, if it is in the table. Returns its number and whether that
    /// is news.
    pub fn answer(&mut self, hop: NextHop, mac: Mac, now: Instant) -> Option<(u16, bool)> {
        let number = self.find(hop)?;
        let neighbour = self.entries.get_mut(usize::from(number))?.as_mut()?;
        let is_news = neighbour.answer(mac, now);
        self.ways[usize::from(number)] = Way::of(neighbour);
        Some((number, is_news))
    }

    /// Looks at a few neighbours and returns the next that wants a question sent, with its number. Called until it
    /// returns `None`, it looks at [`POLL_STEP`] neighbours in all.
    pub fn poll(&mut self, steps: &mut usize, now: Instant) -> Option<(u16, Question)> {
        while *steps < POLL_STEP.min(self.end) {
            *steps += 1;
            let number = if self.cursor < self.end { self.cursor } else { 0 };
            self.cursor = number + 1;
            let Some(neighbour) = &mut self.entries[number] else { continue };
            let unused = neighbour.users == 0;
            let question = neighbour.poll(now);
            self.ways[number] = Way::of(neighbour);
            if let Some(question) = question {
                // Nobody needs it: instead of asking again, forget it.
                if unused {
                    self.remove(number as u16);
                    continue;
                }
                return Some((number as u16, question));
            }
            if unused && neighbour.knowledge == Knowledge::Failed {
                self.remove(number as u16);
            }
        }
        None
    }

    /// All neighbours with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Neighbour)> {
        let numbered = self.entries.iter().enumerate();
        numbered.filter_map(|(number, entry)| entry.as_ref().map(|neighbour| (number as u16, neighbour)))
    }

    fn add(&mut self, neighbour: Neighbour) -> Option<u16> {
        if self.count == MAX_NEIGHBOURS {
            return None;
        }
        let free = self.entries[self.free_hint..].iter().position(Option::is_none)?;
        let number = self.free_hint + free;
        self.free_hint = number + 1;
        self.end = self.end.max(number + 1);
        let slot = self.slot_of(neighbour.hop);
        self.ways[number] = Way::of(&neighbour);
        self.entries[number] = Some(neighbour);
        self.index[slot] = number as u16;
        self.count += 1;
        Some(number as u16)
    }

    fn remove(&mut self, number: u16) {
        let Some(neighbour) = self.entries[usize::from(number)].take() else { return };
        self.ways[usize::from(number)] = Way::NONE;
        self.count -= 1;
        self.free_hint = self.free_hint.min(usize::from(number));
        while self.end > 0 && self.entries[self.end - 1].is_none() {
            self.end -= 1;
        }
        // Linear probing: what follows in the run moves up, so that no probe ends early at the gap.
        let mut gap = self.slot_holding(neighbour.hop, number);
        self.index[gap] = NONE;
        let mut at = next(gap);
        while self.index[at] != NONE {
            let home = self.get(self.index[at]).map_or(at, |other| home(other.hop));
            let reach = |from: usize, to: usize| (to + INDEX_LEN - from) % INDEX_LEN;
            if reach(home, at) >= reach(gap, at) {
                self.index[gap] = std::mem::replace(&mut self.index[at], NONE);
                gap = at;
            }
            at = next(at);
        }
    }

    /// The index slot that names this neighbour, or the free one where it would be named.
    fn slot_of(&self, hop: NextHop) -> usize {
        let mut at = home(hop);
        while self.index[at] != NONE && self.get(self.index[at]).is_none_or(|other| other.hop != hop) {
            at = next(at);
        }
        at
    }

    fn slot_holding(&self, hop: NextHop, number: u16) -> usize {
        let mut at = home(hop);
        while self.index[at] != number {
            at = next(at);
        }
        at
    }
}

impl Default for Neighbours {
    fn default() -> Self {
        Self::new()
    }
}

/// The next hop that `address` on `port` would be.
#[must_use]
pub const fn hop(port: PortId, address: Ipv4Addr) -> NextHop {
    NextHop { port, address }
}

fn home(hop: NextHop) -> usize {
    let key = u64::from(hop.address.to_bits()) << 16 | u64::from(hop.port.0);
    scale(fold_multiply(key ^ 0x082e_fa98_ec4e_6c89, 0x3f84_d5b5_b547_0917), INDEX_LEN as u64) as usize
}

fn next(at: usize) -> usize {
    if at + 1 == INDEX_LEN { 0 } else { at + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn host(number: u32) -> NextHop {
        hop(PortId((number & 1) as u16), Ipv4Addr::from_bits(0xc000_0200 + number))
    }

    #[test]
    fn a_neighbour_in_use_is_kept_and_refreshed_and_an_unused_one_forgotten() {
        let mut table = Neighbours::new();
        let used = table.acquire(host(1), Mac::default(), 1500, at(0)).unwrap();
        let unused = table.acquire(host(2), Mac::default(), 1500, at(0)).unwrap();
        table.release(unused);
        for number in [1, 2] {
            table.answer(host(number), Mac([2, 0, 0, 0, 0, 1]), at(0)).unwrap();
        }
        assert_eq!(table.poll(&mut 0, at(1_000)), None);
        assert_eq!(table.len(), 2);
        assert_eq!(table.poll(&mut 0, at(31_000)), Some((used, Question::Unicast)));
        while table.poll(&mut 0, at(31_100)).is_some() {}
        assert_eq!(table.len(), 1);
        assert_eq!(table.find(host(2)), None);
        assert_eq!(table.answer(host(2), Mac::default(), at(0)), None, "what nobody asked for is not learnt");
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = Neighbours::new();
        for number in 0..MAX_NEIGHBOURS as u32 {
            assert!(table.acquire(host(number), Mac::default(), 1500, at(0)).is_some());
        }
        assert_eq!(table.acquire(host(1 << 20), Mac::default(), 1500, at(0)), None);
        assert!(table.acquire(host(5), Mac::default(), 1500, at(0)).is_some(), "known ones still are");
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(steps in prop::collection::vec((0..300u32, any::<bool>()), 1..600)) {
            let mut table = Neighbours::new();
            let mut model: HashMap<u32, u16> = HashMap::new();
            for (number, add) in steps {
                if add {
                    let got = table.acquire(host(number), Mac::default(), 1500, at(0)).unwrap();
                    prop_assert_eq!(*model.entry(number).or_insert(got), got);
                } else if let Some(id) = model.remove(&number) {
                    table.remove(id);
                }
                for (number, id) in &model {
                    prop_assert_eq!(table.find(host(*number)), Some(*id));
                }
                prop_assert_eq!(table.len(), model.len());
            }
        }
    }
}
