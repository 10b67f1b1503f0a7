//! Peers.

use super::units::span;
use crate::protocol::sync::{Ipvs, Peer, Peers};
use std::{fmt::Write, net::SocketAddr};

pub(super) fn peers(text: &mut String, peers: &Peers) {
    match peers.listen {
        Some(listen) => among(text, peers, listen),
        None => {
            let _ = writeln!(text, "no peers: there are no `peers` in [sync]");
        }
    }
    if let Some(it) = &peers.ipvs {
        ipvs(text, it);
    }
}

fn among(text: &mut String, peers: &Peers, listen: SocketAddr) {
    let _ = writeln!(text, "this director is {listen}; {} peers", peers.peers.len());
    if let Some(why) = &peers.waits_for {
        let _ = writeln!(text, "no socket yet: {why}");
    }
    let Peers { told, refused, held, capacity, adopted, strangers, look_ms, .. } = peers;
    let what = if peers.tells_all { "all connections older than 3 s" } else { "exceptions" };
    let _ =
        writeln!(text, "told: {what}, {told} of {capacity}, {refused} without room; looked in {look_ms} ms");
    let _ = writeln!(text, "held: {held} of {capacity}; taken over: {adopted}");
    if peers.clients_told + peers.clients_refused + peers.clients_taken + peers.clients_not_taken > 0 {
        let _ = writeln!(
            text,
            "clients of persistent services: told {}, {} without room; taken {}, not taken {}",
            peers.clients_told, peers.clients_refused, peers.clients_taken, peers.clients_not_taken
        );
    }
    if *strangers > 0 {
        let _ = writeln!(text, "{strangers} datagrams from addresses that are no peer's");
    }
    peers.peers.iter().for_each(|it| peer(text, it));
}

fn peer(text: &mut String, peer: &Peer) {
    let heard = match (peer.up, peer.heard_ms_ago) {
        (true, _) => "up".to_owned(),
        (false, Some(ago)) => format!("silent for {}", span(ago)),
        (false, None) => "never heard".to_owned(),
    };
    let complete = if peer.complete { "complete" } else { "not complete" };
    let tables = match peer.same_tables {
        Some(true) => ", same lookup tables",
        Some(false) => ", other lookup tables",
        None => "",
    };
    let _ = writeln!(text, "peer {}: {heard}, {complete}{tables}", peer.address);
    let _ = writeln!(
        text,
        "  held {}, {} changes missing, {} not acknowledged",
        peer.held, peer.missing, peer.unacknowledged
    );
    let _ = writeln!(
        text,
        "  sent {} datagrams {} bytes {} changes; received {} datagrams {} bytes {} changes",
        peer.sent,
        peer.sent_bytes,
        peer.changes_sent,
        peer.received,
        peer.received_bytes,
        peer.changes_received
    );
    let _ = writeln!(
        text,
        "  gaps {} resent {} told-anew {}; refused: wrong-key {} other-version {} replayed {} malformed {} no-room {}",
        peer.gaps,
        peer.resent,
        peer.tellings,
        peer.wrong_key,
        peer.other_version,
        peer.replayed,
        peer.malformed,
        peer.no_room
    );
}

fn ipvs(text: &mut String, ipvs: &Ipvs) {
    let Ipvs { interface, group, syncid, capacity, .. } = ipvs;
    let _ = writeln!(text, "IPVS: {group} on {interface}, syncid {syncid}");
    if let Some(why) = &ipvs.waits_for {
        let _ = writeln!(text, "  no socket yet: {why}");
    }
    if let Some(it) = &ipvs.backup {
        let senders: Vec<String> = it.senders.iter().map(ToString::to_string).collect();
        let from = if senders.is_empty() { "nobody yet".to_owned() } else { senders.join(", ") };
        let _ = writeln!(
            text,
            "  backup: held {} of {capacity}; taken over: {}; heard from {from}",
            it.held, it.adopted
        );
        let _ = writeln!(
            text,
            "  received {} datagrams: {} connections, {} that ended, {} clients; no-room {} clients-unknown {}{}{}",
            it.datagrams,
            it.connections,
            it.ended,
            it.clients,
            it.no_room,
            it.clients_unknown,
            counted("not kept", &it.unfit),
            counted("refused", &it.refused)
        );
    }
    if let Some(it) = &ipvs.master {
        let _ = writeln!(
            text,
            "  master: told {} of {capacity}, {} without room, {} that IPVS could not go on with; looked in {} ms",
            it.told, it.no_room, it.untellable, it.look_ms
        );
        let _ = writeln!(
            text,
            "  clients told {}, {} without room, {} whose service IPVS has no word for",
            it.clients, it.clients_no_room, it.clients_untellable
        );
        let _ = writeln!(text, "  sent {} datagrams {} bytes {} entries", it.datagrams, it.bytes, it.entries);
    }
}

/// Those of the counts that are not 0.
fn counted(what: &str, counts: &[(String, u64)]) -> String {
    let counts: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!(" {reason} {count}"))
        .collect();
    if counts.is_empty() { String::new() } else { format!("; {what}:{}", counts.concat()) }
}
