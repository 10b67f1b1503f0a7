//! Telling each worker the loads of the others, with work in proportion to the changes.
//!
//! A director may have a hundred thousand servers and a hundred new connections a second: adding all loads up every few
//! milliseconds would be most of what its control thread does. The journals that workers keep anyway, for their own
//! schedulers, tell which loads have changed, so only those are added up. All are when a journal has been written round
//! meanwhile, or when more has changed than there are servers; those that came with a new snapshot are besides.
//!
//! A journal is read while its worker writes it, and neither waits. The worker stores the load, then the entry, then how
//! many entries there are; whoever has read that number finds entries and loads that are at least as new. An entry may
//! have been overwritten meanwhile, which reading the number again tells. On x86 all of these are plain moves, so the
//! second reader costs a worker nothing but fetching back the cache lines of news that were looked at.

use super::{JOURNAL, Load, LoadBoard, Row, pack, unpack};
use std::{
    ops::Range,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
};

impl LoadBoard {
    /// Tells each worker what the others have now, of the first so many servers at least: the board has room for more
    /// than there are. Called by the control thread, and nobody else, every few milliseconds.
    ///
    /// Returns how many servers it looked at; one may count twice.
    pub fn sum_up(&self, servers: usize) -> usize {
        if self.rows.len() < 2 {
            return 0; // There are no others.
        }
        let servers = servers.min(self.rows[0].own.len());
        let covered = self.covered.load(Relaxed).min(servers);
        // Before any load is read: what changes from here on is news the next time.
        let now: Vec<u64> = self.rows.iter().map(|row| row.written.load(Acquire)).collect();
        let mut sums = Sums { board: self, own: Vec::new(), changed: vec![false; now.len()], looked_at: 0 };
        if sums.of_news(&now, servers) {
            sums.of_all(covered..servers);
        } else {
            sums.of_all(0..servers);
        }
        self.covered.store(servers, Relaxed);
        for ((row, now), changed) in self.rows.iter().zip(now).zip(sums.changed) {
            // Only if there was news: the worker writes to this cache line.
            if row.summed.load(Relaxed) != now {
                row.summed.store(now, Relaxed);
            }
            if changed {
                // Behind the sums: whoever sees the number sees them.
                row.sums.store(row.sums.load(Relaxed) + 1, Release);
            }
        }
        sums.looked_at
    }
}

/// One round of adding up.
struct Sums<'a> {
    board: &'a LoadBoard,
    /// What each worker has of one server.
    own: Vec<Load>,
    /// Whether a worker's view has changed.
    changed: Vec<bool>,
    looked_at: usize,
}

