//! A connection's life: it is remembered, counted, advances from state to state, ends, or goes on in the next run.

use super::Worker;
use crate::{
    conn::{
        beside::Beside,
        connections::{Hit, Vacancy},
        entry::Connection,
        reading::Reading,
        saved::Saved,
        standing::Standing,
        state::State,
    },
    counters::{Counter, DropReason},
    decide::{
        Basis,
        known::{Forwarded, Known},
        opening::{Opening, Tells},
        room::Room,
    },
    flow::key::Key,
    ids::{ConnectionId, LocalId, NeighbourId, ServerId},
    limits::{EVICTION_LOOKS, EXPIRE_PER_BURST},
    packet::{Packet, WorkerId},
    sched::persistence::{Client, Hold, Kept},
    service::{
        plan::{self, PersistBy, Spread},
        routing::NextHop,
    },
    time::{Duration, Instant, Stamp},
    wire::protocol::Protocol,
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
    #[error("of a server that was removed")]
    NoServer,
    /// Its local address is not configured any more.
    #[error("of a local address that was removed")]
    NoLocalAddress,
    /// A module has moved its sequence numbers, and its service has none any more, or that reads as many as it may.
    #[error("of a module that does not read it any more")]
    Unread,
    /// No free entry, a clash with another connection, or no way to its client.
    #[error("the table is full")]
    NoRoom,
}

/// When an unconfirmed connection is looked at again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When an unconfirmed connection of that age is looked at again. It follows from when it was opened, so that the order in
/// which connections come up stays that of their age, also when many of them change from one kind to another at once.
fn look_again_after(age: Duration) -> Duration {
    match LOOK_AGAIN_AFTER.as_millis().checked_sub(age.as_millis()) {
        Some(left) if left > 0 => Duration::from_millis(left),
        _ => LOOK_AGAIN_AFTER,
    }
}

impl Known {
    /// One connection in a state more or less at a server.
    #[inline]
    pub(crate) fn count_load(&self, server: ServerId, state: State, by: i32) {
        self.team.board.change(self.id, server, |load| load.count(state.is_active(), by));
    }

