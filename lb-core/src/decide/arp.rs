//! ARP: RFC 826, RFC 1122 2.3.2, RFC 5227.
//!
//! Who asks is not learnt, and answers count only from neighbours that were asked: so no station can make the
//! director remember things, except for the address of a neighbour that it already deals with.

use super::{Act, Claim, Conflict, Hear, Origin, budgets::Purpose, known::Known};
use crate::{
    counters::DropReason,
    family::{Family, V4},
    ids::InterfaceId,
    packet::Packet,
    service::{routing::NextHop, snapshot::Local},
    time::Instant,
    wire::{
        arp::{Arp, Operation},
        ethernet::{self, Mac},
    },
};
use std::net::Ipv4Addr;

impl Hear {
    /// Writes the answer, if there is one, where the question stands.
    pub(crate) fn write_answer(&self, frame: &mut [u8]) {
        if let Some((answer, at)) = self.answer {
            answer.write(&mut frame[at..]);
            ethernet::set_addresses(frame, answer.target_mac, answer.sender_mac);
        }
    }
}

impl Known {
    #[cold]
    pub(super) fn arp<F: Family>(&self, now: Instant, packet: &impl Packet, origin: Origin) -> Act<F> {
        let frame = packet.bytes();
        let interface = self.snapshot.interface_of(packet.port(), frame);
        let read = ethernet::payload(frame).and_then(|(_, l3)| Some((l3, Arp::read(&frame[l3..])?)));
        let Some((l3, arp)) = read else { return Act::Drop(DropReason::BadArp) };
        // The frame may come from another address than the packet names: that of a VRRP router is its virtual one (RFC
        // 5798 8.1.2), and bonded or proxied hosts do the same. But both must be one station's.
        let is_station = |mac| !ethernet::is_group(mac) && mac != Mac::default();
        if !is_station(arp.sender_mac) || !is_station(ethernet::source(frame)) {
            return Act::Drop(DropReason::BadArp);
        }
        let claim = Claim { interface, address: arp.sender, mac: arp.sender_mac };
        if self.snapshot.local::<V4>(arp.sender.to_bits()).is_some() {
            // Or it is ourselves, heard on another port of the same network.
            let is_ours = self.snapshot.interfaces.iter().any(|other| other.mac == arp.sender_mac)
                || !self.answers_for(arp.sender, interface);
            return match is_ours {
                true => Act::Drop(DropReason::ArpIgnored),
                // RFC 5227 2.4 (c): defend the address, but not in an endless argument.
                false => Act::Conflict(Conflict {
                    claim,
                    defend: self.defences.may_defend(arp.sender.into(), now),
                }),
            };
        }
        // A reply or an announcement counts; so does a request, since RFC 826 has it update what is already known.
        let neighbour = self.neighbours.find(NextHop { interface, address: arp.sender.into() });
        let is_news =
            neighbour.and_then(|id| self.neighbours.get(id)).is_some_and(|it| it.is_news(claim.mac));
        // Another worker may have asked; and who shares a question has answered it.
        let is_first = origin == Origin::Port;
        let answers =
            is_first && arp.operation == Operation::Request && self.answers_for(arp.target, interface);
        let purpose = if neighbour.is_some() { Purpose::ShareNeighbour } else { Purpose::ShareStranger };
        let hear = Hear {
            claim,
            neighbour,
            share: (is_first && (is_news || arp.operation == Operation::Reply)).then_some(purpose),
            answer: answers.then(|| (arp.answered_by(self.mac_of(interface)), l3)),
        };
        Act::Hear(hear)
    }

    /// Whether the director answers for an address on an interface. On standby it does not for a VIP or local address: the
    /// active one does. For one on an attached network, only on that network's: with two ports on one switch, both would
    /// answer otherwise.
    fn answers_for(&self, address: Ipv4Addr, interface: InterfaceId) -> bool {
        match self.snapshot.local::<V4>(address.to_bits()) {
            Some(Local::Own(own)) => own == interface,
            Some(Local::Vip { attached, active, .. } | Local::Source { attached, active }) => {
                active && attached.is_none_or(|attached| attached == interface)
            }
            None => false,
        }
    }
}
