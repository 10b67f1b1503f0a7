//! What stations say of their Ethernet addresses, by ARP or by neighbour discovery.
//!
//! Who asks is not learnt, and answers count only from neighbours that were asked: so no station can make the
//! director remember things, except for the address of a neighbour that it already deals with.

use super::{Act, Claim, Conflict, Hear, Origin, Reply, budgets::Purpose, known::Known};
use crate::{
    counters::DropReason,
    family::Family,
    ids::InterfaceId,
    neigh::entry::Knowledge,
    packet::Packet,
    service::{plan::Duplicates, routing::NextHop, snapshot::Local},
    time::Instant,
    wire::ethernet::{self, Mac},
};
use std::net::IpAddr;

/// What a station says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// On which network.
    pub interface: InterfaceId,
    /// Its address. It has none as long as it asks whether it can have one.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Whether it answers a question, or tells without being asked.
    pub is_answer: bool,
    /// Whether it counts more than what is known.
    pub overrides: bool,
    /// Whom it asks for.
    pub question: Option<Question>,
    /// Why the packet ends if it concerns nobody here.
    pub otherwise: DropReason,
}

/// Whom a station asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// The address.
    pub target: IpAddr,
    /// The answer, if the address is the director's.
    pub reply: Reply,
}

impl Hear {
    /// Writes the answer, if there is one, over the question. `false` if the packet has no room for it.
    pub(crate) fn write_answer(&self, packet: &mut impl Packet) -> bool {
        let Some(Reply { resolution, at, to, from }) = self.answer else { return false };
        let end = at + resolution.packet_len();
        // Ethernet's padding may stay.
        let has_room = packet.bytes().len() >= end || packet.set_len(end);
        if has_room {
            resolution.write(&mut packet.bytes_mut()[at..]);
            ethernet::set_addresses(packet.bytes_mut(), to, from);
        }
        has_room
    }
}

impl Known {
    /// What is done about what a station says.
    pub(super) fn hear<F: Family>(&self, now: Instant, origin: Origin, said: &Said) -> Act<F> {
        let Said { interface, address, mac, is_answer, overrides, question, otherwise } = *said;
        let claim = Claim { interface, address, mac };
        if self.snapshot.local_ip(address).is_some() {
            // Or it is ourselves, heard on another port of the same network.
            let is_ours = self.snapshot.interfaces.ids().any(|other| self.snapshot.is_mac_of(other, mac))
                || !self.answers_for(address, interface);
            return match is_ours {
                true => Act::Drop(otherwise),
                false => Act::Conflict(self.dispute(now, origin, claim)),
            };
        }
        if let Some(Question { target, .. }) = question
            && self.gives_way(now, origin, said, target)
        {
            return Act::Conflict(self.dispute(now, origin, Claim { address: target, ..claim }));
        }
        let known = self.neighbours.find(NextHop { interface, address });
        let is_news = known.and_then(|id| self.neighbours.get(id)).is_some_and(|it| it.is_news(mac));
        // RFC 4861 7.2.5: what does not override does not replace an address that is known.
        let is_outdone = is_news
            && !overrides
            && known
                .and_then(|id| self.neighbours.get(id))
                .is_some_and(|it| it.knowledge == Knowledge::Known);
        if is_outdone {
            return Act::Drop(otherwise);
        }
        // Another worker may have asked; and who shares a question has answered it.
        let is_first = origin == Origin::Port;
        // The kernel answers for own addresses where it has them.
        let has_host = self.snapshot.is_on_host(interface);
        let is_kernels = |address| has_host && matches!(self.snapshot.local_ip(address), Some(Local::Own(_)));
        let is_here = |address| self.answers_for(address, interface) && !self.taken.has(address);
        let reply = question.filter(|it| is_first && is_here(it.target) && !is_kernels(it.target));
        // The kernel may have it as well, and would answer with another Ethernet address, or before this director knows of it.
        let asks_for_ours = question.is_some_and(|it| {
            matches!(self.snapshot.local_ip(it.target), Some(Local::Vip { .. } | Local::Source { .. }))
        });
        let purpose = if known.is_some() { Purpose::ShareNeighbour } else { Purpose::ShareStranger };
        let hear = Hear {
            claim,
            neighbour: known,
            share: (is_first && (is_news || is_answer)).then_some(purpose),
            answer: reply.map(|question| question.reply),
            kernel: has_host && is_first && reply.is_none() && !asks_for_ours,
            otherwise,
        };
        Act::Hear(hear)
    }

    /// What is done about a claim to an address of the director's. Who had it before it was announced keeps it. Workers tell
    /// one another only of such claims.
    fn dispute(&self, now: Instant, origin: Origin, claim: Claim) -> Conflict {
        let is_first = origin == Origin::Port;
        let address = claim.address;
        let was_there = !is_first || self.taken.is_asking(now) || self.taken.has(address);
        let yields = self.snapshot.duplicates == Duplicates::Wait && was_there;
        // RFC 5227 2.4 (c): defend the address, but not in an endless argument.
        let defend = is_first && !yields && self.defences.may_defend(address, now);
        Conflict { claim, defend, yields, is_first }
    }

    /// Whether another station wants an address at the same time, and gets it: RFC 4862 5.4.3 has both do without. Here
    /// the lower Ethernet address is first, so that one has it.
    fn gives_way(&self, now: Instant, origin: Origin, said: &Said, target: IpAddr) -> bool {
        let Said { interface, address, mac, .. } = *said;
        let own = self.mac_for(interface, target);
        address.is_unspecified()
            && self.snapshot.duplicates == Duplicates::Wait
            && (origin != Origin::Port || self.taken.is_asking(now))
            && mac.0 < own.0
            && self.answers_for(target, interface)
            && !self.snapshot.interfaces.ids().any(|other| self.snapshot.is_mac_of(other, mac))
    }

    /// Whether the director answers for an address on an interface. On standby it does not for a VIP or local address: the
    /// active one does. For one on an attached network, only on that network's: with two ports on one switch, both would
    /// answer otherwise.
    fn answers_for(&self, address: IpAddr, interface: InterfaceId) -> bool {
        match self.snapshot.local_ip(address) {
            Some(Local::Own(own)) => own == interface,
            Some(Local::Vip { attached, active, .. } | Local::Source { attached, active }) => {
                active && attached.is_none_or(|attached| attached == interface)
            }
            None => false,
        }
    }
}
