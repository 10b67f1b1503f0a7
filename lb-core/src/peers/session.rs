//! What goes on with one peer: whether it is who it says, what it has told, what it has been told.

use super::{
    challenge::Challenges,
    client::Client,
    datagram::{self, Changes, Header, State},
    own::{Change, Own},
    seal::Seal,
    told::{Source, Writer},
};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// How often a peer hears of what is here at least.
const BEAT: Duration = Duration::from_secs(1);
/// The same while it is not heard: a director that starts waits three seconds for peers to answer, however many datagrams
/// the network loses, before routers may send to it.
const BEAT_UNHEARD: Duration = Duration::from_millis(250);
/// A peer that has not been heard for so long is silent.
const SILENT_AFTER: Duration = Duration::from_millis(3_500);
/// Changes that are not acknowledged for so long are sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// At least so long passes between two times that changes are sent again.
const REWIND_EVERY: Duration = Duration::from_millis(50);
/// What was taken is acknowledged after that.
const ACKNOWLEDGE_AFTER: Duration = Duration::from_millis(50);
/// At least so long passes between two tellings of everything to one peer.
const TELL_ANEW_EVERY: Duration = Duration::from_secs(5);
/// How long tables may differ before a peer is told of all connections: health checks find out at different times.
const DIFFER_FOR: Duration = Duration::from_secs(2);

/// What is counted of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams to it, and their bytes.
    pub sent: [u64; 2],
    /// Datagrams from it that were believed, and their bytes.
    pub received: [u64; 2],
    /// Changes that were sent to it, again ones included.
    pub changes_sent: u64,
    /// Changes of its that were taken.
    pub changes_received: u64,
    /// Exceptions of its that found no room.
    pub no_room: u64,
    /// Times that changes were missing.
    pub gaps: u64,
    /// Times that changes were sent to it again.
    pub resent: u64,
    /// Times that it was told everything.
    pub tellings: u64,
    /// Datagrams from its address with a wrong seal.
    pub wrong_key: u64,
    /// Datagrams of its that came twice, or belong to another run.
    pub replayed: u64,
    /// Datagrams from its address that mean nothing.
    pub malformed: u64,
    /// Datagrams from its address of another version.
    pub other_version: u64,
}

/// Numbers of datagrams that have come.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    highest: u64,
    seen: u64,
}

impl Window {
    /// Whether a datagram is new. RFC 4303 3.4.3 does the same.
    fn takes(&mut self, count: u64) -> bool {
        if count > self.highest {
            let by = count - self.highest;
            self.seen = if by < 64 { self.seen << by | 1 } else { 1 };
            self.highest = count;
            return true;
        }
        let back = self.highest - count;
        let is_new = back < 64 && self.seen >> back & 1 == 0;
        if is_new {
            self.seen |= 1 << back;
        }
        is_new
    }
}

/// One peer.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) address: SocketAddr,
    pub(super) number: u8,
    /// It is no peer any more: nothing is said to it or taken from it, and what it told is kept for as long as that of one
    /// that is silent.
    pub(super) is_removed: bool,
    pub(super) counts: Counts,
    /// Its run, once it has proved that it runs now.
    run: Option<u64>,
    heard: Option<Instant>,
    pub(super) is_up: bool,
    window: Window,
    challenges: Challenges,
    hears: Hears,
    tells: Tells,
    tables: Option<u64>,
    differs_since: Option<Instant>,
}

/// What it tells us.
#[derive(Debug)]
struct Hears {
    /// The parity of its present life in the table.
    is_odd: bool,
    /// When what is left of its last life is forgotten.
    last_life_until: Option<Instant>,
    /// Everything is told anew in the same run: what is not told again is forgotten at the end.
    is_replacing: bool,
    telling: u32,
    has: u64,
    latest: u64,
    /// It has told everything, at least once.
    is_whole: bool,
    acknowledge_at: Option<Instant>,
    asks: bool,
    asked: Option<Instant>,
}

/// What we tell it.
#[derive(Debug)]
struct Tells {
    count: u64,
    telling: u32,
    /// The last change when the telling began: what had ended by then is not told.
    began_at: u64,
    began: Option<Instant>,
    /// It has missed the end of some, which is forgotten here: only another telling ends them there.
    has_missed: bool,
    sent: u64,
    acknowledged: u64,
    moved_on: Instant,
    rewound: Option<Instant>,
    beat_at: Instant,
    /// Thousandths of datagrams that may be sent.
    allowance: u64,
    refilled: Instant,
}

/// What is the same for all peers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) run: u64,
    pub(super) seal: Seal,
    pub(super) own: Own,
    pub(super) told: Writer,
    pub(super) tables: u64,
    pub(super) rate: u32,
    pub(super) hold: Duration,
}

