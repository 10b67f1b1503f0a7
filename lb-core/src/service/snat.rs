//! SNAT as workers see it. A rule is a service of the other direction: its clients are servers that send by themselves,
//! and whoever they ask is its one server, which has no address. So their connections are counted, timed, kept and ended
//! as all others are.

use super::{
    key::{Protocol, ServiceKey},
    plan::{
        InterfacePlan, Method, ModuleKind, Plan, SchedulerKind, ServerPlan, ServicePlan, SnatModules,
        SnatPlan,
    },
    reach::PortRange,
};
use crate::{
    cast::small,
    ids::{InterfaceId, ServiceId},
    limits::{FIRST_LOCAL_PORT, MAX_SNAT_RULES, MAX_SNAT_SOURCES, MIN_SNAT_PORTS},
};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};
use thiserror::Error;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnatRule {
    /// Its number among services: its connections count as that one's.
    pub service: ServiceId,
    /// Networks that servers send from.
    sources: Vec<IpNet>,
    /// By family, IPv4 first: whether it has addresses.
    families: [bool; 2],
    /// The interface that packets leave by; `None` for any.
    interface: Option<InterfaceId>,
}

/// The address of whoever is asked: none in particular.
const ANYBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl SnatRule {
    /// A rule of that number. One whose interface is not there is for nobody.
    pub(super) fn new(rule: &SnatPlan, service: ServiceId, interfaces: &[InterfacePlan]) -> Self {
        let named = |name: &String| interfaces.iter().position(|on| on.name == *name);
        let interface = rule.interface.as_ref().map(named);
        SnatRule {
            service,
            sources: if interface == Some(None) { Vec::new() } else { rule.sources.clone() },
            families: [true, false].map(|v4| rule.addresses.iter().any(|address| address.is_ipv4() == v4)),
            interface: interface.flatten().map(|at| InterfaceId(small(at))),
        }
    }

    /// Whether it is for a server's packets.
    #[must_use]
    pub fn is_for(&self, source: IpAddr) -> bool {
        self.families[usize::from(source.is_ipv6())] && self.sources.iter().any(|net| net.contains(&source))
    }

    /// Whether it is for packets that leave by an interface.
    #[must_use]
    pub fn leaves_by(&self, interface: InterfaceId) -> bool {
        self.interface.is_none_or(|own| own == interface)
    }
}

/// The service that a rule is.
pub(super) fn service_of(rule: &SnatPlan, plan: &Plan) -> ServicePlan {
    // Nobody looks it up by what it is known by.
    let key = ServiceKey::new(Protocol::Tcp, (ANYBODY, 0).into());
    ServicePlan {
        timeouts: plan.timeouts,
        scheduler: SchedulerKind::Rr,
        servers: vec![ServerPlan::new(ANYBODY, 0, 1)],
        local_addresses: rule.addresses.clone(),
        ..ServicePlan::new(&rule.name, key, Method::Snat)
    }
}

