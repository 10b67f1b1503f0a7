//! Clients of persistent services, from one run to the next.

use crate::control::{file::state_file::SavedClient, live::running::Running};
use lb_core::{
    sched::persistence::{Client, Kept, Persistence},
    service::snapshot::Snapshot,
    time::{Duration, Instant},
};

/// Clients of an earlier run stay with their servers, as far as these are still there.
pub(super) fn restore(table: &Persistence, snapshot: &Snapshot, clients: &[SavedClient], now: Instant) {
    for saved in clients.iter().filter(|saved| saved.left > Duration::ZERO) {
        let Some((service, configured)) = snapshot.service(&saved.service) else { continue };
        let Some((server, found)) = snapshot.server(&saved.service.server(saved.server)) else { continue };
        // With another granularity it would be somebody else.
        let is_same = configured.persistence.has(saved.network);
        if configured.persistence.is_on() && is_same {
            let client = Client { service, network: saved.network };
            table.restore(&client, Kept { server, named: found.named }, (now, saved.left));
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
            service: snapshot.services.get(entry.client.service)?.key(),
            network: entry.client.network,
            server: server.plan.endpoint(),
            left: entry.left,
        })
    });
    saved.collect()
}
