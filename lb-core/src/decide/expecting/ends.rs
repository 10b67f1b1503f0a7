//! Ends of connections that stand for several.

use crate::{limits::FIRST_LOCAL_PORT, wire::pptp};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Any port of an address.
pub(super) fn any(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip(), 0)
}

/// Whether a port is one of everybody's, at which nobody waits for what a module reads of: servers pass on what others say,
/// and may be made to say anything.
pub(super) const fn is_well_known(port: u16) -> bool {
    port < FIRST_LOCAL_PORT
}

/// What stands for packets of a client's calls, whatever their numbers: no other packet is asked about with both ports.
pub(super) fn of_calls(client: SocketAddr) -> SocketAddr {
    SocketAddr::new(client.ip(), pptp::PORT)
}

/// Any port of anybody of an address's family.
pub(super) fn anybody(at: SocketAddr) -> SocketAddr {
    match at {
        SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
    }
}
