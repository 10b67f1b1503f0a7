//! The differences between the running configuration and a file, line by line.

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
    option::{Effect, Opt, Value},
    plan::{
        DirectorPlan, InterfacePlan, Plan, RoutePlan, ServerPlan, ServicePlan, SnatPlan, VipPlan,
        timeouts::TIMEOUTS,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
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

/// One thing that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// How.
    pub(crate) kind: Kind,
    /// What, and from what to what.
    pub(crate) text: String,
    /// The same, if it is there and changes.
    change: Option<Change>,
}

/// What changes, and from what to what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    what: String,
    before: String,
    after: String,
}

/// How something is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is there, and changes.
    Changed,
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
        // Without a word in the file the capacity that there is will do, whatever services are added.
        if after.capacity_v6_is_given {
            changed(restart, "workers: connections_v6", before.capacity.v6, after.capacity.v6);
        }
        // Without a word in the file the capacity that there is will do, or the change is refused.
        if after.room_is_given {
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
        sets(live, "snat", &rules(before), &rules(after));
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

impl Line {
    fn new(kind: Kind, text: String) -> Self {
        Line { kind, text, change: None }
    }

    fn change(what: &str, before: &str, after: &str, remark: &str) -> Self {
        let text = format!("{what} {before} -> {after}{remark}");
        let change = Change { what: what.to_owned(), before: before.to_owned(), after: after.to_owned() };
        Line { kind: Kind::Changed, text, change: Some(change) }
    }

    /// The same of what an operator made of the file at run time and a reload keeps.
    pub(crate) fn kept(&self) -> String {
        match &self.change {
            Some(Change { what, before, after }) => match (what.strip_suffix(": state"), after.as_str()) {
                (Some(server), "drain") => {
                    format!("kept: {server}: drained by operator; the file says {before}")
                }
                (Some(server), state) => {
                    format!("kept: {server}: {state} by operator; the file says {before}")
                }
                _ => format!("kept: {what} {after}: set by operator; the file says {before}"),
            },
            None if self.kind == Kind::Removed => format!("kept: {}: removed by operator", self.text),
            None => format!("kept: {}: added by operator", self.text),
        }
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.kind {
            Kind::Added => '+',
            Kind::Removed => '-',
            Kind::Changed => '~',
        };
        write!(f, "{mark} {}", self.text)
    }
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

#[expect(clippy::needless_pass_by_value, reason = "calls read better without borrowing what they compute")]
fn changed<T: PartialEq + Display>(lines: &mut Vec<Line>, what: &str, before: T, after: T) {
    if before != after {
        lines.push(Line::change(what, &before.to_string(), &after.to_string(), ""));
    }
}

/// The options of something that are different.
fn options<P>(lines: &mut Vec<Line>, what: &str, options: &'static [Opt<P>], before: &P, after: &P) {
    options_of(lines, what, options, (before, after), |_| true);
}

/// The same of those whose keys are meant.
fn options_of<P>(
    lines: &mut Vec<Line>,
    what: &str,
    options: &'static [Opt<P>],
    (before, after): (&P, &P),
    is_meant: impl Fn(&str) -> bool,
) {
    for option in options.iter().filter(|option| option.field.is_in_file() && is_meant(option.field.key)) {
        let remark = match option.field.effect {
            Effect::Live => "",
            Effect::EndsConnections => "; its connections end",
        };
        let values = ((option.get)(before), (option.get)(after));
        value(lines, &format!("{what}: {}", option.field.key), values, remark);
    }
}

/// A value that may be different: key by key where it is a table of the same type as before.
fn value(lines: &mut Vec<Line>, what: &str, values: (Option<Value>, Option<Value>), remark: &str) {
    match values {
        (before, after) if before == after => {}
        (Some(Value::Table(before)), Some(Value::Table(after))) if of_type(&before) == of_type(&after) => {
            let gone = before.iter().filter(|(key, _)| of_key(&after, key).is_none());
            for (key, _) in after.iter().chain(gone) {
                let values = (of_key(&before, key).cloned(), of_key(&after, key).cloned());
                value(lines, &format!("{what}: {key}"), values, remark);
            }
        }
        (before, after) => {
            let plain = |value: Option<Value>| value.map_or("none".to_owned(), |value| value.plain());
            lines.push(Line::change(what, &plain(before), &plain(after), remark));
        }
    }
}

fn of_type<'a>(table: &'a [(&str, Value)]) -> Option<&'a Value> {
    of_key(table, "type")
}

