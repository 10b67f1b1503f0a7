//! Virtual services and their real servers.

use super::{
    answer::{self, Answer, change, done, done_if, not_found, word},
    called, keys, options,
    rates::Rates,
    traffic::{self, Baseline, add_rate, add_traffic},
};
use crate::{
    config::{options::read_text, report::Complaint},
    control::{
        edit::{change::ChangeError, servers::Wish},
        file::difference::Difference,
        live::running::Current,
        plane::ControlPlane,
    },
    journal::Happened,
};
use lb_core::{
    ids::{ById, ServerId},
    packet::WorkerId,
    service::{
        key::{Protocol, ServerKey, ServiceKey},
        option::{Kind, Value},
        plan::{Admin, Health, Method, Plan, ServerPlan, ServicePlan},
        snapshot::Service,
    },
};
use lb_ctl::protocol::{
    Code, Cursor, Refusal, Reply,
    events::Kind as Happening,
    options::Options,
    services::{
        NewService, Rate, Request, Server, ServerChange, Service as Listed, ServiceChange, Services,
        Thresholds, Traffic, Tunnel,
    },
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Servers on one page, at most.
const PAGE: usize = 2_000;

pub(super) fn answer(
    plane: &ControlPlane,
    (rates, baseline): (&Rates, &Baseline),
    request: Request,
    who: &str,
) -> Answer {
    let running = &plane.running;
    match request {
        Request::List { name, cursor } => list(plane, (rates, baseline), name.as_deref(), cursor),
        Request::Clear { service } => clear(plane, baseline, service.as_deref()),
        Request::Add(new) => change(running, who, |plan| add(plan, new)),
        Request::Change(wanted) => change(running, who, |plan| modify(plan, &wanted)),
        Request::Remove { name } => change(running, who, |plan| remove(plan, &name)),
        Request::AddServer { service, address, port, options } => {
            change(running, who, |plan| add_server(plan, &service, (address, port), &options))
        }
        Request::ChangeServer(wanted) => modify_server(plane, &wanted, who),
        Request::RemoveServer { service, address, port } => {
            change(running, who, |plan| remove_server(plan, &service, (address, port)))
        }
    }
}

/// What the servers of a service, or of all, have counted counts no more.
fn clear(plane: &ControlPlane, baseline: &Baseline, name: Option<&str>) -> Answer {
    let Current { plan, snapshot, .. } = plane.running.current();
    let key = name.map(|name| called::service(&plan, name).map(ServicePlan::key)).transpose()?;
    let services = snapshot.configured().map(|(_, service)| service);
    let meant = services.filter(|service| key.is_none_or(|key| service.key() == key));
    let servers = meant.flat_map(|service| &service.servers);
    baseline.clear(&snapshot, servers.map(|&id| (id, traffic::of_server(&plane.running, id))));
    Ok(done())
}

fn list(
    plane: &ControlPlane,
    told: (&Rates, &Baseline),
    name: Option<&str>,
    cursor: Option<Cursor>,
) -> Answer {
    let Current { plan, snapshot, .. } = plane.running.current();
    let key = name.map(|name| called::service(&plan, name).map(ServicePlan::key)).transpose()?;
    let mut services = Vec::new();
    let mut room = PAGE;
    let mut next = None;
    let Cursor { of, at } = cursor.unwrap_or(Cursor { of: 0, at: 0 });
    // Both are in the operator's order.
    let configured = plan.services.iter().zip(snapshot.configured().map(|(_, service)| service));
    let configured = (0..).zip(configured).skip(of as usize);
    for (place, (plan, service)) in
        configured.filter(|(_, (plan, _))| key.is_none_or(|key| plan.key() == key))
    {
        let from = if place == of { (at as usize).min(service.servers.len()) } else { 0 };
        if room == 0 {
            next = Some(Cursor { of: place, at: 0 });
            break;
        }
        let to = service.servers.len().min(from + room);
        services.push(list_service(plane, told, &snapshot.servers, (plan, service), from..to));
        // A service without servers takes room as well.
        room -= (to - from).max(1).min(room);
        if to < service.servers.len() {
            next = Some(Cursor { of: place, at: to as u32 });
            break;
        }
    }
    let director = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Reply::Services(Services { director, capacity: plane.running.capacity() as u64, services, next }))
}

