//! All connections of one worker: the entries, the table that finds them and the wheels that end them.
//!
//! Everything is allocated when the worker is made; nothing grows. Under NAT a connection is in the table twice, by
//! the client's packets and by the server's.

mod lines;

use super::{
    entry::{Connection, Direction},
    method::Method,
    second::Line,
    standing::Standing,
    state::{Meaning, State},
};
use crate::{
    cast::count32,
    family::{Family, V4, V6},
    flow::{
        key::{Key, Packed, Secret},
        prefetch::{prefetch, prefetch_at},
        table::{Place, Table},
        wheel::{Link, Links, Wheel},
    },
    ids::{ConnectionId, ServerId},
    limits::{MAX_BYTES_PER_CONNECTION, MAX_BYTES_PER_CONNECTION_V6, MAX_CONNECTIONS},
    time::{Instant, Stamp},
};
use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    ops::Range,
};

/// Where a new connection's entries would be in the table.
#[derive(Clone, Copy, Debug)]
pub struct Vacancy {
    forward: Place,
    reply: Option<Place>,
    /// The connection that has the same reply key: one client endpoint on one server endpoint.
    pub taken: Option<ConnectionId>,
}

/// One worker's connections.
pub struct Connections<F: Family = V4> {
    /// By number: place 0 is vacant, so that a packet without a hit need not be told from others.
    entries: Box<[Connection<F>]>,
    /// When the first packet of each passed. Not in the entries: no packet asks.
    created: Box<[Stamp]>,
    /// Places on a wheel, by number. Not in the entries: neighbours on a wheel mostly have neighbouring numbers.
    links: AllLinks,
    /// Shares in entries of the persistence table, by number; 0 is none.
    holds: Box<[u64]>,
    /// Second lines, by number. Zeros that nobody touches, and that take no memory, where no connection has one.
    second: Box<[Line]>,
    /// Connections that have one.
    with_second: u32,
    free: Vec<ConnectionId>,
    table: Table<Hit>,
    /// By what connections were when they were scheduled.
    wheels: [Wheel; Standing::COUNT],
    secret: Secret,
    high_water: u32,
}

/// The server of an entry that is vacant.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Table entries per connection: one for each direction.
const KEYS: usize = 2;

/// Bytes that a connection costs in a large table beside its lines: its table slots at 70 % load, its place on a wheel and in
/// the list of free entries, when it began, and what is remembered of its client.
const BYTES_BESIDE: usize = size_of::<Link>()
    + size_of::<Stamp>()
    + Table::<Hit>::bytes(KEYS * MAX_CONNECTIONS).div_ceil(MAX_CONNECTIONS)
    + size_of::<ConnectionId>()
    + size_of::<u64>();

/// Bytes that one IPv4 connection costs in a large table.
pub const BYTES_PER_CONNECTION: usize = size_of::<Connection<V4>>() + BYTES_BESIDE;
/// The same of IPv6.
pub const BYTES_PER_CONNECTION_V6: usize = size_of::<Connection<V6>>() + BYTES_BESIDE;

const _: () = assert!(BYTES_PER_CONNECTION + size_of::<Line>() <= MAX_BYTES_PER_CONNECTION);
const _: () = assert!(BYTES_PER_CONNECTION_V6 + size_of::<Line>() <= MAX_BYTES_PER_CONNECTION_V6);

impl<F: Family> Connections<F> {
    /// Room for `capacity` connections.
    #[must_use]
    pub fn new(capacity: usize, secret: Secret, now: Instant) -> Self {
        let capacity = capacity.clamp(1, MAX_CONNECTIONS);
        let empty = Connection::new(&Packed::none().key(), ServerId::new(0), NOBODY, 0, Method::Dr);
        Connections {
            entries: vec![empty; capacity + 1].into_boxed_slice(),
            created: vec![Stamp::default(); capacity + 1].into_boxed_slice(),
            links: AllLinks(vec![Link::NONE; capacity + 1].into_boxed_slice()),
            holds: vec![0; capacity + 1].into_boxed_slice(),
            second: vec![Line::default(); capacity + 1].into_boxed_slice(),
            with_second: 0,
            // Low numbers first, so that a half-empty worker uses few pages.
            free: (1..=count32(capacity)).rev().map(ConnectionId::new).collect(),
            table: Table::new(capacity * KEYS, Hit::OF_NOTHING),
            wheels: std::array::from_fn(|_| Wheel::new(now)),
            secret,
            high_water: 0,
        }
    }

