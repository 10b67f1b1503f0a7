//! Which clients a service is for: what can be wrong with `from` and `on`, by themselves. What several services have in common
//! is [`overlaps`](super::overlaps::overlaps)' business.

use super::plan::{InterfacePlan, ServicePlan};
use crate::limits::{MAX_CLAIMS_OF_SERVICE, MAX_LABEL, MAX_SOURCES_OF_SERVICE};
use thiserror::Error;

/// What is wrong.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("service {service:?}, {key}: {what}; {remedy}")]
pub struct Mistake {
    /// The service's name.
    pub service: String,
    /// The option that is wrong.
    pub key: &'static str,
    /// The element of it, if one is; else all of it is.
    pub element: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// What is wrong with which clients a service is for.
#[must_use]
pub fn mistakes(service: &ServicePlan, interfaces: &[InterfacePlan]) -> Vec<Mistake> {
    let mut found = Vec::new();
    let beside = &service.beside;
    if !beside.is_choosy() {
        return found;
    }
    let mut wrong = |key, element, what: String, remedy: String| {
        found.push(Mistake { service: service.name.clone(), key, element, what, remedy });
    };
    if service.name.len() > MAX_LABEL {
        let what =
            format!("has {} bytes, and a service with `from` or `on` is known by it", service.name.len());
        wrong("name", None, what, format!("use at most {MAX_LABEL}"));
    }
    let one = |key: &str| if key == "from" { "networks" } else { "names" };
    let mut is_too_long = false;
    for (key, count) in [("from", beside.from.len()), ("on", beside.on.len())] {
        if count > MAX_SOURCES_OF_SERVICE {
            is_too_long = true;
            let what = format!("has {count} {}", one(key));
            wrong(key, None, what, format!("use at most {MAX_SOURCES_OF_SERVICE}, or make another service"));
        }
    }
    let count = service.reach().count_by_client();
    if count > MAX_CLAIMS_OF_SERVICE && !is_too_long {
        let key = if beside.from.is_empty() { "on" } else { "from" };
        let what =
            format!("protocols, addresses, ports, networks and ports of arrival make {count} combinations");
        wrong(key, None, what, format!("use at most {MAX_CLAIMS_OF_SERVICE}, or make several services"));
    }
    for (element, network) in beside.from.iter().enumerate() {
        if network.addr().is_ipv4() != service.vip.is_ipv4() {
            let family = if service.vip.is_ipv4() { "IPv4" } else { "IPv6" };
            let what = format!("{network} has no clients of {}, which is of {family}", service.vip);
            wrong(
                "from",
                Some(element),
                what,
                format!("use networks of {family}, or make a service for each family"),
            );
        }
    }
    for (element, name) in beside.on.iter().enumerate() {
        if !interfaces.iter().any(|on| on.name == *name) {
            let known: Vec<&str> = interfaces.iter().map(|on| &*on.name).collect();
            let what = format!("there is no port or interface {name:?}");
            wrong("on", Some(element), what, format!("use the name of one: {}", known.join(", ")));
        }
    }
    found
}

/// Checks which clients a service is for.
///
/// # Errors
/// The first mistake that is found.
pub(super) fn check(service: &ServicePlan, interfaces: &[InterfacePlan]) -> Result<(), Mistake> {
    mistakes(service, interfaces).into_iter().next().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{packet::PortId, service::plan::Method};

    #[test]
    fn mistakes_name_what_is_wrong_and_what_to_do() {
        let web = ServicePlan::new("web", "tcp 192.0.2.100:80".parse().unwrap(), Method::Nat);
        let said = |name: &str, from: Vec<&str>, on: Vec<&str>, ports: u16| -> Vec<String> {
            let mut service = ServicePlan { name: name.to_owned(), ..web.clone() };
            service.beside.from = from.iter().map(|net| net.parse().unwrap()).collect();
            service.beside.on = on.iter().map(|&name| name.to_owned()).collect();
            service.beside.ports = (1..=ports).map(|port| format!("{port}").parse().unwrap()).collect();
            let interfaces = ["wan", "lan"].map(|name| InterfacePlan::new(name, PortId(0)));
            let shown = |it: Mistake| format!("{}[{:?}]: {}; {}", it.key, it.element, it.what, it.remedy);
            mistakes(&service, &interfaces).into_iter().map(shown).collect()
        };
        let long = "w".repeat(65);
        let none: [String; 0] = [];
        assert_eq!(said("web", vec!["203.0.113.0/24"], vec!["wan", "lan"], 0), none);
        assert_eq!(said(&long, vec![], vec![], 0), none, "it is not known by its name");
        assert_eq!(
            said(&long, vec!["203.0.113.0/24", "2001:db8::/32"], vec!["wna"], 0),
            [
                "name[None]: has 65 bytes, and a service with `from` or `on` is known by it; use at most 64",
                "from[Some(1)]: 2001:db8::/32 has no clients of 192.0.2.100, which is of IPv4; use networks of IPv4, or \
                 make a service for each family",
                "on[Some(0)]: there is no port or interface \"wna\"; use the name of one: wan, lan",
            ]
        );
        assert_eq!(
            said("web", vec!["203.0.113.0/24"; 65], vec![], 64),
            ["from[None]: has 65 networks; use at most 64, or make another service"]
        );
        assert_eq!(
            said("web", vec!["203.0.113.0/24"; 64], vec!["wan"; 5], 64),
            [
                "from[None]: protocols, addresses, ports, networks and ports of arrival make 20480 combinations; use at \
                 most 16384, or make several services"
            ]
        );
    }
}
