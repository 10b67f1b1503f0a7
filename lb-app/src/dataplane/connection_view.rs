//! A connection of either family, for people and for what people ask.

use lb_core::{
    conn::{
        entry::{Connection, Direction},
        method::Method,
        state::State,
    },
    family::Family,
    ids::ServerId,
    service::snapshot::Snapshot,
    time::Stamp,
    wire::protocol::Protocol,
};
use std::net::SocketAddr;

/// A connection as its worker had it when it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionView {
    pub(crate) protocol: Protocol,
    pub(crate) client: SocketAddr,
    pub(crate) vip: SocketAddr,
    /// The real server, which may be of the other family behind a tunnel.
    pub(crate) server: SocketAddr,
    pub(crate) server_id: ServerId,
    /// What the server sees in the place of the client, under FullNAT.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) method: Method,
    pub(crate) state: State,
    /// When its first packet passed.
    pub(crate) created: Stamp,
    /// When its last packet passed.
    pub(crate) seen: Stamp,
    /// From the client, and from the server.
    pub(crate) packets: [u64; 2],
    /// The same in bytes.
    pub(crate) bytes: [u64; 2],
}

impl ConnectionView {
    pub(crate) fn new<F: Family>(snapshot: &Snapshot, connection: &Connection<F>, created: Stamp) -> Self {
        let directions = [Direction::In, Direction::Out];
        ConnectionView {
            protocol: connection.protocol,
            client: SocketAddr::new(F::ip(connection.client), connection.client_port),
            vip: SocketAddr::new(F::ip(connection.vip), connection.vip_port),
            server: SocketAddr::new(snapshot.server_of(connection).ip(), connection.server_port),
            server_id: connection.server,
            local: connection.local().map(|(address, port)| SocketAddr::new(F::ip(address), port)),
            method: connection.method,
            state: connection.state,
            created,
            seen: connection.seen,
            packets: directions.map(|direction| connection.packets(direction)),
            bytes: directions.map(|direction| connection.bytes(direction)),
        }
    }
}
