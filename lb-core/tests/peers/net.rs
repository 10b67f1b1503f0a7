//! Directors and a network between them that loses, repeats, reorders and forges.

use lb_core::{
    conn::{
        beside::{Beside, Moved},
        client_address::ClientAddress,
        method::Method,
        second::Second,
    },
    flow::key::{Ends, Secret},
    peers::{
        client::Client,
        datagram::LONGEST,
        exception::Exception,
        machine::{Change, Happening, Machine, Settings},
        seal::Seal,
        told::Told,
    },
    service::key::Protocol,
    time::{Duration, Instant},
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

pub(crate) const KEY: &[u8] = b"a key that all of them have";
pub(crate) const HOLD: Duration = Duration::from_secs(60);

/// One director's part, with what it has been told.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) machine: Machine,
    pub(crate) told: Arc<Told>,
    pub(crate) own: BTreeMap<u32, Exception>,
    /// Clients of persistent services, and those that peers have told of.
    pub(crate) clients: Vec<Client>,
    pub(crate) learned: Vec<Client>,
    pub(crate) happened: Vec<Happening>,
}

/// Directors and the network between them. Time is in milliseconds.
pub(crate) struct Net {
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    /// When they arrive, from whom, and where.
    flying: Vec<(u64, SocketAddr, SocketAddr, Vec<u8>)>,
    random: u64,
    /// Of 100.
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) delay: u64,
    /// Everything that was ever sent.
    pub(crate) log: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
}

pub(crate) fn address(number: usize) -> SocketAddr {
    format!("192.0.{}.{}:4789", 2 + number / 250, number % 250 + 1).parse().unwrap()
}

pub(crate) fn exception(number: u32, server: u8) -> Exception {
    let v6 = number.is_multiple_of(3);
    let ip = |v4: String, v6: String, is_v6: bool| if is_v6 { v6.parse() } else { v4.parse() }.unwrap();
    let host = number % 250;
    let source = SocketAddr::new(
        ip(format!("203.0.113.{host}"), format!("2001:db8::{host:x}"), v6),
        1_024 + (number / 250) as u16,
    );
    let vip = SocketAddr::new(ip("198.51.100.1".into(), "2001:db8:1::1".into(), v6), 80);
    let method = Method::ALL[number as usize % Method::ALL.len()];
    let local = SocketAddr::new(ip("10.0.0.9".into(), "fd00::9".into(), v6), 1_024 + number as u16);
    let server_v6 = v6 && method != Method::Tun;
    Exception {
        ends: Ends { protocol: Protocol::Tcp, source, destination: vip },
        server: SocketAddr::new(
            ip(format!("10.0.0.{server}"), format!("fd00::{server:x}"), server_v6),
            8_080,
        ),
        method,
        local: method.hides_clients().then_some(local),
        beside: match number % 5 {
            0 => Some(Beside::Told(Second { base: number, ..Second::new(ClientAddress::ProxyV2, 28) })),
            1 => Moved::new([number, 3], [Some(number), Some(7)], false).map(Beside::Moved),
            _ => None,
        },
    }
}

impl Net {
    pub(crate) fn new(directors: usize, capacity: usize, random: u64) -> Net {
        let mut net = Net {
            now: 1_000,
            nodes: Vec::new(),
            flying: Vec::new(),
            random: random | 1,
            lost: 0,
            repeated: 0,
            delay: 5,
            log: Vec::new(),
        };
        net.nodes = (0..directors).map(|number| net.node(number, directors, capacity, KEY)).collect();
        net
    }

    pub(crate) fn draw(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below.max(1)
    }

    pub(crate) fn node(&mut self, number: usize, of: usize, capacity: usize, key: &[u8]) -> Node {
        let peers: Vec<SocketAddr> = (0..of).filter(|&other| other != number).map(address).collect();
        let (told, writer) = Told::new(capacity, Secret(3), peers.clone());
        let run = self.draw(u64::MAX) << 8 | self.draw(256);
        let seal = Seal::new(key).unwrap();
        let settings = Settings { run, seal, peers, capacity, rate: 4_000, hold: HOLD };
        let machine = Machine::new(settings, writer, Instant::from_millis(self.now));
        Node {
            address: address(number),
            machine,
            told,
            own: BTreeMap::new(),
            clients: Vec::new(),
            learned: Vec::new(),
            happened: Vec::new(),
        }
    }

