//! How long a connection is remembered in each state after its last packet.

use super::state::State;
use crate::time::Duration;

/// One timeout for each [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts([Duration; State::COUNT]);

impl Timeouts {
    /// The timeout of `state`.
    #[inline]
    #[must_use]
    pub const fn of(&self, state: State) -> Duration {
        self.0[state as usize]
    }

    /// Changes the timeout of `state`.
    pub const fn set(&mut self, state: State, timeout: Duration) {
        self.0[state as usize] = timeout;
    }
}

impl Default for Timeouts {
    /// LVS's defaults: SYN 1 min, ESTABLISHED 15 min, FIN 1 min, UDP 5 min. CLOSE, LAST_ACK and those of SCTP are IPVS's: as
    /// long as its longest retransmission timeout and a second (RFC 9260 16), or the initial one of RFC 2960 and a second. ECHO
    /// has the minute that RFC 5508 REQ-2 asks for.
    fn default() -> Self {
        let mut timeouts = Timeouts([Duration::from_secs(60); State::COUNT]);
        timeouts.set(State::Established, Duration::from_secs(15 * 60));
        timeouts.set(State::Close, Duration::from_secs(10));
        timeouts.set(State::LastAck, Duration::from_secs(30));
        timeouts.set(State::Udp, Duration::from_secs(5 * 60));
        for state in State::ALL.into_iter().filter(|state| state.is_sctp()) {
            timeouts.set(state, Duration::from_secs(61));
        }
        timeouts.set(State::SctpInit1, Duration::from_secs(4));
        timeouts.set(State::SctpEstablished, Duration::from_secs(15 * 60));
        timeouts.set(State::SctpRejected, Duration::from_secs(4));
        timeouts
    }
}
