//! All that peers tell one another, without a socket: datagrams and time come in, datagrams go out.

use super::{
    client::Client,
    datagram::{self, Body, LONGEST},
    exception::Exception,
    own::Own,
    seal::Seal,
    session::{Counts, Session, Shared},
    told::{Source, Writer},
};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// What it is to be.
#[derive(Debug)]
pub struct Settings {
    /// A number of this run that no other run has: drawn at random.
    pub run: u64,
    /// What datagrams are sealed with.
    pub seal: Seal,
    /// The other directors. Datagrams come from those addresses and ports.
    pub peers: Vec<SocketAddr>,
    /// Own exceptions that are told, at most.
    pub capacity: usize,
    /// Datagrams with changes to each peer in a second, at most.
    pub rate: u32,
    /// How long what a peer told is kept when it is silent.
    pub hold: Duration,
}

/// What of it can change while it runs.
#[derive(Debug)]
pub struct Change<'a> {
    /// What datagrams are sealed with.
    pub seal: Seal,
    /// The other directors.
    pub peers: &'a [SocketAddr],
    /// Datagrams with changes to each peer in a second, at most.
    pub rate: u32,
    /// How long what a peer told is kept when it is silent.
    pub hold: Duration,
}

/// Something that an operator wants to know of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It is heard.
    Up,
    /// It is silent.
    Silent,
}

/// What is known of a peer.
#[derive(Clone, Copy, Debug)]
pub struct PeerFacts {
    /// Where it is.
    pub address: SocketAddr,
    /// It is heard.
    pub is_up: bool,
    /// When it was heard last.
    pub heard: Option<Instant>,
    /// It has told everything that it has.
    pub is_whole: bool,
    /// Its exceptions that are held.
    pub held: usize,
    /// Its changes that have not come yet.
    pub missing: u64,
    /// Our changes that it has not acknowledged yet.
    pub unacknowledged: u64,
    /// Its lookup tables are made of the same, if it has said.
    pub same_tables: Option<bool>,
    /// What is counted.
    pub counts: Counts,
}

/// The director's part.
#[derive(Debug)]
pub struct Machine {
    shared: Shared,
    sessions: Vec<Session>,
    strangers: u64,
    learned: Vec<Client>,
}

impl Machine {
    /// What peers told goes to `told`.
    #[must_use]
    pub fn new(settings: Settings, told: Writer, now: Instant) -> Self {
        let Settings { run, seal, peers, capacity, rate, hold } = settings;
        let own = Own::new(capacity);
        let numbered = (0..=u8::MAX).zip(peers);
        let sessions = numbered.map(|(number, peer)| Session::new(number, peer, now)).collect();
        let shared = Shared { run: run.max(1), seal, own, told, tables: 0, rate, hold };
        Machine { shared, sessions, strangers: 0, learned: Vec::new() }
    }

    /// It is to be something else. What goes on with a peer that stays goes on. One that is none any more is told nothing, and
    /// what it told stays for as long as that of one that is silent: its connections may be on their way here.
    pub fn change(&mut self, now: Instant, to: Change<'_>) {
        let Change { seal, peers, rate, hold } = to;
        let Machine { shared, sessions, .. } = self;
        (shared.seal, shared.rate, shared.hold) = (seal, rate, hold);
        for session in sessions.iter_mut() {
            session.is_removed = !peers.contains(&session.address);
        }
        for &peer in peers {
            if sessions.iter().any(|session| session.address == peer) {
                continue;
            }
            let is_free = |number: &u8| sessions.iter().all(|session| session.number != *number);
            // Where everybody has a number, one that was removed makes room.
            let number = (0..=u8::MAX).find(is_free).or_else(|| {
                let at = sessions.iter().position(|session| session.is_removed)?;
                let number = sessions.remove(at).number;
                for is_odd in [false, true] {
                    shared.told.forget_all(Source { peer: number, is_odd });
                }
                Some(number)
            });
            let Some(number) = number else { return };
            shared.told.name(number, Some(peer));
            sessions.push(Session::new(number, peer, now));
        }
    }

    /// This director's exceptions.
    #[must_use]
    pub fn own(&self) -> &Own {
        &self.shared.own
    }

