//! A worker with services, servers and connections, and the packets to send through it.

use crate::frame::{Frame, Recycler};
use lb_core::{
    conn::timeouts::Timeouts,
    flow::key::Secret,
    packet::{Burst, Checksum, PortId, WorkerId},
    service::{
        load::LoadBoard,
        plan::{
            Mac, Method, Plan, PortPlan, Protocol, RoutePlan, SchedulerKind, ServerPlan, ServicePlan, Spread,
        },
        snapshot::Snapshot,
    },
    time::Instant,
    wire::{
        arp::{self, Arp, Operation},
        checksum::Sum,
        ethernet,
        ipv4::{self, Header},
        tcp, udp,
    },
    worker::{Director, Worker},
};
use std::{net::Ipv4Addr, sync::Arc};

/// Packets of a burst.
pub const BURST: usize = 32;

const WAN: PortId = PortId(0);
const LAN: PortId = PortId(1);
const WAN_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const LAN_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
const PEER_MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// The first VIP; service number n has the nth address from here.
const FIRST_VIP: u32 = 0xcb00_7100;
const SERVICE_PORT: u16 = 80;

/// What the worker is to deal with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How packets are forwarded.
    pub method: Method,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Connections to open, and room for.
    pub connections: u32,
    /// Virtual services, each with its own address.
    pub services: u32,
    /// Servers of each service.
    pub servers: u32,
    /// The worker verifies checksums itself.
    pub verify: bool,
}

/// A worker, its buffers, and what it is to deal with.
pub struct Scene {
    /// The set-up.
    pub setup: Setup,
    /// The worker.
    pub worker: Worker<Frame>,
    /// Its queues.
    pub io: Recycler,
    /// The time.
    pub now: Instant,
}

/// Which packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// From the client, with these TCP flags.
    In(u8),
    /// From the server, under NAT, with these TCP flags.
    Out(u8),
}

