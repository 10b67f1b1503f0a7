//! Connections that modules expect: they are announced when a module reads of one, and asked for when a packet that can open
//! one is of no connection that is known.

mod ends;
mod outward;

use super::{
    About, Act, Adopt, Basis, Course, Decision, Open, Origin, Told,
    budgets::Purpose,
    classify::Parsed,
    known::{Forwarded, Known},
};
use crate::{
    cast::small,
    conn::entry::{Connection, Direction},
    counters::DropReason,
    flow::key::{Ends, Key},
    ids::{ServerId, ServiceId},
    limits::FIRST_LOCAL_PORT,
    mix::{fold_multiply, scale},
    module::{
        expected::{Entered, Expectation, Found, Times},
        reader::Host,
    },
    packet::{HandOver, Packet, PortId, WorkerId},
    peers::told::Teller,
    service::{
        plan::{Spread, Standing},
        snapshot::Local,
    },
    time::Instant,
    wire::{
        protocol::Protocol,
        tcp::{ACK, RST, SYN},
    },
};
use ends::{any, anybody, is_well_known, of_calls};
use std::net::{IpAddr, SocketAddr};

/// Ports that are tried where the client may have another connection at the server's, or where a local port of a certain
/// worker is wanted, for each worker.
const TRIES: u16 = 64;
/// The first of those that nobody's services have: RFC 6335 6.
const FIRST_DYNAMIC: u16 = 49_152;

impl Known {
    /// The expectation that a packet meets which comes from a client, to a VIP, or from a server.
    pub(crate) fn expected<F: Forwarded>(
        &self,
        now: Instant,
        parsed: &Parsed<F>,
        direction: Direction,
    ) -> Option<Found> {
        let key = parsed.key.key();
        let Ends { protocol, source, destination } = key.ends();
        let (asks, answers) = match protocol {
            Protocol::Tcp => {
                let flags = parsed.tcp_flags & (SYN | ACK | RST);
                (flags == SYN, flags == SYN | ACK)
            }
            Protocol::Udp => (true, true),
            Protocol::Sctp | Protocol::Icmp => (false, false),
        };
        let find = |source, destination| self.expectation(now, &Ends { protocol, source, destination });
        if parsed.is_call() {
            return find(of_calls(source), destination).filter(|_| direction == Direction::In);
        }
        match direction {
            Direction::Out if asks => {
                let from_port = || if answers { find(source, any(destination)) } else { None };
                from_port()
                    .or_else(|| find(any(source), destination))
                    .or_else(|| find(anybody(destination), destination))
            }
            Direction::Out => None,
            Direction::In => {
                let asked = || if asks { find(any(source), destination) } else { None };
                let is_elsewhere = || self.is_served(&key);
                // Media has no port of its own at the VIP, so what any service wants goes before it.
                let is_any = || self.snapshot.find_service_for(&key, |_| true).is_some();
                // Whoever says where his media comes from gets to no port of everybody's by that.
                let is_well_known = asks && is_well_known(key.destination_port);
                let may_be =
                    |found: &Found| !is_well_known && (found.expectation.times == Times::Once || !is_any());
                let answered = || if answers { find(source, any(destination)).filter(may_be) } else { None };
                // Of this one it is only known that it will come, so what a service wants goes before it.
                let somewhere = || {
                    if asks && !is_well_known && !is_elsewhere() {
                        find(any(source), any(destination))
                    } else {
                        None
                    }
                };
                asked().or_else(answered).or_else(somewhere)
            }
        }
    }

    /// What is expected of packets with these ends, if its server is still there.
    fn expectation(&self, now: Instant, ends: &Ends) -> Option<Found> {
        let found = self.team.expected.find(ends, now)?;
        let (id, named) = found.expectation.server;
        let server = self.snapshot.servers.get(id)?;
        (server.named == named && server.standing != Standing::Gone).then_some(found)
    }

    /// A service that may be a client's has exactly that port, and it may have other business there.
    fn is_served<F: Forwarded>(&self, key: &Key<F>) -> bool {
        let port = Some(key.destination_port);
        let has_it = |id: ServiceId| self.snapshot.services[id].reach().ports().any(|it| it.port() == port);
        self.snapshot.find_service_for(key, has_it).is_some()
    }

