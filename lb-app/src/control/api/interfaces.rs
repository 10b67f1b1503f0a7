//! Interfaces.

use crate::control::live::running::Running;
use lb_ctl::protocol::{
    Reply,
    interfaces::{Interface, Interfaces, Request},
};

pub(super) fn answer(running: &Running, request: &Request) -> Reply {
    let Request::List = request;
    let plan = running.current().plan;
    let names = running.port_names();
    let moved = running.moved(&plan.interfaces);
    let told = plan.interfaces.iter().zip(moved).map(|(on, moved)| {
        let port = usize::from(on.port.0);
        Interface {
            name: on.name.clone(),
            port: names.get(port).cloned().unwrap_or_default(),
            vlan: on.tags.ids().collect(),
            mac: on.mac.to_string(),
            own_mac: on.own_mac.is_some(),
            mtu: on.mtu.into(),
            addresses: on.addresses.iter().map(ToString::to_string).collect(),
            up: running.links.is_up(on.port) == Some(true),
            rx_packets: moved.packets[0],
            rx_bytes: moved.bytes.map(|bytes| bytes[0]),
            tx_packets: moved.packets[1],
            tx_bytes: moved.bytes.map(|bytes| bytes[1]),
        }
    });
    Reply::Interfaces(Interfaces { interfaces: told.collect() })
}
