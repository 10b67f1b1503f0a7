//! What is due between bursts: connections to forget, neighbours to ask, addresses to announce.

use super::Worker;
use crate::{
    conn::state::State,
    ids::ConnectionId,
    limits::EXPIRE_PER_BURST,
    packet::{Io, Packet, WorkerId},
    service::snapshot::Local,
    time::{Duration, Instant},
};
use arrayvec::ArrayVec;

/// Rounds of announcements at start, RFC 5227 2.3.
const ANNOUNCE_ROUNDS: u8 = 2;
/// Time between two rounds.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(2);
/// Announcements in one tick, at most.
const ANNOUNCE_STEP: usize = 16;
/// Time between two defences of an address, RFC 5227 2.4 (DEFEND_INTERVAL).
const DEFEND_EVERY: Duration = Duration::from_secs(10);

/// Time between two looks for path MTUs to forget.
const WIDEN_EVERY: Duration = Duration::from_secs(10);

/// Telling the networks which addresses are here: at start, and when somebody disputes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcements {
    rounds_left: u8,
    /// The next address of this round.
    next: usize,
    due: Instant,
    defended: Option<Instant>,
}

impl Announcements {
    /// Only one worker makes them.
    pub(super) fn new(worker: WorkerId) -> Self {
        let rounds_left = if worker.0 == 0 { ANNOUNCE_ROUNDS } else { 0 };
        Announcements { rounds_left, next: 0, due: Instant::ZERO, defended: None }
    }

    /// Begins anew: there are addresses that have not been announced.
    pub(super) fn begin(&mut self, worker: WorkerId, now: Instant) {
        *self = Announcements { due: now, defended: self.defended, ..Announcements::new(worker) };
    }

    /// Whether enough time has passed since the last defence. If so, it counts as one.
    pub(super) fn may_defend(&mut self, now: Instant) -> bool {
        let may = self.defended.is_none_or(|last| now.since(last) >= DEFEND_EVERY);
        if may {
            self.defended = Some(now);
        }
        may
    }
}

impl<P: Packet> Worker<P> {
    /// Does what is due. To be called once per round of the worker's loop, busy or idle; does a bounded amount of
    /// work, and next to none if time has not moved on.
    pub fn tick(&mut self, now: Instant, io: &mut impl Io<Packet = P>) {
        self.expire(now);
        if self.last_tick == Some(now) {
            return;
        }
        self.last_tick = Some(now);
        let mut steps = 0;
        while let Some((number, question)) = self.neighbours.poll(&mut steps, now) {
            self.put_question(number, question, io);
        }
        self.widen_ways(now);
        if self.announcements.rounds_left > 0 && now >= self.announcements.due {
            self.announce_some(now, io);
        }
    }

    /// Looks at the connections whose slot of the wheel has come up. Those that packets have passed on since stay.
    ///
    /// In three rounds over a batch, so that its cache misses overlap: entries, then their places in the table.
    fn expire(&mut self, now: Instant) {
        let due: ArrayVec<ConnectionId, EXPIRE_PER_BURST> =
            std::iter::from_fn(|| self.connections.pop_due(now)).take(EXPIRE_PER_BURST).collect();
        let mut over = ArrayVec::<ConnectionId, EXPIRE_PER_BURST>::new();
        for id in due {
            let connection = self.connections.get(id);
            let timeout = self.snapshot.service_of(connection.server).timeouts.of(connection.state);
            let idle = connection.seen.age(now);
            if idle >= timeout {
                if connection.state == State::SynSent && connection.sees_replies() {
                    self.traffic[connection.server.index()].refused.bump();
                }
                self.connections.prefetch_remove(id);
                over.push(id);
            } else {
                let left = Duration::from_millis(timeout.as_millis() - idle.as_millis());
                self.connections.reschedule(id, now + left);
            }
        }
        for id in over {
            self.end(id);
        }
    }

    /// Forgets path MTUs that were learnt long ago. Looks at all servers, but only while there are such, and seldom.
    fn widen_ways(&mut self, now: Instant) {
        if self.narrow_ways > 0 && now >= self.ways_due {
            self.ways_due = now + WIDEN_EVERY;
            self.narrow_ways -=
                self.backends.iter_mut().filter_map(|way| way.widen(now).then_some(())).count();
        }
    }

    fn announce_some(&mut self, now: Instant, io: &mut impl Io<Packet = P>) {
        let snapshot = self.snapshot.clone();
        let step = snapshot.locals.iter().skip(self.announcements.next).take(ANNOUNCE_STEP);
        for (address, local) in step {
            let port = match local {
                Local::Own(port) => Some(*port),
                // Nobody asks for a VIP that is on none of our networks; a router sends its packets here.
                Local::Vip { attached, .. } => *attached,
            };
            if let Some(port) = port {
                self.announce(port, *address, io);
            }
            self.announcements.next += 1;
        }
        if self.announcements.next >= snapshot.locals.len() {
            self.announcements.next = 0;
            self.announcements.rounds_left -= 1;
            self.announcements.due = now + ANNOUNCE_EVERY;
        }
    }
}