fn of_key<'a>(table: &'a [(&str, Value)], key: &str) -> Option<&'a Value> {
    table.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
}

fn sets<T: Ord + Display>(lines: &mut Vec<Line>, what: &str, before: &[T], after: &[T]) {
    let (before, after): (BTreeSet<&T>, BTreeSet<&T>) = (before.iter().collect(), after.iter().collect());
    let line = |kind, one: &&T| Line::new(kind, format!("{what} {one}"));
    lines.extend(before.difference(&after).map(|gone| line(Kind::Removed, gone)));
    lines.extend(after.difference(&before).map(|new| line(Kind::Added, new)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Limits};
    use lb_core::{
        conn::state::State,
        service::plan::{Admin, Role, SchedulerKind},
        time::Duration,
    };

    const BEFORE: &str = r#"
        [workers]
        connections = 1000
        [[ports]]
        name = "wan"
        device = "net_null0"
        addresses = ["192.0.2.1/24"]
        [[ports]]
        name = "lan"
        device = "net_null1"
        addresses = ["198.51.100.1/24"]
        [[routes]]
        to = "default"
        via = "192.0.2.254"
        [[services]]
        name = "web"
        vip = "192.0.2.100"
        port = 80
        protocol = "tcp"
        method = "nat"
        servers = [{ address = "198.51.100.11" }, { address = "198.51.100.12" }]
    "#;

    fn lines(edits: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let parse = |text: &str| {
            config::parse("lb.toml", text, Limits { workers: 1, available_bytes: u64::MAX }).expect("sound")
        };
        let after = edits.iter().fold(BEFORE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from} is there");
            text.replace(from, to)
        });
        let before = parse(BEFORE);
        let difference = Difference::between(&before, &before.plan, &parse(&after));
        let text = |lines: Vec<Line>| lines.iter().map(Line::to_string).collect();
        (text(difference.live), text(difference.restart))
    }

    #[test]
    fn the_same_is_no_difference() {
        assert_eq!(lines(&[]), (vec![], vec![]));
    }

    /// With `sync` in both tables and then with these edits of it.
    fn lines_of_sync(sync: &str, edits: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let parse = |text: &str| {
            let text = format!("{text}\n{BEFORE}");
            config::parse("lb.toml", &text, Limits { workers: 1, available_bytes: u64::MAX }).expect("sound")
        };
        let after = edits.iter().fold(sync.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from} is there");
            text.replace(from, to)
        });
        let before = parse(sync);
        let difference = Difference::between(&before, &before.plan, &parse(&after));
        let text = |lines: Vec<Line>| lines.iter().map(Line::to_string).collect();
        (text(difference.live), text(difference.restart))
    }

    #[test]
    fn peers_change_while_the_director_runs_and_memory_for_them_at_start() {
        const SYNC: &str =
            "[sync]\nlisten = \"10.0.0.1:4789\"\npeers = [\"10.0.0.2:4789\"]\nkey_file = \"/etc/lb/a.key\"\n";
        let (live, restart) = lines_of_sync(
            SYNC,
            &[
                ("\"10.0.0.2:4789\"", "\"10.0.0.2:4789\", \"10.0.0.3:4789\""),
                ("a.key\"", "b.key\"\nrate = 100\nhold = \"1m\""),
                ("10.0.0.1:4789", "10.0.0.1:4790"),
            ],
        );
        assert_eq!(
            live,
            [
                "~ sync: listen 10.0.0.1:4789 -> 10.0.0.1:4790",
                "~ sync: peers [10.0.0.2:4789] -> [10.0.0.2:4789, 10.0.0.3:4789]",
                "~ sync: key_file /etc/lb/a.key -> /etc/lb/b.key",
                "~ sync: rate 4000 -> 100",
                "~ sync: hold 15m -> 1m",
            ]
        );
        assert_eq!(restart, [""; 0]);
        let (live, restart) = lines_of_sync(SYNC, &[("a.key\"", "a.key\"\nentries = 2048\nrate = 100")]);
        assert_eq!(live, ["~ sync: rate 4000 -> 100"]);
        assert_eq!(restart, ["~ sync: entries 131072 -> 2048"]);
        let (live, restart) = lines_of_sync("", &[("", SYNC)]);
        assert_eq!((live.len(), restart.len()), (0, 3), "there is no thread and no memory");
    }

    #[test]
    fn synchronization_with_ipvs_changes_while_the_director_runs_but_for_what_is_held() {
        const SYNC: &str = "[ipvs_sync]\ninterface = \"eth1\"\nrole = \"both\"\n";
        let (live, restart) = lines_of_sync(
            SYNC,
            &[("eth1", "eth2"), ("\"both\"", "\"backup\"\nsyncid = 7\nttl = 2\nrate = 100")],
        );
        assert_eq!(
            live,
            [
                "~ ipvs_sync: interface eth1 -> eth2",
                "~ ipvs_sync: role both -> backup",
                "~ ipvs_sync: syncid 0 -> 7",
                "~ ipvs_sync: ttl 1 -> 2",
                "~ ipvs_sync: rate 1000 -> 100",
            ]
        );
        assert_eq!(restart, [""; 0]);
        let (live, restart) = lines_of_sync(SYNC, &[("\"both\"", "\"master\"\nsyncid = 7")]);
        assert_eq!(live, ["~ ipvs_sync: syncid 0 -> 7"]);
        assert_eq!(restart, ["~ ipvs_sync: role both -> master"]);
        let (_, restart) = lines_of_sync(SYNC, &[("interface = \"eth1\"\n", "")]);
        assert_eq!(restart, ["~ ipvs_sync: interface eth1 -> none"]);
    }

    #[test]
    fn every_change_has_its_line() {
        let (live, restart) = lines(&[
            ("[{ address = \"198.51.100.11\" }, ", "[{ address = \"198.51.100.13\", weight = 3 }, "),
            (
                "{ address = \"198.51.100.12\" }",
                "{ address = \"198.51.100.12\", state = \"drain\", weight = 7 }",
            ),
            ("via = \"192.0.2.254\"", "via = \"192.0.2.253\""),
            (
                "method = \"nat\"",
                "method = \"nat\"\nscheduler = \"mh\"\ntimeouts = { udp = \"9s\" }\nhealth = { quorum = 2 }",
            ),
            ("[[routes]]", "[[vips]]\naddress = \"192.0.2.100\"\nunserved = \"drop\"\n[[routes]]"),
        ]);
        assert_eq!(
            live,
            [
                "- route 0.0.0.0/0 via 192.0.2.254",
                "+ route 0.0.0.0/0 via 192.0.2.253",
                "~ vip 192.0.2.100: unserved reject -> drop",
                "~ service tcp 192.0.2.100:80: scheduler wlc -> mh",
                "~ service tcp 192.0.2.100:80: timeouts: udp 5m -> 9s",
                "- server 198.51.100.11:80 of tcp 192.0.2.100:80",
                "~ server 198.51.100.12:80 of tcp 192.0.2.100:80: weight 1 -> 7",
                "~ server 198.51.100.12:80 of tcp 192.0.2.100:80: state enabled -> drain",
                "+ server 198.51.100.13:80 of tcp 192.0.2.100:80: weight 3",
                "~ service tcp 192.0.2.100:80: health: quorum 1 -> 2",
            ]
        );
        assert_eq!(restart, [""; 0]);
    }

    #[test]
    fn what_operators_did_is_told_as_that() {
        let limits = Limits { workers: 1, available_bytes: u64::MAX };
        let file = config::parse("lb.toml", BEFORE, limits).expect("sound");
        let mut plan = file.plan.clone();
        plan.director.role = Role::Standby;
        plan.timeouts.set(State::Udp, Duration::from_secs(9));
        plan.routes.clear();
        let web = &mut plan.services[0];
        web.scheduler = SchedulerKind::Mh;
        (web.servers[0].admin, web.servers[0].weight) = (Admin::Draining, 5);
        web.servers[1].admin = Admin::Disabled;
        web.servers.push(ServerPlan::new([198, 51, 100, 13], 80, 3));
        let kept: Vec<String> = Difference::of_plans(&file.plan, &plan).iter().map(Line::kept).collect();
        assert_eq!(
            kept,
            [
                "kept: director: role standby: set by operator; the file says active",
                "kept: route 0.0.0.0/0 via 192.0.2.254: removed by operator",
                "kept: service tcp 192.0.2.100:80: scheduler mh: set by operator; the file says wlc",
                "kept: server 198.51.100.11:80 of tcp 192.0.2.100:80: weight 5: set by operator; the file says 1",
                "kept: server 198.51.100.11:80 of tcp 192.0.2.100:80: drained by operator; the file says enabled",
                "kept: server 198.51.100.12:80 of tcp 192.0.2.100:80: disabled by operator; the file says enabled",
                "kept: server 198.51.100.13:80 of tcp 192.0.2.100:80: weight 3: added by operator",
                "kept: timeouts: udp 9s: set by operator; the file says 5m",
            ]
        );
    }

    #[test]
    fn more_servers_take_no_restart_as_long_as_they_have_room() {
        let servers: Vec<String> = (0..3_000)
            .map(|port| format!("{{ address = \"198.51.100.13\", port = {} }}", 1_000 + port))
            .collect();
        let more = format!("{}, {{ address = \"198.51.100.12\" }}", servers.join(", "));
        let (live, restart) = lines(&[("{ address = \"198.51.100.12\" }", &more)]);
        assert_eq!((live.len(), restart), (3_000, vec![]));
    }

    #[test]
    fn what_was_laid_out_at_start_takes_a_restart() {
        let (live, restart) = lines(&[
            (
                "connections = 1000",
                "connections = 2000\nservers = 10\n[metrics]\nlisten = \"127.0.0.1:9145\"\nconsole = true",
            ),
            (
                "net_null1",
                "net_null2\"\nmtu = 9000\nchecksum_offload = false\ntx_checksum_offload = \"on\"\ntx_vlan_offload = \"off\" #",
            ),
            ("name = \"wan\"", "name = \"outside\""),
        ]);
        assert_eq!(live, [""; 0]);
        assert_eq!(
            restart,
            [
                "~ workers: connections 1000 -> 2000",
                "~ workers: servers 4096 -> 10",
                "~ metrics: listen off -> 127.0.0.1:9145",
                "~ metrics: console false -> true",
                "- port wan",
                "~ port lan: device net_null1 -> net_null2",
                "~ port lan: checksum_offload true -> false",
                "~ port lan: tx_checksum_offload auto -> on",
                "~ port lan: tx_vlan_offload auto -> off",
                "+ port outside",
                "~ port lan: mtu 1500 -> 9000",
            ]
        );
    }

    #[test]
    fn a_service_that_is_for_other_clients_is_the_same_one() {
        const FROM: &str = "name = \"web\"\nfrom = [\"203.0.113.0/24\"]";
        let parse = |text: &str| {
            let text = BEFORE.replace("name = \"web\"", text);
            config::parse("lb.toml", &text, Limits { workers: 1, available_bytes: u64::MAX }).expect("sound")
        };
        let lines = |before: &Config, after: &Config| -> Vec<String> {
            Difference::between(before, &before.plan, after).live.iter().map(Line::to_string).collect()
        };
        let before = parse(FROM);
        let after = parse("name = \"web\"\nfrom = [\"198.18.0.0/15\"]\non = [\"wan\"]");
        assert_eq!(
            lines(&before, &after),
            [
                "~ service tcp 192.0.2.100:80 web: from [203.0.113.0/24] -> [198.18.0.0/15]",
                "~ service tcp 192.0.2.100:80 web: on [] -> [wan]",
            ]
        );
        let servers = "nat wlc, 198.51.100.11:80, 198.51.100.12:80";
        let for_all = parse("name = \"web\"");
        assert_eq!(
            lines(&before, &for_all),
            [
                format!("- service tcp 192.0.2.100:80 web from 203.0.113.0/24: {servers}"),
                format!("+ service tcp 192.0.2.100:80 (web): {servers}"),
            ]
        );
    }

    #[test]
    fn services_come_and_go() {
        let (live, _) = lines(&[("port = 80\n", "port = 443\n")]);
        assert_eq!(
            live,
            [
                "- service tcp 192.0.2.100:80 (web): nat wlc, 198.51.100.11:80, 198.51.100.12:80",
                "+ service tcp 192.0.2.100:443 (web): nat wlc, 198.51.100.11:443, 198.51.100.12:443",
            ]
        );
    }
}
