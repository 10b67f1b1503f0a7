//! Packets that wait for a neighbour's address: few, bounded, in order.

use crate::{
    ids::NeighbourId,
    limits::{MAX_WAITING, MAX_WAITING_PER_NEIGHBOUR},
};

/// Finished packets but for their Ethernet addresses, each with the neighbour it waits for.
pub struct Waiting<P> {
    packets: Vec<(NeighbourId, P)>,
}

impl<P> Waiting<P> {
    /// An empty queue with all the room it will ever have.
    #[must_use]
    pub fn new() -> Self {
        Waiting { packets: Vec::with_capacity(MAX_WAITING) }
    }

    /// Packets that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Lets a packet wait, or returns it when too many do already.
    pub fn push(&mut self, neighbour: NeighbourId, packet: P) -> Result<(), P> {
        if !self.has_room(Some(neighbour)) {
            return Err(packet);
        }
        self.packets.push((neighbour, packet));
        Ok(())
    }

    /// Whether one more packet may wait for a neighbour; `None` is one that is not in the table yet.
    #[must_use]
    pub fn has_room(&self, neighbour: Option<NeighbourId>) -> bool {
        let same = self.packets.iter().filter(|(other, _)| Some(*other) == neighbour).count();
        self.packets.len() < MAX_WAITING && same < MAX_WAITING_PER_NEIGHBOUR
    }

    /// Takes out the oldest packet that waits for a neighbour.
    pub fn pop(&mut self, neighbour: NeighbourId) -> Option<P> {
        let at = self.packets.iter().position(|(other, _)| *other == neighbour)?;
        Some(self.packets.remove(at).1)
    }

    /// Takes out any packet.
    pub fn pop_any(&mut self) -> Option<P> {
        self.packets.pop().map(|(_, packet)| packet)
    }
}

impl<P> Default for Waiting<P> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_in_order_and_their_number_is_bounded() {
        let mut waiting = Waiting::new();
        let id = |place| NeighbourId::at(place).unwrap();
        for packet in 0..MAX_WAITING_PER_NEIGHBOUR {
            waiting.push(id(1), packet).unwrap();
        }
        assert_eq!(waiting.push(id(1), 99), Err(99));
        waiting.push(id(2), 50).unwrap();
        assert_eq!(
            (waiting.pop(id(1)), waiting.pop(id(2)), waiting.pop(id(1))),
            (Some(0), Some(50), Some(1))
        );
        assert_eq!(waiting.pop(id(2)), None);
        let mut neighbour = 10;
        while waiting.push(id(neighbour), 0).is_ok() {
            neighbour += 1;
        }
        assert_eq!(waiting.len(), MAX_WAITING);
    }
}
