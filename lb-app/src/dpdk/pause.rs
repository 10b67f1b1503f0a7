//! Queues that are not used for a while, so that their port can be stopped and started again.

use std::sync::Arc;

/// A queue's side of a pause: nothing goes through the queue while the other side exists.
#[derive(Debug, Default)]
pub(super) struct Hold(Option<Arc<()>>);

impl Hold {
    /// Begins a pause.
    pub(super) fn begin(&mut self, device: u16, direction: Direction, queue: u16) -> QueuePause {
        let mine = self.0.get_or_insert_default();
        QueuePause { device, direction, queue, _theirs: mine.clone() }
    }

    /// Whether nothing may go through the queue now.
    #[inline(always)]
    pub(super) fn is_on(&mut self) -> bool {
        self.0.is_some() && self.is_still_on()
    }

    #[cold]
    fn is_still_on(&mut self) -> bool {
        // Taking it for ours alone synchronises with the drop of the last pause, and so with the port's new start.
        if self.0.as_mut().is_some_and(|mine| Arc::get_mut(mine).is_some()) {
            self.0 = None;
        }
        self.0.is_some()
    }
}

/// Which way a queue goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Receive,
    Transmit,
}

/// Proof that nobody uses a queue, for as long as it exists: the queue's owner finds it paused. Dropping it ends
/// the pause.
#[derive(Debug)]
pub struct QueuePause {
    pub(super) device: u16,
    pub(super) direction: Direction,
    pub(super) queue: u16,
    _theirs: Arc<()>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_lasts_as_long_as_its_proof() {
        let mut hold = Hold::default();
        assert!(!hold.is_on());
        let first = hold.begin(0, Direction::Receive, 0);
        let second = hold.begin(0, Direction::Receive, 0);
        assert!(hold.is_on());
        drop(first);
        assert!(hold.is_on());
        drop(second);
        assert!(!hold.is_on());
    }
}
