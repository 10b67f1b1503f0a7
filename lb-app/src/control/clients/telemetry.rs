//! The load balancer on DPDK's telemetry socket: `/lb/services`, `/lb/servers`, `/lb/workers`, `/lb/drops`
//! and `/lb/connections`, so that `dpdk-telemetry.py` and whatever else reads that socket shows them.
//!
//! An answer has a bounded size, so lists come in pages: the parameter is the number of entries to pass over, and `next`
//! is what to ask for then.

use crate::{
    control::live::running::Running,
    dpdk::telemetry::{self, Object, Value},
};
use lb_core::{counters::DropReason, ids::ServerId};
use std::{
    ffi::CStr,
    sync::{Arc, Weak},
};
use tracing::warn;

/// Entries on a page: DPDK's answers have 16 KiB.
const PAGE: usize = 32;

/// Tells how to answer a command.
type Tell = fn(&Running, usize) -> Object;

/// The commands, each with DPDK's help for it.
const COMMANDS: [(&CStr, &CStr, Tell); 5] = [
    (c"/lb/services", c"Virtual services. Parameters: entries to skip", services),
    (c"/lb/servers", c"Real servers. Parameters: entries to skip", servers),
    (c"/lb/workers", c"Workers. Parameters: entries to skip", workers),
    (c"/lb/drops", c"Dropped packets by reason", drops),
    (c"/lb/connections", c"Connections by worker", connections),
];

/// Has the commands answered as long as `running` exists.
pub(crate) fn register(running: &Arc<Running>) {
    for (command, help, tell) in COMMANDS {
        let weak: Weak<Running> = Arc::downgrade(running);
        let answer = move |parameter: &str| {
            let skip = parameter.trim().parse().unwrap_or(0);
            weak.upgrade().map(|running| tell(&running, skip)).unwrap_or_default()
        };
        if !telemetry::register(command, help, answer) {
            warn!("cannot register {} with DPDK's telemetry", command.to_string_lossy());
        }
    }
}

/// Has nothing answered any more.
pub(crate) fn end() {
    telemetry::forget_all();
}

fn number(name: &str, value: u64) -> (String, Value) {
    (name.to_owned(), Value::Number(value))
}

fn text(name: &str, value: &dyn ToString) -> (String, Value) {
    (name.to_owned(), Value::Text(value.to_string()))
}

/// One page of objects, numbered.
fn page(all: impl Iterator<Item = Object>, skip: usize) -> Object {
    let mut all = all.skip(skip).peekable();
    let mut page = Object::new();
    for at in skip..skip.saturating_add(PAGE) {
        let Some(object) = all.next() else { return page };
        page.push((at.to_string(), Value::Object(object)));
    }
    if all.peek().is_some() {
        page.push(number("next", skip.saturating_add(PAGE) as u64));
    }
    page
}

fn services(running: &Running, skip: usize) -> Object {
    let current = running.current();
    let services = current.snapshot.configured().map(|(_, service)| {
        let load = |server: &ServerId| running.board.total(*server);
        vec![
            text("name", &service.name),
            text("protocol", &service.protocol),
            text("address", &service.vip),
            number("port", service.port.into()),
            text("reach", &service.reach()),
            text("method", &service.method),
            text("scheduler", &service.scheduler_kind),
            number("servers", service.servers.len() as u64),
            number("active", service.servers.iter().map(|server| u64::from(load(server).active)).sum()),
            number("inactive", service.servers.iter().map(|server| u64::from(load(server).inactive)).sum()),
        ]
    });
    page(services, skip)
}

fn servers(running: &Running, skip: usize) -> Object {
    let current = running.current();
    let snapshot = &current.snapshot;
    let ids = snapshot.configured().flat_map(|(_, service)| service.servers.iter());
    let servers = ids.map(|&id| {
        let server = &snapshot.servers[id];
        let load = running.board.total(id);
        let sum = |of: &dyn Fn(&lb_core::counters::ServerTraffic) -> u64| {
            running.workers.iter().filter_map(|worker| worker.servers.get(id.index())).map(of).sum()
        };
        vec![
            text("service", &snapshot.service_of(id).name),
            text("address", &server.plan.address),
            number("port", server.plan.port.into()),
            number("weight", server.plan.weight.into()),
            number("active", load.active.into()),
            number("inactive", load.inactive.into()),
            number("connections", sum(&|traffic| traffic.connections.get())),
            number("packets_in", sum(&|traffic| traffic.packets[0].get())),
            number("packets_out", sum(&|traffic| traffic.packets[1].get())),
            number("bytes_in", sum(&|traffic| traffic.bytes[0].get())),
            number("bytes_out", sum(&|traffic| traffic.bytes[1].get())),
        ]
    });
    page(servers, skip)
}

fn workers(running: &Running, skip: usize) -> Object {
    let workers = running.workers.iter().map(|worker| {
        let counters = &worker.counters;
        vec![
            number("worker", worker.id.0.into()),
            text("lcore", &worker.lcore),
            number("received", counters.received.get()),
            number("sent", counters.sent.get()),
            number("dropped", counters.dropped_total()),
            number("handed_over", counters.handed_over_total()),
            number("taken_over", counters.taken_over.get()),
            number("connections", counters.connections()),
        ]
    });
    page(workers, skip)
}

fn drops(running: &Running, _: usize) -> Object {
    let total = |reason: DropReason| {
        running.workers.iter().map(|worker| worker.counters.dropped[reason as usize].get()).sum()
    };
    // DPDK takes no dash in a name.
    DropReason::ALL.map(|reason| number(&reason.name().replace('-', "_"), total(reason))).to_vec()
}

fn connections(running: &Running, _: usize) -> Object {
    let mut object =
        vec![number("count", running.connections()), number("capacity", running.capacity() as u64)];
    object.extend(
        running
            .workers
            .iter()
            .map(|worker| number(&format!("worker_{}", worker.id.0), worker.counters.connections())),
    );
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another() {
        let all = || (0..70u64).map(|at| vec![number("at", at)]);
        let first = page(all(), 0);
        assert_eq!((first.len(), first.last().unwrap()), (PAGE + 1, &number("next", 32)));
        let last = page(all(), 64);
        assert_eq!(last.len(), 6);
        assert_eq!(last[0], ("64".to_owned(), Value::Object(vec![number("at", 64)])));
        assert!(page(all(), usize::MAX).is_empty());
    }
}
