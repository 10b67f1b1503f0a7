//! Which servers clients stay with.

use super::units::span;
use crate::protocol::persistence::Clients;
use std::fmt::Write;

pub(super) fn clients(text: &mut String, list: &Clients) {
    let _ = writeln!(
        text,
        "{:<24} {:<24} {:<24} {:>11} {:>10}",
        "Client", "Service", "RemoteAddress:Port", "Connections", "Remaining"
    );
    for client in &list.clients {
        let whole = client.client.max_prefix_len() == client.client.prefix_len();
        let address = if whole { client.client.addr().to_string() } else { client.client.to_string() };
        let _ = writeln!(
            text,
            "{address:<24} {:<24} {:<24} {:>11} {:>10}",
            client.service,
            client.server,
            client.connections,
            span(client.remaining_ms),
        );
    }
    let (shown, total, capacity) = (list.clients.len(), list.total, list.capacity);
    let _ = writeln!(text, "{shown} of {total} clients, room for {capacity}");
}
