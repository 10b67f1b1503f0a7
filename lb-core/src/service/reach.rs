//! What clients send to: a service has one address and one port, or several of each, and one protocol or several. That is
//! what IPVS's firewall marks are used for: one set of servers, one scheduler and one memory of clients for all of it. It may
//! be for clients of certain networks only, or for packets that arrive on certain ports.
//!
//! Of the services that could have a packet, the most specific gets it:
//!
//! 1. that of exactly this port, then that of the narrowest range, then that of any port;
//! 2. of those, that of the client's longest network, then that of all clients;
//! 3. of those, that of the port of arrival, then that of all.
//!
//! The port comes first, since it says what is asked for: a service for some clients takes no port away from one that has
//! it more exactly, but by naming the port itself (`ports = [80, "any"]`). The network comes before the port of arrival,
//! as with routes, where the longest prefix decides before anything else. IPVS asks for the mark first, whatever it stands
//! for. Two that are equally specific are a mistake, which [`overlaps`](super::overlaps) finds.

use super::{
    key::{Protocol, ServiceKey},
    option::Value,
};
use ipnet::IpNet;
use std::{fmt, net::IpAddr, str::FromStr};

/// Ports that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last, which belongs to it.
    pub last: u16,
}

impl PortRange {
    /// Any port.
    pub const ANY: PortRange = PortRange { first: 0, last: u16::MAX };

    /// One port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        PortRange { first: port, last: port }
    }

    /// The port, if it is one.
    #[must_use]
    pub const fn port(self) -> Option<u16> {
        if self.first == self.last { Some(self.first) } else { None }
    }

    /// How many ports it has.
    #[must_use]
    pub const fn width(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    /// Whether a port is one of them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Whether a port is one of both.
    #[must_use]
    pub const fn overlaps(self, other: PortRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What it is in a configuration.
    #[must_use]
    pub fn to_value(self) -> Value {
        self.port().map_or_else(|| Value::Text(self.to_string()), |port| Value::Number(port.into()))
    }

    /// What a configuration says.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Number(port) => Some(PortRange::one(u16::try_from(*port).ok()?)),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            PortRange::ANY => f.pad("any"),
            PortRange { first, last } if first == last => first.fmt(f),
            PortRange { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

impl FromStr for PortRange {
    type Err = NoPorts;

    fn from_str(text: &str) -> Result<Self, NoPorts> {
        if text == "any" {
            return Ok(PortRange::ANY);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0).ok_or(NoPorts);
        let range = PortRange { first: port(first)?, last: port(last)? };
        if range.first <= range.last { Ok(range) } else { Err(NoPorts) }
    }
}

/// Text that is no port, no range of ports, and not `any`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPorts;

/// What clients send to beside a service's first protocol, address and port, which it is known by, and which clients these
/// are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Further protocols.
    pub protocols: Vec<Protocol>,
    /// Further addresses.
    pub vips: Vec<IpAddr>,
    /// All ports, those it is known by included; nothing if there is one port only.
    pub ports: Vec<PortRange>,
    /// The networks that its clients are in; nothing for all clients.
    pub from: Vec<IpNet>,
    /// The names of the interfaces that their packets arrive on; nothing for all.
    pub on: Vec<String>,
}

impl Beside {
    /// Whether it is for certain clients only.
    #[must_use]
    pub const fn is_choosy(&self) -> bool {
        !self.from.is_empty() || !self.on.is_empty()
    }

    /// What a service of that name is known by, whose first protocol, address and port are those of `place`.
    #[must_use]
    pub fn key(&self, place: ServiceKey, name: &str) -> ServiceKey {
        if self.is_choosy() { place.named(name) } else { place }
    }
}

/// What clients send to, all of it.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// The first of each. Its name does not count.
    pub key: ServiceKey,
    /// The others.
    pub beside: &'a Beside,
}

impl<'a> Reach<'a> {
    /// Its protocols.
    pub fn protocols(self) -> impl Iterator<Item = Protocol> + Clone + 'a {
        std::iter::once(self.key.protocol).chain(self.beside.protocols.iter().copied())
    }

    /// Its addresses.
    pub fn vips(self) -> impl Iterator<Item = IpAddr> + Clone + 'a {
        std::iter::once(self.key.vip).chain(self.beside.vips.iter().copied())
    }

    /// Its ports.
    pub fn ports(self) -> impl Iterator<Item = PortRange> + Clone + 'a {
        let one = self.beside.ports.is_empty().then_some(PortRange::one(self.key.port));
        one.into_iter().chain(self.beside.ports.iter().copied())
    }

    /// Its port, if it has one only.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        self.beside.ports.is_empty().then_some(self.key.port)
    }

    /// Every address with every range of ports, by every protocol.
    pub fn claims(self) -> impl Iterator<Item = Claim> + 'a {
        self.protocols().flat_map(move |protocol| {
            self.vips().flat_map(move |vip| self.ports().map(move |ports| Claim { protocol, vip, ports }))
        })
    }

    /// The same for every network of clients on every interface: what no two services may have in common.
    pub fn claims_by_client(self) -> impl Iterator<Item = ClientClaim<'a>> + 'a {
        let Beside { from, on, .. } = self.beside;
        // A whole family is what nothing said is.
        let from = from.iter().map(|net| (net.prefix_len() > 0).then(|| net.trunc()));
        let from: Vec<Option<IpNet>> = from.chain(self.beside.from.is_empty().then_some(None)).collect();
        let on = on.iter().map(|name| Some(name.as_str()));
        let on: Vec<Option<&str>> = on.chain(self.beside.on.is_empty().then_some(None)).collect();
        let pairs = from.iter().flat_map(|&from| on.iter().map(move |&on| (from, on)));
        let pairs: Vec<_> = pairs.collect();
        self.claims().flat_map(move |claim| {
            let pairs = pairs.clone().into_iter();
            pairs.map(move |(from, on)| ClientClaim { claim, from, on })
        })
    }

    /// How many those are.
    #[must_use]
    pub fn count_by_client(self) -> usize {
        let Beside { from, on, .. } = self.beside;
        let places = self.protocols().count() * self.vips().count() * self.ports().count();
        places * from.len().max(1) * on.len().max(1)
    }

    /// Whether clients that it is for send to that port of that address.
    #[must_use]
    pub fn has(self, protocol: Protocol, vip: IpAddr, port: u16) -> bool {
        self.protocols().any(|own| own == protocol)
            && self.vips().any(|own| own == vip)
            && self.ports().any(|own| own.contains(port))
    }

    /// Which clients it is for, as listings have it, the first of each; empty if for all.
    #[must_use]
    pub fn clients_shown(self) -> String {
        const MOST: usize = 4;
        let shown = |word: &str, all: Vec<String>| {
            let more = all.len().saturating_sub(MOST);
            let first = all[..all.len() - more].join(",");
            match (all.len(), more) {
                (0, _) => None,
                (_, 0) => Some(format!("{word} {first}")),
                _ => Some(format!("{word} {first} and {more} more")),
            }
        };
        let from = shown("from", self.beside.from.iter().map(IpNet::to_string).collect());
        let on = shown("on", self.beside.on.clone());
        from.into_iter().chain(on).collect::<Vec<_>>().join(" ")
    }

    /// Its protocols as listings have them.
    #[must_use]
    pub fn protocols_shown(self) -> String {
        joined(self.protocols().map(|protocol| protocol.upper().to_owned()))
    }

    /// Its ports as listings have them.
    #[must_use]
    pub fn ports_shown(self) -> String {
        joined(self.ports().map(|ports| ports.to_string()))
    }

    /// Its addresses as listings have them.
    #[must_use]
    pub fn vips_shown(self) -> String {
        joined(self.vips().map(|vip| vip.to_string()))
    }
}

