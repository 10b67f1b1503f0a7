//! Persistence of a service: for how long a client stays with its server.

use crate::{
    named::named,
    option,
    sched::call,
    service::option::{Kind, Opt, Scope},
    time::Duration,
};
use ipnet::IpNet;
use std::net::IpAddr;

named! {
    /// What clients are known by.
    PersistBy {
        /// Their addresses.
        Address = "address",
        /// The Call-IDs of their datagrams, among those of each network: IPVS's engine `sip` (`ip_vs_pe_sip.c`). What has none
        /// goes by address.
        SipCallId = "sip-call-id",
    }
}

/// For how long clients of a service stay with their servers, and who is one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersistencePlan {
    /// How long after its last connection opened, at least; 0 if clients do not stay.
    pub timeout: Duration,
    /// Bits of an address that are one client's; 0 for calls, whatever address they come from.
    pub prefix: u32,
    /// What clients are known by.
    pub by: PersistBy,
    /// A client does not stay with a server that takes no new connections: IPVS's `expire_quiescent_template`.
    pub expire_quiescent: bool,
}

impl Default for PersistencePlan {
    fn default() -> Self {
        PersistencePlan {
            timeout: Duration::ZERO,
            prefix: 128,
            by: PersistBy::Address,
            expire_quiescent: false,
        }
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
            Kind::number(0, 128),
            "Bits of addresses that are one client's, as in 24 for networks like 203.0.113.0/24; of IPv4 at most 32 \
             count. 0 goes with `by = \"sip-call-id\"` only: calls from any address. ipvsadm: `-M`."
        )
        .scope(Scope::Everywhere),
        option!(
            by,
            Kind::Word(PersistBy::NAMES),
            "What clients are known by. `sip-call-id`, for UDP, has each call a server of its own: datagrams of SIP with the \
             same Call-ID from the same network go to the same server. ipvsadm: `--pe sip`."
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

    /// Whom an entry is of: a client's network, or the call of that name among the network's.
    #[must_use]
    pub fn client(&self, client: IpAddr, call_id: Option<&[u8]>) -> IpAddr {
        match (self.by, call_id) {
            (PersistBy::SipCallId, Some(call_id)) => {
                call::name(call_id, network(client, self.prefix).network())
            }
            (PersistBy::Address | PersistBy::SipCallId, _) => self.network_of(client),
        }
    }

    /// Whom an entry is of that another director knows by a call of that network's; nothing where calls are not told apart,
    /// or those of other networks.
    #[must_use]
    pub fn call_of(&self, of: IpAddr, call_id: &[u8]) -> Option<IpAddr> {
        let is_one = self.by == PersistBy::SipCallId && network(of, self.prefix).network() == of;
        is_one.then(|| call::name(call_id, of))
    }

    /// Whether there can be an entry of that client: it is a network as they are told apart here, or a call.
    #[must_use]
    pub fn has(&self, client: IpAddr) -> bool {
        match call::is_call(client) {
            true => self.by == PersistBy::SipCallId,
            false => self.network_of(client) == client,
        }
    }

    /// The network that a client is for people.
    #[must_use]
    pub fn shown(&self, client: IpAddr) -> IpNet {
        // Those without a call are told apart even so.
        let whole = call::is_call(client) || self.prefix == 0;
        if whole { client.into() } else { network(client, self.prefix) }
    }

    /// The first address of a client's network.
    #[must_use]
    pub fn network_of(&self, client: IpAddr) -> IpAddr {
        self.shown(client).network()
    }

    /// Whether a client may be in one of these networks, as a call may; nothing is all clients.
    #[must_use]
    pub fn may_be_from(&self, client: IpAddr, networks: &[IpNet]) -> bool {
        let is_in = |net: &IpNet| net.contains(&client) || self.network_of(net.addr()) == client;
        networks.is_empty() || call::is_call(client) || networks.iter().any(is_in)
    }
}

/// The network of so many bits that an address is in; of IPv4 at most 32 count.
fn network(address: IpAddr, prefix: u32) -> IpNet {
    let most: u32 = if address.is_ipv4() { 32 } else { 128 };
    let prefix = u8::try_from(prefix.min(most)).unwrap_or(u8::MAX);
    IpNet::new(address, prefix).unwrap_or_else(|_| address.into())
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
        assert_eq!([network(0, "203.0.113.9"), network(0, "2001:db8::9")], ["203.0.113.9", "2001:db8::9"]);
    }

    #[test]
    fn a_call_is_one_among_those_of_a_network() {
        let plan = |prefix, by| PersistencePlan { prefix, by, ..PersistencePlan::default() };
        let of = |plan: &PersistencePlan, client: &str, id: Option<&str>| {
            plan.client(client.parse().unwrap(), id.map(str::as_bytes))
        };
        let calls = plan(24, PersistBy::SipCallId);
        let call = of(&calls, "203.0.113.9", Some("1@x"));
        assert_eq!(call, of(&calls, "203.0.113.10", Some("1@x")));
        assert_ne!(call, of(&calls, "203.0.113.9", Some("2@x")));
        assert_ne!(call, of(&calls, "203.0.114.9", Some("1@x")));
        assert!(calls.has(call) && !plan(24, PersistBy::Address).has(call));
        assert_eq!(calls.shown(call).to_string(), format!("{call}/128"));
        assert_eq!(of(&calls, "203.0.113.9", None).to_string(), "203.0.113.0");
        assert_eq!(of(&plan(24, PersistBy::Address), "203.0.113.9", Some("1@x")).to_string(), "203.0.113.0");
        let anywhere = plan(0, PersistBy::SipCallId);
        assert_eq!(of(&anywhere, "203.0.113.9", Some("1@x")), of(&anywhere, "198.18.0.1", Some("1@x")));
    }

    #[test]
    fn a_client_may_be_from_a_network_that_it_is_in_or_has_in_it() {
        let may = |prefix, client: &str, from: &[&str]| {
            let from: Vec<IpNet> = from.iter().map(|net| net.parse().unwrap()).collect();
            PersistencePlan { prefix, ..PersistencePlan::default() }
                .may_be_from(client.parse().unwrap(), &from)
        };
        assert!(may(24, "203.0.113.0", &[]));
        assert!(may(24, "203.0.113.0", &["198.18.0.0/15", "203.0.0.0/16"]));
        assert!(may(24, "203.0.113.0", &["203.0.113.128/25"]));
        assert!(!may(24, "203.0.113.0", &["203.0.112.0/24", "2001:db8::/32"]));
    }
}
