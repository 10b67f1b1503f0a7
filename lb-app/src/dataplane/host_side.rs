//! Between workers and host sides of ports: frames for the kernel, and frames of it. Bounded, with buffers that exist from
//! the start; a worker copies, and neither calls the kernel nor wakes anybody.

use crossbeam_channel::{Receiver, Sender, bounded};
use lb_core::packet::PortId;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Frames that are on their way to one port's host side, at most.
const WAITING: usize = 1_024;
/// Ethernet header with two VLAN tags.
const L2_ROOM: usize = 22;

/// What was moved between a port and its host side, and what was lost.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Given to the kernel.
    pub(crate) to_kernel: AtomicU64,
    /// Those that it did not take: the interface is down.
    pub(crate) refused: AtomicU64,
    /// Taken from it, for workers to send.
    pub(crate) from_kernel: AtomicU64,
    /// Those that found workers too busy.
    pub(crate) lost: AtomicU64,
}

/// The host side of one port, as workers see it.
#[derive(Debug)]
pub(crate) struct HostSide {
    /// Bytes of the largest frame.
    room: usize,
    empty: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    arrived: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    pub(crate) moved: Moved,
}

impl HostSide {
    /// Of a port with that MTU.
    pub(crate) fn new(mtu: u16) -> Self {
        let room = usize::from(mtu) + L2_ROOM;
        let empty = bounded(WAITING);
        for _ in 0..WAITING {
            let _ = empty.0.try_send(Vec::with_capacity(room));
        }
        HostSide { room, empty, arrived: bounded(WAITING), moved: Moved::default() }
    }

    /// Bytes of the largest frame.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// A worker's: takes a copy of a frame, if there is room for it in so many eighths of all.
    #[cold]
    fn take(&self, frame: &[u8], eighths: u8) -> bool {
        let is_full = self.arrived.1.len() >= WAITING / 8 * usize::from(eighths);
        if frame.len() > self.room || is_full {
            return false;
        }
        let Ok(mut buffer) = self.empty.1.try_recv() else { return false };
        buffer.clear();
        buffer.extend_from_slice(frame);
        // There is room for as many as there are buffers.
        self.arrived.0.try_send(buffer).is_ok()
    }

    /// Gives everything that has arrived to `write`, which says whether it was taken.
    pub(crate) fn drain(&self, mut write: impl FnMut(&[u8]) -> bool) {
        for buffer in self.arrived.1.try_iter().take(WAITING) {
            let counter = if write(&buffer) { &self.moved.to_kernel } else { &self.moved.refused };
            counter.fetch_add(1, Relaxed);
            let _ = self.empty.0.try_send(buffer);
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct HostSides(Vec<Option<HostSide>>);

impl HostSides {
    /// By port.
    pub(crate) fn new(sides: Vec<Option<HostSide>>) -> Self {
        HostSides(sides)
    }

    /// That of a port, if it has one.
    pub(crate) fn of(&self, port: PortId) -> Option<&HostSide> {
        self.0.get(usize::from(port.0))?.as_ref()
    }

    /// A worker's: takes a copy of a frame for the host side of a port, if there is room for it in so many eighths of all.
    #[cold]
    pub(crate) fn take(&self, port: PortId, frame: &[u8], eighths: u8) -> bool {
        self.of(port).is_some_and(|side| side.take(frame, eighths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that does not keep up with a flood would otherwise get nothing but the flood.
    #[test]
    fn a_flood_leaves_room_for_what_keeps_routes_alive() {
        let sides = HostSides::new(vec![Some(HostSide::new(1_500))]);
        let taken = |eighths| (0..WAITING * 2).filter(|_| sides.take(PortId(0), b"frame", eighths)).count();
        assert_eq!([4, 5, 6, 8].map(taken), [4, 1, 1, 2].map(|eighths| WAITING / 8 * eighths));
        let mut count = 0;
        sides.of(PortId(0)).expect("it has one").drain(|_| {
            count += 1;
            true
        });
        assert_eq!((count, taken(4)), (WAITING, WAITING / 2));
    }

    #[test]
    fn what_waits_is_bounded_and_buffers_come_back() {
        let sides = HostSides::new(vec![None, Some(HostSide::new(1_500))]);
        assert!(!sides.take(PortId(0), b"frame", 8) && !sides.take(PortId(7), b"frame", 8), "they have none");
        assert!(!sides.take(PortId(1), &[0; 1_523], 8), "too large");
        for _ in 0..3 {
            assert_eq!((0..WAITING * 2).filter(|_| sides.take(PortId(1), b"frame", 8)).count(), WAITING);
            let (side, mut count) = (sides.of(PortId(1)).expect("it has one"), 0);
            side.drain(|frame| {
                count += 1;
                assert_eq!(frame, b"frame");
                count % 2 == 0
            });
            assert_eq!(count, WAITING);
        }
        let moved = &sides.of(PortId(1)).expect("it has one").moved;
        let half = 3 * WAITING as u64 / 2;
        assert_eq!((moved.to_kernel.load(Relaxed), moved.refused.load(Relaxed)), (half, half));
    }
}