    /// Connections there can be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len() - 1
    }

    /// Connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.capacity() - self.free.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the key's entry would be in the table.
    #[inline(always)]
    #[must_use]
    pub fn place(&self, key: Packed<F>) -> Place {
        self.table.place(key.hash(self.secret))
    }

    /// Starts loading the table's bucket for a place.
    #[inline(always)]
    pub fn prefetch_place(&self, place: Place) {
        self.table.prefetch(place);
    }

    /// The likely connection for a place, and starts loading it. `None` if there is none in the place's first bucket; then
    /// it starts loading the second: see [`Connections::second_hit`].
    #[inline(always)]
    #[must_use]
    pub fn hit(&self, place: Place) -> Option<Hit> {
        let Some(hit) = self.table.likely(place) else {
            self.table.prefetch_second(place);
            return None;
        };
        self.prefetch(hit);
        Some(hit)
    }

    /// The likely connection of a place's second bucket, and starts loading it.
    #[must_use]
    pub fn second_hit(&self, place: Place) -> Option<Hit> {
        let hit = self.table.likely_in_second(place)?;
        self.prefetch(hit);
        Some(hit)
    }

    #[inline(always)]
    fn prefetch(&self, hit: Hit) {
        prefetch_at(&self.entries, Hit::place(Some(hit)));
    }

    /// Whether the likely connection is that of a packet with this key. If not, [`Connections::find`] knows.
    #[inline(always)]
    #[must_use]
    pub fn confirm(&self, hit: Hit, key: Packed<F>) -> bool {
        let entry = self.entries.get(Hit::place(Some(hit)) as usize);
        entry.is_some_and(|entry| entry.owns(key, hit.direction()))
    }

    /// The likely connection, if a packet with this key belongs to it and leaves its state as it is. The protocol is not
    /// compared: the state says which it is. `LOCAL` says whether there may be connections under FullNAT.
    #[inline(always)]
    #[must_use]
    pub fn plain<const LOCAL: bool>(
        &mut self,
        hit: Option<Hit>,
        key: Packed<F>,
        meaning: Meaning,
    ) -> Option<&mut Connection<F>> {
        // Without a hit it is the vacant entry, in whose state no packet leaves it.
        let entry = self.entries.get_mut(Hit::place(hit) as usize)?;
        let is_it =
            entry.has_endpoints::<LOCAL>(key, Hit::direction_of(hit)) && entry.state.is_steady(meaning);
        is_it.then_some(entry)
    }

    /// The connection of packets with this key.
    #[must_use]
    pub fn find(&self, key: Packed<F>, place: Place) -> Option<Hit> {
        self.table.find(place, |hit| self.confirm(hit, key))
    }

    /// The same, when there is a likely one.
    #[must_use]
    pub fn find_from(&self, hit: Option<Hit>, key: Packed<F>, place: Place) -> Option<Hit> {
        match hit {
            Some(hit) if self.confirm(hit, key) => Some(hit),
            _ => self.find(key, place),
        }
    }

    /// The same, by the key alone: for the rare packet that was not staged.
    #[must_use]
    pub fn lookup(&self, key: &Key<F>) -> Option<Hit> {
        self.find(key.packed(), self.place(key.packed()))
    }

    /// The connection of that number, which must have come from this collection.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, id: ConnectionId) -> &Connection<F> {
        &self.entries[id.index()]
    }

    /// The same, to be changed. Keys must not be.
    #[inline(always)]
    pub fn get_mut(&mut self, id: ConnectionId) -> &mut Connection<F> {
        &mut self.entries[id.index()]
    }

    /// A connection's client is remembered; the number says where.
    pub fn keep(&mut self, id: ConnectionId, hold: u64) {
        self.holds[id.index()] = hold;
        self.get_mut(id).marks.keep();
    }

    /// Where the client of a connection is remembered, whose number had it last; 0 if it was not.
    #[must_use]
    pub fn kept(&self, id: ConnectionId) -> u64 {
        self.holds[id.index()]
    }

    /// When a connection's first packet passed.
    #[must_use]
    pub fn created(&self, id: ConnectionId) -> Stamp {
        self.created[id.index()]
    }

    /// Whether a connection makes room for others, and among which.
    #[must_use]
    pub fn standing(&self, id: ConnectionId) -> Standing {
        self.get(id).standing(self.created(id))
    }

    /// Starts loading the entry that the connection after the next will get.
    pub fn prefetch_free(&self) {
        if let [.., next, _] = *self.free {
            prefetch_at(&self.entries, next.number());
        }
    }

    /// Starts loading what forgetting a connection will look at.
    pub fn prefetch_remove(&self, id: ConnectionId) {
        let connection = self.get(id);
        self.prefetch_key(connection.forward_key().packed());
        if connection.sees_replies() {
            self.prefetch_key(connection.reply_key().packed());
        }
    }

    /// Starts loading where a key may be in the table.
    pub fn prefetch_key(&self, key: Packed<F>) {
        let place = self.place(key);
        self.table.prefetch(place);
        self.table.prefetch_second(place);
    }

    /// Where a new connection's entries would be in the table: `forward` is the place of the client's packets, `reply` the
    /// key of the server's, if they pass here.
    #[must_use]
    pub fn vacancy(&self, forward: Place, reply: Option<&Key<F>>) -> Vacancy {
        let reply = reply.map(|key| (key.packed(), self.place(key.packed())));
        let taken = reply.and_then(|(key, place)| self.find(key, place)).map(Hit::connection);
        Vacancy { forward, reply: reply.map(|(_, place)| place), taken }
    }

    /// The same for a connection.
    #[must_use]
    pub fn vacancy_for(&self, connection: &Connection<F>) -> Vacancy {
        let reply = connection.sees_replies().then(|| connection.reply_key());
        self.vacancy(self.place(connection.forward_key().packed()), reply.as_ref())
    }

    /// Adds a connection where there is none: what its vacancy was taken by is gone. It never ends by itself until it is
    /// scheduled. `None` when there is no free entry, or no room in the table.
    pub fn insert(
        &mut self,
        vacancy: &Vacancy,
        connection: &Connection<F>,
        created: Stamp,
    ) -> Option<ConnectionId> {
        let id = *self.free.last()?;
        let hit = |direction| Hit::new(id, direction);
        self.table.insert(vacancy.forward, hit(Direction::In)).ok()?;
        if let Some(place) = vacancy.reply
            && self.table.insert(place, hit(Direction::Out)).is_err()
        {
            self.table.remove(vacancy.forward, hit(Direction::In));
            return None;
        }
        self.free.pop();
        *self.get_mut(id) = *connection;
        self.created[id.index()] = created;
        self.high_water = self.high_water.max(id.number() + 1);
        Some(id)
    }

    /// Forgets a connection, and returns what it was.
    pub fn remove(&mut self, id: ConnectionId) -> Connection<F> {
        self.cancel(id);
        let connection = *self.get(id);
        let forward = self.place(connection.forward_key().packed());
        let was_there = self.table.remove(forward, Hit::new(id, Direction::In));
        debug_assert!(was_there, "connection {id} was in the table");
        if connection.sees_replies() {
            let reply = self.place(connection.reply_key().packed());
            let was_there = self.table.remove(reply, Hit::new(id, Direction::Out));
            debug_assert!(was_there, "connection {id} was in the table by its reply");
        }
        // A packet later in the burst may have been matched with it already.
        self.get_mut(id).state = State::None;
        self.with_second -= u32::from(connection.has_second());
        self.free.push(id);
        connection
    }

    /// Lets a connection that was just added come up at `deadline`. With its first packet none is confirmed or over.
    pub fn schedule_first(&mut self, id: ConnectionId, deadline: Instant) {
        let connection = self.get_mut(id);
        let standing = match connection.state {
            State::Udp | State::Echo => Standing::Datagrams,
            state if state.is_half_open() => Standing::HalfOpen,
            _ => Standing::Unproven,
        };
        connection.marks.schedule_as(standing);
        self.wheels[standing as usize].schedule(&mut self.links, id, deadline);
    }

    /// Lets a connection come up at `deadline` instead of whenever it was to, if at all. Which wheel follows from
    /// its standing.
    pub fn reschedule(&mut self, id: ConnectionId, deadline: Instant) {
        self.cancel(id);
        self.schedule(id, deadline);
    }

    /// The next connection whose time has come to be looked at. It is off the wheels: the caller removes it or
    /// schedules it anew. Starts loading it.
    pub fn pop_due(&mut self, now: Instant) -> Option<ConnectionId> {
        let links = &mut self.links;
        let due = self.wheels.iter_mut().find_map(|wheel| wheel.pop_due(links, now))?;
        prefetch(self.get(due));
        Some(due)
    }

    /// The connections that had that standing when they were scheduled, in the order in which they come up to be looked at:
    /// the oldest first, to within a tick of the wheel.
    pub fn scheduled_as(&self, standing: Standing) -> impl Iterator<Item = ConnectionId> {
        self.wheels[standing as usize].iter(&self.links)
    }

    /// How many had that standing.
    #[must_use]
    pub fn count_of(&self, standing: Standing) -> usize {
        self.wheels[standing as usize].len()
    }

    /// The connections at these places. Those not in use are passed over.
    pub fn iter(&self, places: Range<u32>) -> impl Iterator<Item = (ConnectionId, &Connection<F>)> {
        let end = places.end.min(self.high_water);
        let entries = (places.start..end).map(ConnectionId::new).map(|id| (id, self.get(id)));
        entries.filter(|(id, _)| self.links.0[id.index()].is_scheduled())
    }

    /// No connection ever had this place or a higher one.
    #[must_use]
    pub fn high_water(&self) -> u32 {
        self.high_water
    }

    fn schedule(&mut self, id: ConnectionId, deadline: Instant) {
        let standing = self.standing(id);
        self.get_mut(id).marks.schedule_as(standing);
        self.wheels[standing as usize].schedule(&mut self.links, id, deadline);
    }

    fn cancel(&mut self, id: ConnectionId) {
        let standing = self.get(id).marks.scheduled_as();
        self.wheels[standing as usize].cancel(&mut self.links, id);
    }
}

