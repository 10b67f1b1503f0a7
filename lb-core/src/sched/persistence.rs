//! Which server a client stays with: the memory of services that are persistent.
//!
//! One table for all workers, of a size that is given at start. It is asked and written when connections open and end,
//! never for a packet. What many workers do at once goes by one word of an entry: whether it is in use, which of its uses
//! this is, and how many connections it controls. A connection joins an entry by adding one to that word, and only if the
//! word is still the one that it read before it compared the client; so an entry that was given to another client
//! meanwhile is noticed, and nobody waits. Whoever enters a new client takes its bucket for that moment and looks again
//! first, so two workers that open connections of one client at once end with one server. A worker that finds a bucket
//! taken for long, because the other's thread was stopped within a few dozen instructions, goes on with a connection that
//! is not remembered, which is counted.
//!
//! IPVS's rules (`ip_vs_sched_persist` in `ip_vs_core.c`, `ip_vs_check_template` in `ip_vs_conn.c`): an entry lives for
//! the service's timeout after the last connection that it opened, and while it controls any; it beats the scheduler while
//! its server is there, also one of weight 0 unless the service says `expire_quiescent`.
//!
//! Where each datagram is scheduled by itself an entry controls nothing, and lives for its time after the last of them.
//!
//! Differences: an entry whose time is over ends with its last connection; IPVS keeps it for up to another minute. A
//! server that checks have found down is not stayed with, although it may keep its connections. IPVS drops entries of
//! clients that have shown nothing only under attack; here an entry goes with its last connection unless one of its
//! connections went on, so that forged packets leave nothing behind. The table does not grow: where a bucket is full, the
//! entry that has the least time left and controls nothing makes room, those that forged packets could have made first.

use crate::{
    cast::{high64, low32, low64},
    ids::{ServerId, ServiceId},
    mix::{fold_multiply, scale},
    time::{Duration, Instant},
};
use std::{
    net::IpAddr,
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

/// Entries that share a bucket.
const SLOTS: usize = 8;
/// Bytes of memory for each entry.
pub const BYTES_PER_ENTRY: usize = size_of::<Bucket>() / SLOTS;
/// Tries to take a bucket, at most; a holder needs a few hundred cycles.
const SPINS: usize = 10_000;
/// Entries of 10 that are counted on: buckets fill unevenly.
const LOAD: usize = 7;

/// Bits of an entry's word: connections that it controls, which use of the entry this is, and what it is. One that is
/// learned has controlled no connection here since another director told of it.
const HELD: u64 = 0xffff_ffff;
const USE_SHIFT: u32 = 32;
const USE: u64 = 0xffff << USE_SHIFT;
const LEARNED: u64 = 1 << 61;
const PROVEN: u64 = 1 << 62;
const USED: u64 = 1 << 63;
/// Of a share: its client was remembered before.
const AGAIN: u64 = 1 << 62;

/// A client of a service: one address, a network, or a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The service.
    pub service: ServiceId,
    /// The first address of the network, or the [name](super::call::name) of the call.
    pub network: IpAddr,
}

/// A server, as an entry knows it: a number that was given to another server since is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub server: ServerId,
    /// Since when it has that number.
    pub named: u32,
}

/// One connection's share in an entry. It is given back when the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold(u64);

impl Hold {
    /// As a number that is not 0.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Of such a number; nothing of 0.
    #[must_use]
    pub const fn of_raw(raw: u64) -> Option<Self> {
        if raw == 0 { None } else { Some(Hold(raw)) }
    }

    fn new(entry: usize, word: u64) -> Self {
        Hold(USED | word & USE | entry as u64)
    }

    /// The same of a client that was remembered before.
    const fn again(self) -> Self {
        Hold(self.0 | AGAIN)
    }
}

/// An entry, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Whose it is.
    pub client: Client,
    /// Whom the client stays with.
    pub kept: Kept,
    /// Connections that it controls.
    pub held: u32,
    /// For how long it lives if no other connection opens.
    pub left: Duration,
    /// It is known from another director only.
    pub is_learned: bool,
    /// One of its connections has shown that the client exists.
    pub is_proven: bool,
}

