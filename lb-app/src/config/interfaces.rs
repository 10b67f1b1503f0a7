//! Interfaces: that of each port, which is for untagged frames, and those in VLANs. Whose names, VLANs and networks they are,
//! and that they fit their ports.

use super::{
    place::{At, Field, Place, text},
    raw::{self, ADDRESSES, Raw},
    report::{Complaint, Problems, once},
    table::{empty_list, missing},
};
use ipnet::IpNet;
use lb_core::{
    family::{Family, V6},
    limits::MAX_INTERFACES,
    packet::PortId,
    service::plan::{InterfacePlan, Tags},
};
use lb_ctl::near::nearest;
use std::collections::HashMap;

/// MTU of Ethernet.
const DEFAULT_MTU: u16 = 1500;

/// The interfaces: first the ports', in their order.
pub(super) fn plans(raw: &Raw) -> Vec<InterfacePlan> {
    let of_ports = (0..).zip(&raw.ports).map(|(index, port)| InterfacePlan {
        addresses: values(port.addresses.as_deref()),
        mtu: mtu_of(port),
        ..InterfacePlan::new(text(&port.name), PortId(index))
    });
    let in_vlans = raw.interfaces.iter().map(|on| {
        let (index, port) = port_of(raw, on).map_or((0, None), |(index, port)| (index, Some(port)));
        let own_mac = given(&on.mac);
        InterfacePlan {
            tags: on.vlan.as_ref().map_or(Tags::NONE, |vlan| vlan.value),
            mac: own_mac.unwrap_or_default(),
            own_mac,
            addresses: values(on.addresses.as_deref()),
            mtu: given(&on.mtu).unwrap_or_else(|| port.map_or(DEFAULT_MTU, mtu_of)),
            ..InterfacePlan::new(text(&on.name), PortId(index))
        }
    });
    of_ports.chain(in_vlans).collect()
}

/// Checks interfaces, and the addresses of all of them.
pub(super) fn check(raw: &Raw, problems: &Problems) {
    check_addresses(raw, problems);
    check_ports_without_addresses(raw, problems);
    if let Some(on) = raw.interfaces.get(MAX_INTERFACES - raw.ports.len().min(MAX_INTERFACES)) {
        let what = format!(
            "{} interfaces, those of ports included, are too many",
            raw.interfaces.len() + raw.ports.len()
        );
        problems.add(&on.place, Complaint::new(what, format!("use at most {MAX_INTERFACES}")));
    }
    let mut names: HashMap<&String, &Place> = HashMap::new();
    for At { value, place } in raw.ports.iter().filter_map(|port| port.name.as_ref()) {
        names.entry(value).or_insert(place);
    }
    let mut vlans = HashMap::new();
    for on in &raw.interfaces {
        if let Some(At { value, place }) = &on.name {
            once(&mut names, value, place, problems, |line| {
                let what = format!("a port or another interface is named {value:?} (line {line})");
                Complaint::new(what, "give each its own name")
            });
        }
        if let Some(At { value, place }) = &on.port
            && let Some(complaint) = unknown_port(raw, value)
        {
            problems.add(place, complaint);
        }
        let Some((index, port)) = port_of(raw, on) else { continue };
        if let Some(At { value, place }) = &on.vlan {
            once(&mut vlans, (index, value.vlans()), place, problems, |line| {
                let what =
                    format!("another interface of port {:?} is in that VLAN (line {line})", text(&port.name));
                Complaint::new(what, "give that one all `addresses` of the VLAN, or use another `vlan`")
            });
        }
        if let Field::Given(At { value, place }) = &on.mtu
            && let Some(most) = port.mtu.or(DEFAULT_MTU)
            && *value > most
        {
            let what = format!("{value} is more than port {:?} carries, which is {most}", text(&port.name));
            problems.add(place, Complaint::new(what, "raise `mtu` of the port, or lower this one"));
        }
    }
}

/// The port of an interface, if it is known, with its number.
fn port_of<'r>(raw: &'r Raw, on: &raw::Interface) -> Option<(u16, &'r raw::Port)> {
    let wanted = &on.port.as_ref()?.value;
    (0..).zip(&raw.ports).find(|(_, port)| port.name.as_ref().is_some_and(|name| name.value == *wanted))
}