/// A connection with the direction of the packet that led to it: what the table stores. Until its keys have been
/// compared it is only likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Hit(NonZeroU32);

const _: () = assert!(size_of::<Option<Hit>>() == 4);

impl Hit {
    /// Fills slots of the table that are free.
    const OF_NOTHING: Hit = Hit(NonZeroU32::MIN);

    /// A packet of that connection which goes that way.
    #[must_use]
    pub fn new(connection: ConnectionId, direction: Direction) -> Self {
        // Nothing is never needed: no connection is at place 0.
        NonZeroU32::new(connection.number() << 1 | direction as u32).map_or(Hit::OF_NOTHING, Hit)
    }

    /// The connection.
    #[inline(always)]
    #[must_use]
    pub fn connection(self) -> ConnectionId {
        ConnectionId::new(Hit::place(Some(self)))
    }

    /// Which way the packet goes.
    #[inline(always)]
    #[must_use]
    pub fn direction(self) -> Direction {
        Hit::direction_of(Some(self))
    }

    // Of a hit or none, as if that were one of the vacant entry: then nothing has to be asked.

    #[inline(always)]
    fn raw(hit: Option<Self>) -> u32 {
        hit.map_or(0, |hit| hit.0.get())
    }

    /// The place of the entry.
    #[inline(always)]
    fn place(hit: Option<Self>) -> u32 {
        Hit::raw(hit) >> 1
    }

