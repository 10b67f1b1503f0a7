//! How busy a worker is: cycles of rounds that found something to do and of those that did not, and how many packets
//! polls bring. Counted for each round and each poll, not for each packet.

use super::BURST;
use lb_core::counters::Counter;

/// What one worker counts of its rounds. On lines of its own: it is written in every round.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Activity {
    /// Cycles of rounds that found something to do.
    pub(crate) busy_cycles: Counter,
    /// Cycles of rounds that did not, rest included.
    pub(crate) idle_cycles: Counter,
    /// Polls of a port by how many packets they brought.
    pub(crate) polls: [Counter; BURST + 1],
}

impl Default for Activity {
    fn default() -> Self {
        let polls = std::array::from_fn(|_| Counter::default());
        Activity { busy_cycles: Counter::default(), idle_cycles: Counter::default(), polls }
    }
}

impl Activity {
    /// Counts a round that took `cycles`.
    #[inline]
    pub(super) fn round(&self, cycles: u64, busy: bool) {
        if busy { self.busy_cycles.add(cycles) } else { self.idle_cycles.add(cycles) }
    }

    /// Counts a poll that brought `packets`.
    #[inline]
    pub(super) fn poll(&self, packets: usize) {
        self.polls[packets.min(BURST)].bump();
    }

    /// Polls by powers of two of what they brought: at least, at most, how many.
    pub(crate) fn histogram(&self) -> Vec<(u32, u32, u64)> {
        let mut buckets = vec![(0, 0, self.polls[0].get())];
        let mut from = 1;
        while from <= BURST {
            let to = (from * 2 - 1).min(BURST);
            let polls = self.polls[from..=to].iter().map(Counter::get).sum();
            buckets.push((from as u32, to as u32, polls));
            from = to + 1;
        }
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_sorted_by_size() {
        let activity = Activity::default();
        for packets in [0, 0, 1, 2, 3, 31, 32, 32] {
            activity.poll(packets);
        }
        let expected = [(0, 0, 2), (1, 1, 1), (2, 3, 2), (4, 7, 0), (8, 15, 0), (16, 31, 1), (32, 32, 2)];
        assert_eq!(activity.histogram(), expected);
        activity.round(5, true);
        activity.round(7, false);
        assert_eq!((activity.busy_cycles.get(), activity.idle_cycles.get()), (5, 7));
    }
}
