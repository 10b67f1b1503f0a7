//! What operators read: the status report and the statistics at the end.
//!
//! Services and connections look like `ipvsadm`'s listings, ports like testpmd's statistics, because those are the
//! tables that people of this field read without thinking.

mod accounts;
mod connections;
mod neighbours;
mod ports;
mod services;
mod traffic;

#[cfg(test)]
mod tests;

pub(crate) use accounts::{Ended, is_exact};

use crate::{
    control::{director::Director, query::Listed},
    dpdk::StartedPort,
};
use lb_core::{neigh::entry::Neighbour, packet::WorkerId, service::snapshot::Snapshot};
use std::fmt::Write;

/// The status report, ending with the line `end of status`.
pub(crate) fn status(
    director: &Director,
    listed: &[Listed],
    neighbours: Vec<(WorkerId, Vec<Neighbour>)>,
) -> String {
    let mut text = String::new();
    let size = director.connections_per_worker * director.workers.len();
    let _ = writeln!(text, "lb-app {} (size={size})", env!("CARGO_PKG_VERSION"));
    services::write(&mut text, &director.snapshot, &director.board);
    text.push('\n');
    let servers: Vec<_> = director.workers.iter().map(|worker| &*worker.servers).collect();
    traffic::write(&mut text, &director.snapshot, &servers);
    text.push('\n');
    let total = director.workers.iter().map(|worker| worker.counters.connections()).sum();
    connections::write(&mut text, &director.snapshot, listed, total);
    neighbours::write(&mut text, &director.names, neighbours);
    for worker in &director.workers {
        accounts::write_worker(&mut text, worker.id, &worker.counters);
    }
    let counters: Vec<_> = director.workers.iter().map(|worker| &*worker.counters).collect();
    accounts::write_drops(&mut text, &counters);
    ports::write_statistics(&mut text, &director.names, &director.ports);
    let _ = writeln!(text, "packet buffers: {} of {} in use", director.pool.in_use(), director.pool.size());
    text.push_str("end of status\n");
    text
}

/// The statistics at the end of a run. `discarded`: frames that came in several segments and were not looked at.
pub(crate) fn accumulated(
    names: &[String],
    ports: &[StartedPort],
    snapshot: &Snapshot,
    ended: &[Ended],
    discarded: u64,
) -> String {
    let mut text = String::new();
    ports::write_accumulated(&mut text, ports, ended);
    ports::write_statistics(&mut text, names, ports);
    text.push('\n');
    let servers: Vec<_> = ended.iter().map(|worker| &*worker.servers).collect();
    traffic::write(&mut text, snapshot, &servers);
    for worker in ended {
        accounts::write_worker(&mut text, worker.id, &worker.counters);
    }
    let counters: Vec<_> = ended.iter().map(|worker| &*worker.counters).collect();
    accounts::write_drops(&mut text, &counters);
    if discarded > 0 {
        let _ = writeln!(text, "  {discarded:>12}  frames larger than a packet buffer, discarded unseen");
    }
    accounts::write_verdict(&mut text, ended);
    text
}
