//! Schedulers: which real server gets a new connection. One scheduler, one file.
//!
//! A scheduler has two parts. What follows from the configuration alone (a Maglev table, for example) is built once,
//! never
//! changes and is shared by all workers: [`Scheduler`]. What moves from pick to pick is each worker's own:
//! [`Turn`].

mod build;
pub mod call;
mod candidate;
pub mod destinations;
mod dh;
mod fo;
pub mod footprint;
mod hash;
mod hashing;
pub mod kind;
mod lblc;
mod lblcr;
mod lc;
pub mod least;
pub mod load;
mod locality;
mod maglev;
mod members;
mod mh;
mod nq;
mod ovf;
pub mod persistence;
mod rr;
mod sed;
mod sh;
mod shares;
pub mod start;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod threshold;
mod tournament;
mod turn;
mod twos;
mod wlc;
mod wrr;

pub use build::build;
pub use candidate::{Candidate, Request};
pub use kind::Hashes;
pub use maglev::Table;
pub use turn::{Due, Turn};

use crate::packet::WorkerId;
use destinations::Destinations;
use load::Loads;
use std::sync::Arc;
use threshold::WithRoom;

/// Chooses a real server for each new connection.
pub trait Scheduler: Send + Sync {
    /// A worker's first turn. Services and workers start at different places, so that the first connections of all of
    /// them do not meet at one server. May allocate; called when a snapshot is made.
    fn first_turn(&self, _worker: WorkerId) -> Turn {
        Turn::default()
    }

    /// Index of the candidate chosen for `request`, or `None` when no candidate takes new connections.
    /// Does not allocate. Changes what workers share unless the turn is one that is rehearsed.
    fn pick(&self, request: &Request, turn: &mut Turn, loads: &Loads<'_>) -> Option<usize>;

    /// The same, of those candidates that have room. Called where servers have thresholds.
    fn pick_with_room(
        &self,
        request: &Request,
        turn: &mut Turn,
        loads: &Loads<'_>,
        room: WithRoom<'_>,
    ) -> Option<usize>;

    /// What the next pick rests on.
    fn grounds(&self, request: &Request, turn: &Turn) -> Grounds;

    /// The lookup table it has, with others perhaps.
    fn table(&self) -> Option<&Arc<Table>> {
        None
    }

    /// What it remembers of destinations, if it does.
    fn destinations(&self) -> Option<&Arc<Destinations>> {
        None
    }

    /// Bytes that it takes, without that table and without turns.
    fn bytes(&self) -> usize;
}

/// What a pick rests on, for operators who want to know why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// Whose turn it is: the place in the round, and how many servers take part.
    Turn {
        /// The place, from 0.
        place: usize,
        /// Their total number.
        of: usize,
    },
    /// Whose turn it is among servers whose turns come in proportion to their weights.
    WeightedTurn,
    /// The lowest load.
    Load,
    /// The lowest load for its weight.
    LoadByWeight,
    /// The shortest expected delay.
    Delay,
    /// No connections, or else the shortest expected delay.
    IdleOrDelay,
    /// The highest weight.
    HighestWeight,
    /// The highest weight of those with no more active connections than that.
    HighestWeightWithRoom,
    /// The lower load for its weight of two that are drawn at random.
    BetterOfTwo,
    /// The servers that the destination had before.
    Destination {
        /// How many they are; 0 if none is known.
        servers: usize,
    },
    /// A slot of the lookup table.
    Slot {
        /// Its number.
        slot: u64,
        /// Their total number.
        of: u64,
        /// What was hashed.
        hashed: &'static str,
    },
}