    /// What becomes of a packet that opens a connection which a module expects, if it does. It goes before any service.
    #[cold]
    #[inline(never)]
    pub(super) fn expected_packet<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        (local, origin): (Option<Local>, Origin),
    ) -> Option<Decision<F>> {
        let direction = if matches!(local, Some(Local::Vip { .. })) { Direction::In } else { Direction::Out };
        let found = self.expected(now, parsed, direction)?;
        let (server, _) = found.expectation.server;
        if self.snapshot.service_of(server).method.is_outward() {
            return self.expected_outward(packet, parsed, (local, origin), &found.expectation);
        }
        let teller = Teller::Module;
        let (key, service) = (parsed.key.key(), self.snapshot.servers[server].service);
        let (about, owner, why) = match local {
            Some(Local::Vip { .. }) => {
                let owner = self.owner_of_inbound(packet.port(), &key, service);
                (About::Service(service, owner), owner, HandOver::Client)
            }
            _ if self.is_on_wrong_port(packet.port(), direction) => {
                return Some(Act::Drop(DropReason::WrongPort).into());
            }
            Some(_) => {
                let owner = self.owner_by_local_port(&key);
                (About::Reply(owner), owner, HandOver::Reply)
            }
            None => {
                let owner = self.owner_of_reply(&key);
                (About::Reply(owner), owner, HandOver::Reply)
            }
        };
        let opens = || match local {
            Some(Local::Vip { unserved, .. }) => {
                let told = Some(Told { server, teller });
                Course::Open(Open { service, unserved, adopts: false, told })
            }
            _ => Course::Adopt(Adopt { server, teller: Some(teller) }),
        };
        let course = self.elsewhere(owner, why, origin).unwrap_or_else(|| {
            match self.snapshot.answers_for(found.expectation.request.destination.ip()) {
                true => self.if_sound(packet, parsed, opens),
                false => Act::Drop(DropReason::Standby).into(),
            }
        });
        Some(Decision { about, course })
    }

    /// A client's packet to a port that no service has may be of a connection that a module expected, of the worker that
    /// owns all of the client's with that service.
    #[cold]
    pub(super) fn data_elsewhere<F: Forwarded>(
        &self,
        port: PortId,
        parsed: &Parsed<F>,
        origin: Origin,
    ) -> Option<Decision<F>> {
        let key = parsed.key.key();
        let service = *self.snapshot.readers.get(&(key.protocol, F::ip(key.destination)))?;
        let owner = self.owner_of_inbound(port, &key, service);
        let course = self.elsewhere(owner, HandOver::Client, origin)?;
        Some(Decision { about: About::Service(service, owner), course })
    }

    /// The same of what a server sends from a port that no service has.
    #[cold]
    pub(super) fn data_reply_elsewhere<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        origin: Origin,
    ) -> Decision<F> {
        if self.is_on_wrong_port(packet.port(), Direction::Out) {
            return Act::Drop(DropReason::WrongPort).into();
        }
        let owner = self.owner_of_reply(&parsed.key.key());
        let course = self.elsewhere(owner, HandOver::Reply, origin);
        Decision {
            about: About::Reply(owner),
            course: course.unwrap_or_else(|| self.to_outside_from_host(now, packet, parsed)),
        }
    }
}

/// Where a connection runs that a module reads.
pub(crate) struct Desk<'a, F: Forwarded> {
    known: &'a Known,
    now: Instant,
    connection: &'a Connection<F>,
    /// The port by which the packet has come that is read.
    port: PortId,
    /// Nothing is entered: somebody only wants to know.
    rehearses: bool,
    /// The last connection that was announced.
    pub(crate) announced: Option<Expectation>,
    /// Connections that were announced, and how many of these or others are not expected for it.
    pub(crate) counts: [u64; 2],
    /// What that has taken of which budget.
    pub(crate) spent: (Purpose, u32),
}

