//! Peers: the other directors, which are told of connections whose server they could not find by themselves.
//!
//! What is said, when, and what is believed, is [`Machine`]'s, without a socket. Here is the rest: a thread of the control
//! plane with a socket of the kernel's, which asks workers for their exceptions, piece by piece and between bursts, and
//! has what peers tell in the table that workers read.

mod group;
pub(crate) mod ipvs;
mod look;
mod news;
mod rounds;

use crate::{config::Sync, control::live::running::Running, journal::Happened};
use lb_core::{
    flow::key::Secret,
    peers::{
        datagram::LONGEST,
        machine::{Change, Machine, PeerFacts, Settings},
        seal::Seal,
        told::Told,
    },
    time::Instant,
    worker::clients,
};
use lb_ctl::protocol::events::Kind;
use look::Look;
use news::News;
use rounds::{KERNEL_BUFFER, KNOWN_EVERY, PER_ROUND, Round, SOCKET_EVERY};
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    sync::{Arc, atomic::Ordering},
    time::{self, Duration},
};

/// How long VIPs are not announced while peers have not told what they have.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
/// The same, while some have not been heard: they speak once a second.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// The director's part among its peers.
pub(crate) struct Peers {
    listen: SocketAddr,
    /// What datagrams are sealed with.
    seal: Seal,
    machine: Machine,
    /// What peers tell, for workers.
    pub(crate) told: Arc<Told>,
    /// What is known of peers.
    pub(crate) known: Arc<Known>,
    /// Or why there is none.
    socket: Result<UdpSocket, String>,
    look: Look,
    news: News,
    /// Clients that peers told of and that stay with their servers here, and those that do not.
    clients: [u64; 2],
    began: time::Instant,
    /// Since when there has been a socket.
    spoke: Option<time::Instant>,
    settled: bool,
}

/// What is known of peers, for whoever asks.
pub(crate) type Known = rounds::Known<Facts>;

/// What is known at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// When that was.
    pub(crate) now: Instant,
    /// The director's own address among them.
    pub(crate) listen: Option<SocketAddr>,
    /// Why it has no socket there yet.
    pub(crate) waits_for: Option<String>,
    pub(crate) peers: Vec<PeerFacts>,
    /// Own exceptions, and those that found no room.
    pub(crate) own: [u64; 2],
    /// Clients of persistent services that peers are told of, and those that found no room.
    pub(crate) own_clients: [u64; 2],
    /// Clients that peers told of and that stay with their servers here, and those that do not.
    pub(crate) clients: [u64; 2],
    /// Exceptions of all peers that are held.
    pub(crate) held: u64,
    /// How many of each there can be.
    pub(crate) capacity: u64,
    /// Peers are told of all connections, as a peer's tables differ.
    pub(crate) tells_all: bool,
    /// Datagrams from addresses that are no peer's.
    pub(crate) strangers: u64,
    /// Milliseconds that the last look at all connections took.
    pub(crate) look_ms: u64,
}

