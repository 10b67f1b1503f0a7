//! How many connections each real server has over all workers, without any worker waiting for another.
//!
//! Each worker publishes its own count of each server in its own row of the [`LoadBoard`]; every few milliseconds the
//! control thread adds up what has changed and writes for each worker what all the *others* have ([`sum`]). A worker's
//! view of a server is then its own count, exact, plus the others' of a moment ago.

mod sum;

use crate::cast::{high32, index, low32};
use crate::{ids::ServerId, packet::WorkerId, sched::threshold::Thresholds};
use std::{
    ops::Add,
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Connections of one real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Those that can carry data: `ActiveConn`.
    pub active: u32,
    /// The rest, opening or closing: `InActConn`.
    pub inactive: u32,
}

impl Load {
    /// One connection more or less, active or not.
    #[inline]
    pub fn count(&mut self, active: bool, by: i32) {
        let count = if active { &mut self.active } else { &mut self.inactive };
        *count = count.wrapping_add_signed(by);
    }

    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        u64::from(self.active) + u64::from(self.inactive)
    }
}

impl Add for Load {
    type Output = Load;

    fn add(self, other: Load) -> Load {
        Load { active: self.active + other.active, inactive: self.inactive + other.inactive }
    }
}

/// The counts of all workers for all servers. Sized at start.
#[derive(Debug)]
pub struct LoadBoard {
    rows: Vec<Row>,
    /// By server: it has reached its upper threshold, and has not fallen below its lower one since, as far as anybody has
    /// looked. Workers write it when they look, all the same.
    full: Box<[AtomicBool]>,
    /// Written by the control thread: for how many servers the workers' views are complete.
    covered: AtomicUsize,
}

/// One worker's part of the board. Padded so that workers do not write to one cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Row {
    /// Written by the worker, by server.
    own: Box<[AtomicU64]>,
    /// Written by the control thread: the sum over the other workers, by server.
    others: Box<[AtomicU64]>,
    /// Counts the times that the control thread changed any of `others`.
    sums: AtomicU64,
    /// Servers of which the worker has published another count, the latest over the oldest.
    journal: Box<[AtomicU32]>,
    /// How many there have ever been.
    written: AtomicU64,
    /// Written by the control thread: how many of them it has processed.
    summed: AtomicU64,
}

/// Changes that the journal holds: more than a worker makes between two rounds of the control thread. Whoever has missed
/// more looks at all servers.
const JOURNAL: usize = 4_096;
/// Changes that a scheduler processes one by one. Beyond that, comparing all its servers is cheaper.
const MOST_MISSED: u64 = 256;

/// How far a reader has read a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    written: u64,
    sums: u64,
}

impl LoadBoard {
    /// A board for that many workers and servers, all counts zero.
    #[must_use]
    pub fn new(workers: usize, servers: usize) -> Self {
        let cells = || (0..servers).map(|_| AtomicU64::new(0)).collect();
        let row = |_| Row {
            own: cells(),
            others: cells(),
            sums: AtomicU64::new(0),
            journal: (0..JOURNAL).map(|_| AtomicU32::new(0)).collect(),
            written: AtomicU64::new(0),
            summed: AtomicU64::new(0),
        };
        let full = (0..servers).map(|_| AtomicBool::new(false)).collect();
        LoadBoard { rows: (0..workers).map(row).collect(), full, covered: AtomicUsize::new(0) }
    }

    /// What a worker has with `server`.
    pub fn publish(&self, worker: WorkerId, server: ServerId, load: Load) {
        self.change(worker, server, |now| *now = load);
    }

    /// Changes what a worker has with `server`. Called by that worker.
    #[inline]
    pub fn change(&self, worker: WorkerId, server: ServerId, change: impl FnOnce(&mut Load)) {
        let row = &self.rows[usize::from(worker.0)];
        if let Some(cell) = row.own.get(server.index()) {
            let mut load = unpack(cell.load(Relaxed));
            change(&mut load);
            row.publish(cell, server, load);
        }
    }

    /// What a worker has with `server`.
    #[must_use]
    pub fn own(&self, worker: WorkerId, server: ServerId) -> Load {
        let cell = self.rows[usize::from(worker.0)].own.get(server.index());
        cell.map_or_else(Load::default, |cell| unpack(cell.load(Relaxed)))
    }

    /// Connections of `server` over all workers, now.
    #[must_use]
    pub fn total(&self, server: ServerId) -> Load {
        self.rows
            .iter()
            .filter_map(|row| row.own.get(server.index()))
            .fold(Load::default(), |sum, cell| sum + unpack(cell.load(Relaxed)))
    }

    /// Keeps in mind whether a server is full.
    pub fn remember(&self, server: ServerId, is_full: bool) {
        if let Some(cell) = self.full.get(server.index()) {
            cell.store(is_full, Relaxed);
        }
    }

    /// How one worker sees the loads.
    #[must_use]
    pub fn view(&self, worker: WorkerId) -> Loads<'_> {
        let row = &self.rows[usize::from(worker.0)];
        Loads { row, full: &self.full }
    }
}