impl Sums<'_> {
    /// Those that the journals name, up to `now`; `false` if that is not known or not worth while.
    fn of_news(&mut self, now: &[u64], servers: usize) -> bool {
        let news = |row: &Row, now: u64| now.wrapping_sub(row.summed.load(Relaxed));
        let rows = || self.board.rows.iter().zip(now);
        if rows().map(|(row, &now)| news(row, now)).fold(0, u64::saturating_add) > servers as u64
            || rows().any(|(row, &now)| news(row, now) >= JOURNAL as u64)
        {
            return false;
        }
        let mut is_known = true;
        for (row, &now) in self.board.rows.iter().zip(now) {
            let summed = row.summed.load(Relaxed);
            for at in 0..news(row, now) {
                let server = row.entry(summed.wrapping_add(at)).load(Acquire);
                self.of(server as usize);
            }
            // The number is stored before the entry that takes another's place is, so it says whether one has.
            is_known &= news(row, row.written.load(Relaxed)) < JOURNAL as u64;
        }
        is_known
    }

    fn of_all(&mut self, servers: Range<usize>) {
        servers.for_each(|server| self.of(server));
    }

    fn of(&mut self, server: usize) {
        self.looked_at += 1;
        // Once each: a load that changed between two looks would leave others less than none.
        self.own.clear();
        self.own.extend(self.board.rows.iter().map(|row| unpack(row.own[server].load(Relaxed))));
        let total = self.own.iter().fold(Load::default(), |sum, &own| sum + own);
        for ((row, own), changed) in self.board.rows.iter().zip(&self.own).zip(&mut self.changed) {
            let others = Load { active: total.active - own.active, inactive: total.inactive - own.inactive };
            let before = row.others[server].load(Relaxed);
            if before != pack(others) {
                row.others[server].store(pack(others), Relaxed);
                *changed = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::ServerId, packet::WorkerId};
    use proptest::prelude::*;
    use std::thread;

    /// What each worker's view of each server should be: worker by worker.
    fn naive(board: &LoadBoard, servers: usize) -> Vec<Vec<Load>> {
        let own = |row: &Row, server: usize| unpack(row.own[server].load(Relaxed));
        let others = |me: usize, server: usize| {
            let others = board.rows.iter().enumerate().filter(|(worker, _)| *worker != me);
            others.fold(Load::default(), |sum, (_, row)| sum + own(row, server))
        };
        (0..board.rows.len()).map(|me| (0..servers).map(|server| others(me, server)).collect()).collect()
    }

    fn told(board: &LoadBoard, servers: usize) -> Vec<Vec<Load>> {
        let told = |row: &Row| (0..servers).map(|server| unpack(row.others[server].load(Relaxed))).collect();
        board.rows.iter().map(told).collect()
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A worker has another load with a server.
        Publish(u16, u32, Load),
        /// So much happens on a worker at once, over some servers.
        Storm(u16, u32, usize),
        /// The control thread comes round. So many servers there are.
        SumUp(usize),
    }

    const ROOM: usize = 40;

    fn step() -> impl Strategy<Value = Step> {
        let load = (0_u32..9, 0_u32..9).prop_map(|(active, inactive)| Load { active, inactive });
        prop_oneof![
            12 => (0_u16..4, 0..ROOM as u32, load).prop_map(|(worker, server, load)| Step::Publish(worker, server, load)),
            1 => (0_u16..4, 0..ROOM as u32, JOURNAL - 2..2 * JOURNAL + 2)
                .prop_map(|(worker, server, count)| Step::Storm(worker, server, count)),
            4 => (ROOM / 2..=ROOM).prop_map(Step::SumUp),
        ]
    }

    proptest! {
        #[test]
        fn all_are_told_what_adding_everything_up_gives(
            workers in 1_usize..5,
            steps in prop::collection::vec(step(), 1..100),
        ) {
            let board = LoadBoard::new(workers, ROOM);
            for step in steps {
                match step {
                    Step::Publish(worker, server, load) => {
                        board.publish(WorkerId(worker % workers as u16), ServerId::new(server), load);
                    }
                    Step::Storm(worker, server, count) => {
                        for at in 0..count as u32 {
                            let load = Load { active: at % 7, inactive: at % 5 };
                            let server = ServerId::new((server + at % 3) % ROOM as u32);
                            board.publish(WorkerId(worker % workers as u16), server, load);
                        }
                    }
                    Step::SumUp(servers) => {
                        let sums = |board: &LoadBoard| -> Vec<_> {
                            board.rows.iter().map(|row| row.sums.load(Relaxed)).collect()
                        };
                        let (before, sums_before) = (told(&board, ROOM), sums(&board));
                        board.sum_up(servers);
                        prop_assert_eq!(told(&board, servers), naive(&board, servers));
                        // A worker whose view has changed notices.
                        let (after, sums_after) = (told(&board, ROOM), sums(&board));
                        for worker in 0..workers {
                            let is_told = sums_before[worker] != sums_after[worker];
                            prop_assert_eq!(is_told, before[worker] != after[worker]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn only_what_has_changed_is_looked_at() {
        const SERVERS: usize = 100_000;
        let board = LoadBoard::new(3, SERVERS + 10);
        let load = Load { active: 1, inactive: 2 };
        assert_eq!(board.sum_up(SERVERS), SERVERS, "all are new");
        assert_eq!(board.sum_up(SERVERS), 0);
        board.publish(WorkerId(0), ServerId::new(7), load);
        board.publish(WorkerId(2), ServerId::new(99_999), load);
        assert_eq!(board.sum_up(SERVERS), 2);
        assert_eq!(board.view(WorkerId(1)).of(ServerId::new(99_999)), load);
        assert_eq!(board.sum_up(SERVERS + 10), 10, "those that came with another snapshot");
        let servers = |count: usize| (0..count as u32).map(ServerId::new);
        servers(JOURNAL - 1).for_each(|server| board.publish(WorkerId(1), server, load));
        assert_eq!(board.sum_up(SERVERS), JOURNAL - 1);
        servers(JOURNAL).for_each(|server| board.publish(WorkerId(1), server, load));
        assert_eq!(board.sum_up(SERVERS), SERVERS, "the journal may be written round any moment");
        assert_eq!(board.sum_up(SERVERS), 0);
    }

    #[test]
    fn a_few_servers_are_not_looked_at_for_each_of_many_changes() {
        let board = LoadBoard::new(2, 3);
        (0..100)
            .for_each(|active| board.publish(WorkerId(0), ServerId::new(1), Load { active, inactive: 0 }));
        assert_eq!(board.sum_up(3), 3);
        assert_eq!(LoadBoard::new(1, 3).sum_up(3), 0, "one worker has no others");
    }

    /// Workers continue while the control thread adds up: it never sees more than there can be, and all of it in the
    /// end.
    #[test]
    fn journals_are_read_while_they_are_written() {
        const SERVERS: u32 = 5_000;
        const MOST: u32 = 6;
        let board = LoadBoard::new(3, SERVERS as usize);
        thread::scope(|scope| {
            let workers = [0, 1, 2].map(|worker| {
                let board = &board;
                scope.spawn(move || {
                    for at in 0..200_000_u32 {
                        let load = Load { active: at % (MOST + 1), inactive: MOST - at % (MOST + 1) };
                        let server = ServerId::new(at.wrapping_mul(2_654_435_761) % SERVERS);
                        board.publish(WorkerId(worker), server, load);
                    }
                })
            });
            while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
                board.sum_up(SERVERS as usize);
                for others in told(&board, SERVERS as usize).into_iter().flatten() {
                    assert!(others.active + others.inactive <= 2 * MOST, "{others:?}");
                }
            }
        });
        board.sum_up(SERVERS as usize);
        assert_eq!(told(&board, SERVERS as usize), naive(&board, SERVERS as usize));
    }
}
