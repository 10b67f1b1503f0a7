//! This director's exceptions, in the order in which they changed.
//!
//! Every change gets the next number, and a connection is kept under the number of its last change only. So a peer that
//! has everything up to a number is told what follows it in order, and one that has nothing is told the same way: what it
//! gets is bounded by how many there are, however often they changed. That an exception is none any more is a change as
//! well, which is kept until all peers have heard it, or too many are kept.

use super::{
    client::{Client, Clients},
    exception::{Exception, Packed},
    told::{Source, WORDS, decode, encode},
};
use crate::{flow::key::Ends, time::Instant};
use std::collections::{BTreeMap, VecDeque};

/// The part of the capacity that ended exceptions may take beside it: one over this.
const GONE_PART: usize = 4;
/// How many ended ones may be kept in any case.
const LEAST_GONE: usize = 64;
/// Bytes that an exception takes, at most: in both trees, whose nodes are at least half full, ended ones included.
pub const BYTES: usize =
    2 * (size_of::<u64>() * 3 + size_of::<Entry>() + size_of::<Packed>()) * (GONE_PART + 1) / GONE_PART;

/// An exception.
#[derive(Debug)]
struct Entry {
    words: [u64; WORDS],
    is_gone: bool,
    is_kept: bool,
    /// The last look in which it was found.
    seen: u32,
}

/// What becomes of a connection, or of a client, with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is an exception.
    Told(Exception),
    /// It was one of a peer whose run is over, and may not have moved yet.
    Kept(Exception),
    /// It is none any more.
    Gone(Ends),
    /// A client of a persistent service stays with a server.
    Client(Client),
}

/// All of them.
#[derive(Debug)]
pub struct Own {
    capacity: usize,
    by_key: BTreeMap<Packed, u64>,
    by_number: BTreeMap<u64, Entry>,
    latest: u64,
    /// Ended ones up to this number are forgotten: who has less cannot be told of all changes any more.
    horizon: u64,
    /// Numbers of ended ones, and of some that have changed since.
    gone: VecDeque<u64>,
    live: usize,
    look: u32,
    seen: usize,
    refused: u64,
    clients: Clients,
}

/// Words of exceptions need no source here, only whose they are.
const OURS: Source = Source { peer: 0, is_odd: false };
const KEPT: Source = Source { peer: 0, is_odd: true };

