//! Which connections backups are told of, and when.
//!
//! As IPVS hashes nothing, they are told of all that are old enough. As nothing is acknowledged, every connection is told
//! again, twice soon after, as IPVS's `sync_retries` does, and then before half of the time is over for which backups
//! know it. One that is over is told as such, so that it goes early.

use super::{
    entry,
    message::{Datagram, Raw},
};
use crate::{
    cast::low32,
    conn::{method::Method, state::State},
    peers::exception::{Exception, Packed, Seen},
    time::{Duration, Instant},
    wire::protocol::Protocol,
};
use std::{collections::HashMap, net::SocketAddr};

/// How long after something was told it is told again, for the first times.
const RETRY_S: u32 = 8;
/// How often.
const RETRIES: u8 = 2;
/// How long a connection that is told seldom is not told again, at most: a backup that starts has all by then.
const REFRESH_S: u32 = 60;
/// For how long backups know a connection that is over.
const CLOSE: Duration = Duration::from_secs(10);
/// Bytes that a connection takes, at most, while the map grows.
pub const BYTES: usize = 3 * (size_of::<Packed>() + size_of::<Entry>());

/// A connection that was found.
#[derive(Clone, Copy, Debug)]
struct Entry {
    server: SocketAddr,
    method: Method,
    state: State,
    /// When it is to be told again, in seconds.
    due: u32,
    retries: u8,
    seen: u32,
    /// It has been told.
    is_told: bool,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries in them.
    pub entries: u64,
    /// Connections of the last look for which there was no room.
    pub no_room: u64,
    /// Those of the last look that IPVS could not go on with: of FullNAT, L3DSR, with servers of the other family, or whose
    /// servers were told of their clients.
    pub untellable: u64,
}

/// What this director tells.
#[derive(Debug)]
pub struct Master {
    known: HashMap<Packed, Entry>,
    capacity: usize,
    syncid: u8,
    /// Bytes of a datagram, at most.
    most: usize,
    datagram: Datagram,
    look: u32,
    began_s: u32,
    /// Datagrams that may be sent now, in thousandths, and in a second.
    allowance: u64,
    rate: u32,
    polled: Instant,
    counts: Counts,
    found: [u64; 2],
}

impl Master {
    /// For that synchronization, with room for so many connections, datagrams of so many bytes and so many of them a
    /// second.
    #[must_use]
    pub fn new((syncid, most): (u8, usize), capacity: usize, rate: u32, now: Instant) -> Self {
        Master {
            known: HashMap::new(),
            capacity,
            syncid,
            most,
            datagram: Datagram::new(syncid, most),
            look: 0,
            began_s: seconds(now),
            allowance: 0,
            rate,
            polled: now,
            counts: Counts::default(),
            found: [0; 2],
        }
    }

    /// What is counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many connections are told.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Bytes of a datagram, at most, from the next on.
    pub fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// A look at all connections begins.
    pub fn begin_look(&mut self, now: Instant) {
        self.look = self.look.wrapping_add(1);
        self.began_s = seconds(now);
        self.found = [0; 2];
    }

    /// A connection was found.
    pub fn found(&mut self, seen: &Seen, out: &mut impl FnMut(&[u8])) {
        let raw = entry::tell(&seen.exception, seen.state, seen.timeout)
            .filter(|_| seen.exception.second.is_none());
        let Some(raw) = raw else {
            self.found[1] += 1;
            return;
        };
        let key = Packed::of(&seen.exception.ends);
        let (look, now) = (self.look, self.began_s);
        let is_full = self.known.len() >= if seen.is_proven { self.capacity } else { self.capacity / 2 };
        let Exception { server, method, .. } = seen.exception;
        let is_new =
            |entry: &Entry| (entry.server, entry.method, entry.state) != (server, method, seen.state);
        let known = self.known.get_mut(&key).map(|entry| {
            entry.seen = look;
            (*entry, is_new(entry))
        });
        let (entry, is_new) = match known {
            Some(known) => known,
            None if is_full => {
                self.found[0] += 1;
                return;
            }
            None => {
                let state = seen.state;
                (
                    Entry { server, method, state, due: now, retries: RETRIES, seen: look, is_told: false },
                    true,
                )
            }
        };
        if !is_new && entry.due > now {
            return;
        }
        let retries = if is_new { RETRIES } else { entry.retries.saturating_sub(1) };
        let is_told = self.add(&raw, out);
        let half = low32(seen.timeout.as_millis() / 2_000).max(1);
        let again = if retries > 0 { RETRY_S } else { REFRESH_S }.min(half);
        let told = Entry {
            server,
            method,
            state: if is_told { seen.state } else { entry.state },
            due: if is_told { now + again } else { now },
            retries: if is_told { retries } else { entry.retries },
            seen: look,
            is_told: entry.is_told || is_told,
        };
        self.known.insert(key, told);
    }

    /// The look is over: what was not found is over, too. Where it cannot be told now, it is with the next look.
    pub fn end_look(&mut self, out: &mut impl FnMut(&[u8])) {
        let gone = self.known.iter().filter(|(_, entry)| entry.seen != self.look);
        let gone: Vec<(Packed, Entry)> = gone.map(|(key, entry)| (*key, *entry)).collect();
        for (key, entry) in gone {
            let is_over = !entry.is_told || over(key, &entry).is_none_or(|raw| self.add(&raw, out));
            if is_over {
                self.known.remove(&key);
            }
        }
        self.flush(out);
        [self.counts.no_room, self.counts.untellable] = self.found;
    }

    /// Time goes on, and more can be sent.
    pub fn poll(&mut self, now: Instant) {
        let passed = now.since(std::mem::replace(&mut self.polled, now)).as_millis();
        // A tenth of a second's at once, at most.
        let most = u64::from(self.rate).max(10) * 100;
        self.allowance = (self.allowance + passed * u64::from(self.rate)).min(most);
    }

    /// Puts an entry into a datagram. Whether it could be.
    fn add(&mut self, raw: &Raw, out: &mut impl FnMut(&[u8])) -> bool {
        if !self.datagram.add(raw) {
            self.flush(out);
            if !self.datagram.add(raw) {
                return false;
            }
        }
        self.counts.entries += 1;
        true
    }

    /// Sends what there is, if something may be sent.
    fn flush(&mut self, out: &mut impl FnMut(&[u8])) {
        if self.datagram.is_empty() || self.allowance < 1_000 {
            return;
        }
        self.allowance -= 1_000;
        let datagram = std::mem::replace(&mut self.datagram, Datagram::new(self.syncid, self.most)).finish();
        self.counts.datagrams += 1;
        self.counts.bytes += datagram.len() as u64;
        out(&datagram);
    }
}

/// The entry of a connection that is over.
fn over(key: Packed, entry: &Entry) -> Option<Raw> {
    let Entry { server, method, .. } = *entry;
    let ends = key.ends()?;
    match ends.protocol {
        Protocol::Tcp => {
            entry::tell(&Exception { ends, server, method, local: None, second: None }, State::Close, CLOSE)
        }
        Protocol::Sctp => entry::tell(
            &Exception { ends, server, method, local: None, second: None },
            State::SctpClosed,
            CLOSE,
        ),
        // Has no state that says so.
        Protocol::Udp => None,
    }
}

fn seconds(now: Instant) -> u32 {
    low32(now.as_millis() / 1_000)
}
