//! What the ports and routes mean: which networks are attached, and what can be reached through them.

use super::{
    addresses::Addresses,
    interfaces,
    place::{At, Field, text},
    raw::{self, Raw},
    report::{Complaint, Problems, once},
    settings::Device,
};
use crate::dpdk::Choice;
use ipnet::IpNet;
use lb_core::{
    ids::InterfaceId,
    limits::{MAX_PORTS, MAX_ROUTES},
    service::{
        address::is_of_some_link,
        check::shown,
        owners::Use,
        plan::{InterfacePlan, PortPlan, Role, RoutePlan, Spread},
        routing::{NextHop, Routing},
    },
};
use lb_ctl::near::nearest;
use std::{collections::HashMap, net::IpAddr};

/// Ports, routes, and what follows from them.
pub(super) struct Network {
    pub(super) ports: Vec<PortPlan>,
    /// First that of each port, in their order.
    pub(super) interfaces: Vec<InterfacePlan>,
    pub(super) devices: Vec<Device>,
    pub(super) routes: Vec<RoutePlan>,
    routing: Routing,
    /// Every port's addresses were understood, so what is not attached really is not.
    attached_known: bool,
    /// Every route was.
    routes_known: bool,
}

/// How an address is reached.
pub(super) enum Reach {
    /// Through this neighbour: the address itself, or a router.
    Through(NextHop),
    /// Not at all.
    Nowhere,
    /// Unknown, because of problems that have been reported.
    Unknown,
}

impl Network {
    /// Checks ports and routes.
    pub(super) fn new(raw: &Raw, addresses: &Addresses, problems: &Problems) -> Self {
        check_ports(raw, problems);
        interfaces::check(raw, problems);
        let ports: Vec<PortPlan> = raw.ports.iter().map(port_plan).collect();
        let interfaces = interfaces::plans(raw);
        let devices = raw.ports.iter().map(device).collect();
        let routes: Vec<RoutePlan> =
            raw.routes.iter().filter_map(|route| route_plan(route, &interfaces)).collect();
        let attached_known = raw.ports_complete
            && raw.interfaces_complete
            && !ports.is_empty()
            && raw.ports.iter().all(|port| port.addresses.is_some())
            && raw.interfaces.iter().all(|on| on.addresses.is_some());
        let routes_known = raw.routes_complete && routes.len() == raw.routes.len();
        let routing = Routing::new(&interfaces, &routes);
        let network = Network { ports, interfaces, devices, routes, routing, attached_known, routes_known };
        network.check_routes(&raw.routes, addresses, problems);
        network.check_role(raw, problems);
        network.check_announced_on(raw, problems);
        network
    }

    /// How `address` is reached.
    pub(super) fn reach(&self, address: IpAddr) -> Reach {
        // A route that leads nowhere is a problem of its own.
        let routed = || self.routes.iter().any(|route| route.to.contains(&address));
        match self.routing.next_hop(address) {
            Some(hop) => Reach::Through(hop),
            None if !self.attached_known || !self.routes_known || routed() => Reach::Unknown,
            None => Reach::Nowhere,
        }
    }

    /// Whether every port and interface was understood, so that what is not there really is not.
    pub(super) fn is_complete(&self, raw: &Raw) -> bool {
        raw.ports_complete && raw.interfaces_complete && !self.ports.is_empty()
    }

    /// The MTU on the way to a next hop.
    pub(super) fn mtu(&self, hop: NextHop) -> u16 {
        self.interfaces.get(hop.interface.index()).map_or(u16::MAX, |interface| interface.mtu)
    }

    /// Whether no host can have `address`, because it means all hosts of an attached network.
    pub(super) fn is_broadcast(&self, address: IpAddr) -> bool {
        self.routing.is_broadcast(address)
    }

    /// Who follows the kernel needs a place where it has VIPs.
    fn check_role(&self, raw: &Raw, problems: &Problems) {
        let has_host = || self.devices.iter().any(|device| device.host.is_some());
        if let Some(role) = raw.role.as_ref().filter(|role| role.value == Role::Follow)
            && raw.ports_complete
            && !has_host()
        {
            let what = "no port has a host side, where the kernel could have VIPs";
            problems.add(&role.place, Complaint::new(what, "set `host` of a port, or use another role"));
        }
    }

    /// VIPs on a host side are those that somebody else elects the director for.
    fn check_announced_on(&self, raw: &Raw, problems: &Problems) {
        let hosts = || self.devices.iter().filter_map(|device| device.host.as_deref());
        if let Some(on) = raw.announced_on.as_ref().filter(|on| hosts().any(|host| host == on.value)) {
            let what = format!("{} is the host side of a port", on.value);
            problems.add(&on.place, Complaint::new(what, "use an interface of its own, such as a dummy"));
        }
    }

