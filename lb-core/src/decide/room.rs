//! Room for another connection where the table is full, or nearly.
//!
//! Unconfirmed connections make room, the oldest of the [kind](crate::conn::standing) of which there are most. And no
//! service can shut the others out: the last part of the table is for services that have less than their share, and
//! those that have more make room for their own connections there.

use super::known::{Forwarded, Known};
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
    pub(super) fn room<F: Forwarded>(
        &self,
        service: ServiceId,
        ending: [Option<ConnectionId>; 2],
    ) -> Option<Room> {
        let free = F::connections(self).capacity() - F::connections(self).len();
        if free > self.reserved::<F>() { Some(Room::Free) } else { self.last_room::<F>(service, ending) }
    }

    /// The same where no more is free than is kept for services with less than their share.
    #[cold]
    fn last_room<F: Forwarded>(&self, service: ServiceId, ending: [Option<ConnectionId>; 2]) -> Option<Room> {
        let ended = ending.iter().flatten().count();
        let free = F::connections(self).capacity() + ended - F::connections(self).len();
        let has_share = self.has_its_share::<F>(service);
        if free > if has_share { self.reserved::<F>() } else { 0 } {
            return Some(Room::Free);
        }
        self.oldest_unconfirmed_but::<F>(has_share, ending).map(Room::Instead)
    }

    /// The connection that makes room where there is a free entry but no place for it.
    pub(crate) fn oldest_unconfirmed<F: Forwarded>(&self) -> Option<ConnectionId> {
        self.oldest_unconfirmed_but::<F>(false, [None; 2])
    }

    fn oldest_unconfirmed_but<F: Forwarded>(
        &self,
        only_shared: bool,
        ending: [Option<ConnectionId>; 2],
    ) -> Option<ConnectionId> {
        // What is over, and then the kind of which there are most.
        let mut kinds = Standing::UNCONFIRMED;
        kinds.sort_unstable_by_key(|&kind| {
            (kind != Standing::Over, Reverse(F::connections(self).count_of(kind)))
        });
        kinds.into_iter().find_map(|kind| self.oldest_of::<F>(kind, only_shared, ending))
    }

    /// The oldest connection of a kind, if there is one of a service that has its share; else the oldest of
    /// all, unless only the others are meant.
    fn oldest_of<F: Forwarded>(
        &self,
        kind: Standing,
        only_shared: bool,
        ending: [Option<ConnectionId>; 2],
    ) -> Option<ConnectionId> {
        let mut oldest = None;
        for id in F::connections(self).scheduled_as(kind).take(EVICTION_LOOKS) {
            let connection = F::connections(self).get(id);
            if F::connections(self).standing(id) != kind || ending.contains(&Some(id)) {
                continue;
            }
            if self.has_its_share::<F>(self.snapshot.servers[connection.server].service) {
                return Some(id);
            }
            oldest = oldest.or(Some(id));
        }
        oldest.filter(|_| !only_shared)
    }

    /// Connections that are kept for services with less than their share.
    fn reserved<F: Forwarded>(&self) -> usize {
        F::connections(self).capacity() / RESERVED_PART
    }

    /// Whether a service has as many connections as it can have while others want some, or more.
    fn has_its_share<F: Forwarded>(&self, service: ServiceId) -> bool {
        let services = self.snapshot.order.len();
        services > 1 && self.held[service] as usize * services >= F::connections(self).capacity()
    }
}
