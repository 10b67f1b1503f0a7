//! Ports, as testpmd shows them.

use crate::{control::running::WorkerView, dpdk::StartedPort};
use std::fmt::Write;

/// What the ports themselves counted: testpmd's `show port stats all`.
pub(super) fn write_statistics(text: &mut String, names: &[String], ports: &[StartedPort]) {
    for (port, name) in ports.iter().zip(names) {
        let stats = port.stats();
        let title = format!(" NIC statistics for port {:<2}", port.index().0);
        let _ = writeln!(text, "\n  {0}{title} {0}", "#".repeat(24));
        let _ = writeln!(
            text,
            "  RX-packets: {:<10} RX-missed: {:<10} RX-bytes:  {:<}",
            stats.rx_packets, stats.rx_missed, stats.rx_bytes
        );
        let _ = writeln!(text, "  RX-errors: {:<}", stats.rx_errors);
        let _ = writeln!(text, "  RX-nombuf:  {:<10}", stats.rx_no_buffer);
        let _ = writeln!(
            text,
            "  TX-packets: {:<10} TX-errors: {:<10} TX-bytes:  {:<}",
            stats.tx_packets, stats.tx_errors, stats.tx_bytes
        );
        let _ = writeln!(text, "  Name: {name}");
        let _ = writeln!(text, "  {}", "#".repeat(76));
    }
}

/// What the workers moved through the ports: testpmd's accumulated statistics after `stop`.
pub(super) fn write_accumulated(text: &mut String, ports: &[StartedPort], workers: &[WorkerView]) {
    let mut all = Moved::default();
    for port in ports {
        let mut moved = Moved::default();
        for traffic in workers.iter().filter_map(|worker| worker.ports.get(usize::from(port.index().0))) {
            moved.rx += traffic.rx.get();
            moved.tx += traffic.tx.get();
            moved.tx_dropped += traffic.tx_dropped.get();
        }
        moved.rx_dropped = port.stats().rx_missed;
        let rule = "-".repeat(22);
        let _ = writeln!(text, "\n  {rule} Forward statistics for port {:<2} {rule}", port.index().0);
        moved.write(text);
        let _ = writeln!(text, "  {}", "-".repeat(76));
        all.add(&moved);
    }
    let rule = "+".repeat(15);
    let _ = writeln!(text, "\n  {rule} Accumulated forward statistics for all ports{rule}");
    all.write(text);
    let _ = writeln!(text, "  {}", "+".repeat(76));
}

/// Packets that went through a port.
#[derive(Debug, Default)]
struct Moved {
    rx: u64,
    rx_dropped: u64,
    tx: u64,
    tx_dropped: u64,
}

impl Moved {
    fn add(&mut self, other: &Moved) {
        self.rx += other.rx;
        self.rx_dropped += other.rx_dropped;
        self.tx += other.tx;
        self.tx_dropped += other.tx_dropped;
    }

    fn write(&self, text: &mut String) {
        for (name, moved, dropped) in [("RX", self.rx, self.rx_dropped), ("TX", self.tx, self.tx_dropped)] {
            let _ = writeln!(
                text,
                "  {name}-packets: {moved:<14} {name}-dropped: {dropped:<14} {name}-total: {}",
                moved + dropped
            );
        }
    }
}
