//! All neighbours that one worker knows.
//!
//! Each worker has its own table, so that looking up a next hop touches nobody else's memory. A worker that gets a
//! neighbour's answer passes a copy on to the others, so in the end one question serves all.
//!
//! A neighbour's number stays its own as long as anything uses it, which is what a connection stores.

use super::entry::{Knowledge, Neighbour, Question};
use crate::{
    cast::{high64, low64},
    ids::{InterfaceId, NeighbourId},
    limits::MAX_NEIGHBOURS,
    mix::{fold_multiply, scale},
    packet::PortId,
    service::{plan::InterfacePlan, routing::NextHop},
    time::Instant,
    wire::ethernet::{self, Mac},
};
use std::net::IpAddr;

/// Neighbours looked at in one call of [`Neighbours::poll`].
const POLL_STEP: usize = 16;

/// What sending to a neighbour takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjacency {
    /// Its address and that of our port, in the order of a frame to it.
    pub stations: [u8; ethernet::ADDRESSES_LEN],
    /// The port it is behind.
    pub port: PortId,
    /// Largest IPv4 packet that can be sent to it now in an untagged frame, in bytes; 0 while its address is not known.
    pub limit: u16,
}

impl Adjacency {
    /// To nobody: nothing fits.
    const VACANT: Adjacency = Adjacency { stations: [0; ethernet::ADDRESSES_LEN], port: PortId(0), limit: 0 };

    fn of(neighbour: &Neighbour) -> Adjacency {
        // Tags are written by those who take their time.
        let limit = if neighbour.is_known_untagged() { neighbour.mtu } else { 0 };
        Adjacency { stations: neighbour.stations, port: neighbour.port, limit }
    }
}

/// One worker's neighbours.
pub struct Neighbours {
    /// By number: place 0 is vacant. All the room there will ever be is reserved, but places are filled as they are first
    /// taken: few directors have a hundredth of these neighbours.
    entries: Vec<Option<Neighbour>>,
    /// What a packet needs of each, close together. Place 0 leads nowhere, so that a packet to nobody need not be told
    /// from others.
    adjacencies: Box<[Adjacency]>,
    /// The neighbour by a hash of its address: open addressing with linear probing, at most half full.
    index: Box<[Option<NeighbourId>]>,
    count: usize,
    /// First place that may be free.
    free_hint: usize,
    /// The last place in use; 0 if none is.
    last: usize,
    /// Where [`Neighbours::poll`] continues.
    cursor: usize,
}

/// Neighbours and the vacant place.
const PLACES: usize = MAX_NEIGHBOURS + 1;
const INDEX_LEN: usize = MAX_NEIGHBOURS * 2;

