//! What was forwarded and dropped.

use super::{Api, done};
use crate::control::live::running::Running;
use lb_core::counters::DropReason;
use lb_ctl::protocol::{
    Reply,
    forward::{Drop, Drops, Moved, Request, Stats},
};
use parking_lot::Mutex;

/// What had been counted when it was last cleared. The counters themselves go on: the accounts at the end want all.
#[derive(Default)]
pub(super) struct Baseline(Mutex<Cleared>);

#[derive(Default)]
struct Cleared {
    ports: Vec<Moved>,
    received: u64,
    /// By reason, then by worker.
    drops: Vec<Vec<u64>>,
}

impl Api {
    pub(super) fn forward(&self, running: &Running, request: &Request) -> Reply {
        match request {
            Request::Stats => self.forward_stats(running),
            Request::Clear => {
                let cleared = Cleared {
                    ports: moved(running),
                    received: received(running),
                    drops: DropReason::ALL.iter().map(|&reason| dropped(running, reason)).collect(),
                };
                *self.forward_baseline.0.lock() = cleared;
                done()
            }
            Request::Drops { all } => Reply::Drops(self.drops(running, *all)),
        }
    }

    pub(super) fn forward_stats(&self, running: &Running) -> Reply {
        let baseline = self.forward_baseline.0.lock();
        let mut ports = moved(running);
        for (port, before) in ports.iter_mut().zip(&baseline.ports) {
            port.rx_packets -= before.rx_packets;
            port.rx_dropped = port.rx_dropped.saturating_sub(before.rx_dropped);
            port.tx_packets -= before.tx_packets;
            port.tx_dropped -= before.tx_dropped;
        }
        Reply::ForwardStats(Stats { forwarding: !running.shutdown.is_paused(), ports })
    }

    fn drops(&self, running: &Running, all: bool) -> Drops {
        let baseline = self.forward_baseline.0.lock();
        let reasons = DropReason::ALL.iter().enumerate().map(|(at, &reason)| {
            let before = baseline.drops.get(at).map(Vec::as_slice).unwrap_or_default();
            let before = before.iter().copied().chain(std::iter::repeat(0));
            let by_worker: Vec<u64> =
                dropped(running, reason).into_iter().zip(before).map(|(now, then)| now - then).collect();
            Drop {
                reason: reason.name().to_owned(),
                meaning: reason.explanation().to_owned(),
                packets: by_worker.iter().sum(),
                packets_per_s: self.rates.of_drop(reason),
                by_worker,
            }
        });
        let reasons = reasons.filter(|drop| all || drop.packets > 0).collect();
        Drops { received: received(running) - baseline.received, reasons }
    }
}

fn received(running: &Running) -> u64 {
    running.workers.iter().map(|worker| worker.counters.received.get()).sum()
}

fn dropped(running: &Running, reason: DropReason) -> Vec<u64> {
    running.workers.iter().map(|worker| worker.counters.dropped[reason as usize].get()).collect()
}

fn moved(running: &Running) -> Vec<Moved> {
    let names = running.port_names();
    let ports = running.ports();
    let each = ports.iter().zip(names).map(|(port, name)| {
        let mut moved =
            Moved { id: u32::from(port.index().0), name, rx_dropped: Api::missed(port), ..Moved::default() };
        for traffic in
            running.workers.iter().filter_map(|worker| worker.ports.get(usize::from(port.index().0)))
        {
            moved.rx_packets += traffic.rx.get();
            moved.tx_packets += traffic.tx.get();
            moved.tx_dropped += traffic.tx_dropped.get();
        }
        moved
    });
    each.collect()
}
