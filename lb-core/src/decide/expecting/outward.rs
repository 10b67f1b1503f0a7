//! What modules expect for servers behind a rule of SNAT, which are the clients there: data connections of FTP, and what comes
//! from anybody whom they have told where they wait.
//!
//! Whoever connects from outside comes to a local port, and so to its worker. What the server behind answers has to come to
//! the same one, but who connects from which port is not known before. Where that answer's worker follows from the server's
//! own end, a local port of that worker is told outside. Where it follows from both ends, as ports' hashes have it, the server
//! gets to see another port of whoever connects: one with which the hash says the same worker.

use super::{Desk, anybody, is_well_known};
use crate::{
    cast::small,
    conn::{connections::Hit, entry::Direction},
    counters::DropReason,
    decide::{
        About, Act, Adopt, Basis, Course, Decision, Open, Origin, Told,
        budgets::Purpose,
        classify::Parsed,
        known::{Forwarded, Known},
    },
    flow::key::{Ends, Key},
    ids::{ConnectionId, ServiceId},
    limits::FIRST_LOCAL_PORT,
    mix::{fold_multiply, scale},
    module::{
        expected::{Expectation, Times},
        reader::Host,
    },
    packet::{HandOver, Packet, PortId, WorkerId},
    peers::told::Teller,
    service::{
        plan::Unserved,
        reach::PortRange,
        snapshot::{Local, Service},
    },
};
use std::net::SocketAddr;

/// Local ports, and ports of those who connect, that are tried for each worker.
const TRIES: usize = 64;
/// Connections that what one packet says may lead to.
const MOST_OF_PACKET: u32 = 4;

impl Known {
    /// What becomes of a packet that opens a connection which is expected for a server behind a rule. `None` if it comes from
    /// where no such packet does.
    #[cold]
    pub(super) fn expected_outward<F: Forwarded>(
        &self,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        (local, origin): (Option<Local>, Origin),
        expectation: &Expectation,
    ) -> Option<Decision<F>> {
        let ((server, _), key) = (expectation.server, parsed.key.key());
        let (service, teller) = (self.snapshot.servers[server].service, Teller::Module);
        let (about, owner, why, course) = match local {
            // From outside.
            Some(Local::Source { .. }) => {
                let owner = self.owner_by_local_port(&key);
                let course = Course::Adopt(Adopt { server, teller: Some(teller) });
                (About::Reply(owner), owner, HandOver::Reply, course)
            }
            Some(Local::Vip { .. } | Local::Own(_)) => return None,
            // From the server behind.
            None => {
                let rule = self.rule_for::<F>(packet, (key.source, key.destination)).ok();
                rule.filter(|rule| *rule == service)?;
                let (owner, why) = match self.may_answer::<F>(key.protocol, key.source, key.source_port) {
                    true => (self.owner_of_reply(&key), HandOver::Reply),
                    false => (self.owner_of_inbound(packet.port(), &key, service), HandOver::Client),
                };
                let told = Some(Told { server, teller });
                let open = Open { service, unserved: Unserved::Reject, adopts: false, told };
                (About::Service(service, owner), owner, why, Course::Open(open))
            }
        };
        let leaves_with = expectation.local.unwrap_or(expectation.ends.destination.ip());
        let course = self.elsewhere(owner, why, origin).unwrap_or_else(|| {
            match self.snapshot.answers_for(leaves_with) {
                true => self.if_sound(packet, parsed, || course),
                false => Act::Drop(DropReason::Standby).into(),
            }
        });
        Some(Decision { about, course })
    }

    /// The key of the server's packets of a connection that somebody outside opens by a packet with that key. `None` if there is
    /// none by which they come here.
    #[cold]
    pub(in crate::decide) fn outward_key<F: Forwarded>(
        &self,
        packet: &Key<F>,
        expectation: &Expectation,
        ending: Option<ConnectionId>,
    ) -> Option<Key<F>> {
        let client = expectation.request.source;
        let service = self.snapshot.servers[expectation.server.0].service;
        let hop = self.snapshot.routing.next_hop(client.ip())?;
        let port = self.snapshot.interfaces[hop.interface].port;
        let source = F::of(client.ip())?;
        let key = |destination_port: u16| Key {
            protocol: packet.protocol,
            source,
            source_port: client.port(),
            destination: packet.source,
            destination_port,
        };
        let is_free = |key: &Key<F>| {
            let taken = F::connections(self).lookup(key).map(Hit::connection);
            taken.is_none_or(|taken| Some(taken) == ending || F::connections(self).get(taken).gives_way())
        };
        // The true one, if it will do.
        let others = (1..TRIES * self.team.workers)
            .map(|tried| FIRST_LOCAL_PORT | packet.source_port.wrapping_add(small(tried)));
        let ports = std::iter::once(packet.source_port).chain(others);
        ports.map(key).find(|key| self.worker_outward(port, key, service) == Some(self.id) && is_free(key))
    }

