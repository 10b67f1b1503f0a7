//! A finished packet leaves: to its next hop now, or when that is known, or it ends.

use super::Worker;
use crate::{
    counters::DropReason,
    decide::known::Known,
    ids::NeighbourId,
    neigh::entry::{Knowledge, Neighbour, Question},
    packet::{Io, Packet, PortId},
    time::Instant,
    wire::ethernet,
};

/// What sending to a next hop comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It is sent.
    Now,
    /// It waits for the next hop's address.
    Later,
    /// It ends.
    Never(DropReason),
}

impl Known {
    /// Gives an answer in the place of its question the tags of its interface: a port that takes tags off, for its driver to
    /// put them back, forgets their EtherTypes.
    pub(crate) fn retag(&self, packet: &mut impl Packet) {
        let interface = match ethernet::is_tagged(packet.bytes()) {
            true => self.snapshot.interface_of_vlan(packet.port(), packet.bytes()),
            false => None,
        };
        if let Some(interface) = interface {
            ethernet::set_tag_types(packet.bytes_mut(), &self.snapshot.interfaces[interface].tags);
        }
    }
}

/// Takes off the VLAN tags that a packet has because of the interface it came by.
#[cold]
pub(crate) fn untag(packet: &mut impl Packet) {
    if let Some((_, l3)) = ethernet::payload(packet.bytes()) {
        packet.trim_front(l3 - ethernet::HEADER_LEN);
    }
}

/// Writes the Ethernet header of a packet to a neighbour, up to 22 bytes: the neighbour's address and ours, and the VLAN
/// tags of its interface. `false` if there is no room for them.
pub(crate) fn address(packet: &mut impl Packet, neighbour: &Neighbour) -> bool {
    let tags = neighbour.tags.as_bytes();
    let fits = packet.prepend(tags.len());
    if fits {
        let frame = packet.bytes_mut();
        ethernet::set_stations(frame, &neighbour.stations);
        frame[ethernet::ADDRESSES_LEN..][..tags.len()].copy_from_slice(tags);
    }
    fits
}

impl<P: Packet> Worker<P> {
    /// What becomes of a packet for a next hop: `number` is its place in the table, if it has one.
    pub(crate) fn delivery(
        &self,
        now: Instant,
        number: Option<NeighbourId>,
        mut neighbour: Neighbour,
    ) -> Delivery {
        if neighbour.knowledge == Knowledge::Known {
            return Delivery::Now;
        }
        neighbour.wanted(now);
        if neighbour.knowledge == Knowledge::Failed {
            return Delivery::Never(DropReason::Unresolved);
        }
        if !self.waiting.has_room(number) {
            return Delivery::Never(DropReason::WaitingFull);
        }
        match neighbour.poll(now) {
            Some(Question::GiveUp) => Delivery::Never(DropReason::Unresolved),
            _ => Delivery::Later,
        }
    }

    /// Sends a packet to a neighbour, now or when its address is known.
    #[inline]
    pub(super) fn send(
        &mut self,
        now: Instant,
        mut packet: P,
        number: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) {
        if self.known.snapshot.translates
            && let Err(reason) = self.leave_as_ipv4(&mut packet)
        {
            return self.drop(packet, reason, io);
        }
        match number.and_then(|number| self.known.neighbours.get(number)) {
            Some(neighbour) if neighbour.is_known_untagged() => {
                ethernet::set_stations(packet.bytes_mut(), &neighbour.stations);
                io.transmit(neighbour.port, packet);
            }
            _ => self.send_otherwise(now, packet, number, io),
        }
    }

    /// With VLAN tags, or later.
    #[cold]
    fn send_otherwise(
        &mut self,
        now: Instant,
        mut packet: P,
        number: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) {
        let neighbour = number.and_then(|number| self.known.neighbours.get(number));
        match neighbour.filter(|neighbour| neighbour.knowledge == Knowledge::Known) {
            Some(neighbour) if address(&mut packet, neighbour) => {
                self.transmit(neighbour.port, packet, io);
            }
            Some(_) => self.drop(packet, DropReason::NoHeadroom, io),
            None => self.send_later(now, packet, number, io),
        }
    }

    fn send_later(
        &mut self,
        now: Instant,
        packet: P,
        number: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) {
        let neighbour = number.and_then(|number| Some((number, self.known.neighbours.get_mut(number)?)));
        let Some((number, neighbour)) = neighbour else {
            return self.drop(packet, DropReason::NeighboursFull, io);
        };
        neighbour.wanted(now);
        if neighbour.knowledge == Knowledge::Failed {
            return self.drop(packet, DropReason::Unresolved, io);
        }
        match self.waiting.push(number, packet) {
            Ok(()) => self.count_waiting(),
            Err(packet) => self.drop(packet, DropReason::WaitingFull, io),
        }
        self.ask(now, number, io);
    }

    /// Gives a packet that may be tagged to its port.
    pub(super) fn transmit(&self, port: PortId, packet: P, io: &mut impl Io<Packet = P>) {
        let frame = packet.bytes();
        if ethernet::is_tagged(frame)
            && let Some(interface) = self.known.snapshot.interface_of_vlan(port, frame)
        {
            self.books.counters.vlan(interface).count_sent(frame);
        }
        io.transmit(port, packet);
    }

    /// Counts a packet that came tagged.
    #[cold]
    pub(crate) fn count_tagged(&self, packet: &P) {
        if let Some(interface) = self.known.snapshot.interface_of_vlan(packet.port(), packet.bytes()) {
            self.books.counters.vlan(interface).count_received(packet.bytes());
        }
    }

    /// A packet ends here.
    pub(crate) fn drop(&mut self, packet: P, reason: DropReason, io: &mut impl Io<Packet = P>) {
        self.books.counters.count_drop(reason);
        io.release(packet);
    }

    /// A packet was for the director itself.
    pub(super) fn end_at_host(&mut self, packet: P, io: &mut impl Io<Packet = P>) {
        self.books.counters.host.bump();
        io.release(packet);
    }

    pub(super) fn count_waiting(&self) {
        let waiting = &self.books.counters.waiting;
        waiting.add((self.waiting.len() as u64).wrapping_sub(waiting.get()));
    }
}
