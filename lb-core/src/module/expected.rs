//! Connections that are about to come, as the modules of others have read: in one table of fixed size that all workers read
//! without a lock, and only when they have no connection for a packet.
//!
//! Packets of an expected connection may come to any worker, and they follow close behind the packet that told their sender
//! to send them. So whoever reads of one enters it before that packet goes on, and nobody can be too early: copies through
//! the workers' rings could be overtaken, and lost.
//!
//! A bucket has eight places, each with a tag and a record. Who finds one taken by another writer takes another place. A packet
//! that finds nothing is sent again.
//!
//! Where a bucket is full, one of the service makes room that has most of its places, the new one counted; of these one of the
//! client that has most; of these the oldest. So a service, or a client of it, that announces whatever it likes takes the
//! places of its own, and only as many of others' as makes their shares equal.

use crate::{
    cast::{high32, high64, index, low32, low64},
    flow::key::{Ends, Secret},
    ids::{ServerId, ServiceId},
    limits::MAX_EXPECTED,
    mix::{fold_multiply, scale},
    peers::exception::{Packed, address, bits},
    record::Record,
    time::{Duration, Instant},
};
use arrayvec::ArrayVec;
use std::{
    cmp::Reverse,
    net::{IpAddr, Ipv6Addr},
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed},
    },
};

/// How often something is expected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Once, and soon: clients connect at once, and a server as soon as it has something to say.
    Once,
    /// Once, after somebody has agreed to it, who may be asked first (`dcc_timeout` of Linux).
    Agreed,
    /// Any number of times, as long as a telephone may ring (`sip_exp_policy` of Linux): media has no beginning, and the same
    /// is announced several times.
    Media,
}

impl Times {
    /// For how long it is expected.
    #[must_use]
    pub const fn lasts(self) -> Duration {
        match self {
            Times::Once => Duration::from_secs(60),
            Times::Agreed => Duration::from_secs(300),
            Times::Media => Duration::from_secs(180),
        }
    }
}

/// Beside the server's port in a record.
const MEDIA: u64 = 1 << 16;
const AGREED: u64 = 1 << 17;
/// Words of a record: which packets, where they belong, and until when. With its number it fills two cache lines.
const WORDS: usize = 15;
/// Places of a bucket.
const PLACES: usize = 8;
/// How often a place is looked for.
const TRIES: usize = 4;

/// Bytes that all of it takes.
pub const BYTES: usize = MAX_EXPECTED * (size_of::<Record<WORDS>>() + size_of::<AtomicU32>());

/// A connection that is about to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The ends of its first packet, which comes from the client or from the server; port 0 is any.
    pub ends: Ends,
    /// The ends of the client's packets; port 0 is what the first packet says.
    pub request: Ends,
    /// The server that it belongs to, and since which snapshot that has its number.
    pub server: (ServerId, u32),
    /// The service of the connection by which it was announced.
    pub service: ServiceId,
    /// The server's port; 0 is what the first packet says.
    pub server_port: u16,
    /// The address that the server is to see in the place of the client's, under FullNAT where the client begins: that of
    /// the connection by which this one was announced, as servers compare them.
    pub local: Option<IpAddr>,
    /// How often.
    pub times: Times,
}

/// One that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What is expected.
    pub expectation: Expectation,
    place: usize,
    number: u64,
}

/// The table.
pub struct Expected {
    secret: Secret,
    /// Of each place; 0 where nothing is.
    tags: Box<[AtomicU32]>,
    records: Box<[Record<WORDS>]>,
}

/// What entering an expectation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// There was room, or it was there.
    Well,
    /// Another of its bucket has made room before its time was over.
    Instead,
    /// Not at all: others were writing to all places at that moment.
    Not,
}

