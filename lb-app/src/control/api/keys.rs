//! What services and servers are known by, between the protocol's form and the director's: here and nowhere else.

use lb_core::service::key::{Protocol, ServiceKey};
use lb_ctl::protocol::{self as said, Code, Refusal, keys};
use std::net::{IpAddr, Ipv4Addr};

/// A protocol as answers have it.
pub(super) const fn told(protocol: Protocol) -> said::Protocol {
    match protocol {
        Protocol::Tcp => said::Protocol::Tcp,
        Protocol::Udp => said::Protocol::Udp,
    }
}

/// The protocol that a request means.
pub(super) const fn meant(protocol: said::Protocol) -> Protocol {
    match protocol {
        said::Protocol::Tcp => Protocol::Tcp,
        said::Protocol::Udp => Protocol::Udp,
    }
}

/// A service as answers have it.
pub(super) const fn service_told(key: ServiceKey) -> keys::ServiceKey {
    keys::ServiceKey { protocol: told(key.protocol), vip: key.vip, port: key.port }
}

/// The same, if packets of its family are forwarded.
pub(super) fn supported(address: IpAddr) -> Result<IpAddr, Refusal> {
    v4(address).map(IpAddr::V4)
}

/// The address that a request means.
pub(super) fn v4(address: IpAddr) -> Result<Ipv4Addr, Refusal> {
    let meant = lb_core::service::address::v4(address);
    meant.map_err(|not_yet| Refusal::new(Code::Unsupported, format!("{address} {not_yet}")))
}
