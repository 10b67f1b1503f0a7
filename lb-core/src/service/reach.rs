//! What clients send to: a service has one address and one port, or several of each, and one protocol or several. That is
//! what IPVS's firewall marks are used for: one set of servers, one scheduler and one memory of clients for all of it.
//!
//! Of the services that could have a packet, the most specific gets it: that of exactly this port, then that of the
//! narrowest range, then that of any port. Two that are equally specific are a mistake, which [`overlaps`] finds.

use super::{
    key::{Protocol, ServiceKey},
    option::Value,
};
use std::{collections::HashMap, fmt, hash::Hash, net::IpAddr, str::FromStr};

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

/// What clients send to beside a service's first protocol, address and port, which it is known by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Further protocols.
    pub protocols: Vec<Protocol>,
    /// Further addresses.
    pub vips: Vec<IpAddr>,
    /// All ports, those it is known by included; nothing if there is one port only.
    pub ports: Vec<PortRange>,
}

/// What clients send to, all of it.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// The first of each.
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
    /// `192.0.2.100:80,443`, with brackets around IPv6.
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

/// Claims that are equally specific and have a port in common: of each, the claim that came second, with whom both belong to.
/// The first mistake of each pair of owners is enough.
pub fn overlaps<T: Copy + Eq + Hash>(claims: impl IntoIterator<Item = (Claim, T)>) -> Vec<(Claim, T, T)> {
    let mut by_width: HashMap<_, Vec<(usize, PortRange, T)>> = HashMap::new();
    for (place, (claim, of)) in claims.into_iter().enumerate() {
        let key = (claim.protocol, claim.vip, claim.ports.width());
        by_width.entry(key).or_default().push((place, claim.ports, of));
    }
    let mut found: HashMap<(T, T), (usize, Claim)> = HashMap::new();
    for ((protocol, vip, _), mut ranges) in by_width {
        // All are as wide, so those that overlap are neighbours in this order.
        ranges.sort_by_key(|(place, ports, _)| (ports.first, *place));
        for pair in ranges.windows(2) {
            let [(one, first, of_one), (other, second, of_other)] = [pair[0], pair[1]];
            if first.last < second.first {
                continue;
            }
            let (owners, place, ports) = if one < other {
                ((of_one, of_other), other, second)
            } else {
                ((of_other, of_one), one, first)
            };
            let claim = Claim { protocol, vip, ports };
            let known = found.entry(owners).or_insert((place, claim));
            if place < known.0 {
                *known = (place, claim);
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(_, (place, _))| *place);
    found.into_iter().map(|((before, by), (_, claim))| (claim, before, by)).collect()
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
        };
        let reach = Reach { key, beside: &beside };
        assert_eq!(reach.to_string(), "192.0.2.100,192.0.2.101:80,8000-8009");
        assert_eq!(reach.protocols_shown(), "TCP,UDP,SCTP");
        assert_eq!(reach.claims().count(), 12);
        assert_eq!(reach.claims().last().unwrap().to_string(), "sctp 192.0.2.101:8000-8009");
    }

    #[test]
    fn what_is_equally_specific_must_not_overlap() {
        let claim = |port: &str| Claim {
            protocol: Protocol::Tcp,
            vip: "192.0.2.100".parse().unwrap(),
            ports: range(port),
        };
        let found = |claims: &[(&str, u8)]| -> Vec<(String, u8, u8)> {
            let claims = claims.iter().map(|(ports, of)| (claim(ports), *of));
            overlaps(claims).into_iter().map(|(claim, a, b)| (claim.ports.to_string(), a, b)).collect()
        };
        assert_eq!(found(&[("80", 1), ("80-90", 2), ("any", 3), ("1-65535", 4)]), []);
        assert_eq!(found(&[("80", 1), ("443", 2), ("80", 2)]), [("80".to_owned(), 1, 2)]);
        assert_eq!(found(&[("85-95", 1), ("80-90", 2)]), [("80-90".to_owned(), 1, 2)]);
        assert_eq!(found(&[("any", 1), ("any", 1)]), [("any".to_owned(), 1, 1)], "twice in one service");
        assert_eq!(found(&[("80-90", 1), ("91-101", 2), ("85-96", 3)]), []);
    }
}
