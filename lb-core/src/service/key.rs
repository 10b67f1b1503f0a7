//! What a virtual service and a real server are known by, wherever somebody speaks of them: configuration, plan,
//! snapshot, health checks, metrics and control all use these.

use crate::limits::MAX_LABEL;
pub use crate::wire::protocol::Protocol;
use arrayvec::ArrayString;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};
use thiserror::Error;

/// The name of a service, where that is part of what it is known by.
pub type Label = ArrayString<MAX_LABEL>;

/// What makes a virtual service the same service. Its name may change; this does not. Services that are for certain clients
/// only may share an address and port, so they are known by their names as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The address that clients send to; the first of several.
    pub vip: IpAddr,
    /// The port that clients send to; the first of several, 0 of any.
    pub port: u16,
    /// Its name, if it says `from` or `on`.
    pub label: Option<Label>,
}

impl ServiceKey {
    /// The service of that protocol at that address and port, for all clients.
    #[must_use]
    pub const fn new(protocol: Protocol, endpoint: SocketAddr) -> Self {
        ServiceKey { protocol, vip: endpoint.ip(), port: endpoint.port(), label: None }
    }

    /// The one of that name there.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        // No plan has a longer one.
        let mut end = name.len().min(MAX_LABEL);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        ServiceKey { label: Label::from(&name[..end]).ok(), ..self }
    }

    /// The same without a name: what all services that share an address and port have in common.
    #[must_use]
    pub const fn place(self) -> Self {
        ServiceKey { label: None, ..self }
    }

    /// What clients send to.
    #[must_use]
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.vip, self.port)
    }

    /// The key of its server at that address and port.
    #[must_use]
    pub const fn server(self, endpoint: SocketAddr) -> ServerKey {
        ServerKey { service: self, address: endpoint.ip(), port: endpoint.port() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.endpoint())?;
        self.label.map_or(Ok(()), |label| write!(f, " {label}"))
    }
}

impl FromStr for ServiceKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let (protocol, endpoint) = text.split_once(' ').ok_or(NotAKey)?;
        let (endpoint, name) =
            endpoint.split_once(' ').map_or((endpoint, None), |(at, name)| (at, Some(name)));
        let protocol = protocol.parse().map_err(|()| NotAKey)?;
        let key = ServiceKey::new(protocol, endpoint.parse().map_err(|_| NotAKey)?);
        match name {
            None => Ok(key),
            Some(name) if name.is_empty() || name.contains(' ') || name.len() > MAX_LABEL => Err(NotAKey),
            Some(name) => Ok(key.named(name)),
        }
    }
}

/// What makes a real server the same server: its service, and its address and port there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerKey {
    /// Its service.
    pub service: ServiceKey,
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 is the port that a packet was sent to.
    pub port: u16,
}

impl ServerKey {
    /// Where connections go: unique among the servers of its service.
    #[must_use]
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl fmt::Display for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.endpoint(), self.service)
    }
}

impl FromStr for ServerKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let (server, service) = text.split_once(" of ").ok_or(NotAKey)?;
        let service: ServiceKey = service.parse()?;
        Ok(service.server(server.parse().map_err(|_| NotAKey)?))
    }
}

/// Text that names no service and no server.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected for example \"tcp 192.0.2.100:80\", or \"198.51.100.11:8080 of tcp 192.0.2.100:80\"")]
pub struct NotAKey;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_what_they_show() {
        for text in [
            "tcp 192.0.2.100:80",
            "udp [2001:db8::1]:53",
            "sctp 192.0.2.100:3868",
            "tcp 192.0.2.100:80 tenant-a",
        ] {
            let key: ServiceKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            let server = key.server("198.51.100.11:8080".parse().unwrap());
            assert_eq!(server.to_string(), format!("198.51.100.11:8080 of {text}"));
            assert_eq!(server.to_string().parse(), Ok(server));
        }
        for text in [
            "",
            "tcp",
            "dccp 192.0.2.100:80",
            "tcp 192.0.2.100",
            "tcp 192.0.2.100:80 of tcp 192.0.2.1:1",
            "tcp 192.0.2.100:80 ",
        ] {
            assert_eq!(text.parse::<ServiceKey>(), Err(NotAKey), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_between_letters() {
        let key: ServiceKey = "tcp 192.0.2.100:80".parse().unwrap();
        let label = key.named(&"ä".repeat(MAX_LABEL)).label.unwrap();
        assert_eq!(&*label, "ä".repeat(MAX_LABEL / 2));
        assert_eq!(key.named("web").place(), key);
    }
}
