//! What services and servers are known by in the protocol. Within answers their fields stand beside the others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// A transport protocol.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// Echo requests of servers, under SNAT. Their identifier is the port of who asks, and who is asked has port 0. No
    /// service's.
    Icmp,
}

impl Protocol {
    /// The protocol in ipvsadm's words.
    #[must_use]
    pub const fn upper(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
            Protocol::Icmp => "ICMP",
        }
    }
}

/// A virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ServiceKey {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The address that clients send to.
    pub vip: IpAddr,
    /// The port that clients send to.
    pub port: u16,
}

impl ServiceKey {
    /// What clients send to.
    #[must_use]
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.vip, self.port)
    }
}

/// All that clients of a service send to, where that is more than one address and port, or where they are not all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reach {
    /// Its protocols, as in `TCP,UDP`.
    pub protocols: String,
    /// Its addresses and ports, as in `192.0.2.100:80,443`.
    pub endpoints: String,
    /// Which clients it is for, as in `from 203.0.113.0/24 on wan`; empty if for all. The name tells services apart that
    /// have the same address and port.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub clients: String,
}

impl Reach {
    /// The protocols and the endpoints of a service, for people.
    #[must_use]
    pub fn shown(of: Option<&Reach>, key: &ServiceKey) -> (String, String) {
        of.map_or_else(
            || (key.protocol.upper().to_owned(), key.endpoint().to_string()),
            |reach| {
                let Reach { protocols, endpoints, clients } = reach;
                let space = if clients.is_empty() { "" } else { " " };
                (protocols.clone(), format!("{endpoints}{space}{clients}"))
            },
        )
    }
}

/// What clients send to, as somebody calls it: an address and port, or a service's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Target {
    /// By address and port.
    At(SocketAddr),
    /// By a service's name.
    Service(String),
}

impl From<String> for Target {
    fn from(text: String) -> Self {
        text.parse().map_or(Target::Service(text), Target::At)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::At(endpoint) => endpoint.fmt(f),
            Target::Service(name) => name.fmt(f),
        }
    }
}

/// A real server among those of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ServerEndpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

impl From<SocketAddr> for ServerEndpoint {
    fn from(endpoint: SocketAddr) -> Self {
        ServerEndpoint { address: endpoint.ip(), port: endpoint.port() }
    }
}

impl fmt::Display for ServerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With the width that the caller asks for.
        f.pad(&SocketAddr::new(self.address, self.port).to_string())
    }
}
