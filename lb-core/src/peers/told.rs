//! What peers have told: exceptions in a table of fixed size. One thread of the control plane writes it; workers read
//! it, without a lock, and only when they have no connection for a packet.
//!
//! A reader that meets a record which is being written takes it for absent; the packet's sender sends it again.
//!
//! Records are found by the ends of either direction's packets: buckets of eight slots, two for each key, each slot a
//! tag and a record's number. Keys are hashed with a secret of the run, as clients choose them.

use super::exception::{Exception, Packed, address, bits};
use crate::{
    cast::{count32, high32, high64, index, low32, low64},
    conn::{beside::Beside, method::Method},
    flow::key::{Ends, Secret},
    mix::{fold_multiply, scale},
    record::Record,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

/// Words of a record: both ends, the server, the local address, the rest, and what goes on besides.
pub(super) const WORDS: usize = 11;
/// Slots of a bucket: a cache line.
const SLOTS: usize = 8;
/// Keys of a record, at most: one for each direction.
const KEYS: usize = 2;
/// Bytes that a record takes: its words and number, and what the writer knows of it, and its slots at 75 % load.
pub const BYTES: usize = size_of::<Record<WORDS>>() + size_of::<u16>() + size_of::<u32>() + KEYS * 8 * 4 / 3;

/// What workers see of peers' exceptions.
#[derive(Debug)]
pub struct Told {
    secret: Secret,
    slots: Box<[AtomicU64]>,
    records: Box<[Record<WORDS>]>,
    held: AtomicU64,
    /// By number, as explanations name them. No packet asks.
    names: RwLock<Vec<Option<SocketAddr>>>,
    is_of_ipvs: bool,
}

/// Which peer told of an exception, and in which of its two last lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The peer, by its number.
    pub peer: u8,
    /// Lives are told apart by their parity.
    pub is_odd: bool,
}

impl Source {
    const fn code(self) -> u16 {
        (self.peer as u16) << 1 | self.is_odd as u16
    }
}

/// Who told of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// A peer, by its number.
    Peer(u8),
    /// A director of IPVS: see [`ipvs`](super::ipvs).
    Ipvs,
    /// Another connection of this director's, as a [module](crate::module) has read.
    Module,
}

/// An exception that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What was told.
    pub exception: Exception,
    /// By whom.
    pub teller: Teller,
}

/// The writing end of the table.
#[derive(Debug)]
pub struct Writer {
    told: Arc<Told>,
    free: Vec<u32>,
    /// Who told of each record; nobody has [`VACANT`].
    sources: Box<[u16]>,
    /// How many records each told of.
    counts: Vec<usize>,
}

const VACANT: u16 = u16::MAX;

/// There is no room for another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Told {
    /// A table for so many exceptions of those peers, and the end by which it is written. Without peers it is directors of
    /// IPVS who tell.
    #[must_use]
    pub fn new(capacity: usize, secret: Secret, peers: Vec<SocketAddr>) -> (Arc<Self>, Writer) {
        let buckets = (capacity * KEYS * 4 / 3).div_ceil(SLOTS).max(2);
        let told = Arc::new(Told {
            secret,
            slots: std::iter::repeat_with(|| AtomicU64::new(0)).take(buckets * SLOTS).collect(),
            records: std::iter::repeat_with(Record::vacant).take(capacity).collect(),
            held: AtomicU64::new(0),
            is_of_ipvs: peers.is_empty(),
            names: RwLock::default(),
        });
        let free = (0..count32(capacity)).rev().collect();
        let sources = vec![VACANT; capacity].into_boxed_slice();
        let mut writer = Writer { told: told.clone(), free, sources, counts: vec![0; 2] };
        (0..=u8::MAX).zip(peers).for_each(|(number, peer)| writer.name(number, Some(peer)));
        (told, writer)
    }

    /// How many exceptions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        index(self.held.load(Relaxed))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there can be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.records.len()
    }

    /// The address of a peer.
    #[must_use]
    pub fn peer(&self, peer: u8) -> Option<SocketAddr> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.get(usize::from(peer)).copied().flatten()
    }

    /// What has been told of the connection of packets with these ends, from either side.
    #[must_use]
    pub fn find(&self, ends: &Ends) -> Option<Found> {
        if self.is_empty() {
            return None;
        }
        let key = Packed::of(ends);
        self.matching(key).find_map(|number| {
            let (forward, found) = self.read(number)?;
            let reply = || found.exception.reply_ends().map(|ends| Packed::of(&ends));
            let teller = if self.is_of_ipvs { Teller::Ipvs } else { found.teller };
            (forward == key || reply() == Some(key)).then_some(Found { teller, ..found })
        })
    }

    /// The buckets of a key, and its tag in them.
    fn place(&self, key: Packed) -> ([usize; 2], u32) {
        let [a, b, c, d, e] = key.0;
        let low = fold_multiply(a ^ self.secret.0 ^ 0xe703_7ed1_a0b4_28db, b ^ 0x9e37_79b9_7f4a_7c15);
        let high = fold_multiply(c ^ low, d ^ 0xc2b2_ae3d_27d4_eb4f);
        let hash = fold_multiply(high ^ e, self.secret.0 ^ 0x8ebc_6af0_9c88_c6e3);
        let other = fold_multiply(hash, 0xa076_1d64_78bd_642f);
        let buckets = self.slots.len() / SLOTS;
        ([scale(hash, buckets) * SLOTS, scale(other, buckets) * SLOTS], low32(hash))
    }

    /// The records whose slots have the key's tag.
    fn matching(&self, key: Packed) -> impl Iterator<Item = u32> {
        let (buckets, tag) = self.place(key);
        let slots = buckets.into_iter().flat_map(|at| &self.slots[at..at + SLOTS]);
        let slots = slots.map(|slot| slot.load(Acquire));
        slots.filter(move |&slot| slot != 0 && high32(slot) == tag).map(|slot| low32(slot) - 1)
    }

    fn read(&self, number: u32) -> Option<(Packed, Found)> {
        let (_, words) = self.records.get(number as usize)?.read()?;
        decode(words)
    }
}