/// The table.
#[derive(Debug)]
pub struct Persistence {
    buckets: Box<[Bucket]>,
    secret: u64,
    /// Connections that opened without being remembered, as there was no room.
    full: AtomicU64,
    /// The same, as another worker held the bucket.
    contended: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket {
    taken: AtomicBool,
    slots: [Slot; SLOTS],
}

/// An entry. What stands behind the word is written only while the word says that it is not in use.
#[derive(Debug, Default)]
struct Slot {
    word: AtomicU64,
    client: [AtomicU64; 2],
    service: AtomicU32,
    server: AtomicU32,
    named: AtomicU32,
    is_ipv6: AtomicBool,
    /// When its time is over, in milliseconds.
    until: AtomicU64,
}

/// A bucket that nobody else enters clients into.
struct Taken<'t>(&'t Bucket);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Release);
    }
}

impl Persistence {
    /// Room for `clients`, of any services and families.
    #[must_use]
    pub fn new(clients: usize, secret: u64) -> Self {
        let buckets = clients.div_ceil(SLOTS * LOAD / 10).max(1);
        Persistence {
            buckets: std::iter::repeat_with(Bucket::default).take(buckets).collect(),
            secret,
            full: AtomicU64::new(0),
            contended: AtomicU64::new(0),
        }
    }

    /// Bytes that a table for so many clients takes.
    #[must_use]
    pub const fn bytes(clients: usize) -> usize {
        clients.div_ceil(SLOTS * LOAD / 10) * size_of::<Bucket>()
    }

