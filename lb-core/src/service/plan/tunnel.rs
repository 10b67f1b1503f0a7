//! How servers under TUN get their packets, as the operator says it: of a service, and of a server that differs from it.

use crate::{
    conn::tunnel::{Encapsulation, Tunnel},
    named::named,
    wire::gue,
};
use std::net::IpAddr;

named! {
    /// What the operator says of something that is on or off, or follows from other things.
    Choice {
        /// As it is usual.
        Default = "default",
        /// It is.
        On = "on",
        /// It is not.
        Off = "off",
    }
}

impl Choice {
    /// Whether it is on.
    #[must_use]
    pub const fn or(self, usual: bool) -> bool {
        match self {
            Choice::Default => usual,
            Choice::On => true,
            Choice::Off => false,
        }
    }
}

/// How a service's packets are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelPlan {
    /// What stands between the headers.
    pub kind: Encapsulation,
    /// The servers' UDP port, under GUE.
    pub port: u16,
    /// Whether a checksum covers the packet.
    pub checksum: Choice,
}

impl Default for TunnelPlan {
    fn default() -> Self {
        TunnelPlan { kind: Encapsulation::Ipip, port: gue::PORT, checksum: Choice::Default }
    }
}

/// What is different for one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnTunnel {
    /// What stands between the headers; nothing if as for the service.
    pub kind: Option<Encapsulation>,
    /// The UDP port, under GUE; 0 if as for the service.
    pub port: u16,
    /// Whether a checksum covers the packet.
    pub checksum: Choice,
}

impl Default for OwnTunnel {
    fn default() -> Self {
        OwnTunnel { kind: None, port: 0, checksum: Choice::Default }
    }
}

impl TunnelPlan {
    /// How packets to a server of that address are wrapped. A datagram of IPv6 has a checksum unless it is forbidden: RFC
    /// 6935 allows tunnels to do without.
    #[must_use]
    pub fn with(self, own: OwnTunnel, server: IpAddr) -> Tunnel {
        let kind = own.kind.unwrap_or(self.kind);
        let usual = self.checksum.or(kind.is_udp() && server.is_ipv6());
        Tunnel {
            kind,
            port: if own.port == 0 { self.port } else { own.port },
            checksum: kind.has_checksum() && own.checksum.or(usual),
        }
    }

    /// What is said of a service whose packets go through no tunnel, or of a checksum that its kind does not have; and what
    /// to do about it.
    #[must_use]
    pub fn mistake(self, tunnels: bool) -> Option<Misfit> {
        let usual = TunnelPlan::default();
        if !tunnels {
            return (self != usual).then_some(Misfit::NoTunnel);
        }
        (self.checksum == Choice::On && !self.kind.has_checksum()).then_some(Misfit::NoChecksum)
    }
}

impl OwnTunnel {
    /// The same of one server of a service.
    #[must_use]
    pub fn mistake(self, tunnels: bool, service: TunnelPlan) -> Option<Misfit> {
        if !tunnels {
            return (self != OwnTunnel::default()).then_some(Misfit::NoTunnel);
        }
        let kind = self.kind.unwrap_or(service.kind);
        if self.port != 0 && !kind.is_udp() {
            return Some(Misfit::NoPort);
        }
        (self.checksum == Choice::On && !kind.has_checksum()).then_some(Misfit::NoChecksum)
    }
}

/// What of a tunnel does not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The method is not TUN.
    NoTunnel,
    /// The kind has no port.
    NoPort,
    /// The kind has no checksum.
    NoChecksum,
}

impl Misfit {
    /// The option that is wrong, if one is.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Misfit::NoTunnel => "tunnel",
            Misfit::NoPort => "tunnel_port",
            Misfit::NoChecksum => "tunnel_checksum",
        }
    }

    /// What is wrong, and what to do about it.
    #[must_use]
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            Misfit::NoTunnel => {
                ("tunnels are for method tun", "remove `tunnel`, `tunnel_port` and `tunnel_checksum`")
            }
            Misfit::NoPort => ("only gue and gue1 have a port", "remove it, or set `tunnel = \"gue\"`"),
            Misfit::NoChecksum => {
                ("ipip has no checksum over the packet", "remove it, or set `tunnel` to gre, gue or gue1")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Encapsulation::{Gre, Gue, Gue1, Ipip};
    use std::net::{Ipv4Addr, Ipv6Addr};

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn own(kind: Encapsulation, checksum: Choice) -> OwnTunnel {
        OwnTunnel { kind: Some(kind), checksum, ..OwnTunnel::default() }
    }

    #[test]
    fn a_server_differs_from_its_service_where_it_says_so() {
        let usual = TunnelPlan::default();
        let shown = |plan: TunnelPlan, own, to| plan.with(own, to).to_string();
        assert_eq!(usual.with(OwnTunnel::default(), V4), Tunnel::IPIP);
        assert_eq!(shown(usual, own(Gue, Choice::Default), V4), "gue port 6080");
        assert_eq!(shown(usual, own(Gue, Choice::Default), V6), "gue port 6080 csum", "RFC 8200 8.1");
        assert_eq!(shown(usual, own(Gue1, Choice::Off), V6), "gue1 port 6080", "RFC 6935 allows it");
        assert_eq!(shown(usual, own(Gre, Choice::Default), V6), "gre");
        let service = TunnelPlan { kind: Gue, port: 7000, checksum: Choice::On };
        assert_eq!(shown(service, OwnTunnel::default(), V4), "gue port 7000 csum");
        assert_eq!(shown(service, OwnTunnel { port: 7001, ..own(Gue, Choice::Off) }, V4), "gue port 7001");
        assert_eq!(service.with(own(Ipip, Choice::Default), V4).shim_len(), 0);
        assert!(!service.with(own(Ipip, Choice::Default), V4).checksum, "there is none");
    }

    #[test]
    fn overheads_are_those_of_the_headers() {
        let overhead = |kind, checksum, to| {
            let checksum = if checksum { Choice::On } else { Choice::Off };
            TunnelPlan::default().with(own(kind, checksum), to).overhead(to)
        };
        for (kind, plain, summed) in [(Ipip, 20, 20), (Gre, 24, 28), (Gue, 32, 32), (Gue1, 28, 28)] {
            assert_eq!((overhead(kind, false, V4), overhead(kind, true, V4)), (plain, summed), "{kind}");
            assert_eq!((overhead(kind, false, V6), overhead(kind, true, V6)), (plain + 20, summed + 20));
        }
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let usual = TunnelPlan::default();
        let gue = TunnelPlan { kind: Gue, ..usual };
        assert_eq!(usual.mistake(false), None);
        assert_eq!(gue.mistake(false), Some(Misfit::NoTunnel));
        assert_eq!(TunnelPlan { checksum: Choice::On, ..usual }.mistake(true), Some(Misfit::NoChecksum));
        let default = OwnTunnel::default();
        assert_eq!(default.mistake(false, usual), None);
        assert_eq!(own(Gre, Choice::Default).mistake(false, usual), Some(Misfit::NoTunnel));
        assert_eq!(OwnTunnel { port: 1, ..default }.mistake(true, usual), Some(Misfit::NoPort));
        assert_eq!(OwnTunnel { port: 1, ..default }.mistake(true, gue), None);
        assert_eq!(own(Ipip, Choice::On).mistake(true, gue), Some(Misfit::NoChecksum));
    }
}
