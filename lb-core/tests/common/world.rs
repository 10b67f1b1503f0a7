//! A director with one or several workers, and the stations around it.

use super::{
    frame::arp_reply,
    frame6::{advertisement, asked},
    plan::{GATEWAY, GATEWAY_MAC, GATEWAY6, LAN, SERVER_MACS, SERVERS, SERVERS6, WAN},
    read,
};
use etherparse::{ArpOperation, ArpPacketSlice};
use lb_core::{
    conn::{entry::Connection, state::State},
    counters::{DropReason, WorkerCounters},
    decide::Origin,
    explanation::Explanation,
    family::{Family, V4, V6},
    flow::key::Secret,
    ids::ServerId,
    limits::MAX_BURST,
    memory::{MemoryIo, MemoryPacket},
    module::expected::Expected,
    packet::{Burst, HandOver, Packet, PortId, WorkerId},
    peers::told::Told,
    sched::{
        load::{Load, LoadBoard},
        persistence::Persistence,
    },
    service::{
        Numbered,
        plan::{Mac, Plan},
        snapshot::Snapshot,
    },
    time::{Duration, Instant},
    worker::{Team, Worker, exchange::Exchange},
};
use std::{net::IpAddr, sync::Arc};

/// Time between two ticks while time passes.
const STEP_MS: u64 = 100;

/// A frame that left the director.
#[derive(Clone, Debug)]
pub struct Sent {
    pub worker: usize,
    pub port: PortId,
    pub frame: Vec<u8>,
}

impl Sent {
    /// The server that a packet under NAT is for, by the last byte of its address; 0 for any other packet.
    pub fn server(&self) -> u8 {
        let line = self.line();
        SERVERS
            .iter()
            .find(|server| line.contains(&format!("> {server}:")))
            .map_or(0, |server| server.octets()[3])
    }

    /// Address and port that it comes from.
    pub fn source(&self) -> String {
        self.line().split(' ').nth(1).expect("a source").to_owned()
    }

    /// Address and port that it goes to.
    pub fn destination(&self) -> String {
        self.line().split(' ').nth(3).expect("a destination").to_owned()
    }

    pub fn line(&self) -> String {
        let port = if self.port == WAN { "wan" } else { "lan" };
        format!("{port}: {}", read::line(&self.frame))
    }
}

/// A packet that one worker gave to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    pub from: usize,
    pub to: usize,
    pub frame: Vec<u8>,
}

/// What a world is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub workers: usize,
    pub connections: usize,
    pub refusals_per_s: u32,
    /// Clients that can be remembered.
    pub clients: usize,
    /// Connections that modules can expect.
    pub expected: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { workers: 1, connections: 1_000, refusals_per_s: 1_000_000, clients: 1_000, expected: 1_024 }
    }
}

/// A station that answers ARP requests.
#[derive(Clone, Copy, Debug)]
pub struct Station {
    pub port: PortId,
    pub address: IpAddr,
    pub mac: Mac,
}

/// The gateway and the servers, in both families.
pub fn stations() -> Vec<Station> {
    vec![
        Station { port: WAN, address: GATEWAY.into(), mac: GATEWAY_MAC },
        Station { port: LAN, address: SERVERS[0].into(), mac: SERVER_MACS[0] },
        Station { port: LAN, address: SERVERS[1].into(), mac: SERVER_MACS[1] },
        Station { port: WAN, address: GATEWAY6.into(), mac: GATEWAY_MAC },
        Station { port: LAN, address: SERVERS6[0].into(), mac: SERVER_MACS[0] },
        Station { port: LAN, address: SERVERS6[1].into(), mac: SERVER_MACS[1] },
    ]
}

