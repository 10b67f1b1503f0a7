//! A connection's life: it is remembered, counted, advances from state to state, ends, or goes on in the next run.

use super::Worker;
use crate::{
    conn::{
        connections::{Hit, Vacancy},
        entry::Connection,
        saved::Saved,
        state::State,
    },
    counters::DropReason,
    decide::{
        known::Known,
        opening::{ClientHop, Opening},
        owner::Basis,
    },
    flow::key::Key,
    ids::{ConnectionId, NeighbourId, ServerId},
    limits::EXPIRE_PER_BURST,
    packet::{Packet, WorkerId},
    service::plan::{Spread, Standing},
    time::{Duration, Instant},
};
use arrayvec::ArrayVec;
use std::ops::Range;
use thiserror::Error;

/// Why a connection was not taken over from an earlier run.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Lost {
    /// Its packets arrive elsewhere.
    #[error("owned by another worker")]
    Elsewhere,
    /// It ended in the meantime.
    #[error("over")]
    Over,
    /// Its service or server is not configured any more.
    #[error("of a server that is gone")]
    NoServer,
    /// No free entry, a clash with another connection, or no way to its client.
    #[error("without room")]
    NoRoom,
}

impl Known {
    /// One connection in a state more or less at a server.
    #[inline]
    pub(crate) fn count_load(&self, server: ServerId, state: State, by: i32) {
        self.team.board.change(self.id, server, |load| load.count(state.is_active(), by));
    }

    /// One connection is in another state than before.
    #[inline]
    fn move_load(&self, server: ServerId, before: State, next: State) {
        if before.is_active() != next.is_active() {
            let by = if next.is_active() { 1 } else { -1 };
            self.team.board.change(self.id, server, |load| {
                load.count(true, by);
                load.count(false, -by);
            });
        }
    }
}

impl<P: Packet> Worker<P> {
    /// Opens a connection that its server counts already, making room for it if need be. Returns it with the next hop of
    /// its first packet. If that fails, its server does not count it any more.
    pub(super) fn remember(
        &mut self,
        now: Instant,
        opening: &Opening,
    ) -> Result<(Hit, Option<NeighbourId>), DropReason> {
        let mut connection = opening.connection;
        (connection.created, connection.seen) = (now.stamp(), now.stamp());
        connection.client_neighbour = opening.client.and_then(|client| self.acquire(now, client));
        if let Some(closing) = opening.replaces {
            self.end(closing);
        }
        let (server, state) = (connection.server, connection.state);
        let id = self.insert(&opening.vacancy, &connection).inspect_err(|_| {
            self.known.neighbours.release(connection.client_neighbour);
            self.known.count_load(server, State::None, -1);
        })?;
        let timeout = self.known.snapshot.service_of(server).timeouts.of(state);
        self.known.connections.reschedule(id, now + timeout);
        self.known.move_load(server, State::None, state);
        self.books.counters.created.bump();
        self.books.traffic[server.index()].connections.bump();
        let way = self.known.way(&connection, opening.direction);
        Ok((Hit::new(id, opening.direction), way.neighbour))
    }

    /// The next hop to a client, with one more user. Its place in the table has been seen to.
    fn acquire(&mut self, now: Instant, client: ClientHop) -> Option<NeighbourId> {
        let port = &self.known.snapshot.ports[usize::from(client.hop.port.0)];
        self.known.neighbours.acquire(client.hop, port.mac, port.mtu, now)
    }

    fn insert(&mut self, vacancy: &Vacancy, connection: &Connection) -> Result<ConnectionId, DropReason> {
        loop {
            if let Some(id) = self.known.connections.insert(vacancy, connection) {
                return Ok(id);
            }
            let oldest = self.known.connections.pop_half_open().ok_or(DropReason::TableFull)?;
            self.books.counters.evicted.bump();
            self.end(oldest);
        }
    }

    /// Takes a connection to another state: its server's load, and the time and wheel of its end, change with it.
    pub(super) fn advance(&mut self, now: Instant, id: ConnectionId, next: State) {
        let connection = self.known.connections.get_mut(id);
        let (before, server) = (connection.state, connection.server);
        connection.state = next;
        self.known.move_load(server, before, next);
        let timeouts = &self.known.snapshot.service_of(server).timeouts;
        let (earlier, timeout) = (timeouts.of(before), timeouts.of(next));
        // Where it will be looked at early enough, that is soon enough to find out when its end is.
        let may_wait = before.is_half_open() == next.is_half_open() && timeout >= earlier;
        if !may_wait {
            self.known.connections.reschedule(id, now + timeout);
        }
    }

    /// Forgets a connection.
    pub(super) fn end(&mut self, id: ConnectionId) {
        let connection = self.known.connections.remove(id);
        self.known.count_load(connection.server, connection.state, -1);
        self.known.neighbours.release(connection.client_neighbour);
        self.books.counters.ended.bump();
    }

