//! Seats at the control socket: so many clients at a time, and always one for root.
//!
//! Others cannot take the last ones. Where none is left, a client that has asked nothing for the longest time makes room
//! for root, or for another client of its own user: a shell that somebody forgot is no reason to lock anybody out.

use nix::unistd::Uid;
use parking_lot::Mutex;
use std::{net::Shutdown, os::unix::net::UnixStream, sync::Arc, time::Instant};

/// Clients at a time, at most.
pub(super) const SEATS: usize = 64;
/// Of these, seats that only root takes.
pub(super) const FOR_ROOT: usize = 4;

/// All seats.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    clients: Vec<Client>,
    last: u64,
}

#[derive(Debug)]
struct Client {
    id: u64,
    user: Uid,
    /// Since when it has asked nothing; nothing while a request, which has come whole, is answered.
    idle: Option<Instant>,
    stream: UnixStream,
}

/// A client's place among those there may be. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    id: u64,
}

impl Seats {
    /// A seat for a client of a user, if there is one or one can be made. A client that makes room is hung up on, and
    /// returned for last words.
    pub(super) fn take(
        self: &Arc<Self>,
        user: Uid,
        stream: &UnixStream,
    ) -> Option<(Seat, Option<UnixStream>)> {
        let stream = stream.try_clone().ok()?;
        let mut taken = self.0.lock();
        let others = taken.clients.iter().filter(|client| !client.user.is_root()).count();
        let is_room = taken.clients.len() < SEATS && (user.is_root() || others < SEATS - FOR_ROOT);
        let gone = if is_room { None } else { Some(taken.make_room(user)?) };
        taken.last += 1;
        let id = taken.last;
        taken.clients.push(Client { id, user, idle: Some(Instant::now()), stream });
        Some((Seat { seats: self.clone(), id }, gone))
    }
}

impl Taken {
    /// Has the client leave that has asked nothing for the longest time: any for root, but others first; one's own for
    /// others.
    fn make_room(&mut self, user: Uid) -> Option<UnixStream> {
        let may = |client: &&Client| client.idle.is_some() && (user.is_root() || client.user == user);
        let idlest =
            self.clients.iter().filter(may).min_by_key(|client| (client.user.is_root(), client.idle))?.id;
        let at = self.clients.iter().position(|client| client.id == idlest)?;
        Some(self.clients.swap_remove(at).stream)
    }
}

impl Seat {
    /// Whether a request is being answered. `false` if the client had to make room in the meantime.
    pub(super) fn set_busy(&self, busy: bool) -> bool {
        let mut taken = self.seats.0.lock();
        let Some(client) = taken.clients.iter_mut().find(|client| client.id == self.id) else { return false };
        // One that has asked nothing yet is idle since it came, whenever its thread begins.
        client.idle = if busy { None } else { client.idle.or_else(|| Some(Instant::now())) };
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.0.lock().clients.retain(|client| client.id != self.id);
    }
}

/// Ends a conversation from our side: whoever waits for its next request finds its end.
pub(super) fn hang_up(stream: &UnixStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Uid = Uid::from_raw(0);
    const ALICE: Uid = Uid::from_raw(1_000);
    const BOB: Uid = Uid::from_raw(1_001);

    fn sit(seats: &Arc<Seats>, user: Uid) -> Option<(Seat, Option<UnixStream>)> {
        seats.take(user, &UnixStream::pair().unwrap().0)
    }

    #[test]
    fn others_cannot_take_the_last_seats() {
        let seats = Arc::new(Seats::default());
        let busy = |user| {
            let (seat, gone) = sit(&seats, user)?;
            assert!(seat.set_busy(true) && gone.is_none());
            Some(seat)
        };
        let others: Vec<Seat> = std::iter::from_fn(|| busy(ALICE)).collect();
        assert_eq!(others.len(), SEATS - FOR_ROOT);
        assert!(busy(BOB).is_none());
        let roots: Vec<Seat> = std::iter::from_fn(|| busy(ROOT)).collect();
        assert_eq!(roots.len(), FOR_ROOT);
        drop(others);
        assert!(busy(BOB).is_some());
    }

    #[test]
    fn whoever_came_first_is_idle_for_longest_whichever_thread_begins_first() {
        let seats = Arc::new(Seats::default());
        let own: Vec<Seat> = (0..SEATS).map(|_| sit(&seats, ROOT).unwrap().0).collect();
        assert!(own[1].set_busy(false) && own[0].set_busy(false));
        let (_mine, gone) = sit(&seats, ROOT).unwrap();
        assert!(gone.is_some() && !own[0].set_busy(true) && own[1].set_busy(true));
    }

    #[test]
    fn whoever_asks_nothing_makes_room_for_root_and_for_its_own() {
        let seats = Arc::new(Seats::default());
        let own: Vec<Seat> = (0..SEATS).map(|_| sit(&seats, ROOT).unwrap().0).collect();
        assert!(sit(&seats, BOB).is_none(), "root's forgotten shells are root's");
        own[0].set_busy(true);
        own[0].set_busy(false);
        let (mine, gone) = sit(&seats, ROOT).unwrap();
        assert!(gone.is_some() && !own[1].set_busy(true), "the one that has asked nothing for longest");
        assert!(own[0].set_busy(false) && own[2].set_busy(false));
        // Root keeps its own seats, and Alice takes all others.
        drop((mine, own));
        let roots: Vec<Seat> =
            (0..FOR_ROOT).filter_map(|_| sit(&seats, ROOT)).map(|(seat, _)| seat).collect();
        let alices: Vec<Seat> =
            (0..SEATS - FOR_ROOT).filter_map(|_| sit(&seats, ALICE)).map(|(seat, _)| seat).collect();
        assert!(sit(&seats, BOB).is_none(), "others' clients are none of Bob's business");
        let (another, gone) = sit(&seats, ALICE).unwrap();
        assert!(gone.is_some() && !alices[0].set_busy(true), "her own");
        let (_root, gone) = sit(&seats, ROOT).unwrap();
        assert!(gone.is_some() && !alices[1].set_busy(true), "others' before root's");
        assert!(roots[0].set_busy(false) && another.set_busy(false));
    }
}
