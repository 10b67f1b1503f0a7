//! Which servers clients stay with.

use super::{
    answer::{Answer, done_if},
    called,
};
use crate::{control::live::running::Running, journal::Happened};
use ipnet::IpNet;
use lb_core::{ids::ServiceId, sched::persistence::Remembered, service::snapshot::Snapshot};
use lb_ctl::protocol::{
    Reply,
    events::Kind,
    persistence::{ByServer, Client, Clients, Filter, MOST, Request},
};
use std::{collections::BTreeMap, net::SocketAddr};

pub(super) fn answer(running: &Running, request: Request, who: &str) -> Answer {
    let now = running.clock.now();
    let current = running.current();
    let snapshot = &current.snapshot;
    let matching = |filter: &Filter| {
        let service =
            filter.service.as_deref().map(|name| called::service(&current.plan, name)).transpose()?;
        Ok((service.and_then(|service| snapshot.service(&service.key())).map(|(id, _)| id), filter.client))
    };
    match request {
        Request::List(filter) => {
            let which = matching(&filter)?;
            let mut list = Clients { capacity: running.persistence.capacity() as u64, ..Clients::default() };
            let mut by_server: BTreeMap<(String, SocketAddr), u64> = BTreeMap::new();
            for entry in running.persistence.iter(now).filter(|entry| is_meant(snapshot, entry, which)) {
                let Some(client) = told(snapshot, &entry) else { continue };
                list.total += 1;
                let server = SocketAddr::new(client.server.address, client.server.port);
                *by_server.entry((client.service.clone(), server)).or_default() += 1;
                if list.clients.len() < MOST {
                    list.clients.push(client);
                }
            }
            list.clients
                .sort_by(|one, other| (&one.service, one.client).cmp(&(&other.service, other.client)));
            let by_server = by_server.into_iter();
            list.servers = by_server
                .map(|((service, server), clients)| ByServer { service, server: server.into(), clients })
                .collect();
            Ok(Reply::Persistence(list))
        }
        Request::Forget(filter) => {
            let which = matching(&filter)?;
            let forgotten = running.persistence.forget(now, |entry| is_meant(snapshot, entry, which));
            if forgotten > 0 {
                let text = format!("forgot the servers of {forgotten} clients");
                let happened = Happened::new(Kind::Changed, text).by(who);
                running.journal.tell(match filter.service {
                    Some(service) => happened.service(service),
                    None => happened,
                });
            }
            Ok(done_if(forgotten > 0))
        }
    }
}

/// Whether an entry is of a service, and of a network or of the client that an address is of.
fn is_meant(snapshot: &Snapshot, entry: &Remembered, which: (Option<ServiceId>, Option<IpNet>)) -> bool {
    let (service, client) = which;
    let network = network(snapshot, entry);
    service.is_none_or(|service| entry.client.service == service)
        && client.is_none_or(|client| client.contains(&network.addr()) || network.contains(&client.addr()))
}

fn network(snapshot: &Snapshot, entry: &Remembered) -> IpNet {
    let plan = snapshot.services.get(entry.client.service).map(|service| service.persistence);
    plan.unwrap_or_default().shown(entry.client.network)
}

/// An entry of a server that is still the same.
fn told(snapshot: &Snapshot, entry: &Remembered) -> Option<Client> {
    let server = snapshot.servers.get(entry.kept.server).filter(|server| server.named == entry.kept.named)?;
    Some(Client {
        service: snapshot.services.get(entry.client.service)?.name.clone(),
        client: network(snapshot, entry),
        server: server.plan.endpoint().into(),
        connections: entry.held.into(),
        remaining_ms: entry.left.as_millis(),
    })
}