impl Row {
    /// Writes the worker's own count of a server, and that it is another.
    #[inline]
    fn publish(&self, cell: &AtomicU64, server: ServerId, load: Load) {
        cell.store(pack(load), Relaxed);
        let written = self.written.load(Relaxed);
        // Both behind what comes before them, for the control thread's eyes.
        self.entry(written).store(server.number(), Release);
        self.written.store(written.wrapping_add(1), Release);
    }

    /// Where the journal has, or gets, that change of all there have ever been.
    #[inline]
    fn entry(&self, at: u64) -> &AtomicU32 {
        &self.journal[index(at) % JOURNAL]
    }
}

/// One worker's view of all servers' loads.
#[derive(Clone, Copy, Debug)]
pub struct Loads<'a> {
    row: &'a Row,
    full: &'a [AtomicBool],
}

impl<'a> Loads<'a> {
    /// How far there is to read now.
    #[must_use]
    pub fn now(&self) -> Seen {
        Seen { written: self.row.written.load(Relaxed), sums: self.row.sums.load(Acquire) }
    }

    /// The servers whose loads may have changed since a reader was here; some may come up twice. `None` when that is
    /// not known any more, or was never: then all may have.
    pub fn changed_since(&self, seen: Option<Seen>) -> Option<impl Iterator<Item = ServerId> + use<'a>> {
        let (now, seen, row) = (self.now(), seen?, self.row);
        let missed = now.written.wrapping_sub(seen.written);
        let is_known = now.sums == seen.sums && missed <= MOST_MISSED;
        let entry = move |at: u64| ServerId::new(row.entry(seen.written.wrapping_add(at)).load(Relaxed));
        is_known.then(|| (0..missed).map(entry))
    }

    /// The connections of `server`, as far as this worker knows; none for a server that is not on the board.
    #[must_use]
    pub fn of(&self, server: ServerId) -> Load {
        let at = server.index();
        let (Some(own), Some(others)) = (self.row.own.get(at), self.row.others.get(at)) else {
            return Load::default();
        };
        unpack(own.load(Relaxed)) + unpack(others.load(Relaxed))
    }

    /// Whether a server was full when somebody looked last.
    #[must_use]
    pub fn was_full(&self, server: ServerId) -> bool {
        self.full.get(server.index()).is_some_and(|cell| cell.load(Relaxed))
    }

    /// Whether a server with these thresholds is full, as far as this worker knows. It is kept in mind: between the two
    /// thresholds it depends on what was before.
    #[must_use]
    pub fn is_full(&self, server: ServerId, thresholds: Thresholds) -> bool {
        let Some(cell) = self.full.get(server.index()) else { return false };
        let was = cell.load(Relaxed);
        let is = thresholds.is_full(self.of(server).total(), was);
        if is != was {
            cell.store(is, Relaxed);
        }
        is
    }
}

const fn pack(load: Load) -> u64 {
    (load.active as u64) << 32 | load.inactive as u64
}

const fn unpack(cell: u64) -> Load {
    Load { active: high32(cell), inactive: low32(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_full_is_kept_in_mind() {
        let (board, server) = (LoadBoard::new(2, 2), ServerId::new(1));
        let thresholds = Thresholds { upper: 4, lower: 2 };
        let full = |worker, active| {
            board.publish(WorkerId(0), server, Load { active, inactive: 0 });
            board.sum_up(2);
            board.view(WorkerId(worker)).is_full(server, thresholds)
        };
        let told: Vec<bool> = [(0, 3), (1, 4), (0, 2), (1, 1), (0, 3)].map(|(at, n)| full(at, n)).into();
        assert_eq!(told, [false, true, true, false, false], "over all workers");
        assert!(!board.view(WorkerId(0)).is_full(ServerId::new(9), thresholds), "not on the board");
    }

    #[test]
    fn a_worker_sees_its_own_at_once_and_the_others_after_the_sum() {
        let board = LoadBoard::new(2, 3);
        let (a, b) = (WorkerId(0), WorkerId(1));
        let server = ServerId::new(1);
        board.publish(a, server, Load { active: 2, inactive: 1 });
        board.publish(b, server, Load { active: 5, inactive: 0 });
        assert_eq!(board.view(a).of(server), Load { active: 2, inactive: 1 });
        board.sum_up(3);
        assert_eq!(board.view(a).of(server), Load { active: 7, inactive: 1 });
        board.publish(a, server, Load { active: 1, inactive: 1 });
        assert_eq!(board.view(a).of(server), Load { active: 6, inactive: 1 }, "own change at once");
        assert_eq!(
            board.view(b).of(server),
            Load { active: 7, inactive: 1 },
            "the other's after the next sum"
        );
        assert_eq!(board.total(server), Load { active: 6, inactive: 1 });
        assert_eq!(board.view(a).of(ServerId::new(9)), Load::default(), "not on the board");
    }
}
