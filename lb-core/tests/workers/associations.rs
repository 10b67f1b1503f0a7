//! Associations of SCTP, from INIT to SHUTDOWN COMPLETE, between peers on a network that loses, doubles and delays packets:
//! in every method and family, over several workers. Whatever happens, each side hears what the other says, once and in
//! order; one server has the whole of it; and the director follows the association to its end.

mod peer;

use self::peer::{MESSAGES, Peer};
use crate::common::{
    fragments::frame,
    plan::*,
    world::{Setup, World},
};
use lb_core::{
    conn::state::State,
    family::{V4, V6},
    packet::PortId,
    service::{
        key::Protocol,
        plan::{Mac, Method, Plan, Spread},
    },
};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    net::{IpAddr, SocketAddr},
};

/// Nothing that is waited for takes longer, pauses aside.
const LONGEST: u64 = 10 * 60_000;
/// A pause in the middle, shorter than associations may be silent.
const PAUSE: u64 = 14 * 60_000;
/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

/// A method with the family of clients, and whether servers are of the other one.
#[derive(Clone, Copy, Debug)]
struct Way {
    method: Method,
    is_ipv6: bool,
    crosses: bool,
}

impl Way {
    fn all() -> impl Iterator<Item = Way> {
        let way = |method, crosses| [false, true].map(|is_ipv6| Way { method, is_ipv6, crosses });
        let within = Method::ALL.iter().flat_map(move |&method| way(method, false));
        within.chain(way(Method::FullNat, true))
    }

    fn client(self) -> SocketAddr {
        SocketAddr::new(if self.is_ipv6 { CLIENT6.into() } else { CLIENT_IP.into() }, 4_000)
    }

    fn vip(self) -> SocketAddr {
        SocketAddr::new(if self.is_ipv6 { VIP6.into() } else { VIP.into() }, 80)
    }

    fn servers(self) -> [SocketAddr; 2] {
        let addresses: [IpAddr; 2] = match self.is_ipv6 != self.crosses {
            true => SERVERS6.map(Into::into),
            false => SERVERS.map(Into::into),
        };
        addresses.map(|address| {
            SocketAddr::new(address, if self.method.rewrites_endpoints() { 8_080 } else { 80 })
        })
    }

    fn plan(self) -> Plan {
        let servers = self.servers().map(|server| server.to_string());
        let mut service = service(self.method, &self.vip().to_string(), &[&servers[0], &servers[1]]);
        service.protocol = Protocol::Sctp;
        if self.crosses {
            service.local_addresses = vec![if self.is_ipv6 { LOCAL.into() } else { LOCAL6.into() }];
        }
        network6().with(service)
    }

    /// Where a server answers from: its own address, or the VIP that it has.
    fn answers_from(self, server: usize) -> SocketAddr {
        if self.method.sees_replies() { self.servers()[server] } else { self.vip() }
    }
}

/// Where a packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Director(PortId),
    Client,
    Server(usize),
}

/// A packet on its way: when it arrives, a number that keeps equals in order, where, and its bytes.
type Flight = (u64, u64, Place, Vec<u8>);

struct Story {
    way: Way,
    world: World,
    now: u64,
    client: Peer,
    servers: Vec<Peer>,
    flights: BinaryHeap<Reverse<Flight>>,
    sent: u64,
    random: Random,
    /// Of a hundred packets.
    losses: u64,
    /// Servers that packets of the client's have come to while it had an association.
    met: BTreeSet<usize>,
}

impl Story {
    fn new(way: Way, seed: u64) -> Self {
        let mut random = Random(seed);
        let spreads = [Spread::Unknown, Spread::ByFlow, Spread::ByClient];
        let spread = spreads[random.below(3) as usize];
        let workers = 1 + random.below(3) as usize;
        let world = World::with(&way.plan().spread(spread, spread), Setup { workers, ..Setup::default() });
        let mut client = Peer::new(way.client(), 0x1000);
        let mut servers: Vec<Peer> =
            (0..2).map(|server| Peer::new(way.answers_from(server), 0x2000 << server)).collect();
        let client_ends = random.below(2) == 0;
        client.ends = client_ends;
        for server in &mut servers {
            (server.ends, server.says) = (!client_ends, MESSAGES);
        }
        client.says = MESSAGES;
        let flights = BinaryHeap::new();
        Story {
            way,
            world,
            now: 0,
            client,
            servers,
            flights,
            sent: 0,
            random,
            losses: 8,
            met: BTreeSet::new(),
        }
    }

