//! The differences between the running configuration and a file, line by line.

pub(crate) mod line;

use self::line::{Kind, Line, changed, options, options_of, sets, value};
use crate::{
    config::{
        Announce, Config, Control, Device, File, IpvsSync, Sync,
        health::{Check, Health, Hooks, inline_check, inline_pool},
        vlan,
    },
    control::edit::sorry::without_sorry_servers,
};
use lb_core::service::{
    key::ServerKey,
    option::{Opt, Value},
    plan::{
        DirectorPlan, InterfacePlan, Plan, RoutePlan, ServerPlan, ServicePlan, SnatPlan, VipPlan,
        timeouts::TIMEOUTS,
    },
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// All that is different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What can be changed while the director runs.
    pub(crate) live: Vec<Line>,
    /// What takes a restart.
    pub(crate) restart: Vec<Line>,
}

impl Difference {
    /// From what runs, `before` with the plan as it is now, to `after`.
    pub(crate) fn between(before: &Config, plan: &Plan, after: &Config) -> Self {
        let mut difference = Difference::default();
        difference.compare_machine(before, after);
        options(&mut difference.live, "config", File::OPTIONS, &before.file, &after.file);
        difference.compare_network(plan, &after.plan);
        difference.compare_services(&without_sorry_servers(plan, before), &after.plan);
        options(&mut difference.live, "timeouts", TIMEOUTS, &plan.timeouts, &after.plan.timeouts);
        difference.compare_health(&before.health, &after.health);
        difference
    }

    /// From one plan to another that an operator made of it at run time. Neither has sorry servers.
    pub(crate) fn of_plans(before: &Plan, after: &Plan) -> Vec<Line> {
        let mut difference = Difference::default();
        difference.compare_network(before, after);
        difference.compare_services(before, after);
        options(&mut difference.live, "timeouts", TIMEOUTS, &before.timeouts, &after.timeouts);
        difference.live
    }

    /// The same for one server.
    pub(crate) fn of_servers(key: &ServerKey, before: &ServerPlan, after: &ServerPlan) -> Vec<Line> {
        let mut lines = Vec::new();
        options(&mut lines, &format!("server {key}"), ServerPlan::OPTIONS, before, after);
        lines
    }

    /// What was laid out at start: ports, queues, memory.
    fn compare_machine(&mut self, before: &Config, after: &Config) {
        let restart = &mut self.restart;
        changed(restart, "workers: connections", before.capacity.v4, after.capacity.v4);
        // Where the file never said a word the capacity that there is will do, whatever services are added.
        if before.capacity_v6_is_given || after.capacity_v6_is_given {
            changed(restart, "workers: connections_v6", before.capacity.v6, after.capacity.v6);
        }
        // Where the file never said a word the capacity that there is will do, or the change is refused.
        if before.room_is_given || after.room_is_given {
            changed(restart, "workers: servers", before.room.servers, after.room.servers);
        }
        let clients = |config: &Config| config.persistent_clients;
        changed(restart, "workers: persistent_clients", clients(before), clients(after));
        let file = |config: &Config| {
            config.state_file.as_ref().map_or("none".to_owned(), |path| path.display().to_string())
        };
        changed(restart, "workers: state_file", file(before), file(after));
        changed(restart, "workers: idle", before.idle, after.idle);
        let listen =
            |config: &Config| config.metrics.listen.map_or("off".to_owned(), |listen| listen.to_string());
        changed(restart, "metrics: listen", listen(before), listen(after));
        changed(restart, "metrics: console", before.metrics.console, after.metrics.console);
        options(restart, "announce", Announce::OPTIONS, &before.announce, &after.announce);
        // Threads and memory are made at start.
        let (old, new) = (&before.sync, &after.sync);
        let is_fixed = |key: &str| old.is_on() != new.is_on() || key == "entries";
        options_of(restart, "sync", Sync::OPTIONS, (old, new), is_fixed);
        options_of(&mut self.live, "sync", Sync::OPTIONS, (old, new), |key| !is_fixed(key));
        let (old, new) = (&before.ipvs_sync, &after.ipvs_sync);
        let hears = |it: &IpvsSync| it.is_on() && it.role.hears();
        let is_fixed = |key: &str| match key {
            "entries" => true,
            "role" => hears(old) != hears(new),
            _ => old.is_on() != new.is_on(),
        };
        options_of(restart, "ipvs_sync", IpvsSync::OPTIONS, (old, new), is_fixed);
        options_of(&mut self.live, "ipvs_sync", IpvsSync::OPTIONS, (old, new), |key| !is_fixed(key));
        let control = (&before.control, &after.control);
        changed(restart, "control: socket", &control.0.socket, &control.1.socket);
        // Where the socket is has a word of its own for the usual place.
        for Opt { field, get, .. } in Control::OPTIONS.iter().filter(|option| option.field.key != "socket") {
            let value = |control| get(control).map_or("none".to_owned(), |value| value.plain());
            changed(restart, &format!("control: {}", field.key), value(control.0), value(control.1));
        }
        let ports = |config: &Config| -> Vec<(String, Device)> {
            let names = config.plan.ports.iter().map(|port| port.name.clone());
            names.zip(config.devices.iter().cloned()).collect()
        };
        let (old, new) = (ports(before), ports(after));
        for (name, device) in &old {
            match new.iter().find(|(other, _)| other == name) {
                Some((_, other)) => {
                    changed(restart, &format!("port {name}: device"), &device.name, &other.name);
                    let members = |device: &Device| match &*device.members {
                        [] => "none".to_owned(),
                        members => members.join(" "),
                    };
                    changed(restart, &format!("port {name}: members"), members(device), members(other));
                    let offload = (device.checksum_offload, other.checksum_offload);
                    changed(restart, &format!("port {name}: checksum_offload"), offload.0, offload.1);
                    let (old, new) = (device.tx_checksum_offload, other.tx_checksum_offload);
                    changed(restart, &format!("port {name}: tx_checksum_offload"), old, new);
                    let (old, new) = (device.tx_vlan_offload, other.tx_vlan_offload);
                    changed(restart, &format!("port {name}: tx_vlan_offload"), old, new);
                    let host = |device: &Device| device.host.clone().unwrap_or_else(|| "none".to_owned());
                    changed(restart, &format!("port {name}: host"), host(device), host(other));
                }
                None => restart.push(Line::new(Kind::Removed, format!("port {name}"))),
            }
        }
        let is_new = |(name, _): &&(String, Device)| !old.iter().any(|(other, _)| other == name);
        restart.extend(
            new.iter().filter(is_new).map(|(name, _)| Line::new(Kind::Added, format!("port {name}"))),
        );
        let order = |ports: &[(String, Device)]| -> Vec<String> {
            ports.iter().map(|(name, _)| name.clone()).collect()
        };
        if restart.is_empty() {
            changed(restart, "order of ports", order(&old).join(", "), order(&new).join(", "));
        }
        compare_interfaces(restart, &before.plan, &after.plan);
    }

