//! Neighbour discovery: RFC 4861 7.2, RFC 4862 5.4.

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
        ethernet,
        nd::{self, Nd, Operation},
        resolution::Resolution,
    },
};

impl Known {
    #[cold]
    pub(super) fn nd<F: Family>(&self, now: Instant, packet: &impl Packet, origin: Origin) -> Act<F> {
        let frame = packet.bytes();
        let interface = self.snapshot.interface_of(packet.port(), frame);
        let read = ethernet::payload(frame).and_then(|(_, l3)| Some((l3, Nd::read(&frame[l3..])?)));
        let Some((l3, nd)) = read else { return Act::Drop(DropReason::BadNd) };
        // Who does not say where it is, is where the frame comes from.
        let mac = nd.link.unwrap_or(ethernet::source(frame));
        if !ethernet::is_station(mac) {
            return Act::Drop(DropReason::BadNd);
        }
        let from = self.mac_for(interface, nd.target);
        let answer = nd.answered_by(from);
        let to = if answer.destination.is_multicast() { nd::group(answer.destination) } else { mac };
        let reply = Reply { resolution: Resolution::Nd(answer), at: l3, to, from };
        let (address, is_answer, overrides) = match nd.operation {
            Operation::Solicitation => (nd.source, false, true),
            Operation::Advertisement { overrides, .. } => (nd.target, true, overrides),
        };
        let said = Said {
            interface,
            address: address.into(),
            mac,
            is_answer,
            overrides,
            question: (!is_answer).then_some(Question { target: nd.target.into(), reply }),
            otherwise: DropReason::NdIgnored,
        };
        self.hear(now, origin, &said)
    }
}
