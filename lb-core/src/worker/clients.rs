//! Clients of persistent services, as directors tell one another of them.

use crate::{
    ids::{ServerId, ServiceId},
    peers::{
        self,
        ipvs::template::{self, Of, Template},
    },
    sched::{
        call,
        persistence::{Client, Kept, Persistence, Remembered},
    },
    service::{
        key::ServiceKey,
        plan::{PersistencePlan, ServerPlan},
        reach::PortRange,
        snapshot::{Server, Service, Snapshot},
    },
    time::{Duration, Instant},
};
use std::net::{IpAddr, SocketAddr};

/// The clients that are remembered and have shown that they exist. One with connections is so for its service's timeout
/// after the last of them, at least.
pub fn remembered<'a>(
    table: &'a Persistence,
    snapshot: &'a Snapshot,
    now: Instant,
) -> impl Iterator<Item = peers::client::Client> + 'a {
    known(table, snapshot, now).map(|(entry, service, server, left)| {
        let key = service.key();
        peers::client::Client {
            protocol: key.protocol,
            network: entry.client.network,
            vip: key.endpoint(),
            server: server.plan.endpoint(),
            left,
            is_learned: entry.is_learned,
        }
    })
}

/// The same as directors of IPVS are told of them, but for those that are known from others only; nothing where IPVS has no
/// word for the service.
pub fn templates<'a>(
    table: &'a Persistence,
    snapshot: &'a Snapshot,
    now: Instant,
) -> impl Iterator<Item = Option<Template<'static>>> + 'a {
    known(table, snapshot, now).filter(|(entry, ..)| !entry.is_learned).map(
        |(entry, service, server, left)| {
            // Of a call IPVS wants the Call-ID itself, and only a hash is known.
            let of = of(service).filter(|_| !call::is_call(entry.client.network))?;
            let port = match of {
                Of::Endpoint(_, vip) if vip.port() > 0 => server.plan.port_for(vip.port()),
                Of::Endpoint(..) | Of::Mark(_) => 0,
            };
            let server = SocketAddr::new(server.plan.address, port);
            let network = entry.client.network;
            Some(Template { of, network, call_id: None, server, method: service.method, left })
        },
    )
}

fn known<'a>(
    table: &'a Persistence,
    snapshot: &'a Snapshot,
    now: Instant,
) -> impl Iterator<Item = (Remembered, &'a Service, &'a Server, Duration)> + 'a {
    table.iter(now).filter(|entry| entry.is_proven).filter_map(move |entry| {
        let server = snapshot.servers.get(entry.kept.server)?;
        let service = snapshot.services.get(entry.client.service)?;
        let left = if entry.held > 0 { entry.left.max(service.persistence.timeout) } else { entry.left };
        let is_known = server.named == entry.kept.named && left > Duration::ZERO;
        is_known.then_some((entry, service, server, left))
    })
}

/// What IPVS knows a service by: a mark, if it has one, else its address and port, or all ports.
fn of(service: &Service) -> Option<Of> {
    if service.fwmark != 0 {
        return Some(Of::Mark(service.fwmark));
    }
    // Only by a mark would IPVS know which clients it is for.
    if service.beside.is_choosy() {
        return None;
    }
    let reach = service.reach();
    let ports = reach.ports().next().filter(|_| reach.claims().count() == 1)?;
    let port = match ports.port() {
        Some(template::FTP) => 0,
        Some(port) => port,
        None if ports == PortRange::ANY => 0,
        None => return None,
    };
    Some(Of::Endpoint(service.protocol, SocketAddr::new(service.vip, port)))
}

/// A client of another director stays with its server here, too. `false` where the service or server is not configured
/// here, remembers other networks, the client stays with another server here, or there is no room.
pub fn learn(table: &Persistence, snapshot: &Snapshot, now: Instant, told: &peers::client::Client) -> bool {
    let key = ServiceKey::new(told.protocol, told.vip);
    take(
        table,
        snapshot,
        snapshot.services_known_at(&key),
        (now, told.left),
        (&|persistence| persistence.has(told.network).then_some(told.network), told.server),
        !told.is_learned,
    )
}

