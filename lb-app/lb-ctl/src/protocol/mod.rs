//! The protocol of the control socket.
//!
//! One request is one line of JSON, a [`Call`]; its answer is one line, a [`Return`]. A client sends its next request
//! when it has the answer to the last. Requests and answers are grouped by subject, a file each; what is long comes in
//! pages, each with a cursor that asks for the next.

pub mod bytes;
pub mod capture;
pub mod connections;
mod cursor;
pub mod director;
pub mod events;
pub mod explain;
pub mod forward;
pub mod framing;
pub mod health;
pub mod host;
pub mod interfaces;
pub mod keys;
pub mod local_addresses;
pub mod memory;
pub mod neighbours;
pub mod options;
pub mod overview;
pub mod persistence;
pub mod ports;
pub mod routes;
pub mod schema;
pub mod services;
pub mod snat;
pub mod sync;
pub mod timeouts;
pub mod trace;
mod words;
pub mod workers;

pub use cursor::Cursor;
pub use keys::Protocol;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of the protocol. A director answers requests of its own version only; new fields and requests do not make a
/// new version, fields that go or change their meaning do.
pub const VERSION: u32 = 1;

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// [`VERSION`].
    pub version: u32,
    /// Repeated in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What is wanted.
    pub request: Request,
}

impl Call {
    /// A request of this version.
    #[must_use]
    pub fn new(request: Request) -> Self {
        Call { version: VERSION, id: None, request }
    }
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Return {
    /// [`VERSION`].
    pub version: u32,
    /// The request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "one at a time, on its way to a line of text")]
pub enum Outcome {
    /// It was answered.
    Reply(Reply),
    /// It was not.
    Error(Refusal),
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// The director as a whole.
    Director(director::Request),
    /// Virtual services and their real servers.
    Services(services::Request),
    /// Services in a line each.
    Overview(overview::Request),
    /// Results of health checks.
    Health(health::Request),
    /// Connections.
    Connections(connections::Request),
    /// Next hops and their Ethernet addresses.
    Neighbours(neighbours::Request),
    /// What the director is on the networks behind its ports.
    Interfaces(interfaces::Request),
    /// Attached networks and static routes.
    Routes(routes::Request),
    /// Host sides of ports, and the addresses that the director answers for.
    Host(host::Request),
    /// Local addresses of FullNAT.
    LocalAddresses(local_addresses::Request),
    /// Rules of SNAT.
    Snat(snat::Request),
    /// Which servers clients stay with.
    Persistence(persistence::Request),
    /// Peers.
    Sync(sync::Request),
    /// Ports.
    Ports(ports::Request),
    /// What was forwarded, handed over and dropped.
    Forward(forward::Request),
    /// Workers.
    Workers(workers::Request),
    /// Timeouts of connections.
    Timeouts(timeouts::Request),
    /// Memory and tables.
    Memory(memory::Request),
    /// What would happen to a packet.
    Explain(explain::Request),
    /// Explanations of packets as they pass.
    Trace(trace::Request),
    /// Packets in files.
    Capture(capture::Request),
    /// What happened.
    Events(events::Request),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done.
    Done(Done),
    /// The director as a whole.
    About(director::About),
    /// Which VIPs are announced.
    Announced(director::Announced),
    /// Names that commands take.
    Names(director::Names),
    /// Services, a page of them.
    Services(services::Services),
    /// Services in a line each, the worst first.
    Overview(overview::Overview),
    /// What checks found, a page of it.
    Health(health::Health),
    /// How many connections there are.
    ConnectionCount(connections::Count),
    /// Connections, a page of them.
    Connections(connections::Connections),
    /// One connection.
    Connection(connections::Connection),
    /// Connections that were ended, by a page of entries.
    Flushed(connections::Flushed),
    /// Neighbours.
    Neighbours(neighbours::Neighbours),
    /// Interfaces.
    Interfaces(interfaces::Interfaces),
    /// Routes.
    Routes(routes::Routes),
    /// Local addresses of FullNAT.
    LocalAddresses(local_addresses::LocalAddresses),
    /// Rules of SNAT.
    Snat(snat::Rules),
    /// Clients that are remembered.
    Persistence(persistence::Clients),
    /// Host sides of ports, and the addresses that the director answers for.
    Host(host::Host),
    /// What is known of peers.
    Peers(sync::Peers),
    /// What ports are.
    PortInfo(ports::Infos),
    /// What ports counted.
    PortStats(ports::Stats),
    /// What ports counted, in their drivers' words.
    PortXstats(ports::Xstats),
    /// How ports choose queues.
    PortRss(ports::Rss),
    /// Forwarding setup.
    Configuration(director::Configuration),
    /// What was forwarded.
    ForwardStats(forward::Stats),
    /// What was dropped.
    Drops(forward::Drops),
    /// Workers.
    Workers(workers::Workers),
    /// Timeouts.
    Timeouts(timeouts::Timeouts),
    /// Memory.
    Memory(memory::Memory),
    /// Tables.
    Tables(memory::Tables),
    /// What would happen to a packet.
    Explanation(explain::Explanation),
    /// What became of packets.
    Stories(trace::Stories),
    /// Traces.
    Traces(trace::Traces),
    /// Captures.
    Captures(capture::Captures),
    /// A piece of a capture.
    Captured(capture::Captured),
    /// What happened, a page of it.
    Events(events::Events),
}

/// It is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// Whether anything is different now; not said where that is no question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    /// What the operator should know about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people: what is wrong, and what to do about it.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The line is not a request.
    BadRequest,
    /// The request is of another version.
    OtherVersion,
    /// What the request names does not exist.
    NotFound,
    /// There is such a thing already.
    Exists,
    /// It cannot be done this way.
    Invalid,
    /// The director, or the driver of a port, cannot do it.
    Unsupported,
    /// Something else is being done that must end first.
    Busy,
    /// Who asks may not do that.
    Forbidden,
    /// A worker did not respond in time.
    Timeout,
    /// It went wrong although it should not have.
    Failed,
}
