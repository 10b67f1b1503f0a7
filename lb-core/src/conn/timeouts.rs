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
    /// LVS's defaults: SYN 1 min, ESTABLISHED 15 min, FIN 1 min, UDP 5 min. CLOSE and LAST_ACK are IPVS's.
    fn default() -> Self {
        let mut timeouts = Timeouts([Duration::from_secs(60); State::COUNT]);
        timeouts.set(State::Established, Duration::from_secs(15 * 60));
        timeouts.set(State::Close, Duration::from_secs(10));
        timeouts.set(State::LastAck, Duration::from_secs(30));
        timeouts.set(State::Udp, Duration::from_secs(5 * 60));
        timeouts
    }
}
