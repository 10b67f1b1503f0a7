//! Virtual services and their real servers.

use super::{Answer, Api, change, done, not_found, protocol, v4, word};
use crate::control::{
    edit::{change::ChangeError, servers::ServerKey},
    live::running::{Current, Running},
};
use lb_core::{
    counters::ServerTraffic,
    service::{
        plan::{self, Admin, Health, Method, Plan, SchedulerKind, ServerPlan, ServicePlan},
        snapshot::Service,
    },
    time::Duration as Span,
};
use lb_ctl::protocol::{
    Code, Cursor, Protocol, Refusal, Reply,
    services::{
        NewService, Rate, Request, Server, ServerChange, Service as Listed, ServiceChange, Services, Traffic,
    },
};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// Servers on one page, at most.
const PAGE: usize = 2_000;
/// Longest name of a service, in bytes.
const MAX_NAME: usize = 64;

impl Api {
    pub(super) fn services(&self, running: &Running, request: Request) -> Answer {
        match request {
            Request::List { name, cursor } => self.list(running, name.as_deref(), cursor),
            Request::Add(new) => add(running, new),
            Request::Change(wanted) => modify(running, &wanted),
            Request::Remove { name } => change(running, |plan| {
                let at = position(plan, &name)?;
                plan.services.remove(at);
                Ok(done())
            }),
            Request::AddServer { service, address, port, weight } => change(running, |plan| {
                let address = v4(address)?;
                let at = position(plan, &service)?;
                let service = &mut plan.services[at];
                service.servers.push(ServerPlan::new(
                    address,
                    port.unwrap_or(service.port),
                    weight.unwrap_or(1),
                ));
                Ok(done())
            }),
            Request::ChangeServer(wanted) => modify_server(running, &wanted),
            Request::RemoveServer { service, address, port } => change(running, |plan| {
                let (service, server) = find(plan, &service, address, port)?;
                plan.services[service].servers.remove(server);
                Ok(done())
            }),
        }
    }

    fn list(&self, running: &Running, name: Option<&str>, cursor: Option<Cursor>) -> Answer {
        let Current { plan, snapshot, .. } = running.current();
        if let Some(name) = name {
            position(&plan, name)?;
        }
        let mut services = Vec::new();
        let mut room = PAGE;
        let mut next = None;
        let Cursor { of, at } = cursor.unwrap_or(Cursor { of: 0, at: 0 });
        let configured = (0..).zip(snapshot.configured()).skip(of as usize);
        for (place, (_, service)) in
            configured.filter(|(_, (_, service))| name.is_none_or(|name| service.name == name))
        {
            let from = if place == of { (at as usize).min(service.servers.len()) } else { 0 };
            if room == 0 {
                next = Some(Cursor { of: place, at: 0 });
                break;
            }
            let to = service.servers.len().min(from + room);
            services.push(self.list_service(running, &snapshot.servers, service, from..to));
            // A service without servers takes room as well.
            room -= (to - from).max(1).min(room);
            if to < service.servers.len() {
                next = Some(Cursor { of: place, at: to as u32 });
                break;
            }
        }
        let director = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Reply::Services(Services { director, capacity: running.capacity() as u64, services, next }))
    }

    fn list_service(
        &self,
        running: &Running,
        servers: &[lb_core::service::snapshot::Server],
        service: &Service,
        range: std::ops::Range<usize>,
    ) -> Listed {
        let mut sum = Traffic::default();
        let mut rate = Rate::default();
        for &number in &service.servers {
            add_traffic(&mut sum, &traffic(running, number));
            add_rate(&mut rate, &self.rates.of_server(number));
        }
        let listed = service.servers[range].iter().map(|&number| {
            let server = &servers[number as usize].plan;
            let load = running.board.total(number);
            let key = ServerKey {
                protocol: service.protocol,
                service: std::net::SocketAddrV4::new(service.vip, service.port),
                server: std::net::SocketAddrV4::new(server.address, server.port),
            };
            let drains = running.drains_within(&key);
            Server {
                address: server.address.into(),
                port: server.port,
                weight: server.effective_weight(),
                configured_weight: server.weight,
                state: server.admin.to_string(),
                health: health(server.health).to_owned(),
                drains_within_ms: drains.map(|left| left.as_millis() as u64),
                active: u64::from(load.active),
                inactive: u64::from(load.inactive),
                traffic: traffic(running, number),
                rate: self.rates.of_server(number),
            }
        });
        let flag = match (service.hash_port, service.scheduler_kind) {
            (true, SchedulerKind::Sh) => Some("sh-port"),
            (true, SchedulerKind::Mh) => Some("mh-port"),
            _ => None,
        };
        Listed {
            name: service.name.clone(),
            protocol: protocol(service.protocol),
            vip: service.vip.into(),
            port: service.port,
            method: service.method.to_string(),
            scheduler: service.scheduler_kind.to_string(),
            flags: flag.map(str::to_owned).into_iter().collect(),
            adopt: service.adopt,
            traffic: sum,
            rate,
            servers: listed.collect(),
        }
    }
}

