//! Local addresses of FullNAT, what follows from their family, and how servers are told whom they stand for.

use super::error::PlanError;
use crate::service::plan::{Plan, Protocol, ServicePlan};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

/// Under FullNAT there are some, of one family.
pub(super) fn check(service: &ServicePlan) -> Result<(), PlanError> {
    let addresses = &service.local_addresses;
    if !service.method.hides_clients() {
        return if addresses.is_empty() { Ok(()) } else { Err(PlanError::LocalAddresses(service.method)) };
    }
    if addresses.is_empty() {
        return Err(PlanError::NoLocalAddresses);
    }
    if service.adopt {
        return Err(PlanError::Adopt);
    }
    let one = addresses[0];
    if let Some(&other) = addresses.iter().find(|address| address.is_ipv4() != one.is_ipv4()) {
        return Err(PlanError::LocalAddressesOfFamilies { service: service.name.clone(), one, other });
    }
    let mut seen = HashSet::new();
    match addresses.iter().find(|address| !seen.insert(**address)) {
        Some(&address) => Err(PlanError::SameLocalAddress { service: service.name.clone(), address }),
        None => Ok(()),
    }
}

/// Packets to an address of IPv4 become IPv6's, or they do not.
pub(super) fn check_translated(plan: &Plan) -> Result<(), PlanError> {
    let mut users: HashMap<IpAddr, &ServicePlan> = HashMap::new();
    for service in &plan.services {
        for address in service.reach().vips().chain(service.local_addresses.iter().copied()) {
            let first = *users.entry(address).or_insert(service);
            if address.is_ipv4() && first.translates() != service.translates() {
                let (one, other) = (first.name.clone(), service.name.clone());
                return Err(PlanError::Translated { address, one, other });
            }
        }
    }
    for rule in &plan.snat {
        let translated = |address: &&IpAddr| {
            address.is_ipv4() && users.get(address).is_some_and(|service| service.translates())
        };
        if let Some(&address) = rule.addresses.iter().find(translated) {
            let (service, rule) = (users[&address].name.clone(), rule.name.clone());
            return Err(PlanError::TranslatedOutward { address, service, rule });
        }
    }
    Ok(())
}

/// Servers are told of clients in a way that goes with method and protocol.
pub(super) fn check_told(service: &ServicePlan) -> Result<(), PlanError> {
    let told = service.client_address;
    if !told.goes_with(service.method) {
        return Err(PlanError::ClientAddress(told, service.method));
    }
    if told.is_told() && service.reach().protocols().any(|protocol| protocol == Protocol::Sctp) {
        return Err(PlanError::ClientAddressOfSctp(told));
    }
    let has_datagrams = service.reach().protocols().any(|protocol| protocol == Protocol::Udp);
    if !told.takes_datagrams() && has_datagrams {
        return Err(PlanError::ClientAddressOfStreams(told));
    }
    Ok(())
}
