//! Schedulers: which real server gets a new connection. One scheduler, one file.
//!
//! A scheduler has two parts. What follows from the configuration alone (a Maglev table, say) is built once, never
//! changes and is shared by all workers: [`Scheduler`]. What moves from pick to pick is each worker's own:
//! [`Turn`].

mod dh;
mod hash;
pub mod kind;
mod lc;
pub mod least;
pub mod load;
mod maglev;
mod mh;
mod rr;
mod sh;
mod shares;
#[cfg(test)]
mod tests;
mod wlc;
mod wrr;

use crate::{ids::ServerId, packet::WorkerId};
use kind::SchedulerKind;
use least::Tournament;
use load::Loads;
use std::{net::Ipv4Addr, sync::Arc};

/// The scheduler of a service with these servers.
///
/// Costs time and memory with the hashing schedulers only: a table of 256 KiB and a few milliseconds.
#[must_use]
pub fn build(kind: SchedulerKind, hash_port: bool, candidates: &[Candidate]) -> Arc<dyn Scheduler> {
    match kind {
        SchedulerKind::Rr => Arc::new(rr::Rr::new(candidates)),
        SchedulerKind::Wrr => Arc::new(wrr::Wrr::new(candidates)),
        SchedulerKind::Lc => Arc::new(lc::Lc::new(candidates)),
        SchedulerKind::Wlc => Arc::new(wlc::Wlc::new(candidates)),
        SchedulerKind::Sh => Arc::new(sh::Sh::new(candidates, hash_port)),
        SchedulerKind::Dh => Arc::new(dh::Dh::new(candidates)),
        SchedulerKind::Mh => Arc::new(mh::Mh::new(candidates, hash_port)),
    }
}

/// A real server as a scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which it is of all servers of the director.
    pub server: ServerId,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// Its share of new connections; 0 takes none.
    pub weight: u32,
}

/// The new connection that wants a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Client's address.
    pub client: Ipv4Addr,
    /// Client's port.
    pub client_port: u16,
    /// Address the client sent to.
    pub vip: Ipv4Addr,
    /// Port the client sent to.
    pub vip_port: u16,
}

/// One worker's own, changing part of a scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Where a round goes on.
    pub position: usize,
    /// A heap of who is due next, for schedulers that keep such a queue. Allocated with the snapshot.
    pub due: Vec<Due>,
    /// Who has the least load, for schedulers that ask for that. Allocated with the snapshot.
    pub tournament: Tournament,
}

impl Turn {
    /// The same turn, to be taken with the loads of another board: what is known of this one's does not count there.
    #[must_use]
    pub fn for_another_board(&self) -> Turn {
        Turn { tournament: self.tournament.unread(), ..self.clone() }
    }
}

/// When one server is due for its next connection: a lap of the round, and a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which lap. May wrap: all entries of a queue are in one lap or the next.
    pub lap: u32,
    /// Whose turn it is, as the scheduler numbers its servers.
    pub member: u32,
    /// How far into the lap, in units of the member's own.
    pub at: u64,
}

/// A candidate that takes connections, with its index among the candidates.
type Taker = (usize, Candidate);

/// The candidates that take connections.
fn takers(candidates: &[Candidate]) -> Box<[Taker]> {
    candidates.iter().copied().enumerate().filter(|(_, candidate)| candidate.weight > 0).collect()
}

/// Chooses a real server for each new connection.
pub trait Scheduler: Send + Sync {
    /// A worker's first turn. Workers start at different places, so that the first connections of all workers do
    /// not meet at one server. May allocate; called when a snapshot is made.
    fn first_turn(&self, _worker: WorkerId) -> Turn {
        Turn::default()
    }

    /// Index of the candidate chosen for `request`, or `None` when no candidate takes new connections.
    /// Does not allocate.
    fn pick(&self, request: &Request, turn: &mut Turn, loads: &Loads<'_>) -> Option<usize>;

    /// What the next pick rests on.
    fn grounds(&self, request: &Request, turn: &Turn) -> Grounds;
}

/// What a pick rests on, for operators who want to know why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// Whose turn it is: the place in the round, and how many servers take part.
    Turn {
        /// The place, from 0.
        place: usize,
        /// Of so many.
        of: usize,
    },
    /// Whose turn it is among servers whose turns come in proportion to their weights.
    WeightedTurn,
    /// The lowest load.
    Load,
    /// The lowest load for its weight.
    LoadByWeight,
    /// A slot of the lookup table.
    Slot {
        /// Its number.
        slot: u64,
        /// Of so many.
        of: u64,
        /// What was hashed.
        hashed: &'static str,
    },
}
