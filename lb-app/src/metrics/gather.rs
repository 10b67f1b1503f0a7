//! Where facts come from: the running director.

use super::{
    facts::{Facts, Port, Server, Service, Worker},
    names::Names,
    text::labels,
};
use crate::{
    control::{
        live::{interfaces::Moved, running::Running},
        plane::ControlPlane,
    },
    dpdk::{LinkState, bond::MemberState},
};
use lb_core::{
    counters::{Counter, ServerTraffic},
    ids::ServerId,
    service::{
        plan::{Admin, Plan, ServicePlan},
        snapshot::Local,
    },
};
use parking_lot::Mutex;
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// Interfaces in VLANs.
fn interfaces(running: &Running, plan: &Plan) -> Vec<(String, String, [u64; 4])> {
    let names = running.port_names();
    let all = plan.interfaces.iter().zip(running.moved(&plan.interfaces));
    let in_vlans = all.filter_map(|(on, Moved { packets, bytes })| {
        let port = names.get(usize::from(on.port.0)).cloned().unwrap_or_default();
        let ([rx, tx], [rx_bytes, tx_bytes]) = (packets, bytes?);
        Some((on.name.clone(), port, [rx, tx, rx_bytes, tx_bytes]))
    });
    in_vlans.collect()
}

/// Everything, now. `names` are those of the last time.
pub(crate) fn gather(plane: &ControlPlane, names: &Mutex<Arc<Names>>) -> Facts {
    let running = &plane.running;
    let current = running.current();
    let names = {
        let mut names = names.lock();
        if !names.is_of(current.generation) {
            Arc::make_mut(&mut names).follow(&current.plan, current.generation);
        }
        names.clone()
    };
    let port_names = running.port_names();
    let started = running.ports();
    let ports = started.iter().zip(port_names).map(|(port, name)| {
        let stats = port.stats();
        let counters = [
            stats.rx_packets,
            stats.tx_packets,
            stats.rx_bytes,
            stats.tx_bytes,
            stats.rx_missed,
            stats.rx_errors,
            stats.tx_errors,
            stats.rx_no_buffer,
        ];
        let members = port.bond().map_or_else(Vec::new, |bond| bond.members);
        let passes = |state| matches!(state, MemberState::Active | MemberState::Standby);
        let members = members.into_iter().map(|member| (member.name, passes(member.state)));
        Port {
            name,
            counters,
            link_up: port.link().state == LinkState::Up,
            members: members.collect(),
            started: port.is_moving(),
        }
    });
    let ports = ports.collect();
    drop(started);
    let (services, servers) = services(running, &names);
    let described = described(&current.plan, &names);
    Facts {
        uptime_s: running.clock.now().as_millis() as f64 / 1_000.0,
        forwarding: !running.shutdown.is_paused(),
        role: current.plan.director.role,
        sha256: current.config.sha256.clone(),
        watched: plane.watched.told(running),
        host_sides: host_sides(running),
        active: current
            .snapshot
            .locals
            .iter()
            .filter(|(_, local)| !matches!(local, Local::Own(_)))
            .map(|(address, local)| (address.to_string(), local.is_answered()))
            .collect(),
        interfaces: interfaces(running, &current.plan),
        announced: plane
            .announcer
            .verdicts()
            .iter()
            .map(|(vip, why)| (vip.to_string(), why.is_none()))
            .collect(),
        tables: running.fills(),
        local_addresses: running.local_addresses().collect(),
        persistence: persistence(running),
        sync: (
            plane.peers.as_ref().map(|known| known.facts()).unwrap_or_default(),
            running.workers.iter().map(|worker| worker.counters.peers_adopted.get()).sum(),
        ),
        ipvs: plane.ipvs.as_ref().map(|known| {
            let adopted = running.workers.iter().map(|worker| worker.counters.masters_adopted.get());
            (known.facts(), adopted.sum())
        }),
        changes: current.generation,
        reloads: plane.reloads.counts(),
        events: running.journal.counts(),
        buffers: [running.pool.in_use().into(), running.pool.size().into()],
        services,
        servers,
        described,
        workers: workers(running),
        ports,
        health: plane.monitor().map(|monitor| monitor.report()),
        names,
    }
}

/// Clients that are remembered, that can be, and connections that were not.
fn persistence(running: &Running) -> [u64; 4] {
    let table = &running.persistence;
    let (full, contended) = table.missed();
    [table.iter(running.clock.now()).count() as u64, table.capacity() as u64, full, contended]
}