impl<'a, F: Forwarded> Desk<'a, F> {
    pub(crate) fn new(
        known: &'a Known,
        now: Instant,
        (connection, port): (&'a Connection<F>, PortId),
        rehearses: bool,
    ) -> Self {
        Desk {
            known,
            now,
            connection,
            port,
            rehearses,
            announced: None,
            counts: [0; 2],
            spent: (Purpose::AwaitPeer, 0),
        }
    }

    fn number(&self) -> (ServerId, u32) {
        (self.connection.server, self.known.snapshot.servers[self.connection.server].named)
    }

    fn service(&self) -> ServiceId {
        self.known.snapshot.servers[self.connection.server].service
    }

    /// The client's connections from and to these ports of the VIP; 0 is any.
    fn request(&self, from: u16, to: u16) -> Ends {
        self.request_by(self.connection.protocol, from, to)
    }

    fn request_by(&self, protocol: Protocol, from: u16, to: u16) -> Ends {
        Ends {
            protocol,
            source: SocketAddr::new(F::ip(self.connection.client), from),
            destination: SocketAddr::new(F::ip(self.connection.vip), to),
        }
    }

    /// The same are another server's, or of another port of it.
    fn other_at(&self, ends: &Ends, server_port: u16) -> Option<Found> {
        let found = self.known.team.expected.find(ends, self.now)?;
        let is_other = |it: &Expectation| (it.server, it.server_port) != (self.number(), server_port);
        is_other(&found.expectation).then_some(found)
    }

    /// The client may expect what the server waits for at that port at this port of the VIP.
    fn is_free(&self, protocol: Protocol, port: u16, server_port: u16) -> bool {
        let request = Key { protocol, destination_port: port, ..self.connection.forward_key() };
        !self.known.is_served(&request)
            && self.other_at(&self.request_by(protocol, 0, port), server_port).is_none()
    }

    /// The same for media, and reports about it at the next ports.
    fn has_pair(&self, port: u16, server_port: u16) -> bool {
        let pair = [Some((port, server_port)), port.checked_add(1).zip(server_port.checked_add(1))];
        pair.iter().all(|it| it.is_some_and(|(port, server)| self.is_free(Protocol::Udp, port, server)))
    }

    /// Whatever the server sends from that port over UDP to the client.
    fn of_server_port(&self, port: u16) -> Ends {
        let source = SocketAddr::new(F::ip(self.connection.server_address), port);
        let destination = SocketAddr::new(F::ip(self.connection.client), 0);
        Ends { protocol: Protocol::Udp, source, destination }
    }

    /// A connection that the client is about to open.
    fn of_client(&self, request: Ends, server_port: u16) -> Expectation {
        let local = self.connection.local().map(|(address, _)| F::ip(address));
        let (server, service) = (self.number(), self.service());
        Expectation { ends: request, request, server, service, server_port, local, times: Times::Once }
    }

    /// A connection that the server is about to open to the client, as it sees that; `request` is how the client answers.
    fn await_server(&mut self, client: SocketAddr, request: Ends) {
        let (ends, server, times) = (self.of_server(client), self.number(), Times::Once);
        let service = self.service();
        self.announce(Expectation { ends, request, server, service, server_port: 0, local: None, times });
    }

    fn announce(&mut self, expectation: Expectation) -> bool {
        self.counts[0] += 1;
        self.announced = Some(expectation);
        self.enter(&expectation)
    }

    fn enter(&mut self, expectation: &Expectation) -> bool {
        let entered = match self.rehearses {
            true => Entered::Well,
            false => self.known.team.expected.enter(expectation, self.now),
        };
        self.counts[1] += u64::from(entered != Entered::Well);
        entered != Entered::Not
    }

    /// The port that data comes from in active mode: the one below that of control connections (RFC 959 3.2), whichever the
    /// server has; 0 is the server's.
    fn data_port(&self) -> u16 {
        self.connection.vip_port.saturating_sub(1)
    }

    /// The worker that the client's packets arrive at where it waits for data at that port.
    fn worker_of(&self, port: u16) -> WorkerId {
        let key =
            Key { source_port: port, destination_port: self.data_port(), ..self.connection.forward_key() };
        let owner = self.known.owner_of_inbound(self.port, &key, self.service());
        let is_computed = owner.basis != Basis::Arrival;
        let arrives_at = self.known.snapshot.arrives_at(self.port, &key.ends()).filter(|_| !is_computed);
        arrives_at.filter(|at| usize::from(at.0) < self.known.team.workers).unwrap_or(owner.worker)
    }

    /// Whether what the client sends to other ports of the VIP from the same port comes to this worker as well.
    fn arrives_together(&self) -> bool {
        let owner = self.known.owner_of_inbound(self.port, &self.connection.forward_key(), self.service());
        let port = self.known.snapshot.ports.get(usize::from(self.port.0));
        self.known.team.workers == 1
            || owner.basis != Basis::Arrival
            || port.is_some_and(|port| port.spread == Spread::ByClient)
    }

    fn worker_of_local(&self, address: F::Address, port: u16) -> WorkerId {
        self.known.ports.owner(self.known.snapshot.word::<F>(address), port)
    }

    /// What the server sends to its client's place.
    fn of_server(&self, to: SocketAddr) -> Ends {
        let server = F::ip(self.connection.server_address);
        Ends { protocol: self.connection.protocol, source: SocketAddr::new(server, 0), destination: to }
    }
}

impl<F: Forwarded> Host for Desk<'_, F> {
    fn rewrites(&self) -> bool {
        self.connection.method.rewrites_endpoints()
    }

