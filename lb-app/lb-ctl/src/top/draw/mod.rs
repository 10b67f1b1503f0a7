//! The live view on a screen of any size: what does not fit is left out from the bottom, services last.

mod help;
mod services;
mod tables;

use super::{
    data::Picture,
    line::{Line, Look, WIDE, bar},
    rows::rows,
    state::{Change, Mode, State},
};
use crate::{
    protocol::connections::Fill,
    render::{short, span},
};

/// The whole screen: at most `height` lines.
pub(super) fn screen(picture: &Picture, state: &mut State, columns: usize, height: usize) -> Vec<Line> {
    let room = height.saturating_sub(1);
    let mut lines = match &state.mode {
        Mode::Help => help::lines(),
        Mode::Read(lines, from) => lines.iter().skip(*from).map(Line::plain).collect(),
        _ => view(picture, state, columns, room),
    };
    lines.resize(room, Line::default());
    if height > 0 {
        lines.push(bottom(state));
    }
    lines
}

/// All there is to see, however high that is.
pub(super) fn all(picture: &Picture, state: &mut State, columns: usize) -> Vec<Line> {
    let lines = rows(picture, &state.wanted).len()
        + picture.ports.len()
        + picture.workers.len()
        + picture.drops.len();
    view(picture, state, columns, lines + 20)
}

fn view(picture: &Picture, state: &mut State, columns: usize, height: usize) -> Vec<Line> {
    let mut lines = top(picture, state, columns);
    let rest = height.saturating_sub(lines.len());
    let tables = [tables::ports(picture, columns), tables::workers(picture, columns), tables::drops(picture)];
    let others: usize = tables.iter().map(|table| table.len() + 1).sum();
    let rows = rows(picture, &state.wanted);
    // Services have what the others leave, but never less than half.
    let room = rest.saturating_sub(others).max(rest / 2).min(rest);
    let shown = room.saturating_sub(1);
    let chosen = state.chosen.as_ref().and_then(|subject| rows.iter().position(|row| row.is(subject)));
    if let Some(at) = chosen {
        state.scrolled = state.scrolled.min(at).max((at + 1).saturating_sub(shown));
    }
    state.scrolled = state.scrolled.min(rows.len().saturating_sub(shown));
    lines.push(services::heading(columns));
    for (at, row) in rows.iter().enumerate().skip(state.scrolled).take(shown) {
        let line = services::line(picture, row, columns);
        lines.push(if chosen == Some(at) { line.chosen() } else { line });
    }
    for table in tables {
        lines.push(Line::default());
        lines.extend(table);
    }
    lines.truncate(height);
    lines
}

