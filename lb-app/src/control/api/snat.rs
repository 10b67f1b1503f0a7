//! Rules of SNAT, with what became of connections that servers opened by them.

use super::{forward, rates::Rates, traffic};
use crate::control::live::{locals::Usage, running::Running};
use lb_core::{
    counters::DropReason,
    service::{plan::SnatPlan, reach::PortRange, snapshot::Service},
};
use lb_ctl::protocol::{
    Reply,
    snat::{Address, Module, Request, Rule, Rules},
};
use std::{collections::HashMap, net::IpAddr};

/// Reasons for which packets of servers' own are dropped.
const REASONS: [DropReason; 2] = [DropReason::NoSnat, DropReason::PortsExhausted];

pub(super) fn answer(
    running: &Running,
    baseline: &forward::Baseline,
    rates: &Rates,
    request: &Request,
) -> Reply {
    let Request::List = request;
    let current = running.current();
    let used: HashMap<IpAddr, Usage> =
        running.local_addresses().map(|usage| (usage.address, usage)).collect();
    // Rules are services of the snapshot, in the plan's order.
    let services = current.snapshot.rules.iter().map(|rule| &current.snapshot.services[rule.service]);
    let rules = current.plan.snat.iter().zip(services);
    let drops = forward::drops(running, baseline, rates, true).reasons;
    let is_meant = |name: &str| REASONS.iter().any(|reason| reason.name() == name);
    Reply::Snat(Rules {
        rules: rules.map(|(plan, service)| told(running, &used, (plan, service))).collect(),
        drops: drops.into_iter().filter(|drop| is_meant(&drop.reason)).collect(),
    })
}

fn told(running: &Running, used: &HashMap<IpAddr, Usage>, (plan, service): (&SnatPlan, &Service)) -> Rule {
    let shown = |ports: &[PortRange]| ports.iter().map(ToString::to_string).collect();
    let each = plan.ports.iter().map(|ports| u64::from(ports.width())).sum();
    let modules = plan.modules.all().into_iter().filter(|(_, ports)| !ports.is_empty());
    let mut rule = Rule {
        name: plan.name.clone(),
        sources: plan.sources.iter().map(ToString::to_string).collect(),
        interface: plan.interface.clone(),
        ports: shown(&plan.ports),
        modules: modules
            .map(|(module, ports)| Module { module: module.to_string(), ports: shown(ports) })
            .collect(),
        addresses: plan
            .addresses
            .iter()
            .map(|&address| Address { address, used: used.get(&address).map_or(0, |usage| usage.used), each })
            .collect(),
        active: 0,
        inactive: 0,
        connections: 0,
        packets_sent: 0,
        packets_received: 0,
        bytes_sent: 0,
        bytes_received: 0,
    };
    // Whoever is asked is a rule's one server, and what goes there is sent.
    for &id in &service.servers {
        let (load, traffic) = (running.board.total(id), traffic::of_server(running, id));
        rule.active += u64::from(load.active);
        rule.inactive += u64::from(load.inactive);
        rule.connections += traffic.connections;
        rule.packets_sent += traffic.packets_in;
        rule.packets_received += traffic.packets_out;
        rule.bytes_sent += traffic.bytes_in;
        rule.bytes_received += traffic.bytes_out;
    }
    rule
}