/// The director and what surrounds it. Packets go in, everything that follows from them comes out.
pub struct World {
    pub now: Instant,
    pub workers: Vec<Worker<MemoryPacket>>,
    pub ios: Vec<MemoryIo>,
    pub board: Arc<LoadBoard>,
    persistence: Arc<Persistence>,
    /// What modules expect.
    pub expected: Arc<Expected>,
    pub snapshot: Arc<Snapshot>,
    /// Who answers ARP requests; clear it for silence.
    pub stations: Vec<Station>,
    /// Everything that was handed over so far, in order.
    pub handed_over: Vec<HandedOver>,
    /// Nothing is forwarded, so nothing is announced.
    pub paused: bool,
    entered: u64,
    left: u64,
}

impl World {
    /// One worker, its neighbours resolved, its announcements made.
    pub fn new(plan: &Plan) -> World {
        World::with(plan, Setup::default())
    }

    /// The same with other numbers.
    pub fn with(plan: &Plan, setup: Setup) -> World {
        World::awake(World::silent(plan, setup))
    }

    /// The same with what peers have told.
    pub fn told(plan: &Plan, setup: Setup, told: Arc<Told>) -> World {
        World::awake(World::with_peers(plan, setup, Some(told)))
    }

    fn awake(mut world: World) -> World {
        world.stations = stations();
        world.pass(3_000);
        world
    }

    /// At time zero, nothing done yet, and nobody answers ARP requests.
    pub fn silent(plan: &Plan, setup: Setup) -> World {
        World::with_peers(plan, setup, None)
    }

    /// The same, with what peers have told, or directors of IPVS.
    pub fn with_peers(plan: &Plan, setup: Setup, told: Option<Arc<Told>>) -> World {
        let snapshot = Arc::new(Snapshot::new(plan).expect("a plan that can be carried out"));
        let board = Arc::new(LoadBoard::new(setup.workers, snapshot.room.numbers()));
        let persistence = Arc::new(Persistence::new(setup.clients, 0x5eed));
        let expected = Arc::new(Expected::with_room(setup.expected, Secret(0x5eed)));
        // Of directors of IPVS there is no list.
        let (told, masters) = told.into_iter().partition::<Vec<_>, _>(|told| told.peer(0).is_some());
        let (told, masters) = (told.into_iter().next(), masters.into_iter().next());
        let team = Team {
            workers: setup.workers,
            secret: Secret(0x5eed),
            connections_per_worker: setup.connections,
            connections_per_worker_v6: setup.connections,
            refusals_per_s: setup.refusals_per_s,
            board: board.clone(),
            persistence: persistence.clone(),
            expected: expected.clone(),
            told,
            masters,
        };
        let worker = |id| Worker::new(WorkerId(id as u16), &team, snapshot.clone(), Instant::ZERO);
        World {
            now: Instant::ZERO,
            workers: (0..setup.workers).map(worker).collect(),
            ios: (0..setup.workers).map(|_| MemoryIo::default()).collect(),
            board,
            persistence,
            expected,
            snapshot,
            stations: Vec::new(),
            handed_over: Vec::new(),
            paused: false,
            entered: 0,
            left: 0,
        }
    }

    /// What is remembered of clients.
    pub fn persistence(&self) -> &Persistence {
        &self.persistence
    }

    /// All workers go by another plan from now on.
    pub fn exchange(&mut self, plan: &Plan) {
        let ports = |id| self.workers.iter().map(|worker| worker.counters().local_ports(id)).sum::<u64>();
        let in_use = |number| match number {
            Numbered::Server(server) => self.board.total(server) != Load::default(),
            Numbered::Local(address) => ports(address) != 0,
        };
        let next = self.snapshot.successor(plan, &in_use).expect("a plan that can be carried out");
        self.snapshot = Arc::new(next);
        for (worker, id) in self.workers.iter_mut().zip(0..) {
            worker.exchange(self.now, Exchange::new(self.snapshot.clone(), WorkerId(id)));
        }
        self.check();
    }

    /// One frame arrives at worker 0. Returns what leaves because of it.
    pub fn receive(&mut self, port: PortId, frame: &[u8]) -> Vec<Sent> {
        self.burst(0, &[(port, frame.to_vec())])
    }

    /// The same, as lines.
    pub fn lines(&mut self, port: PortId, frame: &[u8]) -> Vec<String> {
        self.receive(port, frame).iter().map(Sent::line).collect()
    }

