//! Peers.

use crate::control::{
    plane::ControlPlane,
    sync::{Facts, ipvs},
};
use lb_core::peers::machine::PeerFacts;
use lb_ctl::protocol::{
    Reply,
    sync::{Ipvs, IpvsBackup, IpvsMaster, Peer, Peers, Request},
};

pub(super) fn answer(plane: &ControlPlane, request: &Request) -> Reply {
    let Request::Show = request;
    let ipvs = plane.ipvs.as_ref().map(|known| Box::new(synchronized(plane, &known.facts())));
    let Some(known) = &plane.peers else { return Reply::Peers(Peers { ipvs, ..Peers::default() }) };
    let facts = known.facts();
    let adopted = plane.running.workers.iter().map(|worker| worker.counters.peers_adopted.get()).sum();
    Reply::Peers(Peers {
        listen: facts.listen.or(plane.running.config.sync.listen),
        waits_for: facts.waits_for.clone(),
        told: facts.own[0],
        refused: facts.own[1],
        held: facts.held,
        capacity: facts.capacity,
        tells_all: facts.tells_all,
        adopted,
        clients_told: facts.own_clients[0],
        clients_refused: facts.own_clients[1],
        clients_taken: facts.clients[0],
        clients_not_taken: facts.clients[1],
        strangers: facts.strangers,
        look_ms: facts.look_ms,
        peers: facts.peers.iter().map(|peer| told(&facts, peer)).collect(),
        ipvs,
    })
}

fn told(facts: &Facts, peer: &PeerFacts) -> Peer {
    let counts = &peer.counts;
    Peer {
        address: peer.address,
        up: peer.is_up,
        heard_ms_ago: peer.heard.map(|heard| facts.now.since(heard).as_millis()),
        complete: peer.is_whole,
        held: peer.held as u64,
        missing: peer.missing,
        unacknowledged: peer.unacknowledged,
        same_tables: peer.same_tables,
        sent: counts.sent[0],
        sent_bytes: counts.sent[1],
        received: counts.received[0],
        received_bytes: counts.received[1],
        changes_sent: counts.changes_sent,
        changes_received: counts.changes_received,
        no_room: counts.no_room,
        gaps: counts.gaps,
        resent: counts.resent,
        tellings: counts.tellings,
        wrong_key: counts.wrong_key,
        replayed: counts.replayed,
        malformed: counts.malformed,
        other_version: counts.other_version,
    }
}

fn synchronized(plane: &ControlPlane, facts: &ipvs::Facts) -> Ipvs {
    let running = &plane.running;
    let settings = &running.current().config.ipvs_sync;
    let named = |counts: &[(&'static str, u64)]| {
        counts.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
    };
    Ipvs {
        interface: settings.interface.clone().unwrap_or_default(),
        group: settings.group,
        syncid: settings.syncid,
        waits_for: facts.waits_for.clone().filter(|why| !why.is_empty()),
        capacity: settings.entries.into(),
        backup: facts.backup.map(|(counts, held)| IpvsBackup {
            senders: facts.senders.clone(),
            held: held as u64,
            adopted: running.workers.iter().map(|worker| worker.counters.masters_adopted.get()).sum(),
            datagrams: counts.datagrams,
            connections: counts.connections,
            ended: counts.ended,
            clients: counts.clients,
            clients_unknown: counts.clients_unknown,
            no_room: counts.no_room,
            unfit: named(&counts.unfit()),
            refused: named(&counts.refused()),
        }),
        master: facts.master.map(|(counts, [told, clients])| IpvsMaster {
            told: told as u64,
            no_room: counts.no_room,
            untellable: counts.untellable,
            clients: clients as u64,
            clients_no_room: counts.clients_no_room,
            clients_untellable: counts.clients_untellable,
            datagrams: counts.datagrams,
            bytes: counts.bytes,
            entries: counts.entries,
            look_ms: facts.look_ms,
        }),
    }
}