    fn vip(&self) -> IpAddr {
        F::ip(self.connection.vip)
    }

    fn client(&self) -> IpAddr {
        F::ip(self.connection.client)
    }

    fn hides_clients(&self) -> bool {
        self.connection.method.hides_clients()
    }

    fn is_choosy(&self) -> bool {
        self.known.team.workers > 1
    }

    fn shown(&mut self, port: Option<u16>) -> Option<SocketAddr> {
        if self.is_outward() {
            return self.shown_outward(port);
        }
        let (address, control) = self.connection.local()?;
        self.known.snapshot.local_address::<F>(address)?;
        let worker = port.map_or(self.known.id, |port| self.worker_of(port));
        // Another one each time, since the server may remember a connection from the last.
        let seed = u64::from(control) << 16 | u64::from(port.unwrap_or_default());
        let drawn = fold_multiply(seed ^ self.now.as_millis() << 32, 0x9e37_79b9_7f4a_7c15);
        let all = usize::from(u16::MAX - FIRST_LOCAL_PORT) + 1;
        let tries = (usize::from(TRIES) * self.known.team.workers).min(all);
        // Around the end, as those below the first are none.
        let ports = (scale(drawn, all)..).take(tries).map(|at| if at < all { at } else { at - all });
        let ports = ports.map(|at| FIRST_LOCAL_PORT + small(at));
        let is_free = |port: &u16| {
            let ends = self.of_server(SocketAddr::new(F::ip(address), *port));
            self.worker_of_local(address, *port) == worker
                && self.known.team.expected.find(&ends, self.now).is_none()
        };
        let free = { ports }.find(is_free);
        if free.is_none() {
            self.counts[1] += 1;
        }
        free.map(|port| SocketAddr::new(F::ip(address), port))
    }

    fn active(&mut self, client: SocketAddr, shown: u16) {
        if client.ip() != self.client() {
            return;
        }
        if self.is_outward() {
            return self.await_peer(client, shown);
        }
        let request = self.request(client.port(), self.data_port());
        let seen = match self.connection.local() {
            // Both directions come to one worker, or one of them finds nothing.
            Some((local, _)) if self.worker_of_local(local, shown) == self.worker_of(client.port()) => {
                SocketAddr::new(F::ip(local), shown)
            }
            Some(_) => return self.counts[1] += 1,
            None if self.rewrites() => client,
            None => {
                // The server's SYN is not seen, only the client's answer.
                let answer = self.request(client.port(), 0);
                self.announce(self.of_client(answer, 0));
                return;
            }
        };
        self.await_server(seen, request);
    }

    fn answered_elsewhere(&mut self) {
        let client = self.connection.client_port;
        let request = self.request(client, 0);
        let seen = match self.connection.local() {
            Some((local, port)) if self.arrives_together() => SocketAddr::new(F::ip(local), port),
            Some(_) => return self.counts[1] += 1,
            None if self.rewrites() => SocketAddr::new(self.client(), client),
            None => {
                // What the server sends is not seen, only how the client goes on.
                self.announce(self.of_client(request, 0));
                return;
            }
        };
        self.await_server(seen, request);
    }

    fn passive_somewhere(&mut self) {
        if self.connection.sees_replies() {
            return;
        }
        let request = self.request(0, 0);
        // The next connection may be either's; the later one is more likely.
        self.counts[1] += u64::from(self.other_at(&request, 0).is_some());
        self.announce(self.of_client(request, 0));
    }

    fn passive(&mut self, port: u16, fixed: bool) -> Option<u16> {
        if self.is_outward() {
            self.pair_with_control(port);
            return None;
        }
        if is_well_known(port) {
            return None;
        }
        let protocol = self.connection.protocol;
        let told = if self.is_free(protocol, port, port) {
            port
        } else if fixed {
            // The client's next connection there could be either's, and must not be the wrong one.
            self.counts[1] += 1;
            let other = self.other_at(&self.request(0, port), port);
            if let Some(other) = other.filter(|_| !self.rehearses) {
                self.known.team.expected.take(&other);
            }
            return None;
        } else {
            let dynamic = |tried: u16| FIRST_DYNAMIC | port.wrapping_add(tried);
            (1..=TRIES).map(dynamic).find(|&other| self.is_free(protocol, other, port))?
        };
        self.announce(self.of_client(self.request(0, told), port)).then_some(told)
    }

