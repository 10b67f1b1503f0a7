//! Stage 3 for ARP, and the director's own questions. RFC 826, RFC 1122 2.3.2, RFC 5227.
//!
//! Who asks is not learnt, and answers count only from neighbours that were asked: so no station can make the
//! director remember things, except for the address of a neighbour that it already deals with.

use super::{Origin, Worker};
use crate::{
    counters::DropReason,
    ids::NeighbourId,
    neigh::{entry::Question, table::hop},
    packet::{Io, Notice, Packet, PortId},
    service::snapshot::Local,
    time::Instant,
    verdict::Verdict,
    wire::{
        arp::{self, Arp, Operation},
        ethernet::{self, Mac},
    },
};
use std::net::Ipv4Addr;

/// Bytes of an untagged ARP frame.
const FRAME_LEN: usize = ethernet::HEADER_LEN + arp::LEN;

impl<P: Packet> Worker<P> {
    #[cold]
    pub(super) fn arp(
        &mut self,
        now: Instant,
        packet: &mut P,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) -> Verdict {
        let port = packet.port();
        let frame = packet.bytes();
        let read = ethernet::payload(frame).and_then(|(_, l3)| Some((l3, Arp::read(&frame[l3..])?)));
        let Some((l3, arp)) = read else { return Verdict::Drop(DropReason::BadArp) };
        // The frame's sender and the packet's must agree, or somebody speaks for another.
        if ethernet::is_group(arp.sender_mac) || arp.sender_mac != ethernet::source(frame) {
            return Verdict::Drop(DropReason::BadArp);
        }
        if self.snapshot.local(arp.sender.to_bits()).is_some() {
            return self.conflict(now, &arp, port, io);
        }
        let heard = self.hear(now, &arp, packet, origin, io);
        match arp.operation {
            // Who shares a question has answered it.
            Operation::Request if origin == Origin::Port && self.answers_for(arp.target, port) => {
                let mac = self.mac_of(port);
                let reply = arp.answered_by(mac);
                let frame = packet.bytes_mut();
                reply.write(&mut frame[l3..]);
                ethernet::set_addresses(frame, arp.sender_mac, mac);
                Verdict::Answer
            }
            _ if heard => Verdict::Host,
            _ => Verdict::Drop(DropReason::ArpIgnored),
        }
    }

    /// Whether the director answers for an address on a port. For a VIP on an attached network, only that network's
    /// port: with two ports on one switch, both would answer otherwise.
    pub(super) fn answers_for(&self, address: Ipv4Addr, port: PortId) -> bool {
        match self.snapshot.local(address.to_bits()) {
            Some(Local::Own(own)) => own == port,
            Some(Local::Vip { attached, .. }) => attached.is_none_or(|attached| attached == port),
            None => false,
        }
    }

    /// Takes note of where the sender is, if it is a neighbour that the director deals with. A reply or an
    /// announcement counts; so does a request, since RFC 826 has it update what is already known.
    fn hear(
        &mut self,
        now: Instant,
        arp: &Arp,
        packet: &P,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) -> bool {
        let place = hop(packet.port(), arp.sender);
        let Some((id, news)) = self.neighbours.answer(place, arp.sender_mac, now) else {
            // Another worker may have asked.
            if origin == Origin::Port && arp.operation == Operation::Reply {
                self.share(now, packet, io);
            }
            return false;
        };
        if origin == Origin::Port && (news || arp.operation == Operation::Reply) {
            self.share(now, packet, io);
        }
        if news {
            self.found(now, id, io);
        }
        true
    }

    /// A neighbour's address has become known: what waited for it goes.
    fn found(&mut self, now: Instant, id: NeighbourId, io: &mut impl Io<Packet = P>) {
        while let Some(packet) = self.waiting.pop(id) {
            self.send(now, packet, Some(id), io);
        }
        self.count_waiting();
        if let Some(neighbour) = self.neighbours.get(id).filter(|_| self.is_configured(id)) {
            let (address, mac, port) = (neighbour.hop.address, neighbour.mac, neighbour.port());
            io.notice(Notice::NeighbourFound { address, mac, port });
        }
    }

