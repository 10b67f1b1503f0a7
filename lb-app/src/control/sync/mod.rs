//! Peers: the other directors, which are told of connections whose server they could not find by themselves.
//!
//! What is said, when, and what is believed, is [`Machine`]'s, without a socket. Here is the rest: a thread of the control
//! plane with a socket of the kernel's, which asks workers for their exceptions, piece by piece and between bursts, and
//! has what peers tell in the table that workers read.

mod group;
pub(crate) mod ipvs;
mod look;
mod news;

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
use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Weak, atomic::Ordering},
    thread,
    time::{self, Duration},
};

/// Time between two rounds.
const ROUND: Duration = Duration::from_millis(5);
/// Rounds between two attempts to get the socket.
const BIND_EVERY: u32 = 200;
/// How long VIPs are not announced while peers have not told what they have.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
/// The same, while some have not been heard: they speak once a second.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
/// Rounds between two updates of what is known.
const TELL_EVERY: u32 = 40;
/// Datagrams that are taken in one round, at most.
const PER_ROUND: usize = 1_024;
/// Bytes of datagrams that the kernel keeps while a round is under way, at most.
const KERNEL_BUFFER: usize = 4 << 20;

/// The director's part among its peers, before it begins.
pub(crate) struct Peers {
    listen: SocketAddr,
    /// What datagrams are sealed with.
    seal: Seal,
    machine: Machine,
    told: Arc<Told>,
    known: Arc<Known>,
}

/// What is known of peers, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Known {
    facts: Mutex<Facts>,
}

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

impl Known {
    /// What is known now.
    pub(crate) fn facts(&self) -> Facts {
        self.facts.lock().clone()
    }
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
        let machine = Machine::new(settings, writer, now);
        Ok(Some(Peers { listen, seal, machine, told, known: Arc::default() }))
    }

    /// What peers tell, for workers.
    pub(crate) fn told(&self) -> Arc<Told> {
        self.told.clone()
    }

    /// What is known of peers.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.known.clone()
    }

    /// Begins to talk to peers.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(self, running: &Arc<Running>) -> io::Result<()> {
        let running = Arc::downgrade(running);
        thread::Builder::new().name("lb-peers".to_owned()).spawn(move || self.run(&running)).map(drop)
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

    fn run(mut self, running: &Weak<Running>) {
        let Some(mut config) = running.upgrade().map(|running| running.current().config) else { return };
        let (mut look, mut news, mut socket) = (Look::default(), News::default(), Err(String::new()));
        let mut clients = [0; 2];
        let (began, mut settled) = (time::Instant::now(), false);
        let mut spoke = None;
        let mut buffer = [0; LONGEST + 1];
        for round in 0u32.. {
            {
                // It would otherwise hold what the end waits for.
                let Some(running) = running.upgrade().filter(|it| !it.shutdown.is_requested()) else {
                    return;
                };
                let current = running.current().config;
                // Every reload makes it another one, whatever is different.
                let is_reloaded = !Arc::ptr_eq(&config, &current);
                if is_reloaded {
                    config = current;
                    let before = self.listen;
                    self.change(&running, &config.sync);
                    if self.listen != before {
                        socket = Err(String::new());
                    }
                }
                let Peers { listen, machine, told, known, .. } = &mut self;
                let listen = *listen;
                if (round.is_multiple_of(BIND_EVERY) || is_reloaded) && socket.is_err() {
                    let bound = bind(listen).map_err(|error| error.to_string());
                    tell_of_socket(&running, listen, &socket, &bound);
                    socket = bound;
                }
                let mut send = |to: SocketAddr, datagram: &[u8]| {
                    if let Ok(socket) = &socket {
                        // What does not go is repaired as what was lost on the way.
                        let _ = socket.send_to(datagram, to);
                    }
                };
                if let Ok(socket) = &socket {
                    for _ in 0..PER_ROUND {
                        match socket.recv_from(&mut buffer) {
                            Ok((len, from)) => {
                                machine.receive(running.clock.now(), plain(from), &buffer[..len], &mut send);
                                learn(&running, machine, &mut clients);
                            }
                            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                            // Of an earlier datagram: its receiver is not there.
                            Err(_) => {}
                        }
                    }
                }
                look.for_exceptions(&running, machine);
                let now = running.clock.now();
                machine.poll(now, &mut send, &mut |peer, what| News::heard(&running, peer, what));
                if socket.is_ok() {
                    spoke.get_or_insert_with(time::Instant::now);
                }
                let may_be_heard = spoke.is_none_or(|since: time::Instant| since.elapsed() < HEARD_WITHIN);
                if !settled && (machine.is_settled(may_be_heard) || began.elapsed() >= SETTLED_WITHIN) {
                    settled = true;
                    running.told.store(true, Ordering::Relaxed);
                }
                if round.is_multiple_of(TELL_EVERY) {
                    news.tick(&running, machine);
                    let facts = Facts {
                        now,
                        listen: Some(listen),
                        waits_for: socket.as_ref().err().cloned(),
                        peers: machine.peers().collect(),
                        own: [machine.own().len() as u64, machine.own().refused()],
                        own_clients: [machine.own().clients().0 as u64, machine.own().clients().1],
                        clients,
                        held: told.len() as u64,
                        capacity: told.capacity() as u64,
                        tells_all: machine.tells_all(now),
                        strangers: machine.strangers(),
                        look_ms: look.took_ms(),
                    };
                    *known.facts.lock() = facts;
                }
            }
            thread::sleep(ROUND);
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
