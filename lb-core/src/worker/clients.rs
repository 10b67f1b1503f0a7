//! Clients of persistent services, as directors tell one another of them.

use crate::{
    peers,
    sched::persistence::{Client, Kept, Persistence},
    service::{key::ServiceKey, snapshot::Snapshot},
    time::{Duration, Instant},
};

/// The clients that are remembered. One with connections is so for its service's timeout after the last of them, at least.
pub fn remembered(
    table: &Persistence,
    snapshot: &Snapshot,
    now: Instant,
) -> impl Iterator<Item = peers::client::Client> {
    table.iter(now).filter_map(move |entry| {
        let server = snapshot.servers.get(entry.kept.server)?;
        let service = snapshot.services.get(entry.client.service)?;
        let left = if entry.held > 0 { entry.left.max(service.persistence.timeout) } else { entry.left };
        let key = service.key();
        (server.named == entry.kept.named && left > Duration::ZERO).then(|| peers::client::Client {
            protocol: key.protocol,
            network: entry.client.network,
            vip: key.endpoint(),
            server: server.plan.endpoint(),
            left,
            is_learned: entry.is_learned,
        })
    })
}

/// A client of another director stays with its server here, too. `false` where the service or server is not configured
/// here, remembers other networks, the client stays with another server here, or there is no room.
pub fn learn(table: &Persistence, snapshot: &Snapshot, now: Instant, told: &peers::client::Client) -> bool {
    let key = ServiceKey::new(told.protocol, told.vip);
    let Some((service, configured)) = snapshot.service(&key) else { return false };
    let Some((server, found)) = snapshot.server(&key.server(told.server)) else { return false };
    let persistence = &configured.persistence;
    if !persistence.is_on() || persistence.network_of(told.network) != told.network {
        return false;
    }
    let kept = Kept { server, named: found.named };
    let left = told.left.min(persistence.timeout);
    table.learn(&Client { service, network: told.network }, kept, (now, left), !told.is_learned)
}
