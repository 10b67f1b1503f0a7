//! Whose the addresses of a file are, and that nobody else's.

use super::{
    place::Place,
    raw::Raw,
    report::{Complaint, Problems},
};
use lb_core::service::owners::{Owners, Use};
use std::net::IpAddr;

/// Who uses which address, and where the file says so. Servers are looked up only, as they are many.
pub(super) struct Addresses<'r> {
    owners: Owners<'r, &'r Place>,
}

impl<'r> Addresses<'r> {
    /// Those of the file.
    pub(super) fn new(raw: &'r Raw) -> Self {
        let mut owners = Owners::default();
        for port in &raw.ports {
            let name = port.name.as_ref().map_or("", |name| &name.value);
            for at in port.addresses.iter().flatten() {
                owners.add(at.value.addr(), Use::Port(name), &at.place);
            }
        }
        for interface in &raw.interfaces {
            let name = interface.name.as_ref().map_or("", |name| &name.value);
            for at in interface.addresses.iter().flatten() {
                owners.add(at.value.addr(), Use::Interface(name), &at.place);
            }
        }
        if let Some(local) = &raw.tunnel_local {
            owners.add(local.value, Use::Tunnel, &local.place);
        }
        for route in &raw.routes {
            if let (Some(to), Some(via)) = (&route.to, &route.via) {
                owners.add(via.value, Use::Router(to.value), &via.place);
            }
        }
        vips_of(raw).for_each(|(address, by, place)| owners.add(address, by, place));
        for service in &raw.services {
            for (address, place) in service.local_addresses() {
                owners.add(address, Use::Local(&service.plan.name), place);
            }
        }
        for rule in &raw.snat {
            for (address, place) in rule.addresses() {
                owners.add(address, Use::Snat(&rule.plan.name), place);
            }
        }
        Addresses { owners }
    }

    /// What is wrong with using the address for that as well, if anything is.
    pub(super) fn complaint(&self, address: IpAddr, wanted: Use, problems: &Problems) -> Option<Complaint> {
        let (by, place) = self.owners.in_the_way(address, wanted)?;
        let remedy = match wanted {
            Use::Server(_) | Use::SorryServer(_) => "use the server's own address",
            Use::Router(_) => "use the address of the router",
            Use::CheckSource(_) => "use an address that the kernel has",
            Use::Port(_)
            | Use::Interface(_)
            | Use::Tunnel
            | Use::Vip(_)
            | Use::ListedVip
            | Use::Local(_)
            | Use::Snat(_) => "use an address that nobody else has",
        };
        Some(Complaint::new(format!("{address} is {by} (line {})", problems.line(place)), remedy))
    }
}

/// Every place where a VIP is named.
pub(super) fn vips_of(raw: &Raw) -> impl Iterator<Item = (IpAddr, Use<'_>, &Place)> {
    let of_services = raw
        .services
        .iter()
        .flat_map(|service| service.vips().map(|(vip, place)| (vip, Use::Vip(&service.plan.name), place)));
    let listed = raw
        .vips
        .iter()
        .filter_map(|vip| Some((vip.plan.address, Use::ListedVip, vip.said.place("address")?)));
    of_services.chain(listed)
}
