//! What is done with a packet, decided as a value before any of it is done.
//!
//! [`Known::decide`] reads what a worker knows and changes nothing. [`worker`](crate::worker) carries the decision out,
//! and [`explain`](crate::explain) turns the same decision into words, so that what operators read is what happens.
//!
//! Two courses are followed by a second decision, because something has to be done between the two:
//!
//! * [`Course::End`]: the packet's connection has ended; what becomes of the packet without one ([`Known::after`])?
//! * [`Course::Open`]: the scheduler has chosen a server ([`Known::choose`], which moves its turn on); can the connection
//!   be opened with it ([`Known::opening`])?

pub mod arp;
pub mod backend;
pub mod budgets;
pub mod classify;
pub mod defences;
pub mod flow;
pub mod icmp;
pub mod known;
pub mod limiter;
pub mod opening;
pub mod owner;
pub mod refuse;
pub mod room;

use crate::{
    conn::{connections::Hit, state::State},
    counters::DropReason,
    ids::{ConnectionId, NeighbourId, ServerId, ServiceId},
    packet::{HandOver, Packet, WorkerId},
    service::plan::Unserved,
    time::Instant,
};
use arp::{Conflict, Hear};
use budgets::Purpose;
use classify::{Kind, Parsed};
use icmp::{Narrow, Relay};
use known::Known;
use owner::Owner;
use refuse::Refusal;

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A port delivered it; its owner is still to be found.
    Port,
    /// Another worker handed it over, or an earlier connection of its flow was here: this worker is its owner.
    Worker,
}

/// Everything that is done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whom the packet concerns.
    pub about: About,
    /// What is done with it.
    pub course: Course,
}

/// Whom a packet concerns, as far as that is known when the decision is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Nobody in particular.
    Nobody,
    /// A connection of this worker, which is its owner therefore.
    Connection(Hit),
    /// A service, and who owns the flow.
    Service(ServiceId, Owner),
    /// A server that answers through the director, and who owns the flow.
    Reply(Owner),
}

/// What is done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// This, and nothing follows.
    Act(Act),
    /// Its connection ends; then [`Known::after`] decides.
    End(End),
    /// It opens a connection with the server that the scheduler chooses; then [`Known::opening`] decides.
    Open(Open),
    /// A server's packet takes over a connection whose beginning was not seen; then [`Known::opening`] decides.
    Adopt(ServerId),
}

/// What is done with a packet, when nothing has to be done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It ends here.
    Drop(DropReason),
    /// The same, and the other workers get copies within that budget: one of them may know more.
    Share(Purpose, DropReason),
    /// It is for one of the director's own addresses: for whoever waits for it there, or it ends for that reason.
    Deliver(DropReason),
    /// It goes to the worker that owns it.
    HandOver(WorkerId, HandOver),
    /// It is turned away: its sender is told, or not even that.
    Refuse(Refusal),
    /// It goes the way of its connection.
    Pass(Pass),
    /// An ICMP error goes to the end whose packet it quotes.
    Relay(Relay),
    /// A router reports what the way to some servers carries.
    Narrow(Narrow),
    /// Another station claims one of the director's addresses.
    Conflict(Conflict),
    /// An ARP packet is heard, and answered if it asks for an address of the director's.
    Hear(Hear),
}

impl From<Act> for Course {
    fn from(act: Act) -> Course {
        Course::Act(act)
    }
}

/// A packet goes the way of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The connection and the packet's direction.
    pub hit: Hit,
    /// The state of the connection from now on.
    pub state: State,
    /// It closes nothing although it says so: its sequence number is not what the server expects.
    pub is_doubted: bool,
    /// Who gets the packet next.
    pub neighbour: Option<NeighbourId>,
}

/// A connection ends by a packet of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Which.
    pub connection: ConnectionId,
    /// Why.
    pub why: Ended,
    /// What becomes of the packet then.
    pub then: Then,
}

/// Why a connection ends by a packet of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its server is gone.
    Orphaned,
    /// The client opens a connection where this one was closing.
    Reopened,
}

/// What becomes of the packet by which a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It may open another: see [`Known::unmatched`].
    Anew,
    /// Its sender is told that there is no connection.
    Refuse,
}

/// A packet opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The service.
    pub service: ServiceId,
    /// What to do if no server takes it.
    pub unserved: Unserved,
    /// The connection began elsewhere, and is taken over.
    pub adopts: bool,
}

impl From<Act> for Decision {
    /// It concerns nobody in particular.
    fn from(act: Act) -> Decision {
        Decision { about: About::Nobody, course: Course::Act(act) }
    }
}

impl Known {
    /// What is done with a packet that has been read.
    #[must_use]
    pub fn decide(&self, now: Instant, packet: &impl Packet, parsed: &Parsed, origin: Origin) -> Decision {
        match parsed.kind {
            Kind::Common | Kind::Flow => {
                match self.connections.find_from(parsed.hit, parsed.key, parsed.place) {
                    Some(hit) => self.matched(now, packet, parsed, hit),
                    None => self.unmatched(now, packet, parsed, origin),
                }
            }
            Kind::Icmp => self.icmp(now, packet, parsed, origin),
            Kind::Arp => self.arp(now, packet, origin).into(),
            Kind::OtherProtocol => self.other_protocol(now, parsed).into(),
            Kind::Drop => Act::Drop(parsed.reason).into(),
        }
    }
}
