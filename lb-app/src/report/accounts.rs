//! Where every packet went, by worker and by reason, and whether that adds up.

use lb_core::{
    counters::{DropReason, WorkerCounters},
    packet::{HandOver, WorkerId},
};
use std::fmt::Write;

/// Whether every packet is accounted for: on each worker by itself, and between workers.
pub(crate) fn is_exact(workers: &[&WorkerCounters]) -> bool {
    let balanced = workers.iter().all(|worker| worker.unaccounted() == 0);
    let handed: u64 = workers.iter().map(|worker| worker.handed_over_total()).sum();
    let taken: u64 = workers.iter().map(|worker| worker.taken_over.get()).sum();
    balanced && handed == taken
}

pub(super) fn write_worker(text: &mut String, id: WorkerId, counters: &WorkerCounters) {
    let _ = writeln!(
        text,
        "worker {}: received {} taken-over {} originated {} sent {} dropped {} host {} handed-over {} waiting {}",
        id.0,
        counters.received.get(),
        counters.taken_over.get(),
        counters.originated.get(),
        counters.sent.get(),
        counters.dropped_total(),
        counters.host.get(),
        counters.handed_over_total(),
        counters.held(),
    );
    let reasons = HandOver::ALL
        .map(|reason| format!("{} {}", reason.name(), counters.handed_over[reason as usize].get()));
    let _ = writeln!(text, "  handed over: {}", reasons.join(" "));
    let _ = writeln!(
        text,
        "  connections: created {} ended {} evicted {} orphaned {} without-server {} without-port {}",
        counters.created.get(),
        counters.ended.get(),
        counters.evicted.get(),
        counters.orphaned.get(),
        counters.no_server.get(),
        counters.ports_exhausted.get(),
    );
    let _ = writeln!(
        text,
        "  answered: resets {} icmp-errors {}; fragmented {} into {}; trouble: address-conflicts {} no-buffer {}",
        counters.resets.get(),
        counters.icmp_errors.get(),
        counters.fragmented.get(),
        counters.made_fragments.get(),
        counters.address_conflicts.get(),
        counters.no_buffer.get(),
    );
}

/// What was dropped by all workers together, the reasons that occurred.
pub(super) fn write_drops(text: &mut String, workers: &[&WorkerCounters]) {
    let _ = writeln!(text, "Dropped");
    for reason in DropReason::ALL {
        let count: u64 = workers.iter().map(|counters| counters.dropped[reason as usize].get()).sum();
        if count > 0 {
            let _ = writeln!(text, "  {count:>12}  {:<18} {}", reason.name(), reason.explanation());
        }
    }
}

/// One line for scripts: do the accounts balance?
pub(super) fn write_verdict(text: &mut String, workers: &[&WorkerCounters]) {
    let sum = |count: fn(&WorkerCounters) -> u64| -> u64 { workers.iter().map(|worker| count(worker)).sum() };
    let verdict = if is_exact(workers) { "exact" } else { "DIFFERS" };
    let _ = writeln!(
        text,
        "accounting: {verdict}: received {} + taken over {} + originated {} = sent {} + dropped {} + host {} + handed over {}",
        sum(|counters| counters.received.get()),
        sum(|counters| counters.taken_over.get()),
        sum(|counters| counters.originated.get()),
        sum(|counters| counters.sent.get()),
        sum(WorkerCounters::dropped_total),
        sum(|counters| counters.host.get()),
        sum(WorkerCounters::handed_over_total),
    );
}
