//! What a packet to a server under TUN is wrapped in: the ways in which an IP packet travels inside another one.

use crate::{
    cast::small,
    named::named,
    wire::{gre, gue, ipv4, ipv6, udp},
};
use std::net::IpAddr;

named! {
    /// What stands between the outer IP header and the packet.
    Encapsulation {
        /// Nothing: RFC 2003, RFC 4213, RFC 2473.
        Ipip = "ipip",
        /// A header of GRE, RFC 2784.
        Gre = "gre",
        /// A header of UDP and one of GUE, variant 0 of draft-ietf-intarea-gue 3: what Linux calls `gue`.
        Gue = "gue",
        /// A header of UDP only, variant 1 of draft-ietf-intarea-gue 4: the packet's first bits tell its family.
        Gue1 = "gue1",
    }
}

/// How packets to one server are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// What stands between the headers.
    pub kind: Encapsulation,
    /// The UDP port that packets are sent to, under GUE.
    pub port: u16,
    /// Whether GRE's, or UDP's, checksum covers the packet.
    pub checksum: bool,
}

impl Encapsulation {
    /// Whether a header of UDP is part of it.
    #[must_use]
    pub const fn is_udp(self) -> bool {
        match self {
            Encapsulation::Gue | Encapsulation::Gue1 => true,
            Encapsulation::Ipip | Encapsulation::Gre => false,
        }
    }

    /// Whether it can have a checksum over the packet.
    #[must_use]
    pub const fn has_checksum(self) -> bool {
        match self {
            Encapsulation::Gre | Encapsulation::Gue | Encapsulation::Gue1 => true,
            Encapsulation::Ipip => false,
        }
    }
}

impl Tunnel {
    /// The plainest of all.
    pub const IPIP: Tunnel = Tunnel { kind: Encapsulation::Ipip, port: gue::PORT, checksum: false };

    /// Bytes between the outer IP header and the packet.
    #[must_use]
    pub const fn shim_len(self) -> usize {
        match self.kind {
            Encapsulation::Ipip => 0,
            Encapsulation::Gre => gre::header_len(self.checksum),
            Encapsulation::Gue => udp::HEADER_LEN + gue::HEADER_LEN,
            Encapsulation::Gue1 => udp::HEADER_LEN,
        }
    }

    /// Bytes that packets to a server of that address grow by.
    #[must_use]
    pub const fn overhead(self, server: IpAddr) -> u16 {
        let outer = match server {
            IpAddr::V4(_) => ipv4::HEADER_LEN,
            IpAddr::V6(_) => ipv6::HEADER_LEN,
        };
        small(outer + self.shim_len())
    }
}

impl std::fmt::Display for Tunnel {
    /// In ipvsadm's words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.name())?;
        if self.kind.is_udp() {
            write!(f, " port {}", self.port)?;
        }
        f.write_str(if self.checksum { " csum" } else { "" })
    }
}
