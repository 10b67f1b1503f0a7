//! What is due between bursts: connections to forget, neighbours to ask.

use super::Worker;
use crate::{
    family::{V4, V6},
    packet::{Io, Packet},
    time::{Duration, Instant},
};

/// Time between two looks for path MTUs to forget.
const WIDEN_EVERY: Duration = Duration::from_secs(10);

impl<P: Packet> Worker<P> {
    /// Does what is due. To be called once per round of the worker's loop, busy or idle; does a bounded amount of
    /// work, and next to none if time has not moved on.
    pub fn tick(&mut self, now: Instant, io: &mut impl Io<Packet = P>) {
        self.expire::<V4>(now);
        if !self.known.connections_v6.is_empty() {
            self.expire::<V6>(now);
        }
        if self.chores.last_tick == Some(now) {
            return;
        }
        self.chores.last_tick = Some(now);
        let mut steps = 0;
        while let Some((number, question)) = self.known.neighbours.poll(&mut steps, now) {
            self.put_question(number, question, io);
        }
        self.widen_ways(now);
        self.give_up_fragments(now, io);
    }

    /// Forgets path MTUs that were learnt long ago. Looks at all servers, but only while there are such, and seldom.
    fn widen_ways(&mut self, now: Instant) {
        if self.chores.narrow_paths > 0 && now >= self.chores.paths_due {
            self.chores.paths_due = now + WIDEN_EVERY;
            let backends = self.known.backends.iter_mut();
            self.chores.narrow_paths -= backends.filter_map(|path| path.widen(now).then_some(())).count();
        }
    }
}