    /// A burst of frames arrives at a worker.
    pub fn burst(&mut self, worker: usize, frames: &[(PortId, Vec<u8>)]) -> Vec<Sent> {
        let packets: Vec<_> = frames.iter().map(|(port, frame)| MemoryPacket::new(*port, frame)).collect();
        self.packets(worker, &packets)
    }

    /// A burst of packets, as the port describes them, arrives at a worker.
    pub fn packets(&mut self, worker: usize, packets: &[MemoryPacket]) -> Vec<Sent> {
        self.entered += packets.len() as u64;
        for packets in packets.chunks(MAX_BURST) {
            let mut burst: Burst<_> = packets.iter().cloned().collect();
            self.workers[worker].process(self.now, &mut burst, &mut self.ios[worker]);
            assert!(burst.is_empty(), "a burst is used up");
        }
        self.settle()
    }

    /// One frame arrives at a worker, from a port or another worker, and nothing that it leaves in queues and rings is
    /// taken out: [`World::settle`] does that.
    pub fn arrive(&mut self, worker: usize, packet: MemoryPacket, origin: Origin) {
        self.entered += 1;
        let mut burst: Burst<_> = [packet].into_iter().collect();
        let (now, io) = (self.now, &mut self.ios[worker]);
        match origin {
            Origin::Port => self.workers[worker].process(now, &mut burst, io),
            Origin::Worker => self.workers[worker].process_handed_over(now, &mut burst, io),
        }
    }

    /// The same, and what the worker says of it.
    pub fn trace(&mut self, worker: usize, packet: MemoryPacket, origin: Origin) -> Explanation {
        self.entered += 1;
        self.workers[worker].trace(self.now, packet, origin, &mut self.ios[worker])
    }

