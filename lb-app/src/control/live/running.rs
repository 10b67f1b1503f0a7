//! What runs, shared by everybody who asks or changes anything: the shell, the control socket, signals, and the chores
//! of the director itself. All of it can be read at any time; what it takes to change it is in [`change`](crate::control::edit::change).

use super::{
    link_states::Links,
    workers::{Listed, WorkerView},
};
use crate::{
    config::Config,
    dataplane::{clock::Clock, host::Host, host_side::HostSides, shutdown::Shutdown},
    dpdk::{Eal, LcoreId, Mempool, StartedPort, host_tap::HostTap},
    health::Knowledge,
    journal::Journal,
};
use lb_core::{
    packet::PortId,
    sched::persistence::Persistence,
    service::{
        load::LoadBoard,
        plan::{HeldAddresses, Plan},
        snapshot::Snapshot,
    },
};
use lb_ctl::protocol::connections::Fill;
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

/// The configuration that the workers use.
#[derive(Clone)]
pub(crate) struct Current {
    /// What is wanted.
    pub(crate) plan: Arc<Plan>,
    /// The same as workers see it.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The content of the configuration file when it was last read. The plan in it may have been changed since.
    pub(crate) config: Arc<Config>,
    /// How often it was changed.
    pub(crate) generation: u64,
}

/// Host sides of ports, and what workers have for them.
pub(crate) type HostEnds = (Vec<(PortId, HostTap)>, Arc<HostSides>);

/// The running director.
pub(crate) struct Running {
    /// The configuration file.
    pub(crate) path: PathBuf,
    /// As it was when the director started. For what cannot be changed: ports, memory.
    pub(crate) config: Arc<Config>,
    pub(crate) pool: Mempool,
    pub(crate) workers: Vec<WorkerView>,
    pub(crate) board: Arc<LoadBoard>,
    /// Which servers clients stay with.
    pub(crate) persistence: Arc<Persistence>,
    pub(crate) clock: Clock,
    /// Whether workers poll ports, and whether they must stop.
    pub(crate) shutdown: Arc<Shutdown>,
    /// What the control plane sends and receives by ports.
    pub(crate) host: Arc<Host>,
    /// What workers and host sides of ports have for each other.
    pub(crate) sides: Arc<HostSides>,
    /// Host sides, with the ports whose they are.
    pub(crate) taps: Vec<(PortId, HostTap)>,
    /// How links were found.
    pub(crate) links: Links,
    /// VIPs and local addresses that the kernel has on host sides.
    pub(in crate::control) held: Mutex<HeldAddresses>,
    /// The lcore that controls.
    pub(crate) main_lcore: LcoreId,
    /// Peers have told what they have, or were waited for long enough; so from the start where there are none.
    pub(crate) told: AtomicBool,
    /// The director is about to leave: peers are told of all that goes on elsewhere.
    pub(crate) leaves: AtomicBool,
    /// Peers know all connections that they have to know of when the director leaves, or none is heard.
    pub(crate) young_told: AtomicBool,
    /// DPDK's memory is on huge pages.
    pub(crate) huge_pages: bool,
    /// What is known of servers.
    pub(crate) health: Arc<Knowledge>,
    /// What happened.
    pub(crate) journal: Arc<Journal>,
    pub(in crate::control) current: RwLock<Current>,
    /// Held while something is changed: one change at a time.
    pub(in crate::control) changing: Mutex<()>,
    /// DPDK wants its control functions to be called by one thread at a time.
    ports: Mutex<Vec<StartedPort>>,
}

impl Running {
    pub(crate) fn new(
        eal: &Eal,
        (path, config): (PathBuf, Config),
        (plan, snapshot): (Plan, Arc<Snapshot>),
        workers: Vec<WorkerView>,
        (board, persistence, health): (Arc<LoadBoard>, Arc<Persistence>, Arc<Knowledge>),
        (ports, pool, (taps, sides)): (Vec<StartedPort>, Mempool, HostEnds),
        (clock, shutdown, host): (Clock, Arc<Shutdown>, Arc<Host>),
    ) -> Self {
        let [told, young_told] = [(); 2].map(|()| AtomicBool::new(!config.sync.is_on()));
        let (plan, config) = (Arc::new(plan), Arc::new(config));
        Running {
            path,
            config: config.clone(),
            pool,
            workers,
            board,
            persistence,
            clock,
            shutdown,
            host,
            sides,
            taps,
            links: Links::default(),
            held: Mutex::default(),
            told,
            leaves: AtomicBool::new(false),
            young_told,
            main_lcore: eal.main_lcore(),
            huge_pages: eal.has_hugepages(),
            health,
            journal: Arc::new(Journal::new()),
            current: RwLock::new(Current { plan, snapshot, config, generation: 0 }),
            changing: Mutex::new(()),
            ports: Mutex::new(ports),
        }
    }

    /// The configuration that the workers use now.
    pub(crate) fn current(&self) -> Current {
        self.current.read().clone()
    }

    /// The ports, for as long as the guard is held. None once the director is stopping.
    pub(crate) fn ports(&self) -> MutexGuard<'_, Vec<StartedPort>> {
        self.ports.lock()
    }

    /// The operator's name of each port.
    pub(crate) fn port_names(&self) -> Vec<String> {
        self.config.plan.ports.iter().map(|port| port.name.clone()).collect()
    }

    /// The operator's names of the interfaces, by number.
    pub(crate) fn interface_names(&self) -> Vec<String> {
        self.config.plan.interfaces.iter().map(|interface| interface.name.clone()).collect()
    }

    /// Connections there can be.
    pub(crate) fn capacity(&self) -> usize {
        (self.config.capacity.v4 + self.config.capacity.v6) * self.workers.len()
    }

    /// How full the tables of each family are: one may be full while the other is empty.
    pub(crate) fn fills(&self) -> [Fill; 2] {
        let workers = self.workers.len() as u64;
        let v6 = self.workers.iter().map(|worker| worker.counters.connections_v6()).sum();
        let v4 = self.connections().saturating_sub(v6);
        let room = self.config.capacity;
        [("IPv4", v4, room.v4), ("IPv6", v6, room.v6)].map(|(family, connections, capacity)| Fill {
            family: family.to_owned(),
            connections,
            capacity: capacity as u64 * workers,
        })
    }

    /// Connections there are.
    pub(crate) fn connections(&self) -> u64 {
        self.workers.iter().map(|worker| worker.counters.connections()).sum()
    }

    /// At most `most` connections of all workers.
    pub(crate) fn list(&self, most: usize) -> Vec<Listed> {
        let mut listed: Vec<Listed> = Vec::new();
        for worker in &self.workers {
            listed.extend(worker.list(most - listed.len()));
        }
        listed
    }

    /// Takes the ports away from everybody, to close them.
    pub(crate) fn take_ports(&self) -> Vec<StartedPort> {
        std::mem::take(&mut self.ports.lock())
    }
}
