//! Connections, asked of workers slice by slice.

use super::{
    answer::{Answer, done, not_found, timeout, word},
    called,
    keys::{meant, told},
};
use crate::{
    control::live::{
        running::{Current, Running},
        workers::Listed,
    },
    dataplane::{asks::ConnectionMatch, connection_view::ConnectionView},
    journal::Happened,
};
use ipnet::IpNet;
use lb_core::{
    conn::state::State,
    flow::key::Ends,
    service::{plan::Method, snapshot::Snapshot},
};
use lb_ctl::protocol::{
    Code, Cursor, Refusal, Reply,
    connections::{self as said, Connections, Count, Endpoints, Filter, Flushed, PAGE, Request},
    events::Kind,
};
use std::{net::SocketAddr, sync::Arc};

/// Slices that are asked for to answer one request, at most: the client's turn comes often.
const SLICES: usize = 64;

pub(super) fn answer(running: &Running, request: Request, who: &str) -> Answer {
    match request {
        Request::Count => Ok(Reply::ConnectionCount(count(running))),
        Request::List { filter, cursor, limit } => list(running, &filter, cursor, limit),
        Request::Show(endpoints) => show(running, &endpoints),
        Request::Delete(endpoints) => delete(running, &endpoints, who),
        Request::Flush { filter, cursor } => flush(running, &filter, cursor, who),
    }
}

fn count(running: &Running) -> Count {
    let snapshot = running.current().snapshot;
    let active = snapshot.servers.ids().map(|server| u64::from(running.board.total(server).active));
    Count {
        total: running.connections(),
        capacity: running.capacity() as u64,
        active: active.sum(),
        by_worker: running.workers.iter().map(|worker| worker.counters.connections()).collect(),
        tables: running.fills().into(),
    }
}

fn list(running: &Running, filter: &Filter, cursor: Option<Cursor>, limit: Option<u32>) -> Answer {
    let most = limit.unwrap_or(PAGE).min(PAGE) as usize;
    // Kept here as well, so that its last owner is not a worker.
    let matches = matches(running, filter)?;
    let snapshot = running.current().snapshot;
    let mut page = Connections { total: running.connections(), ..Connections::default() };
    page.next = walk(running, filter, cursor, |worker, from| {
        let room = most.saturating_sub(page.connections.len());
        if room == 0 {
            return Step::Enough;
        }
        match running.workers[worker].page(from, room, Some(matches.clone())) {
            Ok((found, looked_at, next)) => {
                page.looked_at += looked_at as u64;
                page.connections.extend(found.iter().map(|listed| describe(&snapshot, listed)));
                Step::Next(next)
            }
            Err(_) => {
                page.silent_workers.push(worker as u32);
                Step::Next(None)
            }
        }
    });
    Ok(Reply::Connections(page))
}

fn flush(running: &Running, filter: &Filter, cursor: Option<Cursor>, who: &str) -> Answer {
    let matches = matches(running, filter)?;
    if cursor.is_none() {
        // The rest of a flush comes in pages.
        let which = match serde_json::to_string(filter).unwrap_or_default() {
            all if all == "{}" => "all".to_owned(),
            which => format!("those with {which}"),
        };
        let text = format!("connections are ended: {which}");
        running.journal.tell(Happened::new(Kind::ConnectionsEnded, text).by(who));
    }
    let mut page = Flushed::default();
    page.next = walk(running, filter, cursor, |worker, from| {
        match running.workers[worker].forget_some(from, &matches) {
            Ok((count, next)) => {
                page.ended += count as u64;
                Step::Next(next)
            }
            Err(_) => {
                page.silent_workers.push(worker as u32);
                Step::Next(None)
            }
        }
    });
    Ok(Reply::Flushed(page))
}

/// What to do after a slice.
enum Step {
    /// The slice that begins at this entry; none: that of the next worker.
    Next(Option<u32>),
    /// Nothing: this slice is for the next page.
    Enough,
}

/// Goes through the slices of the selected workers, from `cursor` on. Returns where the next page starts.
fn walk(
    running: &Running,
    filter: &Filter,
    cursor: Option<Cursor>,
    mut slice: impl FnMut(usize, u32) -> Step,
) -> Option<Cursor> {
    let mut at = cursor.unwrap_or(Cursor { of: 0, at: 0 });
    for round in 0.. {
        while filter.worker.is_some_and(|worker| worker != at.of) && (at.of as usize) < running.workers.len()
        {
            at = Cursor { of: at.of + 1, at: 0 };
        }
        if at.of as usize >= running.workers.len() {
            return None;
        }
        if round == SLICES {
            break;
        }
        at = match slice(at.of as usize, at.at) {
            Step::Next(Some(entry)) => Cursor { at: entry, ..at },
            Step::Next(None) => Cursor { of: at.of + 1, at: 0 },
            Step::Enough => break,
        };
    }
    Some(at)
}

fn show(running: &Running, endpoints: &Endpoints) -> Answer {
    let ends = ends(running, endpoints)?;
    for worker in &running.workers {
        if let Some(found) = worker.connection(ends).map_err(timeout)? {
            return Ok(Reply::Connection(describe(&running.current().snapshot, &found)));
        }
    }
    Err(unknown(endpoints))
}

