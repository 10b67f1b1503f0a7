//! Connections that modules expect: they are announced when a module reads of one, and asked for when a packet that can open
//! one is of no connection that is known.

use super::{
    classify::Parsed,
    known::{Forwarded, Known},
};
use crate::{
    conn::entry::Connection,
    flow::key::{Ends, Key},
    ids::{ServerId, ServiceId},
    module::{
        expected::{Entered, Expectation, Found},
        reader::Host,
    },
    service::plan::Standing,
    time::Instant,
    wire::protocol::Protocol,
};
use std::net::{IpAddr, SocketAddr};

/// Ports that are tried where the client may have another connection at the server's.
const TRIES: u16 = 64;
/// The first of those that nobody's services have: RFC 6335 6.
const FIRST_DYNAMIC: u16 = 49_152;

impl Known {
    /// The expectation that a client's packet meets. It goes before any service.
    pub(crate) fn expected_of_client<F: Forwarded>(&self, now: Instant, parsed: &Parsed<F>) -> Option<Found> {
        let can_open = parsed.key.protocol == Protocol::Udp || parsed.is_syn();
        if can_open { self.expected::<F>(now, &parsed.key.key()) } else { None }
    }

    /// The expectation that packets with that key meet, if its server is still there.
    pub(crate) fn expected<F: Forwarded>(&self, now: Instant, key: &Key<F>) -> Option<Found> {
        let Ends { protocol, source, destination } = key.ends();
        let ends = Ends { protocol, source: SocketAddr::new(source.ip(), 0), destination };
        let found = self.team.expected.find(&ends, now)?;
        let (id, named) = found.expectation.server;
        let server = self.snapshot.servers.get(id)?;
        (server.named == named && server.standing != Standing::Gone).then_some(found)
    }
}

/// Where a connection runs that a module reads.
pub(crate) struct Desk<'a, F: Forwarded> {
    known: &'a Known,
    now: Instant,
    connection: &'a Connection<F>,
    /// Nothing is entered: somebody only wants to know.
    rehearses: bool,
    /// The last connection that was announced.
    pub(crate) announced: Option<Expectation>,
    /// Connections that were announced, and how many of these or others are not expected for it.
    pub(crate) counts: [u64; 2],
}

impl<'a, F: Forwarded> Desk<'a, F> {
    pub(crate) fn new(
        known: &'a Known,
        now: Instant,
        connection: &'a Connection<F>,
        rehearses: bool,
    ) -> Self {
        Desk { known, now, connection, rehearses, announced: None, counts: [0; 2] }
    }

    fn server(&self) -> (ServerId, u32) {
        (self.connection.server, self.known.snapshot.servers[self.connection.server].named)
    }

    /// The client's connection to a port of the VIP.
    fn to_vip(&self, port: u16) -> Ends {
        Ends {
            protocol: self.connection.protocol,
            source: SocketAddr::new(F::ip(self.connection.client), 0),
            destination: SocketAddr::new(F::ip(self.connection.vip), port),
        }
    }

    /// The client's connections to that port are another server's, or of another port of it.
    fn other_at(&self, port: u16, server_port: u16) -> Option<Found> {
        let found = self.known.team.expected.find(&self.to_vip(port), self.now)?;
        let is_other = |it: &Expectation| (it.server, it.server_port) != (self.server(), server_port);
        is_other(&found.expectation).then_some(found)
    }

    /// A service has exactly that port, and clients may have other business there.
    fn is_served(&self, port: u16) -> bool {
        let snapshot = &self.known.snapshot;
        let service = snapshot.service_at::<F>(self.connection.protocol, self.connection.vip, port);
        let has_it = |id: ServiceId| snapshot.services[id].reach().ports().any(|it| it.port() == Some(port));
        service.is_some_and(has_it)
    }

    fn is_free(&self, port: u16, server_port: u16) -> bool {
        !self.is_served(port) && self.other_at(port, server_port).is_none()
    }

    fn announce(&mut self, expectation: Expectation) -> bool {
        let entered = match self.rehearses {
            true => Entered::Well,
            false => self.known.team.expected.enter(&expectation, self.now),
        };
        self.counts[0] += 1;
        self.counts[1] += u64::from(entered != Entered::Well);
        self.announced = Some(expectation);
        entered != Entered::Not
    }
}

impl<F: Forwarded> Host for Desk<'_, F> {
    fn rewrites(&self) -> bool {
        self.connection.method.rewrites_endpoints()
    }

    fn vip(&self) -> IpAddr {
        F::ip(self.connection.vip)
    }

    fn passive(&mut self, port: u16, fixed: bool) -> Option<u16> {
        let told = if self.is_free(port, port) {
            port
        } else if fixed {
            // The client's next connection there could be either's, and must not be the wrong one.
            self.counts[1] += 1;
            if let Some(other) = self.other_at(port, port).filter(|_| !self.rehearses) {
                self.known.team.expected.take(&other);
            }
            return None;
        } else {
            let dynamic = |tried: u16| FIRST_DYNAMIC | port.wrapping_add(tried);
            (1..=TRIES).map(dynamic).find(|&other| self.is_free(other, port))?
        };
        let expectation = Expectation {
            ends: self.to_vip(told),
            server: self.server(),
            server_port: port,
            local: self.connection.local().map(|(address, _)| F::ip(address)),
        };
        self.announce(expectation).then_some(told)
    }
}
