//! From the configuration's devices to started ports, with one receive and one transmit queue for every worker.

use super::keys::{self, Spreading};
use crate::{
    cli::Options,
    config::{Config, Device},
    control::live::host_sides,
    dataplane::hand_over::RING_SIZE,
    dpdk::{
        self, Mempool, PoolError, Port, PortError, PortSettings, RssWish, RxQueue, StartedPort, TxQueue,
        TxWish, host_tap::HostTap,
    },
};
use lb_core::{
    limits::{MAX_WAITING, MAX_WAITING_FRAGMENTS},
    packet::PortId,
    service::{
        plan::{InterfacePlan, Plan, Spread},
        routing::Routing,
    },
};
use std::io;
use thiserror::Error;
use tracing::warn;

/// Buffers that each lcore keeps at hand.
const POOL_CACHE: u32 = 256;
/// The pool's name inside DPDK.
const POOL_NAME: &str = "lb-packets";
/// Ethernet header with two VLAN tags.
const L2_ROOM: u16 = 22;
/// DPDK's usual room for a frame.
const FRAME_ROOM: u16 = 2048;

/// Why the ports could not be started.
#[derive(Debug, Error)]
pub(crate) enum PortsError {
    #[error("port {name}: {error}")]
    Port { name: String, error: PortError },
    #[error(
        "host side {name}: {error}; it takes /dev/net/tun, CAP_NET_ADMIN, and a name that no interface has"
    )]
    Host { name: String, error: io::Error },
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// Started ports and their queues.
pub(crate) struct Ports {
    pub(crate) started: Vec<StartedPort>,
    /// By worker, then by port.
    pub(crate) rx: Vec<Vec<RxQueue>>,
    /// By worker, then by port.
    pub(crate) tx: Vec<Vec<TxQueue>>,
    pub(crate) pool: Mempool,
    /// Host sides, with the ports whose they are.
    pub(crate) taps: Vec<(PortId, HostTap)>,
}

/// Opens and starts all ports of a configuration, and completes its plan with what they turned out to be.
///
/// `seed` is what keys are drawn from.
pub(crate) fn start(
    config: &mut Config,
    options: &Options,
    workers: usize,
    seed: u64,
) -> Result<Ports, PortsError> {
    let plan = &mut config.plan;
    let name = |index: usize| plan.ports[index].name.clone();
    let mut opened = Vec::new();
    for (index, device) in config.devices.iter().enumerate() {
        let port = Port::open(&device.name, &device.members, PortId(index as u16));
        opened.push(port.map_err(|error| PortsError::Port { name: name(index), error })?);
    }
    let largest_mtu = plan.interfaces.iter().map(|interface| interface.mtu).max().unwrap_or(1500);
    let frame_room = FRAME_ROOM.max(largest_mtu + L2_ROOM);
    // Members of a bond have queues of their own.
    let devices = opened.iter().map(|port| port.info().member_drivers.len().max(1)).sum();
    let buffers = options.total_num_mbufs.unwrap_or_else(|| buffers(devices, workers, options));
    // Before the ports: a port that frees buffers quickly relies on there being one pool.
    let pool = Mempool::create(POOL_NAME, buffers, POOL_CACHE, frame_room, None)?;

    let mut ports = Ports {
        started: Vec::new(),
        rx: std::iter::repeat_with(Vec::new).take(workers).collect(),
        tx: std::iter::repeat_with(Vec::new).take(workers).collect(),
        pool: pool.clone(),
        taps: Vec::new(),
    };
    let wishes = wishes(plan, workers);
    let drivers: Vec<_> =
        plan.ports.iter().zip(&opened).map(|(port, opened)| (port.name.as_str(), opened.info())).collect();
    let Spreading { keys, why } = keys::choose(plan, &wishes, &drivers, workers, seed);
    for (index, port) in opened.into_iter().enumerate() {
        let settings = PortSettings {
            rx_queues: workers as u16,
            tx_queues: workers as u16,
            rx_descriptors: options.rxd,
            tx_descriptors: options.txd,
            mtu: plan.mtu_of(PortId(index as u16)),
            rss: wishes[index],
            keys: keys.clone(),
            why: why[index].clone(),
            rx_checksum: plan.verify_checksums && config.devices[index].checksum_offload,
            tx: tx_wish(plan, &config.devices[index], PortId(index as u16)),
            multicast: plan.interfaces.iter().any(has_ipv6) || config.devices[index].host.is_some(),
        };
        let (multicast, mtu) = (settings.multicast, settings.mtu);
        let (started, rx, tx) = port
            .start(settings, &pool)
            .map_err(|error| PortsError::Port { name: plan.ports[index].name.clone(), error })?;
        let port_name = &plan.ports[index].name;
        let interfaces = plan.interfaces.iter_mut().filter(|interface| interface.port == started.index());
        for interface in interfaces {
            interface.mac = interface.own_mac.unwrap_or_else(|| started.mac());
            if interface.mac != started.mac() {
                let failed = |error| PortsError::Port { name: port_name.clone(), error };
                started.accept(interface.mac).map_err(failed)?;
            }
        }
        let is_tagged = |on: &InterfacePlan| on.port == started.index() && !on.tags.is_empty();
        if plan.interfaces.iter().any(is_tagged) || config.devices[index].host.is_some() {
            let failed = |error| PortsError::Port { name: plan.ports[index].name.clone(), error };
            started.accept_vlans().map_err(failed)?;
        }
        if multicast && !started.takes_multicast() {
            let name = &plan.ports[index].name;
            warn!(
                "port {name} does not take multicast: neighbours of IPv6 may not find the director there, and a host side \
                 hears no groups"
            );
        }
        if let Some(name) = &config.devices[index].host {
            let tap = HostTap::create(name, started.mac(), mtu)
                .map_err(|error| PortsError::Host { name: name.clone(), error })?;
            host_sides::prepare(&tap);
            ports.taps.push((started.index(), tap));
        }
        ports.started.push(started);
        rx.into_iter().zip(&mut ports.rx).for_each(|(queue, of_worker)| of_worker.push(queue));
        tx.into_iter().zip(&mut ports.tx).for_each(|(queue, of_worker)| of_worker.push(queue));
    }
    for (port, started) in plan.ports.iter_mut().zip(&ports.started) {
        port.hashing = started.hashing();
    }
    for (port, spread) in plan.ports.iter_mut().zip(spreads(&ports.started, workers)) {
        port.spread = spread;
    }
    let is_seen = |port: &StartedPort| port.has_zero_window();
    plan.zero_window = keys.filter(|_| ports.started.iter().all(is_seen));
    plan.redirection_len = ports.started.first().map_or(0, |port| port.info().reta_size);
    Ok(ports)
}

