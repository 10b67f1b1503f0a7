//! Workers, tables and memory.

use super::units::{bytes, short};
use crate::protocol::{
    memory::{Memory, Tables},
    workers::{Worker, Workers},
};
use std::fmt::Write;

pub(super) fn workers(text: &mut String, workers: &Workers) {
    for worker in &workers.workers {
        let Worker { id, lcore, busy_cycles, idle_cycles, busy_percent, .. } = worker;
        let _ = writeln!(text, "worker {id} on lcore {lcore}: {busy_percent:.1} % busy");
        let _ = writeln!(text, "  cycles: busy {busy_cycles} idle {idle_cycles}{}", per_packet(worker));
        let _ = writeln!(
            text,
            "  packets: received {} ({} per second) taken-over {} originated {} sent {} dropped {} host {} \
             handed-over {} waiting {}",
            worker.received,
            worker.received_per_s,
            worker.taken_over,
            worker.originated,
            worker.sent,
            worker.dropped,
            worker.host,
            worker.handed_over,
            worker.waiting,
        );
        let reasons: Vec<String> =
            worker.hand_overs.iter().map(|reason| format!("{} {}", reason.reason, reason.packets)).collect();
        let _ = writeln!(text, "  handed over: {}", reasons.join(" "));
        let _ = writeln!(
            text,
            "  connections: {} now, created {} ended {} evicted {}",
            worker.connections, worker.created, worker.ended, worker.evicted
        );
        let _ = writeln!(
            text,
            "  answered: resets {} icmp-errors {}; fragmented {} into {}",
            worker.resets, worker.icmp_errors, worker.fragmented, worker.made_fragments
        );
    }
}

fn per_packet(worker: &Worker) -> String {
    let packets = worker.received + worker.taken_over;
    worker
        .busy_cycles
        .checked_div(packets)
        .map(|cycles| format!(", busy {cycles} per packet"))
        .unwrap_or_default()
}

/// A bar for each size of burst.
pub(super) fn histogram(text: &mut String, workers: &Workers) {
    /// Characters of the longest bar.
    const WIDTH: u64 = 40;
    for worker in &workers.workers {
        // Polls that brought nothing would dwarf all others.
        let most =
            worker.bursts.iter().filter(|bursts| bursts.to > 0).map(|bursts| bursts.polls).max().unwrap_or(0);
        let _ = writeln!(text, "worker {}: packets per poll, number of polls", worker.id);
        for bursts in &worker.bursts {
            let range = if bursts.from == bursts.to {
                bursts.to.to_string()
            } else {
                format!("{}-{}", bursts.from, bursts.to)
            };
            let bar = if bursts.to == 0 || most == 0 {
                0
            } else {
                (bursts.polls as u128 * u128::from(WIDTH)).div_ceil(u128::from(most))
            };
            let line = format!("  {range:>5} {:>9} {}", short(bursts.polls), "#".repeat(bar as usize));
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
}

pub(super) fn memory(text: &mut String, memory: &Memory) {
    let _ = writeln!(text, "process in memory  {}", bytes(memory.resident_bytes));
    let _ = writeln!(
        text,
        "connection tables  {} ({} bytes per connection)",
        bytes(memory.tables_bytes),
        memory.connection_bytes
    );
    let _ = writeln!(text, "fragments          {} of tables", bytes(memory.fragments_bytes));
    let _ = writeln!(
        text,
        "schedulers         {} ({} lookup tables)",
        bytes(memory.schedulers_bytes),
        memory.lookup_tables
    );
    let _ = writeln!(text, "persistent clients {}", bytes(memory.persistence_bytes));
    if memory.sync_bytes > 0 {
        let _ = writeln!(text, "peers              {} at most", bytes(memory.sync_bytes));
    }
    let _ = writeln!(
        text,
        "packet buffers     on {}",
        if memory.huge_pages { "huge pages" } else { "small pages" }
    );
    for pool in &memory.pools {
        let _ = writeln!(
            text,
            "  pool {}: {} of {} in use, {} each",
            pool.name,
            pool.in_use,
            pool.size,
            bytes(pool.buffer_bytes)
        );
    }
}

/// As DPDK's `rte_mempool_dump` words it.
pub(super) fn mempools(text: &mut String, memory: &Memory) {
    for pool in &memory.pools {
        let _ = writeln!(text, "mempool <{}>", pool.name);
        let _ = writeln!(text, "  size={}", pool.size);
        let _ = writeln!(text, "  cache_size={}", pool.cache);
        let _ = writeln!(text, "  frame_room={}", pool.buffer_bytes);
        let _ = writeln!(text, "  in_use_count={}", pool.in_use);
        let _ = writeln!(text, "  avail_count={}", pool.size.saturating_sub(pool.in_use));
    }
}

pub(super) fn tables(text: &mut String, tables: &Tables) {
    let _ = writeln!(text, "{:<34} {:>12} {:>12} {:>7} {:>10}", "table", "used", "size", "fill", "refused");
    for table in &tables.tables {
        let name = table
            .worker
            .map_or_else(|| table.name.clone(), |worker| format!("{}, worker {worker}", table.name));
        let percent = if table.size == 0 { 0.0 } else { 100.0 * table.used as f64 / table.size as f64 };
        let _ = writeln!(
            text,
            "{name:<34} {:>12} {:>12} {percent:>5.1} % {:>10}",
            table.used, table.size, table.refused
        );
    }
}
