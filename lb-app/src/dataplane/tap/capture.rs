//! Captures: packets that are written to a file, or read by a client.

use super::shared::{claim, since_1970};
use crate::dataplane::packet_filter::PacketFilter;
use crossbeam_channel::{Receiver, Sender};
use lb_core::packet::PortId;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Packets that are wanted in a capture.
#[derive(Debug)]
pub(crate) struct Capture {
    /// Packets that arrive on it or leave by it; all ports if not given.
    pub(crate) port: Option<PortId>,
    pub(crate) filter: PacketFilter,
    pub(crate) shared: Arc<CaptureShared>,
}

/// What the workers and the writer of one capture share. There are as many buffers as there are ever going to be.
#[derive(Debug)]
pub(crate) struct CaptureShared {
    /// Packets still wanted.
    pub(crate) left: AtomicU64,
    /// Packets that were taken when they arrived and are on their way to the worker that owns them.
    pub(crate) handed_over: AtomicU64,
    /// By interface: frames seen, and frames among them for which there was no buffer.
    pub(crate) seen: Vec<AtomicU64>,
    pub(crate) missed: Vec<AtomicU64>,
    pub(crate) snaplen: usize,
    pub(crate) empty: Receiver<Vec<u8>>,
    pub(crate) full: Sender<Frame>,
}

/// One captured frame.
#[derive(Debug)]
pub(crate) struct Frame {
    /// See [`interface`].
    pub(crate) interface: usize,
    /// Since 1970.
    pub(crate) when: Duration,
    /// Bytes it had on the wire.
    pub(crate) len: usize,
    /// Its beginning.
    pub(crate) bytes: Vec<u8>,
}

/// The number of a port's interface in a capture: one for what arrives on it, one for what leaves by it.
pub(crate) const fn interface(port: PortId, leaving: bool) -> usize {
    port.0 as usize * 2 + leaving as usize
}

impl CaptureShared {
    /// By interface: frames seen, and frames missed.
    pub(crate) fn counted(&self) -> Vec<(u64, u64)> {
        let both = self.seen.iter().zip(&self.missed);
        both.map(|(seen, missed)| (seen.load(Relaxed), missed.load(Relaxed))).collect()
    }

    /// Takes a frame, if there is a buffer for it.
    pub(crate) fn take(&self, interface: usize, frame: &[u8]) {
        let Some(seen) = self.seen.get(interface) else { return };
        seen.fetch_add(1, Relaxed);
        let Ok(mut bytes) = self.empty.try_recv() else {
            self.missed[interface].fetch_add(1, Relaxed);
            return;
        };
        bytes.clear();
        bytes.extend_from_slice(&frame[..frame.len().min(self.snaplen).min(bytes.capacity())]);
        // There is room for as many as there are buffers.
        let _ = self.full.try_send(Frame { interface, when: since_1970(), len: frame.len(), bytes });
    }
}

impl Capture {
    fn concerns(&self, port: PortId) -> bool {
        self.port.is_none_or(|only| only == port)
    }

    /// Whether a frame is one of those that are still wanted. It then is one less.
    pub(super) fn wants(&self, port: PortId, frame: &[u8]) -> bool {
        self.concerns(port) && self.filter.matches(frame) && claim(&self.shared.left)
    }

    /// Whether a packet that another worker hands over was taken there, when it arrived.
    pub(super) fn took_elsewhere(&self, port: PortId, frame: &[u8]) -> bool {
        self.concerns(port) && self.filter.matches(frame) && claim(&self.shared.handed_over)
    }

    /// A packet arrives. Returns whether it was taken.
    pub(super) fn arrives(&self, port: PortId, frame: &[u8]) -> bool {
        let wanted = self.wants(port, frame);
        if wanted {
            self.shared.take(interface(port, false), frame);
        }
        wanted
    }
}