    fn compare_network(&mut self, before: &Plan, after: &Plan) {
        let live = &mut self.live;
        options(live, "director", DirectorPlan::OPTIONS, &before.director, &after.director);
        for on in &before.interfaces {
            if let Some(other) = after.interface_named(&on.name) {
                let what = format!("address of {} {}", kind(on), on.name);
                sets(live, &what, &on.addresses, &other.addresses);
            }
        }
        let routes =
            |plan: &Plan| -> Vec<String> { plan.routes.iter().map(|route| described(plan, route)).collect() };
        sets(live, "route", &routes(before), &routes(after));
        changed(live, "workers: verify_checksums", before.verify_checksums, after.verify_checksums);
        let local =
            |plan: &Plan| plan.tunnel_local.map_or("the port's".to_owned(), |local| local.to_string());
        changed(live, "tunnel: local", local(before), local(after));
        sets(live, "tunnel: source", &before.tunnel_sources, &after.tunnel_sources);
        for rule in &before.snat {
            if let Some(other) = after.snat.iter().find(|other| other.name == rule.name) {
                options(live, &format!("snat {}", rule.name), SnatPlan::OPTIONS, rule, other);
            }
        }
        let rules = |plan: &Plan| -> Vec<String> { plan.snat.iter().map(|rule| rule.name.clone()).collect() };
        let (old, new) = (rules(before), rules(after));
        sets(live, "snat", &old, &new);
        // Of several rules for one server the first counts, so their order is a difference by itself.
        let common = |rules: &[String], others: &[String]| -> Vec<String> {
            rules.iter().filter(|rule| others.contains(rule)).cloned().collect()
        };
        changed(live, "order of snat", common(&old, &new).join(", "), common(&new, &old).join(", "));
        let vips = |plan: &Plan| -> BTreeMap<IpAddr, VipPlan> {
            plan.every_vip().map(|vip| (vip.address, vip)).collect()
        };
        let (before, after) = (vips(before), vips(after));
        for (address, vip) in &before {
            if let Some(other) = after.get(address) {
                options(live, &format!("vip {address}"), VipPlan::OPTIONS, vip, other);
            }
        }
        let addresses = |vips: &BTreeMap<IpAddr, VipPlan>| -> Vec<IpAddr> { vips.keys().copied().collect() };
        sets(live, "vip", &addresses(&before), &addresses(&after));
    }

    fn compare_services(&mut self, before: &Plan, after: &Plan) {
        for service in &before.services {
            match after.service(&service.key()) {
                Some(other) => self.compare_service(service, other),
                None => self.live.push(Line::new(Kind::Removed, describe(service))),
            }
        }
        for service in &after.services {
            if before.service(&service.key()).is_none() {
                self.live.push(Line::new(Kind::Added, describe(service)));
            }
        }
    }