    fn launch(&mut self, to: Place, packet: &[u8]) {
        if self.random.below(100) < self.losses {
            return;
        }
        let copies = 1 + u64::from(self.random.below(100) < 4);
        for _ in 0..copies {
            let late = if self.random.below(100) < 8 { self.random.below(60) } else { 0 };
            self.sent += 1;
            self.flights.push(Reverse((self.now + 1 + late, self.sent, to, packet.to_vec())));
        }
    }

    /// What peers have said goes on its way.
    fn collect(&mut self) {
        for packet in std::mem::take(&mut self.client.out) {
            self.launch(Place::Director(WAN), &packet);
        }
        let by_director = self.way.method.sees_replies();
        let said: Vec<_> =
            self.servers.iter_mut().flat_map(|server| std::mem::take(&mut server.out)).collect();
        for packet in said {
            self.launch(if by_director { Place::Director(LAN) } else { Place::Client }, &packet);
        }
    }

    fn arrive(&mut self, at: Place, bytes: &[u8]) {
        match at {
            Place::Director(port) => {
                let worker = self.random.below(self.world.workers.len() as u64) as usize;
                let sent = self.world.burst(worker, &[(port, frame(port, bytes))]);
                self.pass_on(sent.into_iter().map(|sent| (sent.port, sent.frame)).collect());
            }
            Place::Client => {
                let (from, to, packet) = read(bytes);
                assert_eq!((from, to), (self.way.vip(), self.way.client()));
                self.client.hear(self.now, from, &packet);
            }
            Place::Server(number) => {
                if self.client.association.is_some() {
                    self.met.insert(number);
                }
                let (from, to, packet) = read(bytes);
                let own = self.servers[number].own;
                // Behind L3DSR, a rule puts the VIP back.
                let to = if self.way.method == Method::L3Dsr { self.way.vip() } else { to };
                assert_eq!(to, own, "{:?}", self.way);
                self.servers[number].hear(self.now, from, &packet);
            }
        }
        self.collect();
    }

    /// What the director has sent goes on its way.
    fn pass_on(&mut self, sent: Vec<(PortId, Vec<u8>)>) {
        for (port, frame) in sent {
            let station = Mac(*frame.first_chunk().expect("an address"));
            let place = match (port, SERVER_MACS.iter().position(|mac| *mac == station)) {
                (LAN, Some(server)) => Place::Server(server),
                _ => Place::Client,
            };
            assert!(place != Place::Client || station == GATEWAY_MAC, "{station:?}");
            self.launch(place, &frame[14..]);
        }
    }

    /// Lets time pass until the next moment at which something happens; `false` if nothing will.
    fn step(&mut self) -> bool {
        let flight = self.flights.peek().map(|Reverse((at, ..))| *at);
        let peers = self.servers.iter().chain([&self.client]);
        let due = peers.filter_map(|peer| peer.association.as_ref()?.due).min();
        let Some(next) = flight.into_iter().chain(due).min() else { return false };
        self.wait(next.saturating_sub(self.now));
        while let Some(Reverse((at, ..))) = self.flights.peek()
            && *at <= self.now
            && let Some(Reverse((_, _, place, packet))) = self.flights.pop()
        {
            self.arrive(place, &packet);
        }
        self.client.speak(self.now);
        for server in &mut self.servers {
            server.speak(self.now);
        }
        self.collect();
        true
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms;
        let sent = self.world.pass(ms);
        self.pass_on(sent.into_iter().map(|sent| (sent.port, sent.frame)).collect());
    }

    /// Until nobody has anything to say.
    fn run_out(&mut self) {
        let end = self.now + LONGEST;
        while self.step() {
            assert!(self.now < end, "they do not end: {:?} {:?}", self.client, self.servers);
        }
    }