    /// Asks for a neighbour's address, if it is time to.
    pub(super) fn ask(&mut self, now: Instant, id: NeighbourId, io: &mut impl Io<Packet = P>) {
        let question = self.neighbours.get_mut(id).and_then(|neighbour| neighbour.poll(now));
        if let Some(question) = question {
            self.put_question(id, question, io);
        }
    }

    /// Carries out what a neighbour's entry wants done.
    pub(super) fn put_question(&mut self, id: NeighbourId, question: Question, io: &mut impl Io<Packet = P>) {
        let Some(neighbour) = self.neighbours.get(id) else { return };
        let (hop, mac) = (neighbour.hop, neighbour.mac);
        let to = match question {
            Question::Broadcast => Mac::BROADCAST,
            Question::Unicast => mac,
            Question::GiveUp => return self.give_up(id, io),
        };
        let Some(own) = self.snapshot.routing.own_address(hop.port, hop.address) else { return };
        let request = Arp {
            operation: Operation::Request,
            sender_mac: self.mac_of(hop.port),
            sender: own,
            target_mac: Mac::default(),
            target: hop.address,
        };
        self.originate_arp(hop.port, to, &request, io);
    }

    /// Tells everyone on a network that an address is here: an announcement of RFC 5227 2.3.
    pub(super) fn announce(&mut self, port: PortId, address: Ipv4Addr, io: &mut impl Io<Packet = P>) {
        let announcement = Arp {
            operation: Operation::Request,
            sender_mac: self.mac_of(port),
            sender: address,
            target_mac: Mac::default(),
            target: address,
        };
        self.originate_arp(port, Mac::BROADCAST, &announcement, io);
    }

    /// Another station uses one of our addresses. Or it is ourselves, heard on another port of the same network.
    fn conflict(&mut self, now: Instant, arp: &Arp, port: PortId, io: &mut impl Io<Packet = P>) -> Verdict {
        if self.macs.contains(&arp.sender_mac) || !self.answers_for(arp.sender, port) {
            return Verdict::Drop(DropReason::ArpIgnored);
        }
        self.counters.address_conflicts.bump();
        io.notice(Notice::AddressConflict { address: arp.sender, mac: arp.sender_mac, port });
        // RFC 5227 2.4 (c): defend the address, but not in an endless argument.
        if self.announcements.may_defend(now) {
            self.announce(port, arp.sender, io);
        }
        Verdict::Host
    }

    /// A neighbour does not answer: what waited for it is dropped.
    fn give_up(&mut self, id: NeighbourId, io: &mut impl Io<Packet = P>) {
        while let Some(packet) = self.waiting.pop(id) {
            self.drop(packet, DropReason::Unresolved, io);
        }
        self.count_waiting();
        if let Some(neighbour) = self.neighbours.get(id).filter(|_| self.is_configured(id)) {
            io.notice(Notice::NeighbourLost { address: neighbour.hop.address, port: neighbour.port() });
        }
    }

    /// Whether the configuration names a neighbour: a server or a router.
    fn is_configured(&self, id: NeighbourId) -> bool {
        let is_gateway = || {
            self.neighbours
                .get(id)
                .is_some_and(|neighbour| self.snapshot.gateways().any(|(hop, _)| hop == neighbour.hop))
        };
        self.backends.iter().any(|backend| backend.neighbour == Some(id)) || is_gateway()
    }

    fn originate_arp(&mut self, port: PortId, to: Mac, arp: &Arp, io: &mut impl Io<Packet = P>) {
        let Some(mut packet) = io.allocate(port) else { return self.counters.no_buffer.bump() };
        self.counters.originated.bump();
        if !packet.set_len(FRAME_LEN) {
            return self.drop(packet, DropReason::NoHeadroom, io);
        }
        let frame = packet.bytes_mut();
        ethernet::set_addresses(frame, to, arp.sender_mac);
        ethernet::set_ethertype(frame, ethernet::ARP);
        arp.write(&mut frame[ethernet::HEADER_LEN..]);
        io.transmit(port, packet);
    }
}