/// What a port should do to packets while it sends them.
pub(crate) fn tx_wish(plan: &Plan, device: &Device, port: PortId) -> TxWish {
    TxWish {
        checksums: device.tx_checksum_offload,
        sums_tunnels: sums_tunnels(plan, port),
        tags: device.tx_vlan_offload,
        is_tagged: plan.interfaces_of(port).any(|on| !on.tags.is_empty()),
    }
}

/// Whether packets leave by a port in tunnels whose datagrams have a checksum over all of them.
fn sums_tunnels(plan: &Plan, port: PortId) -> bool {
    let routing = Routing::new(&plan.interfaces, &plan.routes);
    let is_behind = |address| {
        let interface = routing.next_hop(address).and_then(|hop| plan.interface(hop.interface));
        interface.is_some_and(|interface| interface.port == port)
    };
    let tunnelling = plan.services.iter().filter(|service| service.method.tunnels());
    tunnelling.flat_map(|service| service.servers.iter().map(move |server| (service, server))).any(
        |(service, server)| {
            let tunnel = service.tunnel.with(server.tunnel, server.address);
            tunnel.checksum && tunnel.kind.is_udp() && is_behind(server.address)
        },
    )
}

fn has_ipv6(interface: &InterfacePlan) -> bool {
    interface.addresses.iter().any(|network| network.addr().is_ipv6())
}

/// As many buffers as can be in use at once: in queues, rings and caches, waiting for neighbours or fragments, and in bursts.
fn buffers(ports: usize, workers: usize, options: &Options) -> u32 {
    let (ports, workers) = (ports as u32, workers as u32);
    let queues = ports * workers * (u32::from(options.rxd) + u32::from(options.txd));
    let rings = workers * workers.saturating_sub(1) * RING_SIZE;
    // Fragments wait in four queues: of each family, clients' and servers'.
    let waiting = MAX_WAITING as u32 + 4 * MAX_WAITING_FRAGMENTS as u32;
    let held = (workers + 1) * (POOL_CACHE * 3 / 2 + waiting + 512);
    // A power of two less one wastes no memory.
    (queues + rings + held).next_power_of_two() - 1
}

/// What each port should spread packets by. Under NAT, ports that only clients are behind go by source, ports that
/// only servers are behind by destination: then both directions of a connection arrive at one worker. A port with
/// both behind it cannot tell the directions apart.
pub(crate) fn wishes(plan: &Plan, workers: usize) -> Vec<RssWish> {
    let routing = Routing::new(&plan.interfaces, &plan.routes);
    let nat = || plan.services.iter().filter(|service| service.method.sees_replies());
    let behind = |index: usize, address| {
        let interface = routing.next_hop(address).and_then(|hop| plan.interface(hop.interface));
        interface.is_some_and(|interface| usize::from(interface.port.0) == index)
    };
    let faces_servers =
        |index| nat().flat_map(|service| &service.servers).any(|server| behind(index, server.address));
    let faces_clients = |index| {
        let is_gateway = |route: &lb_core::service::plan::RoutePlan| {
            route.to.prefix_len() == 0 && behind(index, route.via)
        };
        let mut vips = plan.services.iter().flat_map(|service| service.reach().vips());
        plan.routes.iter().any(is_gateway) || vips.any(|vip| behind(index, vip))
    };
    (0..plan.ports.len())
        .map(|index| match (faces_clients(index), faces_servers(index)) {
            _ if workers == 1 => RssWish::None,
            _ if nat().next().is_none() => RssWish::Flow,
            (true, false) => RssWish::ClientSource,
            (false, true) => RssWish::ClientDestination,
            (true, true) | (false, false) => RssWish::Flow,
        })
        .collect()
}

/// What can be relied on. Spreading by client serves only if all ports choose the same worker for a client, which
/// takes redirection tables that agree.
fn spreads(ports: &[StartedPort], workers: usize) -> Vec<Spread> {
    let sizes: Vec<usize> = ports.iter().map(|port| usize::from(port.info().reta_size)).collect();
    let equal = sizes.windows(2).all(|pair| pair[0] == pair[1]);
    let is_keyed = ports.iter().all(StartedPort::has_zero_window);
    let agree = is_keyed || equal || sizes.iter().all(|size| *size > 0 && size.is_multiple_of(workers));
    ports
        .iter()
        .map(|port| match port.spread() {
            dpdk::Spread::ByClient if agree => Spread::ByClient,
            dpdk::Spread::ByClient | dpdk::Spread::ByFlow => Spread::ByFlow,
            // One queue, one worker: everything arrives where it belongs.
            dpdk::Spread::Single => Spread::ByClient,
            dpdk::Spread::Unknown => Spread::Unknown,
        })
        .collect()
}
