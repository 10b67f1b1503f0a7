//! What checks find out, made part of the plan.

use super::{
    change::ChangeError,
    servers::{Schedule, warm},
};
use crate::{
    config,
    control::live::running::Running,
    dataplane::host::Host,
    health::{Balancer, Order, Role, Target, Wanted, Way},
};
use lb_core::{
    forward::tun,
    service::{
        address::v4,
        key::ServerKey,
        plan::{Health, Method, Plan, ServerPlan, ServicePlan},
    },
    worker::host::Recipient,
};
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

/// The way from checks to what runs. It does not keep the director from ending.
pub(in crate::control) struct Link {
    running: Weak<Running>,
    schedule: Arc<Schedule>,
}

impl Link {
    pub(in crate::control) fn new(running: &Arc<Running>, schedule: Arc<Schedule>) -> Self {
        Link { running: Arc::downgrade(running), schedule }
    }
}

impl Balancer for Link {
    fn wanted(&self) -> Option<Wanted> {
        let current = self.running.upgrade()?.current();
        Some(Wanted { plan: current.plan, config: current.config, number: current.generation })
    }

    fn host(&self) -> Option<Arc<Host>> {
        Some(self.running.upgrade()?.host.clone())
    }

    fn way(&self, target: &Target, as_traffic: bool) -> Result<Way, String> {
        let ending = || "the director is ending".to_owned();
        let snapshot = self.running.upgrade().ok_or_else(ending)?.current().snapshot;
        let found = snapshot.server(&target.key);
        let (found, server) = found.ok_or("its service does not have it any more")?;
        let address = server.plan.address;
        let port = server.next_hop.port;
        let source = snapshot.routing.own_address(port, address).ok_or("its port has no address")?;
        let is_tunnelled = as_traffic && snapshot.service_of(found).method == Method::Tun;
        let overhead = if is_tunnelled { tun::OVERHEAD as u16 } else { 0 };
        let mtu = snapshot.ports[usize::from(port.0)].mtu - overhead;
        Ok(Way { to: Recipient { server: found, address, as_traffic }, source, mtu })
    }

