//! What operators read: the status report and the statistics at the end.
//!
//! Services and connections look like `ipvsadm`'s listings, ports like testpmd's statistics, because those are the
//! tables that operators know.

mod accounts;
mod connections;
mod health;
mod neighbours;
mod ports;
mod services;
mod traffic;

#[cfg(test)]
mod tests;

pub(crate) use accounts::is_exact;

use crate::{
    control::{
        live::{running::Running, workers::Listed},
        plane::ControlPlane,
    },
    dpdk::StartedPort,
};
use lb_core::{neigh::entry::Neighbour, packet::WorkerId};
use std::{fmt::Write, time::SystemTime};

/// The status report, ending with the line `end of status`.
pub(crate) fn status(
    plane: &ControlPlane,
    listed: &[Listed],
    neighbours: Vec<(WorkerId, Vec<Neighbour>)>,
) -> String {
    let mut text = String::new();
    let running = &plane.running;
    let snapshot = running.current().snapshot;
    let names = running.port_names();
    let _ = writeln!(text, "lb-app {} (size={})", env!("CARGO_PKG_VERSION"), running.capacity());
    let forwarding = if running.shutdown.is_paused() { "stopped" } else { "forwarding" };
    let _ = writeln!(text, "{forwarding}, role {}", snapshot.role);
    services::write(&mut text, &snapshot, &running.board);
    text.push('\n');
    let servers: Vec<_> = running.workers.iter().map(|worker| &*worker.servers).collect();
    traffic::write(&mut text, &snapshot, &servers);
    text.push('\n');
    if let Some(monitor) = plane.monitor() {
        health::write(&mut text, &monitor.report(), SystemTime::now());
    }
    connections::write(&mut text, &snapshot, listed, running.connections());
    neighbours::write(&mut text, &running.interface_names(), neighbours);
    for worker in &running.workers {
        accounts::write_worker(&mut text, worker.id, &worker.counters);
    }
    let counters: Vec<_> = running.workers.iter().map(|worker| &*worker.counters).collect();
    accounts::write_drops(&mut text, &counters);
    ports::write_statistics(&mut text, &names, &running.ports());
    let _ = writeln!(text, "packet buffers: {} of {} in use", running.pool.in_use(), running.pool.size());
    text.push_str("end of status\n");
    text
}

/// The statistics at the end of a run. `discarded`: frames that came in several segments and were not looked at.
pub(crate) fn accumulated(running: &Running, ports: &[StartedPort], discarded: u64) -> String {
    let mut text = String::new();
    ports::write_accumulated(&mut text, ports, &running.workers);
    ports::write_statistics(&mut text, &running.port_names(), ports);
    text.push('\n');
    let servers: Vec<_> = running.workers.iter().map(|worker| &*worker.servers).collect();
    traffic::write(&mut text, &running.current().snapshot, &servers);
    for worker in &running.workers {
        accounts::write_worker(&mut text, worker.id, &worker.counters);
    }
    let counters: Vec<_> = running.workers.iter().map(|worker| &*worker.counters).collect();
    accounts::write_drops(&mut text, &counters);
    if discarded > 0 {
        let _ = writeln!(text, "  {discarded:>12}  frames larger than a packet buffer, discarded");
    }
    accounts::write_verdict(&mut text, &counters);
    text
}
