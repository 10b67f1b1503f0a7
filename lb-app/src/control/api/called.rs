//! What clients call a service: its name, or its address and port.

use super::{
    answer::not_found,
    keys::{meant, told},
};
use lb_core::service::{
    plan::{Plan, ServicePlan},
    reach::Claim,
};
use lb_ctl::protocol::{Code, Protocol, Refusal, keys::Target};
use std::net::SocketAddr;

/// The service that is called so.
pub(super) fn service<'a>(plan: &'a Plan, called: &str) -> Result<&'a ServicePlan, Refusal> {
    if let Some(service) = plan.service_named(called) {
        return Ok(service);
    }
    let endpoint: Option<SocketAddr> = called.parse().ok();
    let at = |service: &&ServicePlan| endpoint.is_some_and(|endpoint| service.key().endpoint() == endpoint);
    let mut found: Vec<&ServicePlan> = plan.services.iter().filter(at).collect();
    if found.is_empty() {
        // Of those of several addresses and ports, each is good for a name, if it is one service's.
        let has = |service: &&ServicePlan| {
            let is_it = |claim: Claim| {
                endpoint.is_some_and(|at| claim.vip == at.ip() && claim.ports.contains(at.port()))
            };
            service.reach().claims().any(is_it) || service.reach().to_string() == called
        };
        found = plan.services.iter().filter(has).collect();
    }
    match found[..] {
        [service] => Ok(service),
        [] => Err(not_found("service", called, names(plan))),
        _ => {
            let names: Vec<&str> = found.iter().map(|service| service.name.as_str()).collect();
            let what =
                format!("several services are at {called}: use one of their names: {}", names.join(", "));
            Err(Refusal::new(Code::Invalid, what))
        }
    }
}

/// Where packets to it go, whose protocol is stated beside it.
pub(super) fn endpoint(plan: &Plan, protocol: Protocol, target: &Target) -> Result<SocketAddr, Refusal> {
    let name = match target {
        Target::At(endpoint) if endpoint.port() > 0 || protocol == Protocol::Icmp => return Ok(*endpoint),
        Target::At(endpoint) => {
            let what = format!("{endpoint}: port 0 is no service's; only who is asked for an echo has it");
            return Err(Refusal::new(Code::Invalid, what));
        }
        Target::Service(name) => name,
    };
    let service = plan.service_named(name).ok_or_else(|| not_found("service", name, names(plan)))?;
    if !service.reach().protocols().any(|one| one == meant(protocol)) {
        let what = format!("service {name} is {}, not {}", told(service.protocol).upper(), protocol.upper());
        return Err(Refusal::new(Code::Invalid, what));
    }
    let endpoint = service.key().endpoint();
    if endpoint.port() == 0 {
        let what =
            format!("service {name} has any port: write an address and a port, as in {}:80", endpoint.ip());
        return Err(Refusal::new(Code::Invalid, what));
    }
    Ok(endpoint)
}

fn names(plan: &Plan) -> impl Iterator<Item = String> {
    plan.services.iter().map(|service| service.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::service::{key::ServiceKey, plan::Method};

    fn plan() -> Plan {
        let service = |name: &str, protocol, port| {
            let key = ServiceKey::new(meant(protocol), SocketAddr::new([192, 0, 2, 100].into(), port));
            ServicePlan::new(name.to_owned(), key, Method::Nat)
        };
        Plan {
            services: vec![
                service("web", Protocol::Tcp, 80),
                service("dns", Protocol::Udp, 53),
                service("dns-tcp", Protocol::Tcp, 53),
            ],
            ..Plan::default()
        }
    }

    #[test]
    fn a_service_is_called_by_name_or_by_address() {
        let plan = plan();
        let called = |called: &str| service(&plan, called).map(|service| service.name.clone());
        assert_eq!(called("web").unwrap(), "web");
        assert_eq!(called("192.0.2.100:80").unwrap(), "web");
        assert_eq!(called("dns").unwrap(), "dns");
        assert_eq!(
            called("192.0.2.100:53").unwrap_err().message,
            "several services are at 192.0.2.100:53: use one of their names: dns, dns-tcp"
        );
        assert_eq!(
            called("wbe").unwrap_err().message,
            "unknown service \"wbe\"; did you mean \"web\"? known: web, dns, dns-tcp"
        );
        assert_eq!(called("192.0.2.100:81").unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn services_that_share_an_address_and_port_are_called_by_name() {
        let mut plan = plan();
        let mut tenant = plan.services[0].clone();
        tenant.name = "tenant".to_owned();
        tenant.beside.from = vec!["203.0.113.0/24".parse().unwrap()];
        plan.services.push(tenant);
        assert_eq!(service(&plan, "tenant").unwrap().name, "tenant");
        assert_eq!(
            service(&plan, "192.0.2.100:80").unwrap_err().message,
            "several services are at 192.0.2.100:80: use one of their names: web, tenant"
        );
        let keys: Vec<String> = plan.services.iter().map(|service| service.key().to_string()).collect();
        assert_eq!((keys[0].as_str(), keys[3].as_str()), ("tcp 192.0.2.100:80", "tcp 192.0.2.100:80 tenant"));
    }

    #[test]
    fn a_target_is_a_service_of_its_protocol() {
        let plan = plan();
        let at = |protocol, target: &str| endpoint(&plan, protocol, &Target::from(target.to_owned()));
        assert_eq!(at(Protocol::Tcp, "web").unwrap().to_string(), "192.0.2.100:80");
        assert_eq!(at(Protocol::Tcp, "203.0.113.1:9").unwrap().to_string(), "203.0.113.1:9");
        assert_eq!(at(Protocol::Tcp, "dns").unwrap_err().message, "service dns is UDP, not TCP");
        assert_eq!(at(Protocol::Icmp, "203.0.113.1:0").unwrap().to_string(), "203.0.113.1:0");
        assert!(at(Protocol::Tcp, "203.0.113.1:0").unwrap_err().message.contains("port 0"));
        assert_eq!(at(Protocol::Udp, "nothing").unwrap_err().code, Code::NotFound);
    }
}