    /// How long a connection with a server is remembered in a state.
    fn timeout(&self, server: ServerId, state: State) -> Duration {
        self.snapshot.service_of(server).timeouts.of(state)
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
    /// Opens a connection that `counting`, the server that was chosen first, counts already. Returns it with the next hop
    /// of its first packet.
    pub(super) fn remember<F: Forwarded>(
        &mut self,
        now: Instant,
        opening: &Opening<F>,
        counting: ServerId,
    ) -> Result<(Hit, Option<NeighbourId>), DropReason> {
        let mut connection = opening.connection;
        connection.seen = now.stamp();
        connection.client_neighbour = opening.client.and_then(|client| self.acquire(now, client.hop));
        if let (Some(outward), Some(local)) = (opening.outward, connection.local()) {
            connection.set_outward(local, self.acquire(now, outward.hop));
        }
        if let Some(over) = opening.replaces {
            self.end::<F>(over);
        }
        if let Room::Instead(oldest) = opening.room {
            self.evict::<F>(now, oldest);
        }
        let (server, state) = (connection.server, connection.state);
        let id = self.insert::<F>(now, &opening.vacancy, &connection).inspect_err(|_| {
            self.known.neighbours.release(connection.client_neighbour);
            self.known.neighbours.release(connection.outward_neighbour());
        })?;
        if server != counting {
            self.known.count_load(counting, State::None, -1);
            self.known.count_load(server, State::None, 1);
        }
        let timeout = self.known.timeout(server, state);
        F::connections_mut(&mut self.known).schedule_first(id, now + timeout.min(LOOK_AGAIN_AFTER));
        match opening.tells {
            Tells::Never => {}
            Tells::Read(module, moved) => self.read_from_now_on::<F>(id, module, moved),
            Tells::Anew | Tells::AsTold => {
                if let Some(second) = self.known.second_line(opening) {
                    F::connections_mut(&mut self.known).set_second(id, second);
                }
            }
        }
        self.known.move_load(server, State::None, state);
        self.books.counters.count_created::<F>();
        self.books.traffic[server.index()].connections.bump();
        let path = self.known.path(&connection, opening.direction);
        Ok((Hit::new(id, opening.direction), path.neighbour))
    }

    /// The next hop to a client, with one more user. Its place in the table has been seen to.
    pub(super) fn acquire(&mut self, now: Instant, hop: NextHop) -> Option<NeighbourId> {
        let interface = &self.known.snapshot.interfaces[hop.interface];
        self.known.neighbours.acquire(hop, interface, now)
    }

    /// Enters a connection into the table. There is a free entry, but where that is very full, there may be no room in the
    /// places where this one can be.
    fn insert<F: Forwarded>(
        &mut self,
        now: Instant,
        vacancy: &Vacancy,
        connection: &Connection<F>,
    ) -> Result<ConnectionId, DropReason> {
        let id = match F::connections_mut(&mut self.known).insert(vacancy, connection, now.stamp()) {
            Some(id) => id,
            None => self.insert_instead::<F>(now, vacancy, connection)?,
        };
        self.count_held(connection);
        Ok(id)
    }

    /// One more connection of its service, and with its local address.
    fn count_held<F: Forwarded>(&mut self, connection: &Connection<F>) {
        let service = self.known.snapshot.servers[connection.server].service;
        self.known.held[service] += 1;
        if let Some(ports) = self.local_ports(connection) {
            ports.bump();
        }
    }

    /// The ports of a connection's local address that are in use, if it has one.
    fn local_ports<F: Forwarded>(&self, connection: &Connection<F>) -> Option<&Counter> {
        let (address, _) = connection.local()?;
        let id = self.known.snapshot.local_address::<F>(address)?;
        self.books.counters.local_ports.get(id.index())
    }

    #[cold]
    fn insert_instead<F: Forwarded>(
        &mut self,
        now: Instant,
        vacancy: &Vacancy,
        connection: &Connection<F>,
    ) -> Result<ConnectionId, DropReason> {
        for _ in 0..EVICTION_LOOKS {
            let oldest = self.known.oldest_unconfirmed::<F>().ok_or(DropReason::TableFull)?;
            self.evict::<F>(now, oldest);
            if let Some(id) = F::connections_mut(&mut self.known).insert(vacancy, connection, now.stamp()) {
                return Ok(id);
            }
        }
        Err(DropReason::TableFull)
    }

    /// A connection that is not confirmed makes room for another.
    #[cold]
    fn evict<F: Forwarded>(&mut self, now: Instant, id: ConnectionId) {
        self.books.counters.evicted.bump();
        self.end::<F>(id);
        self.sort_unconfirmed::<F>(now);
    }

    /// Those of the oldest unconfirmed connections that have become of another kind do not make room for this one any more.
    #[cold]
    pub(super) fn sort_unconfirmed<F: Forwarded>(&mut self, now: Instant) {
        for kind in Standing::UNCONFIRMED {
            let oldest: ArrayVec<ConnectionId, EVICTION_LOOKS> =
                F::connections(&self.known).scheduled_as(kind).take(EVICTION_LOOKS).collect();
            for id in oldest {
                if F::connections(&self.known).standing(id) != kind {
                    self.schedule::<F>(now, id);
                }
            }
        }
    }

    /// Lets a connection come up when it is over if nothing passes any more. One that is not confirmed comes up sooner:
    /// then the order in which they come up is that of their age, whatever their timeouts.
    fn schedule<F: Forwarded>(&mut self, now: Instant, id: ConnectionId) {
        let connection = F::connections(&self.known).get(id);
        let timeout = self.known.timeout(connection.server, connection.state);
        let left =
            Duration::from_millis(timeout.as_millis().saturating_sub(connection.seen.age(now).as_millis()));
        let stays = F::connections(&self.known).standing(id) == Standing::Confirmed;
        let left = if stays {
            left
        } else {
            left.min(look_again_after(F::connections(&self.known).created(id).age(now)))
        };
        F::connections_mut(&mut self.known).reschedule(id, now + left);
    }

    /// Takes a connection to another state: its server's load, and the time and wheel of its end, change with it.
    pub(super) fn advance<F: Forwarded>(&mut self, now: Instant, id: ConnectionId, next: State) {
        let connection = F::connections_mut(&mut self.known).get_mut(id);
        let (before, server) = (connection.state, connection.server);
        let was_confirmed = connection.was_confirmed();
        (connection.state, connection.seen) = (next, now.stamp());
        self.known.move_load(server, before, next);
        // Where it will be looked at early enough, that is soon enough to find out when its end is.
        let comes_up = if was_confirmed { self.known.timeout(server, before) } else { LOOK_AGAIN_AFTER };
        if self.known.timeout(server, next) < comes_up {
            self.schedule::<F>(now, id);
        }
    }

    /// Forgets a connection.
    pub(super) fn end<F: Forwarded>(&mut self, id: ConnectionId) {
        let connection = F::connections_mut(&mut self.known).remove(id);
        let service = self.known.snapshot.servers[connection.server].service;
        self.known.held[service] -= 1;
        if let Some(ports) = self.local_ports(&connection) {
            ports.take();
        }
        self.known.count_load(connection.server, connection.state, -1);
        self.known.neighbours.release(connection.client_neighbour);
        self.known.neighbours.release(connection.outward_neighbour());
        self.books.counters.count_ended::<F>();
        if connection.is_kept() {
            self.leave::<F>(id, &connection);
        }
        if connection.has_second() {
            self.stop_reading::<F>(id);
        }
    }

    /// A connection that has ended gives its share in what is remembered of its client back.
    #[cold]
    fn leave<F: Forwarded>(&self, id: ConnectionId, connection: &Connection<F>) {
        let Some(hold) = Hold::of_raw(F::connections(&self.known).kept(id)) else { return };
        let table = &self.known.team.persistence;
        if connection.protocol == Protocol::Udp
            && self.known.snapshot.service_of(connection.server).one_packet
        {
            table.passed(hold);
        } else {
            table.leave(hold, connection.has_gone_on());
        }
    }

    /// A connection of an earlier run has its share again.
    #[cold]
    fn keep_again<F: Forwarded>(&mut self, now: Instant, id: ConnectionId, server: ServerId) {
        let service = self.known.snapshot.servers[server].service;
        let persistence = self.known.snapshot.services[service].persistence;
        let connection = F::connections(&self.known).get(id);
        if persistence.by == PersistBy::SipCallId && connection.protocol == Protocol::Udp {
            // Of whose call it is, no more is known. The call itself has been restored before.
            return;
        }
        let client = Client { service, network: persistence.network_of(F::ip(connection.client)) };
        let kept = Kept { server, named: self.known.snapshot.servers[server].named };
        let time = (now, persistence.timeout);
        if let Some((_, hold)) = self.known.team.persistence.enter(&client, kept, time, |known| known == kept)
        {
            F::connections_mut(&mut self.known).keep(id, hold.raw());
        }
    }

    /// Looks at the connections whose slot of the wheel has come up. Those that packets have passed on since stay.
    ///
    /// In three rounds over a batch, so that its cache misses overlap: entries, then their places in the table.
    pub(super) fn expire<F: Forwarded>(&mut self, now: Instant) {
        let connections = F::connections_mut(&mut self.known);
        let due: ArrayVec<ConnectionId, EXPIRE_PER_BURST> =
            std::iter::from_fn(|| connections.pop_due(now)).take(EXPIRE_PER_BURST).collect();
        let mut over = ArrayVec::<ConnectionId, EXPIRE_PER_BURST>::new();
        for id in due {
            let connection = F::connections(&self.known).get(id);
            let timeout = self.known.timeout(connection.server, connection.state);
            if connection.seen.age(now) >= timeout {
                if connection.state == State::SynSent && connection.sees_replies() {
                    self.books.traffic[connection.server.index()].refused.bump();
                }
                F::connections(&self.known).prefetch_remove(id);
                over.push(id);
            } else {
                self.schedule::<F>(now, id);
            }
        }
        for id in over {
            self.end::<F>(id);
        }
    }

    /// Forgets the connections that match among those at these places, and returns how many they were. `matches` is told
    /// when a connection's first packet passed.
    pub fn forget<F: Forwarded>(
        &mut self,
        range: Range<u32>,
        matches: impl Fn(&Connection<F>, Stamp) -> bool,
    ) -> usize {
        let end = range.end.min(F::connections(&self.known).high_water());
        let mut forgotten = 0;
        for index in range.start..end {
            let found = F::connections(&self.known).iter(index..index + 1).next();
            let created = |id| F::connections(&self.known).created(id);
            if let Some((id, _)) = found.filter(|(id, connection)| matches(connection, created(*id))) {
                self.end::<F>(id);
                forgotten += 1;
            }
        }
        forgotten
    }

    /// What is needed of this run's connections for the next run to take them over; of those that can go on.
    pub fn saved<F: Forwarded>(&self, now: Instant) -> impl Iterator<Item = Saved<F>> {
        let all = F::connections(&self.known).iter(0..u32::MAX);
        all.filter_map(move |(id, connection)| {
            let server = self.known.snapshot.server_of(connection);
            let connections = F::connections(&self.known);
            let beside = self.beside::<F>(id)?;
            Some(Saved::of((connection, beside), server, connections.created(id), now))
        })
    }

    /// What goes on with a connection besides its first line, in another run or with another director: nothing, for most.
    /// `None` if it cannot go on.
    pub(super) fn beside<F: Forwarded>(&self, id: ConnectionId) -> Option<Option<Beside>> {
        let connections = F::connections(&self.known);
        match connections.reading(id) {
            // Where servers answer by themselves, nothing moves, nor where nothing has been read.
            Some(_) if !connections.get(id).method.rewrites_endpoints() => Some(None),
            Some(Reading::Awaits(_)) => Some(None),
            Some(Reading::Kept(talk)) => Some(Some(Beside::Moved(self.known.talks.get(talk).has_moved()?))),
            None => Some(connections.second(id).map(Beside::Told)),
        }
    }

    /// Takes a connection over from an earlier run, if its packets arrive at this worker. `was` is whose it was, if the
    /// earlier run had as many workers as this one.
    ///
    /// # Errors
    /// Why it was not taken over; then nothing has changed.
    pub fn restore<F: Forwarded>(
        &mut self,
        now: Instant,
        saved: &Saved<F>,
        was: Option<WorkerId>,
    ) -> Result<(), Lost> {
        let known = &mut self.known;
        if known.restored_owner(saved, was) != Some(known.id) {
            return Err(Lost::Elsewhere);
        }
        let server = known.server_of(saved).ok_or(Lost::NoServer)?;
        let is_held = |(address, _): (F::Address, u16)| known.snapshot.local_address::<F>(address).is_some();
        if saved.method.hides_clients() && !saved.local.is_some_and(is_held) {
            return Err(Lost::NoLocalAddress);
        }
        if saved.idle >= known.timeout(server, saved.state) {
            return Err(Lost::Over);
        }
        // Without what has moved, the two sides would misunderstand one another.
        let is_moved = saved.beside.and_then(Beside::moved).is_some_and(|moved| moved.is_moved());
        let module = known.snapshot.service_of(server).reader(saved.key.protocol, saved.key.destination_port);
        let is_read = || module.reads() && known.talks.has_room();
        if is_moved && !is_read() {
            return Err(Lost::Unread);
        }
        let (mut connection, created) = saved.connection(server, now);
        let vacancy = F::connections(known).vacancy_for(&connection);
        if vacancy.taken.is_some() || F::connections(known).lookup(&saved.key).is_some() {
            return Err(Lost::NoRoom);
        }
        let client =
            known.client_hop::<F>(saved.key.source, saved.method.sees_replies()).map_err(|_| Lost::NoRoom)?;
        let outward = known
            .client_hop::<F>(saved.key.destination, saved.method.is_outward())
            .map_err(|_| Lost::NoRoom)?;
        connection.client_neighbour = client.and_then(|client| self.acquire(now, client.hop));
        if let (Some(outward), Some(local)) = (outward, saved.local) {
            connection.set_outward(local, self.acquire(now, outward.hop));
        }
        let known = &mut self.known;
        let Some(id) = F::connections_mut(known).insert(&vacancy, &connection, created) else {
            known.neighbours.release(connection.client_neighbour);
            known.neighbours.release(connection.outward_neighbour());
            return Err(Lost::NoRoom);
        };
        if let Some(second) = saved.beside.and_then(Beside::second) {
            F::connections_mut(known).set_second(id, second);
        }
        known.count_load(server, saved.state, 1);
        let service = known.snapshot.servers[server].service;
        let is_persistent = known.snapshot.services[service].persistence.is_on();
        self.count_held(&connection);
        self.schedule::<F>(now, id);
        self.books.counters.count_created::<F>();
        if is_persistent {
            self.keep_again::<F>(now, id, server);
        }
        let moved = saved.beside.and_then(Beside::moved);
        if module.reads() && (moved.is_some() || saved.beside.is_none()) {
            self.read_from_now_on::<F>(id, module, moved);
        }
        Ok(())
    }
}

impl Known {
    /// Whose an earlier run's connection is. With as many workers as before, ports spread as before. With another number,
    /// that can be known only where the owner is computed, not where it follows from where packets arrive.
    fn restored_owner<F: Forwarded>(&self, saved: &Saved<F>, was: Option<WorkerId>) -> Option<WorkerId> {
        let Key { mut source, mut source_port, protocol, .. } = saved.key;
        // What comes from where a service is answered is taken for an answer first.
        let as_answer = saved.method.is_outward()
            && self.may_answer::<F>(protocol, saved.key.source, saved.key.source_port);
        if as_answer {
            (source, source_port) = (saved.key.destination, saved.key.destination_port);
        }
        let basis = if as_answer || saved.method.sees_replies() && !saved.method.hides_clients() {
            self.basis_under_nat(&saved.key)
        } else if !self.is_hashed(&saved.key)
            || self.snapshot.ports.iter().all(|port| port.spread == Spread::Unknown)
        {
            Basis::Client
        } else {
            Basis::Arrival
        };
        let is_known = basis != Basis::Arrival || self.team.workers == 1;
        let computed = || is_known.then(|| self.owner::<F>(basis, source, source_port, protocol).worker);
        // What is computed holds with keys that are drawn anew as well.
        let owner = if basis == Basis::ZeroWindow { computed() } else { was.or_else(computed) }?;
        // Under FullNAT, replies have to come to it as well.
        let brings = |(address, port)| self.ports.owner(self.snapshot.word::<F>(address), port) == owner;
        saved.local.is_none_or(brings).then_some(owner)
    }

    fn server_of<F: Forwarded>(&self, saved: &Saved<F>) -> Option<ServerId> {
        let key = &saved.key;
        if saved.method.is_outward() {
            let (local, _) = saved.local?;
            let hop = self.snapshot.routing.next_hop(F::ip(key.destination))?;
            let rule = self.snapshot.rule_for(F::ip(key.source), hop.interface)?;
            let has_it = |id: &LocalId| self.snapshot.local_addresses[*id].address == F::ip(local);
            let service = &self.snapshot.services[rule.service];
            return service.local_addresses.iter().any(has_it).then(|| service.servers.first().copied())?;
        }
        let is_it = |id: &ServerId| {
            let server = &self.snapshot.servers[*id];
            server.plan.endpoint() == saved.server && server.standing != plan::Standing::Gone
        };
        let mut found = None;
        // Where its packets arrived was not saved.
        let _ = self.snapshot.find_service_for(key, |service| {
            let service = &self.snapshot.services[service];
            found = service.servers.iter().copied().find(is_it).filter(|_| service.method == saved.method);
            found.is_some()
        });
        found
    }
}
