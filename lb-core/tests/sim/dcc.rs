//! DCC over IRC from servers behind the director, over links that lose, double and delay: a server and a host outside send
//! one another numbered lines while addresses and ports in them give way to others, and each offer is taken by another host,
//! which gets what the server sends. No line may come spoilt.

use crate::{
    ftp::{line, say},
    network::{Faults, Random},
    outward::connect,
    setup::{OFFERED, Setup},
    talk::take,
    world::World,
};
use lb_core::service::plan::{Method, ModuleKind, Spread};
use smoltcp::{iface::SocketHandle, socket::tcp::State, time::Duration};
use std::net::{IpAddr, Ipv4Addr};

/// As in `exchange_reminded`.
const REMINDED: Duration = Duration::from_secs(1);

/// What the server waits for, and who comes.
struct Offer {
    port: u16,
    listener: SocketHandle,
    taker: Option<SocketHandle>,
    has_sent: bool,
    read: Vec<u8>,
}

/// A server's connection with a host outside, and offers on it.
struct Session {
    asks: SocketHandle,
    answers: SocketHandle,
    random: Random,
    server_says: Vec<u8>,
    server_hears: Vec<u8>,
    host_says: Vec<u8>,
    host_hears: Vec<u8>,
    /// Lines of no meaning that the server has said, that came, and whose answers came.
    pings: [u32; 3],
    offer: Option<Offer>,
    offered: u32,
    done: u32,
}

/// What is sent.
fn content(number: u32) -> Vec<u8> {
    let mut content = format!("offer {number}: ").into_bytes();
    content.resize(30 + (number * 977 % 4_000) as usize, number as u8);
    content
}

/// An address as DCC has it.
fn written(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_bits().to_string(),
        IpAddr::V6(address) => address.to_string(),
    }
}

fn read(text: &str) -> IpAddr {
    text.parse().map_or_else(|_| text.parse().unwrap(), |number| Ipv4Addr::from_bits(number).into())
}

impl Session {
    fn open(world: &mut World) -> Self {
        world.clients[0].offer(OFFERED);
        let port = world.a_port();
        let (asks, answers) = connect(world, 0, port);
        for socket in [world.servers[0].tcp(asks), world.clients[0].tcp(answers)] {
            socket.set_keep_alive(Some(REMINDED));
        }
        Session {
            asks,
            answers,
            random: Random::new(world.setup.seed),
            server_says: Vec::new(),
            server_hears: Vec::new(),
            host_says: Vec::new(),
            host_hears: Vec::new(),
            pings: [0; 3],
            offer: None,
            offered: 0,
            done: 0,
        }
    }

    fn ping(&mut self) {
        for _ in 0..self.random.below(3) {
            self.pings[0] += 1;
            self.server_says.extend(format!("PING {}\r\n", self.pings[0]).into_bytes());
        }
    }

    /// All ends do what they can at this moment.
    fn turn(&mut self, world: &mut World, offers: u32) {
        if self.offer.is_none() && self.offered < offers {
            self.offered += 1;
            let port = world.a_port();
            let listener = world.servers[0].listen(port);
            self.ping();
            let own = written(world.setup.server_address(0));
            let text = format!("PRIVMSG friend :\x01DCC CHAT chat {own} {port}\x01\r\n");
            self.server_says.extend(text.into_bytes());
            self.ping();
            self.offer = Some(Offer { port, listener, taker: None, has_sent: false, read: Vec::new() });
        }
        let socket = world.servers[0].tcp(self.asks);
        self.server_hears.extend(take(socket));
        say(socket, &mut self.server_says, &mut self.random);
        let socket = world.clients[0].tcp(self.answers);
        self.host_hears.extend(take(socket));
        say(socket, &mut self.host_says, &mut self.random);
        while let Some(line) = line(&mut self.host_hears) {
            self.host_hears_line(world, &line);
        }
        while let Some(line) = line(&mut self.server_hears) {
            self.server_hears_line(&line);
        }
        self.transfer(world);
    }

