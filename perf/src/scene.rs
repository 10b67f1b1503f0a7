//! A worker with services, servers and connections, and the packets to send through it.

use crate::{
    frame::{Frame, Recycler},
    setup::{
        FIRST_CLIENT, FIRST_VIP, LAN, LAN_MAC, NAT_PORT, SERVICE_PORT, Setup, WAN, WAN_MAC, address, ipv6,
    },
};
use lb_core::{
    conn::entry::Connection,
    decide::known::Forwarded,
    family::{Family, Header, V4, V6},
    flow::key::{Key, Secret},
    module::expected::Expected,
    packet::{Burst, Checksum, PortId, WorkerId},
    sched::persistence::Persistence,
    service::{
        load::LoadBoard,
        plan::{InterfacePlan, Mac, Method, Protocol},
        snapshot::Snapshot,
    },
    time::Instant,
    wire::{
        ethernet::{self, Tags},
        ipv4, nd, protocol,
        resolution::Resolution,
        tcp, udp,
    },
    worker::{Team as Director, Worker},
};
use std::{ops::Range, sync::Arc};

/// Packets of a burst.
pub const BURST: usize = 32;

const PEER_MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);
/// Connections that one client address stands for.
const PER_CLIENT: u32 = 4_096;
/// Client addresses of each worker.
const CLIENTS: u32 = 1 << 16;

/// Bytes of a frame that are put into a buffer: more than the headers of TCP over IPv6.
pub const HEAD_LEN: usize = 80;

/// The start of a frame, as it is put into a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The port it arrives on.
    pub port: PortId,
    /// Its first bytes.
    pub bytes: [u8; HEAD_LEN],
    /// How long it is.
    pub len: u16,
}

impl Head {
    /// The first of a datagram's two fragments, or the other one, in the place of a whole packet of IPv4.
    #[must_use]
    pub fn fragment(mut self, id: u16, is_later: bool) -> Head {
        // Bytes of the first, behind the header: a multiple of eight.
        const FIRST_LEN: u16 = 32;
        self.len = (ethernet::HEADER_LEN + ipv4::HEADER_LEN) as u16 + FIRST_LEN;
        let header = &mut self.bytes[ethernet::HEADER_LEN..][..ipv4::HEADER_LEN];
        let word = if is_later { FIRST_LEN / 8 } else { ipv4::MORE_FRAGMENTS };
        let len = ipv4::HEADER_LEN as u16 + FIRST_LEN;
        for (at, value) in [(ipv4::TOTAL_LEN, len), (ipv4::ID, id), (ipv4::FRAGMENT, word)] {
            header[at..at + 2].copy_from_slice(&value.to_be_bytes());
        }
        ipv4::set_checksum(header);
        self
    }
}

/// Which packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// From the client, with these TCP flags; under SNAT from a server that asks.
    In(u8),
    /// From the server, under NAT, FullNAT and SNAT, with these TCP flags.
    Out(u8),
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
    id: WorkerId,
}

/// What the workers of one director share.
#[derive(Clone)]
pub struct Team {
    setup: Setup,
    director: Director,
    snapshot: Arc<Snapshot>,
}

impl Team {
    /// A director with so many workers, each with all the connections of the set-up.
    #[must_use]
    pub fn new(setup: Setup, workers: usize) -> Self {
        let snapshot = Arc::new(Snapshot::new(&setup.plan()).expect("the plan is sound"));
        let connections = (setup.connections + setup.spare).max(1) as usize;
        let director = Director {
            workers,
            secret: Secret(0x5eed_5eed_5eed_5eed),
            connections_per_worker: connections,
            // Those that are translated are of IPv6.
            connections_per_worker_v6: if setup.is_ipv6 || setup.is_translated { connections } else { 1 },
            refusals_per_s: 0,
            board: Arc::new(LoadBoard::new(workers, snapshot.room.numbers())),
            persistence: Arc::new(Persistence::new(1, 0)),
            expected: Arc::new(Expected::new(Secret(0))),
            told: None,
            masters: None,
        };
        Team { setup, director, snapshot }
    }

    /// One of them, which knows its neighbours but has no connections.
    #[must_use]
    pub fn worker(&self, id: u16) -> Scene {
        let now = Instant::from_millis(1);
        let verdict = if self.setup.verify { Checksum::Unknown } else { Checksum::Good };
        let worker = Worker::new(WorkerId(id), &self.director, self.snapshot.clone(), now);
        let io = Recycler::new(4_096, verdict);
        let mut scene = Scene { setup: self.setup, worker, io, now, id: WorkerId(id) };
        scene.resolve();
        // Of what all need to know, the others were told.
        scene.io.handed_over = 0;
        scene
    }
}

