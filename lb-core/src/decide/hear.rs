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
    service::{routing::NextHop, snapshot::Local},
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
                // RFC 5227 2.4 (c): defend the address, but not in an endless argument.
                false => Act::Conflict(Conflict { claim, defend: self.defences.may_defend(address, now) }),
            };
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
        let reply = question
            .filter(|it| is_first && self.answers_for(it.target, interface) && !is_kernels(it.target));
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