impl Writer {
    /// The table.
    #[must_use]
    pub fn told(&self) -> &Arc<Told> {
        &self.told
    }

    /// A peer has that number from now on; nothing if nobody has.
    pub fn name(&mut self, number: u8, peer: Option<SocketAddr>) {
        let at = usize::from(number);
        let mut names = self.told.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() <= at {
            names.resize(at + 1, None);
        }
        names[at] = peer;
        let lives = 2 * names.len();
        if self.counts.len() < lives {
            self.counts.resize(lives, 0);
        }
    }

    /// A peer tells of an exception, or of another server of one. What another peer told of it is forgotten.
    ///
    /// # Errors
    /// When the table is full. Then what it had of that connection is gone.
    pub fn tell(&mut self, exception: &Exception, source: Source) -> Result<(), Full> {
        self.record(exception, source).map(drop)
    }

    /// The same, for who wants to know the record's number, which is below the capacity.
    ///
    /// # Errors
    /// The same.
    pub fn record(&mut self, exception: &Exception, source: Source) -> Result<u32, Full> {
        let key = Packed::of(&exception.ends);
        let words = encode(key, exception, source);
        if let Some(number) = self.find(key) {
            if self.told.records[number as usize].read().is_some_and(|(_, before)| before == words) {
                return Ok(number);
            }
            self.free(number);
        }
        let number = *self.free.last().ok_or(Full)?;
        self.write(number, words);
        let reply = exception.reply_ends().map(|ends| Packed::of(&ends));
        let mut entered = [None; KEYS];
        for (at, key) in std::iter::once(key).chain(reply).enumerate() {
            entered[at] = self.enter(key, number);
            if entered[at].is_none() {
                entered.iter().flatten().for_each(|&slot: &usize| self.told.slots[slot].store(0, Release));
                return Err(Full);
            }
        }
        self.free.pop();
        self.sources[number as usize] = source.code();
        self.counts[usize::from(source.code())] += 1;
        self.count();
        Ok(number)
    }

    /// A peer says that an exception is none any more. What another told of it stays.
    pub fn forget(&mut self, ends: &Ends, source: Source) {
        if let Some(number) = self.find(Packed::of(ends))
            && self.sources[number as usize] == source.code()
        {
            self.free(number);
        }
    }

    /// Forgets a record, if there is one of that number.
    pub fn forget_record(&mut self, number: u32) {
        if self.sources.get(number as usize).is_some_and(|&source| source != VACANT) {
            self.free(number);
        }
    }

    /// Forgets all that a peer told in a life. Looks at all records.
    pub fn forget_all(&mut self, source: Source) {
        if self.counts.get(usize::from(source.code())).is_none_or(|&count| count == 0) {
            return;
        }
        for number in 0..count32(self.sources.len()) {
            if self.sources[number as usize] == source.code() {
                self.free(number);
            }
        }
    }

