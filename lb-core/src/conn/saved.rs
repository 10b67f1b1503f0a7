//! A connection as it is remembered from one run of the director to the next: without numbers that mean something to
//! one run only.

use super::{
    beside::Beside,
    entry::{Connection, Direction},
    method::Method,
    state::State,
};
use crate::{
    cast::{high32, low16, low32},
    family::{Family, V4},
    flow::key::Key,
    ids::ServerId,
    time::{Duration, Instant, Stamp},
};
use std::net::SocketAddr;

/// A connection that may go on in another run. Addresses and ports are in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved<F: Family = V4> {
    /// Of packets from the client.
    pub key: Key<F>,
    /// The real server, which may be of the other family behind a tunnel. Port 0 is the one that the client asked for.
    /// Under SNAT, whoever is asked.
    pub server: SocketAddr,
    /// How its packets reach the server.
    pub method: Method,
    /// What the server sees in the place of the client's address and port, under FullNAT and SNAT.
    pub local: Option<(F::Address, u16)>,
    /// What goes on with it besides, if anything has to.
    pub beside: Option<Beside>,
    /// Where it is in its life.
    pub state: State,
    /// Since its last packet.
    pub idle: Duration,
    /// Since its first packet.
    pub age: Duration,
    /// Packets by [`Direction`], modulo 2^32.
    pub packets: [u32; 2],
    /// Bytes of IP packets by [`Direction`], modulo 2^48.
    pub bytes: [u64; 2],
}

impl<F: Family> Saved<F> {
    /// What is to be remembered of a connection with that server.
    #[must_use]
    pub fn of(
        (connection, beside): (&Connection<F>, Option<Beside>),
        server: SocketAddr,
        created: Stamp,
        now: Instant,
    ) -> Self {
        let directions = [Direction::In, Direction::Out];
        Saved {
            key: connection.forward_key(),
            server,
            method: connection.method,
            local: connection.local(),
            beside,
            state: connection.state,
            idle: connection.seen.age(now),
            age: created.age(now),
            packets: directions.map(|direction| low32(connection.packets(direction))),
            bytes: directions.map(|direction| connection.bytes(direction)),
        }
    }

    /// The connection as it was, with that server, and when its first packet passed.
    #[must_use]
    pub fn connection(&self, server: ServerId, now: Instant) -> (Connection<F>, Stamp) {
        // Stamps wrap, so it does not matter that the director is younger than the connection.
        let ago =
            |since: Duration| Instant::from_millis(now.as_millis().wrapping_sub(since.as_millis())).stamp();
        let port = if self.server.port() == 0 { self.key.destination_port } else { self.server.port() };
        let mut connection = Connection {
            state: self.state,
            seen: ago(self.idle),
            packets: self.packets,
            bytes_low: self.bytes.map(low32),
            bytes_high: self.bytes.map(|bytes| low16(high32(bytes))),
            ..Connection::new(&self.key, server, self.server.ip(), port, self.method)
        };
        match self.local {
            // The next hop outward is found when the connection is taken over.
            Some(local) if self.method.is_outward() => connection.set_outward(local, None),
            Some((address, port)) => connection.set_local(address, port),
            None => {}
        }
        (connection, ago(self.age))
    }
}
