//! The cluster and what happens in it.

use crate::{
    common::{
        frame::{ACK, RST, SYN, ethernet, tcp_with},
        plan::{LAN, LAN_MAC, PlanExt, WAN, network, service},
        read,
        world::Sent,
    },
    director::{self, Director, server},
    people::{Life, PATIENCE, Talk},
    random::Random,
    router::Router,
};
use lb_core::{
    conn::state::State,
    service::plan::{Method, Plan, SchedulerKind, ServerPlan},
    time::Duration,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{SocketAddr, SocketAddrV4},
};

/// Milliseconds of a step.
pub(crate) const STEP: u64 = 50;
/// How long a router takes to notice that a director is dead.
const NOTICED_AFTER: u64 = 300;
/// How long a director that returns waits for its peers, at most, before routers send to it.
const SETTLED_WITHIN: u64 = 10_000;
/// The same, while some have not been heard.
const HEARD_WITHIN: u64 = 3_000;
/// How long a director that leaves tells peers of young connections, as lb-app has it.
const TELLS_WITHIN: u64 = 2_000;
/// How long a director goes on forwarding when it leaves in good order.
const LEAVES_WITHIN: u64 = 3_000;
/// From when on it is promised that a connection survives: three seconds old, found within one, told in spite of loss.
const TOLD_WITHIN: u64 = 8_000;
/// The same after a change of the configuration anywhere.
const AGREED_WITHIN: u64 = 7_000;
const ESTABLISHED: u64 = 60;

/// What a run is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) directors: usize,
    pub(crate) servers: usize,
    pub(crate) clients: usize,
    pub(crate) method: Method,
    pub(crate) scheduler: SchedulerKind,
    pub(crate) resilient: bool,
    /// Clients stay with their servers.
    pub(crate) persistent: bool,
    /// Directors tell one another of connections.
    pub(crate) syncs: bool,
    /// Of 100 datagrams between directors.
    pub(crate) sync_loss: u64,
    /// Milliseconds that they take, at most.
    pub(crate) sync_delay: u64,
    /// Of 100 packets from clients.
    pub(crate) loss: u64,
    /// Strangers' packets in each step.
    pub(crate) strangers: u64,
}

impl Setup {
    /// Servers see their own address and port, and answer through a director.
    fn is_translated(&self) -> bool {
        matches!(self.method, Method::Nat | Method::FullNat)
    }

    /// The others stand by, since two would choose the same local ports.
    fn one_active(&self) -> bool {
        self.method == Method::FullNat
    }
}

/// Something that is to happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A director dies; the router notices.
    Dies(usize),
    /// It tells peers what they would not know yet, the router sends it nothing more, then it ends.
    Drains(usize),
    Leaves(usize),
    Ends(usize),
    /// It starts anew, and gets packets when it is ready.
    Returns(usize),
    Joins(usize, u64),
    Unnoticed(usize),
    /// Nothing of it runs for so long.
    Stalls(usize, u64),
    /// Its clock leaps ahead so far, as that of a virtual machine does that was moved.
    Leaps(usize, u64),
    /// A director gets the plan with these weights; a server without one is not configured.
    Weights(usize, Vec<Option<u32>>),
    /// No director hears another for so long.
    Silence(u64),
    /// Whoever sends takes another director for the right one every second, clients and servers each their own.
    Splits(u64),
}

pub(crate) struct Cluster {
    pub(crate) setup: Setup,
    pub(crate) now: u64,
    pub(crate) directors: Vec<Option<Director>>,
    pub(crate) router: Router,
    pub(crate) talks: Vec<Talk>,
    by_client: HashMap<SocketAddrV4, usize>,
    /// Connections that servers know.
    accepted: Vec<HashSet<SocketAddrV4>>,
    weights: Vec<Vec<Option<u32>>>,
    script: BTreeMap<u64, Vec<Event>>,
    flying: BTreeMap<u64, Vec<(SocketAddr, SocketAddr, Vec<u8>)>>,
    silent_until: u64,
    split_until: u64,
    /// The server whose packet is under way.
    speaks: Option<usize>,
    /// Prints what happens, for who replays a run.
    pub(crate) is_told: bool,
    random: Random,
    runs: u64,
}

impl Cluster {
    pub(crate) fn new(setup: Setup) -> Self {
        let weights = vec![vec![Some(1); setup.servers]; setup.directors];
        let mut cluster = Cluster {
            now: 0,
            directors: Vec::new(),
            router: Router::new((0..setup.directors).collect(), setup.resilient, setup.one_active()),
            talks: Vec::new(),
            by_client: HashMap::new(),
            accepted: vec![HashSet::new(); setup.servers],
            weights,
            script: BTreeMap::new(),
            flying: BTreeMap::new(),
            silent_until: 0,
            split_until: 0,
            speaks: None,
            is_told: false,
            random: Random::new(setup.seed),
            runs: setup.seed << 16,
            setup,
        };
        cluster.directors = (0..cluster.setup.directors).map(|number| Some(cluster.start(number))).collect();
        cluster
    }

