//! A connection that peers cannot find the server of by themselves.

use crate::{
    cast::{high64, low64},
    conn::{beside::Beside, entry::Connection, method::Method, state::State},
    family::Family,
    flow::key::{Ends, Key},
    time::Duration,
    wire::protocol::Protocol,
};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// How old a connection is before peers are told of it, where the scheduler does not hash or the connection has a local port:
/// those that are over sooner are most, and not worth telling.
pub const OLD_ENOUGH: Duration = Duration::from_secs(3);

/// A connection whose server does not follow from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Of packets from the client.
    pub ends: Ends,
    /// The real server, which may be of the other family behind a tunnel.
    pub server: SocketAddr,
    /// How packets reach it.
    pub method: Method,
    /// What the server sees in the place of the client, under FullNAT.
    pub local: Option<SocketAddr>,
    /// What has to go on with it besides, if anything has.
    pub beside: Option<Beside>,
}

/// One that was found among the connections here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The connection.
    pub exception: Exception,
    /// More is known of it than can be forged.
    pub is_proven: bool,
    /// Its state.
    pub state: State,
    /// How long it is remembered in that state.
    pub timeout: Duration,
    /// The mark by which directors of IPVS know its service; 0 if they know it by address.
    pub mark: u32,
}

/// Whether a connection in that state would be missed.
#[must_use]
pub const fn is_missed(state: State) -> bool {
    match state {
        State::Established
        | State::FinWait
        | State::CloseWait
        | State::Udp
        | State::SctpEstablished
        | State::SctpShutdownSent
        | State::SctpShutdownReceived
        | State::SctpShutdownAckSent => true,
        State::None
        | State::SynSent
        | State::SynRecv
        | State::TimeWait
        | State::Close
        | State::LastAck
        | State::SctpInit1
        | State::SctpInit
        | State::SctpCookieSent
        | State::SctpCookieReplied
        | State::SctpCookieWait
        | State::SctpCookie
        | State::Echo
        | State::SctpCookieEchoed
        | State::SctpRejected
        | State::SctpClosed => false,
    }
}

impl Exception {
    /// That connection and what goes on with it besides, with that server.
    #[must_use]
    pub fn of<F: Family>((connection, beside): (&Connection<F>, Option<Beside>), server: SocketAddr) -> Self {
        let local = connection.local().map(|(address, port)| SocketAddr::new(F::ip(address), port));
        Exception { ends: ends(&connection.forward_key()), server, method: connection.method, local, beside }
    }

    /// The ends of the server's packets, if they pass the director.
    #[must_use]
    pub fn reply_ends(&self) -> Option<Ends> {
        let destination = self.local.unwrap_or(self.ends.source);
        self.method.sees_replies().then_some(Ends {
            protocol: self.ends.protocol,
            source: self.server,
            destination,
        })
    }
}

/// The ends of a flow.
pub(crate) fn ends<F: Family>(key: &Key<F>) -> Ends {
    Ends {
        protocol: key.protocol,
        source: SocketAddr::new(F::ip(key.source), key.source_port),
        destination: SocketAddr::new(F::ip(key.destination), key.destination_port),
    }
}

/// The ends of a flow as numbers: addresses as IPv6 writes them (RFC 4291 2.5.5.2), ports, protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Packed(pub(crate) [u64; 5]);

impl Packed {
    pub(crate) fn of(ends: &Ends) -> Self {
        let (source, destination) = (bits(ends.source.ip()), bits(ends.destination.ip()));
        let ports = u64::from(ends.source.port()) << 16 | u64::from(ends.destination.port());
        let last = u64::from(ends.protocol.number()) << 32 | ports;
        Packed([high64(source), low64(source), high64(destination), low64(destination), last])
    }

    pub(crate) fn ends(self) -> Option<Ends> {
        let [a, b, c, d, last] = self.0;
        let protocol = u8::try_from(last >> 32).ok().and_then(Protocol::from_number)?;
        let port = |shift: u32| u16::try_from(last >> shift & 0xffff).unwrap_or_default();
        Some(Ends {
            protocol,
            source: SocketAddr::new(address(a, b), port(16)),
            destination: SocketAddr::new(address(c, d), port(0)),
        })
    }
}

/// An address as IPv6 writes it.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of such bits.
pub(crate) fn address(high: u64, low: u64) -> IpAddr {
    Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).to_canonical()
}
