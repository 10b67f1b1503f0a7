//! The transport protocols of flows.

use super::ipv4;
use crate::named::named;

named! {
    /// A transport protocol that can be balanced.
    Protocol {
        /// TCP, RFC 9293.
        Tcp = "tcp",
        /// UDP, RFC 768.
        Udp = "udp",
    }
}

impl Protocol {
    /// Its number in an IP header.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => ipv4::TCP,
            Protocol::Udp => ipv4::UDP,
        }
    }

    /// Its name as listings and other programs write it.
    #[must_use]
    pub const fn upper(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        }
    }

    /// The protocol of that number, if it is one that can be balanced.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            ipv4::TCP => Some(Protocol::Tcp),
            ipv4::UDP => Some(Protocol::Udp),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_numbers() {
        for protocol in Protocol::ALL {
            assert_eq!(Protocol::from_number(protocol.number()), Some(*protocol));
        }
        assert_eq!(Protocol::from_number(ipv4::ICMP), None);
    }
}
