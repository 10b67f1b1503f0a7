//! What happened: a list that the director keeps in memory, the latest at its end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

/// Events on one page, at most.
pub const PAGE: u32 = 200;

/// Requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Events, oldest first.
    List {
        /// Those with a larger sequence number only.
        #[serde(default)]
        after: Option<u64>,
        /// The run that `after` is of. In another run nothing of this one is known, so all of it is listed.
        #[serde(default)]
        run: Option<u64>,
        /// The latest so many, if `after` is not given.
        #[serde(default)]
        latest: Option<u32>,
    },
}

/// A page of events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Events {
    /// This run of the director: another number after each start, and then sequence numbers begin anew.
    pub run: u64,
    /// Events that were asked for and are no longer kept.
    pub missed: u64,
    /// Events, oldest first.
    pub events: Vec<Event>,
    /// The sequence number that the next page, or what happens later, is after.
    pub after: u64,
    /// Whether there is a next page now.
    pub more: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number in this run, from 1.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What kind of thing.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// What happened, in words.
    pub text: String,
    /// Name of the service that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The server that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who did it, if an operator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Line by line, what became different.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

impl Event {
    /// All of it in one line, but for time and details.
    #[must_use]
    pub fn line(&self) -> String {
        let Event { text, service, server, reason, by, .. } = self;
        let mut line = String::new();
        let server = server.map(|server| server.to_string());
        for part in [service.as_deref(), server.as_deref()].into_iter().flatten() {
            line += part;
            line.push(' ');
        }
        if !line.is_empty() {
            line.pop();
            line += ": ";
        }
        line += text;
        if let Some(reason) = reason {
            line += ": ";
            line += reason;
        }
        if let Some(by) = by {
            line += " (by ";
            line += by;
            line.push(')');
        }
        line
    }
}

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// As it should be.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Something does not work.
    Error,
}

impl Severity {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Defines the kinds, each with its word and how bad it is.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident $name:literal $severity:ident,)*) => {
        /// Kinds of events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind {
            $($(#[doc = $doc])+ $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// Its word.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Kind::$kind => Severity::$severity,)* }
            }
        }
    };
}

kinds! {
    /// The director forwards.
    Started "started" Info,
    /// It is about to end.
    Stopping "stopping" Info,
    /// A server is up.
    ServerUp "server-up" Info,
    /// A server is down.
    ServerDown "server-down" Warning,
    /// A server went down too often and is held.
    ServerHeld "server-held" Warning,
    /// An operator enabled a server.
    ServerEnabled "server-enabled" Info,
    /// An operator drains a server.
    ServerDrained "server-drained" Info,
    /// An operator disabled a server, or its time to drain is over.
    ServerDisabled "server-disabled" Info,
    /// A service has its quorum again.
    QuorumReached "quorum-reached" Info,
    /// A service has lost its quorum.
    QuorumLost "quorum-lost" Warning,
    /// The sorry server of a service gets new connections.
    SorryServerServes "sorry-server-serves" Warning,
    /// It gets no more.
    SorryServerWaits "sorry-server-waits" Info,
    /// All servers of a service failed, and those that worked last are used.
    AllFailed "all-failed" Warning,
    /// That is over.
    AllFailedOver "all-failed-over" Info,
    /// A hook failed or was not run.
    HookFailed "hook-failed" Warning,
    /// The configuration was changed at run time.
    Changed "changed" Info,
    /// The configuration file was applied.
    Reloaded "reloaded" Info,
    /// The configuration file was refused: nothing has changed.
    ReloadRefused "reload-refused" Error,
    /// A reload waits to be confirmed.
    ReloadPending "reload-pending" Info,
    /// It was confirmed.
    ReloadConfirmed "reload-confirmed" Info,
    /// It was not, and was rolled back.
    ReloadRolledBack "reload-rolled-back" Warning,
    /// It was not, and could not be rolled back.
    RollbackFailed "rollback-failed" Error,
    /// Somebody asked for what their role does not allow.
    Forbidden "forbidden" Warning,
    /// The running configuration was written to the configuration file.
    Saved "saved" Info,
    /// Connections were ended by an operator.
    ConnectionsEnded "connections-ended" Info,
    /// Another host claims an address of this director.
    AddressConflict "address-conflict" Warning,
    /// A next hop does not answer.
    NeighbourLost "neighbour-lost" Warning,
    /// A next hop answers.
    NeighbourFound "neighbour-found" Info,
    /// The link of a port is up.
    LinkUp "link-up" Info,
    /// The link of a port is down.
    LinkDown "link-down" Warning,
    /// The network interface of a port no longer exists.
    LinkGone "link-gone" Warning,
    /// Packets can pass by a member of a bond, or could.
    MemberUp "member-up" Info,
    /// They cannot.
    MemberDown "member-down" Warning,
    /// An operator started a port.
    PortStarted "port-started" Info,
    /// An operator stopped a port.
    PortStopped "port-stopped" Info,
    /// The director became active or went on standby, as a whole or for a VIP.
    RoleChanged "role-changed" Info,
    /// The director withdraws its VIPs, then stops.
    DirectorDraining "director-draining" Info,
    /// A VIP is announced to routing daemons.
    VipAnnounced "vip-announced" Info,
    /// A VIP is withdrawn from routing daemons.
    VipWithdrawn "vip-withdrawn" Warning,
    /// Ports are polled again.
    ForwardingStarted "forwarding-started" Info,
    /// No port is polled.
    ForwardingStopped "forwarding-stopped" Warning,
    /// A worker stands still, or keeps an old configuration because it does not respond.
    WorkerStuck "worker-stuck" Error,
    /// It goes on.
    WorkerRecovered "worker-recovered" Info,
    /// A worker exited unexpectedly.
    WorkerExited "worker-exited" Error,
    /// Many packets a second are dropped for one reason.
    DropsBegan "drops-began" Warning,
    /// No longer.
    DropsEnded "drops-ended" Info,
    /// A peer is heard.
    PeerHeard "peer-heard" Info,
    /// A peer has not been heard for a while.
    PeerSilent "peer-silent" Warning,
    /// What came from a peer's address is not believed: another key, or another version.
    PeerRefused "peer-refused" Warning,
    /// A peer's lookup tables differ from this director's, so that it is told of all connections.
    PeersDiffer "peers-differ" Warning,
    /// They are the same again.
    PeersAgree "peers-agree" Info,
    /// The socket for peers cannot be had yet.
    SyncUnavailable "sync-unavailable" Warning,
    /// There is no room for more connections that peers tell of, or are to be told of.
    SyncFull "sync-full" Warning,
    /// There is again.
    SyncRoom "sync-room" Info,
    /// Metrics cannot be served, because the address is taken for example.
    MetricsUnavailable "metrics-unavailable" Warning,
    /// Metrics are served.
    MetricsServed "metrics-served" Info,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_protocol() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        for severity in [Severity::Info, Severity::Warning, Severity::Error] {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        }
    }
}
