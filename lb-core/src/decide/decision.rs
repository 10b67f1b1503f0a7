//! What can be done with a packet, as values.

use super::budgets::Purpose;
use crate::{
    conn::{connections::Hit, datagram::Part, state::State},
    counters::DropReason,
    family::{Family, Problem, V4},
    flow::local_port::Dealing,
    forward::{quote::Quote, wrapped::Carrier},
    ids::{ConnectionId, InterfaceId, NeighbourId, ServerId, ServiceId},
    packet::{HandOver, WorkerId},
    peers::told::Teller,
    service::plan::Unserved,
    wire::{ethernet::Mac, resolution::Resolution},
};
use std::net::IpAddr;

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
pub struct Decision<F: Family = V4> {
    /// Whom the packet concerns.
    pub about: About,
    /// What is done with it.
    pub course: Course<F>,
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
    /// A server that answers through the director, or somebody who sends to a local address, and who owns the flow.
    Reply(Owner),
}

/// What is done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course<F: Family = V4> {
    /// This, and nothing follows.
    Act(Act<F>),
    /// It is a fragment, and this worker knows of its datagram; then [`Known::note`](super::known::Known::note) says what is
    /// to be taken note of, and [`Known::noted`](super::known::Known::noted) decides.
    Fragment(Fragment),
    /// Its connection ends; then [`Known::after`](super::known::Known::after) decides.
    End(End),
    /// It opens a connection with the server that the scheduler chooses; then [`Known::opening`](super::known::Known::opening) decides.
    Open(Open),
    /// A server's packet takes over a connection whose beginning was not seen; then [`Known::opening`](super::known::Known::opening) decides.
    Adopt(Adopt),
}

/// What is done with a packet, when nothing has to be done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<F: Family = V4> {
    /// It ends here.
    Drop(DropReason),
    /// The same, and the other workers get copies within that budget: one of them may know more.
    Share(Purpose, DropReason),
    /// It is for one of the director's own addresses: for whoever waits for it there, or it ends for that reason.
    Host(DropReason),
    /// It goes to the worker that owns it.
    HandOver(WorkerId, HandOver),
    /// It is turned away: its sender is told, or not even that.
    Refuse(Refusal<F>),
    /// It goes the way of its connection.
    Pass(Pass),
    /// A fragment waits for the first of its datagram.
    Hold(Hold),
    /// An ICMP error goes to the end whose packet it quotes.
    Relay(Relay<F>),
    /// A router reports what the way to some servers carries.
    Narrow(Narrow<F>),
    /// Another station claims one of the director's addresses.
    Conflict(Conflict),
    /// A station that says where it is, is heard, and answered if it asks for an address of the director's.
    Hear(Hear),
}

impl<F: Family> From<Act<F>> for Course<F> {
    fn from(act: Act<F>) -> Self {
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
    /// It closes nothing although it says so: its sequence number, or tag of SCTP, is not what the server expects.
    pub is_doubted: bool,
    /// Who gets the packet next.
    pub neighbour: Option<NeighbourId>,
}

/// Whose fragments they are. Each side has a table and a queue of its own, so that a flood of one leaves the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Clients'.
    Clients,
    /// Servers', by a port that servers are behind.
    Servers,
}

/// What a worker is to a fragment. Small, since every decision is as large as the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Whose it is.
    pub side: Side,
    /// What this worker is to its datagram.
    pub part: Part,
}

/// A fragment waits for the first of its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Among whose fragments.
    pub side: Side,
    /// The place of its datagram.
    pub place: u16,
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
    /// Nothing came of it here, and a peer has told of another one of the same client.
    Elsewhere,
}

/// What becomes of the packet by which a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It may open another: see [`Known::unmatched`](super::known::Known::unmatched).
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
    /// With which server, as another director tells; the scheduler is not asked then.
    pub told: Option<Told>,
}

/// A connection that another director has told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its server.
    pub server: ServerId,
    /// Who tells of it.
    pub teller: Teller,
}

/// A server's packet takes a connection over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopt {
    /// The server.
    pub server: ServerId,
    /// Who tells of the connection; `None` if the service adopts whatever comes.
    pub teller: Option<Teller>,
}

impl<F: Family> From<Act<F>> for Decision<F> {
    /// It concerns nobody in particular.
    fn from(act: Act<F>) -> Self {
        Decision { about: About::Nobody, course: Course::Act(act) }
    }
}

/// Another station claims one of the director's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What it says.
    pub claim: Claim,
    /// Whether the director says again that the address is its own.
    pub defend: bool,
    /// Whether the address is left to the other station.
    pub yields: bool,
    /// Whether this worker is the first to hear of it, and the others are told if it yields.
    pub is_first: bool,
}

/// What the sender says of itself is taken note of, and its question answered, as far as either concerns the director.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hear {
    /// What the sender says of itself.
    pub claim: Claim,
    /// The neighbour that the sender is, if the director deals with it.
    pub neighbour: Option<NeighbourId>,
    /// Whether the other workers are to hear it, and the budget for that.
    pub share: Option<Purpose>,
    /// The answer to the sender's question.
    pub answer: Option<Reply>,
    /// The host side of the port hears it, too.
    pub kernel: bool,
    /// Why the packet ends if nobody here has asked.
    pub otherwise: DropReason,
}

/// An answer to who asks for an address of the director's. It takes the place of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it says.
    pub resolution: Resolution,
    /// Where it stands in the frame.
    pub at: usize,
    /// Whom it is for.
    pub to: Mac,
    /// The director's Ethernet address.
    pub from: Mac,
}

/// A station says that it has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The interface on whose network it says so.
    pub interface: InterfaceId,
    /// The address.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: Mac,
}

/// An ICMP error goes to the end whose packet it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay<F: Family = V4> {
    /// The connection, and the direction of the error.
    pub hit: Hit,
    /// The quoted packet.
    pub quote: Quote<F>,
    /// Who gets the error next; `None` also for a client's next hop that is yet to be taken into the table.
    pub neighbour: Option<NeighbourId>,
}

/// A router reports that the way to some servers carries only so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow<F: Family = V4> {
    /// The director's end of the tunnel.
    pub source: F::Address,
    /// The servers' end.
    pub server: F::Address,
    /// What the tunnel is.
    pub carrier: Carrier,
    /// Bytes of the largest packet that gets through.
    pub mtu: u16,
}

/// A packet is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<F: Family = V4> {
    /// What its sender is told.
    pub answer: Answer<F>,
    /// Why; also what is counted if it must not be answered.
    pub reason: DropReason,
}

/// What the sender of a packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<F: Family = V4> {
    /// Nothing: the VIP says so.
    Silence,
    /// A TCP reset, or what does the same in SCTP.
    Reset,
    /// An ICMP error from that address.
    Error(F::Address, Problem),
    /// An echo reply. Not a refusal, but made in the same way and within the same limit.
    Echo,
}

/// The worker that owns a flow, and what that follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Who.
    pub worker: WorkerId,
    /// What it follows from.
    pub basis: Basis,
}

/// What a flow's owner follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Where its packets arrive: the port always delivers them to the same worker.
    Arrival,
    /// The ports' own hash of the client's address and port, over a redirection table of that length.
    Rss(u16),
    /// The same with keys that see the client's end only.
    ZeroWindow,
    /// A hash of the client's address, port and the protocol.
    Client,
    /// The local address and port, which are dealt out to workers like that.
    LocalPort(Dealing),
}
