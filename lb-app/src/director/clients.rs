//! Clients of persistent services, from one run to the next.

use crate::control::{file::state_file::SavedClient, live::running::Running};
use lb_core::{
    ids::ServerId,
    sched::persistence::{Client, Kept, Persistence},
    service::snapshot::Snapshot,
    time::{Duration, Instant},
};

/// Clients of an earlier run stay with their servers, as far as these are still there.
pub(super) fn restore(table: &Persistence, snapshot: &Snapshot, clients: &[SavedClient], now: Instant) {
    for saved in clients.iter().filter(|saved| saved.left > Duration::ZERO) {
        // Of several services that share an address and port, each that may be the client's and has the server.
        for service in snapshot.services_known_at(&saved.service) {
            let configured = &snapshot.services[service];
            let is_it = |&id: &ServerId| snapshot.servers[id].plan.endpoint() == saved.server;
            let Some(server) = configured.servers.iter().copied().find(is_it) else { continue };
            let persistence = &configured.persistence;
            // With another granularity it would be somebody else.
            let is_same = persistence.has(saved.network);
            if persistence.is_on()
                && is_same
                && persistence.may_be_from(saved.network, &configured.beside.from)
            {
                let kept = Kept { server, named: snapshot.servers[server].named };
                let client = Client { service, network: saved.network };
                table.restore(&client, kept, (now, saved.left));
            }
        }
    }
}

/// What the next run is to know. Entries that live only by their connections come back with these.
pub(super) fn saved(running: &Running) -> Vec<SavedClient> {
    let (now, snapshot) = (running.clock.now(), running.current().snapshot);
    let entries = running.persistence.iter(now).filter(|entry| entry.left > Duration::ZERO);
    let saved = entries.filter_map(|entry| {
        let server =
            snapshot.servers.get(entry.kept.server).filter(|server| server.named == entry.kept.named)?;
        Some(SavedClient {
            service: snapshot.services.get(entry.client.service)?.place(),
            network: entry.client.network,
            server: server.plan.endpoint(),
            left: entry.left,
        })
    });
    saved.collect()
}
