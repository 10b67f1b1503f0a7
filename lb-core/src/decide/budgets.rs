//! How often a worker does what others can make it do: a budget for each purpose, so that what keeps the director alive
//! cannot be used up by strangers.

use super::limiter::Limiter;
use crate::time::Instant;

/// What a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// TCP resets.
    Reset,
    /// ICMP errors about ports and protocols that are not served.
    Unreachable,
    /// ICMP errors about packets that are too large for the way on: path MTU discovery rests on them.
    TooBig,
    /// ICMP errors about packets whose time to live has run out.
    TimeExceeded,
    /// Echo replies.
    Echo,
    /// Copies, for the other workers, of what a neighbour says that this worker knows.
    ShareNeighbour,
    /// Copies of what a station says that this worker does not know; another may have asked.
    ShareStranger,
    /// Copies of ICMP errors about connections that this worker does not have.
    ShareError,
    /// Copies of reports about the director's own tunnels.
    ShareReport,
    /// For host sides of ports: how neighbours are found.
    HostResolve,
    /// For host sides: BFD, VRRP, OSPF and BGP that no router has passed on, as their time to live or a group as their
    /// destination shows. Nobody farther away can make such packets.
    HostLink,
    /// For host sides: BGP and OSPF whose source is on an attached network. That is all that shows that they are a
    /// neighbour's.
    HostRouting,
    /// For host sides: BGP and BFD with others.
    HostRoutingFar,
    /// For host sides: everything else.
    HostOther,
    /// Connections that servers behind the director are to get from whom they have a connection with.
    AwaitPeer,
    /// Connections that they are to get from anybody.
    AwaitAnybody,
}

impl Purpose {
    /// Every purpose, in declaration order.
    pub const ALL: [Purpose; 16] = [
        Purpose::Reset,
        Purpose::Unreachable,
        Purpose::TooBig,
        Purpose::TimeExceeded,
        Purpose::Echo,
        Purpose::ShareNeighbour,
        Purpose::ShareStranger,
        Purpose::ShareError,
        Purpose::ShareReport,
        Purpose::HostResolve,
        Purpose::HostLink,
        Purpose::HostRouting,
        Purpose::HostRoutingFar,
        Purpose::HostOther,
        Purpose::AwaitPeer,
        Purpose::AwaitAnybody,
    ];

    /// How much of a host side's room packets for it may fill, in eighths: what is easier to send leaves room for what
    /// neighbours say, for a kernel that does not keep up takes what came first.
    pub(crate) const fn eighths(self) -> u8 {
        match self {
            Purpose::HostOther => 4,
            Purpose::HostRoutingFar => 5,
            Purpose::HostRouting => 6,
            _ => 8,
        }
    }

    /// How often it is allowed in a second; answers to senders of packets as often as that.
    const fn per_s(self, answers: u32) -> u32 {
        match self {
            Purpose::Reset
            | Purpose::Unreachable
            | Purpose::TooBig
            | Purpose::TimeExceeded
            | Purpose::Echo => answers,
            Purpose::ShareNeighbour | Purpose::ShareStranger | Purpose::ShareError | Purpose::ShareReport => {
                SHARES_PER_S
            }
            Purpose::HostResolve => HOST_RESOLVE_PER_S,
            Purpose::HostLink | Purpose::HostRouting | Purpose::HostRoutingFar => HOST_ROUTING_PER_S,
            Purpose::HostOther => HOST_OTHER_PER_S,
            Purpose::AwaitPeer => AWAITS_PEER_PER_S,
            Purpose::AwaitAnybody => AWAITS_ANYBODY_PER_S,
        }
    }
}

/// All budgets of a worker.
#[derive(Clone, Debug)]
pub struct Budgets([Limiter; Purpose::ALL.len()]);

/// Packets of one purpose that are copied to other workers in a second.
const SHARES_PER_S: u32 = 1_000;
/// ARP packets that a worker gives to host sides in a second.
const HOST_RESOLVE_PER_S: u32 = 2_000;
/// Packets of routing and election protocols that it gives to them: a full table by BGP is not meant.
const HOST_ROUTING_PER_S: u32 = 10_000;
/// Other packets that it gives to them: as many as one thread of the control plane moves without falling behind.
const HOST_OTHER_PER_S: u32 = 20_000;

/// Connections that modules expect for servers behind a worker's rules of SNAT in a second: with 8 workers, what one of these
/// servers says over and over fills less than all places (`MAX_EXPECTED`), by how long each is expected.
const AWAITS_PEER_PER_S: u32 = 100;
/// The same from anybody. Each takes two places, and people do not offer more.
const AWAITS_ANYBODY_PER_S: u32 = 8;

impl Budgets {
    /// Allows `answers_per_s` answers of each kind a second.
    #[must_use]
    pub fn new(answers_per_s: u32, now: Instant) -> Self {
        Budgets(Purpose::ALL.map(|purpose| Limiter::new(purpose.per_s(answers_per_s), now)))
    }

    /// Whether one more is allowed for that purpose now.
    #[must_use]
    pub fn has(&self, purpose: Purpose, now: Instant) -> bool {
        self.0[purpose as usize].has(now)
    }

    /// Whether one more is allowed for that purpose now. If so, it counts.
    pub fn take(&mut self, purpose: Purpose, now: Instant) -> bool {
        self.0[purpose as usize].take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_purpose_cannot_use_up_the_budget_of_another() {
        let now = Instant::ZERO;
        for used_up in Purpose::ALL {
            let mut budgets = Budgets::new(1_000, now);
            while budgets.take(used_up, now) {}
            for purpose in Purpose::ALL {
                assert_eq!(budgets.has(purpose, now), purpose != used_up, "{used_up:?}, {purpose:?}");
            }
            let next = 1_000_u32.div_ceil(used_up.per_s(1_000));
            assert!(budgets.has(used_up, Instant::from_millis(next.into())), "when the next one is due");
        }
    }

    #[test]
    fn asking_costs_nothing() {
        let mut budgets = Budgets::new(3, Instant::ZERO);
        assert!((0..10).all(|_| budgets.has(Purpose::Reset, Instant::ZERO)));
        assert_eq!((0..10).filter(|_| budgets.take(Purpose::Reset, Instant::ZERO)).count(), 3);
    }
}
