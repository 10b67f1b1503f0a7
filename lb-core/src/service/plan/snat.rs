//! SNAT: what servers send by themselves through the director, their default gateway, as the operator wants it.

use super::SnatModules;
use crate::{
    limits::FIRST_LOCAL_PORT,
    option,
    service::{
        option::{Kind, Opt, Value, fields, from_table, to_table},
        reach::PortRange,
    },
};
use ipnet::IpNet;
use std::net::IpAddr;

/// One rule: what comes from these networks leaves with one of these addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnatPlan {
    /// The operator's name for it.
    pub name: String,
    /// Networks that servers send from. A single server is a network, too.
    pub sources: Vec<IpNet>,
    /// The director's addresses that packets leave with, of one family or both.
    pub addresses: Vec<IpAddr>,
    /// Ports that they leave with.
    pub ports: Vec<PortRange>,
    /// The name of the interface that packets leave by, if they are to leave by that only.
    pub interface: Option<String>,
    /// What reads connections that may be followed by others from outside.
    pub modules: SnatModules,
}

/// Ports where nothing is said of them: all that local addresses have.
const EVERY_PORT: PortRange = PortRange { first: FIRST_LOCAL_PORT, last: u16::MAX };

impl SnatPlan {
    /// What can be said of it.
    pub const OPTIONS: &'static [Opt<Self>] = &[
        option!(name, Kind::Name, "What it is called in listings and messages.").required("\"outbound\""),
        option!(
            sources,
            Kind::List(&Kind::Network),
            "Networks of servers whose own connections are translated. Of several rules for one server, the first that \
             has its network, an address of its family and the right interface."
        )
        .required("[\"198.51.100.0/24\"]"),
        option!(
            addresses,
            Kind::List(&Kind::Address),
            "Addresses of the director that packets leave with: nobody else's, no VIPs, and answered for as VIPs are. \
             Those of both families may be here. Each has 60,000 connections with each address and port outside. One that \
             is removed serves its connections until they end."
        )
        .required("[\"192.0.2.50\"]"),
        Opt::<Self>::new(
            "ports",
            Kind::Ports,
            "Ports that packets leave with: from 1024 on, at least 1024 in all. They are shared out among workers.",
            |rule| Some(Value::List(rule.ports.iter().map(|ports| ports.to_value()).collect())),
            |rule, value| {
                let Value::List(values) = value else { return false };
                let ports: Option<Vec<_>> = values.iter().map(PortRange::from_value).collect();
                ports.map(|ports| rule.ports = ports).is_some()
            },
        )
        .example("\"20000-29999\""),
        option!(
            interface,
            Kind::Name,
            "The port or interface that packets leave by: what would leave by another is not translated, and ends."
        )
        .default("any"),
        Opt::<Self>::new(
            "modules",
            Kind::Table(|| fields(SnatModules::OPTIONS)),
            "What reads connections of which further ones follow, by the ports of those who are asked, as in \
             `modules = { ftp = 21, irc = 6667 }`. A change is for connections that begin then.",
            |rule| Some(to_table(SnatModules::OPTIONS, &rule.modules)),
            |rule, value| {
                // What is not said is read no more.
                let mut modules = SnatModules::default();
                let is_set = from_table(SnatModules::OPTIONS, &mut modules, value);
                rule.modules = modules;
                is_set
            },
        )
        .default("none"),
    ];

    /// A rule for nobody.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        SnatPlan {
            name: name.into(),
            sources: Vec::new(),
            addresses: Vec::new(),
            ports: vec![EVERY_PORT],
            interface: None,
            modules: SnatModules::default(),
        }
    }

    /// Whether it has an address of the same family as `other`.
    #[must_use]
    pub fn has_family_of(&self, other: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.is_ipv4() == other.is_ipv4())
    }

    /// Whether all that a network of another rule sends is translated by this one, which comes first.
    #[must_use]
    pub fn hides(&self, network: &IpNet, other: &SnatPlan) -> bool {
        self.sources.iter().any(|own| own.contains(network))
            && self.has_family_of(network.addr())
            && (self.interface.is_none() || self.interface == other.interface)
    }
}