/// What is wrong with a rule.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("SNAT rule {name:?}, {key}: {what}; {remedy}")]
pub struct Mistake {
    /// The rule's name.
    pub name: String,
    /// The rule's place among the rules.
    pub rule: usize,
    /// The option that is wrong.
    pub key: &'static str,
    /// The element of it, if it is a list.
    pub element: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// Checks the rules of a plan.
///
/// # Errors
/// The first mistake that is found.
pub(super) fn check(plan: &Plan) -> Result<(), Mistake> {
    mistakes(&plan.snat, &plan.interfaces).into_iter().next().map_or(Ok(()), Err)
}

/// What is wrong with rules, by themselves and beside one another. Whose addresses are is checked with all others'.
#[must_use]
pub fn mistakes(rules: &[SnatPlan], interfaces: &[InterfacePlan]) -> Vec<Mistake> {
    let mut found = Vec::new();
    for (place, rule) in rules.iter().enumerate() {
        let mut wrong = |key, element, what: String, remedy: &str| {
            found.push(Mistake {
                name: rule.name.clone(),
                rule: place,
                key,
                element,
                what,
                remedy: remedy.to_owned(),
            });
        };
        let before = &rules[..place];
        if place == MAX_SNAT_RULES {
            let remedy = format!("use at most {MAX_SNAT_RULES}; a rule can have several networks");
            wrong("name", 0, "is one rule too many".to_owned(), &remedy);
        }
        if before.iter().any(|other| other.name == rule.name) {
            let what = format!("another rule is named {:?}", rule.name);
            wrong("name", 0, what, "give each its own name");
        }
        if rule.sources.is_empty() || rule.sources.len() > MAX_SNAT_SOURCES {
            let what = format!("has {} networks", rule.sources.len());
            wrong(
                "sources",
                0,
                what,
                &format!("write at least one network of servers, at most {MAX_SNAT_SOURCES}"),
            );
        }
        for (element, net) in rule.sources.iter().enumerate() {
            let family = if net.addr().is_ipv4() { "IPv4" } else { "IPv6" };
            if net.prefix_len() == 0 {
                let what = format!("{net} is everybody's, and the director would be an open relay");
                wrong("sources", element, what, "name the networks that servers are on");
            } else if !rule.addresses.is_empty() && !rule.has_family_of(net.addr()) {
                let what = format!("{net} has no address to leave with");
                wrong("sources", element, what, &format!("add an {family} address to `addresses`"));
            } else if let Some(other) = before.iter().find(|other| other.hides(net, rule)) {
                let what =
                    format!("what {net} sends is translated by rule {:?}, which comes first", other.name);
                wrong("sources", element, what, "put this rule first, or give the other an `interface`");
            }
        }
        if rule.addresses.is_empty() {
            let remedy = "write an address that packets leave with, as in `addresses = [\"192.0.2.50\"]`";
            wrong("addresses", 0, "is empty".to_owned(), remedy);
        }
        for (element, address) in rule.addresses.iter().enumerate() {
            if rule.addresses[..element].contains(address) {
                wrong("addresses", element, format!("{address} is there twice"), "remove one");
            }
        }
        let width: u32 = rule.ports.iter().map(|ports| ports.width()).sum();
        if let Some(ports) = rule.ports.iter().find(|ports| ports.first < FIRST_LOCAL_PORT) {
            let what =
                format!("{ports} has ports below {FIRST_LOCAL_PORT}, which are for well-known services");
            wrong("ports", 0, what, &format!("begin at {FIRST_LOCAL_PORT} or above"));
        } else if width < MIN_SNAT_PORTS {
            let what = format!("has {width} ports, which workers share");
            wrong(
                "ports",
                0,
                what,
                &format!("use at least {MIN_SNAT_PORTS}, as in `ports = \"20000-29999\"`"),
            );
        }
        if let Some((what, remedy)) = misread(&rule.modules) {
            wrong("modules", 0, what, remedy);
        }
        if let Some(name) = &rule.interface
            && !interfaces.iter().any(|on| on.name == *name)
        {
            let known: Vec<&str> = interfaces.iter().map(|on| &*on.name).collect();
            let what = format!("there is no port or interface {name:?}");
            wrong("interface", 0, what, &format!("use the name of one: {}", known.join(", ")));
        }
    }
    found
}

/// Ports that a module may read, at most: servers of FTP and IRC have a few.
const MOST_READ: u32 = 1_024;

/// What is wrong with the ports that modules read, and what to do.
fn misread(modules: &SnatModules) -> Option<(String, &'static str)> {
    let of_module = |(module, ports): (ModuleKind, &[PortRange])| {
        let width: u32 = ports.iter().map(|ports| ports.width()).sum();
        (width > MOST_READ).then(|| {
            let what =
                format!("{module} has {width} ports, and all that is said to any of them would be read");
            (what, "write the ports of the servers outside, as in `modules = { ftp = 21, irc = 6667 }`")
        })
    };
    let SnatModules { ftp, irc } = modules;
    let twice = || {
        let both = irc.iter().find(|ports| ftp.iter().any(|other| other.overlaps(**ports)))?;
        Some((format!("{both} is of irc and of ftp"), "give each its own ports"))
    };
    modules.all().into_iter().find_map(of_module).or_else(twice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PortId;

    fn rule(name: &str, sources: &[&str], addresses: &[&str]) -> SnatPlan {
        SnatPlan {
            sources: sources.iter().map(|net| net.parse().unwrap()).collect(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            ..SnatPlan::new(name)
        }
    }

    fn said(rules: &[SnatPlan]) -> Vec<String> {
        let wan = InterfacePlan::new("wan", PortId(0));
        let shown =
            |it: Mistake| format!("{} {}[{}]: {}; {}", it.rule, it.key, it.element, it.what, it.remedy);
        mistakes(rules, &[wan]).into_iter().map(shown).collect()
    }

    #[test]
    fn mistakes_name_what_is_wrong_and_what_to_do() {
        let good = rule("good", &["198.51.100.0/24", "2001:db8:2::/64"], &["192.0.2.50", "2001:db8:1::50"]);
        assert_eq!(said(std::slice::from_ref(&good)), Vec::<String>::new());
        let wan =
            SnatPlan { interface: Some("wan".into()), ..rule("wan", &["198.51.100.0/25"], &["192.0.2.51"]) };
        assert_eq!(said(&[wan.clone(), good.clone()]), Vec::<String>::new(), "the narrower one first");
        let ports = |text: &str| vec![text.parse().unwrap()];
        let narrow =
            SnatPlan { ports: ports("5000-5999"), ..rule("narrow", &["203.0.113.0/24"], &["192.0.2.52"]) };
        let low =
            SnatPlan { ports: ports("80-9000"), interface: Some("lan".into()), ..rule("good", &[], &[]) };
        let open = rule("open", &["0.0.0.0/0", "2001:db8::/32"], &["192.0.2.53", "192.0.2.53"]);
        assert_eq!(
            said(&[good, wan, narrow, low, open]),
            [
                "1 sources[0]: what 198.51.100.0/25 sends is translated by rule \"good\", which comes first; put this \
                 rule first, or give the other an `interface`",
                "2 ports[0]: has 1000 ports, which workers share; use at least 1024, as in `ports = \"20000-29999\"`",
                "3 name[0]: another rule is named \"good\"; give each its own name",
                "3 sources[0]: has 0 networks; write at least one network of servers, at most 64",
                "3 addresses[0]: is empty; write an address that packets leave with, as in `addresses = \
                 [\"192.0.2.50\"]`",
                "3 ports[0]: 80-9000 has ports below 1024, which are for well-known services; begin at 1024 or above",
                "3 interface[0]: there is no port or interface \"lan\"; use the name of one: wan",
                "4 sources[0]: 0.0.0.0/0 is everybody's, and the director would be an open relay; name the networks \
                 that servers are on",
                "4 sources[1]: 2001:db8::/32 has no address to leave with; add an IPv6 address to `addresses`",
                "4 addresses[1]: 192.0.2.53 is there twice; remove one",
            ]
        );
    }
    #[test]
    fn modules_read_a_few_ports_each() {
        let with = |ftp: &str, irc: &str| {
            let ports = |text: &str| {
                text.split(' ').filter(|it| !it.is_empty()).map(|it| it.parse().unwrap()).collect()
            };
            let modules = SnatModules { ftp: ports(ftp), irc: ports(irc) };
            said(&[SnatPlan { modules, ..rule("rule", &["198.51.100.0/24"], &["192.0.2.50"]) }])
        };
        assert_eq!(with("21 2121", "6660-6669 7000"), Vec::<String>::new());
        let both = "0 modules[0]: 6000-6999 is of irc and of ftp; give each its own ports";
        assert_eq!(with("21 6667", "6000-6999"), [both]);
        let all = "0 modules[0]: irc has 65536 ports, and all that is said to any of them would be read; write the ports \
                   of the servers outside, as in `modules = { ftp = 21, irc = 6667 }`";
        assert_eq!(with("", "any"), [all]);
    }
}