fn list_service(
    plane: &ControlPlane,
    (rates, baseline): (&Rates, &Baseline),
    servers: &ById<ServerId, lb_core::service::snapshot::Server>,
    (plan, service): (&ServicePlan, &Service),
    range: std::ops::Range<usize>,
) -> Listed {
    let running = &plane.running;
    let counted = |id: ServerId| baseline.since(id, servers[id].named, traffic::of_server(running, id));
    let mut sum = Traffic::default();
    let mut rate = Rate::default();
    for &id in &service.servers {
        add_traffic(&mut sum, &counted(id));
        add_rate(&mut rate, &rates.of_server(id));
    }
    let listed = service.servers[range].iter().map(|&id| {
        let server = &servers[id].plan;
        let (load, limits) = (running.board.total(id), server.limits());
        let drains = plane.servers.drains_within(&service.key().server(server.endpoint()));
        Server {
            endpoint: server.endpoint().into(),
            weight: server.effective_weight(),
            configured_weight: server.weight,
            state: server.admin.to_string(),
            health: health(server.health).to_owned(),
            drains_within_ms: drains.map(|left| left.as_millis() as u64),
            description: server.description.clone(),
            tunnel: servers[id].tunnel.map(|to| Tunnel {
                kind: to.tunnel.kind.to_string(),
                port: to.tunnel.kind.is_udp().then_some(to.tunnel.port),
                checksum: to.tunnel.checksum,
            }),
            thresholds: limits.is_some().then(|| Thresholds {
                upper: limits.upper,
                lower: limits.lower,
                full: limits.is_full(load.total(), running.board.view(WorkerId(0)).was_full(id)),
            }),
            quic: server.quic_names().map(|name| name.to_string()).collect(),
            active: u64::from(load.active),
            inactive: u64::from(load.inactive),
            traffic: counted(id),
            rate: rates.of_server(id),
        }
    });
    Listed {
        name: plan.name.clone(),
        description: plan.description.clone(),
        key: keys::service_told(plan.key()),
        reach: keys::reach_told(plan.reach()),
        method: plan.method.to_string(),
        scheduler: plan.scheduler.to_string(),
        flags: plan.flags().map(str::to_owned).collect(),
        adopt: plan.adopt,
        options: options::values(ServicePlan::OPTIONS, plan),
        traffic: sum,
        rate,
        servers: listed.collect(),
    }
}

pub(super) fn add(plan: &mut Plan, new: NewService) -> Answer {
    let name = Value::Text(new.name.clone()).to_string();
    read_text(&Kind::Name, &name)
        .map_err(|Complaint { what, remedy }| Refusal::new(Code::Invalid, format!("{what}; {remedy}")))?;
    let protocol = keys::meant(new.protocol);
    if !Protocol::ALL.contains(&protocol) {
        let what = format!("no service has protocol {protocol}; use one of {}", Protocol::NAMES.join(", "));
        return Err(Refusal::new(Code::Invalid, what));
    }
    let key = ServiceKey::new(protocol, SocketAddr::new(new.vip, new.port));
    let method = word("method", &new.method, Method::ALL, Method::name)?;
    let mut service = ServicePlan { timeouts: plan.timeouts, ..ServicePlan::new(new.name, key, method) };
    options::set(ServicePlan::OPTIONS, &mut service, &new.options)?;
    if plan.service_named(&service.name).is_some() {
        return Err(Refusal::new(Code::Exists, format!("service {:?} exists already", service.name)));
    }
    plan.services.push(service);
    Ok(done())
}

