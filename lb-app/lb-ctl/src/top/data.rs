//! What the live view shows, asked of the director once for each frame.

use crate::{
    protocol::{Reply, Request, connections, director, forward, health, ports, services, workers},
    transport::{CallError, Transport},
};
use std::collections::HashMap;

/// Pages of services that are asked for, at most: a screen shows a few dozen lines.
const MOST_PAGES: usize = 5;

/// Everything on a frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    pub(super) about: director::About,
    pub(super) count: connections::Count,
    pub(super) services: Vec<services::Service>,
    /// There are more services than were asked for.
    pub(super) cut: bool,
    /// What checks found, by service.
    pub(super) health: HashMap<String, health::Service>,
    pub(super) ports: Vec<Port>,
    /// When ports counted, in nanoseconds.
    pub(super) at_ns: u64,
    pub(super) workers: Vec<workers::Worker>,
    pub(super) drops: Vec<forward::Drop>,
}

/// A port, what it has counted, and how fast it counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) started: bool,
    pub(super) link_up: bool,
    pub(super) link_gone: bool,
    pub(super) mbps: Option<u32>,
    pub(super) counted: ports::PortStats,
    /// Per second, since the frame before; none on the first.
    pub(super) rate: Option<PortRate>,
}

/// Counts of a port per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PortRate {
    pub(super) rx_packets: u64,
    pub(super) tx_packets: u64,
    pub(super) rx_bits: u64,
    pub(super) tx_bits: u64,
    pub(super) missed: u64,
}

impl Picture {
    /// Asks for everything. Rates of ports are those since the frame before.
    pub(super) fn take<T: Transport + ?Sized>(
        transport: &mut T,
        before: Option<&Picture>,
    ) -> Result<Self, CallError> {
        let Reply::About(about) = transport.call(Request::Director(director::Request::About))? else {
            return Err(nonsense());
        };
        let Reply::ConnectionCount(count) =
            transport.call(Request::Connections(connections::Request::Count))?
        else {
            return Err(nonsense());
        };
        let Reply::Workers(workers) = transport.call(Request::Workers(workers::Request::List))? else {
            return Err(nonsense());
        };
        let Reply::Drops(drops) = transport.call(Request::Forward(forward::Request::Drops { all: false }))?
        else {
            return Err(nonsense());
        };
        let (services, cut) = services(transport)?;
        let health = health(transport)?;
        let (ports, at_ns) = ports(transport, before)?;
        let (workers, drops) = (workers.workers, drops.reasons);
        Ok(Picture { about, count, services, cut, health, ports, at_ns, workers, drops })
    }
}

fn services<T: Transport + ?Sized>(transport: &mut T) -> Result<(Vec<services::Service>, bool), CallError> {
    let mut all: Vec<services::Service> = Vec::new();
    let mut cursor = None;
    for _ in 0..MOST_PAGES {
        let request = services::Request::List { name: None, cursor };
        let Reply::Services(page) = transport.call(Request::Services(request))? else {
            return Err(nonsense());
        };
        for service in page.services {
            match all.last_mut() {
                // One with very many servers continues.
                Some(last) if last.name == service.name => last.servers.extend(service.servers),
                _ => all.push(service),
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok((all, false));
        }
    }
    Ok((all, true))
}

fn health<T: Transport + ?Sized>(transport: &mut T) -> Result<HashMap<String, health::Service>, CallError> {
    let mut all: HashMap<String, health::Service> = HashMap::new();
    let mut cursor = None;
    for _ in 0..MOST_PAGES {
        let request = health::Request::List { service: None, cursor };
        let Reply::Health(page) = transport.call(Request::Health(request))? else { return Err(nonsense()) };
        for service in page.services {
            match all.get_mut(&service.name) {
                Some(known) => known.servers.extend(service.servers),
                None => drop(all.insert(service.name.clone(), service)),
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(all)
}

fn ports<T: Transport + ?Sized>(
    transport: &mut T,
    before: Option<&Picture>,
) -> Result<(Vec<Port>, u64), CallError> {
    let Reply::PortInfo(infos) = transport.call(Request::Ports(ports::Request::Info { port: None }))? else {
        return Err(nonsense());
    };
    let Reply::PortStats(stats) = transport.call(Request::Ports(ports::Request::Stats { port: None }))?
    else {
        return Err(nonsense());
    };
    let ports = infos.ports.into_iter().map(|info| {
        let counted = stats.ports.iter().find(|stats| stats.id == info.id).cloned().unwrap_or_default();
        let then = before.and_then(|before| before.ports.iter().find(|port| port.counted.id == info.id));
        let since_ns = before.map_or(0, |before| stats.at_ns.saturating_sub(before.at_ns));
        Port {
            name: info.name,
            started: info.started,
            link_up: info.link_up,
            link_gone: info.link_gone,
            mbps: info.link_mbps,
            rate: then.filter(|_| since_ns > 0).map(|then| rate(&then.counted, &counted, since_ns)),
            counted,
        }
    });
    Ok((ports.collect(), stats.at_ns))
}

pub(super) fn rate(then: &ports::PortStats, now: &ports::PortStats, since_ns: u64) -> PortRate {
    let per_second = |then: u64, now: u64| {
        // Counters may have been cleared.
        (now.saturating_sub(then) as f64 * 1e9 / since_ns as f64).round() as u64
    };
    PortRate {
        rx_packets: per_second(then.rx_packets, now.rx_packets),
        tx_packets: per_second(then.tx_packets, now.tx_packets),
        rx_bits: per_second(then.rx_bytes, now.rx_bytes) * 8,
        tx_bits: per_second(then.tx_bytes, now.tx_bytes) * 8,
        missed: per_second(then.rx_missed + then.rx_nombuf, now.rx_missed + now.rx_nombuf),
    }
}

fn nonsense() -> CallError {
    CallError::Lost("unexpected answer from the director".to_owned())
}
