//! Among whom a scheduler chooses, and for what.

use crate::{ids::ServerId, time::Instant};
use std::net::IpAddr;

/// A real server as a scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which it is of all servers of the director.
    pub server: ServerId,
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its share of new connections; 0 takes none.
    pub weight: u32,
}

/// The new connection that wants a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Client's address.
    pub client: IpAddr,
    /// Client's port.
    pub client_port: u16,
    /// Address the client sent to.
    pub vip: IpAddr,
    /// Port the client sent to.
    pub vip_port: u16,
    /// Now.
    pub now: Instant,
}

/// A candidate that takes connections, with its index among the candidates.
pub(super) type Taker = (usize, Candidate);

/// The candidates that take connections.
pub(super) fn takers(candidates: &[Candidate]) -> Box<[Taker]> {
    candidates.iter().copied().enumerate().filter(|(_, candidate)| candidate.weight > 0).collect()
}