/// The same of a client of a director of IPVS. One of all ports is of FTP's service as well, and its server any of that
/// address.
pub fn learn_template(table: &Persistence, snapshot: &Snapshot, now: Instant, told: &Template<'_>) -> bool {
    let client = |persistence: &PersistencePlan| match told.call_id {
        Some(call_id) => persistence.call_of(told.network, call_id),
        None => persistence.has(told.network).then_some(told.network),
    };
    let who: (Whom<'_>, _) = (&client, told.server);
    let take = |key: &ServiceKey| {
        take(table, snapshot, snapshot.services_known_at(key), (now, told.left), who, true)
    };
    match told.of {
        Of::Mark(mark) => {
            let service = snapshot.marked(mark, told.network.is_ipv4());
            self::take(table, snapshot, service, (now, told.left), who, true)
        }
        Of::Endpoint(protocol, vip) if vip.port() > 0 => take(&ServiceKey::new(protocol, vip)),
        Of::Endpoint(protocol, vip) => {
            let of = |port| take(&ServiceKey::new(protocol, SocketAddr::new(vip.ip(), port)));
            // Both of them, where both are there.
            of(0) | of(template::FTP)
        }
    }
}

/// Whom a service knows somebody as that another director tells of; nothing where it tells clients apart otherwise.
type Whom<'a> = &'a dyn Fn(&PersistencePlan) -> Option<IpAddr>;

fn take(
    table: &Persistence,
    snapshot: &Snapshot,
    services: impl IntoIterator<Item = ServiceId>,
    (now, left): (Instant, Duration),
    (whom, server): (Whom<'_>, SocketAddr),
    knows: bool,
) -> bool {
    let is_it = |plan: &ServerPlan| match server.port() {
        0 => plan.address == server.ip(),
        _ => plan.endpoint() == server,
    };
    let mut is_taken = false;
    for (client, kept) in homes_of(snapshot, services, whom, is_it) {
        let left = left.min(snapshot.services[client.service].persistence.timeout);
        is_taken |= table.learn(&client, kept, (now, left), knows);
    }
    is_taken
}

/// What a client stays with that somebody knows by its network and server. Of several services that share an address and
/// port, nobody says which one it was: each that may be the client's and has the server, since it does no harm in another.
/// Where networks of another size are told apart it would be somebody else.
pub fn homes<'a>(
    snapshot: &'a Snapshot,
    services: impl IntoIterator<Item = ServiceId, IntoIter: 'a>,
    network: IpAddr,
    is_server: impl Fn(&ServerPlan) -> bool + 'a,
) -> impl Iterator<Item = (Client, Kept)> + 'a {
    homes_of(
        snapshot,
        services,
        move |persistence: &PersistencePlan| persistence.has(network).then_some(network),
        is_server,
    )
}

fn homes_of<'a>(
    snapshot: &'a Snapshot,
    services: impl IntoIterator<Item = ServiceId, IntoIter: 'a>,
    whom: impl Fn(&PersistencePlan) -> Option<IpAddr> + 'a,
    is_server: impl Fn(&ServerPlan) -> bool + 'a,
) -> impl Iterator<Item = (Client, Kept)> + 'a {
    services.into_iter().filter_map(move |service| {
        let Service { servers, persistence, beside, .. } = &snapshot.services[service];
        let is_it = |&server: &ServerId| is_server(&snapshot.servers[server].plan);
        let server = servers.iter().copied().find(is_it)?;
        let network = whom(persistence).filter(|_| persistence.is_on())?;
        let stays = persistence.may_be_from(network, &beside.from);
        let kept = Kept { server, named: snapshot.servers[server].named };
        stays.then_some((Client { service, network }, kept))
    })
}
