//! What a reload makes of three plans: what the file said before, what it says now, and what runs. Where the file has
//! changed it counts; everything else stays as it is, so that nobody's edits at run time are undone by a changed comment.
//! Going back merges the same way: what was changed since the reload counts, everything else is as it was before.

use lb_core::{
    conn::timeouts::Timeouts,
    service::{
        option::{Opt, Value, from_table, to_table},
        plan::{
            DirectorPlan, InterfacePlan, Plan, RoutePlan, ServerPlan, ServicePlan, SnatPlan, VipPlan,
            timeouts::TIMEOUTS,
        },
    },
};
use std::{collections::HashMap, hash::Hash};

/// The plan that `running` becomes when the file, which said `before`, says `file`.
pub(super) fn merge(before: &Plan, running: &Plan, file: &Plan) -> Plan {
    let [before, running, file] = [before, running, file].map(Plan::without_health);
    let Plan {
        ports,
        interfaces,
        routes,
        timeouts,
        services,
        snat,
        vips,
        tunnel_local,
        tunnel_sources,
        verify_checksums,
        redirection_len: _,
        zero_window: _,
        director,
        held: _,
        host_ports: _,
    } = &file;
    Plan {
        // Other ones take a restart, and so do other interfaces.
        ports: if names(&running.ports, |port| &port.name).eq(names(ports, |port| &port.name)) {
            running.ports.clone()
        } else {
            ports.clone()
        },
        interfaces: if names(&running.interfaces, |on| &on.name).eq(names(interfaces, |on| &on.name)) {
            let known = before.interfaces.iter().zip(&running.interfaces).zip(interfaces);
            known.map(|((before, running), file)| merge_interface(before, running, file)).collect()
        } else {
            interfaces.clone()
        },
        routes: merge_all([&before.routes, &running.routes, routes], |route| route.to, merge_route),
        timeouts: merge_timeouts(&before.timeouts, &running.timeouts, timeouts),
        services: merge_all([&before.services, &running.services, services], ServicePlan::key, merge_service),
        snat: merge_all([&before.snat, &running.snat, snat], |rule| rule.name.clone(), merge_snat),
        vips: merge_all([&before.vips, &running.vips, vips], |vip| vip.address, merge_vip),
        tunnel_local: *last(&before.tunnel_local, &running.tunnel_local, tunnel_local),
        tunnel_sources: last(&before.tunnel_sources, &running.tunnel_sources, tunnel_sources).clone(),
        verify_checksums: *last(&before.verify_checksums, &running.verify_checksums, verify_checksums),
        redirection_len: running.redirection_len,
        zero_window: running.zero_window.clone(),
        held: running.held.clone(),
        host_ports: running.host_ports.clone(),
        director: merge_options(DirectorPlan::OPTIONS, &before.director, &running.director, director),
    }
}

fn names<T>(things: &[T], name: impl Fn(&T) -> &String) -> impl Iterator<Item = &String> {
    things.iter().map(name)
}

/// What the file says now, if that is not what it said before; otherwise what runs.
fn last<'a, T: PartialEq>(before: &T, running: &'a T, file: &'a T) -> &'a T {
    if before == file { running } else { file }
}

/// The same for things that come and go. Those of the file are first, in its order.
fn merge_all<T: Clone + PartialEq, K: Hash + Eq>(
    [before, running, file]: [&[T]; 3],
    key: impl Fn(&T) -> K,
    merge: impl Fn(&T, &T, &T) -> T,
) -> Vec<T> {
    let [old, now, new] = [before, running, file]
        .map(|things| things.iter().map(|thing| (key(thing), thing)).collect::<HashMap<K, &T>>());
    let of_file = file.iter().filter_map(|thing| {
        let key = key(thing);
        match (old.get(&key), now.get(&key)) {
            (Some(before), Some(running)) => Some(merge(before, running, thing)),
            // Somebody has taken it away, and the file has nothing new to say of it.
            (Some(before), None) if *before == thing => None,
            _ => Some(thing.clone()),
        }
    });
    let added = running.iter().filter(|thing| {
        let key = key(thing);
        !old.contains_key(&key) && !new.contains_key(&key)
    });
    of_file.chain(added.cloned()).collect()
}

fn merge_interface(before: &InterfacePlan, running: &InterfacePlan, file: &InterfacePlan) -> InterfacePlan {
    let InterfacePlan { name, port, tags, mac: _, own_mac, addresses, mtu } = file;
    InterfacePlan {
        name: name.clone(),
        port: *port,
        tags: *tags,
        // As it turned out to be.
        mac: running.mac,
        own_mac: *own_mac,
        addresses: last(&before.addresses, &running.addresses, addresses).clone(),
        mtu: *mtu,
    }
}

