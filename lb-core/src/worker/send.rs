//! A finished packet leaves: to its next hop now, or when that is known, or it ends.

use super::Worker;
use crate::{
    counters::DropReason,
    decide::known::Known,
    ids::NeighbourId,
    neigh::entry::{Knowledge, Neighbour, Question},
    packet::{Io, Packet},
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
    /// Takes off the VLAN tags that a packet has because of the interface it came by. Those of a VLAN that nobody has
    /// configured stay.
    #[cold]
    pub(crate) fn untag(&self, packet: &mut impl Packet) {
        let came_by = self.snapshot.interface_of(packet.port(), packet.bytes());
        let tags = &self.snapshot.interfaces[came_by].tags;
        if tags.are_of(packet.bytes()) {
            packet.trim_front(tags.as_bytes().len());
        }
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
                io.transmit(neighbour.port, packet);
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

    /// A packet ends here.
    pub(super) fn drop(&mut self, packet: P, reason: DropReason, io: &mut impl Io<Packet = P>) {
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