    /// The worker that has to have a connection for packets with that key of a server behind a rule. `None` if nobody can tell.
    fn worker_outward<F: Forwarded>(&self, port: PortId, key: &Key<F>, rule: ServiceId) -> Option<WorkerId> {
        if self.team.workers == 1 {
            return Some(self.id);
        }
        let as_answer = self.owner_of_reply(key);
        let owner = match self.may_answer::<F>(key.protocol, key.source, key.source_port) {
            true => as_answer,
            false => self.owner_of_inbound(port, key, rule),
        };
        match (owner.basis, as_answer.basis) {
            // Where every port spreads by client, an answer's owner is where it arrives.
            (Basis::Arrival, Basis::Rss(_) | Basis::ZeroWindow) => Some(as_answer.worker),
            (Basis::Arrival, _) => {
                let arrives_at = self.snapshot.arrives_at(port, &key.ends());
                arrives_at.filter(|worker| usize::from(worker.0) < self.team.workers)
            }
            _ => Some(owner.worker),
        }
    }
}

/// A port of these, counted through.
fn nth(ranges: &[PortRange], at: u32) -> Option<u16> {
    let mut left = at;
    for ports in ranges {
        match ports.width() {
            width if left < width => return Some(ports.first + small(left as usize)),
            width => left -= width,
        }
    }
    None
}

