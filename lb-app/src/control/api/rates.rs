//! Counts a second: counters are looked at once a second, and a rate is the difference of the last two looks.

use super::traffic;
use crate::control::live::running::Running;
use lb_core::{
    counters::DropReason,
    ids::{ById, ServerId},
};
use lb_ctl::protocol::services::{Rate, Traffic};
use parking_lot::RwLock;
use std::{sync::Arc, time::Instant};

/// Counters at one time.
struct Sample {
    at: Instant,
    servers: ById<ServerId, Traffic>,
    /// By reason, over all workers.
    drops: Vec<u64>,
    /// By worker: packets received, busy cycles, idle cycles.
    workers: Vec<[u64; 3]>,
}

/// The last two samples, older first.
#[derive(Default)]
pub(super) struct Rates(RwLock<[Option<Arc<Sample>>; 2]>);

impl Rates {
    /// Looks at the counters now.
    pub(super) fn sample(&self, running: &Running) {
        let snapshot = running.current().snapshot;
        let drops = DropReason::ALL.iter().map(|&reason| {
            running.workers.iter().map(|worker| worker.counters.dropped[reason as usize].get()).sum()
        });
        let workers = running.workers.iter().map(|worker| {
            let activity = &worker.activity;
            [worker.counters.received.get(), activity.busy_cycles.get(), activity.idle_cycles.get()]
        });
        let sample = Sample {
            at: Instant::now(),
            servers: snapshot.servers.ids().map(|id| traffic::of_server(running, id)).collect(),
            drops: drops.collect(),
            workers: workers.collect(),
        };
        let [older, newer] = &mut *self.0.write();
        *older = newer.replace(Arc::new(sample));
    }

    /// What passes between clients and a server.
    pub(super) fn of_server(&self, id: ServerId) -> Rate {
        let Some(pair) = self.pair() else { return Rate::default() };
        let (Some(then), Some(now)) = (pair.0.servers.get(id), pair.1.servers.get(id)) else {
            return Rate::default();
        };
        let rate = |count: fn(&Traffic) -> u64| per_second(&pair, count(then), count(now));
        Rate {
            connections_per_s: rate(|traffic| traffic.connections),
            packets_in_per_s: rate(|traffic| traffic.packets_in),
            packets_out_per_s: rate(|traffic| traffic.packets_out),
            bytes_in_per_s: rate(|traffic| traffic.bytes_in),
            bytes_out_per_s: rate(|traffic| traffic.bytes_out),
        }
    }

    /// What is dropped for a reason.
    pub(super) fn of_drop(&self, reason: DropReason) -> u64 {
        let Some(pair) = self.pair() else { return 0 };
        per_second(&pair, pair.0.drops[reason as usize], pair.1.drops[reason as usize])
    }

    /// What a worker receives, and how busy it is in percent.
    pub(super) fn of_worker(&self, worker: usize) -> (u64, f64) {
        let Some(pair) = self.pair() else { return (0, 0.0) };
        let ([received, busy, idle], [received_now, busy_now, idle_now]) =
            (pair.0.workers[worker], pair.1.workers[worker]);
        let (busy, idle) = (busy_now.saturating_sub(busy) as f64, idle_now.saturating_sub(idle) as f64);
        let percent = if busy + idle > 0.0 { 100.0 * busy / (busy + idle) } else { 0.0 };
        (per_second(&pair, received, received_now), percent)
    }

    fn pair(&self) -> Option<(Arc<Sample>, Arc<Sample>)> {
        match &*self.0.read() {
            [Some(older), Some(newer)] => Some((older.clone(), newer.clone())),
            _ => None,
        }
    }
}

/// A counter that went down counts for another server by now.
fn per_second((older, newer): &(Arc<Sample>, Arc<Sample>), then: u64, now: u64) -> u64 {
    let seconds = newer.at.duration_since(older.at).as_secs_f64();
    if seconds > 0.0 { (now.saturating_sub(then) as f64 / seconds).round() as u64 } else { 0 }
}
