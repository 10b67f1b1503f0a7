//! Workers: what they did and how busy they are.

use super::rates::Rates;
use crate::{
    control::live::{running::Running, workers::WorkerView},
    dpdk,
};
use lb_core::packet::HandOver;
use lb_ctl::protocol::{
    Reply,
    workers::{Bursts, HandOver as HandedOver, Request, Worker, Workers},
};

pub(super) fn answer(running: &Running, rates: &Rates, request: &Request) -> Reply {
    let Request::List = request;
    let workers = running.workers.iter().map(|worker| describe(worker, rates)).collect();
    Reply::Workers(Workers { cycles_per_s: dpdk::tsc_hz(), workers })
}

fn describe(worker: &WorkerView, rates: &Rates) -> Worker {
    let (counters, activity) = (&worker.counters, &worker.activity);
    let (received_per_s, busy_percent) = rates.of_worker(usize::from(worker.id.0));
    let hand_overs = HandOver::ALL.map(|reason| HandedOver {
        reason: reason.name().to_owned(),
        packets: counters.handed_over[reason as usize].get(),
    });
    let bursts = activity.histogram().into_iter().map(|(from, to, polls)| Bursts { from, to, polls });
    Worker {
        id: u32::from(worker.id.0),
        lcore: worker.lcore.0,
        busy_cycles: activity.busy_cycles.get(),
        idle_cycles: activity.idle_cycles.get(),
        busy_percent,
        received: counters.received.get(),
        received_per_s,
        taken_over: counters.taken_over.get(),
        originated: counters.originated.get(),
        sent: counters.sent.get(),
        dropped: counters.dropped_total(),
        host: counters.host.get(),
        handed_over: counters.handed_over_total(),
        hand_overs: hand_overs.into(),
        waiting: counters.held(),
        connections: counters.connections(),
        created: counters.created.get(),
        ended: counters.ended.get(),
        evicted: counters.evicted.get(),
        resets: counters.resets.get(),
        icmp_errors: counters.icmp_errors.get(),
        fragmented: counters.fragmented.get(),
        made_fragments: counters.made_fragments.get(),
        bursts: bursts.collect(),
    }
}