impl Scene {
    /// The only worker, which knows its neighbours but has no connections.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Team::new(setup, 1).worker(0)
    }

    /// The only worker, with all connections open.
    #[must_use]
    pub fn opened(setup: Setup) -> Self {
        let mut scene = Scene::new(setup);
        scene.open();
        scene
    }

    /// Opens all connections, in order, so that their servers are known: `rr` gives them out in turn.
    pub fn open(&mut self) {
        let all = 0..self.setup.connections;
        for which in self.opening() {
            self.each(all.clone(), *which);
        }
        assert_eq!(self.connections(), self.setup.connections as usize, "all are open");
    }

    /// How many connections are open, of either family.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.worker.connections::<V4>().len() + self.worker.connections::<V6>().len()
    }

    /// The packets that open a connection.
    #[must_use]
    pub fn opening(&self) -> &'static [Which] {
        use Which::{In, Out};
        match (self.setup.protocol, self.setup.method) {
            (Protocol::Udp, _) => &[In(0)],
            (_, method) if method.sees_replies() => &[In(tcp::SYN), Out(tcp::SYN | tcp::ACK), In(tcp::ACK)],
            _ => &[In(tcp::SYN), In(tcp::ACK)],
        }
    }

    /// The packets that close a TCP connection, the client first.
    #[must_use]
    pub fn closing(&self) -> &'static [Which] {
        use Which::{In, Out};
        match self.setup.method {
            Method::Nat | Method::FullNat | Method::Snat => {
                &[In(tcp::FIN | tcp::ACK), Out(tcp::FIN | tcp::ACK), In(tcp::ACK)]
            }
            Method::Tun | Method::Dr | Method::L3Dsr => &[In(tcp::FIN | tcp::ACK), In(tcp::ACK)],
        }
    }

    /// Sends one packet of every connection in the range, in order.
    pub fn each(&mut self, range: Range<u32>, which: Which) {
        self.send(range, |scene, index| scene.head(index, which));
    }

    /// Sends a packet of every number in the range, in order.
    pub fn send(&mut self, range: Range<u32>, head: impl Fn(&Scene, u32) -> Head) {
        let mut burst = Burst::new();
        let mut index = range.start;
        while index < range.end {
            let count = BURST.min((range.end - index) as usize);
            self.io.take(&mut burst, count);
            for packet in &mut burst {
                packet.arrive(&head(self, index));
                index += 1;
            }
            self.forward(&mut burst);
        }
    }

    /// What a worker does with one burst. One copy of it, whatever is measured, as in lb-app.
    #[inline(never)]
    pub fn forward(&mut self, burst: &mut Burst<Frame>) {
        self.worker.process(self.now, burst, &mut self.io);
    }

    /// What a worker does after each burst.
    #[inline(never)]
    pub fn tick(&mut self) {
        self.worker.tick(self.now, &mut self.io);
        self.worker.announce_due(self.now, &mut self.io);
    }

    /// A packet of connection `index`, as short as there are. Checksums are right if the worker looks.
    #[inline(always)]
    #[must_use]
    pub fn head(&self, index: u32, which: Which) -> Head {
        self.head_of(self.setup.protocol, index, which, if self.is_ipv6(which) { 74 } else { 60 })
    }

    /// The same for any protocol and length.
    #[inline(always)]
    #[must_use]
    pub fn head_of(&self, protocol: Protocol, index: u32, which: Which, len: u16) -> Head {
        if self.is_ipv6(which) {
            self.head_in::<V6>(protocol, index, which, len, ipv6)
        } else {
            self.head_in::<V4>(protocol, index, which, len, |bits| bits)
        }
    }

    /// The family of a packet as it arrives.
    #[inline(always)]
    fn is_ipv6(&self, which: Which) -> bool {
        match which {
            Which::In(_) => self.setup.is_ipv6,
            Which::Out(_) => self.setup.serves_by_ipv6(),
        }
    }

    #[inline(always)]
    fn head_in<F: Forwarded>(
        &self,
        protocol: Protocol,
        index: u32,
        which: Which,
        len: u16,
        address: impl Fn(u32) -> F::Address,
    ) -> Head {
        let setup = &self.setup;
        let client = FIRST_CLIENT + u32::from(self.id.0) * CLIENTS + index / PER_CLIENT;
        let client_port = 1_024 + (index % PER_CLIENT) as u16;
        let own = (address(client), client_port);
        let service = if setup.services == 1 { 0 } else { index % setup.services };
        let vip = (address(FIRST_VIP + service), SERVICE_PORT);
        let (port, mac, from, to, flags) = match which {
            // Under SNAT the client is a server, and whom it asks has what would be a VIP.
            Which::In(flags) if setup.method.is_outward() => (LAN, LAN_MAC, own, vip, flags),
            Which::Out(flags) if setup.method.is_outward() => {
                let seen_as = self.seen_as::<F>(protocol, (client, client_port), FIRST_VIP + service);
                (WAN, WAN_MAC, vip, seen_as.unwrap_or(own), flags)
            }
            Which::In(flags) => (WAN, WAN_MAC, own, vip, flags),
            Which::Out(flags) => {
                let turn = if setup.services == 1 { index } else { index / setup.services };
                let server = setup.server_address(service, turn % setup.servers);
                let seen_as = self.seen_as::<F>(protocol, (client, client_port), FIRST_VIP + service);
                let to = seen_as.unwrap_or(own);
                (LAN, LAN_MAC, (address(server), NAT_PORT), to, flags)
            }
        };
        let mut bytes = [0; HEAD_LEN];
        ethernet::set_addresses(&mut bytes, mac, PEER_MAC);
        ethernet::set_ethertype(&mut bytes, F::ETHERTYPE);
        let ip = &mut bytes[ethernet::HEADER_LEN..];
        let total_len = len - ethernet::HEADER_LEN as u16;
        let l4_len = total_len - F::HEADER_LEN as u16;
        let is_tcp = protocol == Protocol::Tcp;
        let header = Header::<F> {
            header_len: F::HEADER_LEN,
            total_len: total_len.into(),
            fragment: ipv4::DONT_FRAGMENT,
            ttl: 64,
            protocol: if is_tcp { protocol::TCP } else { protocol::UDP },
            source: from.0,
            destination: to.0,
        };
        F::write(ip, &header);
        let l4 = &mut ip[F::HEADER_LEN..];
        l4[0..2].copy_from_slice(&from.1.to_be_bytes());
        l4[2..4].copy_from_slice(&to.1.to_be_bytes());
        let checksum_at = if is_tcp {
            (l4[tcp::DATA_OFFSET], l4[tcp::FLAGS]) = (5 << 4, flags);
            tcp::CHECKSUM
        } else {
            l4[udp::LENGTH..udp::LENGTH + 2].copy_from_slice(&l4_len.to_be_bytes());
            udp::CHECKSUM
        };
        if setup.verify || F::DATAGRAMS_NEED_CHECKSUM {
            // All that is behind the head is zero.
            let sum = F::pseudo(from.0, to.0, header.protocol, l4_len).bytes(l4).finish();
            l4[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        Head { port, bytes, len }
    }

    /// What the server sees in the place of a client, if that is something else.
    fn seen_as<F: Forwarded>(
        &self,
        protocol: Protocol,
        client: (u32, u16),
        vip: u32,
    ) -> Option<(F::Address, u16)> {
        if !self.setup.method.hides_clients() {
            return None;
        }
        if !self.setup.is_translated {
            return Some(self.local::<F>(protocol, client, vip));
        }
        let (local, port) = self.local::<V6>(protocol, client, vip);
        Some((F::of(V6::ip(local)).expect("of the servers' family"), port))
    }

    /// The local address and port of a connection in the table of that family.
    fn local<F: Forwarded>(&self, protocol: Protocol, client: (u32, u16), vip: u32) -> (F::Address, u16) {
        let own = |bits| {
            let ip = address(self.setup.is_ipv6, bits);
            F::of(ip).or_else(|| F::embed(ip)).expect("an address that the table has")
        };
        let key = Key::<F> {
            source: own(client.0),
            destination: own(vip),
            source_port: client.1,
            destination_port: SERVICE_PORT,
            protocol,
        };
        let connections = self.worker.connections::<F>();
        let connection = connections.lookup(&key).map(|hit| connections.get(hit.connection()));
        connection.and_then(Connection::local).expect("an open connection")
    }

    /// Lets the worker learn every neighbour that it asks for.
    fn resolve(&mut self) {
        let snapshot = self.worker.snapshot().clone();
        let mut hops: Vec<_> = snapshot.gateways().map(|(hop, _)| hop).collect();
        if !self.setup.method.is_outward() {
            hops.extend(snapshot.servers.iter().map(|server| server.next_hop));
        }
        let mut burst = Burst::new();
        for hop in hops {
            let own = snapshot.routing.own_address(hop.interface, hop.address).expect("attached");
            let InterfacePlan { port, mac, .. } = snapshot.interfaces[hop.interface];
            let answer = match Resolution::question(own, mac, hop.address).expect("of one family") {
                Resolution::Arp(question) => Resolution::Arp(question.answered_by(PEER_MAC)),
                Resolution::Nd(question) => Resolution::Nd(question.answered_by(PEER_MAC)),
            };
            let mut bytes = [0; ethernet::HEADER_LEN + nd::LEN];
            let from = (mac, PEER_MAC);
            let at = ethernet::write_header(&mut bytes, from, Tags::NONE, answer.ethertype());
            answer.write(&mut bytes[at..]);
            self.io.take(&mut burst, 1);
            burst[0].arrive_whole(port, &bytes[..at + answer.packet_len()]);
            self.forward(&mut burst);
        }
    }
}