/// What was moved between ports and their host sides.
fn host_sides(running: &Running) -> Vec<(String, [u64; 4])> {
    let names = running.port_names();
    let each = running.taps.iter().filter_map(|(port, _)| {
        let moved = &running.sides.of(*port)?.moved;
        let counters = [&moved.to_kernel, &moved.from_kernel, &moved.refused, &moved.lost];
        let name = names.get(usize::from(port.0))?.clone();
        Some((name, counters.map(|counter| counter.load(Relaxed))))
    });
    each.collect()
}

/// All services, and the servers of them all.
fn services(running: &Running, names: &Names) -> (Vec<Service>, Vec<Server>) {
    let snapshot = running.current().snapshot;
    let (mut services, mut servers) = (Vec::new(), Vec::new());
    for (_, service) in snapshot.configured() {
        let key = service.key();
        let begin = servers.len();
        servers.extend(service.servers.iter().map(|&id| {
            let plan = &snapshot.servers[id].plan;
            let load = running.board.total(id);
            Server {
                labels: names.server(key.server(plan.endpoint())),
                counters: counters(running, id),
                active: load.active.into(),
                inactive: load.inactive.into(),
                weight: plan.effective_weight().into(),
                enabled: plan.admin == Admin::Enabled,
            }
        }));
        let own = &servers[begin..];
        services.push(Service {
            labels: names.service(key, &service.name),
            counters: std::array::from_fn(|counter| own.iter().map(|server| server.counters[counter]).sum()),
            active: own.iter().map(|server| server.active).sum(),
            inactive: own.iter().map(|server| server.inactive).sum(),
            servers: [own.len() as u64, own.iter().filter(|server| server.weight > 0).count() as u64],
        });
    }
    (services, servers)
}

/// The labels of the services and servers that somebody has described, with the descriptions.
fn described(plan: &Plan, names: &Names) -> [Vec<String>; 2] {
    let with = |known: &str, description: &str| {
        format!("{},{}", known.trim_end_matches('}'), &labels(&[("description", description)])[1..])
    };
    let services = plan.services.iter().filter(|service| !service.description.is_empty());
    let services =
        services.map(|service| with(&names.service(service.key(), &service.name), &service.description));
    let servers = plan.services.iter().flat_map(ServicePlan::keyed_servers);
    let servers = servers.filter(|(_, server)| !server.description.is_empty());
    [services.collect(), servers.map(|(key, server)| with(&names.server(key), &server.description)).collect()]
}

/// What all workers counted for a server.
fn counters(running: &Running, id: ServerId) -> [u64; 5] {
    let mut counters = [0; 5];
    for worker in &running.workers {
        let Some(traffic) = worker.servers.get(id.index()) else { continue };
        let ServerTraffic { connections, packets, bytes, .. } = traffic;
        let each = [connections, &packets[0], &packets[1], &bytes[0], &bytes[1]];
        counters.iter_mut().zip(each).for_each(|(sum, counter)| *sum += counter.get());
    }
    counters
}

fn workers(running: &Running) -> Vec<Worker> {
    let workers = running.workers.iter().map(|worker| {
        let counters = &worker.counters;
        let histogram = worker.activity.histogram();
        Worker {
            counters: [
                counters.received.get(),
                counters.taken_over.get(),
                counters.originated.get(),
                counters.sent.get(),
                counters.host.get(),
                counters.handed_over_total(),
                counters.created.get(),
                counters.ended.get(),
                counters.evicted.get(),
                counters.no_server.get(),
                counters.ports_exhausted.get(),
                counters.client_addresses.get(),
                counters.client_addresses_left_out.get(),
                counters.expected.get(),
                counters.expected_came.get(),
                counters.expected_lost.get(),
                counters.rewritten.get(),
                counters.unread.get(),
                counters.quic_named.get(),
                counters.quic_lost.get(),
                counters.resets.get(),
                counters.icmp_errors.get(),
                counters.no_buffer.get(),
                counters.fragmented.get(),
                counters.made_fragments.get(),
            ],
            connections: counters.connections(),
            waiting: counters.waiting.get(),
            waiting_fragments: counters.waiting_fragments.get(),
            datagrams: counters.datagrams.get(),
            dropped: counters.dropped.iter().map(Counter::get).collect(),
            cycles: [worker.activity.busy_cycles.get(), worker.activity.idle_cycles.get()],
            polls: histogram.iter().map(|(_, most, polls)| (*most, *polls)).collect(),
            polled: (0..).zip(&worker.activity.polls).map(|(packets, polls)| packets * polls.get()).sum(),
        }
    });
    workers.collect()
}
