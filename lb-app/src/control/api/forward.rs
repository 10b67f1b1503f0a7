//! What was forwarded and dropped.

use super::{answer::done, ports, rates::Rates};
use crate::control::live::running::Running;
use lb_core::counters::DropReason;
use lb_ctl::protocol::{
    Reply,
    forward::{Drop, Drops, Moved, Request, Stats},
};
use parking_lot::Mutex;

/// What had been counted at the last `clear`. The counters are not reset: the accounts at the end need all of it.
#[derive(Default)]
pub(super) struct Baseline(Mutex<Cleared>);

#[derive(Default)]
struct Cleared {
    ports: Vec<Moved>,
    received: u64,
    /// By reason, then by worker.
    drops: Vec<Vec<u64>>,
}

pub(super) fn answer(running: &Running, baseline: &Baseline, rates: &Rates, request: &Request) -> Reply {
    match request {
        Request::Stats => stats(running, baseline),
        Request::Clear => {
            let cleared = Cleared {
                ports: moved(running),
                received: received(running),
                drops: DropReason::ALL.iter().map(|&reason| dropped(running, reason)).collect(),
            };
            *baseline.0.lock() = cleared;
            done()
        }
        Request::Drops { all } => Reply::Drops(drops(running, baseline, rates, *all)),
    }
}

pub(super) fn stats(running: &Running, baseline: &Baseline) -> Reply {
    let cleared = baseline.0.lock();
    let mut ports = moved(running);
    for (port, before) in ports.iter_mut().zip(&cleared.ports) {
        port.rx_packets -= before.rx_packets;
        port.rx_dropped = port.rx_dropped.saturating_sub(before.rx_dropped);
        port.tx_packets -= before.tx_packets;
        port.tx_dropped -= before.tx_dropped;
    }
    Reply::ForwardStats(Stats { forwarding: !running.shutdown.is_paused(), ports })
}

pub(super) fn drops(running: &Running, baseline: &Baseline, rates: &Rates, all: bool) -> Drops {
    let cleared = baseline.0.lock();
    let reasons = DropReason::ALL.iter().enumerate().map(|(at, &reason)| {
        let before = cleared.drops.get(at).map(Vec::as_slice).unwrap_or_default();
        let before = before.iter().copied().chain(std::iter::repeat(0));
        let by_worker: Vec<u64> =
            dropped(running, reason).into_iter().zip(before).map(|(now, then)| now - then).collect();
        Drop {
            reason: reason.name().to_owned(),
            meaning: reason.explanation().to_owned(),
            packets: by_worker.iter().sum(),
            packets_per_s: rates.of_drop(reason),
            by_worker,
        }
    });
    let reasons = reasons.filter(|drop| all || drop.packets > 0).collect();
    Drops { received: received(running) - cleared.received, reasons }
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
        let mut moved = Moved {
            id: u32::from(port.index().0),
            name,
            rx_dropped: ports::missed(port),
            ..Moved::default()
        };
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
