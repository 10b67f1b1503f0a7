//! Interfaces, neighbours and routes, as `ip` lists them, and local addresses.

use crate::protocol::{
    interfaces::Interfaces, local_addresses::LocalAddresses, neighbours::Neighbours, routes::Routes,
};
use std::fmt::Write;

pub(super) fn neighbours(text: &mut String, neighbours: &Neighbours) {
    for neighbour in &neighbours.neighbours {
        let what = match (neighbour.state.as_str(), &neighbour.mac) {
            (_, Some(mac)) => format!("at {mac}"),
            ("failed", None) => "does not answer".to_owned(),
            _ => "ARP pending".to_owned(),
        };
        let workers: Vec<String> = neighbour.workers.iter().map(u32::to_string).collect();
        let (address, port) = (neighbour.address, &neighbour.port);
        let _ = writeln!(
            text,
            "{address} on {port} {what}, users {} (worker {})",
            neighbour.users,
            workers.join(", ")
        );
    }
    for worker in &neighbours.silent_workers {
        let _ = writeln!(text, "worker {worker} did not respond in time");
    }
}

pub(super) fn local_addresses(text: &mut String, list: &LocalAddresses) {
    if list.addresses.is_empty() {
        let _ = writeln!(text, "there are no local addresses: they are for method fullnat and [[snat]]");
        return;
    }
    let _ = writeln!(text, "{:<16}{:>10}{:>12}{:>9}  services", "address", "in use", "capacity", "servers");
    for address in &list.addresses {
        let services = match address.services.as_slice() {
            [] => "removed: it stays until its connections have ended".to_owned(),
            services => services.join(", "),
        };
        let (used, servers) = (address.used, address.servers);
        let capacity = match address.each {
            0 => address.capacity.to_string(),
            each => format!("{each} each"),
        };
        let _ = writeln!(
            text,
            "{:<16}{used:>10}{capacity:>12}{servers:>9}  {services}",
            address.address.to_string()
        );
    }
}

pub(super) fn interfaces(text: &mut String, list: &Interfaces) {
    for on in &list.interfaces {
        let state = if on.up { "up" } else { "down" };
        let vlan = match on.vlan.as_slice() {
            [] => "untagged".to_owned(),
            [id] => format!("VLAN {id}"),
            ids => format!("VLAN {}", ids.iter().rev().map(u16::to_string).collect::<Vec<_>>().join(" in ")),
        };
        let own = if on.own_mac { ", its own" } else { "" };
        let _ = writeln!(
            text,
            "{} on port {}: {vlan}, {state}, MAC {}{own}, MTU {}",
            on.name, on.port, on.mac, on.mtu
        );
        let addresses = if on.addresses.is_empty() { "none".to_owned() } else { on.addresses.join(", ") };
        let _ = writeln!(text, "  addresses {addresses}");
        let bytes = |bytes: Option<u64>| bytes.map_or_else(String::new, |bytes| format!(" of {bytes} bytes"));
        let _ = writeln!(
            text,
            "  received {} frames{}, sent {}{}",
            on.rx_packets,
            bytes(on.rx_bytes),
            on.tx_packets,
            bytes(on.tx_bytes)
        );
    }
}

pub(super) fn routes(text: &mut String, routes: &Routes) {
    for route in &routes.routes {
        let is_default = route.to.prefix_len() == 0 && route.to.addr().is_ipv4();
        let to = if is_default { "default".to_owned() } else { route.to.to_string() };
        let via = route.via.map(|via| format!(" via {via}")).unwrap_or_default();
        let port = match &route.port {
            Some(port) => format!(" on {port}"),
            None => " not in use: the router is on no attached network".to_owned(),
        };
        let source =
            route.source.map(|source| format!(" attached, own address {source}")).unwrap_or_default();
        let _ = writeln!(text, "{to}{via}{port}{source}");
    }
}