impl<F: Forwarded> Desk<'_, F> {
    fn rule(&self) -> &Service {
        self.known.snapshot.service_of(self.connection.server)
    }

    /// The worker whose local port is to be told for a port of the client's: this one if any will do. `None` if nobody can tell
    /// which worker the client's packets come to.
    fn worker_awaiting(&self, port: u16) -> Option<WorkerId> {
        let (known, rule) = (self.known, self.known.snapshot.servers[self.connection.server].service);
        let key = Key { source_port: port, ..self.connection.forward_key() };
        let worker = known.worker_outward(self.port, &key, rule)?;
        let follows_from_both = known.may_answer::<F>(key.protocol, key.source, key.source_port)
            || known.owner_of_inbound(self.port, &key, rule).basis == Basis::Arrival;
        Some(if follows_from_both { known.id } else { worker })
    }

    /// A local endpoint at which nothing else is expected that comes from there, for a port of the client's: with the same
    /// number, if it can be.
    fn local_for(&self, port: Option<u16>, from: SocketAddr) -> Option<SocketAddr> {
        let (address, control) = self.connection.local()?;
        self.known.snapshot.local_address::<F>(address)?;
        // Well-known ports are not opened by what somebody may have been made to say.
        if port.is_some_and(|port| port < FIRST_LOCAL_PORT) {
            return None;
        }
        let worker = port.map_or(Some(self.known.id), |port| self.worker_awaiting(port))?;
        let ranges = &self.rule().local_ports;
        let own = port.map(|port| SocketAddr::new(self.client(), port));
        let is_free = |port: &u16| {
            let destination = SocketAddr::new(F::ip(address), *port);
            let ends = Ends { protocol: self.connection.protocol, source: from, destination };
            let is_others = || {
                let found = self.known.team.expected.find(&ends, self.now);
                found.is_some_and(|found| Some(found.expectation.request.source) != own)
            };
            *port >= FIRST_LOCAL_PORT
                && ranges.iter().any(|ports| ports.contains(*port))
                && self.worker_of_local(address, *port) == worker
                && !is_others()
        };
        // Another one each time, since who connects may remember the last.
        let all: u32 = ranges.iter().map(|ports| ports.width()).sum();
        let seed = u64::from(control) << 16 | u64::from(port.unwrap_or_default());
        let drawn = fold_multiply(seed ^ self.now.as_millis() << 32, 0x9e37_79b9_7f4a_7c15);
        let drawn = u32::try_from(scale(drawn, all as usize)).ok()?;
        let tries = u32::try_from(TRIES * self.known.team.workers).ok()?.min(all);
        let others = (drawn..).take(tries as usize).map(|at| if at < all { at } else { at - all });
        let others = others.filter_map(|at| nth(ranges, at));
        port.into_iter().chain(others).find(is_free).map(|port| SocketAddr::new(F::ip(address), port))
    }

    /// Counts what is announced against its budget. `false` if that has none left.
    fn may_await(&mut self, purpose: Purpose) -> bool {
        let may = self.spent.1 < MOST_OF_PACKET && self.known.budgets.has(purpose, self.now);
        if may {
            self.spent = (purpose, self.spent.1 + 1);
        } else {
            self.counts[1] += 1;
        }
        may
    }

    /// What an FTP server outside is to be told in the place of the client's address and port.
    pub(super) fn shown_outward(&mut self, port: Option<u16>) -> Option<SocketAddr> {
        let from = SocketAddr::new(F::ip(self.connection.server_address), 0);
        let local = self.local_for(port, from);
        self.counts[1] += u64::from(local.is_none());
        local
    }

    /// An FTP server outside has been told that local port, and is about to connect.
    pub(super) fn await_peer(&mut self, client: SocketAddr, shown: u16) {
        let Some((local, _)) = self.connection.local() else { return };
        // Both directions come to one worker, or one of them finds nothing.
        if is_well_known(client.port())
            || self.worker_awaiting(client.port()) != Some(self.worker_of_local(local, shown))
        {
            return self.counts[1] += 1;
        }
        if self.may_await(Purpose::AwaitPeer) {
            let request = self.request(client.port(), 0);
            self.await_server(SocketAddr::new(F::ip(local), shown), request);
        }
    }

    /// An FTP server outside waits at that port. Servers compare the addresses of both connections, and the rule may have
    /// several.
    pub(super) fn pair_with_control(&mut self, port: u16) {
        let locals = self.rule().local_addresses.iter();
        let addresses = locals.map(|id| self.known.snapshot.local_addresses[*id].address);
        let of_family = addresses.filter(|address| address.is_ipv4() == self.client().is_ipv4());
        if of_family.count() > 1 && self.may_await(Purpose::AwaitPeer) {
            self.announce(self.of_client(self.request(0, port), port));
        }
    }

    /// The ends of what comes from anybody to that local port; and what says so by the client's own port.
    fn of_anybody(&self, local: SocketAddr) -> Ends {
        Ends { protocol: self.connection.protocol, source: anybody(local), destination: local }
    }

    fn by_own_port(&self, port: u16) -> Ends {
        let client = SocketAddr::new(self.client(), port);
        Ends { protocol: self.connection.protocol, source: client, destination: anybody(client) }
    }

    /// The local port that has been told for a port of the client's, if it is expected there still.
    fn told_for(&self, port: u16) -> Option<SocketAddr> {
        let found = self.known.team.expected.find(&self.by_own_port(port), self.now)?;
        Some(found.expectation.request.destination)
    }

    /// Somebody is about to connect to that port of the client's. Returns what is to be told of it.
    pub(super) fn await_anybody(&mut self, client: SocketAddr) -> Option<SocketAddr> {
        let (address, _) = self.connection.local()?;
        // Clients may know what address they leave with.
        if client.ip() != self.client() && client.ip() != F::ip(address) {
            return None;
        }
        let port = client.port();
        let before = self.told_for(port).filter(|told| told.ip() == F::ip(address));
        let Some(local) = before.or_else(|| self.local_for(Some(port), anybody(client))) else {
            self.counts[1] += 1;
            return None;
        };
        if !self.may_await(Purpose::AwaitAnybody) {
            return None;
        }
        let (ends, by_own_port) = (self.of_anybody(local), self.by_own_port(port));
        let request = Ends { destination: local, ..by_own_port };
        let once = self.of_client(request, 0);
        let expected = Expectation { ends, local: None, times: Times::Agreed, ..once };
        self.enter(&Expectation { ends: by_own_port, ..expected });
        self.announce(expected).then_some(local)
    }

    /// The same port on the other side, in what the client says of it or is told of it.
    pub(super) fn awaited_from_anybody(&self, direction: Direction, port: u16) -> Option<u16> {
        if direction == Direction::In {
            return self.told_for(port).map(|local| local.port());
        }
        let (address, _) = self.connection.local()?;
        let ends = self.of_anybody(SocketAddr::new(F::ip(address), port));
        let client = self.known.team.expected.find(&ends, self.now)?.expectation.request.source;
        (client.ip() == self.client()).then_some(client.port())
    }
}
