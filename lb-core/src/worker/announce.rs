//! Telling the networks which addresses are here, RFC 5227, RFC 4861 7.2.6: at start, when there are others, when a link
//! comes up or forwarding goes on, when the director becomes active, and when somebody disputes one.

use super::Worker;
use crate::{
    ids::InterfaceId,
    packet::{Io, Packet, PortId},
    service::snapshot::Local,
    time::{Duration, Instant},
    wire::{nd::Nd, resolution::Resolution},
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

    /// Asks whether another station has an address of IPv6, RFC 4862 5.4. Who announces one of IPv4 is told in any case; of
    /// IPv6, who has it need not say so unless asked. Nothing waits for the answer: a VIP that moves is needed at once, and
    /// what is found out is reported.
    fn probe(&mut self, interface: InterfaceId, address: IpAddr, io: &mut impl Io<Packet = P>) {
        if let IpAddr::V6(address) = address {
            let probe = Resolution::Nd(Nd::probe(address));
            self.resolve(interface, probe.group(), &probe, io);
        }
    }

    /// Announces the addresses on a port anew, or on all ports: its link was down, or nothing was forwarded.
    pub fn announce_again(&mut self, now: Instant, port: Option<PortId>) {
        self.chores.announcements = self.chores.announcements.again(self.known.id, port, now);
    }

    /// Makes some of the announcements that are due. To be called after each tick, but not while nothing is forwarded: who
    /// hears of an address sends packets for it.
    #[inline]
    pub fn announce_due(&mut self, now: Instant, io: &mut impl Io<Packet = P>) {
        if self.chores.announcements.are_due(now) {
            self.announce_some(now, io);
        }
    }

    #[cold]
    fn announce_some(&mut self, now: Instant, io: &mut impl Io<Packet = P>) {
        let snapshot = self.known.snapshot.clone();
        let step = snapshot.locals.iter().skip(self.chores.announcements.next).take(ANNOUNCE_STEP);
        for (address, local) in step {
            let interface = match local {
                Local::Own(interface) => Some(*interface),
                // Nobody asks for one that is on none of our networks; a router sends its packets here.
                Local::Vip { attached, active, .. } | Local::Source { attached, active } => {
                    attached.filter(|_| *active)
                }
            };
            let only = self.chores.announcements.only;
            let is_meant = |on: &InterfaceId| only.is_none_or(|only| only == snapshot.interfaces[*on].port);
            if let Some(interface) = interface.filter(is_meant) {
                if self.chores.announcements.is_first_round() {
                    self.probe(interface, *address, io);
                }
                self.announce(interface, *address, io);
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
