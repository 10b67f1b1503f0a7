//! The keys of `[timeouts]`, and what each of them changes.

use super::{table::Table, values::timeout};
use lb_core::{
    conn::{state::State, timeouts::Timeouts},
    time::Duration,
};

/// Each key with its state and the states that follow it unless their own key comes later in this list.
pub(crate) const KEYS: [(&str, State, &[State]); 9] = [
    ("syn", State::SynSent, &[State::SynRecv]),
    ("syn_recv", State::SynRecv, &[]),
    ("established", State::Established, &[]),
    ("fin", State::FinWait, &[State::TimeWait, State::CloseWait]),
    ("time_wait", State::TimeWait, &[]),
    ("close", State::Close, &[]),
    ("close_wait", State::CloseWait, &[]),
    ("last_ack", State::LastAck, &[]),
    ("udp", State::Udp, &[]),
];

/// Timeouts that were given, in the order of [`KEYS`].
#[derive(Default)]
pub(super) struct Changes(Vec<(State, &'static [State], Duration)>);

impl Changes {
    /// Reads the table.
    pub(super) fn read(mut table: Table) -> Self {
        let mut changes = Vec::new();
        for (key, state, followers) in KEYS {
            if let Some(at) = table.read(key, timeout).given() {
                changes.push((state, followers, at.value));
            }
        }
        table.finish();
        Changes(changes)
    }

    /// `base` with these changes.
    pub(super) fn apply(&self, base: Timeouts) -> Timeouts {
        let mut timeouts = base;
        for (state, followers, timeout) in &self.0 {
            timeouts.set(*state, *timeout);
            followers.iter().for_each(|follower| timeouts.set(*follower, *timeout));
        }
        timeouts
    }
}
