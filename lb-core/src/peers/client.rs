//! Clients of persistent services, and which of them others have been told of.

use super::exception::Packed;
use crate::{
    flow::key::Ends,
    time::{Duration, Instant},
    wire::protocol::Protocol,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// How much longer a client is to be remembered before others are told again: a quarter, and this at least.
const LONGER: Duration = Duration::from_secs(5);

/// A client of a persistent service, and the server that it stays with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The service's protocol.
    pub protocol: Protocol,
    /// The first address of the client's network.
    pub network: IpAddr,
    /// The service.
    pub vip: SocketAddr,
    /// The server.
    pub server: SocketAddr,
    /// For how long it is remembered.
    pub left: Duration,
    /// Whoever tells of it has no connection of it, and knows it from another.
    pub is_learned: bool,
}

/// A client that others are told of.
#[derive(Clone, Copy, Debug)]
struct Entry {
    client: Client,
    until: Instant,
    /// The last look in which it was found.
    seen: u32,
}

/// Bytes that a client takes, at most: in both trees, whose nodes are at least half full.
pub const BYTES: usize = 2 * (size_of::<u64>() * 2 + size_of::<Packed>() + size_of::<Entry>());

/// Clients that others are told of, in the order in which they changed. That one is remembered no more need not be told:
/// its time is over everywhere.
#[derive(Debug)]
pub(super) struct Clients {
    capacity: usize,
    by_key: BTreeMap<Packed, u64>,
    by_number: BTreeMap<u64, Entry>,
    refused: u64,
}

impl Clients {
    pub(super) fn new(capacity: usize) -> Self {
        Clients { capacity, by_key: BTreeMap::new(), by_number: BTreeMap::new(), refused: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many found no room in the last look, or in the one that is under way.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) fn begin_look(&mut self) {
        self.refused = 0;
    }

    /// A client that is remembered. If that is news, it gets `next`.
    pub(super) fn found(&mut self, (now, look): (Instant, u32), client: &Client, next: u64) -> bool {
        let source = SocketAddr::new(client.network, 0);
        let key = Packed::of(&Ends { protocol: client.protocol, source, destination: client.vip });
        let until = now + client.left;
        let longer = Duration::from_millis(client.left.as_millis() / 4).max(LONGER);
        let known = self.by_key.get(&key).copied();
        match known.and_then(|number| self.by_number.get_mut(&number)) {
            Some(entry) => {
                entry.seen = look;
                let is_same =
                    (entry.client.server, entry.client.is_learned) == (client.server, client.is_learned);
                if is_same && until < entry.until + longer {
                    return false;
                }
            }
            None if self.by_key.len() >= self.capacity => {
                self.refused += 1;
                return false;
            }
            None => {}
        }
        if let Some(old) = self.by_key.insert(key, next) {
            self.by_number.remove(&old);
        }
        self.by_number.insert(next, Entry { client: *client, until, seen: look });
        true
    }

    /// What was not found is remembered no more.
    pub(super) fn end_look(&mut self, look: u32) {
        self.by_number.retain(|_, entry| entry.seen == look);
        let by_number = &self.by_number;
        self.by_key.retain(|_, number| by_number.contains_key(number));
    }

    /// What follows a number, in order.
    pub(super) fn after(&self, number: u64, now: Instant) -> impl Iterator<Item = (u64, Client)> {
        let from = number.saturating_add(1);
        self.by_number
            .range(from..)
            .map(move |(&number, entry)| (number, Client { left: entry.until.since(now), ..entry.client }))
    }
}
