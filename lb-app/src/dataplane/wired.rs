//! A worker of the core, wired up: where its packets come from, where they go, and who watches them.

use super::{io::LcoreIo, tap::Taps};
use crate::dpdk::{Mbuf, RxQueue};
use lb_core::{
    decide::Origin,
    packet::{Burst, PortId},
    time::Instant,
    worker::{Worker, host::Recipient},
};

/// A worker with its queues and rings.
pub(crate) struct WiredWorker {
    pub(crate) worker: Worker<Mbuf>,
    /// One receive queue of each port.
    pub(crate) rx: Vec<RxQueue>,
    pub(crate) io: LcoreIo,
    /// What packets are watched for, if they are.
    pub(crate) taps: Option<Box<Taps>>,
}

impl WiredWorker {
    /// Deals with packets that come from there. Leaves `burst` empty.
    #[inline]
    pub(super) fn process(&mut self, now: Instant, burst: &mut Burst<Mbuf>, origin: Origin) {
        match (&mut self.taps, origin) {
            (None, Origin::Port) => self.worker.process(now, burst, &mut self.io),
            (None, Origin::Worker) => self.worker.process_handed_over(now, burst, &mut self.io),
            (Some(taps), _) => taps.process(&mut self.worker, now, burst, &mut self.io, origin),
        }
    }

    /// Does what is due.
    #[inline]
    pub(super) fn tick(&mut self, now: Instant) {
        match &mut self.taps {
            None => self.worker.tick(now, &mut self.io),
            Some(taps) => taps.tick(&mut self.worker, now, &mut self.io),
        }
    }

    /// Says which addresses are here, if that is due.
    #[inline]
    pub(super) fn announce(&mut self, now: Instant) {
        match &mut self.taps {
            None => self.worker.announce_due(now, &mut self.io),
            Some(taps) => taps.announce(&mut self.worker, now, &mut self.io),
        }
    }

    /// Sends a frame of the kernel's by a port.
    #[cold]
    pub(super) fn originate_frame(&mut self, port: PortId, frame: &[u8]) {
        match &mut self.taps {
            None => self.worker.originate_frame(port, frame, &mut self.io),
            Some(taps) => taps.originate_frame(&mut self.worker, port, frame, &mut self.io),
        }
    }

    /// Sends a packet of the control plane's.
    #[cold]
    pub(super) fn originate(&mut self, now: Instant, to: Recipient, bytes: &[u8]) {
        match &mut self.taps {
            None => self.worker.originate(now, to, bytes, &mut self.io),
            Some(taps) => taps.originate(&mut self.worker, now, to, bytes, &mut self.io),
        }
    }
}
