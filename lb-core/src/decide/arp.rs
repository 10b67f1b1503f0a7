//! ARP: RFC 826, RFC 1122 2.3.2, RFC 5227.

use super::{
    Act, Origin, Reply,
    hear::{Question, Said},
    known::Known,
};
use crate::{
    counters::DropReason,
    family::Family,
    packet::Packet,
    time::Instant,
    wire::{
        arp::{Arp, Operation},
        ethernet,
        resolution::Resolution,
    },
};

impl Known {
    #[cold]
    pub(super) fn arp<F: Family>(&self, now: Instant, packet: &impl Packet, origin: Origin) -> Act<F> {
        let frame = packet.bytes();
        let interface = self.snapshot.interface_of(packet.port(), frame);
        let read = ethernet::payload(frame).and_then(|(_, l3)| Some((l3, Arp::read(&frame[l3..])?)));
        let Some((l3, arp)) = read else { return Act::Drop(DropReason::BadArp) };
        // The frame may come from another address than the packet names: that of a VRRP router is its virtual one (RFC
        // 5798 8.1.2), and bonded or proxied hosts do the same. But both must be one station's.
        if !ethernet::is_station(arp.sender_mac) || !ethernet::is_station(ethernet::source(frame)) {
            return Act::Drop(DropReason::BadArp);
        }
        let mac = self.mac_for(interface, arp.target);
        let said = Said {
            interface,
            address: arp.sender.into(),
            mac: arp.sender_mac,
            is_answer: arp.operation == Operation::Reply,
            // RFC 826 has a question and an announcement update what is already known.
            overrides: true,
            question: (arp.operation == Operation::Request).then(|| Question {
                target: arp.target.into(),
                reply: Reply {
                    resolution: Resolution::Arp(arp.answered_by(mac)),
                    at: l3,
                    to: arp.sender_mac,
                    from: mac,
                },
            }),
            otherwise: DropReason::ArpIgnored,
        };
        self.hear(now, origin, &said)
    }
}
