//! Traces: packets whose stories are wanted.

use super::shared::{claim, since_1970};
use crate::{dataplane::packet_filter::PacketFilter, dpdk::Mbuf};
use crossbeam_channel::Sender;
use lb_core::{
    counters::{DropReason, WorkerCounters},
    explanation::{Explanation, Outcome},
    packet::{HandOver, Packet, PortId, WorkerId},
};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Packets whose stories are wanted.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) filter: PacketFilter,
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

/// What was expected to happen to a packet, and what did.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) when: Duration,
    pub(crate) explanation: Explanation,
    pub(crate) happened: Outcome,
}

impl Trace {
    pub(super) fn wants(&self, packet: &Mbuf) -> bool {
        self.shared.left.load(Relaxed) > 0 && self.filter.matches(packet.bytes()) && claim(&self.shared.left)
    }

    pub(super) fn tell(&self, explanation: &Explanation, happened: &Outcome) {
        let story =
            Story { when: since_1970(), explanation: explanation.clone(), happened: happened.clone() };
        if self.shared.stories.try_send(story).is_err() {
            self.shared.missed.fetch_add(1, Relaxed);
        }
    }
}

/// Counters before a packet.
pub(super) struct Seen {
    dropped: [u64; DropReason::ALL.len()],
    handed_over: [u64; HandOver::ALL.len()],
    host: u64,
    waiting_fragments: u64,
}

impl Seen {
    pub(super) fn of(counters: &WorkerCounters) -> Self {
        Seen {
            dropped: std::array::from_fn(|at| counters.dropped[at].get()),
            handed_over: std::array::from_fn(|at| counters.handed_over[at].get()),
            host: counters.host.get(),
            waiting_fragments: counters.waiting_fragments.get(),
        }
    }

    /// What became of one packet, by what was counted since.
    pub(super) fn happened(
        &self,
        counters: &WorkerCounters,
        mut sent: Vec<(PortId, Vec<u8>)>,
        to: Option<WorkerId>,
        explanation: &Explanation,
    ) -> Outcome {
        let dropped = DropReason::ALL.into_iter();
        let mut dropped =
            dropped.filter(|&why| counters.dropped[why as usize].get() > self.dropped[why as usize]);
        let why = HandOver::ALL
            .into_iter()
            .filter(|why| *why != HandOver::Shared)
            .find(|&why| counters.handed_over[why as usize].get() > self.handed_over[why as usize]);
        if let (Some(to), Some(why)) = (to, why) {
            return Outcome::HandedOver(to, why);
        }
        // Of several it is the one that was told of: the first fragment, or the packet behind a header of its own.
        let told = match &explanation.outcome {
            Outcome::Sent { frame, .. } => sent.iter().position(|(_, it)| it == frame),
            _ => None,
        };
        let last = sent.pop();
        if let Some((port, frame)) = told.and_then(|at| sent.into_iter().nth(at)).or(last) {
            return match explanation.outcome {
                Outcome::Answered { .. } => Outcome::Answered { frame },
                _ => Outcome::Sent { port, frame },
            };
        }
        if let Some(reason) = dropped.next() {
            return Outcome::Dropped(reason);
        }
        if counters.host.get() > self.host {
            return Outcome::Host;
        }
        if counters.waiting_fragments.get() > self.waiting_fragments {
            return Outcome::Held;
        }
        match &explanation.outcome {
            Outcome::Waits { .. } => explanation.outcome.clone(),
            _ => Outcome::Waits {
                port: PortId(0),
                next_hop: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                frame: Vec::new(),
            },
        }
    }
}