    /// Lets time pass, with ticks on the way. Returns what leaves meanwhile.
    pub fn pass(&mut self, ms: u64) -> Vec<Sent> {
        let mut sent = Vec::new();
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(STEP_MS));
            sent.extend(self.tick());
        }
        sent
    }

    /// Whatever is due now.
    pub fn tick(&mut self) -> Vec<Sent> {
        for (worker, io) in self.workers.iter_mut().zip(&mut self.ios) {
            worker.tick(self.now, io);
            if !self.paused {
                worker.announce_due(self.now, io);
            }
        }
        self.settle()
    }

    pub fn counters(&self, worker: usize) -> Arc<WorkerCounters> {
        self.workers[worker].counters()
    }

    /// How many packets all workers dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.workers.iter().map(|worker| worker.counters().dropped[reason as usize].get()).sum()
    }

    /// How many packets all workers handed over for a reason.
    pub fn handed_over_for(&self, why: HandOver) -> u64 {
        self.workers.iter().map(|worker| worker.counters().handed_over[why as usize].get()).sum()
    }

    /// All connections of all workers.
    pub fn connections(&self) -> Vec<Connection> {
        let of = |worker: &Worker<_>| {
            worker.connections::<V4>().iter(0..u32::MAX).map(|(_, c)| *c).collect::<Vec<_>>()
        };
        self.workers.iter().flat_map(of).collect()
    }

    /// Takes packets out of the queues and rings, and answers questions, until nothing moves any more.
    pub fn settle(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        let mut moved = true;
        while moved {
            moved = false;
            for at in 0..self.workers.len() {
                while let Some((port, packet)) = self.ios[at].transmitted.pop_front() {
                    moved = true;
                    self.left += 1;
                    self.workers[at].counters().sent.bump();
                    let frame = packet.bytes().to_vec();
                    if let Some(answer) = self.answer(port, &frame) {
                        self.entered += 1;
                        let mut burst: Burst<_> = [MemoryPacket::new(port, &answer)].into_iter().collect();
                        self.workers[at].process(self.now, &mut burst, &mut self.ios[at]);
                    } else {
                        sent.push(Sent { worker: at, port, frame });
                    }
                }
                while let Some((to, packet)) = self.ios[at].handed_over.pop_front() {
                    moved = true;
                    let to = usize::from(to.0);
                    assert_ne!(to, at, "nothing is handed over to oneself");
                    self.handed_over.push(HandedOver { from: at, to, frame: packet.bytes().to_vec() });
                    let mut burst: Burst<_> = [packet].into_iter().collect();
                    self.workers[to].process_handed_over(self.now, &mut burst, &mut self.ios[to]);
                }
            }
        }
        self.check();
        sent
    }

    /// The answer of a station, if the frame asks for one.
    fn answer(&self, port: PortId, frame: &[u8]) -> Option<Vec<u8>> {
        if frame[12..14] == [0x86, 0xdd] {
            let (asks, mac, target) = asked(frame)?;
            let station = self.stations.iter().find(|it| it.port == port && it.address == target)?;
            return Some(advertisement((station.mac, target), (mac, asks)));
        }
        let arp = (frame[12..14] == [0x08, 0x06]).then(|| ArpPacketSlice::from_slice(&frame[14..]))?;
        let arp = arp.ok()?.to_packet().try_eth_ipv4().ok()?;
        let target = arp.target_ipv4_addr();
        let station =
            self.stations.iter().find(|station| station.port == port && station.address == target)?;
        (arp.operation == ArpOperation::REQUEST)
            .then(|| arp_reply((station.mac, target), (Mac(arp.sender_mac), arp.sender_ipv4_addr())))
    }

    /// The load board has each connection of a worker with its server, and no other, and the ports of each local address
    /// that are in use are those of connections. After every packet all connections are gone through once.
    fn check_connections(&self, id: WorkerId, worker: &Worker<MemoryPacket>) {
        let numbers = self.snapshot.servers.ids().map(|server| server.index() + 1).max().unwrap_or(0);
        let mut loads = vec![Load::default(); numbers];
        let mut taken: Vec<IpAddr> = Vec::new();
        let mut count = |server: ServerId, state: State, local: Option<IpAddr>| {
            if let Some(load) = loads.get_mut(server.index()) {
                load.count(state.is_active(), 1);
            }
            taken.extend(local);
        };
        for (_, it) in worker.connections::<V4>().iter(0..u32::MAX) {
            count(it.server, it.state, it.local().map(|(address, _)| V4::ip(address)));
        }
        for (_, it) in worker.connections::<V6>().iter(0..u32::MAX) {
            count(it.server, it.state, it.local().map(|(address, _)| V6::ip(address)));
        }
        for server in self.snapshot.servers.ids() {
            assert_eq!(self.board.own(id, server), loads[server.index()], "worker {}, server {server}", id.0);
        }
        let mut counted = 0;
        for (id, local) in self.snapshot.local_addresses.numbered() {
            let ports = taken.iter().filter(|address| **address == local.address).count() as u64;
            assert_eq!(worker.counters().local_ports(id), ports, "{local:?}");
            counted += ports;
        }
        assert_eq!(counted, taken.len() as u64, "every connection's address is known");
    }

    /// Every packet is accounted for, by the workers' counters and by where packets really are.
    pub fn check(&self) {
        let (mut waiting, mut allocated, mut released) = (0, 0, 0);
        for ((worker, io), id) in self.workers.iter().zip(&self.ios).zip(0..) {
            self.check_connections(WorkerId(id), worker);
            let counters = worker.counters();
            assert_eq!(counters.unaccounted(), 0, "{counters:?}");
            let v6 = worker.connections::<V6>().len() as u64;
            assert_eq!(counters.connections_v6(), v6, "connections of IPv6: {counters:?}");
            let connections = worker.connections::<V4>().len() as u64 + v6;
            let forgotten = counters.ended.get();
            assert_eq!(counters.created.get(), forgotten + connections, "connections: {counters:?}");
            waiting += counters.held();
            allocated += io.allocated as u64;
            released += io.released as u64;
        }
        assert_eq!(self.entered + allocated, self.left + released + waiting, "packets in and out");
    }
}
