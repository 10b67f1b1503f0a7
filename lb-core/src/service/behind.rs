//! What is behind ports: interfaces, and servers. What comes from a server by another port is not its own.

use super::{
    parts::{Server, Service},
    plan::{InterfacePlan, Plan, SnatPlan},
    routing::Routing,
};
use crate::{
    cast::small,
    ids::{ById, InterfaceId, ServerId, ServiceId},
    limits::MAX_PORTS,
    packet::PortId,
    wire::ethernet::Vlans,
};

/// The ports that servers are behind; those of servers that are gone count, as their packets may be on their way.
pub(super) fn server_ports(
    plan: &Plan,
    routing: &Routing,
    (services, servers): (&ById<ServiceId, Service>, &ById<ServerId, Server>),
) -> [bool; MAX_PORTS] {
    let mut ports = [false; MAX_PORTS];
    let real = servers.iter().filter(|server| !services[server.service].method.is_outward());
    let of_servers = real.filter_map(|server| plan.interfaces.get(server.next_hop.interface.index()));
    let behind = ports_behind(&plan.snat, &plan.interfaces, routing);
    for port in of_servers.map(|on| on.port).chain(behind) {
        if let Some(leads) = ports.get_mut(usize::from(port.0)) {
            *leads = true;
        }
    }
    ports
}

/// The ports that servers behind a rule send by: those towards its networks, and those of networks that lie in one of them.
fn ports_behind<'a>(
    rules: &'a [SnatPlan],
    interfaces: &'a [InterfacePlan],
    routing: &'a Routing,
) -> impl Iterator<Item = PortId> + 'a {
    rules.iter().flat_map(|rule| &rule.sources).flat_map(move |net| {
        let towards = routing.next_hop(net.addr()).map(|hop| hop.interface);
        let towards = towards.and_then(|id| interfaces.get(id.index()));
        let inside = interfaces.iter().filter(|on| on.addresses.iter().any(|own| net.contains(&own.addr())));
        towards.into_iter().chain(inside).map(|on| on.port)
    })
}

/// The interface that untagged frames of each port are for; of a port that has none, any of its own.
pub(super) fn untagged(interfaces: &[InterfacePlan]) -> [InterfaceId; MAX_PORTS] {
    std::array::from_fn(|port| {
        let of_port = interfaces.iter().enumerate().filter(|(_, on)| usize::from(on.port.0) == port);
        of_port
            .min_by_key(|(_, on)| on.tags.as_bytes().len())
            .map_or(InterfaceId(0), |(at, _)| InterfaceId(small(at)))
    })
}

/// The interfaces in VLANs by port and VLANs, in order.
pub(super) fn vlans(interfaces: &[InterfacePlan]) -> Vec<((PortId, Vlans), InterfaceId)> {
    let tagged = interfaces.iter().enumerate().filter(|(_, on)| !on.tags.is_empty());
    let mut vlans: Vec<_> =
        tagged.map(|(at, on)| ((on.port, on.tags.vlans()), InterfaceId(small(at)))).collect();
    vlans.sort_unstable();
    vlans
}
