//! Which servers have had which destination: the memory of `lblc` and `lblcr`.
//!
//! A destination is an address that clients send to, as IPVS's schedulers see it: `daddr`, without the port. A service
//! has few and all are known when its snapshot is made, so each has an entry of its own from the beginning. IPVS, whose
//! services by firewall mark can have any, makes entries as destinations come up, 16,384 of a service before it clears
//! up.
//!
//! All workers share the entries, or each would send a destination to a server of its own. They are read and written
//! when connections open: single words, without a lock, so that of two workers who remember something at once one is
//! first. A service keeps its entries over changes of its servers, weights and kind of the two.

use crate::{
    ids::ServerId,
    time::{Duration, Instant},
};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
};

/// Servers that one destination can have at a time, under `lblcr`.
pub(super) const MOST: usize = 32;
/// For how long a destination that nobody asks for keeps its servers, and one that is asked for keeps a server more than
/// it needs: IPVS's `lblc_expiration` and `lblcr_expiration`, a day unless told otherwise.
pub(super) const EXPIRATION: Duration = Duration::from_secs(24 * 60 * 60);
/// How exactly times are kept. Less often than at every opening is an entry written that all workers read.
const STEP: Duration = Duration::from_secs(1);
/// In the place of a server's number.
const NOBODY: u32 = u32::MAX;

/// The destinations of a service.
#[derive(Debug)]
pub struct Destinations {
    /// In order.
    addresses: Box<[IpAddr]>,
    entries: Box<[Entry]>,
}

/// The servers of one destination.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Entry {
    servers: [AtomicU32; MOST],
    /// When it was last asked for, in milliseconds; 0 if never, so that workers who are the first clear nothing.
    used: AtomicU64,
    /// When a server was last put in or taken out.
    changed: AtomicU64,
}

impl Destinations {
    /// Those of a service of these addresses, with what is known of them from `before`.
    #[must_use]
    pub fn of(vips: impl Iterator<Item = IpAddr>, before: Option<&Arc<Self>>) -> Arc<Self> {
        let mut addresses: Vec<IpAddr> = vips.collect();
        addresses.sort_unstable();
        addresses.dedup();
        if let Some(same) = before.filter(|before| *before.addresses == *addresses) {
            return same.clone();
        }
        let entry = |&address: &IpAddr| before.and_then(|before| before.entry(address));
        let entries = addresses.iter().map(|address| Entry::like(entry(address))).collect();
        Arc::new(Destinations { entries, addresses: addresses.into() })
    }

    pub(super) fn entry(&self, address: IpAddr) -> Option<&Entry> {
        self.addresses.binary_search(&address).ok().map(|at| &self.entries[at])
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.addresses) + size_of_val(&*self.entries)
    }
}

impl Entry {
    fn like(before: Option<&Entry>) -> Self {
        let server = |at: usize| before.map_or(NOBODY, |before| before.servers[at].load(Relaxed));
        let time = |of: fn(&Entry) -> &AtomicU64| {
            AtomicU64::new(before.map_or(0, |before| of(before).load(Relaxed)))
        };
        Entry {
            servers: std::array::from_fn(|at| AtomicU32::new(server(at))),
            used: time(|entry| &entry.used),
            changed: time(|entry| &entry.changed),
        }
    }

    /// Its servers; none if it was not asked for in a long time.
    pub(super) fn servers(&self, now: Instant) -> impl Iterator<Item = ServerId> {
        let expired = is_past(&self.used, now);
        let servers = self.servers.iter().map(|server| server.load(Acquire));
        servers.filter(move |server| !expired && *server != NOBODY).map(ServerId::new)
    }

    /// It is asked for. One that was not in a long time has no servers any more.
    pub(super) fn ask(&self, now: Instant) {
        if is_past(&self.used, now) {
            self.servers.iter().for_each(|server| server.store(NOBODY, Relaxed));
        }
        if now.since(Instant::from_millis(self.used.load(Relaxed))) >= STEP {
            self.used.store(now.as_millis(), Relaxed);
        }
    }

    /// Its only server is another: `to` in the place of `from`, or whom another worker has put there meanwhile.
    pub(super) fn turn(&self, from: Option<ServerId>, to: ServerId) -> ServerId {
        let from = from.map_or(NOBODY, ServerId::number);
        match self.servers[0].compare_exchange(from, to.number(), AcqRel, Acquire) {
            Err(other) if other != NOBODY => ServerId::new(other),
            _ => to,
        }
    }

    /// One server more, unless it has it already. Where there is no room it takes the place of `otherwise`.
    pub(super) fn add(&self, server: ServerId, now: Instant, otherwise: impl FnOnce() -> Option<ServerId>) {
        for place in &self.servers {
            match place.compare_exchange(NOBODY, server.number(), AcqRel, Acquire) {
                Ok(_) => return self.changed.store(now.as_millis(), Relaxed),
                Err(other) if other == server.number() => return,
                Err(_) => {}
            }
        }
        if let Some(other) = otherwise() {
            self.replace(other, server.number(), now);
        }
    }

    /// One server less.
    pub(super) fn remove(&self, server: ServerId, now: Instant) {
        self.replace(server, NOBODY, now);
    }

    /// Whether its servers have been the same for so long that one of several is to go.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        is_past(&self.changed, now)
    }

    fn replace(&self, server: ServerId, by: u32, now: Instant) {
        for place in &self.servers {
            let _ = place.compare_exchange(server.number(), by, AcqRel, Relaxed);
        }
        self.changed.store(now.as_millis(), Relaxed);
    }
}

fn is_past(time: &AtomicU64, now: Instant) -> bool {
    let time = time.load(Relaxed);
    time != 0 && now.since(Instant::from_millis(time)) > EXPIRATION
}
