//! A director of the cluster: its workers, and its part among its peers.

use crate::common::{
    plan::{GATEWAY, GATEWAY_MAC, LAN, WAN},
    world::{Sent, Setup, Station, World},
};
use lb_core::{
    family::V4,
    flow::key::Secret,
    peers::{
        machine::{Machine, Settings},
        seal::Seal,
        told::Told,
    },
    service::plan::{Mac, Plan},
    time::Duration,
    worker::{clients, exceptions::Wanted},
};
use std::net::{Ipv4Addr, SocketAddr};

/// Milliseconds between two looks for exceptions, as lb-app has it.
const LOOK_EVERY: u64 = 1_000;

/// How long what a silent peer told is kept.
const HOLD: Duration = Duration::from_secs(120);

/// A director.
pub(crate) struct Director {
    pub(crate) world: World,
    pub(crate) machine: Option<Machine>,
    /// Nothing of it runs until then.
    pub(crate) stalled_until: u64,
    /// It is about to leave.
    pub(crate) leaves: bool,
    next_look: u64,
    tables: u64,
}

pub(crate) fn address(number: usize) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1 + number as u8).into(), 4789)
}

pub(crate) fn server(number: usize) -> (Ipv4Addr, Mac) {
    (Ipv4Addr::new(198, 51, 100, 11 + number as u8), Mac([2, 0, 0, 0, 2, 11 + number as u8]))
}

impl Director {
    /// One that has just started, as one of `of`.
    pub(crate) fn new(number: usize, of: usize, servers: usize, plan: &Plan, run: u64, syncs: bool) -> Self {
        let peers: Vec<SocketAddr> = (0..of).filter(|&other| other != number).map(address).collect();
        let (told, writer) = Told::new(4_096, Secret(run), peers.clone());
        let setup = Setup { connections: 4_096, ..Setup::default() };
        let mut world = World::with_peers(plan, setup, syncs.then_some(told));
        let station = |number| {
            let (address, mac) = server(number);
            Station { port: LAN, address: address.into(), mac }
        };
        world.stations = (0..servers).map(station).collect();
        world.stations.push(Station { port: WAN, address: GATEWAY.into(), mac: GATEWAY_MAC });
        world.pass(3_000);
        let seal = Seal::new(b"the key of the cluster").unwrap();
        let settings = Settings { run, seal, peers, capacity: 4_096, rate: 4_000, hold: HOLD };
        let machine = syncs.then(|| Machine::new(settings, writer, world.now));
        Director { world, machine, stalled_until: 0, leaves: false, next_look: run % LOOK_EVERY, tables: 0 }
    }

    /// Another configuration.
    pub(crate) fn exchange(&mut self, plan: &Plan) {
        self.world.exchange(plan);
    }

    /// Time passes. Returns what leaves: frames, and datagrams for peers.
    pub(crate) fn pass(&mut self, ms: u64) -> (Vec<Sent>, Vec<(SocketAddr, Vec<u8>)>) {
        let sent = self.world.pass(ms);
        let mut datagrams = Vec::new();
        let now = self.world.now;
        let Some(machine) = &mut self.machine else { return (sent, datagrams) };
        let tables = self.world.snapshot.tables_digest();
        if std::mem::replace(&mut self.tables, tables) != tables {
            machine.set_tables(now, tables);
        }
        self.next_look = self.next_look.saturating_sub(ms);
        if self.next_look == 0 {
            self.next_look = LOOK_EVERY;
            let wanted = Wanted { all: machine.tells_all(now), young: self.leaves };
            machine.begin_look();
            for worker in &self.world.workers {
                worker.exceptions::<V4>(now, 0..u32::MAX, wanted, |seen| {
                    machine.found(&seen.exception, seen.is_proven);
                });
            }
            clients::remembered(self.world.persistence(), &self.world.snapshot, now)
                .for_each(|client| machine.found_client(now, &client));
            machine.end_look();
        }
        machine.poll(now, &mut |to, datagram| datagrams.push((to, datagram.to_vec())), &mut |_, _| ());
        (sent, datagrams)
    }

    /// A peer's datagram. Returns the answers.
    pub(crate) fn hear(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut answers = Vec::new();
        if let Some(machine) = &mut self.machine {
            let mut out = |to, datagram: &[u8]| answers.push((to, datagram.to_vec()));
            machine.receive(self.world.now, from, datagram, &mut out);
            for told in machine.learned() {
                clients::learn(self.world.persistence(), &self.world.snapshot, self.world.now, told);
            }
        }
        answers
    }

    /// Connections that it has.
    pub(crate) fn connections(&self) -> usize {
        self.world.connections().len()
    }
}