    /// How many a peer told of, in both lives.
    #[must_use]
    pub fn count_of(&self, peer: u8) -> usize {
        let lives = [false, true].map(|is_odd| usize::from(Source { peer, is_odd }.code()));
        lives.iter().filter_map(|&life| self.counts.get(life)).sum()
    }

    /// What a peer told in a life. Looks at all records, if there are any.
    pub fn of(&self, source: Source) -> impl Iterator<Item = Exception> {
        let code = source.code();
        let count = self.counts.get(usize::from(code)).copied().unwrap_or_default();
        let numbers =
            (0..count32(self.sources.len())).filter(move |&number| self.sources[number as usize] == code);
        numbers.take(count).filter_map(|number| Some(self.told.read(number)?.1.exception))
    }

    fn find(&self, key: Packed) -> Option<u32> {
        let is_it = |&number: &u32| self.told.read(number).is_some_and(|(forward, _)| forward == key);
        self.told.matching(key).find(is_it)
    }

    /// The slot that a record gets, if there is room in the buckets of the key: in the emptier one.
    fn enter(&self, key: Packed, number: u32) -> Option<usize> {
        let (buckets, tag) = self.told.place(key);
        let vacant = |at: usize| (at..at + SLOTS).filter(|&slot| self.told.slots[slot].load(Relaxed) == 0);
        let at = buckets.into_iter().max_by_key(|&at| vacant(at).count())?;
        let slot = vacant(at).next()?;
        self.told.slots[slot].store(u64::from(tag) << 32 | u64::from(number + 1), Release);
        Some(slot)
    }

    fn leave(&self, key: Packed, number: u32) {
        let (buckets, _) = self.told.place(key);
        for slot in buckets.into_iter().flat_map(|at| &self.told.slots[at..at + SLOTS]) {
            let holds = slot.load(Relaxed);
            if holds != 0 && low32(holds) == number + 1 {
                slot.store(0, Release);
            }
        }
    }

    fn free(&mut self, number: u32) {
        if let Some((key, found)) = self.told.read(number) {
            self.leave(key, number);
            if let Some(reply) = found.exception.reply_ends() {
                self.leave(Packed::of(&reply), number);
            }
        }
        let source = std::mem::replace(&mut self.sources[number as usize], VACANT);
        if let Some(count) = self.counts.get_mut(usize::from(source)) {
            *count -= 1;
        }
        self.free.push(number);
        self.count();
    }

    fn write(&self, number: u32, words: [u64; WORDS]) {
        let record = &self.told.records[number as usize];
        let is_written = record.write(record.number(), words, || ());
        debug_assert!(is_written, "nobody else writes");
    }

    fn count(&self) {
        let held = self.sources.len() - self.free.len();
        self.told.held.store(held as u64, Relaxed);
    }
}

pub(super) fn encode(Packed([a, b, c, d, e]): Packed, exception: &Exception, source: Source) -> [u64; WORDS] {
    let server = bits(exception.server.ip());
    let local = exception.local.map_or(0, |local| bits(local.ip()));
    let local_port = exception.local.map_or(0, |local| local.port());
    let method = Method::ALL.iter().position(|&method| method == exception.method).unwrap_or_default();
    let ports = u64::from(exception.server.port()) << 16 | u64::from(local_port);
    let rest = (method as u64) << 48 | u64::from(source.code()) << 32 | ports;
    let [base, line] = exception.beside.map_or([0; 2], Beside::line);
    let beside = u64::from(base) << 32 | u64::from(line);
    [a, b, c, d, e, high64(server), low64(server), high64(local), low64(local), rest, beside]
}

pub(super) fn decode([a, b, c, d, e, f, g, h, i, rest, line]: [u64; WORDS]) -> Option<(Packed, Found)> {
    let forward = Packed([a, b, c, d, e]);
    let port = |shift: u32| u16::try_from(rest >> shift & 0xffff).unwrap_or_default();
    let method = *Method::ALL.get(index(rest >> 48))?;
    let local = method.hides_clients().then(|| SocketAddr::new(address(h, i), port(0)));
    let server = SocketAddr::new(address(f, g), port(16));
    let beside = Beside::of_line([high32(line), low32(line)]);
    let exception = Exception { ends: forward.ends()?, server, method, local, beside };
    let peer = u8::try_from(rest >> 33 & 0x7fff).ok()?;
    Some((forward, Found { exception, teller: Teller::Peer(peer) }))
}
