//! Room for another connection where the table is full, or nearly.
//!
//! Unconfirmed connections make room, the oldest of the [kind](crate::conn::standing) of which there are most. And no
//! service can shut the others out: the last part of the table is for services that have less than their share, and
//! those that have more make room for their own connections there.

use super::known::Known;
use crate::{
    conn::standing::Standing,
    ids::{ConnectionId, ServiceId},
    limits::EVICTION_LOOKS,
};
use std::cmp::Reverse;

/// The part of the table that is kept for services with less than their share: one over this.
const RESERVED_PART: usize = 16;

/// Room for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is some.
    Free,
    /// That connection makes room.
    Instead(ConnectionId),
}

impl Known {
    /// Room for a connection of a service, once `ending` have ended. `None` if there is none.
    pub(super) fn room(&self, service: ServiceId, ending: [Option<ConnectionId>; 2]) -> Option<Room> {
        let free = self.connections.capacity() - self.connections.len();
        if free > self.reserved() { Some(Room::Free) } else { self.last_room(service, ending) }
    }

    /// The same where no more is free than is kept for services with less than their share.
    #[cold]
    fn last_room(&self, service: ServiceId, ending: [Option<ConnectionId>; 2]) -> Option<Room> {
        let ended = ending.iter().flatten().count();
        let free = self.connections.capacity() + ended - self.connections.len();
        let has_share = self.has_its_share(service);
        if free > if has_share { self.reserved() } else { 0 } {
            return Some(Room::Free);
        }
        self.oldest_unconfirmed_but(has_share, ending).map(Room::Instead)
    }

    /// The connection that makes room where there is a free entry but no place for it.
    pub(crate) fn oldest_unconfirmed(&self) -> Option<ConnectionId> {
        self.oldest_unconfirmed_but(false, [None; 2])
    }

    fn oldest_unconfirmed_but(
        &self,
        only_shared: bool,
        ending: [Option<ConnectionId>; 2],
    ) -> Option<ConnectionId> {
        // The kind of which there are most, first.
        let mut kinds = Standing::UNCONFIRMED;
        kinds.sort_unstable_by_key(|&kind| Reverse(self.connections.count_of(kind)));
        kinds.into_iter().find_map(|kind| self.oldest_of(kind, only_shared, ending))
    }

    /// The oldest connection of a kind, if there is one of a service that has its share; else the oldest of
    /// all, unless only the others are meant.
    fn oldest_of(
        &self,
        kind: Standing,
        only_shared: bool,
        ending: [Option<ConnectionId>; 2],
    ) -> Option<ConnectionId> {
        let mut oldest = None;
        for id in self.connections.scheduled_as(kind).take(EVICTION_LOOKS) {
            let connection = self.connections.get(id);
            if self.connections.standing(id) != kind || ending.contains(&Some(id)) {
                continue;
            }
            if self.has_its_share(self.snapshot.servers[connection.server].service) {
                return Some(id);
            }
            oldest = oldest.or(Some(id));
        }
        oldest.filter(|_| !only_shared)
    }

    /// Connections that are kept for services with less than their share.
    fn reserved(&self) -> usize {
        self.connections.capacity() / RESERVED_PART
    }

    /// Whether a service has as many connections as it can have while others want some, or more.
    fn has_its_share(&self, service: ServiceId) -> bool {
        let services = self.snapshot.order.len();
        services > 1 && self.held[service] as usize * services >= self.connections.capacity()
    }
}
