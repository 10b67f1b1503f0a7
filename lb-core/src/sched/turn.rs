//! What moves from pick to pick.

use super::tournament::Tournament;

/// One worker's own, changing part of a scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Where a round goes on.
    pub position: usize,
    /// A heap of who is due next, for schedulers that keep such a queue. Allocated with the snapshot.
    pub due: Vec<Due>,
    /// Who has the least load, for schedulers that ask for that. Allocated with the snapshot.
    pub tournament: Tournament,
    /// What the next random number follows from.
    pub random: u64,
    /// Nobody gets what is picked.
    pub is_rehearsed: bool,
}

impl Turn {
    /// The same turn, to be taken with the loads of another board: what is known of this one's does not count there. It
    /// leaves alone what workers share.
    #[must_use]
    pub fn rehearsed(&self) -> Turn {
        Turn { tournament: self.tournament.unread(), is_rehearsed: true, ..self.clone() }
    }

    /// The next of a row of random numbers: splitmix64, which goes through all numbers from wherever it begins.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Bytes that it takes besides itself.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.due) + self.tournament.bytes()
    }
}

/// When one server is due for its next connection: a lap of the round, and a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which lap. May wrap: all entries of a queue are in one lap or the next.
    pub lap: u32,
    /// Whose turn it is, as the scheduler numbers its servers.
    pub member: u32,
    /// How far into the lap, in units of the member's own.
    pub at: u64,
}
