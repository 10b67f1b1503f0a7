//! Connections, as `ipvsadm -Lnc` lists them, and their timeouts.

use super::units::{bytes, endpoint, minutes, span};
use crate::protocol::{
    connections::{Connection, Connections, Count},
    timeouts::Timeouts,
};
use std::fmt::Write;

pub(super) fn page(text: &mut String, page: &Connections, first: bool) {
    if first {
        let _ = writeln!(
            text,
            "pro expire state       {:<18} {:<18} {:<18} worker local",
            "source", "virtual", "destination"
        );
    }
    for connection in &page.connections {
        let line = format!(
            "{:<3} {:<6} {:<11} {:<18} {:<18} {:<18} {:<6} {}",
            connection.protocol.upper(),
            minutes(connection.remaining_ms),
            connection.state,
            endpoint(connection.client, connection.client_port),
            endpoint(connection.vip, connection.vip_port),
            endpoint(connection.server, connection.server_port),
            connection.worker,
            local(connection).unwrap_or_default(),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// What the server sees in the place of the client's address and port, if it is not these.
fn local(connection: &Connection) -> Option<String> {
    Some(endpoint(connection.local?, connection.local_port?))
}

/// What was shown, and what was not.
pub(super) fn end(text: &mut String, last: &Connections, shown: u64, looked_at: u64, silent: &[u32]) {
    let _ = write!(text, "{shown} shown");
    if looked_at > shown {
        let _ = write!(text, ", {} did not match", looked_at - shown);
    }
    if last.next.is_some() {
        let _ = write!(text, ", the rest skipped because of the limit");
    }
    let _ = writeln!(text, "; {} connections in total", last.total);
    silence(text, silent);
}

pub(super) fn silence(text: &mut String, silent: &[u32]) {
    for worker in silent {
        let _ = writeln!(
            text,
            "worker {worker} did not respond in time: the rest of its connections was skipped"
        );
    }
}

pub(super) fn count(text: &mut String, count: &Count) {
    let _ = writeln!(
        text,
        "{} connections, {} of them active, capacity {}",
        count.total, count.active, count.capacity
    );
    for table in &count.tables {
        let _ = writeln!(text, "  {}: {} of {}", table.family, table.connections, table.capacity);
    }
    for (worker, connections) in count.by_worker.iter().enumerate() {
        let _ = writeln!(text, "  worker {worker}: {connections}");
    }
}

pub(super) fn detail(text: &mut String, connection: &Connection) {
    let Connection { client, client_port, vip, vip_port, server, server_port, .. } = connection;
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<11}{value}");
    };
    line("protocol", connection.protocol.upper().to_owned());
    line("client", endpoint(*client, *client_port));
    line("virtual", endpoint(*vip, *vip_port));
    line("server", endpoint(*server, *server_port));
    if let Some(local) = local(connection) {
        line("local", local);
    }
    line("service", connection.service.clone().unwrap_or_else(|| "removed".to_owned()));
    line("method", connection.method.clone());
    line("state", connection.state.clone());
    line("age", span(connection.age_ms));
    line("idle", span(connection.idle_ms));
    line("remaining", span(connection.remaining_ms));
    line("in", format!("{} packets, {}", connection.packets_in, bytes(connection.bytes_in)));
    line("out", format!("{} packets, {}", connection.packets_out, bytes(connection.bytes_out)));
    line("worker", connection.worker.to_string());
}

pub(super) fn timeouts(text: &mut String, timeouts: &Timeouts) {
    for service in &timeouts.services {
        let _ = writeln!(text, "{}", service.service);
        for timeout in &service.timeouts {
            let _ = writeln!(text, "  {:<16} {}", timeout.state, span(timeout.timeout_ms));
        }
    }
}