impl Scene {
    /// Makes the worker, lets it find its neighbours, and opens the connections.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let snapshot = Arc::new(Snapshot::new(&plan(&setup)).expect("the plan is sound"));
        let director = Director {
            workers: 1,
            secret: Secret(0x5eed_5eed_5eed_5eed),
            connections_per_worker: setup.connections.max(1) as usize,
            refusals_per_s: 0,
            board: Arc::new(LoadBoard::new(1, snapshot.servers.len())),
        };
        let now = Instant::from_millis(1);
        let verdict = if setup.verify { Checksum::Unknown } else { Checksum::Good };
        let io = Recycler::new(4_096, verdict);
        let worker = Worker::new(WorkerId(0), &director, snapshot, now);
        let mut scene = Scene { setup, worker, io, now };
        scene.resolve();
        scene
    }

    /// Opens all connections, in order, so that their servers are known: `rr` gives them out in turn.
    pub fn open(&mut self) {
        let tcp = self.setup.protocol == Protocol::Tcp;
        self.each(Which::In(if tcp { tcp::SYN } else { 0 }));
        if tcp && self.setup.method == Method::Nat {
            self.each(Which::Out(tcp::SYN | tcp::ACK));
        }
        if tcp {
            self.each(Which::In(tcp::ACK));
        }
        assert_eq!(self.worker.connections().len(), self.setup.connections as usize, "all are open");
    }

    /// Sends one packet of every connection, in order.
    pub fn each(&mut self, which: Which) {
        let mut burst = Burst::new();
        let mut index = 0;
        while index < self.setup.connections {
            let count = BURST.min((self.setup.connections - index) as usize);
            self.io.take(&mut burst, count);
            for packet in &mut burst {
                self.fill(packet, index, which);
                index += 1;
            }
            self.worker.process(self.now, &mut burst, &mut self.io);
        }
    }

    /// Turns a buffer into a packet of connection `index`.
    #[inline(always)]
    pub fn fill(&self, packet: &mut Frame, index: u32, which: Which) {
        let (port, head, len) = self.head(index, which);
        packet.arrive(port, &head, len);
    }

    /// The port a packet arrives on, its first 64 bytes and its length. Checksums are right if the worker looks.
    #[inline(always)]
    #[must_use]
    pub fn head(&self, index: u32, which: Which) -> (PortId, [u8; 64], u16) {
        let setup = &self.setup;
        let (client, client_port) = (0x0a00_0000 + (index >> 12), 1_024 + (index & 0xfff) as u16);
        let service = if setup.services == 1 { 0 } else { index % setup.services };
        let vip = FIRST_VIP + service;
        let (port, mac, from, to, flags) = match which {
            Which::In(flags) => (WAN, WAN_MAC, (client, client_port), (vip, SERVICE_PORT), flags),
            Which::Out(flags) => {
                let turn = if setup.services == 1 { index } else { index / setup.services };
                let server = server_address(setup, service, turn % setup.servers);
                (LAN, LAN_MAC, (server, 8_080), (client, client_port), flags)
            }
        };
        let mut head = [0; 64];
        ethernet::set_addresses(&mut head, mac, PEER_MAC);
        ethernet::set_ethertype(&mut head, ethernet::IPV4);
        let ip = &mut head[ethernet::HEADER_LEN..];
        let protocol = if setup.protocol == Protocol::Tcp { ipv4::TCP } else { ipv4::UDP };
        let header = Header {
            header_len: 20,
            total_len: 46,
            fragment: ipv4::DONT_FRAGMENT,
            ttl: 64,
            protocol,
            source: from.0,
            destination: to.0,
        };
        ipv4::write(ip, &header, 0);
        let l4 = &mut ip[ipv4::HEADER_LEN..46];
        l4[0..2].copy_from_slice(&from.1.to_be_bytes());
        l4[2..4].copy_from_slice(&to.1.to_be_bytes());
        let checksum_at = if protocol == ipv4::TCP {
            (l4[tcp::DATA_OFFSET], l4[tcp::FLAGS]) = (5 << 4, flags);
            tcp::CHECKSUM
        } else {
            l4[udp::LENGTH..udp::LENGTH + 2].copy_from_slice(&26u16.to_be_bytes());
            udp::CHECKSUM
        };
        if setup.verify {
            let sum = Sum::default().pseudo(from.0, to.0, protocol, 26).bytes(l4).finish();
            l4[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        (port, head, 60)
    }

    /// Lets the worker learn every neighbour that it asks for.
    fn resolve(&mut self) {
        let snapshot = self.worker.snapshot().clone();
        let mut hops: Vec<_> = snapshot.gateways().map(|(hop, _)| hop).collect();
        hops.extend(snapshot.servers.iter().map(|server| server.next_hop));
        let mut burst = Burst::new();
        for hop in hops {
            let own = snapshot.routing.own_address(hop.port, hop.address).expect("attached");
            let mac = if hop.port == WAN { WAN_MAC } else { LAN_MAC };
            let answer = Arp {
                operation: Operation::Reply,
                sender_mac: PEER_MAC,
                sender: hop.address,
                target_mac: mac,
                target: own,
            };
            let mut head = [0; 64];
            ethernet::set_addresses(&mut head, mac, PEER_MAC);
            ethernet::set_ethertype(&mut head, ethernet::ARP);
            answer.write(&mut head[ethernet::HEADER_LEN..]);
            self.io.take(&mut burst, 1);
            burst[0].arrive(hop.port, &head, (ethernet::HEADER_LEN + arp::LEN) as u16);
            self.worker.process(self.now, &mut burst, &mut self.io);
        }
    }
}

fn server_address(setup: &Setup, service: u32, server: u32) -> u32 {
    // 198.18.0.0/15 is for benchmarks, RFC 2544; the director's own address is its first.
    0xc612_0001 + 1 + service * setup.servers + server
}

fn plan(setup: &Setup) -> Plan {
    let port = |name: &str, mac, network: &str| PortPlan {
        name: name.to_owned(),
        mac,
        addresses: vec![network.parse().expect("a network")],
        mtu: 1_500,
        spread: Spread::ByClient,
    };
    let server_port = if setup.method == Method::Nat { 8_080 } else { SERVICE_PORT };
    let services = (0..setup.services).map(|service| ServicePlan {
        name: format!("service-{service}"),
        protocol: setup.protocol,
        vip: Ipv4Addr::from_bits(FIRST_VIP + service),
        port: SERVICE_PORT,
        method: setup.method,
        scheduler: SchedulerKind::Rr,
        hash_port: false,
        adopt: false,
        timeouts: Timeouts::default(),
        servers: (0..setup.servers)
            .map(|server| ServerPlan {
                address: Ipv4Addr::from_bits(server_address(setup, service, server)),
                port: server_port,
                weight: 1,
            })
            .collect(),
    });
    Plan {
        ports: vec![port("wan", WAN_MAC, "192.0.2.1/24"), port("lan", LAN_MAC, "198.18.0.1/15")],
        routes: vec![RoutePlan { to: "0.0.0.0/0".parse().expect("a network"), via: GATEWAY }],
        services: services.collect(),
        vips: Vec::new(),
        tunnel_local: None,
        verify_checksums: setup.verify,
        redirection_len: 0,
    }
}
