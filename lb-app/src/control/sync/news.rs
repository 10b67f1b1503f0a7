//! What operators hear of peers.

use super::rounds::Room;
use crate::{control::live::running::Running, journal::Happened};
use lb_core::peers::machine::{Happening, Machine};
use lb_ctl::protocol::events::Kind;
use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Time between two events about one peer that is not believed.
const REFUSED_EVERY: Duration = Duration::from_secs(60);

/// What was told.
#[derive(Debug, Default)]
pub(super) struct News {
    /// By peer: with another key, of another version, and when that was told.
    refused: HashMap<SocketAddr, ([u64; 2], Option<Instant>)>,
    differs: bool,
    room: Room,
    no_room: u64,
}

impl News {
    /// A peer is heard or not.
    pub(super) fn heard(running: &Running, peer: SocketAddr, what: Happening) {
        let (kind, text) = match what {
            Happening::Up => (Kind::PeerHeard, format!("peer {peer} is heard")),
            Happening::Silent => (Kind::PeerSilent, format!("peer {peer} has not been heard for 3.5 s")),
        };
        running.journal.tell(Happened::new(kind, text));
    }

    /// Looks what is different.
    pub(super) fn tick(&mut self, running: &Running, machine: &Machine) {
        let tell =
            |kind, text: String, why: &str| running.journal.tell(Happened::new(kind, text).because(why));
        let mut no_room = 0;
        for peer in machine.peers() {
            no_room += peer.counts.no_room;
            let counts = [peer.counts.wrong_key, peer.counts.other_version];
            let (told, at) = self.refused.entry(peer.address).or_default();
            let is_time = at.is_none_or(|at| at.elapsed() >= REFUSED_EVERY);
            if counts != *told && is_time {
                let why = match counts[0] > told[0] {
                    true => "it has another key; all directors must have the same key_file",
                    false => "it is of another version of lb-app; upgrade the older one",
                };
                tell(Kind::PeerRefused, format!("what {} sends is not believed", peer.address), why);
                (*told, *at) = (counts, Some(Instant::now()));
            }
        }
        let differs = machine.tells_all(running.clock.now());
        if differs != self.differs {
            self.differs = differs;
            let (kind, text) = match differs {
                true => (Kind::PeersDiffer, "peers are told of all connections that are older than 3 s"),
                false => (Kind::PeersAgree, "peers are told of exceptions only"),
            };
            let why = match differs {
                true => "a peer has other servers, weights or states of them for a service that hashes",
                false => "the lookup tables of all peers that are heard are the same",
            };
            tell(kind, text.to_owned(), why);
        }
        let is_refused = machine.own().refused() > 0 || no_room > self.no_room;
        self.no_room = no_room;
        if let Some(is_full) = self.room.note(is_refused, Instant::now()) {
            let (kind, text) = match is_full {
                true => (Kind::SyncFull, "not all connections are told: there is no room"),
                false => (Kind::SyncRoom, "there is room for connections that are told"),
            };
            let capacity = machine.held().1;
            tell(kind, text.to_owned(), &format!("[sync] entries = {capacity}"));
        }
    }
}
