//! What both ways of telling others of connections have in common: a thread that goes round, what is known of it at a
//! moment, and whether there is room.

use crate::{config::Config, control::live::running::Running};
use parking_lot::Mutex;
use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Time between two rounds.
const ROUND: Duration = Duration::from_millis(5);
/// How long after the last connection without room there is said to be none.
const FULL_FOR: Duration = Duration::from_secs(60);
/// Rounds between two looks whether there is a socket, and the right one.
pub(super) const SOCKET_EVERY: u32 = 200;
/// Rounds between two updates of what is known.
pub(super) const KNOWN_EVERY: u32 = 40;
/// Datagrams that are taken in one round, at most.
pub(super) const PER_ROUND: usize = 1_024;
/// Bytes of datagrams that the kernel keeps while a round is under way, at most.
pub(super) const KERNEL_BUFFER: usize = 4 << 20;

/// What is known at a moment, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Known<F>(Mutex<F>);

impl<F: Clone> Known<F> {
    /// What is known now.
    pub(crate) fn facts(&self) -> F {
        self.0.lock().clone()
    }

    pub(super) fn set(&self, facts: F) {
        *self.0.lock() = facts;
    }
}

/// One round.
pub(super) struct Round {
    number: u32,
    /// The file, if it has been read anew since the last round, whatever is different in it.
    pub(super) reloaded: Option<Arc<Config>>,
}

impl Round {
    /// Whether it is one of those that come every so many.
    pub(super) fn is_every(&self, rounds: u32) -> bool {
        self.number.is_multiple_of(rounds)
    }
}

/// Starts a thread that goes round until the director ends.
///
/// # Errors
/// When it cannot be started.
pub(super) fn start(
    name: &str,
    running: &Arc<Running>,
    mut go: impl FnMut(&Running, &Round) + Send + 'static,
) -> io::Result<()> {
    let mut config = running.current().config;
    let running = Arc::downgrade(running);
    let work = move || {
        for number in 0u32.. {
            // It would otherwise hold what the end waits for.
            let Some(running) = running.upgrade().filter(|running| !running.shutdown.is_requested()) else {
                return;
            };
            let current = running.current().config;
            let is_new = !Arc::ptr_eq(&config, &current);
            config = current;
            go(&running, &Round { number, reloaded: is_new.then(|| config.clone()) });
            drop(running);
            thread::sleep(ROUND);
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Whether all that was to be told found room lately.
#[derive(Debug, Default)]
pub(super) struct Room {
    refused: Option<Instant>,
    is_full: bool,
}

impl Room {
    /// Takes note of whether something has found none just now. Whether there is none, if that is news.
    pub(super) fn note(&mut self, is_refused: bool, now: Instant) -> Option<bool> {
        if is_refused {
            self.refused = Some(now);
        }
        let is_full = self.refused.is_some_and(|at| now.saturating_duration_since(at) < FULL_FOR);
        (std::mem::replace(&mut self.is_full, is_full) != is_full).then_some(is_full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_is_no_room_is_news_once_until_there_has_been_room_for_a_minute() {
        let (mut room, start) = (Room::default(), Instant::now());
        let mut note = |is_refused, s| room.note(is_refused, start + Duration::from_secs(s));
        assert_eq!(note(false, 0), None);
        assert_eq!(note(true, 1), Some(true));
        assert_eq!(note(true, 30), None);
        assert_eq!(note(false, 89), None, "59 s after the last one");
        assert_eq!(note(false, 90), Some(false));
        assert_eq!(note(false, 91), None);
    }
}
