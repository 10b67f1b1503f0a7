//! Peers: directors that tell one another of connections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// What is known of peers.
    Show,
}

/// What is known of peers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peers {
    /// The director's own address among them; nothing if there are no peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Why it has no socket there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Connections that peers are told of.
    pub told: u64,
    /// Connections that they would be told of if there was room.
    pub refused: u64,
    /// Connections of all peers that are held.
    pub held: u64,
    /// How many can be told, and held.
    pub capacity: u64,
    /// Peers are told of all connections older than 3 s, since a peer's lookup tables differ.
    pub tells_all: bool,
    /// Connections that this director has taken over as peers told.
    pub adopted: u64,
    /// Clients of persistent services that peers are told of.
    #[serde(default)]
    pub clients_told: u64,
    /// Clients that they would be told of if there was room.
    #[serde(default)]
    pub clients_refused: u64,
    /// Times that peers told of a client that stays with its server here, too.
    #[serde(default)]
    pub clients_taken: u64,
    /// Times that they told of one that does not: its service or server is not configured here, it has connections with
    /// another server here, or there is no room.
    #[serde(default)]
    pub clients_not_taken: u64,
    /// Datagrams from addresses that are no peer's.
    pub strangers: u64,
    /// How long the last look at all connections took, in milliseconds.
    pub look_ms: u64,
    /// The peers.
    pub peers: Vec<Peer>,
    /// Synchronization with directors of IPVS, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipvs: Option<Box<Ipvs>>,
}

/// Synchronization with directors of IPVS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ipvs {
    /// The kernel's interface.
    pub interface: String,
    /// The group.
    pub group: SocketAddr,
    /// The number of the synchronization.
    pub syncid: u32,
    /// Why it has no socket there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Connections that can be held, and told.
    pub capacity: u64,
    /// What masters tell, if it is heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<IpvsBackup>,
    /// What backups are told, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<IpvsMaster>,
}

/// What masters tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IpvsBackup {
    /// Who has told something: the first 16.
    pub senders: Vec<IpAddr>,
    /// Connections that are held.
    pub held: u64,
    /// Connections that this director has taken over as masters told.
    pub adopted: u64,
    /// Datagrams that were taken.
    pub datagrams: u64,
    /// Entries of connections that live.
    pub connections: u64,
    /// Entries of connections that are over.
    pub ended: u64,
    /// Entries of clients of persistent services that stay with their servers here, too.
    pub clients: u64,
    /// Entries of clients of services or servers that are not configured here, or found no room.
    pub clients_unknown: u64,
    /// Entries of connections that found no room.
    pub no_room: u64,
    /// Entries of what cannot be kept here, by reason.
    pub unfit: Vec<(String, u64)>,
    /// Datagrams that were not taken, by reason.
    pub refused: Vec<(String, u64)>,
}

/// What backups are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IpvsMaster {
    /// Connections that they are told of.
    pub told: u64,
    /// Connections without room.
    pub no_room: u64,
    /// Connections that IPVS could not go on with.
    pub untellable: u64,
    /// Clients of persistent services that they are told of.
    #[serde(default)]
    pub clients: u64,
    /// Clients without room.
    #[serde(default)]
    pub clients_no_room: u64,
    /// Clients whose service IPVS has no word for.
    #[serde(default)]
    pub clients_untellable: u64,
    /// Datagrams.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries in them.
    pub entries: u64,
    /// How long the last look at all connections took, in milliseconds.
    pub look_ms: u64,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// It is heard.
    pub up: bool,
    /// Milliseconds since it was heard last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ms_ago: Option<u64>,
    /// All that it has told has come.
    pub complete: bool,
    /// Connections of its that are held.
    pub held: u64,
    /// Changes of its that are still to come.
    pub missing: u64,
    /// Changes here that it has not acknowledged.
    pub unacknowledged: u64,
    /// Whether its lookup tables are made of the same, once it has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_tables: Option<bool>,
    /// Datagrams to it.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Datagrams from it that were believed.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Changes that were sent to it, again ones included.
    pub changes_sent: u64,
    /// Changes of its that were taken.
    pub changes_received: u64,
    /// Connections of its that found no room.
    pub no_room: u64,
    /// Times that changes of its were missing and asked for.
    pub gaps: u64,
    /// Times that changes were sent to it again.
    pub resent: u64,
    /// Times that it was told everything.
    pub tellings: u64,
    /// Datagrams from its address that were sealed with another key.
    pub wrong_key: u64,
    /// Datagrams that came twice or are of another run.
    pub replayed: u64,
    /// Datagrams that mean nothing.
    pub malformed: u64,
    /// Datagrams of another version.
    pub other_version: u64,
}
