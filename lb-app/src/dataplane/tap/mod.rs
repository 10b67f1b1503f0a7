//! Taps: packets that a trace or a capture watches.
//!
//! A worker without taps pays one branch per burst for them. One with taps takes the packets of a burst one by one; for
//! those that a trace wants it says what it decides, and what then became of them is told with the story.

pub(crate) mod capture;
mod shared;
pub(crate) mod trace;

use super::io::LcoreIo;
use crate::dpdk::Mbuf;
use capture::{Capture, interface};
use lb_core::{
    decide::Origin,
    packet::{Burst, Io, Notice, Packet, PortId, WorkerId},
    time::Instant,
    wire::whole,
    worker::{Worker, host::Recipient},
};
use std::sync::atomic::Ordering::Relaxed;
use trace::{Seen, Trace};

/// What one worker's packets are watched for.
#[derive(Debug)]
pub(crate) struct Taps {
    pub(crate) traces: Vec<Trace>,
    pub(crate) captures: Vec<Capture>,
    /// The packet as it arrived.
    before: Vec<u8>,
}

impl Taps {
    /// For one worker; none where there is nothing to watch for.
    pub(crate) fn new(traces: Vec<Trace>, captures: Vec<Capture>) -> Option<Box<Self>> {
        let any = !traces.is_empty() || !captures.is_empty();
        any.then(|| Box::new(Taps { traces, captures, before: Vec::new() }))
    }

    /// Lets a worker deal with a burst whose packets are watched.
    #[cold]
    #[inline(never)]
    pub(super) fn process(
        &mut self,
        worker: &mut Worker<Mbuf>,
        now: Instant,
        burst: &mut Burst<Mbuf>,
        io: &mut LcoreIo,
        origin: Origin,
    ) {
        for packet in burst.drain(..) {
            self.process_one(worker, now, packet, io, origin);
        }
    }

    fn process_one(
        &mut self,
        worker: &mut Worker<Mbuf>,
        now: Instant,
        packet: Mbuf,
        io: &mut LcoreIo,
        origin: Origin,
    ) {
        let counters = worker.counters();
        self.before.clear();
        self.before.extend_from_slice(packet.bytes());
        let port = packet.port();
        let traced: Vec<usize> =
            (0..self.traces.len()).filter(|&at| self.traces[at].wants(&packet)).collect();
        let before = Seen::of(&counters);
        let taken = self.captures.iter().map(|capture| match origin {
            Origin::Worker => capture.took_elsewhere(port, &self.before),
            Origin::Port => capture.arrives(port, &self.before),
        });
        let taken = taken.collect();
        let mut tap = TapIo::new(io, self, Some(port), taken, !traced.is_empty());
        if traced.is_empty() {
            let mut one = Burst::new();
            one.push(packet);
            return match origin {
                Origin::Port => worker.process(now, &mut one, &mut tap),
                Origin::Worker => worker.process_handed_over(now, &mut one, &mut tap),
            };
        }
        let explanation = worker.trace(now, packet, origin, &mut tap);
        let (sent, handed_over) = (std::mem::take(&mut tap.sent), tap.handed_over);
        let happened = before.happened(&counters, sent, handed_over, &explanation);
        for at in traced {
            self.traces[at].tell(&explanation, &happened);
        }
    }

    /// Lets a worker do what is due while packets are watched.
    #[cold]
    #[inline(never)]
    pub(super) fn tick(&mut self, worker: &mut Worker<Mbuf>, now: Instant, io: &mut LcoreIo) {
        worker.tick(now, &mut self.of_its_own(io));
    }

    /// Lets a worker announce addresses while packets are watched.
    #[cold]
    #[inline(never)]
    pub(super) fn announce(&mut self, worker: &mut Worker<Mbuf>, now: Instant, io: &mut LcoreIo) {
        worker.announce_due(now, &mut self.of_its_own(io));
    }

    /// Lets a worker send a frame of the kernel's while packets are watched.
    #[cold]
    pub(super) fn originate_frame(
        &mut self,
        worker: &mut Worker<Mbuf>,
        port: PortId,
        frame: &[u8],
        io: &mut LcoreIo,
    ) {
        worker.originate_frame(port, frame, &mut self.of_its_own(io));
    }