    fn is_outward(&self) -> bool {
        self.connection.method.is_outward()
    }

    fn open_to_anybody(&mut self, client: SocketAddr) -> Option<SocketAddr> {
        self.await_anybody(client)
    }

    fn port_to_anybody(&self, direction: Direction, port: u16) -> Option<u16> {
        self.awaited_from_anybody(direction, port)
    }

    fn server(&self) -> IpAddr {
        F::ip(self.connection.server_address)
    }

    fn calls(&self) -> [u16; 2] {
        let client = self.connection.client_port;
        [self.connection.local().map_or(client, |(_, port)| port), client]
    }

    fn called(&mut self, is_first: bool) {
        if self.rewrites() {
            self.counts[1] += u64::from(!is_first);
            return;
        }
        let (client, vip) = (self.connection.client_port, self.connection.vip_port);
        let request = self.request(client, vip);
        let ends = Ends { source: of_calls(request.source), ..request };
        self.announce(Expectation { ends, ..self.of_client(request, 0) });
    }

    fn translated(&self, direction: Direction, endpoint: SocketAddr) -> Option<SocketAddr> {
        if !self.rewrites() {
            return None;
        }
        let server = SocketAddr::new(self.server(), self.connection.server_port);
        let vip = SocketAddr::new(self.vip(), self.connection.vip_port);
        match direction {
            Direction::In => (endpoint == vip).then_some(server),
            Direction::Out => (endpoint == server).then_some(vip),
        }
    }

    fn media(&mut self, port: u16, fixed: bool) -> Option<u16> {
        if is_well_known(port) {
            return None;
        }
        // What has been told before is told again.
        let before = self.known.team.expected.find(&self.of_server_port(port), self.now);
        let before = before.filter(|found| found.expectation.server == self.number());
        let before = before.map(|found| found.expectation.request.destination.port());
        let told = match before.filter(|told| self.has_pair(*told, port)) {
            Some(told) => told,
            None if self.has_pair(port, port) => port,
            None if fixed => {
                self.counts[1] += 1;
                return None;
            }
            // RTP has even ports (RFC 3550 11).
            None => {
                let dynamic = |tried: u16| (FIRST_DYNAMIC | port.wrapping_add(2 * tried)) & !1;
                let other = (1..=TRIES).map(dynamic).find(|&other| self.has_pair(other, port));
                self.counts[1] += u64::from(other.is_none());
                other?
            }
        };
        let of_port = |told: u16, server_port: u16| {
            let request = self.request_by(Protocol::Udp, 0, told);
            let expected = Expectation { times: Times::Media, ..self.of_client(request, server_port) };
            [expected, Expectation { ends: self.of_server_port(server_port), ..expected }]
        };
        let pairs = [of_port(told, port), of_port(told.wrapping_add(1), port.wrapping_add(1))];
        let entered = pairs.map(|[of_client, of_server]| {
            self.counts[0] += 1;
            [of_server, of_client].map(|expected| self.enter(&expected)).iter().all(|entered| *entered)
        });
        self.announced = Some(pairs[0][0]);
        entered[0].then_some(told)
    }

    fn media_of_client(&mut self, port: u16) {
        if self.rewrites() {
            return;
        }
        for port in [Some(port), port.checked_add(1)].into_iter().flatten() {
            let request = self.request_by(Protocol::Udp, port, 0);
            self.announce(Expectation { times: Times::Media, ..self.of_client(request, 0) });
        }
    }

    fn media_is_over(&mut self, port: u16) {
        let expected = &self.known.team.expected;
        let find = |ends: &Ends| {
            expected.find(ends, self.now).filter(|found| found.expectation.server == self.number())
        };
        for port in [Some(port), port.checked_add(1)].into_iter().flatten() {
            let first = match self.rewrites() {
                true => find(&self.of_server_port(port)),
                false => find(&self.request_by(Protocol::Udp, port, 0)),
            };
            let of_client = first.and_then(|found| find(&found.expectation.request));
            for found in [first, of_client].into_iter().flatten().filter(|_| !self.rehearses) {
                // Who is quicker has written something newer there.
                let _ = expected.take(&found);
            }
        }
    }

    fn missed(&mut self) {
        self.counts[1] += 1;
    }
}