    fn host_hears_line(&mut self, world: &mut World, line: &str) {
        if let Some(number) = line.strip_prefix("PING ") {
            self.pings[1] += 1;
            assert_eq!(number, self.pings[1].to_string());
            self.host_says.extend(format!("PONG {number}\r\n").into_bytes());
            return;
        }
        let words = line.strip_prefix("PRIVMSG friend :\x01DCC CHAT chat ").expect(line);
        let (address, port) = words.strip_suffix('\x01').expect(line).split_once(' ').expect(line);
        assert_eq!(read(address), world.setup.outbound(), "{line}");
        self.host_says.extend(format!(":f PRIVMSG me :\x01DCC RESUME chat {port} 1\x01\r\n").into_bytes());
        // Somebody else takes it.
        let (to, from) = ((read(address), port.parse().expect(line)), world.a_port());
        let taker = world.clients[1].connect(to, from);
        world.clients[1].tcp(taker).set_keep_alive(Some(REMINDED));
        self.offer.as_mut().expect("an offer").taker = Some(taker);
    }

    fn server_hears_line(&mut self, line: &str) {
        if let Some(number) = line.strip_prefix("PONG ") {
            self.pings[2] += 1;
            assert_eq!(number, self.pings[2].to_string());
        } else if let Some(offer) = &self.offer {
            // Unless that one is over.
            let own = format!(":f PRIVMSG me :\x01DCC RESUME chat {} 1\x01", offer.port);
            assert!(line == own || line.starts_with(":f PRIVMSG me :\x01DCC RESUME chat "), "{line}");
        }
    }

    /// Who took the offer sends, and the server reads.
    fn transfer(&mut self, world: &mut World) {
        let Some(offer) = &mut self.offer else { return };
        let content = content(self.offered);
        if let Some(taker) = offer.taker {
            let socket = world.clients[1].tcp(taker);
            assert!(offer.has_sent || socket.state() != State::Closed, "nobody waits at {}", offer.port);
            if socket.can_send() && !offer.has_sent {
                assert_eq!(socket.send_slice(&content), Ok(content.len()));
                socket.close();
                offer.has_sent = true;
            }
        }
        let socket = world.servers[0].tcp(offer.listener);
        offer.read.extend(take(socket));
        if socket.state() == State::CloseWait && socket.recv_queue() == 0 {
            assert_eq!(offer.read, content);
            socket.close();
            (self.offer, self.done) = (None, self.done + 1);
        }
    }
}

/// Both families, with one worker and with three and every spread that says where packets arrive.
fn setups() -> impl Iterator<Item = Setup> {
    let spreads = [(1, Spread::Unknown), (3, Spread::Unknown), (3, Spread::ByClient)];
    let of = |(workers, spread)| {
        [false, true].map(|is_ipv6| {
            let setup = Setup::new(Method::Nat, workers, spread).families(is_ipv6, is_ipv6);
            Setup { outward: true, module: ModuleKind::Irc, ..setup }
        })
    };
    spreads.into_iter().flat_map(of)
}

fn session(setup: Setup, offers: u32) {
    let mut world = World::new(&setup);
    let mut session = Session::open(&mut world);
    world.run_until("all offers", |world| {
        session.turn(world, offers);
        session.done == offers && session.pings[0] == session.pings[2]
    });
    assert_eq!(world.director.sum(|counters| &counters.expected_came), u64::from(offers));
    assert_eq!(world.director.sum(|counters| &counters.expected_lost), 0);
    assert!(world.director.sum(|counters| &counters.rewritten) >= u64::from(offers));
    world.servers[0].tcp(session.asks).close();
    world.clients[0].tcp(session.answers).close();
    world.run_until("over", |world| world.director.entries().all(|(_, entry)| entry.state.is_over()));
    world.finish();
}

#[test]
fn offers_are_taken_over_good_links() {
    for (seed, setup) in (1..).zip(setups()) {
        session(Setup { seed, ..setup }, 6);
    }
}

#[test]
fn offers_are_taken_over_bad_links() {
    for (number, setup) in (0..).zip(setups()) {
        for seed in 0..6 {
            let faults = Faults::by_turns(seed);
            session(Setup { seed: 1_000 * number + seed, faults, ..setup }, 4);
        }
    }
}