impl Peers {
    /// As configured; nothing without peers.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub(crate) fn new(sync: &Sync, secret: Secret, now: Instant) -> Result<Option<Self>, String> {
        let Some(listen) = sync.listen.filter(|_| sync.is_on()) else { return Ok(None) };
        let capacity = sync.entries as usize;
        let (told, writer) = Told::new(capacity, secret, sync.peers.clone());
        let seal = sync.seal()?;
        let settings = Settings {
            run: rand::random(),
            seal: seal.clone(),
            peers: sync.peers.clone(),
            capacity,
            rate: sync.rate,
            hold: sync.hold,
        };
        Ok(Some(Peers {
            listen,
            seal,
            machine: Machine::new(settings, writer, now),
            told,
            known: Arc::default(),
            socket: Err(String::new()),
            look: Look::default(),
            news: News::default(),
            clients: [0; 2],
            began: time::Instant::now(),
            spoke: None,
            settled: false,
        }))
    }

    /// Begins to talk to peers.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(mut self, running: &Arc<Running>) -> io::Result<()> {
        self.began = time::Instant::now();
        rounds::start("lb-peers", running, move |running, round| self.round(running, round))
    }

    fn round(&mut self, running: &Running, round: &Round) {
        if let Some(config) = &round.reloaded {
            let before = self.listen;
            self.change(running, &config.sync);
            if self.listen != before {
                self.socket = Err(String::new());
            }
        }
        if (round.is_every(SOCKET_EVERY) || round.reloaded.is_some()) && self.socket.is_err() {
            let bound = bind(self.listen).map_err(|error| error.to_string());
            tell_of_socket(running, self.listen, &self.socket, &bound);
            self.socket = bound;
        }
        self.talk(running);
        self.settle(running);
        if round.is_every(KNOWN_EVERY) {
            self.news.tick(running, &self.machine);
            self.known.set(self.facts(running.clock.now()));
        }
    }

    /// The file says something else, or its key may have changed.
    fn change(&mut self, running: &Running, sync: &Sync) {
        match sync.seal() {
            Ok(seal) => self.seal = seal,
            // It was right when the file was read, a moment ago.
            Err(why) => {
                let text = "sync: the key that was used before stays in use".to_owned();
                running.journal.tell(Happened::new(Kind::SyncUnavailable, text).because(why));
            }
        }
        self.listen = sync.listen.unwrap_or(self.listen);
        let change = Change { seal: self.seal.clone(), peers: &sync.peers, rate: sync.rate, hold: sync.hold };
        self.machine.change(running.clock.now(), change);
    }

    /// Takes what peers tell, and tells them.
    fn talk(&mut self, running: &Running) {
        let Peers { socket, machine, look, clients, .. } = self;
        let mut send = |to: SocketAddr, datagram: &[u8]| {
            if let Ok(socket) = &socket {
                // What does not go is repaired as what was lost on the way.
                let _ = socket.send_to(datagram, to);
            }
        };
        if let Ok(socket) = &socket {
            let mut buffer = [0; LONGEST + 1];
            for _ in 0..PER_ROUND {
                match socket.recv_from(&mut buffer) {
                    Ok((len, from)) => {
                        machine.receive(running.clock.now(), plain(from), &buffer[..len], &mut send);
                        learn(running, machine, clients);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Of an earlier datagram: its receiver is not there.
                    Err(_) => {}
                }
            }
        }
        look.for_exceptions(running, machine);
        machine.poll(running.clock.now(), &mut send, &mut |peer, what| News::heard(running, peer, what));
    }

    /// VIPs may be announced once peers have told what they have, or have been waited for.
    fn settle(&mut self, running: &Running) {
        if self.socket.is_ok() {
            self.spoke.get_or_insert_with(time::Instant::now);
        }
        let may_be_heard = self.spoke.is_none_or(|since| since.elapsed() < HEARD_WITHIN);
        if !self.settled && (self.machine.is_settled(may_be_heard) || self.began.elapsed() >= SETTLED_WITHIN)
        {
            self.settled = true;
            running.told.store(true, Ordering::Relaxed);
        }
    }

    fn facts(&self, now: Instant) -> Facts {
        let Peers { machine, told, .. } = self;
        let (own_clients, no_room) = machine.own().clients();
        Facts {
            now,
            listen: Some(self.listen),
            waits_for: self.socket.as_ref().err().cloned(),
            peers: machine.peers().collect(),
            own: [machine.own().len() as u64, machine.own().refused()],
            own_clients: [own_clients as u64, no_room],
            clients: self.clients,
            held: told.len() as u64,
            capacity: told.capacity() as u64,
            tells_all: machine.tells_all(now),
            strangers: machine.strangers(),
            look_ms: self.look.took_ms(),
        }
    }
}

/// A socket of the kernel's. The address may come later: that of a host side does.
fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM.cloexec(), None)?;
    socket.set_nonblocking(true)?;
    // A smaller one will do, but loses more.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

/// Clients of persistent services that a peer has told of stay with their servers here, too. Counts those that do, and
/// others.
fn learn(running: &Running, machine: &Machine, counts: &mut [u64; 2]) {
    if machine.learned().is_empty() {
        return;
    }
    let (snapshot, now) = (running.current().snapshot, running.clock.now());
    for told in machine.learned() {
        counts[usize::from(!clients::learn(&running.persistence, &snapshot, now, told))] += 1;
    }
}

fn tell_of_socket(
    running: &Running,
    listen: SocketAddr,
    before: &Result<UdpSocket, String>,
    now: &Result<UdpSocket, String>,
) {
    if let Err(error) = now
        && before.as_ref().err() != Some(error)
    {
        let text = format!("sync: cannot listen on {listen}; it is tried again every second");
        running.journal.tell(Happened::new(Kind::SyncUnavailable, text).because(error.as_str()));
    }
}

/// An address as configurations have it.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
