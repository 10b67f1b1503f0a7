//! Fragments that wait for the first of their datagram.

use crate::{
    decide::Side,
    family::{Family, V6},
    limits::MAX_WAITING_FRAGMENTS,
    time::Instant,
};
use std::collections::VecDeque;

/// Fragments that wait for the first of their datagram, the oldest in front: of each family, clients' and servers'.
pub(super) struct Held<P>([VecDeque<Waiting<P>>; 4]);

/// One that waits.
pub(super) struct Waiting<P> {
    pub(super) packet: P,
    /// The place of its datagram.
    pub(super) place: u16,
    /// Bytes of its IP packet.
    pub(super) bytes: u16,
    pub(super) until: Instant,
}

impl<P> Held<P> {
    /// None, with all the room there will ever be.
    pub(super) fn new() -> Self {
        Held(std::array::from_fn(|_| VecDeque::with_capacity(MAX_WAITING_FRAGMENTS)))
    }

    /// One side's.
    pub(super) fn queue<F: Family>(&mut self, side: Side) -> &mut VecDeque<Waiting<P>> {
        &mut self.0[side as usize + if F::ETHERTYPE == V6::ETHERTYPE { 2 } else { 0 }]
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(VecDeque::len).sum()
    }
}
