//! Which connections backups are told of, and when.
//!
//! As IPVS hashes nothing, they are told of all that are old enough. As nothing is acknowledged, every connection is told
//! again, twice soon after, as IPVS's `sync_retries` does, and then before half of the time is over for which backups
//! know it. One that is over is told as such, so that it goes early. The same holds for clients of persistent services,
//! but nothing says that one is remembered no more.

use super::{
    entry,
    message::{Datagram, Raw},
    template::{Of, Template},
};
use crate::{
    cast::low32,
    conn::{beside::Beside, method::Method, state::State},
    peers::exception::{Exception, Packed, Seen},
    time::{Duration, Instant},
    wire::protocol::Protocol,
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

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
/// The same of a client.
pub const CLIENT_BYTES: usize = 3 * size_of::<(Who, Known)>();

/// A connection that was found.
#[derive(Clone, Copy, Debug)]
struct Entry {
    server: SocketAddr,
    method: Method,
    state: State,
    told: Telling,
}

/// A client: its service and network.
type Who = (Of, IpAddr);
/// A client that was found: its server, and how it is reached.
type Known = (SocketAddr, Method, Telling);

/// When something is told.
#[derive(Clone, Copy, Debug)]
struct Telling {
    /// When it is to be told again, in seconds.
    due: u32,
    retries: u8,
    seen: u32,
    /// It has been told.
    is_told: bool,
}

impl Telling {
    fn new((look, now): (u32, u32)) -> Self {
        Telling { due: now, retries: RETRIES, seen: look, is_told: false }
    }

    /// It was told just now, or could not be; it is known for so long, if no more is heard.
    fn told(&mut self, now: u32, (is_new, is_told): (bool, bool), known: Duration) {
        if !is_told {
            self.due = now;
            return;
        }
        self.retries = if is_new { RETRIES } else { self.retries.saturating_sub(1) };
        let half = low32(known.as_millis() / 2_000).max(1);
        self.due = now + if self.retries > 0 { RETRY_S } else { REFRESH_S }.min(half);
        self.is_told = true;
    }
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
    /// Those of the last look that IPVS could not go on with: of FullNAT, L3DSR, with servers of the other family, whose
    /// servers were told of their clients, or whose sequence numbers have moved.
    pub untellable: u64,
    /// Clients of the last look for which there was no room.
    pub clients_no_room: u64,
    /// Those of the last look that IPVS could not stay with a server for: their service is by several addresses, ports or
    /// protocols without a mark, or as with connections.
    pub clients_untellable: u64,
}

/// What this director tells.
#[derive(Debug)]
pub struct Master {
    known: HashMap<Packed, Entry>,
    clients: HashMap<Who, Known>,
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
    /// Connections and clients of this look: without room, and not to be told.
    found: [[u64; 2]; 2],
}

impl Master {
    /// For that synchronization, with room for so many connections and as many clients, datagrams of so many bytes and so many of them a
    /// second.
    #[must_use]
    pub fn new((syncid, most): (u8, usize), capacity: usize, rate: u32, now: Instant) -> Self {
        Master {
            known: HashMap::new(),
            clients: HashMap::new(),
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
            found: [[0; 2]; 2],
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

    /// How many clients of persistent services are told.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Whether no connections are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Bytes of a datagram, at most, from the next on.
    pub fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// For another synchronization and with other bounds from now on. Of another one backups know nothing yet: they are told
    /// everything.
    pub fn change(&mut self, syncid: u8, rate: u32) {
        self.rate = rate;
        if std::mem::replace(&mut self.syncid, syncid) != syncid {
            self.known.clear();
            self.clients.clear();
            self.datagram = Datagram::new(syncid, self.most);
        }
    }

    /// A look at all connections begins.
    pub fn begin_look(&mut self, now: Instant) {
        self.look = self.look.wrapping_add(1);
        self.began_s = seconds(now);
        self.found = [[0; 2]; 2];
    }

    /// A connection was found.
    pub fn found(&mut self, seen: &Seen, out: &mut impl FnMut(&[u8])) {
        let raw = entry::tell(seen).filter(|_| {
            seen.exception
                .beside
                .is_none_or(|beside| matches!(beside, Beside::Moved(moved) if !moved.is_moved()))
        });
        let Some(raw) = raw else {
            self.found[0][1] += 1;
            return;
        };
        let key = Packed::of(&seen.exception.ends);
        let (look, now) = (self.look, self.began_s);
        let is_full = self.known.len() >= if seen.is_proven { self.capacity } else { self.capacity / 2 };
        let Exception { server, method, .. } = seen.exception;
        let state = seen.state;
        let (mut entry, is_new) = match self.known.get_mut(&key) {
            Some(entry) => {
                entry.told.seen = look;
                (*entry, (entry.server, entry.method, entry.state) != (server, method, state))
            }
            None if is_full => {
                self.found[0][0] += 1;
                return;
            }
            None => (Entry { server, method, state, told: Telling::new((look, now)) }, true),
        };
        if !is_new && entry.told.due > now {
            return;
        }
        let is_told = self.add(&raw, out);
        entry.told.told(now, (is_new, is_told), seen.timeout);
        // What could not be told is news with the next look, too.
        let state = if is_told { state } else { entry.state };
        self.known.insert(key, Entry { server, method, state, ..entry });
    }

    /// A client of a persistent service was found; nothing if IPVS has no word for its service.
    pub fn found_client(&mut self, client: Option<&Template<'_>>, out: &mut impl FnMut(&[u8])) {
        let told = client.and_then(|client| Some((client, client.tell()?)));
        let Some((&Template { of, network, server, method, left, .. }, raw)) = told else {
            self.found[1][1] += 1;
            return;
        };
        let (look, now) = (self.look, self.began_s);
        let is_full = self.clients.len() >= self.capacity;
        let (mut telling, is_new) = match self.clients.get_mut(&(of, network)) {
            Some((known, by, telling)) => {
                telling.seen = look;
                (*telling, (*known, *by) != (server, method))
            }
            None if is_full => {
                self.found[1][0] += 1;
                return;
            }
            None => (Telling::new((look, now)), true),
        };
        if !is_new && telling.due > now {
            return;
        }
        let is_told = self.add(&raw, out);
        telling.told(now, (is_new, is_told), left);
        self.clients.insert((of, network), (server, method, telling));
    }

    /// The look is over: what was not found is over, too. Where it cannot be told now, it is with the next look.
    pub fn end_look(&mut self, out: &mut impl FnMut(&[u8])) {
        let gone = self.known.iter().filter(|(_, entry)| entry.told.seen != self.look);
        let gone: Vec<(Packed, Entry)> = gone.map(|(key, entry)| (*key, *entry)).collect();
        for (key, entry) in gone {
            let is_over = !entry.told.is_told || over(key, &entry).is_none_or(|raw| self.add(&raw, out));
            if is_over {
                self.known.remove(&key);
            }
        }
        // Their time is over everywhere.
        self.clients.retain(|_, (.., telling)| telling.seen == self.look);
        self.flush(out);
        let [[no_room, untellable], [clients_no_room, clients_untellable]] = self.found;
        self.counts = Counts { no_room, untellable, clients_no_room, clients_untellable, ..self.counts };
    }

    /// Time goes on, and more can be sent.
    pub fn poll(&mut self, now: Instant) {
        let passed = now.since(std::mem::replace(&mut self.polled, now)).as_millis();
        // A tenth of a second's at once, at most.
        let most = u64::from(self.rate).max(10) * 100;
        self.allowance = (self.allowance + passed * u64::from(self.rate)).min(most);
    }

    /// Puts an entry into a datagram. Whether it could be.
    fn add(&mut self, raw: &Raw<'_>, out: &mut impl FnMut(&[u8])) -> bool {
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
fn over(key: Packed, entry: &Entry) -> Option<Raw<'static>> {
    let Entry { server, method, .. } = *entry;
    let ends = key.ends()?;
    let exception = Exception { ends, server, method, local: None, beside: None };
    // Backups find a connection that they know by its ends.
    let closed = |state| entry::tell(&Seen { exception, is_proven: true, state, timeout: CLOSE, mark: 0 });
    match ends.protocol {
        Protocol::Tcp => closed(State::Close),
        Protocol::Sctp => closed(State::SctpClosed),
        // Has no state that says so.
        Protocol::Udp | Protocol::Icmp => None,
    }
}

fn seconds(now: Instant) -> u32 {
    low32(now.as_millis() / 1_000)
}
