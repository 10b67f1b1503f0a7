//! Ports: what they are, what they counted, whether they move packets.

use super::answer::{Answer, done, done_with, not_found};
use crate::{
    control::live::{ports::PortFailure, running::Running},
    dpdk::{LinkState, StartedPort, bond::Bond as Made, started::Setup, stats::PortStats as Counted},
    journal::Happened,
};
use lb_core::packet::PortId;
use lb_ctl::protocol::{
    Code, Refusal, Reply,
    events::Kind,
    ports::{Bond, Info, Infos, Member, PortStats, PortXstats, Request, Rss, Stats, Xstat, Xstats},
};
use parking_lot::Mutex;
use std::collections::HashMap;

/// What ports had counted when they were last cleared. Their own counters are not reset: the accounts at the end need
/// all of it.
#[derive(Default)]
pub(super) struct Baseline(Mutex<HashMap<u16, Cleared>>);

/// A port's counters, and its driver's own.
type Cleared = (Counted, HashMap<String, u64>);

pub(super) fn answer(running: &Running, baseline: &Baseline, request: Request, who: &str) -> Answer {
    match request {
        Request::Info { port } => {
            let describe = |port: &StartedPort, name: &str| info(running, port, name);
            Ok(Reply::PortInfo(Infos { ports: each(running, port.as_deref(), describe)? }))
        }
        Request::Stats { port } => {
            let ports = each(running, port.as_deref(), |port, name| stats(baseline, port, name))?;
            let at_ns = running.clock.now_ns();
            Ok(Reply::PortStats(Stats { at_ns, ports }))
        }
        Request::Xstats { port } => {
            let ports = each(running, port.as_deref(), |port, name| xstats(baseline, port, name))?;
            Ok(Reply::PortXstats(Xstats { ports }))
        }
        Request::Rss { port } => {
            let found = each(running, Some(&port), rss)?.pop();
            found.map(Reply::PortRss).ok_or_else(ending)
        }
        Request::Clear { port } => {
            each(running, port.as_deref(), |port, _| {
                let extended = port.xstats().into_iter().collect();
                baseline.0.lock().insert(port.index().0, (port.stats(), extended));
            })?;
            Ok(done())
        }
        Request::Start { port } => start(running, port.as_deref(), who),
        Request::Stop { port } => stop(running, port.as_deref(), who),
    }
}

fn stats(baseline: &Baseline, port: &StartedPort, name: &str) -> PortStats {
    let now = port.stats();
    let before = baseline.0.lock().get(&port.index().0).map(|(stats, _)| *stats).unwrap_or_default();
    let since = |count: fn(&Counted) -> u64| count(&now).saturating_sub(count(&before));
    PortStats {
        id: u32::from(port.index().0),
        name: name.to_owned(),
        rx_packets: since(|stats| stats.rx_packets),
        rx_missed: since(|stats| stats.rx_missed),
        rx_bytes: since(|stats| stats.rx_bytes),
        rx_errors: since(|stats| stats.rx_errors),
        rx_nombuf: since(|stats| stats.rx_no_buffer),
        tx_packets: since(|stats| stats.tx_packets),
        tx_errors: since(|stats| stats.tx_errors),
        tx_bytes: since(|stats| stats.tx_bytes),
    }
}

fn xstats(baseline: &Baseline, port: &StartedPort, name: &str) -> PortXstats {
    let cleared = baseline.0.lock();
    let before = |name: &str| Some(*cleared.get(&port.index().0)?.1.get(name)?);
    let counters = port.xstats().into_iter().map(|(name, value)| {
        let value = value.saturating_sub(before(&name).unwrap_or(0));
        Xstat { name, value }
    });
    PortXstats { id: u32::from(port.index().0), name: name.to_owned(), counters: counters.collect() }
}

/// Packets that a port lost because workers were too slow, in all.
pub(super) fn missed(port: &StartedPort) -> u64 {
    port.stats().rx_missed
}

/// Does something with the ports that are meant: one by number or name, or all.
fn each<T>(
    running: &Running,
    wanted: Option<&str>,
    mut what: impl FnMut(&StartedPort, &str) -> T,
) -> Result<Vec<T>, Refusal> {
    let chosen = choose(running, wanted)?;
    let names = running.port_names();
    let ports = running.ports();
    let chosen = chosen.into_iter().filter_map(|index| Some((ports.get(usize::from(index.0))?, index)));
    Ok(chosen.map(|(port, index)| what(port, &names[usize::from(index.0)])).collect())
}

fn choose(running: &Running, wanted: Option<&str>) -> Result<Vec<PortId>, Refusal> {
    let names = running.port_names();
    let Some(wanted) = wanted else { return Ok((0..names.len() as u16).map(PortId).collect()) };
    match running.port_called(wanted) {
        Some(port) => Ok(vec![port]),
        None => {
            let known = names.iter().enumerate().map(|(number, name)| format!("{number} ({name})"));
            Err(not_found("port", wanted, known))
        }
    }
}

