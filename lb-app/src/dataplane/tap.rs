//! Taps: packets that somebody watches, by tracing what becomes of them or by capturing them.
//!
//! A worker without taps pays one branch per burst for them. One with taps takes the packets of a burst one by one; for
//! those that a trace wants it says what it decides, and what then became of them is told with the story.

use super::{filter::Filter, io::LcoreIo};
use crate::dpdk::Mbuf;
use crossbeam_channel::{Receiver, Sender};
use lb_core::{
    counters::{DropReason, WorkerCounters},
    decide::Origin,
    explanation::{Explanation, Outcome},
    packet::{Burst, HandOver, Io, Notice, Packet, PortId, WorkerId},
    time::Instant,
    worker::{Worker, host::Recipient},
};
use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

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
}

/// Packets whose stories are wanted.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) filter: Filter,
    pub(crate) shared: Arc<TraceShared>,
}

/// What the workers and the teller of one trace share.
#[derive(Debug)]
pub(crate) struct TraceShared {
    /// Stories still wanted.
    pub(crate) left: AtomicU64,
    /// Stories that nobody took in time.
    pub(crate) missed: AtomicU64,
    pub(crate) stories: Sender<Story>,
}

/// What was to become of a packet, and what did.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) when: Duration,
    pub(crate) explanation: Explanation,
    pub(crate) happened: Outcome,
}

