//! What keeps its number from one snapshot to the next: a service while it is known by the same and has the same method, a
//! server of it while it has the same address and port.

use super::{
    key::ServiceKey,
    numbers::Numbers,
    plan::{Method, ServicePlan},
    snapshot::{Room, Server, Service, Snapshot, SnapshotError},
};
use crate::ids::{ById, LocalId, ServerId, ServiceId};
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
};

/// What keeps a service's number. One with another method is another: its servers are set up differently.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lasting {
    Known(ServiceKey, Method),
    /// A rule of SNAT, by its name: its addresses may change.
    Rule(String),
}

/// What keeps a server's number: its service, its address and its port.
type LastingServer = (ServiceId, SocketAddr);

/// What connections know by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbered {
    /// A server.
    Server(ServerId),
    /// A local address.
    Local(LocalId),
}

/// The snapshot before, and what of it connections have.
pub(super) type Before<'a> = Option<(&'a Snapshot, &'a dyn Fn(Numbered) -> bool)>;

/// The numbers of a service of the plan, and of its servers.
pub(super) struct OfService {
    pub(super) service: ServiceId,
    pub(super) servers: Vec<ServerId>,
}

/// Services of a plan, or of the snapshot before it, as far as numbers go.
trait Named {
    fn lasting(&self) -> Lasting;
    /// What it would be if it said `from` or `on`, or did not.
    fn otherwise(&self) -> Option<Lasting>;
}

macro_rules! named {
    ($type:ty) => {
        impl Named for $type {
            fn lasting(&self) -> Lasting {
                match self.method {
                    Method::Snat => Lasting::Rule(self.name.clone()),
                    method => Lasting::Known(self.key(), method),
                }
            }

            fn otherwise(&self) -> Option<Lasting> {
                let key = self.place();
                let key = if self.beside.is_choosy() { key } else { key.named(&self.name) };
                (self.method != Method::Snat).then_some(Lasting::Known(key, self.method))
            }
        }
    };
}

named!(Service);
named!(ServicePlan);

/// Whether a service of the snapshot before is one of the plan; also where it says `from` or `on` now and did not before, or
/// the other way round, and so is known by its name as well, or not any more.
pub(super) fn is_same(old: &Service, new: &ServicePlan) -> bool {
    is_same_service(old, new, &old.name, &new.name)
}

fn is_same_service(old: &impl Named, new: &impl Named, old_name: &str, new_name: &str) -> bool {
    old.lasting() == new.lasting() || old_name == new_name && old.otherwise() == Some(new.lasting())
}

/// The server in the snapshot before, if its number named the same one.
pub(super) fn same_before<'o>(
    id: ServerId,
    old: &'o Snapshot,
    (services, server): (&ById<ServiceId, Service>, &Server),
) -> Option<&'o Server> {
    old.servers.get(id).filter(|before| {
        let (was, is) = (&old.services[before.service], &services[server.service]);
        is_same_service(was, is, &was.name, &is.name) && before.plan.endpoint() == server.plan.endpoint()
    })
}

/// Numbers of services and of their servers, in the order of the plan.
pub(super) fn numbers(
    planned: &[&ServicePlan],
    before: Before<'_>,
    room: Room,
) -> Result<Vec<OfService>, SnapshotError> {
    let wanted: Vec<Lasting> = planned.iter().map(|service| service.lasting()).collect();
    let kept = before.map_or_else(HashMap::new, |(old, _)| kept(old, planned, &wanted));
    let mut of_services = match before {
        Some((old, in_use)) => service_numbers(old, in_use, &kept),
        None => Numbers::new([], room.services),
    };
    let no_room = |what, room| SnapshotError::NoRoom { what, room };
    let services = of_services.give(wanted).ok_or_else(|| no_room("service", room.services))?;
    let mut of_servers = match before {
        Some((old, in_use)) => server_numbers(old, in_use, &kept, room.servers),
        None => Numbers::new([], room.servers),
    };
    let keys = planned
        .iter()
        .zip(&services)
        .flat_map(|(service, &number)| service.servers.iter().map(move |server| (number, server.endpoint())));
    let servers = of_servers.give(keys).ok_or_else(|| no_room("server", room.servers))?;
    let mut servers = servers.into_iter();
    Ok(planned
        .iter()
        .zip(services)
        .map(|(plan, service)| OfService {
            service,
            servers: servers.by_ref().take(plan.servers.len()).collect(),
        })
        .collect())
}

/// What services of the snapshot before are now, by what they were.
fn kept(old: &Snapshot, planned: &[&ServicePlan], wanted: &[Lasting]) -> HashMap<Lasting, Lasting> {
    let known: HashSet<Lasting> = old.services.iter().map(Named::lasting).collect();
    let mut kept: HashMap<Lasting, Lasting> =
        wanted.iter().filter(|one| known.contains(one)).map(|one| (one.clone(), one.clone())).collect();
    for (service, now) in planned.iter().zip(wanted) {
        let was = service.otherwise().filter(|was| !known.contains(now) && !kept.contains_key(was));
        let is_it = |was: &Lasting| {
            old.configured().any(|(_, old)| old.name == service.name && old.lasting() == *was)
        };
        if let Some(was) = was.filter(|was| known.contains(was) && is_it(was)) {
            kept.insert(was, now.clone());
        }
    }
    kept
}

/// A service's number is free when it is not configured, and none of its servers' numbers is in use.
fn service_numbers(
    old: &Snapshot,
    in_use: &dyn Fn(Numbered) -> bool,
    kept: &HashMap<Lasting, Lasting>,
) -> Numbers<Lasting, ServiceId> {
    let mut held: HashSet<ServiceId> = in_plan(old).collect();
    let servers = old.servers.numbered().filter(|(id, _)| in_use(Numbered::Server(*id)));
    held.extend(servers.map(|(_, server)| server.service));
    // Of two with one key, the one that is held.
    let owners = old.services.numbered().map(|(id, service)| {
        let is_held = held.contains(&id);
        let was = service.lasting();
        (is_held.then(|| kept.get(&was).cloned().unwrap_or(was)), !is_held)
    });
    Numbers::new(owners, old.room.services)
}

/// A server's number is free when it is not configured and no connection has it. Servers of services that are not
/// `kept` are nobody's any more, but may be in use.
fn server_numbers(
    old: &Snapshot,
    in_use: &dyn Fn(Numbered) -> bool,
    kept: &HashMap<Lasting, Lasting>,
    room: usize,
) -> Numbers<LastingServer, ServerId> {
    let configured: HashSet<ServerId> =
        in_plan(old).flat_map(|id| old.services[id].servers.iter().copied()).collect();
    let owners = old.servers.numbered().map(|(id, server)| {
        let is_held = configured.contains(&id) || in_use(Numbered::Server(id));
        let is_known = is_held && kept.contains_key(&old.services[server.service].lasting());
        (is_known.then_some((server.service, server.plan.endpoint())), !is_held)
    });
    Numbers::new(owners, room)
}

/// The numbers of all that was configured: services and rules.
pub(super) fn in_plan(snapshot: &Snapshot) -> impl Iterator<Item = ServiceId> {
    snapshot.order.iter().copied().chain(snapshot.rules.iter().map(|rule| rule.service))
}
