//! Looking for connections that others are told of: through all entries of all workers, again and again, a piece of each in
//! every round.

use crate::{
    control::live::running::Running,
    dataplane::asks::{EXCEPTIONS_PER_ANSWER, FindExceptions},
};
use lb_core::{
    peers::{
        exception::Seen,
        ipvs::master::Master,
        machine::{Machine, PeerFacts},
    },
    time::Instant,
    worker::{clients, exceptions::Wanted},
};
use std::sync::atomic::Ordering;

/// Milliseconds between the beginnings of two looks, at least.
const EVERY_MS: u64 = 1_000;

/// A look at all connections.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// By worker: where it goes on; nothing where it is through. No worker between two looks.
    cursors: Vec<Option<u32>>,
    began: Option<Instant>,
    took_ms: u64,
    wanted: Wanted,
    /// One that began when the director was about to leave is over.
    of_young: bool,
    /// The configuration whose tables peers have been told of.
    generation: Option<u64>,
}

impl Look {
    /// How long the last one took.
    pub(super) fn took_ms(&self) -> u64 {
        self.took_ms
    }

    /// Looks for exceptions, which peers are told of.
    pub(super) fn for_exceptions(&mut self, running: &Running, machine: &mut Machine) {
        let now = running.clock.now();
        let current = running.current();
        if self.generation != Some(current.generation) {
            self.generation = Some(current.generation);
            machine.set_tables(now, current.snapshot.tables_digest());
        }
        let young = running.leaves.load(Ordering::Relaxed);
        self.of_young &= young;
        if self.is_due(running, Wanted { all: machine.tells_all(now), young }) {
            machine.begin_look();
        }
        if self.step(running, &mut |seen| machine.found(&seen.exception, seen.is_proven)) {
            clients::remembered(&running.persistence, &current.snapshot, now)
                .for_each(|client| machine.found_client(now, &client));
            machine.end_look();
            self.of_young = self.wanted.young;
        }
        let is_known = |peer: PeerFacts| !peer.is_up || self.of_young && peer.unacknowledged == 0;
        running.young_told.store(machine.peers().all(is_known), Ordering::Relaxed);
    }

    /// Looks at all connections and clients, which directors of IPVS are told of.
    pub(super) fn at_all(&mut self, running: &Running, master: &mut Master, send: &mut impl FnMut(&[u8])) {
        if self.is_due(running, Wanted { all: true, young: false }) {
            master.begin_look(running.clock.now());
        }
        if self.step(running, &mut |seen| master.found(seen, send)) {
            let (current, now) = (running.current(), running.clock.now());
            clients::templates(&running.persistence, &current.snapshot, now)
                .for_each(|client| master.found_client(client.as_ref(), send));
            master.end_look(send);
        }
    }

    /// Whether a look begins, for those.
    fn is_due(&mut self, running: &Running, wanted: Wanted) -> bool {
        let now = running.clock.now();
        // Who is about to leave does not wait.
        let is_urgent = wanted.young && !self.wanted.young;
        let is_time =
            is_urgent || self.began.is_none_or(|began| now.as_millis() - began.as_millis() >= EVERY_MS);
        let is_due = self.cursors.is_empty() && is_time;
        if is_due {
            (self.began, self.wanted) = (Some(now), wanted);
            self.cursors = running.workers.iter().map(|_| Some(0)).collect();
        }
        is_due
    }

    /// Looks at a piece of each worker's entries. A worker that does not respond ends the look: what was not seen may
    /// still be there. Whether the look is over, and nothing was left out.
    fn step(&mut self, running: &Running, each: &mut impl FnMut(&Seen)) -> bool {
        for (worker, cursor) in running.workers.iter().zip(&mut self.cursors) {
            let Some(from) = *cursor else { continue };
            let found = Vec::with_capacity(EXCEPTIONS_PER_ANSWER as usize);
            let Ok((found, next)) = worker.line.ask(FindExceptions { from, wanted: self.wanted, found })
            else {
                self.cursors.clear();
                return false;
            };
            found.iter().for_each(&mut *each);
            *cursor = next;
        }
        let is_over = !self.cursors.is_empty() && self.cursors.iter().all(Option::is_none);
        if is_over {
            self.cursors.clear();
            self.took_ms = running.clock.now().as_millis() - self.began.map_or(0, Instant::as_millis);
        }
        is_over
    }
}