/// Packets that are written to a file.
#[derive(Debug)]
pub(crate) struct Capture {
    /// Packets that arrive on it or leave by it; of all ports if there is none.
    pub(crate) port: Option<PortId>,
    pub(crate) filter: Filter,
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
    /// Takes a frame, if there is a buffer for it.
    fn take(&self, interface: usize, frame: &[u8]) {
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

/// Takes one of the packets that are still wanted.
fn claim(left: &AtomicU64) -> bool {
    left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Lets a worker deal with a burst whose packets are watched.
#[cold]
#[inline(never)]
pub(super) fn process(
    worker: &mut Worker<Mbuf>,
    now: Instant,
    burst: &mut Burst<Mbuf>,
    io: &mut LcoreIo,
    origin: Origin,
) {
    let Some(mut taps) = io.taps.take() else { return };
    let counters = worker.counters();
    for packet in burst.drain(..) {
        taps.before.clear();
        taps.before.extend_from_slice(packet.bytes());
        let port = packet.port();
        let traced: Vec<usize> =
            (0..taps.traces.len()).filter(|&at| taps.traces[at].wants(&packet)).collect();
        let before = Seen::of(&counters);
        let taken = taps.captures.iter().map(|capture| match origin {
            Origin::Worker => capture.took_elsewhere(port, &taps.before),
            Origin::Port => capture.arrives(port, &taps.before),
        });
        let taken = taken.collect();
        let mut tap = TapIo::new(io, &mut taps, Some(port), taken, !traced.is_empty());
        let explanation = if traced.is_empty() {
            process_one(worker, now, packet, origin, &mut tap);
            None
        } else {
            Some(worker.trace(now, packet, origin, &mut tap))
        };
        let (sent, handed_over) = (tap.sent.take(), tap.handed_over);
        if let Some(explanation) = explanation {
            let happened = before.happened(&counters, sent, handed_over, &explanation);
            for at in traced {
                taps.traces[at].tell(&explanation, &happened);
            }
        }
    }
    io.taps = Some(taps);
}

fn process_one(worker: &mut Worker<Mbuf>, now: Instant, packet: Mbuf, origin: Origin, tap: &mut TapIo<'_>) {
    let mut one = Burst::new();
    one.push(packet);
    match origin {
        Origin::Port => worker.process(now, &mut one, tap),
        Origin::Worker => worker.process_handed_over(now, &mut one, tap),
    }
}

/// Lets a worker do what is due while packets are watched.
#[cold]
#[inline(never)]
pub(super) fn tick(worker: &mut Worker<Mbuf>, now: Instant, io: &mut LcoreIo) {
    let Some(mut taps) = io.taps.take() else { return };
    taps.before.clear();
    let taken = vec![false; taps.captures.len()];
    worker.tick(now, &mut TapIo::new(io, &mut taps, None, taken, false));
    io.taps = Some(taps);
}

/// Lets a worker send a packet of the control plane's, watched or not.
#[cold]
pub(super) fn originate(
    worker: &mut Worker<Mbuf>,
    now: Instant,
    to: Recipient,
    bytes: &[u8],
    io: &mut LcoreIo,
) {
    let Some(mut taps) = io.taps.take() else { return worker.originate(now, to, bytes, io) };
    taps.before.clear();
    let taken = vec![false; taps.captures.len()];
    worker.originate(now, to, bytes, &mut TapIo::new(io, &mut taps, None, taken, false));
    io.taps = Some(taps);
}

impl Trace {
    fn wants(&self, packet: &Mbuf) -> bool {
        self.shared.left.load(Relaxed) > 0 && self.filter.matches(packet.bytes()) && claim(&self.shared.left)
    }

    fn tell(&self, explanation: &Explanation, happened: &Outcome) {
        let story =
            Story { when: since_1970(), explanation: explanation.clone(), happened: happened.clone() };
        if self.shared.stories.try_send(story).is_err() {
            self.shared.missed.fetch_add(1, Relaxed);
        }
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
    /// What is sent is to be kept.
    keeps: bool,
    sent: Option<(PortId, Vec<u8>)>,
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
        TapIo { io, taps, arrived_on, taken, keeps, sent: None, handed_over: None }
    }

    /// Whether a frame is what became of the packet that arrived, and not a question about a neighbour or a packet that
    /// waited for the answer.
    fn is_same(&self, frame: &[u8]) -> bool {
        is_arp(frame) == is_arp(&self.taps.before) && !self.taps.before.is_empty()
    }
}

impl Capture {
    fn concerns(&self, port: PortId) -> bool {
        self.port.is_none_or(|only| only == port)
    }

    /// Whether a packet that another worker hands over was taken there, when it arrived.
    fn took_elsewhere(&self, port: PortId, frame: &[u8]) -> bool {
        self.concerns(port) && self.filter.matches(frame) && claim(&self.shared.handed_over)
    }

    /// A packet arrives. Returns whether it was taken.
    fn arrives(&self, port: PortId, frame: &[u8]) -> bool {
        let wanted = self.concerns(port) && self.filter.matches(frame) && claim(&self.shared.left);
        if wanted {
            self.shared.take(interface(port, false), frame);
        }
        wanted
    }
}

impl Io for TapIo<'_> {
    type Packet = Mbuf;

    fn transmit(&mut self, port: PortId, packet: Mbuf) {
        let frame = packet.bytes();
        let is_same = self.is_same(frame);
        if is_same && self.keeps {
            self.sent = Some((port, frame.to_vec()));
        }
        for (capture, taken) in self.taps.captures.iter().zip(&mut self.taken) {
            let was_taken = is_same && *taken;
            if was_taken
                || capture.concerns(port) && capture.filter.matches(frame) && claim(&capture.shared.left)
            {
                if let Some(arrived_on) = self.arrived_on.filter(|_| is_same && !was_taken) {
                    *taken = true;
                    capture.shared.take(interface(arrived_on, false), &self.taps.before);
                }
                capture.shared.take(interface(port, true), frame);
            }
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

    fn deliver(&mut self, packet: Mbuf) -> Result<(), Mbuf> {
        self.io.deliver(packet)
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

fn is_arp(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x08, 0x06])
}

/// Counters before a packet.
struct Seen {
    dropped: [u64; DropReason::ALL.len()],
    handed_over: [u64; HandOver::ALL.len()],
    host: u64,
}

impl Seen {
    fn of(counters: &WorkerCounters) -> Self {
        Seen {
            dropped: std::array::from_fn(|at| counters.dropped[at].get()),
            handed_over: std::array::from_fn(|at| counters.handed_over[at].get()),
            host: counters.host.get(),
        }
    }

    /// What became of one packet, by what was counted since.
    fn happened(
        &self,
        counters: &WorkerCounters,
        sent: Option<(PortId, Vec<u8>)>,
        to: Option<WorkerId>,
        explanation: &Explanation,
    ) -> Outcome {
        let dropped = DropReason::ALL.into_iter();
        let mut dropped =
            dropped.filter(|&why| counters.dropped[why as usize].get() > self.dropped[why as usize]);
        let why = [HandOver::Client, HandOver::Reply];
        let why = why
            .into_iter()
            .find(|&why| counters.handed_over[why as usize].get() > self.handed_over[why as usize]);
        if let (Some(to), Some(why)) = (to, why) {
            return Outcome::HandedOver(to, why);
        }
        if let Some((port, frame)) = sent {
            return match explanation.outcome {
                Outcome::Answered { .. } => Outcome::Answered { frame },
                _ => Outcome::Sent { port, frame },
            };
        }
        if let Some(reason) = dropped.next() {
            return Outcome::Dropped(reason);
        }
        if counters.host.get() > self.host {
            return Outcome::TakenIn;
        }
        match &explanation.outcome {
            Outcome::Waits { .. } => explanation.outcome.clone(),
            _ => Outcome::Waits { port: PortId(0), next_hop: Ipv4Addr::UNSPECIFIED, frame: Vec::new() },
        }
    }
}