fn info(running: &Running, port: &StartedPort, name: &str) -> Info {
    let (info, setup, link) = (port.info(), port.setup(), port.link());
    let plan = running.current().plan;
    let addresses = plan.interfaces_of(port.index()).flat_map(|interface| &interface.addresses);
    Info {
        id: u32::from(port.index().0),
        name: name.to_owned(),
        device: info.device.clone(),
        driver: info.driver.clone(),
        bond: port.bond().map(bond),
        mac: info.mac.to_string(),
        node: info.socket,
        started: port.is_moving(),
        link_up: link.state == LinkState::Up,
        link_gone: link.state == LinkState::Gone,
        link_mbps: link.speed_mbps,
        full_duplex: link.full_duplex,
        promiscuous: port.is_promiscuous(),
        mtu: u32::from(setup.mtu),
        min_mtu: u32::from(info.min_mtu),
        max_mtu: u32::from(info.max_mtu),
        rx_queues: u32::from(setup.rx_queues),
        max_rx_queues: u32::from(info.max_rx_queues),
        tx_queues: u32::from(setup.tx_queues),
        max_tx_queues: u32::from(info.max_tx_queues),
        rx_descriptors: u32::from(setup.rx_descriptors),
        tx_descriptors: u32::from(setup.tx_descriptors),
        hash_key_bytes: u32::from(info.hash_key_size),
        reta_entries: u32::from(info.reta_size),
        spread: port.spread().to_string(),
        spread_reason: port.spread_reason().to_owned(),
        checksums: checksums(&setup, plan.verify_checksums),
        checksums_computed: setup.work.computed_by(),
        tags_inserted: setup.work.tagged_by().to_owned(),
        addresses: addresses.map(ToString::to_string).collect(),
        rx_offloads: setup.rx_offloads,
        rx_offload_capabilities: setup.rx_offload_capabilities,
        tx_offloads: setup.tx_offloads,
        tx_offload_capabilities: setup.tx_offload_capabilities,
    }
}

fn bond(bond: Made) -> Bond {
    let members = bond.members.into_iter();
    let members = members.map(|member| Member { name: member.name, state: member.state.to_string() });
    Bond { mode: bond.mode.to_string(), members: members.collect() }
}

/// Who verifies checksums. Workers do what the port does not, unless the configuration turns that off.
fn checksums(setup: &Setup, workers: bool) -> String {
    let rest = if workers { "workers" } else { "nobody" };
    match (setup.verifies_ipv4, setup.verifies_l4) {
        (true, true) => "the port".to_owned(),
        (true, false) => format!("the port (IPv4), {rest} (TCP, UDP)"),
        (false, true) => format!("the port (TCP, UDP), {rest} (IPv4)"),
        (false, false) => rest.to_owned(),
    }
}

fn rss(port: &StartedPort, name: &str) -> Rss {
    let hashing = port.hashing();
    let hexadecimal = |key: Vec<u8>| key.iter().map(|byte| format!("{byte:02X}")).collect();
    Rss {
        id: u32::from(port.index().0),
        name: name.to_owned(),
        spread: port.spread().to_string(),
        spread_reason: port.spread_reason().to_owned(),
        hash_types: hashing.types.into_iter().map(str::to_owned).collect(),
        key: hashing.key.map(hexadecimal),
        reta: hashing.table,
    }
}

fn start(running: &Running, wanted: Option<&str>, who: &str) -> Answer {
    for port in choose(running, wanted)? {
        running.start_port(port).map_err(|failure| failed(&failure))?;
        tell(running, Kind::PortStarted, format!("port {} is started", name(running, port)), who);
    }
    Ok(done())
}

fn stop(running: &Running, wanted: Option<&str>, who: &str) -> Answer {
    let mut notes = Vec::new();
    for port in choose(running, wanted)? {
        running.stop_port(port).map_err(|failure| failed(&failure))?;
        tell(running, Kind::PortStopped, format!("port {} is stopped", name(running, port)), who);
        notes.push(format!(
            "port {} is stopped: packets that would leave by it are dropped as port-stopped",
            port.0
        ));
    }
    Ok(done_with(notes.join("\n")))
}

fn name(running: &Running, port: PortId) -> String {
    running.port_names().into_iter().nth(usize::from(port.0)).unwrap_or_default()
}

fn tell(running: &Running, kind: Kind, text: String, who: &str) {
    running.journal.tell(Happened::new(kind, text).by(who));
}

fn failed(failure: &PortFailure) -> Refusal {
    let code = match failure {
        PortFailure::Ending => Code::Busy,
        PortFailure::Silent(_) => Code::Timeout,
        PortFailure::Port(_) => Code::Failed,
    };
    Refusal::new(code, failure.to_string())
}

fn ending() -> Refusal {
    Refusal::new(Code::Busy, "the director is stopping")
}