    /// The director starts anew, as another run.
    pub(crate) fn restart(&mut self, number: usize, key: &[u8]) {
        let (of, capacity) = (self.nodes.len(), self.nodes[number].told.capacity());
        self.nodes[number] = self.node(number, of, capacity, key);
    }

    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        assert!(datagram.len() <= LONGEST);
        self.log.push((from, to, datagram.to_vec()));
        let copies =
            if self.draw(100) < self.lost { 0 } else { 1 + u64::from(self.draw(100) < self.repeated) };
        for _ in 0..copies {
            let at = self.now + 1 + self.draw(self.delay);
            self.flying.push((at, from, to, datagram.to_vec()));
        }
    }

    /// Something arrives.
    pub(crate) fn deliver(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let now = Instant::from_millis(self.now);
        let mut out = Vec::new();
        if let Some(node) = self.nodes.iter_mut().find(|node| node.address == to) {
            node.machine.receive(now, from, datagram, &mut |to, bytes| out.push((to, bytes.to_vec())));
            node.learned.extend_from_slice(node.machine.learned());
        }
        out.iter().for_each(|(answer_to, bytes)| self.send(to, *answer_to, bytes));
    }

    pub(crate) fn pass(&mut self, ms: u64, mut running: impl FnMut(usize) -> bool) {
        let end = self.now + ms;
        while self.now < end {
            self.now += 10;
            let now = Instant::from_millis(self.now);
            let due: Vec<_> =
                self.flying.extract_if(.., |flying| flying.0 <= end.min(now.as_millis())).collect();
            for (_, from, to, datagram) in due {
                if self.nodes.iter().position(|node| node.address == to).is_some_and(&mut running) {
                    self.deliver(from, to, &datagram);
                }
            }
            for number in 0..self.nodes.len() {
                if !running(number) {
                    continue;
                }
                let mut out = Vec::new();
                let node = &mut self.nodes[number];
                if self.now.is_multiple_of(500) {
                    node.machine.begin_look();
                    node.own.values().for_each(|exception| node.machine.found(exception, true));
                    node.clients.iter().for_each(|client| node.machine.found_client(now, client));
                    node.machine.end_look();
                }
                let happened = &mut node.happened;
                node.machine.poll(now, &mut |to, bytes| out.push((to, bytes.to_vec())), &mut |_, what| {
                    happened.push(what);
                });
                let from = node.address;
                out.iter().for_each(|(to, bytes)| self.send(from, *to, bytes));
            }
        }
    }

    pub(crate) fn quiet(&mut self, ms: u64) {
        self.pass(ms, |_| true);
    }

    /// What `of` has is what `at` has been told.
    pub(crate) fn assert_told(&self, of: usize, at: usize) {
        let (of, at) = (&self.nodes[of], &self.nodes[at]);
        for exception in of.own.values() {
            let found = at.told.find(&exception.ends).map(|found| found.exception);
            assert_eq!(found.as_ref(), Some(exception));
            if let Some(reply) = exception.reply_ends() {
                assert_eq!(at.told.find(&reply).map(|found| found.exception).as_ref(), Some(exception));
            }
        }
        assert_eq!(at.told.len(), of.own.len(), "and nothing else");
    }

    pub(crate) fn peer(&self, at: usize) -> lb_core::peers::machine::PeerFacts {
        self.nodes[at].machine.peers().next().unwrap()
    }

    /// A director is to have these peers and that key from now on.
    pub(crate) fn change(&mut self, at: usize, peers: &[usize], key: &[u8]) {
        let peers: Vec<SocketAddr> = peers.iter().copied().map(address).collect();
        let seal = Seal::new(key).unwrap();
        let now = Instant::from_millis(self.now);
        self.nodes[at].machine.change(now, Change { seal, peers: &peers, rate: 4_000, hold: HOLD });
    }
}
