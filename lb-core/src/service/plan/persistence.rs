//! Persistence of a service: for how long a client stays with its server.

use crate::{
    option,
    service::option::{Kind, Opt, Scope},
    time::Duration,
};
use ipnet::IpNet;
use std::net::IpAddr;

/// For how long clients of a service stay with their servers, and who is one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersistencePlan {
    /// How long after its last connection opened, at least; 0 if clients do not stay.
    pub timeout: Duration,
    /// Bits of an address that are one client's.
    pub prefix: u32,
    /// A client does not stay with a server that takes no new connections: IPVS's `expire_quiescent_template`.
    pub expire_quiescent: bool,
}

impl Default for PersistencePlan {
    fn default() -> Self {
        PersistencePlan { timeout: Duration::ZERO, prefix: 128, expire_quiescent: false }
    }
}

impl PersistencePlan {
    /// What can be said of it.
    pub const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            timeout,
            Kind::Duration,
            "How long a client stays with its server after its last connection opened, and at least while it has one. \
             ipvsadm: `-p`."
        )
        .scope(Scope::Everywhere),
        option!(
            prefix,
            Kind::number(1, 128),
            "Bits of addresses that are one client's, as in 24 for networks like 203.0.113.0/24; of IPv4 at most 32 \
             count. ipvsadm: `-M`."
        )
        .scope(Scope::Everywhere),
        option!(
            expire_quiescent,
            Kind::Flag,
            "Clients do not stay with a server of weight 0, or one that is drained. IPVS: `expire_quiescent_template`."
        )
        .scope(Scope::Everywhere),
    ];

    /// Whether clients stay.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.timeout > Duration::ZERO
    }

    /// The first address of a client's network.
    #[must_use]
    pub fn network_of(&self, client: IpAddr) -> IpAddr {
        let most: u32 = if client.is_ipv4() { 32 } else { 128 };
        let prefix = u8::try_from(self.prefix.min(most)).unwrap_or(u8::MAX);
        IpNet::new(client, prefix).map_or(client, |network| network.network())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network() {
        let network = |prefix, client: &str| {
            PersistencePlan { prefix, ..PersistencePlan::default() }
                .network_of(client.parse().unwrap())
                .to_string()
        };
        assert_eq!(network(128, "203.0.113.9"), "203.0.113.9");
        assert_eq!(network(24, "203.0.113.9"), "203.0.113.0");
        assert_eq!(network(56, "2001:db8:0:1ff::9"), "2001:db8:0:100::");
        assert_eq!(network(128, "2001:db8::9"), "2001:db8::9");
    }
}
