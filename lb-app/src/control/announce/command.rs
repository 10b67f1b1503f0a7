//! The command that has routing daemons know what the file says. It runs beside all else, one at a time, because it may take
//! its time, or hang until it is killed: meanwhile the file and the interface follow what is so.

use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Time after which a command that failed is run again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long whoever leaves waits for daemons to know of it, at most.
const WAITS: Duration = Duration::from_secs(5);

/// Calls of the command.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    state: Mutex<State>,
    news: Condvar,
    /// Held by who runs it.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// When it is to be run.
    due: Option<Instant>,
    /// Counts what there was to tell.
    number: u64,
    /// Since when there is something that no call has told yet.
    untold: Option<Instant>,
    /// When the last call that told all there is to tell ended well.
    told: Option<Instant>,
}

impl Calls {
    /// There is something new to tell.
    pub(super) fn tell(&self, now: Instant) {
        let mut state = self.state.lock();
        let number = state.number + 1;
        *state = State { due: Some(now), number, untold: Some(now), told: None };
        self.news.notify_all();
    }

    /// For how long daemons have known what has been so since then. While they are about to be told, they do not know it; but
    /// a command that takes too long, or fails, is not waited for.
    pub(super) fn known_for(&self, since: Instant, now: Instant) -> Duration {
        let state = self.state.lock();
        if state.untold.is_some_and(|untold| now.saturating_duration_since(untold) < WAITS) {
            return Duration::ZERO;
        }
        now.saturating_duration_since(state.told.map_or(since, |told| told.max(since)))
    }

    /// Waits until there is something new to tell, at most for so long.
    pub(crate) fn wait(&self, limit: Duration) {
        let mut state = self.state.lock();
        if state.due.is_none_or(|due| due > Instant::now()) {
            let _ = self.news.wait_for(&mut state, limit);
        }
    }

    /// Runs it if that is due, and waits until it ends, as well as for one that runs already. Nothing if it is not due.
    pub(super) fn run(&self, run: impl FnOnce() -> Result<(), String>) -> Option<Result<(), String>> {
        let _turn = self.turn.lock();
        let number = {
            let mut state = self.state.lock();
            state.due.take_if(|due| *due <= Instant::now())?;
            state.number
        };
        let outcome = run();
        let (mut state, now) = (self.state.lock(), Instant::now());
        // What is new since it began, it may not have told.
        if state.number == number {
            state.untold = None;
            match outcome {
                Ok(()) => state.told = Some(now),
                Err(_) => state.due = Some(now + AGAIN),
            }
        }
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    #[test]
    fn it_runs_once_for_what_is_new_and_again_when_it_failed() {
        let calls = Calls::default();
        assert_eq!(calls.run(|| Ok(())), None, "nothing to tell");
        calls.tell(Instant::now());
        assert_eq!(calls.run(|| Ok(())), Some(Ok(())));
        assert_eq!(calls.run(|| Ok(())), None);
        calls.tell(Instant::now());
        assert_eq!(calls.run(|| Err("no".to_owned())), Some(Err("no".to_owned())));
        assert_eq!(calls.run(|| Ok(())), None, "a while later");
        let due = calls.state.lock().due.expect("it is run again");
        assert!(due > Instant::now() + AGAIN / 2);
    }

    #[test]
    fn what_is_new_while_it_runs_is_told_by_the_next() {
        let calls = Calls::default();
        calls.tell(Instant::now());
        let outcome = calls.run(|| {
            calls.tell(Instant::now());
            Ok(())
        });
        assert_eq!(outcome, Some(Ok(())));
        assert_eq!(calls.known_for(Instant::now(), Instant::now()), Duration::ZERO);
        assert_eq!(calls.run(|| Ok(())), Some(Ok(())));
    }

    #[test]
    fn nobody_waits_for_one_that_hangs() {
        let (calls, start) = (&Calls::default(), Instant::now());
        calls.tell(start);
        let (ended, hangs) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let (began, begins) = mpsc::channel();
            scope.spawn(move || {
                calls.run(|| {
                    began.send(()).expect("somebody waits");
                    let _ = hangs.recv();
                    Ok(())
                })
            });
            begins.recv().expect("it begins");
            // Nothing new waits for it, and who leaves does so for a while only.
            calls.tell(start);
            assert_eq!(calls.known_for(start, start + WAITS - Duration::from_millis(1)), Duration::ZERO);
            assert_eq!(calls.known_for(start, start + WAITS), WAITS);
            drop(ended);
        });
    }

    #[test]
    fn time_counts_from_when_daemons_know() {
        let calls = Calls::default();
        let (start, s) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(calls.known_for(start, start + s), s, "there is nobody to tell");
        calls.tell(start);
        assert_eq!(calls.known_for(start, start + s), Duration::ZERO);
        calls.run(|| Ok(()));
        let told = calls.state.lock().told.expect("it was told");
        assert_eq!(calls.known_for(start, told + s), s);
        assert_eq!(calls.known_for(told + s, told + 3 * s), 2 * s, "and of what came later");
        calls.tell(start);
        calls.run(|| Err(String::new()));
        assert_eq!(calls.known_for(start, start + 2 * s), 2 * s, "nobody will know soon");
    }
}
