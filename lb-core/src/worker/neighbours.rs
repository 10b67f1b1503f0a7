//! What stations say of where they are, and the director's own questions about neighbours.

use super::Worker;
use crate::{
    counters::DropReason,
    decide::{Claim, Conflict, Hear, budgets::Purpose},
    ids::{InterfaceId, NeighbourId},
    neigh::entry::Question,
    packet::{Io, Notice, Packet},
    service::{plan::InterfacePlan, routing::NextHop},
    time::Instant,
    wire::{
        ethernet::{self, Mac},
        resolution::Resolution,
    },
};

impl<P: Packet> Worker<P> {
    /// Takes note of where a station is, and answers it.
    #[cold]
    pub(super) fn hear(&mut self, now: Instant, mut packet: P, hear: &Hear, io: &mut impl Io<Packet = P>) {
        if let Some(purpose) = hear.share {
            self.share(now, &packet, purpose, io);
        }
        if let Some(number) = hear.neighbour {
            let Claim { interface, address, mac } = hear.claim;
            let hop = NextHop { interface, address };
            if let Some((_, true)) = self.known.neighbours.answer(hop, mac, now) {
                self.found(now, number, io);
            }
        }
        if hear.answer.is_some() {
            return match hear.write_answer(&mut packet) {
                true => {
                    self.known.retag(&mut packet);
                    self.transmit(packet.port(), packet, io);
                }
                false => self.drop(packet, DropReason::NoHeadroom, io),
            };
        }
        match hear.neighbour {
            _ if hear.kernel => self.give_to_kernel(now, packet, DropReason::ArpIgnored, io),
            Some(_) => self.end_at_host(packet, io),
            None => self.drop(packet, hear.otherwise, io),
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
        let Conflict { claim: Claim { interface, address, mac }, defend, yields, is_first } = *conflict;
        if yields {
            self.known.taken.note(address, now);
        }
        if is_first {
            self.books.counters.address_conflicts.bump();
            io.notice(match yields {
                true => Notice::AddressTaken { address, mac, interface },
                false => Notice::AddressConflict { address, mac, interface },
            });
        }
        if is_first && yields {
            self.share(now, &packet, Purpose::ShareStranger, io);
        }
        if defend {
            self.known.defences.defended(address, now);
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
        if question == Question::GiveUp {
            return self.give_up(number, io);
        }
        let Some(neighbour) = self.known.neighbours.get(number) else { return };
        let (hop, mac) = (neighbour.hop, neighbour.mac);
        let own_mac = self.known.mac_of(hop.interface);
        let own = self.known.snapshot.routing.own_address(hop.interface, hop.address);
        let Some(asked) = own.and_then(|own| Resolution::question(own, own_mac, hop.address)) else { return };
        let to = if question == Question::Unicast { mac } else { asked.group() };
        self.resolve(hop.interface, to, &asked, io);
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

    /// Sends a question about a neighbour, or tells where the director is.
    pub(super) fn resolve(
        &mut self,
        interface: InterfaceId,
        to: Mac,
        said: &Resolution,
        io: &mut impl Io<Packet = P>,
    ) {
        let InterfacePlan { port, tags, .. } = self.known.snapshot.interfaces[interface];
        // RFC 5798 8.1.2: switches learn where a virtual router is.
        let mac = self.known.mac_for(interface, said.subject());
        let Some(mut packet) = io.allocate(port) else { return self.books.counters.no_buffer.bump() };
        self.books.counters.originated.bump();
        if !packet.set_len(ethernet::HEADER_LEN + tags.as_bytes().len() + said.packet_len()) {
            return self.drop(packet, DropReason::NoHeadroom, io);
        }
        let at = ethernet::write_header(packet.bytes_mut(), (to, mac), tags, said.ethertype());
        said.write(&mut packet.bytes_mut()[at..]);
        self.transmit(port, packet, io);
    }
}
