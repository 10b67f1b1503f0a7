//! Schedulers: which real server gets a new connection. One scheduler, one file.
//!
//! A scheduler has two parts. What follows from the configuration alone (a Maglev table, say) is built once, never
//! changes and is shared by all workers: [`Scheduler`]. What moves from pick to pick is each worker's own:
//! [`Turn`].

use crate::{packet::WorkerId, service::load::Loads};
use std::net::Ipv4Addr;

/// A real server as a scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its index among all servers of the director; also its place on the load board.
    pub server: u32,
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
    /// Per candidate, when it is due next, for schedulers that keep such a queue. Allocated with the snapshot.
    pub due: Vec<(u64, u32)>,
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
}
