//! What would happen to a packet, and why.

use super::{Protocol, keys::Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// A packet that might come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What it is.
    pub protocol: Packet,
    /// Where it comes from. Of a packet without ports its port is 0.
    #[schemars(with = "String")]
    pub source: SocketAddr,
    /// Destination of the packet: an address and port, or a service's name. Of a packet without ports an address, or one with
    /// port 0.
    pub destination: Target,
    /// Its TCP flags, or what they stand for in SCTP: SYN for INIT, ACK for data, FIN for SHUTDOWN, RST for ABORT. Without them:
    /// an acknowledgement if there is such a connection, else a SYN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// Number or name of the port, or name of the interface, that it arrives on; without it, the interface that its source is
    /// behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The connection ID of QUIC that a datagram has, in hexadecimal digits; without it, the datagram is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quic_id: Option<String>,
    /// The call of PPTP that a packet of GRE is of, as its receiver numbers it; without it, the packet is of no call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<u16>,
}

/// What a packet is: of a transport protocol, or of one without ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Packet {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// An echo request of a server, or the answer to one.
    Icmp,
    /// GRE, which packets of PPTP's calls are.
    Gre,
    /// IPsec's ESP.
    Esp,
    /// IPsec's AH.
    Ah,
}

impl Packet {
    /// Its transport protocol, if it has ports.
    #[must_use]
    pub const fn transport(self) -> Option<Protocol> {
        match self {
            Packet::Tcp => Some(Protocol::Tcp),
            Packet::Udp => Some(Protocol::Udp),
            Packet::Sctp => Some(Protocol::Sctp),
            Packet::Icmp => Some(Protocol::Icmp),
            Packet::Gre | Packet::Esp | Packet::Ah => None,
        }
    }
}

impl From<Protocol> for Packet {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Packet::Tcp,
            Protocol::Udp => Packet::Udp,
            Protocol::Sctp => Packet::Sctp,
            Protocol::Icmp => Packet::Icmp,
        }
    }
}

/// A TCP flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// It opens a connection, or agrees to one.
    Syn,
    /// It acknowledges.
    Ack,
    /// It closes a direction.
    Fin,
    /// It aborts.
    Rst,
}

/// What would happen to it: at the worker that it arrives at, then at its owner, if that is another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Worker by worker.
    pub workers: Vec<Told>,
}

/// What happens at one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// Its number.
    pub worker: u32,
    /// The service concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The server that gets the packet or sent it, as address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Whether the worker has the connection.
    pub known: bool,
    /// Stage by stage.
    pub steps: Vec<Step>,
    /// What happens to the packet in the end.
    pub outcome: Outcome,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// `port`, `owner`, `service`, `connection`, `scheduler`, `method`, `mtu`, `next-hop` or `outcome`.
    pub stage: String,
    /// What was found there, and what follows.
    pub text: String,
}

/// What happens to a packet in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// It is sent.
    Sent {
        /// The port it leaves by.
        port: String,
        /// The Ethernet address it is sent to.
        mac: String,
        /// Bytes of the frame.
        bytes: u64,
    },
    /// It waits for the Ethernet address of its next hop.
    Waits {
        /// The port it will leave by.
        port: String,
        /// The next hop.
        next_hop: IpAddr,
    },
    /// It waits for the first fragment of its datagram.
    Held,
    /// The director answers it.
    Answered {
        /// Bytes of the answer's frame.
        bytes: u64,
    },
    /// Another worker gets it.
    HandedOver {
        /// That worker.
        to: u32,
        /// Why.
        why: String,
    },
    /// It is for the director itself.
    Host,
    /// It ends here.
    Dropped {
        /// Why; `show drops` counts these.
        reason: String,
    },
}