impl Own {
    /// Room for so many, and for as many clients.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Own {
            capacity,
            by_key: BTreeMap::new(),
            by_number: BTreeMap::new(),
            latest: 0,
            horizon: 0,
            gone: VecDeque::new(),
            live: 0,
            look: 0,
            seen: 0,
            refused: 0,
            clients: Clients::new(capacity),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The number of the last change.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.latest
    }

    /// Who has less than that cannot be told of all changes.
    #[must_use]
    pub fn horizon(&self) -> u64 {
        self.horizon
    }

    /// How many found no room in the last look, or in the one that is under way.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// A look at all connections begins.
    pub fn begin_look(&mut self) {
        self.look = self.look.wrapping_add(1);
        self.seen = 0;
        self.refused = 0;
        self.clients.begin_look();
    }

    /// How many clients there are, and how many found no room in the last look.
    #[must_use]
    pub fn clients(&self) -> (usize, u64) {
        (self.clients.len(), self.clients.refused())
    }

    /// A client that is remembered here.
    pub fn found_client(&mut self, now: Instant, client: &Client) {
        if self.clients.found((now, self.look), client, self.latest + 1) {
            self.latest += 1;
        }
    }

    /// A connection that is an exception. The last half of the room is for those that are proven, since others can be
    /// made by forging packets.
    pub fn found(&mut self, exception: &Exception, is_proven: bool) {
        self.add(exception, is_proven, OURS);
    }

    /// A connection that a peer told of in a run that is over, unless it has been found here.
    pub fn kept(&mut self, exception: &Exception) {
        let number = self.by_key.get(&Packed::of(&exception.ends));
        let known = number.and_then(|number| self.by_number.get(number));
        if known.is_none_or(|entry| entry.is_gone || entry.seen != self.look) {
            self.add(exception, true, KEPT);
        }
    }

    fn add(&mut self, exception: &Exception, is_proven: bool, whose: Source) {
        let key = Packed::of(&exception.ends);
        let words = encode(key, exception, whose);
        // Addresses of IPv6 that stand for some of IPv4 do not come back as they were; nobody has such.
        if decode(words).is_none_or(|(_, found)| found.exception != *exception) {
            return;
        }
        let number = self.by_key.get(&key).copied();
        if let Some(entry) =
            number.and_then(|number| self.by_number.get_mut(&number)).filter(|entry| !entry.is_gone)
        {
            if entry.seen != self.look {
                entry.seen = self.look;
                self.seen += 1;
            }
            if entry.words == words {
                return;
            }
        } else {
            let room = if is_proven { self.capacity } else { self.capacity / 2 };
            if self.live >= room {
                self.refused += 1;
                return;
            }
            self.live += 1;
            self.seen += 1;
        }
        self.put(key, Entry { words, is_gone: false, is_kept: whose == KEPT, seen: self.look });
    }

    /// The look is over: what was not found is none any more.
    pub fn end_look(&mut self) {
        self.clients.end_look(self.look);
        if self.seen == self.live {
            return;
        }
        let ended = self.by_number.values().filter(|entry| !entry.is_gone && entry.seen != self.look);
        let ended: Vec<[u64; WORDS]> = ended.map(|entry| entry.words).collect();
        for words in ended {
            let [a, b, c, d, e, ..] = words;
            self.live -= 1;
            self.put(
                Packed([a, b, c, d, e]),
                Entry { words, is_gone: true, is_kept: false, seen: self.look },
            );
            self.gone.push_back(self.latest);
        }
        while self.gone.len() > (self.capacity / GONE_PART).max(LEAST_GONE) {
            self.forget_oldest();
        }
    }

    /// Forgets ended ones of which everybody has heard up to that number.
    pub fn all_have(&mut self, number: u64) {
        while self.gone.front().is_some_and(|&oldest| oldest <= number) {
            self.forget_oldest();
        }
    }

    /// What follows a number, in order.
    pub fn after(&self, number: u64, now: Instant) -> impl Iterator<Item = (u64, Change)> {
        let clients =
            self.clients.after(number, now).map(|(number, client)| (number, Change::Client(client)));
        let (mut clients, mut connections) = (clients.peekable(), self.connections_after(number).peekable());
        std::iter::from_fn(move || match (connections.peek(), clients.peek()) {
            (Some((connection, _)), Some((client, _))) if client < connection => clients.next(),
            (None, _) => clients.next(),
            (Some(_), _) => connections.next(),
        })
    }

    fn connections_after(&self, number: u64) -> impl Iterator<Item = (u64, Change)> {
        let from = number.saturating_add(1);
        self.by_number.range(from..).filter_map(|(&number, entry)| {
            let (_, found) = decode(entry.words)?;
            let exception = found.exception;
            let change = match (entry.is_gone, entry.is_kept) {
                (true, _) => Change::Gone(exception.ends),
                (false, true) => Change::Kept(exception),
                (false, false) => Change::Told(exception),
            };
            Some((number, change))
        })
    }

    fn put(&mut self, key: Packed, entry: Entry) {
        self.latest += 1;
        if let Some(old) = self.by_key.insert(key, self.latest) {
            self.by_number.remove(&old);
        }
        self.by_number.insert(self.latest, entry);
    }

    fn forget_oldest(&mut self) {
        let Some(number) = self.gone.pop_front() else { return };
        self.horizon = self.horizon.max(number);
        if self.by_number.get(&number).is_some_and(|entry| entry.is_gone)
            && let Some(Entry { words: [a, b, c, d, e, ..], .. }) = self.by_number.remove(&number)
        {
            self.by_key.remove(&Packed([a, b, c, d, e]));
        }
    }
}
