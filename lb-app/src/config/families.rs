//! Families under FullNAT: a service's local addresses are of its servers' family, which need not be its VIP's. Packets are
//! translated then.

use super::{
    raw,
    report::{Complaint, Problems},
};
use std::{collections::HashMap, net::IpAddr};

/// Local addresses of a service are of one family.
pub(super) fn check_local_addresses(service: &raw::Service, problems: &Problems) {
    let mut addresses = service.local_addresses();
    let Some((first, _)) = addresses.next() else { return };
    for (address, place) in addresses.filter(|(address, _)| address.is_ipv4() != first.is_ipv4()) {
        let what = format!("{address} and {first} are not of one family");
        problems.add(place, Complaint::new(what, "use local addresses of the servers' family"));
    }
}

/// A server answers to local addresses, so it is of their family.
pub(super) fn of_server(service: &raw::Service, address: IpAddr) -> Option<Complaint> {
    let (local, _) = service.local_addresses().next()?;
    let is_other = service.plan.method.hides_clients() && local.is_ipv4() != address.is_ipv4();
    let what = format!("{address} and the local address {local} are not of one family");
    is_other.then(|| Complaint::new(what, "give the service local addresses of its servers' family"))
}

/// An address of IPv4 tells by itself whether packets to it are translated.
pub(super) fn check_translated(services: &[raw::Service], problems: &Problems) {
    let mut first = HashMap::new();
    for service in services.iter().filter(|service| service.known_vip().is_some()) {
        let translates = service.plan.translates();
        for (address, place) in service.vips().chain(service.local_addresses()) {
            let (before, named) = *first.entry(address).or_insert((translates, service.plan.name.as_str()));
            if address.is_ipv4() && before != translates {
                let what = format!(
                    "{address} is of {named:?} as well, and only one of both has servers of another family than its VIP"
                );
                problems.add(place, Complaint::new(what, "use another address for one of them"));
            }
        }
    }
}
