//! Packets that are refused, and the answers to their senders.

use super::{
    Act, Answer, Refusal,
    budgets::Purpose,
    classify::Parsed,
    known::{Forwarded, Known},
};
use crate::{
    counters::DropReason,
    family::{Family, Problem},
    forward::reject,
    ids::InterfaceId,
    packet::Packet,
    service::plan::Unserved,
    time::Instant,
    wire::{headers::Headers, protocol::Protocol},
};

impl<F: Family> Answer<F> {
    /// The budget that it is taken from.
    pub(crate) const fn purpose(self) -> Option<Purpose> {
        Some(match self {
            Answer::Silence => return None,
            Answer::Reset => Purpose::Reset,
            Answer::Echo => Purpose::Echo,
            Answer::Error(_, Problem::TimeExceeded) => Purpose::TimeExceeded,
            Answer::Error(_, Problem::TooBig(_)) => Purpose::TooBig,
            Answer::Error(_, Problem::Port | Problem::Protocol) => Purpose::Unreachable,
        })
    }
}

impl<F: Family> Refusal<F> {
    /// Turns the packet into the answer. `false` for one that must not be answered.
    pub(crate) fn write(&self, packet: &mut impl Packet, at: &Headers<F>) -> bool {
        match self.answer {
            Answer::Silence => false,
            Answer::Reset => reject::reset(packet, at),
            Answer::Error(from, problem) => reject::icmp_error(packet, at, from, problem),
            Answer::Echo => {
                reject::echo_reply(packet, at);
                true
            }
        }
    }
}

impl Known {
    /// Turns a packet away: a reset for TCP, an abort for SCTP where that may be answered, an ICMP error from the address it was sent to for the rest. On standby nothing
    /// is said for a VIP.
    pub(crate) fn refuse<F: Forwarded>(
        &self,
        now: Instant,
        parsed: &Parsed<F>,
        how: Unserved,
        reason: DropReason,
    ) -> Act<F> {
        if self.snapshot.local::<F>(parsed.at.destination).is_some_and(|local| !local.is_answered()) {
            return Act::Drop(DropReason::Standby);
        }
        let unreachable = |problem| Answer::Error(parsed.at.destination, problem);
        let answer = match (how, Protocol::from_number(parsed.at.protocol)) {
            (Unserved::Drop, _) => return Act::Refuse(Refusal { answer: Answer::Silence, reason }),
            (Unserved::Reject, Some(Protocol::Tcp)) => Answer::Reset,
            (Unserved::Reject, Some(Protocol::Sctp)) if parsed.chunk.is_answered() => Answer::Reset,
            (Unserved::Reject, Some(Protocol::Sctp)) => return Act::Drop(reason),
            (Unserved::Reject, Some(Protocol::Udp)) => unreachable(Problem::Port),
            // Nobody is told of an echo that does not come.
            (Unserved::Reject, _) if parsed.at.protocol == F::ICMP => return Act::Drop(reason),
            (Unserved::Reject, Some(Protocol::Icmp) | None) => unreachable(Problem::Protocol),
        };
        self.answer(now, answer, reason)
    }

    /// A packet that cannot go on: its time to live has expired, or it is larger than `mtu`. The director says so from
    /// its own address.
    #[cold]
    pub(super) fn undeliverable<F: Forwarded>(
        &self,
        now: Instant,
        interface: InterfaceId,
        parsed: &Parsed<F>,
        mtu: u16,
    ) -> Act<F> {
        let at = &parsed.at;
        let (problem, reason) = if at.ttl <= 1 {
            (Problem::TimeExceeded, DropReason::TtlExpired)
        } else if at.dont_fragment() {
            (Problem::TooBig(mtu), DropReason::TooBig)
        } else {
            // A tunnel that has room for next to nothing.
            return Act::Drop(DropReason::TooBig);
        };
        let from = self.snapshot.answer_from::<F>(interface, at.source, at.destination);
        self.answer(now, Answer::Error(from, problem), reason)
    }

    /// An answer, within its budget.
    pub(super) fn answer<F: Family>(&self, now: Instant, answer: Answer<F>, reason: DropReason) -> Act<F> {
        match answer.purpose() {
            Some(purpose) if !self.budgets.has(purpose, now) => Act::Drop(DropReason::RejectLimited),
            _ => Act::Refuse(Refusal { answer, reason }),
        }
    }
}