    fn states(&self) -> Vec<State> {
        let mut states = Vec::new();
        for worker in &self.world.workers {
            states.extend(worker.connections::<V4>().iter(0..u32::MAX).map(|(_, it)| it.state));
            states.extend(worker.connections::<V6>().iter(0..u32::MAX).map(|(_, it)| it.state));
        }
        states
    }

    /// The director knows of nothing that lives on, and forgets what there was.
    fn is_forgotten(&mut self) {
        let states = self.states();
        assert!(!states.contains(&State::SctpEstablished), "{states:?}");
        self.wait(62_000);
        assert_eq!(self.states(), [], "a minute later");
    }
}

/// Both ends and the packet of SCTP inside of one of IP, and of that inside a tunnel's.
fn read(bytes: &[u8]) -> (SocketAddr, SocketAddr, Vec<u8>) {
    let is_ipv6 = bytes[0] >> 4 == 6;
    let length = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let (start, end, protocol) =
        if is_ipv6 { (40, 40 + length(4), bytes[6]) } else { (20, length(2), bytes[9]) };
    let payload = &bytes[start..end];
    if matches!(protocol, 4 | 41) {
        return read(payload);
    }
    assert_eq!(protocol, 132);
    let address = |nth: usize| -> IpAddr {
        match is_ipv6 {
            true => IpAddr::from(*bytes[8 + 16 * nth..].first_chunk::<16>().expect("an address")),
            false => IpAddr::from(*bytes[12 + 4 * nth..].first_chunk::<4>().expect("an address")),
        }
    };
    let port = |nth: usize| u16::from_be_bytes([payload[2 * nth], payload[2 * nth + 1]]);
    let [from, to] = [0, 1].map(|end| SocketAddr::new(address(end), port(end)));
    (from, to, payload.to_vec())
}

#[test]
fn each_side_hears_all_and_the_director_follows_to_the_end() {
    for way in Way::all() {
        for seed in 0..40 {
            let mut story = Story::new(way, seed);
            story.client.connect(way.vip(), 0);
            story.run_out();
            assert_eq!(story.client.completed, 1, "{way:?}, seed {seed}");
            assert_eq!(story.met.len(), 1, "{way:?}, seed {seed}: one server has the whole of it");
            let completed: u32 = story.servers.iter().map(|server| server.completed).sum();
            assert_eq!(completed, 1, "{way:?}, seed {seed}");
            story.is_forgotten();
        }
    }
}

/// Whatever was repeated or came late at the beginning, the director knows that the association is established: it waits for
/// a quarter of an hour.
#[test]
fn an_association_may_be_silent_for_long() {
    for way in Way::all() {
        for seed in 100..120 {
            let mut story = Story::new(way, seed);
            let said = 1 + story.random.below(3) as u32;
            story.client.says = said;
            story.servers.iter_mut().for_each(|server| server.says = said);
            story.client.connect(way.vip(), 0);
            story.run_out();
            assert_eq!(story.states(), [State::SctpEstablished], "{way:?}, seed {seed}");
            story.wait(PAUSE);
            story.client.says = MESSAGES;
            story.servers.iter_mut().for_each(|server| server.says = MESSAGES);
            let (now, peers) = (story.now, story.servers.iter_mut().chain([&mut story.client]));
            peers.filter_map(|peer| peer.association.as_mut()).for_each(|it| it.due = Some(now));
            story.run_out();
            assert_eq!(story.client.completed, 1, "{way:?}, seed {seed}");
            assert_eq!(story.met.len(), 1, "{way:?}, seed {seed}");
            story.is_forgotten();
        }
    }
}

/// One side gives up at any moment, and the director hears of it; that of servers passes elsewhere under some methods. What
/// the other side still says is answered by the first, so that both know of the end.
#[test]
fn an_abort_ends_it_at_any_moment() {
    for way in Way::all() {
        for seed in 200..230 {
            let mut story = Story::new(way, seed);
            story.client.connect(way.vip(), 0);
            for _ in 0..1 + story.random.below(40) {
                story.step();
            }
            if story.random.below(2) == 0 || !way.method.sees_replies() {
                story.client.abort();
            } else {
                story.servers.iter_mut().for_each(Peer::abort);
            }
            let losses = std::mem::take(&mut story.losses);
            story.collect();
            story.losses = losses;
            story.run_out();
            story.is_forgotten();
        }
    }
}
