//! Packets between clients and servers of different families: see [`translate`].

use super::Worker;
use crate::{
    counters::DropReason,
    decide::{Origin, arriving::Arriving},
    forward::translate,
    packet::{Io, Packet},
    wire::ethernet,
};

impl<P: Packet> Worker<P> {
    /// A packet becomes one of IPv6, and is dealt with behind those of its burst, or ends.
    #[cold]
    pub(super) fn arrive(
        &mut self,
        mut packet: P,
        arriving: Arriving,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) {
        let translated = match arriving {
            Arriving::Translated(at) => translate::to_ipv6(&mut packet, &at),
            Arriving::Dropped(reason) => Err(reason),
        };
        match translated {
            Ok(()) => self.translated.push(packet),
            Err(reason) => {
                if origin == Origin::Port && ethernet::is_tagged(packet.bytes()) {
                    self.count_tagged(&packet);
                }
                self.drop(packet, reason, io);
            }
        }
    }

    /// A packet that leaves becomes one of IPv4 again, if it goes to such an address.
    #[cold]
    #[inline(never)]
    pub(super) fn leave_as_ipv4(&mut self, packet: &mut P) -> Result<(), DropReason> {
        match translate::goes_to_ipv4(packet.bytes()) {
            true => {
                packet.settle();
                translate::to_ipv4(packet, &mut self.last_id)
            }
            false => Ok(()),
        }
    }
}