impl Shared {
    /// What a peer told in a run that is over is told as well, unless it has been found here.
    pub(super) fn keep(&mut self, source: Source) {
        let Shared { own, told, .. } = self;
        told.of(source).for_each(|exception| own.kept(&exception));
    }
}

impl Session {
    pub(super) fn new(number: u8, address: SocketAddr, now: Instant) -> Self {
        Session {
            address,
            number,
            is_removed: false,
            counts: Counts::default(),
            run: None,
            heard: None,
            is_up: false,
            window: Window::default(),
            challenges: Challenges::default(),
            hears: Hears {
                is_odd: false,
                last_life_until: None,
                is_replacing: false,
                telling: 0,
                has: 0,
                latest: 0,
                is_whole: false,
                acknowledge_at: None,
                asks: false,
                asked: None,
            },
            tells: Tells {
                count: 0,
                telling: 0,
                began_at: 0,
                began: None,
                has_missed: false,
                sent: 0,
                acknowledged: 0,
                moved_on: now,
                rewound: None,
                beat_at: now,
                allowance: 0,
                refilled: now,
            },
            tables: None,
            differs_since: None,
        }
    }

    /// When it was heard last.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// It has told everything that it has.
    pub(super) fn is_whole(&self) -> bool {
        self.hears.is_whole
    }

    /// How many of its changes are known of and have not come.
    pub(super) fn missing(&self) -> u64 {
        self.hears.latest.saturating_sub(self.hears.has)
    }

    /// How many of our changes it has not acknowledged.
    pub(super) fn unacknowledged(&self, latest: u64) -> u64 {
        latest.saturating_sub(self.tells.acknowledged)
    }

    /// The last of our changes that it has; all, if it is no concern.
    pub(super) fn acknowledged(&self) -> u64 {
        if self.run.is_some() { self.tells.acknowledged } else { u64::MAX }
    }

    /// Whether its tables are made of the same, if it has said.
    pub(super) fn has_same_tables(&self, tables: u64) -> Option<bool> {
        self.tables.map(|theirs| theirs == tables)
    }

    /// Whether its tables have been different for a while.
    pub(super) fn differs(&self, now: Instant) -> bool {
        self.is_up && self.differs_since.is_some_and(|since| now.since(since) >= DIFFER_FOR)
    }

    /// What is left of what it told in its last run, if that is over.
    pub(super) fn last_life(&self) -> Option<Source> {
        self.hears.last_life_until.map(|_| self.source(!self.hears.is_odd))
    }

    fn source(&self, is_odd: bool) -> Source {
        Source { peer: self.number, is_odd }
    }

    fn header(&mut self, shared: &Shared) -> Header {
        self.tells.count += 1;
        Header { from: shared.run, to: self.run.unwrap_or_default(), count: self.tells.count }
    }

    fn send(&mut self, shared: &Shared, mut datagram: Vec<u8>, out: &mut impl FnMut(SocketAddr, &[u8])) {
        shared.seal.close(&mut datagram);
        self.counts.sent[0] += 1;
        self.counts.sent[1] += datagram.len() as u64;
        out(self.address, &datagram);
    }

