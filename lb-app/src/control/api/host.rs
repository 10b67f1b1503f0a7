//! Host sides of ports, and the addresses that the director answers for.

use crate::control::live::running::Running;
use lb_core::service::snapshot::Local;
use lb_ctl::protocol::{
    Reply,
    host::{Address, Host, Request, Side},
};
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn answer(running: &Running, request: &Request) -> Reply {
    let Request::List = request;
    let current = running.current();
    let names = running.port_names();
    let sides = {
        let ports = running.ports();
        let side = |(port, tap): &(_, crate::dpdk::host_tap::HostTap)| {
            let port: lb_core::packet::PortId = *port;
            let (started, moved) = (ports.get(usize::from(port.0))?, &running.sides.of(port)?.moved);
            Some(Side {
                port: names.get(usize::from(port.0))?.clone(),
                interface: tap.name().to_owned(),
                mac: started.mac().to_string(),
                virtual_macs: current.snapshot.virtual_macs(port).iter().map(ToString::to_string).collect(),
                link_up: running.links.is_up(port) == Some(true),
                to_kernel: moved.to_kernel.load(Relaxed),
                from_kernel: moved.from_kernel.load(Relaxed),
                refused: moved.refused.load(Relaxed),
                lost: moved.lost.load(Relaxed),
            })
        };
        running.taps.iter().filter_map(side).collect()
    };
    let locals = current.snapshot.locals.iter().filter(|(_, local)| !matches!(local, Local::Own(_)));
    let addresses = locals.map(|(address, local)| {
        let held = current.plan.held.get(address);
        let tap = held.and_then(|held| running.taps.iter().find(|(port, _)| *port == held.port));
        Address {
            address: *address,
            active: local.is_answered(),
            interface: tap.map(|(_, tap)| tap.name().to_owned()),
            mac: held.map(|held| held.mac.to_string()),
        }
    });
    Reply::Host(Host { role: current.plan.director.role.to_string(), sides, addresses: addresses.collect() })
}
