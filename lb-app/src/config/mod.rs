//! The configuration file.
//!
//! Text becomes [`raw`], the user's values, each with its place. Checks then turn these into a
//! [`Config`] with a [`Plan`] for the workers. Neither step stops at a problem: all of a file's problems are
//! reported at once, each with line, column, key and a remedy, and then nothing of the file is used.

mod addresses;
mod announce;
mod check_values;
mod duration;
mod effective;
mod families;
pub(crate) mod health;
mod include;
mod interfaces;
mod invisible;
mod ipvs_sync;
pub(crate) mod memory;
mod network;
pub(crate) mod options;
mod place;
mod raw;
pub(crate) mod report;
mod services;
mod settings;
mod snat;
pub(crate) mod source;
mod sync;
mod table;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use announce::{Announce, Format};
pub(crate) use check_values::bytes;
pub(crate) use effective::vlan;
pub(crate) use include::expand;
pub(crate) use ipvs_sync::IpvsSync;
pub(crate) use settings::{Control, Device, File, Idle, Metrics, Wanted};
#[cfg(test)]
pub(crate) use settings::{Tunnel, Workers};
pub(crate) use sync::Sync;

use addresses::Addresses;
use health::Health;
use lb_core::{
    conn::datagram::TABLES_BYTES,
    limits::{MAX_BYTES_PER_CONNECTION, MAX_BYTES_PER_CONNECTION_V6, MAX_SERVERS, MAX_SERVICES},
    packet::PortId,
    sched::persistence::Persistence,
    service::{
        footprint,
        key::ServiceKey,
        plan::{HeldAddresses, Plan, ServicePlan},
        snapshot::Room,
    },
};
use network::Network;
use raw::Raw;
use report::{Complaint, Problems, Report};
use services::Services;
use source::Sources;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

/// Minimum of the default capacity for servers: half a megabyte per worker.
const LEAST_ROOM: usize = 4_096;

/// What a configuration means. Its `Display` is the effective configuration: a file that means the same, with every
/// default written out.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What packets can notice. Ethernet addresses and spreads are not known yet.
    pub(crate) plan: Plan,
    /// What the ports are to DPDK, in the order of the plan's ports.
    pub(crate) devices: Vec<Device>,
    /// Capacity of each worker's connection table.
    pub(crate) capacity: Capacity,
    /// Whether the file says how many connections of IPv6 there can be; otherwise that follows from its services.
    pub(crate) capacity_v6_is_given: bool,
    /// How many clients services remember together.
    pub(crate) persistent_clients: usize,
    /// How many services and servers there can be while it runs.
    pub(crate) room: Room,
    /// The file says for how many servers.
    pub(crate) room_is_given: bool,
    /// Where connections are kept from one run to the next, if they are.
    pub(crate) state_file: Option<PathBuf>,
    /// What a worker does when there is nothing to do.
    pub(crate) idle: Idle,
    /// Where metrics are served, if they are, and whether the page is.
    pub(crate) metrics: Metrics,
    /// How servers are checked.
    pub(crate) health: Health,
    /// Who may ask and change the running director.
    pub(crate) control: Control,
    /// SHA-256 of the file, with what it includes behind it, in hexadecimal; nothing where the text is no file's.
    pub(crate) sha256: String,
    /// The files that it includes.
    pub(crate) included: Vec<PathBuf>,
    /// What it says of itself.
    pub(crate) file: File,
    /// What routing daemons are told.
    pub(crate) announce: Announce,
    /// The other directors.
    pub(crate) sync: Sync,
    /// Directors of IPVS.
    pub(crate) ipvs_sync: IpvsSync,
}

/// What the host has, to check that the configuration fits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many workers there are.
    pub(crate) workers: usize,
    /// How much memory their tables may take together; see [`memory::available_bytes`].
    pub(crate) available_bytes: u64,
}

/// Reads and checks the file at `path`, with all that it includes.
pub(crate) fn load(path: &Path, limits: Limits) -> Result<Config, Report> {
    let sources = read(path)?;
    let config = check(&sources, limits)?;
    Ok(Config { sha256: sources.sha256(), ..config })
}

/// The files that the one at `path` makes a configuration with.
pub(crate) fn read(path: &Path) -> Result<Sources, Report> {
    include::read(path)
}

/// Checks the configuration `text`; `name` is the file's in reports.
#[cfg(test)]
pub(crate) fn parse(name: &str, text: &str, limits: Limits) -> Result<Config, Report> {
    check(&Sources::new(name, text), limits)
}

/// Checks a configuration.
pub(crate) fn check(sources: &Sources, limits: Limits) -> Result<Config, Report> {
    let problems = sources.problems();
    let document = sources
        .document(&problems)
        .ok_or_else(|| problems.report().expect("what is not TOML is reported"))?;
    let raw = Raw::read(&document, &problems);
    let addresses = Addresses::new(&raw);
    let network = Network::new(&raw, &addresses, &problems);
    let timeouts = raw.timeouts;
    let (services, vips, health) = Services::new(&raw, &network, &addresses, &problems).plan();
    let snat = snat::rules(&raw, &network, &addresses, &problems);
    let capacity =
        check_memory(&raw.workers, &services, raw.sync.bytes() + raw.ipvs_sync.bytes(), limits, &problems);
    let room = check_room(&raw.workers, servers_to_place(&services, &health), &problems);
    if let Some(report) = problems.report() {
        return Err(report);
    }
    let Network { ports, interfaces, devices, routes, .. } = network;
    let has_host = |(port, device): (PortId, &Device)| device.host.is_some().then_some(port);
    let host_ports = (0..).map(PortId).zip(&devices).filter_map(has_host).collect();
    let tunnel_local = raw.tunnel_local.map(|local| local.value);
    let tunnel_sources = raw.tunnel_sources.into_iter().map(|at| at.value).collect();
    let verify_checksums = raw.workers.set.verify_checksums;
    let plan = Plan {
        ports,
        interfaces,
        routes,
        timeouts,
        services,
        snat,
        vips,
        tunnel_local,
        tunnel_sources,
        verify_checksums,
        redirection_len: 0,
        zero_window: None,
        director: raw.director,
        held: HeldAddresses::new(),
        host_ports,
    };
    let metrics = raw.metrics;
    let room_is_given = raw.workers.said.place("servers").is_some();
    let state_file = raw.workers.set.state_file.map(PathBuf::from);
    let idle = raw.workers.set.idle;
    let control = raw.control;
    Ok(Config {
        plan,
        devices,
        capacity,
        persistent_clients: raw.workers.set.persistent_clients as usize,
        capacity_v6_is_given: raw.workers.set.connections_v6.is_some(),
        room,
        room_is_given,
        state_file,
        idle,
        metrics,
        health,
        control,
        sha256: String::new(),
        included: sources.included().map(Path::to_owned).collect(),
        file: raw.file,
        announce: raw.announce,
        sync: raw.sync,
        ipvs_sync: raw.ipvs_sync,
    })
}

