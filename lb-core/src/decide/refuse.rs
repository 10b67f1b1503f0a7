//! Packets that are refused, and the answers to their senders.

use super::{Act, Answer, Refusal, budgets::Purpose, classify::Parsed, known::Known};
use crate::{
    counters::DropReason,
    forward::reject::{self, Error},
    packet::{Packet, PortId},
    service::plan::Unserved,
    time::Instant,
    wire::protocol::Protocol,
    wire::{headers::Headers, icmp},
};

impl Answer {
    /// The budget that it is taken from.
    pub(crate) const fn purpose(self) -> Option<Purpose> {
        Some(match self {
            Answer::Silence => return None,
            Answer::Reset => Purpose::Reset,
            Answer::Echo => Purpose::Echo,
            Answer::Error(_, error) => match (error.kind, error.code) {
                (icmp::TIME_EXCEEDED, _) => Purpose::TimeExceeded,
                (_, icmp::FRAGMENTATION_NEEDED) => Purpose::TooBig,
                _ => Purpose::Unreachable,
            },
        })
    }
}

impl Refusal {
    /// Turns the packet into the answer. `false` for one that must not be answered.
    pub(crate) fn write(&self, packet: &mut impl Packet, at: &Headers) -> bool {
        match self.answer {
            Answer::Silence => false,
            Answer::Reset => reject::reset(packet, at),
            Answer::Error(from, error) => reject::icmp_error(packet, at, from, error),
            Answer::Echo => {
                reject::echo_reply(packet, at);
                true
            }
        }
    }
}

impl Known {
    /// Turns a packet away: a reset for TCP, an ICMP error from the address it was sent to for the rest.
    pub(crate) fn refuse(&self, now: Instant, parsed: &Parsed, how: Unserved, reason: DropReason) -> Act {
        let unreachable =
            |code| Answer::Error(parsed.at.destination, Error { kind: icmp::UNREACHABLE, code, mtu: 0 });
        let answer = match (how, Protocol::from_number(parsed.at.protocol)) {
            (Unserved::Drop, _) => return Act::Refuse(Refusal { answer: Answer::Silence, reason }),
            (Unserved::Reject, Some(Protocol::Tcp)) => Answer::Reset,
            (Unserved::Reject, Some(Protocol::Udp)) => unreachable(icmp::PORT_UNREACHABLE),
            (Unserved::Reject, None) => unreachable(icmp::PROTOCOL_UNREACHABLE),
        };
        self.answer(now, answer, reason)
    }

    /// A packet that cannot go on: its time to live has expired, or it is larger than `mtu`. The director says so from
    /// its own address.
    #[cold]
    pub(super) fn undeliverable(&self, now: Instant, port: PortId, parsed: &Parsed, mtu: u16) -> Act {
        let at = &parsed.at;
        let (error, reason) = if at.ttl <= 1 {
            (Error { kind: icmp::TIME_EXCEEDED, code: 0, mtu: 0 }, DropReason::TtlExpired)
        } else if at.dont_fragment() {
            let code = icmp::FRAGMENTATION_NEEDED;
            (Error { kind: icmp::UNREACHABLE, code, mtu }, DropReason::TooBig)
        } else {
            // Only with a smaller MTU on the way out: see ARCHITECTURE.md on what is not done.
            return Act::Drop(DropReason::TooBig);
        };
        let from = self.snapshot.answer_from(port, at.source, at.destination);
        self.answer(now, Answer::Error(from, error), reason)
    }

    /// An answer, within its budget.
    pub(super) fn answer(&self, now: Instant, answer: Answer, reason: DropReason) -> Act {
        match answer.purpose() {
            Some(purpose) if !self.budgets.has(purpose, now) => Act::Drop(DropReason::RejectLimited),
            _ => Act::Refuse(Refusal { answer, reason }),
        }
    }
}
