//! Hand-over rings: one from every worker to every other, so that each has one sender and one receiver.

use crate::dpdk::{self, Consumer, Producer, RingError};

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
pub(crate) fn mesh(workers: usize) -> Result<Vec<Ends>, RingError> {
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
