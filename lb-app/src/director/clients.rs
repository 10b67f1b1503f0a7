//! Clients of persistent services, from one run to the next.

use crate::control::{file::state_file::SavedClient, live::running::Running};
use lb_core::{
    sched::persistence::Persistence,
    service::snapshot::Snapshot,
    time::{Duration, Instant},
    worker::clients::homes,
};

/// Clients of an earlier run stay with their servers, as far as these are still there.
pub(super) fn restore(table: &Persistence, snapshot: &Snapshot, clients: &[SavedClient], now: Instant) {
    for saved in clients.iter().filter(|saved| saved.left > Duration::ZERO) {
        let services = snapshot.services_known_at(&saved.service);
        for (client, kept) in homes(snapshot, services, saved.network, |plan| plan.endpoint() == saved.server)
        {
            table.restore(&client, kept, (now, saved.left));
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