    /// Looks at the connections whose slot of the wheel has come up. Those that packets have passed on since stay.
    ///
    /// In three rounds over a batch, so that its cache misses overlap: entries, then their places in the table.
    pub(super) fn expire(&mut self, now: Instant) {
        let connections = &mut self.known.connections;
        let due: ArrayVec<ConnectionId, EXPIRE_PER_BURST> =
            std::iter::from_fn(|| connections.pop_due(now)).take(EXPIRE_PER_BURST).collect();
        let mut over = ArrayVec::<ConnectionId, EXPIRE_PER_BURST>::new();
        for id in due {
            let connection = self.known.connections.get(id);
            let timeout = self.known.snapshot.service_of(connection.server).timeouts.of(connection.state);
            let idle = connection.seen.age(now);
            if idle >= timeout {
                if connection.state == State::SynSent && connection.sees_replies() {
                    self.books.traffic[connection.server.index()].refused.bump();
                }
                self.known.connections.prefetch_remove(id);
                over.push(id);
            } else {
                let left = Duration::from_millis(timeout.as_millis() - idle.as_millis());
                self.known.connections.reschedule(id, now + left);
            }
        }
        for id in over {
            self.end(id);
        }
    }

    /// Forgets the connections that `matches` among those with numbers in `range`, and returns how many they were.
    pub fn forget(&mut self, range: Range<u32>, matches: impl Fn(&Connection) -> bool) -> usize {
        let end = range.end.min(self.known.connections.high_water());
        let mut forgotten = 0;
        for index in range.start..end {
            let found = self.known.connections.iter(index..index + 1).next();
            if let Some((id, _)) = found.filter(|(_, connection)| matches(connection)) {
                self.end(id);
                forgotten += 1;
            }
        }
        forgotten
    }

    /// What is needed of this run's connections for the next run to take them over.
    pub fn saved(&self, now: Instant) -> impl Iterator<Item = Saved> {
        let all = self.known.connections.iter(0..u32::MAX);
        all.map(move |(_, connection)| Saved::of(connection, now))
    }

    /// Takes a connection over from an earlier run, if its packets arrive at this worker. `was` is whose it was, if the
    /// earlier run had as many workers as this one.
    ///
    /// # Errors
    /// Why it was not taken over; then nothing has changed.
    pub fn restore(&mut self, now: Instant, saved: &Saved, was: Option<WorkerId>) -> Result<(), Lost> {
        let known = &mut self.known;
        if known.restored_owner(saved, was) != Some(known.id) {
            return Err(Lost::Elsewhere);
        }
        let server = known.server_of(saved).ok_or(Lost::NoServer)?;
        let timeout = known.snapshot.service_of(server).timeouts.of(saved.state);
        if saved.idle >= timeout {
            return Err(Lost::Over);
        }
        let left = Duration::from_millis(timeout.as_millis() - saved.idle.as_millis());
        let mut connection = saved.connection(server, now);
        let vacancy = known.connections.vacancy_for(&connection);
        if vacancy.taken.is_some() || known.connections.lookup(&saved.key).is_some() {
            return Err(Lost::NoRoom);
        }
        let client = known.client_hop(saved.key.source, server).map_err(|_| Lost::NoRoom)?;
        connection.client_neighbour = client.and_then(|client| self.acquire(now, client));
        let known = &mut self.known;
        let Some(id) = known.connections.insert(&vacancy, &connection) else {
            known.neighbours.release(connection.client_neighbour);
            return Err(Lost::NoRoom);
        };
        known.connections.reschedule(id, now + left);
        known.count_load(server, saved.state, 1);
        self.books.counters.created.bump();
        Ok(())
    }
}

impl Known {
    /// Whose an earlier run's connection is. With as many workers as before, ports spread as before. With another number,
    /// that can be known only where the owner is computed, not where it follows from where packets arrive.
    fn restored_owner(&self, saved: &Saved, was: Option<WorkerId>) -> Option<WorkerId> {
        let Key { source, source_port, protocol, .. } = saved.key;
        let basis = if saved.method.sees_replies() {
            self.basis_under_nat()
        } else if self.snapshot.ports.iter().all(|port| port.spread == Spread::Unknown) {
            Basis::Client
        } else {
            Basis::Arrival
        };
        let is_known = basis != Basis::Arrival || self.team.workers == 1;
        let computed = || is_known.then(|| self.owner(basis, source, source_port, protocol).worker);
        was.or_else(computed)
    }

    fn server_of(&self, saved: &Saved) -> Option<ServerId> {
        let key = &saved.key;
        let service = self.snapshot.service_at(key.protocol, key.destination, key.destination_port)?;
        let service = &self.snapshot.services[service];
        let is_it = |id: &ServerId| {
            let server = &self.snapshot.servers[*id];
            (server.plan.address.to_bits(), server.plan.port) == (saved.server_address, saved.server_port)
                && server.standing != Standing::Gone
        };
        (service.method == saved.method).then(|| service.servers.iter().copied().find(is_it)).flatten()
    }
}