fn add(running: &Running, new: NewService) -> Answer {
    let name_is_good = !new.name.is_empty()
        && new.name.len() <= MAX_NAME
        && !new.name.contains(|c: char| c.is_whitespace() || c.is_control());
    if !name_is_good {
        let what = format!("{:?} is no name: use up to {MAX_NAME} characters without spaces", new.name);
        return Err(Refusal::new(Code::Invalid, what));
    }
    let scheduler = match &new.scheduler {
        Some(scheduler) => word("scheduler", scheduler, SchedulerKind::ALL, SchedulerKind::name)?,
        None => SchedulerKind::Wlc,
    };
    let service = ServicePlan {
        protocol: match new.protocol {
            Protocol::Tcp => plan::Protocol::Tcp,
            Protocol::Udp => plan::Protocol::Udp,
        },
        vip: v4(new.vip)?,
        port: new.port,
        method: word("method", &new.method, Method::ALL, Method::name)?,
        scheduler,
        hash_port: checked_hash_port(new.hash_port, scheduler)?,
        adopt: new.adopt,
        timeouts: running.config.timeouts,
        slow_start: Span::from_millis(0),
        servers: Vec::new(),
        name: new.name,
    };
    change(running, |plan| {
        if plan.services.iter().any(|other| other.name == service.name) {
            return Err(Refusal::new(Code::Exists, format!("there is a service {:?} already", service.name)));
        }
        plan.services.push(service);
        Ok(done())
    })
}

fn modify(running: &Running, wanted: &ServiceChange) -> Answer {
    change(running, |plan| {
        let at = position(plan, &wanted.name)?;
        let service = &mut plan.services[at];
        if let Some(scheduler) = &wanted.scheduler {
            service.scheduler = word("scheduler", scheduler, SchedulerKind::ALL, SchedulerKind::name)?;
            service.hash_port &= checked_hash_port(service.hash_port, service.scheduler).is_ok();
        }
        if let Some(hash_port) = wanted.hash_port {
            service.hash_port = checked_hash_port(hash_port, service.scheduler)?;
        }
        service.adopt = wanted.adopt.unwrap_or(service.adopt);
        Ok(done())
    })
}

fn checked_hash_port(wanted: bool, scheduler: SchedulerKind) -> Result<bool, Refusal> {
    if wanted && !matches!(scheduler, SchedulerKind::Sh | SchedulerKind::Mh) {
        let what = format!("hash-port is for sh and mh: {scheduler} does not hash the client's address");
        return Err(Refusal::new(Code::Invalid, what));
    }
    Ok(wanted)
}