impl Expected {
    /// Nothing is expected yet. The secret keeps outsiders from choosing what collides.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self::with_room(MAX_EXPECTED, secret)
    }

    /// The same with another number of places, which is rounded up to whole buckets: tests make many tables.
    #[must_use]
    pub fn with_room(places: usize, secret: Secret) -> Self {
        let places = places.clamp(PLACES, MAX_EXPECTED).next_multiple_of(PLACES);
        Expected {
            secret,
            tags: std::iter::repeat_with(|| AtomicU32::new(0)).take(places).collect(),
            records: std::iter::repeat_with(Record::vacant).take(places).collect(),
        }
    }

    /// How many are expected, those included whose time is over. Looks at all places.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.iter().filter(|tag| tag.load(Relaxed) != 0).count()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there can be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.records.len()
    }

    /// A connection is expected from now on, in the place of another with the same ends.
    pub fn enter(&self, expectation: &Expectation, now: Instant) -> Entered {
        let key = Packed::of(&expectation.ends);
        let (bucket, tag) = self.bucket(key);
        let places = bucket..bucket + PLACES;
        for _ in 0..TRIES {
            // Before what is there is looked at: whoever writes meanwhile makes them others.
            let numbers =
                places.clone().map(|place| self.records[place].number()).collect::<ArrayVec<_, PLACES>>();
            let same = places.clone().find(|&place| {
                self.tags[place].load(Relaxed) == tag
                    && self.read(place).is_some_and(|(found, _)| Packed::of(&found.expectation.ends) == key)
            });
            let held = places.clone().map(|place| self.holder(place)).collect::<ArrayVec<_, PLACES>>();
            let Some(place) = same.or_else(|| room(&held, Owner::of(expectation), now).map(|it| bucket + it))
            else {
                break;
            };
            let is_early = same.is_none()
                && matches!(held[place - bucket], Held::By(_, until) if until > now.as_millis());
            if self.write(place, numbers[place - bucket], tag, encode(key, expectation, now)) {
                return if is_early { Entered::Instead } else { Entered::Well };
            }
        }
        Entered::Not
    }

    /// What is expected of packets with these ends.
    #[must_use]
    pub fn find(&self, ends: &Ends, now: Instant) -> Option<Found> {
        let key = Packed::of(ends);
        let (bucket, tag) = self.bucket(key);
        let places = (bucket..bucket + PLACES).filter(|&place| self.tags[place].load(Acquire) == tag);
        let found = places
            .filter_map(|place| self.read(place))
            .find(|(found, until)| Packed::of(&found.expectation.ends) == key && *until > now.as_millis());
        found.map(|(found, _)| found)
    }

    /// It is not expected any more: it has come, or cannot be told from another. `false` if somebody was quicker.
    pub fn take(&self, found: &Found) -> bool {
        self.write(found.place, found.number, 0, [0; WORDS])
    }

    fn holder(&self, place: usize) -> Held {
        match self.tags[place].load(Relaxed) {
            0 => Held::ByNobody,
            _ => self
                .read(place)
                .map_or(Held::ByWriter, |(found, until)| Held::By(Owner::of(&found.expectation), until)),
        }
    }

    /// Where a key's bucket begins, and its tag.
    fn bucket(&self, key: Packed) -> (usize, u32) {
        let [a, b, c, d, e] = key.0;
        let low = fold_multiply(a ^ self.secret.0 ^ 0x8cb9_2ba7_2f3d_8dd7, b ^ 0xd6e8_feb8_6659_fd93);
        let high = fold_multiply(c ^ low, d ^ 0xa54f_f53a_5f1d_36f1);
        let hash = fold_multiply(high ^ e, self.secret.0 ^ 0x510e_527f_ade6_82d1);
        (scale(hash, self.tags.len() / PLACES) * PLACES, low32(hash) | 1)
    }

    /// What a place holds, and until when.
    fn read(&self, place: usize) -> Option<(Found, u64)> {
        let (number, words) = self.records[place].read()?;
        let (expectation, until) = decode(words)?;
        Some((Found { expectation, place, number }, until))
    }

    /// Writes to a place that has that number, unless somebody else does or did.
    fn write(&self, place: usize, number: u64, tag: u32, words: [u64; WORDS]) -> bool {
        self.records[place].write(number, words, || self.tags[place].store(tag, Relaxed))
    }
}

/// Whose an expectation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    service: ServiceId,
    client: IpAddr,
}

impl Owner {
    fn of(expectation: &Expectation) -> Self {
        Owner { service: expectation.service, client: expectation.request.source.ip() }
    }
}

/// Who has a place.
#[derive(Clone, Copy, Debug)]
enum Held {
    ByNobody,
    /// Somebody writes it at this moment.
    ByWriter,
    /// Somebody has it until then.
    By(Owner, u64),
}

/// Which of the places of a bucket somebody's next expectation gets.
fn room(places: &[Held], next: Owner, now: Instant) -> Option<usize> {
    let is_free = |held: &Held| match held {
        Held::ByNobody => true,
        Held::ByWriter => false,
        Held::By(_, until) => *until <= now.as_millis(),
    };
    if let Some(free) = places.iter().position(is_free) {
        return Some(free);
    }
    let count = |is_its: &dyn Fn(&Owner) -> bool| {
        let held = places.iter().filter(|held| matches!(held, Held::By(owner, _) if is_its(owner)));
        held.count() + usize::from(is_its(&next))
    };
    let weigh = |place: usize| match places[place] {
        Held::By(owner, until) => {
            let of_service = count(&|it| it.service == owner.service);
            let of_client = count(&|it| *it == owner);
            let is_own = (owner.service == next.service, owner == next);
            Some((of_service, is_own.0, of_client, is_own.1, Reverse(until)))
        }
        Held::ByNobody | Held::ByWriter => None,
    };
    (0..places.len()).filter_map(|place| Some((weigh(place)?, place))).max().map(|(_, place)| place)
}

fn encode(Packed([a, b, c, d, e]): Packed, expectation: &Expectation, now: Instant) -> [u64; WORDS] {
    let Packed([f, g, h, i, j]) = Packed::of(&expectation.request);
    let (server, named) = expectation.server;
    let local = bits(expectation.local.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
    let server = u64::from(server.number()) << 32 | u64::from(named);
    let until = (now + expectation.times.lasts()).as_millis();
    let times = match expectation.times {
        Times::Once => 0,
        Times::Agreed => AGREED,
        Times::Media => MEDIA,
    };
    let port = u64::from(expectation.server_port) | times | u64::from(expectation.service.number()) << 32;
    [a, b, c, d, e, f, g, h, i, j, server, port, high64(local), low64(local), until]
}

fn decode(
    [a, b, c, d, e, f, g, h, i, j, server, port, high, low, until]: [u64; WORDS],
) -> Option<(Expectation, u64)> {
    let expectation = Expectation {
        ends: Packed([a, b, c, d, e]).ends()?,
        request: Packed([f, g, h, i, j]).ends()?,
        server: (ServerId::new(high32(server)), low32(server)),
        service: ServiceId::new(high32(port)),
        server_port: u16::try_from(index(port) & 0xffff).ok()?,
        local: Some(address(high, low)).filter(|local| !local.is_unspecified()),
        times: match port & (MEDIA | AGREED) {
            0 => Times::Once,
            AGREED => Times::Agreed,
            _ => Times::Media,
        },
    };
    Some((expectation, until))
}

#[cfg(test)]
mod tests;