/// How many servers have to have a place: all, and the sorry servers, which need one when they stand in.
pub(crate) fn servers_to_place(services: &[ServicePlan], health: &Health) -> usize {
    let keys: HashSet<ServiceKey> = services.iter().map(ServicePlan::key).collect();
    let sorry = health.services.iter().filter(|service| service.pool.sorry_server.is_some());
    let sorry = sorry.filter(|service| keys.contains(&service.key)).count();
    services.iter().map(|service| service.servers.len()).sum::<usize>() + sorry
}

/// Checks that the servers fit the capacity, and returns the capacity.
fn check_room(workers: &raw::Workers, needed: usize, problems: &Problems) -> Room {
    let ample = (needed * 2).next_power_of_two().clamp(LEAST_ROOM, MAX_SERVERS);
    let servers = workers.set.servers.map_or(ample, |servers| servers as usize);
    if let Some(place) = workers.said.place("servers").filter(|_| servers < needed) {
        let what = format!("{needed} servers are configured, sorry servers included, {servers} have room");
        let remedy = format!("use at least {needed}, and more if servers are to be added while it runs");
        problems.add(place, Complaint::new(what, remedy));
    }
    // A service takes some bytes of a worker, so there is always room for all that there can be.
    Room { services: MAX_SERVICES, servers }
}

/// Capacities of each worker's connection tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Of IPv4.
    pub(crate) v4: usize,
    /// Of IPv6.
    pub(crate) v6: usize,
}

impl Capacity {
    /// Bytes that the tables take, at most, those of fragmented datagrams included.
    pub(crate) const fn bytes(self) -> u64 {
        let connections = self.v4 * MAX_BYTES_PER_CONNECTION + self.v6 * MAX_BYTES_PER_CONNECTION_V6;
        (connections + TABLES_BYTES) as u64
    }
}

/// Connections of IPv6 that there is room for where no service of IPv6 is configured: one can be added at run time.
const CONNECTIONS_V6_IN_RESERVE: u32 = 65_536;

/// Checks that the workers' tables and those of the schedulers fit into memory, and returns the capacities of each worker.
fn check_memory(
    workers: &raw::Workers,
    services: &[ServicePlan],
    sync: u64,
    limits: Limits,
    problems: &Problems,
) -> Capacity {
    let connections = workers.set.connections;
    let connections_v6 = workers.set.connections_v6.unwrap_or_else(|| {
        let is_served = services.iter().any(|service| service.vip.is_ipv6() || service.translates());
        if is_served { connections } else { connections.min(CONNECTIONS_V6_IN_RESERVE) }
    });
    let capacity = Capacity { v4: connections as usize, v6: connections_v6 as usize };
    if workers.said.known("connections", ()).is_none() {
        return capacity;
    }
    let workers_count = limits.workers.max(1) as u64;
    let bytes_per_slot = MAX_BYTES_PER_CONNECTION as u64 * workers_count;
    let remembered = Persistence::bytes(workers.set.persistent_clients as usize) as u64;
    let needed = capacity.bytes().saturating_mul(workers_count).saturating_add(remembered);
    let beside = Capacity { v4: 0, ..capacity }.bytes() * workers_count + remembered;
    let schedulers = footprint(services).bytes(limits.workers);
    let taken = schedulers.saturating_add(sync);
    if needed.saturating_add(taken) > limits.available_bytes {
        let default = workers.place.below("connections");
        let place = workers.said.place("connections").unwrap_or(&default);
        let (needed, available) = (mebibytes(needed), mebibytes(limits.available_bytes));
        let takes = |what: &str, bytes: u64| match bytes >> 20 {
            0 => String::new(),
            _ => format!(" and {what} {}", mebibytes(bytes)),
        };
        let schedulers = takes("schedulers", schedulers) + &takes("sync", sync);
        let what = format!(
            "{connections} connections of IPv4 and {connections_v6} of IPv6 on each of {} workers need {needed} of memory, persistent clients included{schedulers}, \
             {available} is available",
            limits.workers
        );
        let remedy = match limits.available_bytes.saturating_sub(taken).saturating_sub(beside)
            / bytes_per_slot
        {
            0 if taken > limits.available_bytes => {
                "free memory, or use fewer services with sh, dh or mh that have different servers".to_owned()
            }
            0 => "free memory, use fewer workers, or set a smaller `connections_v6`".to_owned(),
            most => format!("use at most {most}, fewer workers, or more memory"),
        };
        problems.add(place, Complaint::new(what, remedy));
    }
    capacity
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