    /// Which way a packet goes that led to this; in, if to nothing.
    #[inline(always)]
    #[must_use]
    pub fn direction_of(hit: Option<Self>) -> Direction {
        if Hit::raw(hit) & 1 == 0 { Direction::In } else { Direction::Out }
    }
}

struct AllLinks(Box<[Link]>);

impl Links for AllLinks {
    fn link(&mut self, id: ConnectionId) -> &mut Link {
        &mut self.0[id.index()]
    }

    fn next(&self, id: ConnectionId) -> Option<ConnectionId> {
        self.0[id.index()].next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conn::{client_address::ClientAddress, second::Second},
        time::Duration,
        wire::protocol::Protocol,
    };

    fn connection(client_port: u16, method: Method) -> Connection {
        let key = Key {
            source: 0xc000_020a,
            destination: 0xc000_0264,
            source_port: client_port,
            destination_port: 80,
            protocol: Protocol::Tcp,
        };
        Connection {
            state: State::SynSent,
            ..Connection::new(&key, ServerId::new(0), V4::ip(0xc633_640b), 8080, method)
        }
    }

    fn table(capacity: usize) -> Connections {
        Connections::new(capacity, Secret(7), Instant::ZERO)
    }

    fn insert(connections: &mut Connections, connection: Connection) -> Option<ConnectionId> {
        connections.insert(&connections.vacancy_for(&connection), &connection, Stamp::default())
    }

