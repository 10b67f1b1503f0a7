//! What the director is to its VIPs: the one that answers for them, or one that is ready to. Under "follow" that is said for
//! each of them, by who has them in the kernel.

use crate::{
    named::named,
    option,
    packet::PortId,
    service::option::{Kind, Opt},
    wire::ethernet::Mac,
    words,
};
use std::{collections::BTreeMap, net::IpAddr};

named! {
    /// What a director is to its VIPs.
    Role {
        /// It answers ARP for them, announces them and opens connections.
        Active = "active",
        /// It polls ports, checks servers and forwards the connections that it has, and says nothing for VIPs.
        Standby = "standby",
        /// It is active for VIPs that the kernel has on a host side, where a VRRP daemon puts them, and on standby for the
        /// others.
        Follow = "follow",
    }
}

words!(Role);

named! {
    /// What is done about addresses of the director that another station has.
    Duplicates {
        /// They are announced at once, and what others say is reported.
        Report = "report",
        /// They are announced when nobody has said for a second that they are theirs, and else left to whoever has them.
        Wait = "wait",
    }
}

words!(Duplicates);

/// Where the kernel has a VIP or a local address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The port on whose host side it is.
    pub port: PortId,
    /// The Ethernet address of the kernel's interface: the port's own, or that of a virtual router (RFC 5798 7.3). The
    /// address is announced and answered with it.
    pub mac: Mac,
}

/// Addresses that the kernel has on host sides.
pub type HeldAddresses = BTreeMap<IpAddr, Held>;

/// What is said of the director as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectorPlan {
    /// What it is to its VIPs.
    pub role: Role,
    /// What is done about addresses that another station has.
    pub duplicate_addresses: Duplicates,
}

#[expect(clippy::derivable_impls, reason = "the values of a named enumeration take no attributes")]
impl Default for Duplicates {
    fn default() -> Self {
        Duplicates::Report
    }
}

#[expect(clippy::derivable_impls, reason = "the values of a named enumeration take no attributes")]
impl Default for Role {
    fn default() -> Self {
        Role::Active
    }
}

impl DirectorPlan {
    /// What can be said of it.
    pub const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            role,
            Kind::Word(Role::NAMES),
            "An `active` director answers ARP for VIPs, announces them and opens connections. One on `standby` says nothing for \
         VIPs and goes on with the connections that it has. With `follow` it is active for VIPs that the kernel has on a \
         `host` side, where keepalived or FRR put them, and on standby for the others; \
         [docs/directors.md](../docs/directors.md)."
        ),
        option!(
            duplicate_addresses,
            Kind::Word(Duplicates::NAMES),
            "Whether another station has an address is always asked. With `report`, addresses are announced at once, and a \
             conflict is reported. With `wait`, they are announced after a second in which nobody said that they were theirs, \
             and else left to whoever has them; [docs/network.md](../docs/network.md#duplicate-addresses)."
        ),
    ];
}
