//! What checks find out, made part of the plan.

use super::{change::ChangeError, running::Running};
use crate::health::{Balancer, Order, Role};
use lb_core::service::plan::{Health, Plan, ServerPlan, ServicePlan};
use std::{
    collections::HashMap,
    net::SocketAddrV4,
    sync::{Arc, Weak},
};

/// The way from checks to what runs. It does not keep the director from ending.
pub(super) struct Link(pub(super) Weak<Running>);

impl Balancer for Link {
    fn plan(&self) -> Option<(Arc<Plan>, u64)> {
        let current = self.0.upgrade()?.current();
        Some((current.plan, current.generation))
    }

    fn carry_out(&self, orders: &[Order]) -> Result<(), String> {
        let Some(running) = self.0.upgrade() else { return Ok(()) };
        // A change is not free: what is so already is left alone.
        let mut plan = Plan::clone(&running.current().plan);
        if !carry_out(&mut plan, orders) {
            return Ok(());
        }
        match running.change(|plan| Ok(carry_out(plan, orders))) {
            // The change is made; the worker that did not answer follows when it does.
            Ok(_) | Err(ChangeError::Silent(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Carries orders out on a plan. Returns whether anything is different.
fn carry_out(plan: &mut Plan, orders: &[Order]) -> bool {
    let orders: HashMap<_, _> = orders.iter().map(|order| (order.service, order)).collect();
    let mut changed = false;
    for service in &mut plan.services {
        let key = (service.protocol, SocketAddrV4::new(service.vip, service.port));
        if let Some(order) = orders.get(&key) {
            changed |= on_service(service, order);
        }
    }
    changed
}

fn on_service(service: &mut ServicePlan, order: &Order) -> bool {
    let mut changed = false;
    let roles: HashMap<_, _> = order.roles.iter().copied().collect();
    for server in &mut service.servers {
        if let Some(role) = roles.get(&SocketAddrV4::new(server.address, server.port)) {
            let health = health(*role);
            changed |= std::mem::replace(&mut server.health, health) != health;
        }
    }
    if let Some((sorry, role)) = order.sorry {
        let is_sorry = |server: &ServerPlan| server.address == *sorry.ip() && server.port == sorry.port();
        let health = health(role);
        match (service.servers.iter().position(is_sorry), role) {
            (Some(at), Role::Out) => {
                service.servers.remove(at);
                changed = true;
            }
            (Some(at), _) => {
                changed |= std::mem::replace(&mut service.servers[at].health, health) != health;
            }
            (None, Role::Serves(_)) => {
                service.servers.push(ServerPlan::new(*sorry.ip(), sorry.port(), 1));
                changed = true;
            }
            (None, Role::Inhibited | Role::Out) => (),
        }
    }
    changed
}

fn health(role: Role) -> Health {
    match role {
        Role::Serves(100) => Health::Up,
        Role::Serves(share) => Health::Warming(u16::from(share) * 10),
        Role::Inhibited => Health::Inhibited,
        Role::Out => Health::Down,
    }
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
servers = [{ address = "192.0.2.11" }, { address = "192.0.2.12" }]
"#;

    #[test]
    fn orders_become_part_of_the_plan() {
        let mut plan = parse("lb.toml", TEXT, Limits { workers: 1, available_bytes: u64::MAX }).unwrap().plan;
        let [one, two, sorry] =
            ["192.0.2.11:80", "192.0.2.12:80", "192.0.2.99:80"].map(|a| a.parse().unwrap());
        let service = (plan.services[0].protocol, "192.0.2.100:80".parse().unwrap());
        let mut order = |one_is, two_is, sorry_is| {
            let order =
                Order { service, roles: vec![(one, one_is), (two, two_is)], sorry: Some((sorry, sorry_is)) };
            let changed = carry_out(&mut plan, &[order.clone()]);
            assert!(!carry_out(&mut plan, &[order]), "the second time nothing changes");
            (changed, plan.services[0].servers.iter().map(|server| server.health).collect::<Vec<_>>())
        };
        let serves = Role::Serves(100);
        assert_eq!(order(serves, serves, Role::Out), (false, vec![Health::Up; 2]));
        assert_eq!(
            order(Role::Out, Role::Serves(10), Role::Out),
            (true, vec![Health::Down, Health::Warming(100)])
        );
        assert_eq!(
            order(Role::Out, Role::Inhibited, serves),
            (true, vec![Health::Down, Health::Inhibited, Health::Up])
        );
        assert_eq!(
            order(serves, serves, Role::Inhibited),
            (true, vec![Health::Up, Health::Up, Health::Inhibited]),
            "the sorry server keeps its connections"
        );
        assert_eq!(order(serves, serves, Role::Out), (true, vec![Health::Up; 2]), "or it is taken out");
    }
}
