//! What masters tell of connections, until their time is over.

use super::{
    entry::{self, Unfit},
    message::{self, Unread},
    template::Template,
};
use crate::{
    cast::{count32, index},
    peers::told::{Source, Writer},
    time::{Duration, Instant},
};

/// Records that are looked at every time, at most, to find those whose time is over: all of them within seconds.
const PER_LOOK: usize = 4_096;
/// Who tells is not told apart.
const MASTERS: Source = Source { peer: 0, is_odd: false };

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that were taken.
    pub datagrams: u64,
    /// Datagrams that mean nothing.
    pub malformed: u64,
    /// Datagrams of another synchronization.
    pub other_syncid: u64,
    /// Datagrams of another version.
    pub other_version: u64,
    /// Entries of connections that live.
    pub connections: u64,
    /// Entries of connections that are over.
    pub ended: u64,
    /// Clients of persistent services that are stayed with here, too.
    pub clients: u64,
    /// Clients of services or servers that are not configured here, or remember other networks.
    pub clients_unknown: u64,
    /// Connections that found no room.
    pub no_room: u64,
    /// Entries that cannot be kept here, by [`Unfit`].
    pub unfit: [u64; Unfit::ALL.len()],
}

impl Counts {
    /// Datagrams that were not taken, by reason.
    #[must_use]
    pub fn refused(&self) -> [(&'static str, u64); 3] {
        [
            ("malformed", self.malformed),
            ("other-syncid", self.other_syncid),
            ("other-version", self.other_version),
        ]
    }

    /// Entries that cannot be kept here, by reason.
    #[must_use]
    pub fn unfit(&self) -> [(&'static str, u64); Unfit::ALL.len()] {
        std::array::from_fn(|at| (Unfit::NAMES[at], self.unfit[at]))
    }
}

/// What masters tell.
#[derive(Debug)]
pub struct Backup {
    told: Writer,
    /// When each record's time is over, in seconds.
    until: Box<[u32]>,
    next: usize,
    syncid: u8,
    counts: Counts,
}

/// Bytes of a record besides those of the table.
pub const BYTES: usize = size_of::<u32>();

impl Backup {
    /// Of that synchronization; 0 takes every one.
    #[must_use]
    pub fn new(told: Writer, syncid: u8) -> Self {
        let until = vec![0; told.told().capacity()].into_boxed_slice();
        Backup { told, until, next: 0, syncid, counts: Counts::default() }
    }

    /// Of another synchronization from now on.
    pub fn set_syncid(&mut self, syncid: u8) {
        self.syncid = syncid;
    }

    /// What is counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many connections are held, and how many can be.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.told.told().len(), self.told.told().capacity())
    }

    /// A datagram has come. `client` is told of clients of persistent services, and says whether they can be stayed with.
    /// Whether it was taken.
    pub fn receive(
        &mut self,
        now: Instant,
        datagram: &[u8],
        client: &mut impl FnMut(&Template<'_>) -> bool,
    ) -> bool {
        let entries = match message::read(datagram, self.syncid) {
            Ok(entries) => entries,
            Err(why) => {
                *match why {
                    Unread::Malformed => &mut self.counts.malformed,
                    Unread::Other(_) => &mut self.counts.other_syncid,
                    Unread::Version(_) => &mut self.counts.other_version,
                } += 1;
                return false;
            }
        };
        self.counts.datagrams += 1;
        for raw in entries {
            match entry::read(&raw) {
                Ok(entry::Told::Connection(exception, time)) => match self.told.record(&exception, MASTERS) {
                    Ok(number) => {
                        self.counts.connections += 1;
                        self.until[number as usize] = seconds(now, time);
                    }
                    Err(_) => self.counts.no_room += 1,
                },
                Ok(entry::Told::Over(ends)) => {
                    self.counts.ended += 1;
                    self.told.forget(&ends, MASTERS);
                }
                Ok(entry::Told::Client(told)) => match client(&told) {
                    true => self.counts.clients += 1,
                    false => self.counts.clients_unknown += 1,
                },
                Err(why) => self.counts.unfit[why as usize] += 1,
            }
        }
        true
    }

    /// Forgets connections whose time is over. To be called every few milliseconds.
    pub fn poll(&mut self, now: Instant) {
        if self.told.told().is_empty() {
            return;
        }
        let now = seconds(now, Duration::ZERO);
        for _ in 0..PER_LOOK.min(self.until.len()) {
            if self.until[self.next] < now {
                self.told.forget_record(count32(self.next));
            }
            self.next = (self.next + 1) % self.until.len();
        }
    }
}

fn seconds(now: Instant, more: Duration) -> u32 {
    count32(index((now.as_millis() + more.as_millis()) / 1_000))
}