    fn add(connections: &mut Connections, connection: Connection, deadline: Instant) -> ConnectionId {
        let id = insert(connections, connection).unwrap();
        connections.reschedule(id, deadline);
        id
    }

    fn lookup(connections: &Connections, key: &Key) -> Option<(ConnectionId, Direction)> {
        connections
            .find(key.packed(), connections.place(key.packed()))
            .map(|found| (found.connection(), found.direction()))
    }

    #[test]
    fn a_second_line_lasts_as_long_as_its_connection() {
        let second = Second::new(ClientAddress::ProxyV2, 28);
        let mut connections = table(2);
        let first = add(&mut connections, connection(1, Method::Nat), Instant::ZERO);
        let other = add(&mut connections, connection(2, Method::Nat), Instant::ZERO);
        connections.set_second(first, second);
        connections.reschedule(first, Instant::from_millis(5));
        assert_eq!(connections.second(first), Some(second));
        assert!(connections.has_second_lines());
        assert_eq!(connections.second(other), None);
        connections.remove(first);
        assert!(!connections.has_second_lines());
        let next = add(&mut connections, connection(3, Method::Nat), Instant::ZERO);
        assert_eq!((next, connections.second(next)), (first, None), "the next in its place has none");
    }

    #[test]
    fn nat_is_found_both_ways_and_dr_one_way() {
        let mut connections = table(10);
        let later = Instant::ZERO + Duration::from_secs(60);
        let nat = add(&mut connections, connection(1, Method::Nat), later);
        let dr = add(&mut connections, connection(2, Method::Dr), later);
        let key = |port, reply: bool| {
            let entry = connection(port, Method::Nat);
            if reply { entry.reply_key() } else { entry.forward_key() }
        };
        assert_eq!(lookup(&connections, &key(1, false)), Some((nat, Direction::In)));
        assert_eq!(lookup(&connections, &key(1, true)), Some((nat, Direction::Out)));
        assert_eq!(lookup(&connections, &key(2, false)), Some((dr, Direction::In)));
        assert_eq!(lookup(&connections, &key(2, true)), None);
        connections.remove(nat);
        assert_eq!(lookup(&connections, &key(1, false)), None);
        assert_eq!(lookup(&connections, &key(1, true)), None);
        assert_eq!(connections.len(), 1);
    }

    #[test]
    fn a_second_user_of_the_same_endpoints_is_a_clash() {
        let mut connections = table(10);
        let first = insert(&mut connections, connection(1, Method::Nat)).unwrap();
        let other_vip = Connection { vip: 99, ..connection(1, Method::Nat) };
        assert_eq!(connections.vacancy_for(&other_vip).taken, Some(first));
        let dr = Connection { method: Method::Dr, ..other_vip };
        assert_eq!(connections.vacancy_for(&dr).taken, None, "no replies, no clash");
        assert!(insert(&mut connections, dr).is_some());
    }

    #[test]
    fn the_oldest_unconfirmed_connection_comes_first() {
        let mut connections = table(3);
        for port in 1..=3 {
            let at = Instant::from_millis(60_000 + u64::from(port) * 1_000);
            add(&mut connections, connection(port, Method::Nat), at);
        }
        assert_eq!(insert(&mut connections, connection(4, Method::Nat)), None);
        let established = lookup(&connections, &connection(1, Method::Nat).forward_key()).unwrap().0;
        connections.get_mut(established).state = State::Established;
        connections.get_mut(established).count(Direction::Out, 40);
        connections.reschedule(established, Instant::from_millis(900_000));
        let oldest = connections.scheduled_as(Standing::HalfOpen).next().unwrap();
        assert_eq!(connections.get(oldest).client_port, 2, "1 is established by now");
        connections.remove(oldest);
        add(&mut connections, connection(4, Method::Nat), Instant::ZERO);
        assert_eq!(connections.iter(0..u32::MAX).count(), 3);
        let ports = connections.scheduled_as(Standing::HalfOpen).map(|id| connections.get(id).client_port);
        assert_eq!(ports.collect::<Vec<_>>(), [4, 3]);
    }
}
