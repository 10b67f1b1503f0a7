//! Telling the networks which addresses are here, RFC 5227: at start, when there are others, when a link comes up or
//! forwarding goes on, and when somebody disputes one.

use super::Worker;
use crate::{
    packet::{Io, Packet, PortId, WorkerId},
    service::snapshot::Local,
    time::{Duration, Instant},
    wire::{
        arp::{Arp, Operation},
        ethernet::Mac,
    },
};
use std::net::Ipv4Addr;

/// Rounds of announcements at start, RFC 5227 2.3.
const ANNOUNCE_ROUNDS: u8 = 2;
/// Time between two rounds.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(2);
/// Announcements in one tick, at most.
const ANNOUNCE_STEP: usize = 16;

/// What is still to be announced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcements {
    rounds_left: u8,
    /// On that port alone; on all if there is none.
    only: Option<PortId>,
    /// The next address of this round.
    next: usize,
    due: Instant,
}

impl Announcements {
    /// All addresses, from that time on. Only one worker makes them.
    pub(super) fn new(worker: WorkerId, due: Instant) -> Self {
        let rounds_left = if worker.0 == 0 { ANNOUNCE_ROUNDS } else { 0 };
        Announcements { rounds_left, only: None, next: 0, due }
    }

    /// From the beginning, on that port or on all; what is not finished elsewhere is made anew as well.
    fn again(&self, worker: WorkerId, port: Option<PortId>, now: Instant) -> Self {
        let only = port.filter(|_| self.rounds_left == 0 || self.only == port);
        Announcements { only, ..Announcements::new(worker, now) }
    }

    pub(super) fn are_due(&self, now: Instant) -> bool {
        self.rounds_left > 0 && now >= self.due
    }
}

impl<P: Packet> Worker<P> {
    /// Tells everyone on a network that an address is here: an announcement of RFC 5227 2.3.
    pub(super) fn announce(&mut self, port: PortId, address: Ipv4Addr, io: &mut impl Io<Packet = P>) {
        let announcement = Arp {
            operation: Operation::Request,
            sender_mac: self.known.mac_of(port),
            sender: address,
            target_mac: Mac::default(),
            target: address,
        };
        self.originate_arp(port, Mac::BROADCAST, &announcement, io);
    }

    /// Announces the addresses on a port anew, or on all ports: its link was down, or nothing was forwarded.
    pub fn announce_again(&mut self, now: Instant, port: Option<PortId>) {
        self.chores.announcements = self.chores.announcements.again(self.known.id, port, now);
    }

    /// Makes some of the announcements that are due.
    pub(super) fn announce_some(&mut self, now: Instant, io: &mut impl Io<Packet = P>) {
        let snapshot = self.known.snapshot.clone();
        let step = snapshot.locals.iter().skip(self.chores.announcements.next).take(ANNOUNCE_STEP);
        for (address, local) in step {
            let port = match local {
                Local::Own(port) => Some(*port),
                // Nobody asks for a VIP that is on none of our networks; a router sends its packets here.
                Local::Vip { attached, .. } => *attached,
            };
            let only = self.chores.announcements.only;
            if let Some(port) = port.filter(|port| only.is_none_or(|only| only == *port)) {
                self.announce(port, *address, io);
            }
            self.chores.announcements.next += 1;
        }
        let announcements = &mut self.chores.announcements;
        if announcements.next >= snapshot.locals.len() {
            announcements.next = 0;
            announcements.rounds_left -= 1;
            announcements.due = now + ANNOUNCE_EVERY;
        }
    }
}