fn modify_server(running: &Running, wanted: &ServerChange) -> Answer {
    let ServerChange { service, address, port, weight, state, within_ms } = wanted;
    let state = state.as_ref().map(|state| word("state", state, Admin::ALL, Admin::name)).transpose()?;
    if within_ms.is_some() && state != Some(Admin::Draining) {
        return Err(Refusal::new(Code::Invalid, "a time is for draining only: `state drain within 5m`"));
    }
    let mut key = None;
    let edit = |plan: &mut Plan| {
        let (at, server) = find(plan, service, *address, *port)?;
        let service = &mut plan.services[at];
        key = Some(ServerKey::new(service, &service.servers[server]));
        if let Some(weight) = weight {
            service.servers[server].weight = *weight;
        }
        Ok(())
    };
    change(running, edit)?;
    let Some(key) = key else { return Ok(done()) };
    let outcome = match state {
        Some(Admin::Enabled) => running.enable(&key),
        Some(Admin::Draining) => running.drain(&key, within_ms.map(Duration::from_millis)),
        Some(Admin::Disabled) => running.disable(&key),
        None => Ok(()),
    };
    outcome.map_err(|error: ChangeError| super::translate(&error))?;
    Ok(done())
}

/// The place of a service in the plan.
fn position(plan: &Plan, name: &str) -> Result<usize, Refusal> {
    let found = plan.services.iter().position(|service| service.name == name);
    found.ok_or_else(|| not_found("service", name, plan.services.iter().map(|service| service.name.clone())))
}

/// The places of a service and its server in the plan.
fn find(plan: &Plan, name: &str, address: IpAddr, port: Option<u16>) -> Result<(usize, usize), Refusal> {
    let address: Ipv4Addr = v4(address)?;
    let at = position(plan, name)?;
    let servers = &plan.services[at].servers;
    let is_it =
        |server: &ServerPlan| server.address == address && port.is_none_or(|port| server.port == port);
    let mut found = servers.iter().enumerate().filter(|(_, server)| is_it(server));
    let known = || servers.iter().map(|server| format!("{}:{}", server.address, server.port));
    let wanted = port.map_or_else(|| address.to_string(), |port| format!("{address}:{port}"));
    match (found.next(), found.next()) {
        (Some((server, _)), None) => Ok((at, server)),
        (Some(_), Some(_)) => {
            let what = format!("{name} has several servers at {address}: name the port as well");
            Err(Refusal::new(Code::Invalid, what))
        }
        (None, _) => Err(not_found(&format!("server of {name} at"), &wanted, known())),
    }
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Up => "up",
        Health::Warming(_) => "warming",
        Health::Down => "down",
        Health::Inhibited => "inhibited",
    }
}

/// What passed between clients and a server, over all workers.
pub(super) fn traffic(running: &Running, number: u32) -> Traffic {
    let mut sum = Traffic::default();
    for server in running.workers.iter().filter_map(|worker| worker.servers.get(number as usize)) {
        add_traffic(&mut sum, &counted(server));
    }
    sum
}

fn counted(server: &ServerTraffic) -> Traffic {
    let [packets_in, packets_out] = &server.packets;
    let [bytes_in, bytes_out] = &server.bytes;
    Traffic {
        connections: server.connections.get(),
        packets_in: packets_in.get(),
        packets_out: packets_out.get(),
        bytes_in: bytes_in.get(),
        bytes_out: bytes_out.get(),
    }
}

fn add_traffic(sum: &mut Traffic, other: &Traffic) {
    sum.connections += other.connections;
    sum.packets_in += other.packets_in;
    sum.packets_out += other.packets_out;
    sum.bytes_in += other.bytes_in;
    sum.bytes_out += other.bytes_out;
}

fn add_rate(sum: &mut Rate, other: &Rate) {
    sum.connections_per_s += other.connections_per_s;
    sum.packets_in_per_s += other.packets_in_per_s;
    sum.packets_out_per_s += other.packets_out_per_s;
    sum.bytes_in_per_s += other.bytes_in_per_s;
    sum.bytes_out_per_s += other.bytes_out_per_s;
}
