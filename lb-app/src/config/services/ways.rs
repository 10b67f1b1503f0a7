//! Whether the network leads to a service's servers.

use super::Services;
use crate::config::{families, network::Reach, place::At, raw, report::Complaint};
use lb_core::{
    family::{Family, V6},
    service::{owners::Use, plan::OwnTunnel},
};
use std::net::IpAddr;

impl Services<'_, '_> {
    /// A server's address must be a host's that the service's method reaches. The port is the one that it was given.
    pub(super) fn check_reachable(
        &self,
        service: &raw::Service,
        wanted: Use,
        (port, own): (Option<At<u16>>, OwnTunnel),
        at: &At<IpAddr>,
    ) {
        self.check_address(at.value, wanted, &at.place, "use the server's own address");
        let Some(method) = service.said.known("method", service.plan.method) else { return };
        self.check_way_to(service, (own, at));
        let Some(port) = port.filter(|_| service.port_place().is_some()) else { return };
        let remedy = "only nat and fullnat can: remove `port`, or set `method = \"nat\"`";
        let complaint = match service.plan.one_port() {
            Some(_) if port.value == 0 => Complaint::new("port 0 is not valid", "use 1 to 65535"),
            Some(wanted) if !method.rewrites_endpoints() && port.value != wanted => {
                let what = format!(
                    "port {} is not the service's {wanted}, and {method} cannot change it",
                    port.value
                );
                Complaint::new(what, remedy)
            }
            None if !method.rewrites_endpoints() && port.value != 0 => {
                let what = format!(
                    "port {} would be that of all packets, and {method} cannot change it",
                    port.value
                );
                let is_sorry = matches!(wanted, Use::SorryServer(_));
                Complaint::new(
                    what,
                    if is_sorry { "write port 0, which is the one that clients ask for" } else { remedy },
                )
            }
            _ => return,
        };
        self.problems.add(&port.place, complaint);
    }

    fn check_way_to(&self, service: &raw::Service, (own, at): (OwnTunnel, &At<IpAddr>)) {
        let (address, method, vip) = (at.value, service.plan.method, service.known_vip());
        if let Some(vip) = vip.filter(|vip| vip.is_ipv4() != address.is_ipv4() && method.keeps_family()) {
            let what = format!("{address} and the VIP {vip} are not of one family, as {method} requires");
            let remedy = "use a server's address of the VIP's family, or tun or fullnat, which take either";
            return self.problems.add(&at.place, Complaint::new(what, remedy));
        }
        if let Some(complaint) = families::of_server(service, address) {
            return self.problems.add(&at.place, complaint);
        }
        let attach = "attach its network to a port, or use l3dsr, tun or nat";
        let complaint = match (self.network.reach(address), method.is_link_local()) {
            (Reach::Through(hop), true) if hop.address != address => Complaint::new(
                format!("{address} is behind router {}, which dr cannot reach", hop.address),
                attach,
            ),
            (Reach::Nowhere, true) => Complaint::new(
                format!("{address} is on no attached network, and dr reaches no further"),
                attach,
            ),
            (Reach::Nowhere, false) => {
                let remedy = "add a route to it, or give a port an address on its network";
                Complaint::new(format!("no route to {address}"), remedy)
            }
            (Reach::Through(hop), _) => {
                let carries = self.network.mtu(hop).saturating_sub(service.plan.overhead(own, address));
                if vip.is_none_or(|vip| vip.is_ipv4()) || carries >= V6::SMALLEST_PATH_MTU {
                    return;
                }
                let what =
                    format!("the way to {address} carries {carries} bytes, and IPv6 needs 1280 (RFC 8200)");
                Complaint::new(what, "raise `mtu` of the port that leads there")
            }
            (Reach::Unknown, _) => return,
        };
        self.problems.add(&at.place, complaint);
    }
}
