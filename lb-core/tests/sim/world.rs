//! The simulated world: everything in it, and the passing of time.

use crate::{
    director::Director,
    frames::Ends,
    host::Host,
    network::{Network, Station},
    setup::{Setup, TCP_PORT},
    talk::Talk,
};
use lb_core::{conn::state::State, service::load::Load};
use std::{collections::HashMap, net::IpAddr};

/// Milliseconds between two rounds of the director's loop when nothing else happens.
const IDLE_MS: u64 = 100;
/// Nothing that a story waits for takes longer.
pub(crate) const LONGEST_MS: u64 = 30 * 60_000;

/// A world. Time stands still but for [`World::step`] and what is made of it.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) now: u64,
    pub(crate) clients: Vec<Host>,
    pub(crate) servers: Vec<Host>,
    pub(crate) director: Director,
    pub(crate) network: Network,
    pub(crate) watched: Option<Watched>,
    /// What servers see of clients' endpoints, where that is something else.
    seen_as: HashMap<(IpAddr, u16), (IpAddr, u16)>,
    director_runs: u64,
    next_port: u16,
}

/// A connection whose states are written down.
pub(crate) struct Watched {
    talk: Talk,
    states: Vec<State>,
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut world = World {
            now: 0,
            clients: (0..setup.clients).map(|client| Host::client(setup, client)).collect(),
            servers: (0..setup.servers).map(|server| Host::server(setup, server)).collect(),
            director: Director::new(setup, 0),
            network: Network::new(setup),
            setup: *setup,
            watched: None,
            seen_as: HashMap::new(),
            director_runs: 0,
            next_port: 40_000,
        };
        // Long enough for the director to announce itself and to find the servers.
        world.run_for(10);
        world
    }

    /// A client opens a connection to the service, from a port of its own.
    pub(crate) fn connect(&mut self, client: usize) -> Talk {
        let port = self.a_port();
        self.connect_from(client, port)
    }

    /// A port that nobody has.
    pub(crate) fn a_port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    /// A client opens a connection to the service from a certain port.
    pub(crate) fn connect_from(&mut self, client: usize, port: u16) -> Talk {
        let destination = (self.setup.vip(), TCP_PORT);
        let handle = self.clients[client].connect(destination, port);
        let source = (self.setup.client_address(client), port);
        Talk { client, handle, port, ends: Ends { source, destination } }
    }

    /// The same, and writes down the states that the director sees it in.
    pub(crate) fn connect_watched(&mut self, client: usize) -> Talk {
        let talk = self.connect(client);
        self.watch(talk);
        talk
    }

    pub(crate) fn watch(&mut self, talk: Talk) {
        self.watched = Some(Watched { talk, states: Vec::new() });
    }

    /// The states the watched connection went through.
    pub(crate) fn states(&self) -> &[State] {
        self.watched.as_ref().map_or(&[], |watched| &watched.states)
    }

    /// On to the next moment at which something happens, but not past `limit`.
    pub(crate) fn step(&mut self, limit: u64) {
        let hosts = self.clients.iter().chain(&self.servers).filter_map(Host::wakes);
        let others = [self.director_runs, limit].into_iter().chain(self.network.next_arrival());
        // What wants to happen at once happens in the next millisecond, or nothing would ever take time.
        self.now = hosts.chain(others).min().unwrap_or(limit).max(self.now + 1);
        self.deliver();
        self.run_hosts();
        for (port, frame) in self.director.run(self.now) {
            self.network.send(self.now, Station::Director(port), &frame);
        }
        self.director_runs = self.now + IDLE_MS;
        self.look();
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.step(end);
        }
    }

    /// Lets time pass until something is so.
    pub(crate) fn run_until(&mut self, what: &str, mut is_so: impl FnMut(&mut World) -> bool) {
        let end = self.now + LONGEST_MS;
        while !is_so(self) {
            assert!(self.now < end, "not in half an hour: {what}");
            self.step(end);
        }
    }

    /// Lets time pass until all stations have been silent for a little while: everything sent has been dealt with.
    pub(crate) fn settle(&mut self) {
        let mut silent_since = self.now;
        self.run_until("silence", |world| {
            if world.network.in_flight() > 0 {
                silent_since = world.now;
            }
            world.now >= silent_since + 2 * IDLE_MS
        });
    }

    /// Lets time pass until the director has forgotten a connection, and returns how long that took.
    pub(crate) fn time_to_forget(&mut self, talk: &Talk) -> u64 {
        let from = self.now;
        self.run_until("forgotten", |world| world.director.holders(&talk.ends).is_empty());
        self.now - from
    }

    /// The director is replaced by a new one that knows nothing. The old one's books must balance.
    pub(crate) fn restart_director(&mut self) {
        self.director.shut_down();
        self.director = Director::new(&self.setup, self.now);
        self.run_for(10);
    }

    /// The same by one that goes on with the connections of the old one, as a state file has them.
    pub(crate) fn renew_director(&mut self) {
        let left = self.director.saved(self.now);
        self.director.shut_down();
        self.director = Director::after(&self.setup, &left, self.now);
        self.run_for(10);
    }

    /// The end of the story: the director forgets everything in time, and what it counted adds up to nothing left.
    pub(crate) fn finish(mut self) {
        self.run_until("all forgotten", |world| world.director.connections() == 0);
        // Long enough for the clients' Ethernet addresses to be forgotten, too: nobody uses them.
        self.clients.iter_mut().for_each(|client| client.is_up = false);
        self.run_for(40_000);
        for seat in self.director.seats() {
            let users = seat.worker.neighbours().iter().map(|(_, neighbour)| neighbour.users);
            // Each server is in the configuration twice, for TCP and for UDP.
            assert_eq!(users.collect::<Vec<_>>(), vec![2; self.setup.servers]);
        }
        assert!(
            self.director.loads().iter().all(|load| *load == Load::default()),
            "{:?}",
            self.director.loads()
        );
        self.director.shut_down();
    }

    fn deliver(&mut self) {
        while let Some((station, frame)) = self.network.arrival(self.now) {
            match station {
                Station::Client(client) => self.clients[client].receive(frame),
                Station::Server(server) => self.servers[server].receive(frame),
                Station::Director(port) => self.director.receive(port, &frame),
                Station::Router(port) => self.network.route(self.now, port, frame),
            }
        }
    }

    fn run_hosts(&mut self) {
        let clients = self.clients.iter_mut().enumerate().map(|(at, host)| (Station::Client(at), host));
        let servers = self.servers.iter_mut().enumerate().map(|(at, host)| (Station::Server(at), host));
        for (station, host) in clients.chain(servers) {
            if host.wakes().is_some_and(|at| at <= self.now) {
                for frame in host.run(self.now) {
                    self.network.send(self.now, station, &frame);
                }
            }
        }
    }

    /// The endpoint that servers see in the place of a client's; that of the last connection from there.
    pub(crate) fn seen_as(&self, client: (IpAddr, u16)) -> (IpAddr, u16) {
        self.seen_as.get(&client).copied().unwrap_or(client)
    }

    /// Writes down the state of the watched connection, which no two workers may have.
    fn look(&mut self) {
        if self.setup.method.hides_clients() {
            for (_, entry) in self.director.entries() {
                self.seen_as.insert(entry.client, entry.local.expect("a local address and port"));
            }
        }
        let Some(watched) = &mut self.watched else { return };
        let holders = self.director.holders(&watched.talk.ends);
        for (_, entry) in &holders {
            if watched.states.last() != Some(&entry.state) {
                watched.states.push(entry.state);
            }
        }
        assert!(holders.len() <= 1, "{} workers have one connection", holders.len());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("at {} ms in the world of {:?}", self.now, self.setup);
            eprintln!("states of the watched connection: {:?}", self.states());
        }
    }
}