pub(super) fn modify(plan: &mut Plan, wanted: &ServiceChange) -> Answer {
    let service = called_mut(plan, &wanted.name)?;
    let before = (service.key(), service.default_server_port());
    options::set(ServicePlan::OPTIONS, service, &wanted.options)?;
    let has_servers = !service.servers.is_empty();
    if before.0.place() == service.place() && before.0 != service.key() {
        let name = &service.name;
        let what = if service.beside.is_choosy() {
            format!(
                "service {name} is for all clients and known by {}; one for certain clients is known by its name as well, and \
                 its checks and what operators changed go by that: add `from` or `on` to the file and reload, which keeps its \
                 connections, or `add service` for those clients",
                before.0
            )
        } else {
            let all = if service.vip.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            format!(
                "nothing else than this says which clients service {name} is for, and without it the service is known by \
                 {} instead of by its name, by which its checks and what operators changed go: `set service {name} from \
                 {all}` is all clients at once; or remove `from` and `on` from the file and reload, which keeps its connections",
                service.key()
            )
        };
        return Err(Refusal::new(Code::Invalid, what));
    }
    if before.0 != service.key() {
        let what = format!(
            "service {} is known by {}: that stays its first; `add service` makes another",
            service.name, before.0
        );
        return Err(Refusal::new(Code::Invalid, what));
    }
    if before.1 != service.default_server_port() && has_servers {
        let what = format!(
            "the servers of {} have its one port, and would have the one that clients ask for, or the other way round: \
             delete them first, or change the file and reload",
            service.name
        );
        return Err(Refusal::new(Code::Invalid, what));
    }
    Ok(done())
}

pub(super) fn remove(plan: &mut Plan, name: &str) -> Answer {
    let key = called::service(plan, name)?.key();
    plan.services.retain(|service| service.key() != key);
    Ok(done())
}

pub(super) fn add_server(
    plan: &mut Plan,
    service: &str,
    (address, port): (IpAddr, Option<u16>),
    options: &Options,
) -> Answer {
    let service = called_mut(plan, service)?;
    let mut server = ServerPlan::new(address, port.unwrap_or(service.default_server_port()), 1);
    options::set(ServerPlan::OPTIONS, &mut server, options)?;
    service.servers.push(server);
    Ok(done())
}

pub(super) fn remove_server(
    plan: &mut Plan,
    service: &str,
    (address, port): (IpAddr, Option<u16>),
) -> Answer {
    let key = find(plan, service, address, port)?;
    let service = called_mut(plan, service)?;
    service.servers.retain(|server| server.endpoint() != key.endpoint());
    Ok(done())
}

fn modify_server(plane: &ControlPlane, wanted: &ServerChange, who: &str) -> Answer {
    let (running, servers) = (&plane.running, &plane.servers);
    let ServerChange { service, address, port, state, within_ms, options } = wanted;
    let state = state.as_ref().map(|state| word("state", state, Admin::ALL, Admin::name)).transpose()?;
    if within_ms.is_some() && state != Some(Admin::Draining) {
        return Err(Refusal::new(
            Code::Invalid,
            "`within` is for draining only, as in `state drain within 5m`",
        ));
    }
    let key = find(&running.current().operators_plan(), service, *address, *port)?;
    let wish = Wish { admin: state, within: within_ms.map(Duration::from_millis) };
    let mut lines = Vec::new();
    let set = |server: &mut ServerPlan| {
        let before = server.clone();
        options::set(ServerPlan::OPTIONS, server, options)
            .map_err(|why| ChangeError::refused(why.message))?;
        let after = ServerPlan { admin: state.unwrap_or(server.admin), ..server.clone() };
        lines = Difference::of_servers(&key, &before, &after);
        Ok(())
    };
    servers.set(running, &key, wish, set).map_err(|error| answer::change_refused(&error))?;
    let (kind, text) = match (state, within_ms) {
        (Some(Admin::Enabled), _) => (Happening::ServerEnabled, "server is enabled".to_owned()),
        (Some(Admin::Draining), Some(within)) => (
            Happening::ServerDrained,
            format!("server is drained, and disabled in {} s", within.div_ceil(1_000)),
        ),
        (Some(Admin::Draining), None) => (Happening::ServerDrained, "server is drained".to_owned()),
        (Some(Admin::Disabled), _) => (Happening::ServerDisabled, "server is disabled".to_owned()),
        (None, _) => (Happening::Changed, "server is changed".to_owned()),
    };
    let happened = Happened::new(kind, text).service(service).server(key.endpoint()).by(who);
    running.journal.tell(happened.details(lines.iter().map(ToString::to_string)));
    Ok(done_if(!lines.is_empty() || within_ms.is_some()))
}

