//! `?`: what keys do, and what columns mean.

use crate::top::line::{Line, Look};

const KEYS: [(&str, &str); 10] = [
    ("arrows, j k", "choose a service or a server; page up and down, home, end"),
    ("d", "drain the chosen server: no new connections; asks first"),
    ("u", "enable the chosen server again; asks first"),
    ("e, Enter", "explain the chosen line: its state, and a client's packet to it"),
    ("s", "sort: configuration, connections/s, packets/s, bytes/s, active"),
    ("/", "filter: names and addresses that contain a text"),
    ("v", "servers, or services alone"),
    ("p, blank", "pause: the picture stays until it is pressed again"),
    ("?, h", "this help"),
    ("q, Esc", "leave"),
];

const COLUMNS: [(&str, &str); 8] = [
    ("STATE", "drain, disabled: by operators; DOWN, HELD and others: by checks"),
    ("ACTIVE", "connections that can carry data; INACT: all others"),
    ("CPS", "new connections a second"),
    ("PPS, BIT/S", "packets and bits a second, of IP; of ports: of frames"),
    ("SHARE", "of its service's packets, or of active connections without any"),
    ("MISSED", "packets lost before a worker saw them: queue or buffers full"),
    ("LOAD", "bits a second, of what the link can do"),
    ("K, M, G", "thousands, millions, thousand millions"),
];

pub(super) fn lines() -> Vec<Line> {
    let list = |all: &[(&str, &str)]| -> Vec<Line> {
        all.iter()
            .map(|(what, does)| {
                Line::default().then(format!("  {what:<12} "), Look::Bold).then(does, Look::Plain)
            })
            .collect()
    };
    let mut lines = vec![Line::whole("KEYS", Look::Head)];
    lines.extend(list(&KEYS));
    lines.push(Line::default());
    lines.push(Line::whole("COLUMNS", Look::Head));
    lines.extend(list(&COLUMNS));
    lines
}
