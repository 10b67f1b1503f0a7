//! Which addresses can be configured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, if it is not that of one host wherever packets to it are sent from: a group, nobody, whoever asks, or
/// one of many links (RFC 4291 2.5).
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
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            Some("a link-local address, which every link has")
        }
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
            Some("an IPv4 address in the form of IPv6")
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Whether every link can have the address, so that it alone does not tell where it is.
#[must_use]
pub const fn is_of_some_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_what_no_single_host_has() {
        let kind = |text: &str| no_host(text.parse().unwrap());
        for address in ["192.0.2.1", "169.254.1.1", "2001:db8::1", "fd00::1"] {
            assert_eq!(kind(address), None, "{address}");
        }
        assert_eq!(kind("224.0.0.1"), kind("ff02::1"));
        assert_eq!(kind("127.0.0.1"), kind("::1"));
        assert_eq!(kind("0.0.0.0"), kind("::"));
        assert!(kind("fe80::1").unwrap().starts_with("a link-local address"));
        assert_eq!(kind("::ffff:192.0.2.1"), Some("an IPv4 address in the form of IPv6"));
    }
}