    /// How many exceptions of peers are held, and how many can be.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.shared.told.told().len(), self.shared.told.told().capacity())
    }

    /// Datagrams from addresses that are no peer's.
    #[must_use]
    pub fn strangers(&self) -> u64 {
        self.strangers
    }

    /// What is known of each peer.
    pub fn peers(&self) -> impl Iterator<Item = PeerFacts> {
        let Shared { own, told, tables, .. } = &self.shared;
        self.configured().map(move |session| PeerFacts {
            address: session.address,
            is_up: session.is_up,
            heard: session.heard(),
            is_whole: session.is_whole(),
            held: told.count_of(session.number),
            missing: session.missing(),
            unacknowledged: session.unacknowledged(own.latest()),
            same_tables: session.has_same_tables(*tables),
            counts: session.counts,
        })
    }

    /// Whether every peer that is heard has told everything that it has, and at least one is heard. `all` says that those
    /// who are not heard may be about to be: one that is heard first does not know what another would tell.
    #[must_use]
    pub fn is_settled(&self, all: bool) -> bool {
        let is_everybody_heard = || self.configured().all(|session| session.is_up);
        let mut heard = self.configured().filter(|session| session.is_up).peekable();
        heard.peek().is_some() && heard.all(Session::is_whole) && (!all || is_everybody_heard())
    }

    /// Whether peers are told of all connections that are old enough: a peer's tables are different from ours, so we do
    /// not know which server it would choose.
    #[must_use]
    pub fn tells_all(&self, now: Instant) -> bool {
        self.configured().any(|session| session.differs(now))
    }

    fn configured(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter(|session| !session.is_removed)
    }

    /// Our lookup tables are made of that now.
    pub fn set_tables(&mut self, now: Instant, tables: u64) {
        if self.shared.tables != tables {
            self.shared.tables = tables;
            self.sessions.iter_mut().for_each(|session| session.compare(now, tables));
        }
    }

    /// A look at all connections begins.
    pub fn begin_look(&mut self) {
        self.shared.own.begin_look();
    }

    /// A connection is an exception. Whether more is known of it than can be forged.
    pub fn found(&mut self, exception: &Exception, is_proven: bool) {
        self.shared.own.found(exception, is_proven);
    }

    /// A client of a persistent service is remembered.
    pub fn found_client(&mut self, now: Instant, client: &Client) {
        self.shared.own.found_client(now, client);
    }

    /// The clients of persistent services that the last datagram told of.
    #[must_use]
    pub fn learned(&self) -> &[Client] {
        &self.learned
    }

    /// A look at all connections is over. What peers have told in runs that are over is told as well, so that one that
    /// returns gets back what has not moved meanwhile.
    pub fn end_look(&mut self) {
        self.sessions.iter().filter_map(Session::last_life).for_each(|source| self.shared.keep(source));
        self.shared.own.end_look();
    }

    /// A datagram has come.
    pub fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        sealed: &[u8],
        out: &mut impl FnMut(SocketAddr, &[u8]),
    ) {
        let Machine { shared, sessions, learned, .. } = self;
        learned.clear();
        let Some(session) =
            sessions.iter_mut().find(|session| session.address == from && !session.is_removed)
        else {
            self.strangers += 1;
            return;
        };
        if datagram::other_version(sealed).is_some() {
            session.counts.other_version += 1;
            return;
        }
        if sealed.len() > LONGEST {
            session.counts.malformed += 1;
            return;
        }
        let Some(opened) = shared.seal.open(sealed) else {
            session.counts.wrong_key += 1;
            return;
        };
        // The seal of another version's format may be anywhere, so that was asked before.
        let Ok((header, body)) = datagram::read(opened) else {
            session.counts.malformed += 1;
            return;
        };
        if header.from == shared.run {
            session.counts.replayed += 1;
            return;
        }
        match body {
            Body::Challenge(number) if header.to == shared.run => {
                session.respond(now, (header.from, number), shared, out);
            }
            Body::Challenge(_) => session.counts.replayed += 1,
            Body::Response(number) => session.prove(now, header, number, shared),
            Body::State(state) => {
                if session.believes(now, (header, sealed.len()), shared, out) {
                    session.hear_state(now, &state, shared.tables);
                }
            }
            Body::Changes(changes) => {
                if session.believes(now, (header, sealed.len()), shared, out) {
                    session.hear_changes(now, &changes, &mut shared.told, learned);
                }
            }
        }
    }

    /// Sends what is due, and tells what has happened. To be called every few milliseconds.
    pub fn poll(
        &mut self,
        now: Instant,
        out: &mut impl FnMut(SocketAddr, &[u8]),
        happened: &mut impl FnMut(SocketAddr, Happening),
    ) {
        let Machine { shared, sessions, .. } = self;
        for session in sessions.iter_mut() {
            let is_up = !session.grow_old(now, shared);
            if session.is_removed {
                session.is_up = false;
                continue;
            }
            if std::mem::replace(&mut session.is_up, is_up) != is_up {
                happened(session.address, if is_up { Happening::Up } else { Happening::Silent });
            }
            session.poll(now, shared, out);
        }
        sessions.retain(|session| {
            let stays = !session.is_removed || shared.told.count_of(session.number) > 0;
            if !stays {
                shared.told.name(session.number, None);
            }
            stays
        });
        let configured = sessions.iter().filter(|session| !session.is_removed);
        let all_have = configured.map(Session::acknowledged).min().unwrap_or(u64::MAX);
        shared.own.all_have(all_have);
    }
}