    /// Entries there can be, over all buckets.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buckets.len() * SLOTS
    }

    /// Connections that were not remembered: for want of room, and because another worker held their bucket.
    #[must_use]
    pub fn missed(&self) -> (u64, u64) {
        (self.full.load(Relaxed), self.contended.load(Relaxed))
    }

    /// Another connection of a client that is remembered, with a server that is still to be stayed with.
    pub fn join(
        &self,
        client: &Client,
        (now, timeout): (Instant, Duration),
        stays: impl Fn(Kept) -> bool,
    ) -> Option<(Kept, Hold)> {
        let (at, bucket) = self.bucket(client);
        bucket.slots.iter().enumerate().find_map(|(slot, entry)| {
            let kept = |word| entry.is_alive(word, now).then(|| entry.kept()).filter(|kept| stays(*kept));
            let (word, kept) = entry.add(client, kept)?;
            entry.until.store((now + timeout).as_millis(), Relaxed);
            Some((kept, Hold::new(at * SLOTS + slot, word).again()))
        })
    }

    /// A client's first connection, with the server that was chosen for it. The server is another if another worker was
    /// faster. Nothing if it cannot be remembered.
    pub fn enter(
        &self,
        client: &Client,
        chosen: Kept,
        (now, timeout): (Instant, Duration),
        stays: impl Fn(Kept) -> bool,
    ) -> Option<(Kept, Hold)> {
        let (at, bucket) = self.bucket(client);
        let Some(_taken) = bucket.take() else {
            self.contended.fetch_add(1, Relaxed);
            return None;
        };
        if let Some(joined) = self.join(client, (now, timeout), stays) {
            return Some(joined);
        }
        let until = (now + timeout).as_millis();
        // Each try that fails is another worker's progress.
        for _ in 0..SPINS {
            let Some((slot, word)) = bucket.place_for(client, now) else { break };
            let entry = &bucket.slots[slot];
            let next = word.wrapping_add(1 << USE_SHIFT) & USE;
            if entry.word.compare_exchange(word, next, AcqRel, Relaxed).is_ok() {
                entry.write(client, chosen, until);
                let word = USED | next | 1;
                entry.word.store(word, Release);
                return Some((chosen, Hold::new(at * SLOTS + slot, word)));
            }
        }
        self.full.fetch_add(1, Relaxed);
        None
    }

    /// A connection has ended; `proven` if its client has shown that it exists.
    pub fn leave(&self, hold: Hold, proven: bool) {
        self.give_back(hold, proven, false);
    }

    /// A datagram that was scheduled by itself has passed. Nothing that its client does shows that it exists, but that it sends
    /// again; so it is remembered for its time all the same, and makes room before those that have.
    pub fn passed(&self, hold: Hold) {
        self.give_back(hold, hold.0 & AGAIN != 0, true);
    }

    fn give_back(&self, hold: Hold, proven: bool, waits: bool) {
        let Some(entry) = self.entry(hold) else { return };
        let proof = if proven { PROVEN } else { 0 };
        let _ = entry.word.fetch_update(AcqRel, Acquire, |word| {
            let is_its = word & USED != 0 && word & USE == hold.0 & USE && word & HELD > 0;
            let left = (word - u64::from(is_its)) | proof;
            let is_over = left & HELD == 0 && left & PROVEN == 0 && !waits;
            is_its.then_some(if is_over { freed(word) } else { left })
        });
    }

    /// A connection that has not ended has shown that its client exists.
    pub fn prove(&self, hold: Hold) {
        let Some(entry) = self.entry(hold) else { return };
        let proven = |word: u64| {
            let is_its = word & USED != 0 && word & USE == hold.0 & USE;
            (is_its && word & PROVEN == 0).then_some(word | PROVEN)
        };
        // Nothing is written where it is known.
        if proven(entry.word.load(Relaxed)).is_some() {
            let _ = entry.word.fetch_update(AcqRel, Acquire, proven);
        }
    }

    /// An entry of an earlier run: a client and its server, with what was left of its time.
    pub fn restore(&self, client: &Client, kept: Kept, until: (Instant, Duration)) {
        if let Some((_, hold)) = self.enter(client, kept, until, |_| true) {
            self.leave(hold, true);
        }
    }

    /// What another director tells of a client: its server, and what is left of its time. A client that has connections
    /// with another server here stays with that one, and nobody makes room. `knows` says that the other has connections
    /// of it; else nothing changes for a client that is known here. Whether it is so now.
    pub fn learn(&self, client: &Client, kept: Kept, (now, left): (Instant, Duration), knows: bool) -> bool {
        let (_, bucket) = self.bucket(client);
        let Some(_taken) = bucket.take() else { return false };
        let until = (now + left).as_millis();
        for entry in &bucket.slots {
            let word = entry.word.load(Acquire);
            if word & USED == 0 || !entry.is_of(client) || !entry.is_alive(word, now) {
                continue;
            }
            if entry.kept() == kept {
                if knows {
                    entry.until.fetch_max(until, Relaxed);
                }
                return true;
            }
            if word & HELD > 0 || !knows {
                return false;
            }
        }
        let Some((slot, word)) = bucket.vacancy_for(client, now) else { return false };
        let entry = &bucket.slots[slot];
        let next = word.wrapping_add(1 << USE_SHIFT) & USE;
        // Another worker may just have joined it.
        let is_ours = entry.word.compare_exchange(word, next, AcqRel, Relaxed).is_ok();
        if is_ours {
            entry.write(client, kept, until);
            // Whoever tells of a client has seen that it exists.
            entry.word.store(USED | PROVEN | LEARNED | next, Release);
        }
        is_ours
    }

    /// Whom a client would stay with.
    #[must_use]
    pub fn of(&self, client: &Client, now: Instant) -> Option<Remembered> {
        let (_, bucket) = self.bucket(client);
        bucket.slots.iter().filter_map(|slot| slot.read(now)).find(|entry| entry.client == *client)
    }

    /// All entries that are alive. Others may change while it goes on.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = Remembered> + '_ {
        self.buckets.iter().flat_map(|bucket| &bucket.slots).filter_map(move |slot| slot.read(now))
    }

    /// Forgets the entries that match, and returns how many they were. Their connections go on.
    pub fn forget(&self, now: Instant, matches: impl Fn(&Remembered) -> bool) -> usize {
        let slots = self.buckets.iter().flat_map(|bucket| &bucket.slots);
        let forgotten = slots.filter(|slot| {
            slot.read(now).is_some_and(|entry| matches(&entry)) && {
                let word = slot.word.load(Acquire);
                // Another connection may have joined; it is of the same client, if the use is the same.
                slot.word
                    .fetch_update(AcqRel, Acquire, |now| {
                        (now & (USED | USE) == word & (USED | USE) && now & USED != 0).then(|| freed(now))
                    })
                    .is_ok()
            }
        });
        forgotten.count()
    }

    fn bucket(&self, client: &Client) -> (usize, &Bucket) {
        let [high, low] = halves(client.network);
        let address = fold_multiply(high ^ self.secret, low ^ 0x9e37_79b9_7f4a_7c15);
        let hash = fold_multiply(address ^ u64::from(client.service.number()), 0xbe54_66cf_34e9_0c6d);
        let at = scale(hash, self.buckets.len());
        (at, &self.buckets[at])
    }

    fn entry(&self, hold: Hold) -> Option<&Slot> {
        let at = low32(hold.0) as usize;
        self.buckets.get(at / SLOTS).map(|bucket| &bucket.slots[at % SLOTS])
    }
}