    /// Lets a worker send a packet of the control plane's while packets are watched.
    #[cold]
    pub(super) fn originate(
        &mut self,
        worker: &mut Worker<Mbuf>,
        now: Instant,
        to: Recipient,
        bytes: &[u8],
        io: &mut LcoreIo,
    ) {
        worker.originate(now, to, bytes, &mut self.of_its_own(io));
    }

    /// For what a worker sends of its own accord: no packet has arrived.
    fn of_its_own<'a>(&'a mut self, io: &'a mut LcoreIo) -> TapIo<'a> {
        self.before.clear();
        let taken = vec![false; self.captures.len()];
        TapIo::new(io, self, None, taken, false)
    }
}

/// A worker's queues, rings and pool, with somebody looking on.
struct TapIo<'a> {
    io: &'a mut LcoreIo,
    taps: &'a mut Taps,
    /// The port that the packet in `taps.before` arrived on.
    arrived_on: Option<PortId>,
    /// By capture: the packet has been taken as it arrived.
    taken: Vec<bool>,
    /// What is sent is to be kept, all of it.
    keeps: bool,
    sent: Vec<(PortId, Vec<u8>)>,
    handed_over: Option<WorkerId>,
}

impl<'a> TapIo<'a> {
    fn new(
        io: &'a mut LcoreIo,
        taps: &'a mut Taps,
        arrived_on: Option<PortId>,
        taken: Vec<bool>,
        keeps: bool,
    ) -> Self {
        TapIo { io, taps, arrived_on, taken, keeps, sent: Vec::new(), handed_over: None }
    }

    /// Whether a frame is what became of the packet that arrived, and not a question about a neighbour or a packet that
    /// waited for the answer.
    fn is_same(&self, frame: &[u8]) -> bool {
        is_arp(frame) == is_arp(&self.taps.before) && !self.taps.before.is_empty()
    }
}

impl Io for TapIo<'_> {
    type Packet = Mbuf;

    fn transmit(&mut self, port: PortId, packet: Mbuf) {
        let summed = summed(&packet);
        let frame = summed.as_deref().unwrap_or(packet.bytes());
        let is_same = self.is_same(frame);
        if is_same && self.keeps {
            self.sent.push((port, frame.to_vec()));
        }
        for (capture, taken) in self.taps.captures.iter().zip(&mut self.taken) {
            let was_taken = is_same && *taken;
            if !was_taken && !capture.wants(port, frame) {
                continue;
            }
            if let Some(arrived_on) = self.arrived_on.filter(|_| is_same && !was_taken) {
                *taken = true;
                capture.shared.take(interface(arrived_on, false), &self.taps.before);
            }
            capture.shared.take(interface(port, true), frame);
        }
        self.io.transmit(port, packet);
    }

    fn release(&mut self, packet: Mbuf) {
        self.io.release(packet);
    }

    fn hand_over(&mut self, to: WorkerId, packet: Mbuf) -> Result<(), Mbuf> {
        let outcome = self.io.hand_over(to, packet);
        if outcome.is_ok() {
            self.handed_over = Some(to);
            for (capture, _) in self.taps.captures.iter().zip(&self.taken).filter(|(_, taken)| **taken) {
                capture.shared.handed_over.fetch_add(1, Relaxed);
            }
        }
        outcome
    }

    fn to_host(&mut self, packet: Mbuf) -> Result<(), Mbuf> {
        self.io.to_host(packet)
    }

    fn to_kernel(&mut self, packet: Mbuf, eighths: u8) -> Result<(), Mbuf> {
        self.io.to_kernel(packet, eighths)
    }

    fn waits_for(&self, frame: &[u8]) -> bool {
        self.io.waits_for(frame)
    }

    fn allocate(&mut self, port: PortId) -> Option<Mbuf> {
        self.io.allocate(port)
    }

    fn notice(&mut self, notice: Notice) {
        self.io.notice(notice);
    }
}

/// The frame as it is going to be on the wire, if a checksum is still to be computed, by the port or before it.
fn summed(packet: &Mbuf) -> Option<Vec<u8>> {
    packet.is_unsummed().then(|| {
        let mut frame = packet.bytes().to_vec();
        whole::compute(&mut frame);
        frame
    })
}

fn is_arp(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x08, 0x06])
}
