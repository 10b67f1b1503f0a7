//! Worlds take turns: a few at a time, since they wait most of the time for what takes its time, or one alone, if what
//! it tells is about load.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Worlds at a time on a machine with two cores. Each keeps one of them busy for about a third of its life.
const SEATS: usize = 4;

static ROOM: Mutex<Room> = Mutex::new(Room { taken: 0, alone_wanted: 0 });
static LEFT: Condvar = Condvar::new();

#[derive(Debug)]
struct Room {
    taken: usize,
    /// Those who wait to be alone: nobody comes in before them, or they would wait for the end of all others.
    alone_wanted: usize,
}

/// A world's right to be there, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    seats: usize,
}

impl Turn {
    /// Waits for a seat among others.
    pub(crate) fn among_others() -> Self {
        Self::take(wait_while(room(), |room| room.taken >= SEATS || room.alone_wanted > 0), 1)
    }

    /// Waits until nobody else is there, and keeps others out.
    pub(crate) fn alone() -> Self {
        let mut room = room();
        room.alone_wanted += 1;
        let mut room = wait_while(room, |room| room.taken > 0);
        room.alone_wanted -= 1;
        Self::take(room, SEATS)
    }

    fn take(mut room: MutexGuard<'static, Room>, seats: usize) -> Self {
        room.taken += seats;
        Self { seats }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        room().taken -= self.seats;
        LEFT.notify_all();
    }
}

fn wait_while(room: MutexGuard<'static, Room>, full: fn(&mut Room) -> bool) -> MutexGuard<'static, Room> {
    LEFT.wait_while(room, full).unwrap_or_else(PoisonError::into_inner)
}

fn room() -> MutexGuard<'static, Room> {
    ROOM.lock().unwrap_or_else(PoisonError::into_inner)
}