    /// Somebody who may be the peer wants a proof that this director runs now.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        (asker, number): (u64, u64),
        shared: &Shared,
        out: &mut impl FnMut(SocketAddr, &[u8]),
    ) {
        if !self.challenges.answers(now, number) {
            return;
        }
        let header = Header { to: asker, ..self.header(shared) };
        self.send(shared, datagram::response(header, number), out);
    }

    /// Somebody says that the peer runs anew: let it prove that.
    fn challenge(
        &mut self,
        now: Instant,
        claims: u64,
        shared: &Shared,
        out: &mut impl FnMut(SocketAddr, &[u8]),
    ) {
        let Some(number) = self.challenges.ask(now, (shared.run, claims), &shared.seal) else { return };
        let header = Header { to: claims, ..self.header(shared) };
        self.send(shared, datagram::challenge(header, number), out);
    }

    /// The peer has answered a challenge. It is believed once.
    pub(super) fn prove(&mut self, now: Instant, header: Header, number: u64, shared: &mut Shared) {
        let runs = (shared.run, header.from);
        if header.to != shared.run || !self.challenges.proves(now, runs, number, &shared.seal) {
            self.counts.replayed += 1;
            return;
        }
        self.window = Window::default();
        self.window.takes(header.count);
        if self.run.replace(header.from) != Some(header.from) {
            self.begin(now, shared);
        }
        self.heard = Some(now);
    }

    /// The peer is in another run than before. What it told in the one before stays for a while: its connections may not
    /// have come here yet. It is told of them as of the first things, for it announces its VIPs when it has heard all.
    fn begin(&mut self, now: Instant, shared: &mut Shared) {
        let last = self.hears.is_odd;
        shared.told.forget_all(self.source(!last));
        shared.keep(self.source(last));
        self.hears = Hears {
            is_odd: !last,
            last_life_until: self.heard.map(|heard| heard + shared.hold),
            is_replacing: false,
            telling: 0,
            has: 0,
            latest: 0,
            is_whole: false,
            acknowledge_at: Some(now),
            asks: false,
            asked: None,
        };
        self.tables = None;
        self.differs_since = None;
        self.tell_anew(now, &shared.own);
    }

    /// It is told everything from the beginning.
    fn tell_anew(&mut self, now: Instant, own: &Own) {
        self.counts.tellings += 1;
        let tells = &mut self.tells;
        tells.telling = tells.telling.wrapping_add(1).max(1);
        (tells.began_at, tells.began, tells.has_missed) = (own.latest(), Some(now), false);
        (tells.sent, tells.acknowledged, tells.moved_on) = (0, 0, now);
    }

    /// A datagram that is neither challenge nor response. Whether it is believed.
    pub(super) fn believes(
        &mut self,
        now: Instant,
        (header, len): (Header, usize),
        shared: &mut Shared,
        out: &mut impl FnMut(SocketAddr, &[u8]),
    ) -> bool {
        if self.run != Some(header.from) {
            self.challenge(now, header.from, shared, out);
            return false;
        }
        if header.to != shared.run || !self.window.takes(header.count) {
            // It may not have heard yet who we are.
            self.counts.replayed += u64::from(header.to == shared.run);
            return false;
        }
        self.heard = Some(now);
        self.counts.received[0] += 1;
        self.counts.received[1] += len as u64;
        true
    }

    /// What it has.
    pub(super) fn hear_state(&mut self, now: Instant, state: &State, tables: u64) {
        self.hears.latest = self.hears.latest.max(state.latest);
        self.is_complete_if_all();
        self.tables = Some(state.tables);
        self.compare(now, tables);
        let has = if state.telling == self.tells.telling { state.has } else { 0 };
        if has > self.tells.acknowledged {
            self.tells.acknowledged = has.min(self.tells.sent.max(self.tells.acknowledged));
            self.tells.moved_on = now;
        }
        let restarts = state.telling != self.tells.telling && self.tells.acknowledged > 0;
        if restarts {
            self.tells.acknowledged = 0;
        }
        if (state.asks || restarts) && has < self.tells.sent {
            self.rewind(now, has);
        }
    }

    /// Our tables, or its, are as they are now.
    pub(super) fn compare(&mut self, now: Instant, tables: u64) {
        match self.has_same_tables(tables) {
            Some(false) => drop(self.differs_since.get_or_insert(now)),
            _ => self.differs_since = None,
        }
    }

    /// Sends what follows a change again.
    fn rewind(&mut self, now: Instant, has: u64) {
        if !is_too_soon(&mut self.tells.rewound, now, REWIND_EVERY) {
            self.counts.resent += 1;
            (self.tells.sent, self.tells.moved_on) = (has, now);
        }
    }

    /// What has changed there.
    pub(super) fn hear_changes(
        &mut self,
        now: Instant,
        changes: &Changes<'_>,
        told: &mut Writer,
        learned: &mut Vec<Client>,
    ) {
        self.hears.latest = self.hears.latest.max(changes.latest);
        if changes.telling < self.hears.telling {
            return;
        }
        if changes.telling > self.hears.telling && changes.after == 0 {
            self.begin_telling(changes.telling, told);
        }
        let hears = &mut self.hears;
        hears.acknowledge_at.get_or_insert(now + ACKNOWLEDGE_AFTER);
        if changes.telling != hears.telling || changes.after > hears.has {
            self.counts.gaps += 1;
            if !is_too_soon(&mut hears.asked, now, REWIND_EVERY) {
                (hears.asks, hears.acknowledge_at) = (true, Some(now));
            }
            return;
        }
        // What is sent again begins exactly where it was asked for; anything else is older.
        if changes.after < hears.has {
            return;
        }
        let source = Source { peer: self.number, is_odd: hears.is_odd };
        for change in changes.iter() {
            self.counts.changes_received += 1;
            match change {
                Change::Told(exception) => {
                    self.counts.no_room += u64::from(told.tell(&exception, source).is_err());
                }
                // Who has it from somebody else already need not have it from us.
                Change::Kept(exception) if told.told().find(&exception.ends).is_some() => {}
                Change::Kept(exception) => {
                    self.counts.no_room += u64::from(told.tell(&exception, source).is_err());
                }
                Change::Gone(ends) => told.forget(&ends, source),
                Change::Client(client) => learned.push(client),
            }
        }
        hears.has = changes.upto;
        self.is_complete_if_all();
        if self.hears.is_whole && std::mem::take(&mut self.hears.is_replacing) {
            told.forget_all(self.source(!self.hears.is_odd));
        }
    }

    /// It tells everything, for the first time or anew.
    fn begin_telling(&mut self, telling: u32, told: &mut Writer) {
        if self.hears.telling > 0 {
            told.forget_all(self.source(!self.hears.is_odd));
            self.hears.is_odd = !self.hears.is_odd;
            (self.hears.is_replacing, self.hears.last_life_until) = (true, None);
        }
        (self.hears.telling, self.hears.has, self.hears.is_whole) = (telling, 0, false);
    }

    fn is_complete_if_all(&mut self) {
        if self.hears.has >= self.hears.latest {
            self.hears.is_whole = true;
        }
    }

    /// Forgets what a peer told that has been silent for too long, in this life or the last. Whether it is silent now.
    pub(super) fn grow_old(&mut self, now: Instant, shared: &mut Shared) -> bool {
        if self.hears.last_life_until.is_some_and(|until| now >= until) {
            self.hears.last_life_until = None;
            shared.told.forget_all(self.source(!self.hears.is_odd));
        }
        let silent_for = self.heard.map(|heard| now.since(heard));
        if silent_for.is_some_and(|silent| silent >= shared.hold) && self.hears.telling > 0 {
            for is_odd in [false, true] {
                shared.told.forget_all(self.source(is_odd));
            }
            // It begins from nothing when it is heard again.
            (self.hears.telling, self.hears.has, self.hears.is_whole) = (0, 0, false);
            self.hears.is_replacing = false;
        }
        silent_for.is_none_or(|silent| silent >= SILENT_AFTER)
    }

    /// Sends what is due.
    pub(super) fn poll(&mut self, now: Instant, shared: &Shared, out: &mut impl FnMut(SocketAddr, &[u8])) {
        let elapsed = now.since(self.tells.refilled).as_millis();
        self.tells.refilled = now;
        // A second's worth comes in a second, a twentieth of it at once at most.
        let rate = u64::from(shared.rate);
        self.tells.allowance = (self.tells.allowance + elapsed * rate).min((rate * 50).max(1_000));
        if self.run.is_some() && self.is_up {
            self.tell(now, shared, out);
        }
        if now >= self.tells.beat_at || self.hears.acknowledge_at.is_some_and(|at| now >= at) {
            self.tells.beat_at = now + if self.is_up { BEAT } else { BEAT_UNHEARD };
            self.hears.acknowledge_at = None;
            let state = State {
                telling: self.hears.telling,
                has: self.hears.has,
                asks: std::mem::take(&mut self.hears.asks),
                latest: shared.own.latest(),
                exceptions: u32::try_from(shared.own.len()).unwrap_or(u32::MAX),
                tables: shared.tables,
            };
            let header = self.header(shared);
            self.send(shared, datagram::state(header, &state), out);
        }
    }

    /// Sends changes, as many as may be.
    fn tell(&mut self, now: Instant, shared: &Shared, out: &mut impl FnMut(SocketAddr, &[u8])) {
        let own = &shared.own;
        let tells = &mut self.tells;
        // Until then it is told what follows, and acknowledges that, which does not mean that it has missed nothing.
        tells.has_missed |= own.horizon() > tells.acknowledged.max(tells.began_at);
        if tells.has_missed && tells.began.is_none_or(|began| now.since(began) >= TELL_ANEW_EVERY) {
            self.tell_anew(now, own);
        }
        let tells = &self.tells;
        if tells.acknowledged < tells.sent && now.since(tells.moved_on) >= AGAIN_AFTER {
            self.rewind(now, tells.acknowledged);
        }
        while self.tells.allowance >= 1_000 && self.tells.sent < own.latest() {
            if self.tells.sent == self.tells.acknowledged {
                self.tells.moved_on = now;
            }
            let header = self.header(shared);
            let (began_at, telling, after) = (self.tells.began_at, self.tells.telling, self.tells.sent);
            let is_told =
                |(number, change): &(u64, Change)| *number > began_at || !matches!(change, Change::Gone(_));
            let mut told = 0;
            let all = own.after(after, now).filter(is_told).inspect(|_| told += 1);
            let (datagram, upto) = datagram::changes(header, telling, (after, own.latest()), all);
            self.counts.changes_sent += told;
            self.tells.allowance -= 1_000;
            self.tells.sent = upto;
            self.send(shared, datagram, out);
        }
    }
}

/// Whether it was done too short a time ago; if not, it is done now.
fn is_too_soon(last: &mut Option<Instant>, now: Instant, every: Duration) -> bool {
    let too_soon = last.is_some_and(|last| now.since(last) < every);
    if !too_soon {
        *last = Some(now);
    }
    too_soon
}
