//! What passed between clients and servers, summed up.

use crate::control::live::running::Running;
use lb_core::{counters::ServerTraffic, ids::ServerId};
use lb_ctl::protocol::services::{Rate, Traffic};

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