    fn compare_service(&mut self, before: &ServicePlan, after: &ServicePlan) {
        let live = &mut self.live;
        options(live, &format!("service {}", before.key()), ServicePlan::OPTIONS, before, after);
        if let (Some(old), Some(new)) = (before.table_slots(), after.table_slots()) {
            let slots = [old, new].map(|slots| Some(Value::Number(slots.into())));
            let what = format!("service {}: slots of its lookup table", before.key());
            let remark = " (nearly all clients get another server with their next connection)";
            value(live, &what, slots.into(), remark);
        }
        for (key, server) in before.keyed_servers() {
            match after.server(key.endpoint()) {
                Some(other) => options(live, &format!("server {key}"), ServerPlan::OPTIONS, server, other),
                None => live.push(Line::new(Kind::Removed, format!("server {key}"))),
            }
        }
        let is_new = |(_, server): &(ServerKey, &ServerPlan)| before.server(server.endpoint()).is_none();
        for (key, server) in after.keyed_servers().filter(is_new) {
            let text = format!("server {key}: weight {}", server.weight);
            live.push(Line::new(Kind::Added, text));
        }
    }

    fn compare_health(&mut self, before: &Health, after: &Health) {
        let live = &mut self.live;
        options(live, "health", Hooks::OPTIONS, &before.hooks, &after.hooks);
        for service in &before.services {
            let Some(other) = after.services.iter().find(|other| other.key == service.key) else { continue };
            let name = format!("service {}", service.key);
            let check = |check: &Option<Arc<Check>>| Some(inline_check(check.as_deref()));
            value(live, &format!("{name}: check"), (check(&service.check), check(&other.check)), "");
            value(live, &format!("{name}: agent"), (check(&service.agent), check(&other.agent)), "");
            let pools = (Some(inline_pool(&service.pool)), Some(inline_pool(&other.pool)));
            value(live, &format!("{name}: health"), pools, "");
            let own = |own: &[(SocketAddr, Option<Arc<Check>>)]| -> Vec<String> {
                let own = own.iter();
                own.map(|(server, check)| format!("{server} {}", inline_check(check.as_deref()))).collect()
            };
            sets(live, &format!("{name}: check of server"), &own(&service.own), &own(&other.own));
            let agents = [service, other].map(|service| own(&service.own_agents));
            sets(live, &format!("{name}: agent of server"), &agents[0], &agents[1]);
        }
    }
}

/// What of interfaces takes a restart: neighbours and connections know them by number, and ports are set up for them.
fn compare_interfaces(restart: &mut Vec<Line>, before: &Plan, after: &Plan) {
    let in_vlans = |plan: &Plan| -> Vec<String> {
        plan.interfaces.iter().filter(|on| !on.tags.is_empty()).map(|on| on.name.clone()).collect()
    };
    let (old, new) = (in_vlans(before), in_vlans(after));
    sets(restart, "interface", &old, &new);
    if restart.is_empty() {
        changed(restart, "order of interfaces", old.join(", "), new.join(", "));
    }
    let port = |plan: &Plan, on: &InterfacePlan| {
        plan.ports.get(usize::from(on.port.0)).map(|port| port.name.clone()).unwrap_or_default()
    };
    let mac = |on: &InterfacePlan| on.own_mac.map_or("the port's".to_owned(), |mac| mac.to_string());
    for on in &before.interfaces {
        let Some(other) = after.interface_named(&on.name) else { continue };
        let what = format!("{} {}", kind(on), on.name);
        if !on.tags.is_empty() && !other.tags.is_empty() {
            changed(restart, &format!("{what}: port"), port(before, on), port(after, other));
            changed(restart, &format!("{what}: vlan"), vlan(on.tags), vlan(other.tags));
            changed(restart, &format!("{what}: mac"), mac(on), mac(other));
        }
        changed(restart, &format!("{what}: mtu"), on.mtu, other.mtu);
    }
}

/// What an interface is called.
fn kind(on: &InterfacePlan) -> &'static str {
    if on.tags.is_empty() { "port" } else { "interface" }
}

fn described(plan: &Plan, route: &RoutePlan) -> String {
    let on = route.interface.and_then(|on| plan.interface(on));
    let behind = on.map_or_else(String::new, |on| format!(" behind {}", on.name));
    format!("{} via {}{behind}", route.to, route.via)
}

fn describe(service: &ServicePlan) -> String {
    let servers: Vec<String> = service.servers.iter().map(|server| server.endpoint().to_string()).collect();
    let servers = if servers.is_empty() { "no servers".to_owned() } else { servers.join(", ") };
    let ServicePlan { name, method, scheduler, .. } = service;
    // Part of the key where that needs it.
    let name = if service.beside.is_choosy() { String::new() } else { format!(" ({name})") };
    let clients = service.reach().clients_shown();
    let clients = if clients.is_empty() { clients } else { format!(" {clients}") };
    format!("service {}{name}{clients}: {method} {scheduler}, {servers}", service.key())
}

#[cfg(test)]
mod tests;