/// The service that is called so, to be changed.
fn called_mut<'a>(plan: &'a mut Plan, name: &str) -> Result<&'a mut ServicePlan, Refusal> {
    let key = called::service(plan, name)?.key();
    plan.service_mut(&key).ok_or_else(|| not_found("service", name, []))
}

/// The server that is meant by its address, and by its port where the service has several there.
fn find(plan: &Plan, name: &str, address: IpAddr, port: Option<u16>) -> Result<ServerKey, Refusal> {
    let service = called::service(plan, name)?;
    let is_it = |key: &ServerKey| key.address == address && port.is_none_or(|port| key.port == port);
    let mut found = service.keyed_servers().map(|(key, _)| key).filter(is_it);
    let known = || service.servers.iter().map(|server| server.endpoint().to_string());
    let wanted = port.map_or_else(|| address.to_string(), |port| format!("{address}:{port}"));
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => {
            let what = format!("service {} has several servers at {address}: add the port", service.name);
            Err(Refusal::new(Code::Invalid, what))
        }
        (None, _) => Err(not_found(&format!("server of service {}", service.name), &wanted, known())),
    }
}

pub(super) fn health(health: Health) -> &'static str {
    match health {
        Health::Up => "up",
        Health::Warming(_) => "warming",
        Health::Down => "down",
        Health::Inhibited => "inhibited",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Limits};

    fn plan(clients: &str) -> Plan {
        let text = format!(
            "[[ports]]\nname = \"wan\"\ndevice = \"net_null0\"\naddresses = [\"192.0.2.1/24\"]\n[[services]]\nname = \"web\"\n\
             vip = \"192.0.2.100\"\nport = 80\nprotocol = \"tcp\"\nmethod = \"dr\"\n{clients}\n"
        );
        let limits = Limits { workers: 1, available_bytes: u64::MAX };
        config::parse("lb.toml", &text, limits).expect("sound").plan
    }

    #[test]
    fn what_a_service_is_known_by_stays_and_the_refusal_says_what_to_do_instead() {
        let set = |plan: &mut Plan, key: &str, value: &str| {
            let options = Options::from([(key.to_owned(), value.into())]);
            modify(plan, &ServiceChange { name: "web".to_owned(), options }).map_err(|why| why.message)
        };
        let mut choosy = plan("from = [\"203.0.113.0/24\"]");
        let why = set(&mut choosy.clone(), "from", "all").unwrap_err();
        assert!(why.contains("`set service web from 0.0.0.0/0` is all clients at once"), "{why}");
        assert!(why.contains("remove `from` and `on` from the file and reload"), "{why}");
        assert!(set(&mut choosy, "from", "0.0.0.0/0").is_ok(), "what it says to do is done");
        let mistakes = lb_core::service::from::mistakes(&choosy.services[0], &choosy.interfaces);
        assert_eq!(mistakes, [], "and can be");
        let mut on = plan("from = [\"203.0.113.0/24\"]\non = [\"wan\"]");
        assert!(set(&mut on, "from", "all").is_ok(), "the port of arrival still says it");
        let why = set(&mut plan(""), "from", "203.0.113.0/24").unwrap_err();
        assert!(why.contains("add `from` or `on` to the file and reload"), "{why}");
    }
}