/// Who this is, and how it is with all of it together.
fn top(picture: &Picture, state: &State, columns: usize) -> Vec<Line> {
    let Picture { about, count, .. } = picture;
    let mut head = format!("lb-app {}  up {}", about.version, span(about.uptime_ms / 1_000 * 1_000));
    head += if about.forwarding { "  forwarding" } else { "  STOPPED" };
    if about.role == "standby" {
        head += "  STANDBY";
    }
    if let Some(drain) = &about.drain {
        head += &format!("  {}", drain.to_uppercase());
    }
    if let Some(left) = about.unconfirmed_ms {
        head += &format!("  RELOAD UNCONFIRMED, {} left", span(left / 1_000 * 1_000));
    }
    let mut set = format!("sorted by {}", state.wanted.sort.word());
    if !state.wanted.filter.is_empty() {
        set += &format!(", filter {:?}", state.wanted.filter);
    }
    if picture.cut {
        set += ", not all services";
    }
    if state.paused {
        set = format!("PAUSED  {set}");
    }
    let gap = columns.saturating_sub(head.chars().count() + set.chars().count()).max(2);
    // Each family has tables of its own: it is the fuller one that matters.
    let both = Fill { family: String::new(), connections: count.total, capacity: count.capacity };
    let share = |fill: &Fill| fill.connections as f64 / fill.capacity.max(1) as f64;
    let fill = count.tables.iter().max_by(|a, b| share(a).total_cmp(&share(b))).unwrap_or(&both);
    let full = share(fill);
    let width = if columns >= WIDE { 42 } else { 12 };
    let look = if full >= 0.8 { Look::Warn } else { Look::Plain };
    let new: u64 = picture.services.iter().map(|service| service.rate.connections_per_s).sum();
    let counted = format!("connections {} of {} {}", fill.connections, fill.capacity, fill.family);
    let table = Line::plain(format!("{} ", counted.trim_end()))
        .then(bar(full, width), look)
        .then(format!(" {:.0} %, {} active, {} new/s", full * 100.0, count.active, short(new)), look);
    let sum = |of: fn(&super::data::PortRate) -> u64| {
        let rates: Option<Vec<u64>> = picture.ports.iter().map(|port| port.rate.as_ref().map(of)).collect();
        rates.map_or_else(|| "-".to_owned(), |rates| short(rates.iter().sum()))
    };
    let drops: u64 = picture.drops.iter().map(|drop| drop.packets_per_s).sum();
    let traffic = Line::plain(format!(
        "in {} packets/s, {} bit/s; out {} packets/s, {} bit/s; ",
        sum(|rate| rate.rx_packets),
        sum(|rate| rate.rx_bits),
        sum(|rate| rate.tx_packets),
        sum(|rate| rate.tx_bits),
    ))
    .then(format!("dropped {}/s", short(drops)), if drops > 0 { Look::Warn } else { Look::Plain });
    vec![Line::whole(format!("{head}{}{set}", " ".repeat(gap)), Look::Head), table, traffic, servers(picture)]
}

/// How many servers are in which state.
fn servers(picture: &Picture) -> Line {
    let states = picture.services.iter().flat_map(|service| {
        let health = picture.health.get(&service.name);
        service
            .servers
            .iter()
            .map(move |server| services::state(&super::rows::Row { service, server: Some(server), health }))
    });
    let mut counts: Vec<(String, Look, usize)> = Vec::new();
    for (word, look) in states {
        match counts.iter_mut().find(|(known, ..)| *known == word) {
            Some((.., count)) => *count += 1,
            None => counts.push((word, look, 1)),
        }
    }
    counts.sort_by_key(|(word, ..)| (word != "up", word.clone()));
    let mut line = Line::plain(format!("{} services; servers: ", picture.services.len()));
    for (at, (word, look, count)) in counts.iter().enumerate() {
        line = line.then(if at > 0 { ", " } else { "" }, Look::Plain).then(format!("{count} {word}"), *look);
    }
    line
}

/// What keys do now, or what came of the last one.
fn bottom(state: &State) -> Line {
    match &state.mode {
        Mode::Look if state.said.is_empty() => {
            Line::plain("? help  q quit  s sort  / filter  v servers  p pause  d drain  e explain")
        }
        Mode::Look => Line::whole(&state.said, Look::Bold),
        Mode::Filter => Line::whole(
            format!("filter: {}_  (Enter applies, Esc discards)", state.wanted.filter),
            Look::Bold,
        ),
        Mode::Help => Line::plain("any key goes back"),
        Mode::Confirm(Change { subject, state }) => {
            let server = subject.server.map_or_else(String::new, |server| server.to_string());
            let what = if *state == "drain" { "drain" } else { "enable" };
            Line::whole(
                format!("{what} {server} of {}? y does it, any other key does not", subject.name),
                Look::Warn,
            )
        }
        Mode::Client(_, text) => {
            let hint = if state.said.is_empty() { "Enter alone: its state only" } else { &state.said };
            Line::whole(format!("explain a packet of client ADDRESS:PORT: {text}_  ({hint})"), Look::Bold)
        }
        Mode::Read(..) => Line::plain("arrows scroll, any other key goes back"),
    }
}
