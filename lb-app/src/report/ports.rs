//! Ports, as testpmd shows them.

use crate::{control::live::workers::WorkerView, dpdk::StartedPort};
use lb_ctl::{
    protocol::{
        forward::{Moved, Stats},
        ports::PortStats,
    },
    render,
};
use std::fmt::Write;

/// What the ports themselves counted: testpmd's `show port stats all`, without rates, and with names.
pub(super) fn write_statistics(text: &mut String, names: &[String], ports: &[StartedPort]) {
    for (port, name) in ports.iter().zip(names) {
        render::port_counters(text, &counted(port, name));
        let _ = writeln!(text, "  Name: {name}");
        let _ = writeln!(text, "  {}", "#".repeat(76));
    }
}

fn counted(port: &StartedPort, name: &str) -> PortStats {
    let stats = port.stats();
    PortStats {
        id: u32::from(port.index().0),
        name: name.to_owned(),
        rx_packets: stats.rx_packets,
        rx_missed: stats.rx_missed,
        rx_bytes: stats.rx_bytes,
        rx_errors: stats.rx_errors,
        rx_nombuf: stats.rx_no_buffer,
        tx_packets: stats.tx_packets,
        tx_errors: stats.tx_errors,
        tx_bytes: stats.tx_bytes,
    }
}

/// What the workers moved through the ports: testpmd's accumulated statistics after `stop`.
pub(super) fn write_accumulated(text: &mut String, ports: &[StartedPort], workers: &[WorkerView]) {
    let ports = ports.iter().map(|port| moved(port, workers)).collect();
    render::forward_statistics(text, &Stats { forwarding: false, ports });
}

fn moved(port: &StartedPort, workers: &[WorkerView]) -> Moved {
    let mut moved =
        Moved { id: u32::from(port.index().0), rx_dropped: port.stats().rx_missed, ..Moved::default() };
    for traffic in workers.iter().filter_map(|worker| worker.ports.get(usize::from(port.index().0))) {
        moved.rx_packets += traffic.rx.get();
        moved.tx_packets += traffic.tx.get();
        moved.tx_dropped += traffic.tx_dropped.get();
    }
    moved
}
