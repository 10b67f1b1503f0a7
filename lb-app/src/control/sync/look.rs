//! Looking for exceptions: through all entries of all workers, again and again, a piece of each in every round.

use crate::{
    control::live::running::Running,
    dataplane::asks::{EXCEPTIONS_PER_ANSWER, FindExceptions},
};
use lb_core::{peers::machine::Machine, time::Instant};

/// Milliseconds between the beginnings of two looks, at least.
const EVERY_MS: u64 = 1_000;

/// A look at all connections.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// By worker: where it goes on; nothing where it is through. No worker between two looks.
    cursors: Vec<Option<u32>>,
    began: Option<Instant>,
    took_ms: u64,
    all: bool,
    /// The configuration whose tables peers have been told of.
    generation: Option<u64>,
}

impl Look {
    /// How long the last one took.
    pub(super) fn took_ms(&self) -> u64 {
        self.took_ms
    }

    /// Looks at a piece of each worker's entries. A worker that does not respond ends the look: what was not seen may
    /// still be there.
    pub(super) fn step(&mut self, running: &Running, machine: &mut Machine) {
        let now = running.clock.now();
        let current = running.current();
        if self.generation != Some(current.generation) {
            self.generation = Some(current.generation);
            machine.set_tables(now, current.snapshot.tables_digest());
        }
        if self.cursors.is_empty() {
            let is_due = self.began.is_none_or(|began| now.as_millis() - began.as_millis() >= EVERY_MS);
            if !is_due {
                return;
            }
            (self.began, self.all) = (Some(now), machine.tells_all(now));
            self.cursors = running.workers.iter().map(|_| Some(0)).collect();
            machine.begin_look();
        }
        for (worker, cursor) in running.workers.iter().zip(&mut self.cursors) {
            let Some(from) = *cursor else { continue };
            let found = Vec::with_capacity(EXCEPTIONS_PER_ANSWER as usize);
            let Ok((found, next)) = worker.line.ask(FindExceptions { from, all: self.all, found }) else {
                self.cursors.clear();
                return;
            };
            found.iter().for_each(|(exception, is_proven)| machine.found(exception, *is_proven));
            *cursor = next;
        }
        if self.cursors.iter().all(Option::is_none) {
            self.cursors.clear();
            machine.end_look();
            self.took_ms = running.clock.now().as_millis() - self.began.map_or(0, Instant::as_millis);
        }
    }
}
