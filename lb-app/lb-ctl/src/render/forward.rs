//! What was forwarded, as testpmd shows it, and what was dropped.

use crate::protocol::forward::{Drops, Moved, Stats};
use std::fmt::Write;

/// What workers moved through ports: testpmd's accumulated statistics.
pub fn moved(text: &mut String, stats: &Stats) {
    let mut all = Moved::default();
    for port in &stats.ports {
        let rule = "-".repeat(22);
        let _ = writeln!(text, "\n  {rule} Forward statistics for port {:<2} {rule}", port.id);
        lines(text, port);
        let _ = writeln!(text, "  {}", "-".repeat(76));
        all.rx_packets += port.rx_packets;
        all.rx_dropped += port.rx_dropped;
        all.tx_packets += port.tx_packets;
        all.tx_dropped += port.tx_dropped;
    }
    let rule = "+".repeat(15);
    let _ = writeln!(text, "\n  {rule} Accumulated forward statistics for all ports{rule}");
    lines(text, &all);
    let _ = writeln!(text, "  {}", "+".repeat(76));
}

fn lines(text: &mut String, moved: &Moved) {
    let rows = [("RX", moved.rx_packets, moved.rx_dropped), ("TX", moved.tx_packets, moved.tx_dropped)];
    for (name, moved, dropped) in rows {
        let total = moved.saturating_add(dropped);
        let _ = writeln!(
            text,
            "  {name}-packets: {moved:<14} {name}-dropped: {dropped:<14} {name}-total: {total}"
        );
    }
}

pub(super) fn drops(text: &mut String, drops: &Drops) {
    let _ = writeln!(text, "{:>14} {:>9}  {:<18} what happened", "packets", "per s", "reason");
    for drop in &drops.reasons {
        let _ = writeln!(
            text,
            "{:>14} {:>9}  {:<18} {}",
            drop.packets, drop.packets_per_s, drop.reason, drop.meaning
        );
    }
    let all: u64 = drops.reasons.iter().map(|drop| drop.packets).sum();
    let _ = writeln!(text, "{all} dropped of {} received", drops.received);
}
