//! Which addresses can be configured. This is the one place that knows that packets are IPv4 so far: what knows services and
//! servers by name or key carries addresses of either family, and what reaches a plan passes through here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// An address of a family that is not forwarded yet. The words follow it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("is IPv6, which is not supported yet")]
pub struct NotYet;

/// The address as packets have it.
///
/// # Errors
/// When it is IPv6.
pub const fn v4(address: IpAddr) -> Result<Ipv4Addr, NotYet> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(NotYet),
    }
}

/// What an address is, if no single host can have it: a group, nobody, or whoever asks.
#[must_use]
pub const fn no_host(address: IpAddr) -> Option<&'static str> {
    if address.is_multicast() {
        return Some("a multicast address");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    match address {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address"),
        IpAddr::V4(address) if address.octets()[0] == 0 => Some("an unspecified address"),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some("an unspecified address"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}