    fn check_routes(&self, routes: &[raw::Route], addresses: &Addresses, problems: &Problems) {
        if let Some(route) = routes.get(MAX_ROUTES) {
            let complaint = Complaint::new(
                format!("{} routes are too many", routes.len()),
                format!("use at most {MAX_ROUTES}"),
            );
            problems.add(&route.place, complaint);
        }
        let mut seen = HashMap::new();
        for route in routes {
            if let Some(to) = &route.to {
                let remedy = |line| {
                    Complaint::new(
                        format!("{} has a route already (line {line})", shown(to.value)),
                        "remove one",
                    )
                };
                once(&mut seen, to.value, &to.place, problems, remedy);
                let is_on = |on: &&InterfacePlan| on.addresses.iter().any(|net| net.trunc() == to.value);
                if let Some(on) = self.interfaces.iter().find(is_on) {
                    let what = format!("{} is attached to {}, which comes first", to.value, on.shown());
                    problems.add(&to.place, Complaint::new(what, "remove the route"));
                }
            }
            if let Some(via) = &route.via {
                let to = route.to.as_ref().map_or(IpNet::default(), |to| to.value);
                let taken = addresses.complaint(via.value, Use::Router(to), problems);
                let is_other =
                    route.to.as_ref().is_some_and(|to| to.value.addr().is_ipv4() != via.value.is_ipv4());
                let other = is_other.then(|| {
                    let what = format!("{} is no router to {to}: they are not of one family", via.value);
                    Complaint::new(
                        what,
                        "use a router of the network's family; `default` is IPv4's, \"::/0\" IPv6's",
                    )
                });
                let complaint = taken.or(other).or_else(|| self.no_router(via.value, &route.interface));
                complaint.into_iter().for_each(|complaint| problems.add(&via.place, complaint));
                self.check_interface(route, via.value, problems);
            }
        }
    }

    /// What is wrong with the interface that a router is said to be behind.
    fn check_interface(&self, route: &raw::Route, via: IpAddr, problems: &Problems) {
        let Field::Given(At { value, place }) = &route.interface else { return };
        let Some(on) = self.interfaces.iter().find(|on| on.name == *value) else {
            let known: Vec<&str> = self.interfaces.iter().map(|on| &*on.name).collect();
            let remedy = match nearest(value, &known) {
                Some(name) => format!("did you mean {name:?}?"),
                None => format!("use the name of a port or an interface: {}", known.join(", ")),
            };
            let what = format!("there is no port or interface {value:?}");
            return problems.add(place, Complaint::new(what, remedy));
        };
        let elsewhere = self.routing.attached(via).map(|id| &self.interfaces[id.index()]);
        if let Some(other) = elsewhere.filter(|other| other.name != on.name) {
            let what = format!("{via} is on the network of {}, not behind {}", other.shown(), on.shown());
            problems.add(place, Complaint::new(what, "remove `interface`, or name the right one"));
        } else if self.attached_known && !on.has_family_of(via) {
            let family = if via.is_ipv4() { "IPv4" } else { "IPv6" };
            let what = format!("{} has no {family} address to ask the router {via} from", on.shown());
            problems.add(place, Complaint::new(what, "add one to its `addresses`"));
        }
    }

    /// Why the address is no router's.
    fn no_router(&self, address: IpAddr, interface: &Field<String>) -> Option<Complaint> {
        let is_said = !matches!(interface, Field::Absent);
        if is_of_some_link(address) {
            let what = format!("{address} is the address of one link, which does not tell where it is");
            let remedy = "add the port or interface that the router is behind, as in `interface = \"wan\"`";
            (!is_said).then(|| Complaint::new(what, remedy))
        } else if self.is_broadcast(address) {
            let what = format!("{address} is not the address of one host of its network");
            Some(Complaint::new(what, "use the address of the router"))
        } else if self.attached_known && !is_said && self.routing.attached(address).is_none() {
            let what = format!("{address} is on no attached network");
            Some(Complaint::new(what, "use a router that is, or give a port an address on its network"))
        } else {
            None
        }
    }
}

