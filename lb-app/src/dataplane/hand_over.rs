//! Hand-over rings: one from every worker to every other, so that each has one sender and one receiver.

use crate::dpdk::{self, Consumer, Mbuf, Producer, RingError};
use lb_core::packet::Burst;

/// Packets that a ring holds. A worker that is this far behind another loses packets, which is counted.
pub(crate) const RING_SIZE: u32 = 2047;

/// One worker's ends of the rings.
#[derive(Debug)]
pub(crate) struct Ends {
    /// To each worker, by its number; none to itself.
    pub(crate) to: Vec<Option<Producer>>,
    /// From all others.
    pub(crate) from: Vec<Consumer>,
}

/// Makes the rings between that many workers.
///
/// # Errors
/// See [`RingError`].
pub(crate) fn rings(workers: usize) -> Result<Vec<Ends>, RingError> {
    let empty = || Ends { to: (0..workers).map(|_| None).collect(), from: Vec::new() };
    let mut ends: Vec<Ends> = (0..workers).map(|_| empty()).collect();
    for sender in 0..workers {
        for receiver in (0..workers).filter(|&receiver| receiver != sender) {
            let (producer, consumer) = dpdk::ring(&format!("lb-{sender}-{receiver}"), RING_SIZE, None)?;
            ends[sender].to[receiver] = Some(producer);
            ends[receiver].from.push(consumer);
        }
    }
    Ok(ends)
}

/// The way to another worker. Packets are collected here and put on its ring in bursts.
pub(super) struct Peer {
    ring: Producer,
    pending: Burst<Mbuf>,
    /// Packets that the ring surely has room for, those pending not counted. Only we add to the ring, so room that
    /// was seen stays.
    room: usize,
}

impl Peer {
    pub(super) fn new(ring: Producer) -> Self {
        Peer { ring, pending: Burst::new(), room: 0 }
    }

    /// Takes a packet, or returns it when the ring is full.
    pub(super) fn take(&mut self, packet: Mbuf) -> Result<(), Mbuf> {
        if self.room == 0 {
            self.room = (RING_SIZE as usize).saturating_sub(self.ring.len() + self.pending.len());
        }
        if self.room == 0 {
            return Err(packet);
        }
        self.room -= 1;
        self.pending.push(packet);
        if self.pending.is_full() {
            self.flush();
        }
        Ok(())
    }

    #[inline]
    pub(super) fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.ring.send_burst(&mut self.pending);
            debug_assert!(self.pending.is_empty(), "there was room");
        }
    }
}
