//! Worlds take turns: a few at a time, since they wait most of the time for what takes its time, fewer with one that works
//! hard, or one alone, if what it tells is about load.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Worlds at a time on a machine with two cores. Each keeps one of them busy for about a third of its life.
const SEATS: usize = 4;

/// As many stories as want more than one seat wait for one another: each time that such are told, seats stay empty until
/// all others have left. Fewer than half of `make test`'s threads, so that the rest fills the seats meanwhile.
const GATHERED: usize = 4;

static ROOM: Mutex<Room> = Mutex::new(Room { taken: 0, small_wait: 0, large_wait: 0, large_first: false });
static CHANGED: Condvar = Condvar::new();

#[derive(Debug)]
struct Room {
    taken: usize,
    /// Those who wait for a seat.
    small_wait: usize,
    /// Those who wait for several.
    large_wait: usize,
    /// Enough of these have gathered: nobody else comes in before they have been told.
    large_first: bool,
}

/// A world's right to be there, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    seats: usize,
}

impl Turn {
    /// Waits for a seat among others.
    pub(crate) fn among_others() -> Self {
        let mut room = room();
        room.small_wait += 1;
        let mut room = wait_while(room, |room| room.taken >= SEATS || room.large_first);
        room.small_wait -= 1;
        Self::take(room, 1)
    }

    /// Waits for half of the seats.
    pub(crate) fn among_few() -> Self {
        Self::large(SEATS / 2)
    }

    /// Waits until nobody else is there, and keeps others out.
    pub(crate) fn alone() -> Self {
        Self::large(SEATS)
    }

    fn large(seats: usize) -> Self {
        let mut room = room();
        room.large_wait += 1;
        room.large_first |= room.large_wait >= GATHERED;
        let mut room =
            wait_while(room, |room| room.taken + seats > SEATS || (room.small_wait > 0 && !room.large_first));
        room.large_wait -= 1;
        room.large_first &= room.large_wait > 0;
        Self::take(room, seats)
    }

    fn take(mut room: MutexGuard<'static, Room>, seats: usize) -> Self {
        room.taken += seats;
        CHANGED.notify_all();
        Self { seats }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        room().taken -= self.seats;
        CHANGED.notify_all();
    }
}

fn wait_while(
    room: MutexGuard<'static, Room>,
    full: impl FnMut(&mut Room) -> bool,
) -> MutexGuard<'static, Room> {
    CHANGED.wait_while(room, full).unwrap_or_else(PoisonError::into_inner)
}

fn room() -> MutexGuard<'static, Room> {
    ROOM.lock().unwrap_or_else(PoisonError::into_inner)
}
