//! Telling the other workers: a copy of a packet for each of them.
//!
//! For what only one worker hears and any of them may need: a neighbour's answer, an ICMP error whose connection is
//! not here. Rare in peace and limited at all times, because outsiders can send such packets.

use super::Worker;
use crate::{
    cast::small,
    counters::DropReason,
    decide::budgets::Purpose,
    packet::{HandOver, Io, Packet, WorkerId},
    time::Instant,
};

impl<P: Packet> Worker<P> {
    /// Gives every other worker a copy of `packet`, if the budget for that allows it.
    #[cold]
    pub(super) fn share(&mut self, now: Instant, packet: &P, purpose: Purpose, io: &mut impl Io<Packet = P>) {
        if self.known.team.workers == 1 || !self.known.budgets.take(purpose, now) {
            return;
        }
        let own = self.known.id;
        for other in (0..small(self.known.team.workers)).map(WorkerId).filter(|&other| other != own) {
            let Some(mut copy) = io.allocate(packet.port()) else {
                self.books.counters.no_buffer.bump();
                return;
            };
            self.books.counters.originated.bump();
            if !copy.set_len(packet.bytes().len()) {
                self.drop(copy, DropReason::TooBig, io);
                return;
            }
            copy.bytes_mut().copy_from_slice(packet.bytes());
            match io.hand_over(other, copy) {
                Ok(()) => self.books.counters.handed_over[HandOver::Shared as usize].bump(),
                Err(copy) => self.drop(copy, DropReason::RingFull, io),
            }
        }
    }
}
