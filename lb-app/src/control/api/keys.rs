//! What services and servers are known by, between the protocol's form and the director's: here and nowhere else.

use lb_core::service::{
    key::{Protocol, ServiceKey},
    reach::Reach,
};
use lb_ctl::protocol::{self as said, keys};

/// A protocol as answers have it.
pub(super) const fn told(protocol: Protocol) -> said::Protocol {
    match protocol {
        Protocol::Tcp => said::Protocol::Tcp,
        Protocol::Udp => said::Protocol::Udp,
        Protocol::Sctp => said::Protocol::Sctp,
        Protocol::Icmp => said::Protocol::Icmp,
    }
}

/// The protocol that a request means.
pub(super) const fn meant(protocol: said::Protocol) -> Protocol {
    match protocol {
        said::Protocol::Tcp => Protocol::Tcp,
        said::Protocol::Udp => Protocol::Udp,
        said::Protocol::Sctp => Protocol::Sctp,
        said::Protocol::Icmp => Protocol::Icmp,
    }
}

/// All that clients of a service send to, if that is more than one address and port, or they are not all.
pub(super) fn reach_told(reach: Reach) -> Option<keys::Reach> {
    let is_more = reach.protocols().count() > 1 || reach.vips().count() > 1 || reach.port().is_none();
    (is_more || reach.beside.is_choosy()).then(|| keys::Reach {
        protocols: reach.protocols_shown(),
        endpoints: reach.to_string(),
        clients: reach.clients_shown(),
    })
}

/// A service as answers have it.
pub(super) const fn service_told(key: ServiceKey) -> keys::ServiceKey {
    keys::ServiceKey { protocol: told(key.protocol), vip: key.vip, port: key.port }
}
