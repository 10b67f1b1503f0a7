//! The one place that knows that packets are IPv4 so far. Plans, keys and configurations carry addresses of either
//! family; what reaches the packet path passes through here.

use std::net::{IpAddr, Ipv4Addr};
use thiserror::Error;

/// An address of a family that is not forwarded yet.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("IPv6 is not supported yet")]
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