fn merge_route(before: &RoutePlan, running: &RoutePlan, file: &RoutePlan) -> RoutePlan {
    let RoutePlan { to, via: _, interface: _ } = file;
    let router = |route: &RoutePlan| (route.via, route.interface);
    let (via, interface) = *last(&router(before), &router(running), &router(file));
    RoutePlan { to: *to, via, interface }
}

fn merge_vip(before: &VipPlan, running: &VipPlan, file: &VipPlan) -> VipPlan {
    merge_options(VipPlan::OPTIONS, before, running, file)
}

fn merge_snat(before: &SnatPlan, running: &SnatPlan, file: &SnatPlan) -> SnatPlan {
    merge_options(SnatPlan::OPTIONS, before, running, file)
}

fn merge_service(before: &ServicePlan, running: &ServicePlan, file: &ServicePlan) -> ServicePlan {
    let servers = [&before.servers, &running.servers, &file.servers].map(Vec::as_slice);
    ServicePlan {
        servers: merge_all(servers, ServerPlan::endpoint, merge_server),
        ..merge_options(ServicePlan::OPTIONS, before, running, file)
    }
}

fn merge_server(before: &ServerPlan, running: &ServerPlan, file: &ServerPlan) -> ServerPlan {
    merge_options(ServerPlan::OPTIONS, before, running, file)
}

fn merge_timeouts(before: &Timeouts, running: &Timeouts, file: &Timeouts) -> Timeouts {
    let mut merged = *running;
    let [before, running, file] = [before, running, file].map(|timeouts| to_table(TIMEOUTS, timeouts));
    let is_of_its_kind = from_table(TIMEOUTS, &mut merged, &merge_value(Some(&before), Some(&running), file));
    debug_assert!(is_of_its_kind, "timeouts are");
    merged
}

/// What runs, with the options that the file has changed.
fn merge_options<P: Clone>(options: &'static [Opt<P>], before: &P, running: &P, file: &P) -> P {
    let mut merged = running.clone();
    for option in options.iter().filter(|option| option.field.is_in_file()) {
        let [before, running, file] = [before, running, file].map(option.get);
        if before == file {
            continue;
        }
        match file {
            Some(file) => {
                let value = merge_value(before.as_ref(), running.as_ref(), file);
                let is_of_its_kind = (option.set)(&mut merged, &value);
                debug_assert!(is_of_its_kind, "{}: {value}", option.field.key);
            }
            // The file said it and does not any more. Of two that say the same, the other one is said now.
            None => (option.unset)(&mut merged),
        }
    }
    merged
}

/// What the file says of an option, key by key where it is a table.
fn merge_value(before: Option<&Value>, running: Option<&Value>, file: Value) -> Value {
    let Value::Table(pairs) = file else {
        let same = before.filter(|before| **before == file).and(running).cloned();
        return same.unwrap_or(file);
    };
    let pairs =
        pairs.into_iter().map(|(key, value)| (key, merge_value(of(before, key), of(running, key), value)));
    Value::Table(pairs.collect())
}