fn unknown_port(raw: &Raw, wanted: &str) -> Option<Complaint> {
    let known: Option<Vec<&str>> =
        raw.ports.iter().map(|port| port.name.as_ref().map(|name| &*name.value)).collect();
    // A port whose name means nothing may be it.
    let known = known.filter(|_| raw.ports_complete)?;
    if known.contains(&wanted) {
        return None;
    }
    let remedy = match nearest(wanted, &known) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("use the name of one of [[ports]]: {}", known.join(", ")),
    };
    Some(Complaint::new(format!("there is no port {wanted:?}"), remedy))
}

/// A port needs addresses of its own, unless interfaces in VLANs have some.
fn check_ports_without_addresses(raw: &Raw, problems: &Problems) {
    let all_known = raw.interfaces_complete && raw.interfaces.iter().all(|on| on.port.is_some());
    for (index, port) in raw.ports.iter().enumerate() {
        let is_empty = port.addresses.as_ref().is_some_and(Vec::is_empty);
        let has_vlans = || {
            raw.interfaces.iter().filter_map(|on| port_of(raw, on)).any(|(of, _)| usize::from(of) == index)
        };
        if !is_empty || !all_known || has_vlans() {
            continue;
        }
        match &port.addresses_place {
            Some(place) => problems.add(place, empty_list("addresses", ADDRESSES)),
            None => problems.add(&port.place.below("addresses"), missing("addresses", ADDRESSES)),
        }
    }
}

/// What has addresses: a port or an interface in a VLAN.
struct Attached<'r> {
    shown: String,
    mtu: u16,
    addresses: &'r [At<IpNet>],
}

/// Checks addresses against each other.
fn check_addresses(raw: &Raw, problems: &Problems) {
    let ports = raw.ports.iter().map(|port| Attached {
        shown: format!("port {:?}", text(&port.name)),
        mtu: mtu_of(port),
        addresses: port.addresses.as_deref().unwrap_or_default(),
    });
    let interfaces = raw.interfaces.iter().map(|on| Attached {
        shown: format!("interface {:?}", text(&on.name)),
        mtu: given(&on.mtu).unwrap_or_else(|| port_of(raw, on).map_or(DEFAULT_MTU, |(_, port)| mtu_of(port))),
        addresses: on.addresses.as_deref().unwrap_or_default(),
    });
    let all: Vec<Attached> = ports.chain(interfaces).collect();
    let mut own = HashMap::new();
    let mut earlier: Vec<(usize, &At<IpNet>)> = Vec::new();
    for (index, Attached { shown, mtu, addresses }) in all.iter().enumerate() {
        for at in *addresses {
            let (net, address) = (at.value.trunc(), at.value.addr());
            if address.is_ipv6() && *mtu < V6::SMALLEST_PATH_MTU {
                let what = format!(
                    "{address} is IPv6, which needs an MTU of 1280 (RFC 8200), and this {} has {mtu}",
                    kind(shown)
                );
                let remedy = format!("raise `mtu` of the {}, or remove the address", kind(shown));
                problems.add(&at.place, Complaint::new(what, remedy));
            }
            let other = earlier.iter().find(|(other, seen)| {
                let seen = seen.value.trunc();
                *other != index && (seen.contains(&net) || net.contains(&seen))
            });
            if own.contains_key(&address) {
                once(&mut own, address, &at.place, problems, |line| {
                    Complaint::new(format!("{address} is listed already (line {line})"), "remove one")
                });
            } else if let Some((other, seen)) = other {
                let (name, line) = (&all[*other].shown, problems.line(&seen.place));
                let what = match seen.value.trunc() {
                    same if same == net => format!("{net} is attached to {name} already (line {line})"),
                    seen => format!("{net} overlaps {seen} of {name} (line {line})"),
                };
                let remedy = match raw.interfaces.is_empty() {
                    true => "attach each network to one port",
                    false => "attach each network to one port or interface",
                };
                problems.add(&at.place, Complaint::new(what, remedy));
            }
            own.entry(address).or_insert(&at.place);
            earlier.push((index, at));
        }
    }
}

/// `port` or `interface`.
fn kind(shown: &str) -> &str {
    shown.split(' ').next().unwrap_or_default()
}

fn mtu_of(port: &raw::Port) -> u16 {
    port.mtu.or(DEFAULT_MTU).unwrap_or(DEFAULT_MTU)
}

fn values(addresses: Option<&[At<IpNet>]>) -> Vec<IpNet> {
    addresses.unwrap_or_default().iter().map(|at| at.value).collect()
}

/// The value of a key that is there and good.
fn given<T: Copy>(field: &Field<T>) -> Option<T> {
    match field {
        Field::Given(at) => Some(at.value),
        Field::Absent | Field::Bad => None,
    }
}