fn delete(running: &Running, endpoints: &Endpoints, who: &str) -> Answer {
    let ends = ends(running, endpoints)?;
    for worker in &running.workers {
        if worker.forget(ends).map_err(timeout)? {
            let Endpoints { protocol, client, vip } = endpoints;
            let text = format!("the {} connection from {client} to {vip} is ended", protocol.upper());
            running.journal.tell(Happened::new(Kind::ConnectionsEnded, text).by(who));
            return Ok(done());
        }
    }
    Err(unknown(endpoints))
}

fn unknown(endpoints: &Endpoints) -> Refusal {
    let Endpoints { protocol, client, vip } = endpoints;
    Refusal::new(Code::NotFound, format!("no {} connection from {client} to {vip}", protocol.upper()))
}

fn ends(running: &Running, endpoints: &Endpoints) -> Result<Ends, Refusal> {
    let Endpoints { protocol, client, vip } = endpoints;
    let vip = called::endpoint(&running.current().plan, *protocol, vip)?;
    Ok(Ends { protocol: meant(*protocol), source: *client, destination: vip })
}

/// The filter as a worker applies it.
fn matches(running: &Running, filter: &Filter) -> Result<ConnectionMatch, Refusal> {
    let Current { plan, snapshot, .. } = running.current();
    let service = match &filter.service {
        None => None,
        Some(name) => {
            let key = called::service(&plan, name)?.key();
            let found = snapshot.configured().find(|(_, service)| service.key() == key);
            Some(found.map(|(number, _)| number).ok_or_else(|| not_found("service", name, []))?)
        }
    };
    let method = filter
        .method
        .as_ref()
        .map(|name| word("method", name, Method::OF_CONNECTIONS, Method::name))
        .transpose()?;
    let state =
        filter.state.as_ref().map(|name| word("state", name, &State::ALL, State::word)).transpose()?;
    if let Some(worker) = filter.worker.filter(|&worker| worker as usize >= running.workers.len()) {
        let known = (0..running.workers.len()).map(|worker| worker.to_string());
        return Err(not_found("worker", &worker.to_string(), known));
    }
    let filter = filter.clone();
    let now = running.clock.now();
    Ok(Arc::new(move |view: &ConnectionView| {
        let is =
            |wanted: &Option<IpNet>, at: SocketAddr| wanted.is_none_or(|network| network.contains(&at.ip()));
        let port = |wanted: Option<u16>, at: SocketAddr| wanted.is_none_or(|wanted| wanted == at.port());
        let at_least = |wanted: Option<u64>, value: u64| wanted.is_none_or(|wanted| value >= wanted);
        let idle_ms = view.seen.age(now).as_millis();
        is(&filter.client, view.client)
            && is(&filter.vip, view.vip)
            && is(&filter.server, view.server)
            && port(filter.client_port, view.client)
            && port(filter.vip_port, view.vip)
            && port(filter.server_port, view.server)
            && (filter.local.is_none() || view.local.is_some_and(|at| is(&filter.local, at)))
            && (filter.local_port.is_none() || view.local.is_some_and(|at| port(filter.local_port, at)))
            && filter.protocol.is_none_or(|protocol| meant(protocol) == view.protocol)
            && state.is_none_or(|state| state == view.state)
            && method.is_none_or(|method| method == view.method)
            && service.is_none_or(|service| snapshot.servers[view.server_id].service == service)
            && at_least(filter.packets, view.packets.iter().sum())
            && at_least(filter.bytes, view.bytes.iter().sum())
            && at_least(filter.age_ms, view.created.age(now).as_millis())
            && at_least(filter.idle_ms, idle_ms)
            && filter.remaining_ms.is_none_or(|most| remaining(&snapshot, view, idle_ms) <= most)
    }))
}

fn remaining(snapshot: &Snapshot, view: &ConnectionView, idle_ms: u64) -> u64 {
    snapshot.service_of(view.server_id).timeouts.of(view.state).as_millis().saturating_sub(idle_ms)
}

fn describe(snapshot: &Snapshot, listed: &Listed) -> said::Connection {
    let Listed { worker, connection, idle, age } = listed;
    let service = snapshot.servers[connection.server_id].service;
    let name = || snapshot.services[service].name.clone();
    let ([packets_in, packets_out], [bytes_in, bytes_out]) = (connection.packets, connection.bytes);
    said::Connection {
        protocol: told(connection.protocol),
        client: connection.client.ip(),
        client_port: connection.client.port(),
        vip: connection.vip.ip(),
        vip_port: connection.vip.port(),
        server: connection.server.ip(),
        server_port: connection.server.port(),
        local: connection.local.map(|at| at.ip()),
        local_port: connection.local.map(|at| at.port()),
        service: snapshot.is_configured(service).then(name),
        method: connection.method.to_string(),
        state: connection.state.name().to_owned(),
        age_ms: age.as_millis(),
        idle_ms: idle.as_millis(),
        remaining_ms: remaining(snapshot, connection, idle.as_millis()),
        packets_in,
        packets_out,
        bytes_in,
        bytes_out,
        worker: u32::from(worker.0),
    }
}
