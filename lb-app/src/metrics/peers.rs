//! What is measured of peers.

use super::text::{Family, Kind, Writer, labels};
use crate::control::sync;
use lb_core::peers::machine::PeerFacts;

/// Name and help of a family, its kind, and its value for a peer.
type Each = (&'static str, &'static str, Kind, fn(&PeerFacts) -> u64);

/// What is measured of each peer.
const EACH: [Each; 14] = [
    ("lb_peer_up", "Whether a peer is heard.", Kind::Gauge, |peer| peer.is_up.into()),
    ("lb_peer_complete", "Whether all that a peer has told has come.", Kind::Gauge, |peer| {
        peer.is_whole.into()
    }),
    ("lb_peer_same_tables", "0 if a peer's lookup tables are known to differ.", Kind::Gauge, |peer| {
        (peer.same_tables != Some(false)).into()
    }),
    ("lb_peer_held_connections", "Connections that a peer has told of.", Kind::Gauge, |peer| {
        peer.held as u64
    }),
    (
        "lb_peer_unacknowledged_changes",
        "Changes here that a peer has not acknowledged.",
        Kind::Gauge,
        |peer| peer.unacknowledged,
    ),
    ("lb_peer_sent_datagrams", "Datagrams to a peer.", Kind::Counter, |peer| peer.counts.sent[0]),
    ("lb_peer_sent_bytes", "Bytes of datagrams to a peer.", Kind::Counter, |peer| peer.counts.sent[1]),
    ("lb_peer_received_datagrams", "Datagrams from a peer that were believed.", Kind::Counter, |peer| {
        peer.counts.received[0]
    }),
    ("lb_peer_received_bytes", "Bytes of datagrams from a peer that were believed.", Kind::Counter, |peer| {
        peer.counts.received[1]
    }),
    ("lb_peer_sent_changes", "Changes sent to a peer, again ones included.", Kind::Counter, |peer| {
        peer.counts.changes_sent
    }),
    ("lb_peer_received_changes", "Changes of a peer that were taken.", Kind::Counter, |peer| {
        peer.counts.changes_received
    }),
    ("lb_peer_roomless_connections", "Connections of a peer that found no room.", Kind::Counter, |peer| {
        peer.counts.no_room
    }),
    ("lb_peer_gaps", "Times that changes of a peer were missing.", Kind::Counter, |peer| peer.counts.gaps),
    ("lb_peer_resent", "Times that changes were sent to a peer again.", Kind::Counter, |peer| {
        peer.counts.resent
    }),
];

/// Writes it, if there are peers.
pub(super) fn write<F: FnMut(Vec<u8>)>(facts: &sync::Facts, adopted: u64, writer: &mut Writer<F>) {
    if facts.peers.is_empty() {
        return;
    }
    let mut one = |name, help, kind, value| {
        writer.family(&Family { name, kind, help });
        writer.sample("", value);
    };
    one("lb_sync_connections", "Connections that peers are told of.", Kind::Gauge, facts.own[0]);
    one(
        "lb_sync_roomless_connections",
        "Connections that peers would be told of if there was room.",
        Kind::Gauge,
        facts.own[1],
    );
    one("lb_sync_held_connections", "Connections that peers have told of.", Kind::Gauge, facts.held);
    one("lb_sync_capacity", "How many connections can be told of, and held.", Kind::Gauge, facts.capacity);
    let help = "Whether peers are told of all connections, as a peer's lookup tables differ.";
    one("lb_sync_tells_all", help, Kind::Gauge, facts.tells_all.into());
    one("lb_sync_adopted_connections", "Connections taken over as peers told.", Kind::Counter, adopted);
    let help = "Clients of persistent services that peers are told of.";
    one("lb_sync_clients", help, Kind::Gauge, facts.own_clients[0]);
    let help = "Clients of persistent services that peers would be told of if there was room.";
    one("lb_sync_roomless_clients", help, Kind::Gauge, facts.own_clients[1]);
    let help = "Times that peers told of a client that stays with its server here, too.";
    one("lb_sync_taken_clients", help, Kind::Counter, facts.clients[0]);
    let help = "Times that peers told of a client that does not stay with its server here.";
    one("lb_sync_untaken_clients", help, Kind::Counter, facts.clients[1]);
    let named: Vec<String> =
        facts.peers.iter().map(|peer| labels(&[("peer", &peer.address.to_string())])).collect();
    for (name, help, kind, value) in EACH {
        writer.family(&Family { name, kind, help });
        named.iter().zip(&facts.peers).for_each(|(labels, peer)| writer.sample(labels, value(peer)));
    }
    let help = "Datagrams from a peer's address that were not believed, by reason.";
    writer.family(&Family { name: "lb_peer_refused_datagrams", kind: Kind::Counter, help });
    for peer in &facts.peers {
        let address = peer.address.to_string();
        let counts = &peer.counts;
        let reasons = [
            ("wrong-key", counts.wrong_key),
            ("other-version", counts.other_version),
            ("replayed", counts.replayed),
            ("malformed", counts.malformed),
        ];
        for (reason, count) in reasons {
            writer.sample(&labels(&[("peer", &address), ("reason", reason)]), count);
        }
    }
}