impl Neighbours {
    /// An empty table with all the room it will ever have.
    #[must_use]
    pub fn new() -> Self {
        let mut entries = Vec::with_capacity(PLACES);
        entries.push(None);
        Neighbours {
            entries,
            adjacencies: vec![Adjacency::VACANT; PLACES].into_boxed_slice(),
            index: vec![None; INDEX_LEN].into_boxed_slice(),
            count: 0,
            free_hint: 1,
            last: 0,
            cursor: 1,
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
    pub fn get(&self, id: NeighbourId) -> Option<&Neighbour> {
        self.entries.get(id.index()).and_then(Option::as_ref)
    }

    /// The neighbour that a packet goes to; `None` for nobody.
    #[inline(always)]
    #[must_use]
    pub fn to(&self, id: Option<NeighbourId>) -> Option<&Neighbour> {
        self.entries.get(NeighbourId::index_of(id)).and_then(Option::as_ref)
    }

    /// What sending to a neighbour takes; to nobody, nothing fits.
    #[inline(always)]
    #[must_use]
    pub fn adjacency(&self, id: Option<NeighbourId>) -> Option<&Adjacency> {
        self.adjacencies.get(NeighbourId::index_of(id))
    }

    /// The largest IPv4 packet for the port that a neighbour is behind. That a neighbour does not exist is noticed
    /// when it is sent to.
    #[inline(always)]
    #[must_use]
    pub fn mtu(&self, id: Option<NeighbourId>) -> u16 {
        self.to(id).map_or(u16::MAX, |neighbour| neighbour.mtu)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: NeighbourId) -> Option<&mut Neighbour> {
        self.entries.get_mut(id.index()).and_then(Option::as_mut)
    }

    /// The number of a neighbour that is in the table.
    #[must_use]
    pub fn find(&self, hop: NextHop) -> Option<NeighbourId> {
        self.index[self.slot_of(hop)]
    }

    /// The number of a neighbour, which is added to the table if necessary, with one more user. `None` when the table
    /// is
    /// full of neighbours in use.
    pub fn acquire(&mut self, hop: NextHop, interface: &InterfacePlan, now: Instant) -> Option<NeighbourId> {
        let id = match self.find(hop) {
            Some(id) => id,
            None => self.add(Neighbour::new(hop, interface, now))?,
        };
        self.get_mut(id)?.users += 1;
        Some(id)
    }

    /// One user less. A neighbour without users is removed when it is next polled and no longer fresh.
    pub fn release(&mut self, id: Option<NeighbourId>) {
        if let Some(neighbour) = id.and_then(|id| self.get_mut(id)) {
            neighbour.users = neighbour.users.saturating_sub(1);
        }
    }

    /// Takes note that `address` on a port is at `mac`, if it is in the table. Returns its number and whether that
    /// is news.
    pub fn answer(&mut self, hop: NextHop, mac: Mac, now: Instant) -> Option<(NeighbourId, bool)> {
        let id = self.find(hop)?;
        let neighbour = self.entries.get_mut(id.index())?.as_mut()?;
        let is_news = neighbour.answer(mac, now);
        self.adjacencies[id.index()] = Adjacency::of(neighbour);
        Some((id, is_news))
    }

    /// Looks at a few neighbours and returns the next that wants a question sent, with its number. Called until it
    /// returns `None`, it examines [`POLL_STEP`] neighbours in total.
    pub fn poll(&mut self, steps: &mut usize, now: Instant) -> Option<(NeighbourId, Question)> {
        while *steps < POLL_STEP.min(self.last) {
            *steps += 1;
            let place = if self.cursor <= self.last { self.cursor } else { 1 };
            self.cursor = place + 1;
            let Some(neighbour) = &mut self.entries[place] else { continue };
            let unused = neighbour.users == 0;
            let question = neighbour.poll(now).map(|question| {
                // Nobody needs it: instead of asking again, forget it, but only after what waits for it. Otherwise that
                // would wait for whoever gets its number.
                if unused { neighbour.give_up(now) } else { question }
            });
            self.adjacencies[place] = Adjacency::of(neighbour);
            if let (Some(question), Some(id)) = (question, id_at(place)) {
                return Some((id, question));
            }
            if unused && neighbour.knowledge == Knowledge::Failed {
                id_at(place).into_iter().for_each(|id| self.remove(id));
            }
        }
        None
    }

    /// All neighbours with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (NeighbourId, &Neighbour)> {
        let numbered = self.entries.iter().enumerate();
        numbered.filter_map(|(place, entry)| Some((id_at(place)?, entry.as_ref()?)))
    }

    fn add(&mut self, neighbour: Neighbour) -> Option<NeighbourId> {
        if self.count == MAX_NEIGHBOURS {
            return None;
        }
        let free = self.entries.get(self.free_hint..)?.iter().position(Option::is_none);
        let place = free.map_or(self.entries.len(), |free| self.free_hint + free);
        let id = id_at(place)?;
        if place == self.entries.len() {
            self.entries.push(None);
        }
        self.free_hint = place + 1;
        self.last = self.last.max(place);
        let slot = self.slot_of(neighbour.hop);
        self.adjacencies[place] = Adjacency::of(&neighbour);
        self.entries[place] = Some(neighbour);
        self.index[slot] = Some(id);
        self.count += 1;
        Some(id)
    }

    fn remove(&mut self, id: NeighbourId) {
        let Some(neighbour) = self.entries[id.index()].take() else { return };
        self.adjacencies[id.index()] = Adjacency::VACANT;
        self.count -= 1;
        self.free_hint = self.free_hint.min(id.index());
        while self.last > 0 && self.entries[self.last].is_none() {
            self.last -= 1;
        }
        // Linear probing: what follows in the run moves up, so that no probe ends early at the gap.
        let mut gap = self.slot_holding(neighbour.hop, id);
        self.index[gap] = None;
        let mut at = next(gap);
        while let Some(other) = self.index[at] {
            let home = self.get(other).map_or(at, |other| home(other.hop));
            let reach = |from: usize, to: usize| (to + INDEX_LEN - from) % INDEX_LEN;
            if reach(home, at) >= reach(gap, at) {
                self.index[gap] = self.index[at].take();
                gap = at;
            }
            at = next(at);
        }
    }

    /// The index slot that names this neighbour, or the free one where it would be named.
    fn slot_of(&self, hop: NextHop) -> usize {
        let mut at = home(hop);
        while let Some(id) = self.index[at]
            && self.get(id).is_none_or(|other| other.hop != hop)
        {
            at = next(at);
        }
        at
    }

    fn slot_holding(&self, hop: NextHop, id: NeighbourId) -> usize {
        let mut at = home(hop);
        while self.index[at] != Some(id) {
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

/// The next hop that `address` on `interface` would be.
#[must_use]
pub fn hop(interface: InterfaceId, address: impl Into<IpAddr>) -> NextHop {
    NextHop { interface, address: address.into() }
}

/// The neighbour at a place.
fn id_at(place: usize) -> Option<NeighbourId> {
    u16::try_from(place).ok().and_then(NeighbourId::at)
}

fn home(hop: NextHop) -> usize {
    let address = match hop.address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => high64(address.to_bits()) ^ low64(address.to_bits()),
    };
    let key = address << 16 ^ u64::from(hop.interface.0);
    scale(fold_multiply(key ^ 0x082e_fa98_ec4e_6c89, 0x3f84_d5b5_b547_0917), INDEX_LEN)
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

    fn wan() -> InterfacePlan {
        InterfacePlan::new("wan", PortId(0))
    }

    fn host(number: u32) -> NextHop {
        hop(InterfaceId((number & 1) as u16), std::net::Ipv4Addr::from_bits(0xc000_0200 + number))
    }

    #[test]
    fn a_neighbour_in_use_is_kept_and_refreshed_and_an_unused_one_forgotten() {
        let mut table = Neighbours::new();
        let used = table.acquire(host(1), &wan(), at(0)).unwrap();
        let unused = table.acquire(host(2), &wan(), at(0)).unwrap();
        table.release(Some(unused));
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
            assert!(table.acquire(host(number), &wan(), at(0)).is_some());
        }
        assert_eq!(table.acquire(host(1 << 20), &wan(), at(0)), None);
        assert!(table.acquire(host(5), &wan(), at(0)).is_some(), "known ones still are");
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(steps in prop::collection::vec((0..300u32, any::<bool>()), 1..600)) {
            let mut table = Neighbours::new();
            let mut model: HashMap<u32, NeighbourId> = HashMap::new();
            for (number, add) in steps {
                if add {
                    let got = table.acquire(host(number), &wan(), at(0)).unwrap();
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
