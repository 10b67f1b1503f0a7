//! What `lblc` and `lblcr` choose by: a service's servers with its destinations.

use super::{
    Candidate, Turn,
    destinations::{Destinations, Entry},
    least::Field,
    start::Start,
    tournament::Cost,
    wlc,
};
use crate::{
    ids::ServerId,
    packet::WorkerId,
    sched::{load::Loads, threshold::WithRoom},
};
use std::{net::IpAddr, sync::Arc};

/// A service's servers with its destinations: what both schedulers choose by.
pub(super) struct Locality {
    /// All of them, also those of weight 0.
    candidates: Box<[Candidate]>,
    /// Their places by their numbers.
    places: Box<[(ServerId, u32)]>,
    field: Field,
    pub(super) destinations: Arc<Destinations>,
}

impl Locality {
    pub(super) fn new(candidates: &[Candidate], start: Start, destinations: Arc<Destinations>) -> Self {
        let mut places: Box<[_]> = candidates.iter().map(|candidate| candidate.server).zip(0..).collect();
        places.sort_unstable();
        Locality { candidates: candidates.into(), places, field: Field::new(candidates, start), destinations }
    }

    pub(super) fn first_turn(&self, worker: WorkerId) -> Turn {
        self.field.first_turn(worker)
    }

    /// The entry of a destination. There is none only where nobody can send to that address.
    pub(super) fn entry(&self, vip: IpAddr) -> Option<&Entry> {
        self.destinations.entry(vip)
    }

    /// A candidate's server.
    pub(super) fn server(&self, candidate: usize) -> ServerId {
        self.candidates[candidate].server
    }

    /// The candidate that a server is, if it takes connections. A number that was given to another of the service's servers
    /// since is that one, which is as good as any.
    pub(super) fn taker(&self, server: ServerId, room: Option<WithRoom<'_>>) -> Option<usize> {
        let at = self.places.binary_search_by_key(&server, |&(server, _)| server).ok()?;
        let place = self.places[at].1 as usize;
        let takes = self.candidates[place].weight > 0 && room.is_none_or(|room| (room.has)(place));
        takes.then_some(place)
    }

    /// What a candidate has for its weight.
    pub(super) fn cost(&self, candidate: usize, loads: &Loads<'_>) -> Cost {
        let candidate = &self.candidates[candidate];
        wlc::cost(candidate, loads.of(candidate.server))
    }

    /// IPVS's `is_overloaded`: more active connections than its weight, while another has less than half of its own.
    pub(super) fn is_overloaded(&self, candidate: usize, loads: &Loads<'_>) -> bool {
        let active = |of: &Candidate| u64::from(loads.of(of.server).active);
        let this = &self.candidates[candidate];
        active(this) > u64::from(this.weight)
            && self.candidates.iter().any(|other| active(other) * 2 < u64::from(other.weight))
    }

    /// The candidate with the fewest connections for its weight, of all.
    pub(super) fn least(
        &self,
        turn: &mut Turn,
        loads: &Loads<'_>,
        room: Option<WithRoom<'_>>,
    ) -> Option<usize> {
        match room {
            None => self.field.least(turn, loads, wlc::cost),
            Some(room) => self.field.least_with_room(turn, loads, wlc::cost, room),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.candidates)
            + size_of_val(&*self.places)
            + self.field.bytes()
            + self.destinations.bytes()
    }
}
