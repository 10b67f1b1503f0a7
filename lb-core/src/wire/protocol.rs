//! The transport protocols of flows.

use crate::named::named;

/// Protocol number of ESP, RFC 4303.
pub const ESP: u8 = 50;
/// Protocol number of AH, RFC 4302.
pub const AH: u8 = 51;
/// The UDP port at which both sides of IPsec agree on keys: ISAKMP's, which IKE has kept (RFC 7296).
pub const ISAKMP: u16 = 500;

/// Whether a protocol is IPsec's: it has no ports, and follows the connection by which its keys were agreed on.
#[inline]
#[must_use]
pub const fn is_ipsec(number: u8) -> bool {
    matches!(number, ESP | AH)
}

/// Whether a packet of that protocol has no ports, and goes with a connection of another protocol: see [`is_ipsec`], and
/// [`pptp`](super::pptp) for GRE.
#[inline]
#[must_use]
pub const fn is_portless(number: u8) -> bool {
    is_ipsec(number) || number == GRE
}

/// Protocol number of GRE, in either family.
pub const GRE: u8 = 47;
/// Protocol number of a packet of IPv4 inside another.
pub const IPIP: u8 = 4;
/// Protocol number of TCP, in either family.
pub const TCP: u8 = 6;
/// Protocol number of UDP, in either family.
pub const UDP: u8 = 17;
/// Protocol number of SCTP, in either family.
pub const SCTP: u8 = 132;
/// What stands for ICMP of either family in keys and files; IPv4 has it in packets as well.
const ICMP: u8 = 1;

named! {
    /// A transport protocol that can be balanced.
    Protocol {
        /// TCP, RFC 9293.
        Tcp = "tcp",
        /// UDP, RFC 768.
        Udp = "udp",
        /// SCTP, RFC 9260.
        Sctp = "sctp",
    }
    besides {
        /// Echo requests of ICMP or ICMPv6 and their replies, whose identifier stands for the port of who asks: RFC 5508 3.1.
        /// No service's; what servers send by themselves.
        Icmp = "icmp",
    }
}

impl Protocol {
    /// Its number in an IP header; of ICMP, IPv4's.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => TCP,
            Protocol::Udp => UDP,
            Protocol::Sctp => SCTP,
            Protocol::Icmp => ICMP,
        }
    }

    /// Its name as listings and other programs write it.
    #[must_use]
    pub const fn upper(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
            Protocol::Icmp => "ICMP",
        }
    }

    /// The protocol of that number, if it is one that can be balanced.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            TCP => Some(Protocol::Tcp),
            UDP => Some(Protocol::Udp),
            SCTP => Some(Protocol::Sctp),
            _ => None,
        }
    }

    /// The protocol of a connection that was kept with that number.
    #[must_use]
    pub const fn of_connection(number: u8) -> Option<Self> {
        match number {
            ICMP => Some(Protocol::Icmp),
            other => Self::from_number(other),
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
        assert_eq!(Protocol::from_number(1), None, "ICMP is not read as what has ports");
        assert_eq!(Protocol::of_connection(Protocol::Icmp.number()), Some(Protocol::Icmp));
    }
}
