//! What passed between clients and servers, summed up.

use crate::control::live::running::Running;
use lb_core::{counters::ServerTraffic, ids::ServerId, service::snapshot::Snapshot};
use lb_ctl::protocol::services::{Rate, Traffic};
use parking_lot::Mutex;
use std::collections::HashMap;

/// What servers had counted when they were last cleared, and since when each had its number. The counters are not reset:
/// workers write them, and metrics only ever grow.
#[derive(Default)]
pub(super) struct Baseline(Mutex<HashMap<ServerId, (u32, Traffic)>>);

impl Baseline {
    /// These servers count from 0 from now on.
    pub(super) fn clear(&self, snapshot: &Snapshot, servers: impl Iterator<Item = (ServerId, Traffic)>) {
        let mut cleared = self.0.lock();
        // Those of numbers that name another server by now are of no use.
        cleared
            .retain(|id, (named, _)| snapshot.servers.get(*id).is_some_and(|server| server.named == *named));
        cleared.extend(servers.map(|(id, traffic)| (id, (snapshot.servers[id].named, traffic))));
    }

    /// What a server has counted since it was cleared, of all that it has counted.
    pub(super) fn since(&self, id: ServerId, named: u32, now: Traffic) -> Traffic {
        match self.0.lock().get(&id) {
            Some((of, before)) if *of == named => less(now, before),
            Some(_) | None => now,
        }
    }
}

/// Never below 0: a worker may begin to count for another server while this is read.
fn less(now: Traffic, before: &Traffic) -> Traffic {
    Traffic {
        connections: now.connections.saturating_sub(before.connections),
        packets_in: now.packets_in.saturating_sub(before.packets_in),
        packets_out: now.packets_out.saturating_sub(before.packets_out),
        bytes_in: now.bytes_in.saturating_sub(before.bytes_in),
        bytes_out: now.bytes_out.saturating_sub(before.bytes_out),
    }
}

/// What passed between clients and a server, over all workers.
pub(super) fn of_server(running: &Running, id: ServerId) -> Traffic {
    let mut sum = Traffic::default();
    for server in running.workers.iter().filter_map(|worker| worker.servers.get(id.index())) {
        add_traffic(&mut sum, &counted(server));
    }
    sum
}

fn counted(server: &ServerTraffic) -> Traffic {
    let [packets_in, packets_out] = &server.packets;
    let [bytes_in, bytes_out] = &server.bytes;
    Traffic {
        connections: server.connections.get(),
        packets_in: packets_in.get(),
        packets_out: packets_out.get(),
        bytes_in: bytes_in.get(),
        bytes_out: bytes_out.get(),
    }
}

pub(super) fn add_traffic(sum: &mut Traffic, other: &Traffic) {
    sum.connections += other.connections;
    sum.packets_in += other.packets_in;
    sum.packets_out += other.packets_out;
    sum.bytes_in += other.bytes_in;
    sum.bytes_out += other.bytes_out;
}

pub(super) fn add_rate(sum: &mut Rate, other: &Rate) {
    sum.connections_per_s += other.connections_per_s;
    sum.packets_in_per_s += other.packets_in_per_s;
    sum.packets_out_per_s += other.packets_out_per_s;
    sum.bytes_in_per_s += other.bytes_in_per_s;
    sum.bytes_out_per_s += other.bytes_out_per_s;
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::{
        packet::PortId,
        service::{
            plan::{InterfacePlan, Method, Plan, ServerPlan, ServicePlan},
            snapshot::Room,
        },
    };
    use std::net::Ipv4Addr;

    #[test]
    fn a_server_counts_from_where_it_was_cleared_and_another_of_its_number_from_0() {
        let counted = |packets_in| Traffic { packets_in, ..Traffic::default() };
        let network = "198.51.100.1/24".parse().unwrap();
        let plan = |host: u8| Plan {
            interfaces: vec![InterfacePlan {
                addresses: vec![network],
                ..InterfacePlan::new("lan", PortId(0))
            }],
            services: vec![ServicePlan {
                servers: vec![ServerPlan::new(Ipv4Addr::new(198, 51, 100, host), 80, 1)],
                ..ServicePlan::new("web", "tcp 192.0.2.100:80".parse().unwrap(), Method::Nat)
            }],
            ..Plan::default()
        };
        // For one server, so that the next gets its number.
        let first = Snapshot::with_room(&plan(11), Room { services: 1, servers: 1 }).unwrap();
        let baseline = Baseline::default();
        let server = ServerId::new(0);
        let since = |snapshot: &Snapshot, now| {
            baseline.since(server, snapshot.servers[server].named, counted(now)).packets_in
        };
        assert_eq!(since(&first, 70), 70);
        baseline.clear(&first, [(server, counted(70))].into_iter());
        assert_eq!((since(&first, 70), since(&first, 75), since(&first, 3)), (0, 5, 0));
        baseline.clear(&first, [(server, counted(75))].into_iter());
        assert_eq!(since(&first, 80), 5);
        // Nobody has its connections any more, so its number is another's.
        let mut none = plan(12);
        none.services[0].servers.clear();
        let second = first.successor(&none, &|_| false).unwrap();
        let third = second.successor(&plan(12), &|_| false).unwrap();
        assert_eq!(third.servers[server].plan.address, Ipv4Addr::new(198, 51, 100, 12));
        assert_eq!(since(&third, 6), 6);
    }
}