    fn carry_out(&self, orders: &[Order]) -> Result<(), String> {
        let Some(running) = self.running.upgrade() else { return Ok(()) };
        // A change is not free: what is so already is left alone.
        let mut plan = Plan::clone(&running.current().plan);
        if !carry_out(&mut plan, orders, &mut Vec::new()) {
            return Ok(());
        }
        let mut back = Vec::new();
        let outcome = running.change(|plan| Ok(carry_out(plan, orders, &mut back)));
        match outcome {
            // The change is made; a worker that did not answer follows when it does.
            Ok(_) | Err(ChangeError::Silent(_)) => {
                back.into_iter().for_each(|(key, over)| self.schedule.follow_warming(&key, over));
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Servers that are well again, with the time that they take to their whole weight.
type Back = Vec<(ServerKey, Option<Duration>)>;

/// Carries orders out on a plan. Returns whether anything is different.
fn carry_out(plan: &mut Plan, orders: &[Order], back: &mut Back) -> bool {
    let orders: HashMap<_, _> = orders.iter().map(|order| (order.service, order)).collect();
    let mut changed = false;
    for service in &mut plan.services {
        if let Some(order) = orders.get(&service.key()) {
            changed |= on_service(service, order, back);
        }
    }
    changed
}

fn on_service(service: &mut ServicePlan, order: &Order, back: &mut Back) -> bool {
    let mut changed = false;
    let roles: HashMap<_, _> = order.roles.iter().copied().collect();
    let slow_start = Duration::from_millis(service.slow_start.as_millis());
    for server in &mut service.servers {
        let endpoint = server.endpoint();
        let Some(&role) = roles.get(&endpoint) else { continue };
        let before = server.health;
        if role == Role::Serves && !is_well(before) {
            server.health = Health::Up;
            back.push((order.service.server(endpoint), warm(server, slow_start, true)));
        } else if role != Role::Serves {
            server.health = ill(role);
        }
        changed |= server.health != before;
    }
    if let Some((sorry, role)) = order.sorry {
        changed |= on_sorry_server(service, sorry, role);
    }
    changed
}

/// The sorry server is one of the service's servers for as long as it has connections to take or to keep.
fn on_sorry_server(service: &mut ServicePlan, endpoint: SocketAddr, role: Role) -> bool {
    let at = service.servers.iter().position(|server| server.endpoint() == endpoint);
    match (at, role) {
        (Some(at), Role::Out) => {
            service.servers.remove(at);
            true
        }
        (Some(at), Role::Serves | Role::Inhibited) => {
            let health = if role == Role::Serves { Health::Up } else { Health::Inhibited };
            std::mem::replace(&mut service.servers[at].health, health) != health
        }
        (None, Role::Serves) => {
            let address = v4(endpoint.ip());
            service.servers.extend(address.map(|address| ServerPlan::new(address, endpoint.port(), 1)));
            address.is_ok()
        }
        (None, Role::Inhibited | Role::Out) => false,
    }
}

/// The sorry servers that a plan's services have by orders, with their services. No file lists them.
pub(in crate::control) fn sorry_servers<'a>(
    plan: &'a Plan,
    health: &config::health::Health,
) -> HashMap<ServerKey, &'a ServerPlan> {
    let sorry: HashSet<ServerKey> = health
        .services
        .iter()
        .filter_map(|service| Some(service.key.server(service.pool.sorry_server?.address)))
        .collect();
    plan.keyed_servers().filter(|(key, _)| sorry.contains(key)).collect()
}

/// The plan as its operator knows it.
pub(in crate::control) fn without_sorry_servers(plan: &Plan, config: &config::Config) -> Plan {
    let sorry: HashSet<ServerKey> = sorry_servers(plan, &config.health).into_keys().collect();
    let mut plan = plan.clone();
    for service in &mut plan.services {
        let key = service.key();
        service.servers.retain(|server| !sorry.contains(&key.server(server.endpoint())));
    }
    plan
}

fn is_well(health: Health) -> bool {
    matches!(health, Health::Up | Health::Warming(_))
}

fn ill(role: Role) -> Health {
    if role == Role::Inhibited { Health::Inhibited } else { Health::Down }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, parse};

    const TEXT: &str = r#"
[[ports]]
name = "wan"
device = "d"
addresses = ["192.0.2.1/24"]
[[services]]
name = "web"
vip = "192.0.2.100"
port = 80
protocol = "tcp"
method = "nat"
slow_start = "10s"
servers = [{ address = "192.0.2.11" }, { address = "192.0.2.12" }]
"#;

    #[test]
    fn orders_become_part_of_the_plan() {
        let mut plan = parse("lb.toml", TEXT, Limits { workers: 1, available_bytes: u64::MAX }).unwrap().plan;
        let [one, two, sorry] =
            ["192.0.2.11:80", "192.0.2.12:80", "192.0.2.99:80"].map(|a| a.parse().unwrap());
        let service = plan.services[0].key();
        let mut order = |one_is, two_is, sorry_is| {
            let order =
                Order { service, roles: vec![(one, one_is), (two, two_is)], sorry: Some((sorry, sorry_is)) };
            let mut back = Vec::new();
            let changed = carry_out(&mut plan, std::slice::from_ref(&order), &mut back);
            assert!(!carry_out(&mut plan, &[order], &mut Vec::new()), "the second time nothing changes");
            let back: Vec<_> = back.into_iter().map(|(key, over)| (key.endpoint(), over)).collect();
            (changed, plan.services[0].servers.iter().map(|server| server.health).collect::<Vec<_>>(), back)
        };
        let (serves, up, down) = (Role::Serves, Health::Up, Health::Down);
        let slowly = Some(Duration::from_secs(10));
        assert_eq!(order(serves, serves, Role::Out), (false, vec![up, up], vec![]));
        assert_eq!(order(Role::Out, serves, Role::Out), (true, vec![down, up], vec![]));
        assert_eq!(
            order(Role::Out, Role::Inhibited, serves),
            (true, vec![down, Health::Inhibited, up], vec![])
        );
        let warming = Health::Warming(50);
        assert_eq!(
            order(serves, Role::Inhibited, Role::Inhibited),
            (true, vec![warming, Health::Inhibited, Health::Inhibited], vec![(one, slowly)]),
            "the sorry server keeps its connections"
        );
        assert_eq!(
            order(serves, serves, Role::Out),
            (true, vec![warming; 2], vec![(two, slowly)]),
            "or it is taken out; a slow start goes on"
        );
    }
}
