//! Telling the networks which addresses are here, RFC 5227, RFC 4861 7.2.6: at start, when there are others, when a link
//! comes up or forwarding goes on, when the director becomes active, and when somebody disputes one.

use super::{Worker, chores::Announcements};
use crate::{
    decide::taken::WAIT,
    ids::InterfaceId,
    packet::{Io, Packet, PortId},
    service::{plan::Duplicates, snapshot::Local},
    time::{Duration, Instant},
    wire::resolution::Resolution,
};
use std::net::IpAddr;

/// Time between two rounds.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(2);
/// Announcements in one tick, at most.
const ANNOUNCE_STEP: usize = 16;

impl<P: Packet> Worker<P> {
    /// Tells everyone on a network that an address is here.
    pub(super) fn announce(&mut self, interface: InterfaceId, address: IpAddr, io: &mut impl Io<Packet = P>) {
        let said = Resolution::announcement(address, self.known.mac_for(interface, address));
        self.resolve(interface, said.group(), &said, io);
    }

    /// Asks whether another station has an address. Unless the configuration wants it, nothing waits for the answer: a VIP
    /// that moves is needed at once, and what is found out is reported. Then only IPv6 is asked for: who announces an address
    /// of IPv4 is told in any case; of IPv6, who has it need not say so unless asked.
    fn probe(&mut self, interface: InterfaceId, address: IpAddr, io: &mut impl Io<Packet = P>) {
        if address.is_ipv6() || self.waits() {
            let probe = Resolution::probe(address, self.known.mac_for(interface, address));
            self.resolve(interface, probe.group(), &probe, io);
        }
    }

    /// Whether addresses are announced only when nobody has said that they are theirs.
    pub(super) fn waits(&self) -> bool {
        self.known.snapshot.duplicates == Duplicates::Wait
    }

    /// Announces the addresses on a port anew, or on all ports: its link was down, or nothing was forwarded.
    pub fn announce_again(&mut self, now: Instant, port: Option<PortId>) {
        self.chores.announcements = self.chores.announcements.again(self.known.id, self.waits(), port, now);
    }

    /// Makes some of the announcements that are due. To be called after each tick, but not while nothing is forwarded: who
    /// hears of an address sends packets for it.
    #[inline]
    pub fn announce_due(&mut self, now: Instant, io: &mut impl Io<Packet = P>) {
        if self.chores.announcements.are_due(now) {
            self.announce_some(now, io);
        }
        if self.known.taken.is_due(now) {
            self.ask_again(now, io);
        }
    }

    /// Asks for addresses that somebody else has. Those that nobody has any more are announced.
    #[cold]
    fn ask_again(&mut self, now: Instant, io: &mut impl Io<Packet = P>) {
        if self.known.taken.look(now) {
            self.announce_again(now, None);
        }
        if self.known.id.0 == 0 {
            for address in self.known.taken.addresses() {
                let place = self.known.snapshot.local_ip(address).and_then(|local| place(&local));
                place.into_iter().for_each(|interface| self.probe(interface, address, io));
            }
        }
    }

    #[cold]
    fn announce_some(&mut self, now: Instant, io: &mut impl Io<Packet = P>) {
        let snapshot = self.known.snapshot.clone();
        let Announcements { only, waits, .. } = self.chores.announcements;
        let asks = self.chores.announcements.is_first_round();
        let (only_asks, speaks) = (waits && asks, self.known.id.0 == 0);
        if only_asks {
            self.known.taken.ask(now);
        }
        let step = snapshot.locals.iter().skip(self.chores.announcements.next).take(ANNOUNCE_STEP);
        for (address, local) in step {
            let is_meant = |on: &InterfaceId| only.is_none_or(|only| only == snapshot.interfaces[*on].port);
            if let Some(interface) = place(local).filter(is_meant).filter(|_| speaks) {
                if asks {
                    self.probe(interface, *address, io);
                }
                if !only_asks && !self.known.taken.has(*address) {
                    self.announce(interface, *address, io);
                }
            }
            self.chores.announcements.next += 1;
        }
        let announcements = &mut self.chores.announcements;
        if announcements.next >= snapshot.locals.len() {
            announcements.next = 0;
            announcements.rounds_left -= 1;
            announcements.due = now + if only_asks { WAIT } else { ANNOUNCE_EVERY };
        }
    }
}

/// Where an address is announced, if it is.
fn place(local: &Local) -> Option<InterfaceId> {
    match *local {
        Local::Own(interface) => Some(interface),
        // Nobody asks for one that is on none of our networks; a router sends its packets here.
        Local::Vip { attached, active, .. } | Local::Source { attached, active } => {
            attached.filter(|_| active)
        }
    }
}
