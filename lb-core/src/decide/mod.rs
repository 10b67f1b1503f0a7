//! What is done with a packet, decided as a value before any of it is done.
//!
//! [`Known::decide`] reads what a worker knows and changes nothing. [`worker`](crate::worker) carries the decision out,
//! and [`explain`](crate::explain) turns the same decision into words, so that what operators read is what happens.
//!
//! Three courses are followed by a second decision, because something has to be done between the two:
//!
//! * [`Course::Fragment`]: the packet is a fragment, and its datagram has been taken note of; where does it belong
//!   ([`Known::noted`])?
//! * [`Course::End`]: the packet's connection has ended; what becomes of the packet without one ([`Known::after`])?
//! * [`Course::Open`]: the scheduler has chosen a server ([`Known::choose`], which moves its turn on); can the connection
//!   be opened with it ([`Known::opening`])?

pub mod arp;
pub(crate) mod arriving;
pub mod backend;
pub mod budgets;
mod call;
pub mod classify;
pub mod common;
mod decision;
pub mod defences;
pub(crate) mod expecting;
pub mod flow;
pub mod fragment;
mod hear;
pub mod host;
pub mod icmp;
pub mod known;
pub mod limiter;
mod local;
mod nd;
pub mod opening;
pub mod owner;
mod parsed;
pub mod quic;
pub(crate) mod reading;
pub mod refuse;
pub mod room;
mod sctp;
mod snat;
mod staying;
pub mod taken;
mod told;

pub use decision::{
    About, Act, Adopt, Answer, Basis, Claim, Conflict, Course, Decision, End, Ended, Fragment, Hear, Hold,
    Narrow, Open, Origin, Owner, Pass, Refusal, Relay, Reply, Side, Then, Told,
};

use crate::{counters::DropReason, packet::Packet, time::Instant};
use classify::{Kind, Parsed};
use known::{Forwarded, Known};

impl Known {
    /// What is done with a packet that has been read.
    #[must_use]
    pub fn decide<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        origin: Origin,
    ) -> Decision<F> {
        let decision = match parsed.kind {
            Kind::Common | Kind::Flow => {
                match F::connections(self).find_from(parsed.hit, parsed.key, parsed.place) {
                    Some(hit) => return self.matched(now, packet, parsed, hit),
                    None => self.unmatched(now, packet, parsed, origin),
                }
            }
            Kind::Fragment => self.fragment(packet, parsed, origin),
            Kind::Icmp => self.icmp(now, packet, parsed, origin),
            Kind::Resolution => F::resolution(self, now, packet, origin).into(),
            // It has been read by the other.
            Kind::OtherFamily => Act::Drop(DropReason::UnknownEthertype).into(),
            Kind::OtherProtocol => self.other_protocol(now, parsed).into(),
            Kind::Drop => Act::Drop(parsed.reason).into(),
        };
        if self.has_host(packet.port()) { self.with_host(packet, origin, decision) } else { decision }
    }
}
