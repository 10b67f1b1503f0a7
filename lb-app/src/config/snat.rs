//! What the rules of SNAT mean, and that their addresses are nobody else's.

use super::{
    addresses::Addresses,
    network::Network,
    raw::{Raw, Service, Snat},
    report::{Complaint, Problems},
};
use lb_core::service::{
    owners::Use,
    plan::SnatPlan,
    snat::{Mistake, mistakes},
};

/// Checks the rules, and returns them.
pub(super) fn rules(
    raw: &Raw,
    network: &Network,
    addresses: &Addresses,
    problems: &Problems,
) -> Vec<SnatPlan> {
    let rules: Vec<SnatPlan> = raw.snat.iter().map(|rule| rule.plan.clone()).collect();
    for Mistake { rule, key, element, what, remedy, .. } in mistakes(&rules, &network.interfaces) {
        let Snat { said, place, .. } = &raw.snat[rule];
        // What could not be read is a problem of its own, as is an interface where ports are.
        let is_known = said.known(key, ()).is_some() && (key != "interface" || network.is_complete(raw));
        let at = said.elements(key).get(element).map(|at| &at.place);
        let at = at.or_else(|| said.place(key)).unwrap_or(place);
        if is_known {
            problems.add(at, Complaint::new(what, remedy));
        }
    }
    for rule in &raw.snat {
        for (address, place) in rule.addresses() {
            let is_broadcast = || {
                let what = format!("{address} is not the address of one host of its network");
                network
                    .is_broadcast(address)
                    .then(|| Complaint::new(what, "use an address that nobody else has"))
            };
            let is_translated = || {
                let has_it =
                    |service: &&Service| service.local_addresses().any(|(local, _)| local == address);
                let translates = |service: &&Service| {
                    address.is_ipv4() && service.known_vip().is_some() && service.plan.translates()
                };
                let service = raw.services.iter().filter(translates).find(has_it)?;
                let what = format!(
                    "{address} is a local address of {:?}, whose servers are of another family than its VIP",
                    service.plan.name
                );
                Some(Complaint::new(what, "use another address for one of them"))
            };
            let taken = addresses.complaint(address, Use::Snat(&rule.plan.name), problems);
            taken
                .or_else(is_broadcast)
                .or_else(is_translated)
                .into_iter()
                .for_each(|complaint| problems.add(place, complaint));
        }
    }
    rules
}
