//! Ports, workers, drops.

use crate::{
    render::short,
    top::{
        data::{Picture, Port},
        line::{Line, Look, WIDE, bar, cells, headings},
    },
};
use std::cmp::Reverse;

pub(super) fn ports(picture: &Picture, columns: usize) -> Vec<Line> {
    let is_wide = columns >= WIDE;
    let common = [
        ("PORT", 12),
        ("LINK", 9),
        ("RX PPS", -7),
        ("TX PPS", -7),
        ("RX BIT/S", -9),
        ("TX BIT/S", -9),
        ("MISSED", -8),
    ];
    let mut titles = common.to_vec();
    if is_wide {
        titles.extend([("MISSED/S", -9), ("RX ERRORS", -10), ("TX ERRORS", -10)]);
    }
    titles.push(("LOAD", 4));
    let mut lines = vec![headings(&titles)];
    // What the other columns and their gaps leave.
    let bar = if is_wide { columns.saturating_sub(100).min(42) } else { 12 };
    lines.extend(picture.ports.iter().map(|it| port(it, is_wide, bar)));
    lines
}

fn port(port: &Port, is_wide: bool, bar: usize) -> Line {
    let (link, look) = link(port);
    let counted = &port.counted;
    let missed = counted.rx_missed + counted.rx_nombuf;
    let rate = |of: fn(&crate::top::data::PortRate) -> u64| {
        port.rate.as_ref().map_or_else(|| "-".to_owned(), |rate| short(of(rate)))
    };
    let mut line = Line::plain(cells(&[(&port.name, 12)]))
        .then(" ", Look::Plain)
        .then(cells(&[(&link, 9)]), look)
        .then(" ", Look::Plain)
        .then(
            cells(&[
                (&rate(|rate| rate.rx_packets), -7),
                (&rate(|rate| rate.tx_packets), -7),
                (&rate(|rate| rate.rx_bits), -9),
                (&rate(|rate| rate.tx_bits), -9),
            ]),
            Look::Plain,
        );
    let is_missing = port.rate.is_some_and(|rate| rate.missed > 0);
    let missing = if is_missing { Look::Bad } else { Look::Plain };
    line = line.then(" ", Look::Plain).then(cells(&[(&short(missed), -8)]), missing);
    if is_wide {
        line = line.then(" ", Look::Plain).then(cells(&[(&rate(|rate| rate.missed), -9)]), missing);
        let errors = cells(&[(&short(counted.rx_errors), -10), (&short(counted.tx_errors), -10)]);
        line = line.then(format!(" {errors}"), Look::Plain);
    }
    line.then(format!(" {}", load(port, bar)), Look::Plain)
}

fn link(port: &Port) -> (String, Look) {
    let speed = match port.mbps {
        None | Some(0) => String::new(),
        Some(mbps) if mbps % 1_000 == 0 => format!(" {}G", mbps / 1_000),
        Some(mbps) => format!(" {mbps}M"),
    };
    match port {
        Port { started: false, .. } => ("stopped".to_owned(), Look::Warn),
        Port { link_gone: true, .. } => ("GONE".to_owned(), Look::Bad),
        Port { link_up: false, .. } => ("DOWN".to_owned(), Look::Bad),
        _ => (format!("up{speed}"), Look::Good),
    }
}

/// The busier direction, of what the link can do, if that is known.
fn load(port: &Port, columns: usize) -> String {
    match (port.rate, port.mbps) {
        (Some(rate), Some(mbps @ 1..)) => {
            bar(rate.rx_bits.max(rate.tx_bits) as f64 / (f64::from(mbps) * 1e6), columns)
        }
        _ => String::new(),
    }
}

pub(super) fn workers(picture: &Picture, columns: usize) -> Vec<Line> {
    let is_wide = columns >= WIDE;
    let width: isize = if is_wide { 42 } else { 12 };
    let titles = [
        ("WORKER", 6),
        ("LCORE", -5),
        ("BUSY", -6),
        ("", width),
        ("PPS", -7),
        ("CONNECTIONS", -11),
        ("DROPPED", -9),
        ("HANDED OVER", -11),
    ];
    let mut lines = vec![headings(&titles)];
    for worker in &picture.workers {
        let part = worker.busy_percent / 100.0;
        let look = if part >= 0.9 { Look::Warn } else { Look::Plain };
        let start = cells(&[
            (&worker.id.to_string(), 6),
            (&worker.lcore.to_string(), -5),
            (&format!("{:.0} %", worker.busy_percent), -6),
        ]);
        let rest = cells(&[
            (&short(worker.received_per_s), -7),
            (&worker.connections.to_string(), -11),
            (&short(worker.dropped), -9),
            (&short(worker.handed_over), -11),
        ]);
        let line = Line::plain(format!("{start} ")).then(bar(part, width.unsigned_abs()), look);
        lines.push(line.then(format!(" {rest}"), Look::Plain));
    }
    lines
}

pub(super) fn drops(picture: &Picture) -> Vec<Line> {
    let mut lines =
        vec![headings(&[("DROPPED", 20), ("PER S", -8), ("PACKETS", -10), ("WHAT HAPPENED", 13)])];
    let mut drops: Vec<_> = picture.drops.iter().collect();
    drops.sort_by_key(|drop| Reverse((drop.packets_per_s, drop.packets)));
    for drop in &drops {
        let text =
            cells(&[(&drop.reason, 20), (&short(drop.packets_per_s), -8), (&short(drop.packets), -10)]);
        let look = if drop.packets_per_s > 0 { Look::Warn } else { Look::Plain };
        lines.push(Line::default().then(text, look).then(format!(" {}", drop.meaning), Look::Plain));
    }
    if drops.is_empty() {
        lines.push(Line::plain("nothing"));
    }
    lines
}