    fn plan(&self, weights: &[Option<u32>]) -> Plan {
        let Setup { method, scheduler, .. } = self.setup;
        let mut service = service(method, "192.0.2.100:80", &[]);
        service.scheduler = scheduler;
        service.hash_port = scheduler == SchedulerKind::Mh;
        service.adopt = scheduler == SchedulerKind::Mh;
        let port = if self.setup.is_translated() { 8_080 } else { 80 };
        let each = weights.iter().enumerate().filter_map(|(number, weight)| Some((number, (*weight)?)));
        service.servers =
            each.map(|(number, weight)| ServerPlan::new(server(number).0, port, weight)).collect();
        if self.setup.persistent {
            service.persistence.timeout = Duration::from_secs(30);
        }
        service.timeouts.set(State::Established, Duration::from_secs(ESTABLISHED));
        network().with(service)
    }

    fn start(&mut self, number: usize) -> Director {
        self.runs += 1 + self.random.below(1_000);
        let Setup { directors, servers, syncs, .. } = self.setup;
        Director::new(number, directors, servers, &self.plan(&self.weights[number]), self.runs, syncs)
    }

    /// Something is to happen.
    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.script.entry(time).or_default().push(event);
    }

    /// A client opens a connection.
    pub(crate) fn open(&mut self, at: u64, pause: u64) {
        let number = self.talks.len();
        let host = 1 + (number / 50_000) as u8;
        let client = SocketAddrV4::new([203, 0, 113, host].into(), 10_000 + (number % 50_000) as u16);
        self.by_client.insert(client, number);
        self.talks.push(Talk::new(client, at, pause));
    }

    /// Nobody says anything more.
    pub(crate) fn fall_silent(&mut self) {
        self.talks.iter_mut().filter(|talk| talk.lives()).for_each(|talk| talk.life = Life::Closed);
        self.setup.strangers = 0;
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        while let Some(entry) = self.script.first_entry().filter(|entry| *entry.key() <= self.now) {
            for event in entry.remove() {
                self.happen(event);
            }
        }
        for number in 0..self.directors.len() {
            let Some(director) = self.running(number) else { continue };
            let (sent, datagrams) = director.pass(STEP);
            self.deliver(sent);
            self.fly(number, datagrams);
        }
        while let Some(entry) = self.flying.first_entry().filter(|entry| *entry.key() <= self.now) {
            for (from, to, datagram) in entry.remove() {
                let Some(number) = (0..self.directors.len()).find(|&it| director::address(it) == to) else {
                    continue;
                };
                let Some(director) = self.running(number) else { continue };
                let answers = director.hear(from, &datagram);
                self.fly(number, answers);
            }
        }
        for number in 0..self.talks.len() {
            self.talk(number);
        }
        for _ in 0..self.setup.strangers {
            let port = self.random.between(1_024, 9_999) as u16;
            let flags = if self.random.chance(50) { ACK } else { SYN };
            self.send(SocketAddrV4::new([203, 0, 113, 200].into(), port), flags);
        }
    }

    fn running(&mut self, number: usize) -> Option<&mut Director> {
        let now = self.now;
        self.directors[number].as_mut().filter(|director| now >= director.stalled_until)
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        if self.is_told {
            println!("{now:>7} ms  {event:?}");
        }
        match event {
            Event::Dies(number) => {
                self.directors[number] = None;
                self.at(now + NOTICED_AFTER, Event::Unnoticed(number));
            }
            Event::Unnoticed(number) => {
                self.router.remove(number);
                self.move_talks();
            }
            Event::Drains(number) => {
                if let Some(director) = &mut self.directors[number] {
                    director.leaves = true;
                }
                self.at(now + TELLS_WITHIN, Event::Leaves(number));
            }
            Event::Leaves(number) => {
                self.router.remove(number);
                self.move_talks();
                self.at(now + LEAVES_WITHIN, Event::Ends(number));
            }
            Event::Ends(number) => self.directors[number] = None,
            Event::Returns(number) => {
                self.directors[number] = Some(self.start(number));
                self.at(now + STEP, Event::Joins(number, now + SETTLED_WITHIN));
            }
            Event::Joins(number, at_last) => {
                let machine = self.directors[number].as_ref().and_then(|director| director.machine.as_ref());
                let may_be_heard = now + SETTLED_WITHIN < at_last + HEARD_WITHIN;
                if now < at_last && machine.is_some_and(|machine| !machine.is_settled(may_be_heard)) {
                    return self.at(now + STEP, Event::Joins(number, at_last));
                }
                if self.directors[number].is_some() {
                    self.router.add(number);
                    self.move_talks();
                }
            }
            Event::Stalls(number, ms) => {
                if let Some(director) = &mut self.directors[number] {
                    director.stalled_until = now + ms;
                    // Clocks do not stand still meanwhile.
                    director.world.now = director.world.now + Duration::from_millis(ms);
                }
            }
            Event::Leaps(number, ms) => {
                if let Some(director) = &mut self.directors[number] {
                    director.world.now = director.world.now + Duration::from_millis(ms);
                }
            }
            Event::Weights(number, weights) => {
                let plan = self.plan(&weights);
                if let Some(director) = &mut self.directors[number] {
                    director.exchange(&plan);
                }
                let heard = now.max(self.silent_until);
                for talk in self.talks.iter_mut().filter(|talk| talk.lives()) {
                    talk.safe_at = talk.safe_at.max(heard + AGREED_WITHIN);
                    talk.is_unpromised |= talk.server.is_some_and(|server| weights[server].is_none());
                    // Only the table knew of it.
                    talk.is_unpromised |= talk.has_moved && self.setup.scheduler == SchedulerKind::Mh;
                }
                self.weights[number] = weights;
            }
            Event::Splits(ms) => {
                self.split_until = now + ms;
                for talk in self.talks.iter_mut().filter(|talk| talk.safe_at > now) {
                    talk.is_unpromised |= talk.lives();
                }
            }
            Event::Silence(ms) => {
                self.silent_until = now + ms;
                for talk in self.talks.iter_mut().filter(|talk| talk.safe_at > now) {
                    talk.safe_at = talk.safe_at.max(now + ms + AGREED_WITHIN);
                }
            }
        }
    }

    /// The router has other next hops: some connections go to other directors.
    fn move_talks(&mut self) {
        for talk in self.talks.iter_mut().filter(|talk| talk.lives()) {
            let to = self.router.choose(flow(talk.client), 0);
            if talk.director.is_some() && to != talk.director {
                talk.is_unpromised |= self.now < talk.safe_at;
                talk.has_moved = true;
                talk.director = to;
            }
        }
    }

    /// Datagrams between directors.
    fn fly(&mut self, from: usize, datagrams: Vec<(SocketAddr, Vec<u8>)>) {
        for (to, datagram) in datagrams {
            let is_lost = self.now < self.silent_until || self.random.chance(self.setup.sync_loss);
            if !is_lost {
                let at = self.now + 1 + self.random.below(self.setup.sync_delay);
                self.flying.entry(at).or_default().push((director::address(from), to, datagram));
            }
        }
    }

    /// A client says what it has to say.
    fn talk(&mut self, number: usize) {
        let talk = &mut self.talks[number];
        if !talk.lives() || self.now < talk.next {
            return;
        }
        if talk.waits_since.is_some_and(|since| self.now - since > PATIENCE) {
            return self.is_broken(number, "no answer");
        }
        let (client, flags) = (talk.client, if talk.life == Life::Opening { SYN } else { ACK });
        talk.says(self.now);
        talk.director = self.router.choose(flow(client), 0);
        talk.is_unpromised |= talk.life == Life::Opening && self.now < self.split_until;
        if !self.random.chance(self.setup.loss) {
            self.send(client, flags);
        }
    }

    /// Ends a connection, as its client.
    pub(crate) fn close(&mut self, number: usize) {
        let talk = &mut self.talks[number];
        if talk.life == Life::Open {
            talk.life = Life::Closed;
            let client = talk.client;
            self.send(client, RST);
        }
    }

    fn is_broken(&mut self, number: usize, why: &'static str) {
        let now = self.now;
        let talk = &mut self.talks[number];
        talk.breaks(why);
        assert!(
            talk.is_unpromised || !self.setup.syncs,
            "at {now} ms a connection broke that was promised to survive: {talk:?}\n{:?}",
            self.setup
        );
    }

    /// A client's packet goes to a director.
    fn send(&mut self, client: SocketAddrV4, flags: u8) {
        let vip = SocketAddrV4::new([192, 0, 2, 100].into(), 80);
        let frame = tcp_with(client, vip, flags, b"").via_gateway();
        let Some(director) = self.chosen(client, 0) else { return };
        let sent = director.world.receive(WAN, &frame);
        self.deliver(sent);
    }

    /// The director that gets the packets of a client, or replies to it (`side` 1).
    fn chosen(&mut self, client: SocketAddrV4, side: u64) -> Option<&mut Director> {
        let turn = if self.now < self.split_until { side + self.now / 1_000 } else { 0 };
        let number = self.router.choose(flow(client), turn)?;
        self.running(number)
    }

    /// What directors send arrives.
    fn deliver(&mut self, sent: Vec<Sent>) {
        for Sent { port, frame, .. } in sent {
            let Some(packet) = read::ipv4_packet(&frame) else { continue };
            read::check_ipv4(packet).unwrap_or_else(|why| panic!("seed {}: {why}", self.setup.seed));
            // Servers take the outer header off.
            let packet = if self.setup.method == Method::Tun && port == LAN { &packet[20..] } else { packet };
            let end = |at: usize, port: usize| {
                let ip: [u8; 4] = packet[at..at + 4].try_into().unwrap();
                SocketAddrV4::new(ip.into(), u16::from_be_bytes([packet[port], packet[port + 1]]))
            };
            let (from, to, flags) = (end(12, 20), end(16, 22), packet[33]);
            if port == LAN {
                let (mac, _) = read::stations(&frame);
                let server =
                    (0..self.setup.servers).find(|&number| server(number).1 == mac).expect("a server");
                self.serve(server, from, to, flags);
            } else {
                self.hear(to, flags);
            }
        }
    }

    /// A server gets a packet, and answers.
    fn serve(&mut self, number: usize, client: SocketAddrV4, to: SocketAddrV4, flags: u8) {
        let seed = self.setup.seed;
        let own = match self.setup.is_translated() {
            true => SocketAddrV4::new(server(number).0, 8_080),
            false => SocketAddrV4::new([192, 0, 2, 100].into(), 80),
        };
        assert_eq!(to, own, "seed {seed}: a packet for a server that does not serve that");
        let serves = self.weights.iter().any(|weights| weights[number].is_some());
        assert!(serves, "seed {seed}: server {number} is configured nowhere");
        let known = &mut self.accepted[number];
        let answer = match flags & (SYN | ACK | RST) {
            SYN => {
                known.insert(client);
                SYN | ACK
            }
            _ if flags & RST != 0 => {
                known.remove(&client);
                return;
            }
            _ if known.contains(&client) => ACK,
            _ => RST,
        };
        self.speaks = Some(number);
        if !self.setup.is_translated() {
            return self.hear(client, answer);
        }
        let reply = tcp_with(own, client, answer, b"");
        let frame = ethernet(LAN_MAC, server(number).1, 0x0800, &reply.bytes());
        let Some(director) = self.chosen(client, 1) else { return };
        let sent = director.world.receive(LAN, &frame);
        self.deliver(sent);
    }

    /// A client hears something.
    fn hear(&mut self, client: SocketAddrV4, flags: u8) {
        let Some(&number) = self.by_client.get(&client) else { return };
        let now = self.now;
        let talk = &mut self.talks[number];
        if !talk.lives() {
            return;
        }
        if flags & RST != 0 {
            return match talk.life {
                // It tries again.
                Life::Opening => (),
                _ => self.is_broken(number, "reset"),
            };
        }
        talk.hears(now);
        if talk.life == Life::Opening && flags & SYN != 0 {
            talk.life = Life::Open;
            talk.server = self.speaks;
            talk.safe_at = now.max(self.silent_until) + TOLD_WITHIN;
            // The handshake's last segment.
            talk.next = now;
        } else if talk.is_unpromised && now >= self.split_until {
            talk.is_unpromised = false;
            talk.safe_at = talk.safe_at.max(now + TOLD_WITHIN);
        }
    }

    /// Whether a server is configured nowhere.
    pub(crate) fn is_removed(&self, server: usize) -> bool {
        self.weights.iter().all(|weights| weights[server].is_none())
    }

    /// All directors' tables are empty once all timeouts are over.
    pub(crate) fn assert_empty_at_last(&mut self) {
        self.fall_silent();
        self.pass((ESTABLISHED + 130) * 1_000);
        for (number, director) in self.directors.iter().enumerate() {
            let left = director.as_ref().map_or(0, Director::connections);
            assert_eq!(left, 0, "seed {}: director {number} still has connections", self.setup.seed);
            let machine = director.as_ref().and_then(|director| director.machine.as_ref());
            let (told, held) = machine.map_or((0, 0), |machine| (machine.own().len(), machine.held().0));
            assert_eq!(
                (told, held),
                (0, 0),
                "seed {}: director {number} still tells or holds some",
                self.setup.seed
            );
        }
    }
}

/// What the router hashes, which is the same for both directions.
fn flow(client: SocketAddrV4) -> u64 {
    u64::from(client.ip().to_bits()) << 16 | u64::from(client.port())
}