impl fmt::Display for Reach<'_> {
    /// `192.0.2.100:80,443`, with brackets around IPv6. Which clients it is for is not part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vips = self.vips().map(|vip| if vip.is_ipv6() { format!("[{vip}]") } else { vip.to_string() });
        write!(f, "{}:{}", joined(vips), self.ports_shown())
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(",")
}

/// One address and a range of ports that clients send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The address.
    pub vip: IpAddr,
    /// The ports.
    pub ports: PortRange,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vip = if self.vip.is_ipv6() { format!("[{}]", self.vip) } else { self.vip.to_string() };
        write!(f, "{} {vip}:{}", self.protocol, self.ports)
    }
}

/// The same for clients of one network that arrive on one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientClaim<'a> {
    /// What they send to.
    pub claim: Claim,
    /// Their network; `None` for all.
    pub from: Option<IpNet>,
    /// Where they arrive; `None` for anywhere.
    pub on: Option<&'a str>,
}

impl From<Claim> for ClientClaim<'_> {
    fn from(claim: Claim) -> Self {
        ClientClaim { claim, from: None, on: None }
    }
}

impl fmt::Display for ClientClaim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.fmt(f)?;
        self.from.map_or(Ok(()), |from| write!(f, " from {from}"))?;
        self.on.map_or(Ok(()), |on| write!(f, " on {on}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_read_back_as_what_they_show() {
        for text in ["any", "80", "1024-65535", "1-65535"] {
            assert_eq!(range(text).to_string(), text);
            assert_eq!(PortRange::from_value(&range(text).to_value()), Some(range(text)));
        }
        assert_eq!(range("80 - 80").port(), Some(80));
        assert_eq!(range("any").width(), 65_536);
        for text in ["", "0", "0-80", "90-80", "80-", "http", "65536"] {
            assert_eq!(text.parse::<PortRange>(), Err(NoPorts), "{text}");
        }
    }

    #[test]
    fn a_service_shows_all_that_clients_send_to() {
        let key: ServiceKey = "tcp 192.0.2.100:80".parse().unwrap();
        let one = Beside::default();
        assert_eq!(Reach { key, beside: &one }.to_string(), "192.0.2.100:80");
        let beside = Beside {
            protocols: vec![Protocol::Udp, Protocol::Sctp],
            vips: vec!["192.0.2.101".parse().unwrap()],
            ports: vec![range("80"), range("8000-8009")],
            from: vec!["203.0.113.0/24".parse().unwrap(), "203.0.113.64/26".parse().unwrap()],
            on: vec!["wan".to_owned()],
        };
        let reach = Reach { key, beside: &beside };
        assert_eq!(reach.to_string(), "192.0.2.100,192.0.2.101:80,8000-8009");
        assert_eq!(reach.protocols_shown(), "TCP,UDP,SCTP");
        assert_eq!(reach.claims().count(), 12);
        assert_eq!(reach.claims().last().unwrap().to_string(), "sctp 192.0.2.101:8000-8009");
        assert_eq!(reach.clients_shown(), "from 203.0.113.0/24,203.0.113.64/26 on wan");
        let many = Beside { on: (1..=6).map(|vlan| format!("v{vlan}")).collect(), ..Beside::default() };
        assert_eq!(Reach { key, beside: &many }.clients_shown(), "on v1,v2,v3,v4 and 2 more");
        assert_eq!((reach.claims_by_client().count(), reach.count_by_client()), (24, 24));
        let last = reach.claims_by_client().last().unwrap();
        assert_eq!(last.to_string(), "sctp 192.0.2.101:8000-8009 from 203.0.113.64/26 on wan");
    }
}
