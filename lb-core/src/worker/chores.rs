//! What a worker remembers of the things that it does between bursts.

use crate::{
    ids::NeighbourId,
    packet::{PortId, WorkerId},
    time::Instant,
};

/// Rounds of announcements at start, RFC 5227 2.3.
const ANNOUNCE_ROUNDS: u8 = 2;

/// What a worker does between bursts.
pub(super) struct Chores {
    pub(super) announcements: Announcements,
    /// Neighbours that static routes name.
    pub(super) gateways: Vec<NeighbourId>,
    /// Servers whose path is known to carry less than their port, for a while.
    pub(super) narrow_paths: usize,
    pub(super) paths_due: Instant,
    pub(super) last_tick: Option<Instant>,
}

impl Chores {
    pub(super) fn new(worker: WorkerId, waits: bool, now: Instant) -> Self {
        Chores {
            announcements: Announcements::new(worker, waits, Instant::ZERO),
            gateways: Vec::new(),
            narrow_paths: 0,
            paths_due: now,
            last_tick: None,
        }
    }
}

/// What is still to be announced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcements {
    pub(super) rounds_left: u8,
    /// An answer to the question is waited for before they are made.
    pub(super) waits: bool,
    /// On that port alone; on all if there is none.
    pub(super) only: Option<PortId>,
    /// The next address of this round.
    pub(super) next: usize,
    pub(super) due: Instant,
}

impl Announcements {
    /// All addresses, from that time on. Only one worker makes them; where an answer is waited for, all know when, because
    /// any of them may hear it.
    pub(super) fn new(worker: WorkerId, waits: bool, due: Instant) -> Self {
        let rounds_left = match waits {
            true => ANNOUNCE_ROUNDS + 1,
            false if worker.0 == 0 => ANNOUNCE_ROUNDS,
            false => 0,
        };
        Announcements { rounds_left, waits, only: None, next: 0, due }
    }

    /// From the beginning, on that port or on all; what is not finished elsewhere is made anew as well.
    pub(super) fn again(&self, worker: WorkerId, waits: bool, port: Option<PortId>, now: Instant) -> Self {
        let only = port.filter(|_| self.rounds_left == 0 || self.only == port);
        Announcements { only, ..Announcements::new(worker, waits, now) }
    }

    pub(super) fn is_first_round(&self) -> bool {
        self.rounds_left == ANNOUNCE_ROUNDS + u8::from(self.waits)
    }

    pub(super) fn are_due(&self, now: Instant) -> bool {
        self.rounds_left > 0 && now >= self.due
    }
}