fn check_ports(raw: &Raw, problems: &Problems) {
    if raw.ports.is_empty() && raw.ports_complete {
        let complaint = Complaint::new("is missing", "add a `[[ports]]` table for each port");
        problems.add(&raw.place.below("ports"), complaint);
    }
    if let Some(port) = raw.ports.get(MAX_PORTS) {
        let what = format!("{} ports are too many", raw.ports.len());
        problems.add(&port.place, Complaint::new(what, format!("use at most {MAX_PORTS}")));
    }
    let (mut names, mut devices, mut interfaces) = (HashMap::new(), HashMap::new(), HashMap::new());
    for port in &raw.ports {
        if let Some(At { value, place }) = &port.name {
            once(&mut names, value, place, problems, |line| {
                Complaint::new(
                    format!("another port is named {value:?} (line {line})"),
                    "give each its own name",
                )
            });
        }
        check_members(port, problems);
        for At { value, place } in port.device.iter().chain(members(port)) {
            once(&mut devices, device_name(value), place, problems, |line| {
                let what = format!("device {} belongs to another port (line {line})", device_name(value));
                Complaint::new(what, "give each port its own device")
            });
            if let Some(interface) = interface(value) {
                once(&mut interfaces, interface, place, problems, |line| {
                    let what = format!("interface {interface} belongs to another port (line {line})");
                    Complaint::new(what, "give each port its own interface")
                });
            }
        }
    }
}

/// What a port is said to be made of.
fn members(port: &raw::Port) -> &[At<String>] {
    match &port.members {
        Field::Given(At { value, .. }) => value,
        Field::Absent | Field::Bad => &[],
    }
}

/// Only bonds have members, and a bond that is made here has some, in `members` or in its arguments.
fn check_members(port: &raw::Port, problems: &Problems) {
    let Some(At { value, place }) = &port.device else { return };
    let (name, arguments) = value.split_once(',').unwrap_or((value, ""));
    let is_bond = device_name(name).starts_with("net_bonding");
    let says = |key: &str| arguments.split(',').any(|argument| argument.trim().starts_with(key));
    let says_members = says("slave=") || says("member=");
    match &port.members {
        Field::Given(At { place, .. }) if !is_bond => {
            let what = format!("{name} is no bond, which has members");
            let remedy = "remove `members`, or write `device = \"net_bonding0,mode=1\"`";
            problems.add(place, Complaint::new(what, remedy));
        }
        Field::Given(At { place, .. }) if says_members => {
            let what = "`device` names members as well";
            problems.add(place, Complaint::new(what, "name them here only, whichever DPDK there is"));
        }
        Field::Given(At { value, place }) if value.is_empty() => {
            problems.add(place, Complaint::new("is empty", "name the devices that the bond is made of"));
        }
        Field::Given(_) if !says("mode=") => {
            let remedy =
                "add 1 (active-backup), 2 (balance) or 4 (LACP), as in `device = \"net_bonding0,mode=1\"`";
            problems.add(place, Complaint::new("does not say the bond's mode", remedy));
        }
        Field::Absent if is_bond && !arguments.is_empty() && !says_members => {
            let remedy = "add `members`, as in `members = [\"0000:03:00.0\", \"0000:03:00.1\"]`";
            problems.add(place, Complaint::new("is a bond without members", remedy));
        }
        Field::Given(_) | Field::Absent | Field::Bad => {}
    }
}

fn port_plan(port: &raw::Port) -> PortPlan {
    PortPlan {
        name: text(&port.name),
        spread: Spread::Unknown,
        hashing: lb_core::flow::hashing::Hashing::default(),
    }
}

fn device(port: &raw::Port) -> Device {
    let checksum_offload = port.checksum_offload.or(true).unwrap_or(true);
    let host = match &port.host {
        Field::Given(host) => Some(host.value.clone()),
        Field::Absent | Field::Bad => None,
    };
    let members = members(port).iter().map(|member| member.value.clone()).collect();
    let choice = |field: &Field<Choice>| field.or(Choice::Auto).unwrap_or_default();
    Device {
        name: text(&port.device),
        members,
        checksum_offload,
        tx_checksum_offload: choice(&port.tx_checksum_offload),
        tx_vlan_offload: choice(&port.tx_vlan_offload),
        host,
    }
}

fn route_plan(route: &raw::Route, interfaces: &[InterfacePlan]) -> Option<RoutePlan> {
    let interface = match &route.interface {
        Field::Absent => None,
        Field::Bad => return None,
        Field::Given(name) => {
            Some(InterfaceId(interfaces.iter().position(|on| on.name == name.value)? as u16))
        }
    };
    Some(RoutePlan { to: route.to.as_ref()?.value, via: route.via.as_ref()?.value, interface })
}

/// What identifies a device: the part before its arguments, a PCI address with its domain.
fn device_name(device: &str) -> String {
    let name = device.split(',').next().unwrap_or_default().trim().to_lowercase();
    let short_pci = name.len() == 7 && name.as_bytes()[2] == b':' && name.as_bytes()[5] == b'.';
    if short_pci { format!("0000:{name}") } else { name }
}

/// The network interface that a virtual device uses, if its arguments name one.
fn interface(device: &str) -> Option<&str> {
    device.split(',').skip(1).find_map(|argument| argument.trim().strip_prefix("iface="))
}