impl Bucket {
    fn take(&self) -> Option<Taken<'_>> {
        for _ in 0..SPINS {
            if self.taken.compare_exchange_weak(false, true, Acquire, Relaxed).is_ok() {
                return Some(Taken(self));
            }
            std::hint::spin_loop();
        }
        None
    }

    /// The entry that a client gets, and its word: its own whose time is over or whose server is not stayed with, else a
    /// free one, else the one that makes room.
    fn place_for(&self, client: &Client, now: Instant) -> Option<(usize, u64)> {
        self.vacancy_for(client, now).or_else(|| {
            let idle = self.words().filter(|(_, word)| word & HELD == 0);
            idle.min_by_key(|(at, word)| (word & PROVEN != 0, self.slots[*at].until.load(Relaxed)))
        })
    }

    /// The same, as long as nobody has to make room.
    fn vacancy_for(&self, client: &Client, now: Instant) -> Option<(usize, u64)> {
        let own = self.words().find(|(at, word)| word & USED != 0 && self.slots[*at].is_of(client));
        let is_free = |at: usize, word| word & USED == 0 || !self.slots[at].is_alive(word, now);
        own.or_else(|| self.words().find(|(at, word)| is_free(*at, *word)))
    }

    fn words(&self) -> impl Iterator<Item = (usize, u64)> {
        self.slots.iter().map(|slot| slot.word.load(Acquire)).enumerate()
    }
}

impl Slot {
    /// One connection more, if the entry is the client's and `kept` knows its server. Gives the word back.
    fn add(&self, client: &Client, kept: impl Fn(u64) -> Option<Kept>) -> Option<(u64, Kept)> {
        let mut word = self.word.load(Acquire);
        loop {
            if word & USED == 0 || !self.is_of(client) {
                return None;
            }
            let server = kept(word)?;
            match self.word.compare_exchange_weak(word, (word + 1) & !LEARNED, AcqRel, Acquire) {
                Ok(_) => return Some((word, server)),
                Err(other) => word = other,
            }
        }
    }

    fn is_of(&self, client: &Client) -> bool {
        let [high, low] = halves(client.network);
        self.service.load(Relaxed) == client.service.number()
            && self.client[0].load(Relaxed) == high
            && self.client[1].load(Relaxed) == low
            && self.is_ipv6.load(Relaxed) == client.network.is_ipv6()
    }

    fn is_alive(&self, word: u64, now: Instant) -> bool {
        word & HELD > 0 || self.until.load(Relaxed) > now.as_millis()
    }

    fn kept(&self) -> Kept {
        Kept { server: ServerId::new(self.server.load(Relaxed)), named: self.named.load(Relaxed) }
    }

    fn write(&self, client: &Client, kept: Kept, until: u64) {
        let [high, low] = halves(client.network);
        self.service.store(client.service.number(), Relaxed);
        self.client[0].store(high, Relaxed);
        self.client[1].store(low, Relaxed);
        self.is_ipv6.store(client.network.is_ipv6(), Relaxed);
        self.server.store(kept.server.number(), Relaxed);
        self.named.store(kept.named, Relaxed);
        self.until.store(until, Relaxed);
    }

    /// The entry, if it is alive and was not given to another client while it was read.
    fn read(&self, now: Instant) -> Option<Remembered> {
        let word = self.word.load(Acquire);
        let [high, low] = [0, 1].map(|half| self.client[half].load(Relaxed));
        let network: IpAddr = if self.is_ipv6.load(Relaxed) {
            IpAddr::V6((u128::from(high) << 64 | u128::from(low)).into())
        } else {
            IpAddr::V4(low32(low).into())
        };
        let remembered = Remembered {
            client: Client { service: ServiceId::new(self.service.load(Relaxed)), network },
            kept: self.kept(),
            held: low32(word & HELD),
            left: Instant::from_millis(self.until.load(Relaxed)).since(now),
            is_learned: word & LEARNED != 0,
            is_proven: word & PROVEN != 0,
        };
        let is_alive = word & USED != 0 && self.is_alive(word, now);
        // Nothing that was read may be read again behind this.
        std::sync::atomic::fence(Acquire);
        let is_same = self.word.load(Relaxed) & (USED | USE) == word & (USED | USE);
        (is_alive && is_same).then_some(remembered)
    }
}

/// The word of an entry that is not in use any more.
const fn freed(word: u64) -> u64 {
    word.wrapping_add(1 << USE_SHIFT) & USE
}

fn halves(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [0, address.to_bits().into()],
        IpAddr::V6(address) => [high64(address.to_bits()), low64(address.to_bits())],
    }
}