fn of<'a>(table: Option<&'a Value>, key: &str) -> Option<&'a Value> {
    let Some(Value::Table(pairs)) = table else { return None };
    pairs.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Limits};
    use lb_core::service::plan::{Admin, Health, Role, SchedulerKind};

    const FILE: &str = r#"
        [[ports]]
        name = "wan"
        device = "net_null0"
        addresses = ["192.0.2.1/24", "198.51.100.1/24"]
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
        [[services]]
        name = "dns"
        vip = "192.0.2.100"
        port = 53
        protocol = "udp"
        method = "nat"
        servers = [{ address = "198.51.100.11" }]
    "#;

    fn parse(edits: &[(&str, &str)]) -> Plan {
        let text = edits.iter().fold(FILE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from} is there");
            text.replacen(from, to, 1)
        });
        config::parse("lb.toml", &text, Limits { workers: 1, available_bytes: u64::MAX }).expect("sound").plan
    }

    /// What an operator did at run time.
    fn edited() -> Plan {
        let mut plan = parse(&[]);
        plan.redirection_len = 128;
        plan.interfaces[0].mac.0 = [2, 0, 0, 0, 0, 1];
        plan.routes[0].via = [192, 0, 2, 253].into();
        let web = &mut plan.services[0];
        (web.scheduler, web.hash_port, web.adopt) = (SchedulerKind::Mh, true, true);
        web.timeouts.set(lb_core::conn::state::State::Udp, lb_core::time::Duration::from_secs(9));
        (web.servers[0].admin, web.servers[0].weight) = (Admin::Draining, 5);
        web.servers[1].health = Health::Down;
        web.servers.push(ServerPlan::new([198, 51, 100, 13], 80, 3));
        let mut new = web.clone();
        (new.name, new.port) = ("new".to_owned(), 81);
        // Somebody has taken "dns" away.
        plan.services[1] = new;
        plan
    }

    #[test]
    fn a_changed_comment_undoes_nothing() {
        let (file, running) = (parse(&[]), edited());
        let merged = merge(&file, &running, &parse(&[("name = \"web\"", "name = \"web\" # the shop")]));
        assert_eq!(merged.services, running.without_health().services);
        assert_eq!((&merged.routes, merged.redirection_len), (&running.routes, 128));
        assert_eq!(merged.interfaces[0].mac, running.interfaces[0].mac);
    }

    #[test]
    fn a_role_that_was_set_stays_until_the_file_has_another() {
        let file = parse(&[]);
        let mut running = file.clone();
        running.director.role = Role::Standby;
        let unchanged = merge(&file, &running, &parse(&[("name = \"web\"", "name = \"shop\"")]));
        assert_eq!(unchanged.director.role, Role::Standby);
        let standby = parse(&[("[[ports]]", "[director]\nrole = \"standby\"\n[[ports]]")]);
        assert_eq!(merge(&standby, &running, &file).director.role, Role::Active);
    }

    #[test]
    fn every_option_has_a_value_that_can_be_merged() {
        fn all_have<P>(options: &'static [Opt<P>], of: &P) {
            for option in options.iter().filter(|option| option.field.is_in_file()) {
                // What is unset is said by the other option, whose setting unsets it.
                let is_set = (option.get)(of).is_some() || option.field.instead.is_some();
                assert!(is_set, "{} may be unset, which nobody merges", option.field.key);
            }
        }
        let plan = parse(&[]);
        all_have(ServicePlan::OPTIONS, &plan.services[0]);
        all_have(ServerPlan::OPTIONS, &plan.services[0].servers[0]);
        all_have(VipPlan::OPTIONS, &VipPlan::new([192, 0, 2, 100]));
        all_have(TIMEOUTS, &plan.timeouts);
        all_have(DirectorPlan::OPTIONS, &plan.director);
    }

    #[test]
    fn where_the_file_has_changed_it_counts() {
        let (file, running) = (parse(&[]), edited());
        let merge = |edits: &[(&str, &str)]| merge(&file, &running, &parse(edits));
        let server = "{ address = \"198.51.100.11\"";
        let merged = merge(&[(server, "{ address = \"198.51.100.11\", weight = 7")]);
        let first = &merged.services[0].servers[0];
        assert_eq!((first.weight, first.admin), (7, Admin::Draining), "its weight and nothing else");
        assert_eq!(
            merge(&[(server, "{ address = \"198.51.100.11\", state = \"disabled\"")]).services[0].servers[0]
                .admin,
            Admin::Disabled
        );
        // The file takes away and adds servers, and so did somebody.
        let merged = merge(&[(", { address = \"198.51.100.12\" }", ", { address = \"198.51.100.14\" }")]);
        let servers: Vec<String> =
            merged.services[0].servers.iter().map(|server| server.address.to_string()).collect();
        assert_eq!(servers, ["198.51.100.11", "198.51.100.14", "198.51.100.13"]);
        // What was taken away is back when the file has something new to say of it.
        let merged = merge(&[("name = \"dns\"", "name = \"names\"")]);
        let names: Vec<&str> = merged.services.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(names, ["web", "names", "new"]);
        // Another scheduler has no use for the flag.
        let merged = merge(&[("method = \"nat\"", "method = \"nat\"\nscheduler = \"rr\"")]);
        assert_eq!((merged.services[0].scheduler, merged.services[0].hash_port), (SchedulerKind::Rr, false));
        let merged = merge(&[("method = \"nat\"", "method = \"nat\"\ntimeouts = { established = \"1h\" }")]);
        let expected = parse(&[(
            "method = \"nat\"",
            "method = \"nat\"\ntimeouts = { established = \"1h\", udp = \"9s\" }",
        )]);
        assert_eq!(merged.services[0].timeouts, expected.services[0].timeouts, "key by key");
        let merged = merge(&[("via = \"192.0.2.254\"", "via = \"192.0.2.252\"")]);
        let routers: Vec<String> = merged.routes.iter().map(|route| route.via.to_string()).collect();
        assert_eq!(routers, ["192.0.2.252"], "there is one route to a network");
        let merged = merge(&[("\"192.0.2.1/24\", ", "\"192.0.2.1/24\", \"203.0.113.1/24\", ")]);
        assert_eq!(merged.interfaces[0].addresses.len(), 3);
    }
}
