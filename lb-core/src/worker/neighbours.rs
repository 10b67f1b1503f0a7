//! What ARP packets change, and the director's own questions about neighbours.

use super::Worker;
use crate::{
    counters::DropReason,
    decide::{Claim, Conflict, Hear},
    ids::{InterfaceId, NeighbourId},
    neigh::entry::Question,
    packet::{Io, Notice, Packet},
    service::{plan::InterfacePlan, routing::NextHop},
    time::Instant,
    wire::{
        arp::{self, Arp, Operation},
        ethernet::{self, Mac},
    },
};
use std::net::IpAddr;

/// Bytes of an untagged ARP frame.
const FRAME_LEN: usize = ethernet::HEADER_LEN + arp::LEN;

impl<P: Packet> Worker<P> {
    /// Takes note of where the sender of an ARP packet is, and answers it.
    #[cold]
    pub(super) fn hear(&mut self, now: Instant, mut packet: P, hear: &Hear, io: &mut impl Io<Packet = P>) {
        if let Some(purpose) = hear.share {
            self.share(now, &packet, purpose, io);
        }
        if let Some(number) = hear.neighbour {
            let Claim { interface, address, mac } = hear.claim;
            let hop = NextHop { interface, address: address.into() };
            if let Some((_, true)) = self.known.neighbours.answer(hop, mac, now) {
                self.found(now, number, io);
            }
        }
        if hear.answer.is_some() {
            hear.write_answer(packet.bytes_mut());
            return io.transmit(packet.port(), packet);
        }
        match hear.neighbour {
            Some(_) => self.end_at_host(packet, io),
            None => self.drop(packet, DropReason::ArpIgnored, io),
        }
    }

    /// Another station uses one of our addresses.
    #[cold]
    pub(super) fn conflict(
        &mut self,
        now: Instant,
        packet: P,
        conflict: &Conflict,
        io: &mut impl Io<Packet = P>,
    ) {
        let Conflict { claim: Claim { interface, address, mac }, defend } = *conflict;
        self.books.counters.address_conflicts.bump();
        io.notice(Notice::AddressConflict { address: address.into(), mac, interface });
        if defend {
            self.known.defences.defended(address.into(), now);
            self.announce(interface, address, io);
        }
        self.end_at_host(packet, io);
    }

    /// A neighbour's address has become known: what waited for it goes.
    fn found(&mut self, now: Instant, number: NeighbourId, io: &mut impl Io<Packet = P>) {
        while let Some(packet) = self.waiting.pop(number) {
            self.send(now, packet, Some(number), io);
        }
        self.count_waiting();
        if let Some(neighbour) = self.known.neighbours.get(number).filter(|_| self.is_configured(number)) {
            let NextHop { interface, address } = neighbour.hop;
            io.notice(Notice::NeighbourFound { address, mac: neighbour.mac, interface });
        }
    }

    /// Asks for a neighbour's address, if it is time to.
    pub(super) fn ask(&mut self, now: Instant, number: NeighbourId, io: &mut impl Io<Packet = P>) {
        let question = self.known.neighbours.get_mut(number).and_then(|neighbour| neighbour.poll(now));
        if let Some(question) = question {
            self.put_question(number, question, io);
        }
    }

    /// Carries out what a neighbour's entry wants done.
    pub(super) fn put_question(
        &mut self,
        number: NeighbourId,
        question: Question,
        io: &mut impl Io<Packet = P>,
    ) {
        let Some(neighbour) = self.known.neighbours.get(number) else { return };
        let (hop, mac) = (neighbour.hop, neighbour.mac);
        let to = match question {
            Question::Broadcast => Mac::BROADCAST,
            Question::Unicast => mac,
            Question::GiveUp => return self.give_up(number, io),
        };
        let own = self.known.snapshot.routing.own_address(hop.interface, hop.address);
        let (Some(IpAddr::V4(own)), IpAddr::V4(target)) = (own, hop.address) else { return };
        let request = Arp {
            operation: Operation::Request,
            sender_mac: self.known.mac_of(hop.interface),
            sender: own,
            target_mac: Mac::default(),
            target,
        };
        self.originate_arp(hop.interface, to, &request, io);
    }

    /// A neighbour does not answer: what waited for it is dropped.
    fn give_up(&mut self, number: NeighbourId, io: &mut impl Io<Packet = P>) {
        while let Some(packet) = self.waiting.pop(number) {
            self.drop(packet, DropReason::Unresolved, io);
        }
        self.count_waiting();
        if let Some(neighbour) = self.known.neighbours.get(number).filter(|_| self.is_configured(number)) {
            let NextHop { interface, address } = neighbour.hop;
            io.notice(Notice::NeighbourLost { address, interface });
        }
    }

    /// Whether the configuration names a neighbour: a server or a router.
    fn is_configured(&self, number: NeighbourId) -> bool {
        self.known.backends.iter().any(|backend| backend.neighbour == Some(number))
            || self.chores.gateways.contains(&number)
    }

    /// Sends an ARP packet of the director's own.
    pub(super) fn originate_arp(
        &mut self,
        interface: InterfaceId,
        to: Mac,
        arp: &Arp,
        io: &mut impl Io<Packet = P>,
    ) {
        let InterfacePlan { port, tags, .. } = self.known.snapshot.interfaces[interface];
        let Some(mut packet) = io.allocate(port) else { return self.books.counters.no_buffer.bump() };
        self.books.counters.originated.bump();
        if !packet.set_len(FRAME_LEN + tags.as_bytes().len()) {
            return self.drop(packet, DropReason::NoHeadroom, io);
        }
        let at = ethernet::write_header(packet.bytes_mut(), (to, arp.sender_mac), tags, ethernet::ARP);
        arp.write(&mut packet.bytes_mut()[at..]);
        io.transmit(port, packet);
    }
}
