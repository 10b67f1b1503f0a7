//! Neighbours and routes.

use super::answer::{Answer, change, done, not_found};
use crate::control::live::running::Running;
use ipnet::IpNet;
use lb_core::{
    ids::InterfaceId,
    neigh::entry::Knowledge,
    service::{
        plan::{Plan, RoutePlan},
        routing::Routing,
    },
};
use lb_ctl::protocol::{
    Code, Refusal, Reply,
    neighbours::{Neighbour, Neighbours, Request as AskNeighbours},
    routes::{Request, Route, Routes},
};
use std::{collections::BTreeMap, net::IpAddr};

pub(super) fn neighbours(running: &Running, request: &AskNeighbours) -> Reply {
    let AskNeighbours::List = request;
    let interfaces = running.interface_names();
    let mut found: BTreeMap<_, Neighbour> = BTreeMap::new();
    let mut silent_workers = Vec::new();
    for worker in &running.workers {
        let id = u32::from(worker.id.0);
        let Ok(neighbours) = worker.neighbours() else {
            silent_workers.push(id);
            continue;
        };
        for neighbour in neighbours {
            let (state, mac) = match neighbour.knowledge {
                Knowledge::Known => ("known", Some(neighbour.mac.to_string())),
                Knowledge::Asking => ("asking", None),
                Knowledge::Failed => ("failed", None),
            };
            let interface = neighbour.hop.interface;
            let key = (interface, neighbour.hop.address, state, mac.clone());
            let known = found.entry(key).or_insert_with(|| Neighbour {
                address: neighbour.hop.address,
                port: interfaces.get(interface.index()).cloned().unwrap_or_default(),
                state: state.to_owned(),
                mac,
                workers: Vec::new(),
                users: 0,
            });
            known.workers.push(id);
            known.users += u64::from(neighbour.users);
        }
    }
    Reply::Neighbours(Neighbours { neighbours: found.into_values().collect(), silent_workers })
}

pub(super) fn routes(running: &Running, request: &Request, who: &str) -> Answer {
    match *request {
        Request::List => Ok(Reply::Routes(list(running))),
        Request::Add { to, via, ref interface } => {
            let interface = interface.as_deref().map(|name| called(running, name)).transpose()?;
            change(running, who, |plan| add(plan, RoutePlan { to, via, interface }))
        }
        Request::Remove { to, via } => change(running, who, |plan| remove(plan, to, via)),
    }
}

/// The interface of that name.
fn called(running: &Running, name: &str) -> Result<InterfaceId, Refusal> {
    let names = running.interface_names();
    running.interface_called(name).ok_or_else(|| not_found("port or interface", name, names))
}

pub(super) fn add(plan: &mut Plan, route: RoutePlan) -> Answer {
    let RoutePlan { to, via, .. } = route;
    if plan.routes.contains(&route) {
        return Err(Refusal::new(Code::Exists, format!("a route to {to} via {via} exists already")));
    }
    plan.routes.push(route);
    Ok(done())
}

pub(super) fn remove(plan: &mut Plan, to: IpNet, via: Option<IpAddr>) -> Answer {
    let wanted = to.trunc();
    let is_it = |route: &RoutePlan| route.to == wanted && via.is_none_or(|via| route.via == via);
    let Some(at) = plan.routes.iter().position(is_it) else {
        return Err(Refusal::new(Code::NotFound, format!("no static route to {to}")));
    };
    plan.routes.remove(at);
    Ok(done())
}

fn list(running: &Running) -> Routes {
    let plan = running.current().plan;
    let routing = Routing::new(&plan.interfaces, &plan.routes);
    let attached =
        plan.interfaces.iter().flat_map(|on| on.addresses.iter().map(move |network| (on, network)));
    let attached = attached.map(|(on, network)| Route {
        to: network.trunc(),
        via: None,
        port: Some(on.name.clone()),
        source: Some(network.addr()),
    });
    let through = plan.routes.iter().map(|route| Route {
        to: route.to,
        via: Some(route.via),
        port: route
            .interface
            .or_else(|| routing.attached(route.via))
            .and_then(|on| plan.interface(on))
            .map(|on| on.name.clone()),
        source: None,
    });
    Routes { routes: attached.chain(through).collect() }
}
