//! The live view on a screen of any size: what does not fit is left out from the bottom, services last.

use super::{data::Picture, keys::State};
use crate::{
    command::top::Sort,
    protocol::services::{Rate, Server, Service},
    render::{short, span},
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};
use std::cmp::Reverse;

/// Lines besides services, workers and drops: two at the top, three headings, two gaps, one at the bottom.
const FRAME: usize = 2 + 3 + 2 + 1;

/// Lines that the whole view takes.
pub(super) fn rows(picture: &Picture, state: &State) -> u16 {
    let lines = services(picture, state).len() + picture.workers.len() + picture.drops.len().max(1);
    u16::try_from(lines + FRAME).unwrap_or(u16::MAX)
}

/// A line and how it looks.
type Line = (String, Style);

pub(super) fn draw(buffer: &mut Buffer, area: Rect, picture: &Picture, state: &mut State) {
    let mut lines = top(picture, state);
    let bottom = bottom(state);
    let height = usize::from(area.height).saturating_sub(lines.len() + 1);
    let (workers, drops) = (workers(picture), drops(picture));
    let services = services(picture, state);
    // Services have what the others leave, but never less than half.
    let others = workers.len() + drops.len() + 2;
    let room = height.saturating_sub(others).max(height / 2).min(height);
    let shown = room.saturating_sub(1);
    state.scrolled = state.scrolled.min(services.len().saturating_sub(shown));
    lines.push((
        format!(
            "{:<34} {:>7} {:>10} {:>8} {:>7} {:>7} {:>7} {:>7}",
            "SERVICE, SERVERS", "WEIGHT", "ACTIVE", "INACT", "CPS", "IN PPS", "IN B/S", "OUT B/S"
        ),
        head(),
    ));
    lines.extend(services.into_iter().skip(state.scrolled).take(shown));
    for table in [workers, drops] {
        lines.push((String::new(), Style::new()));
        lines.extend(table);
    }
    lines.truncate(usize::from(area.height).saturating_sub(1));
    for (row, (text, style)) in (area.y..).zip(&lines) {
        buffer.set_stringn(area.x, row, text, usize::from(area.width), *style);
    }
    if let Some(last) = area.height.checked_sub(1) {
        buffer.set_stringn(area.x, area.y + last, bottom, usize::from(area.width), Style::new());
    }
}

fn top(picture: &Picture, state: &State) -> Vec<Line> {
    let about = &picture.about;
    let doing = if about.forwarding { "forwarding" } else { "STOPPED" };
    let count = &picture.count;
    let cut = if picture.cut { ", not all services" } else { "" };
    let filter = if state.filter.is_empty() { String::new() } else { format!(", filter {:?}", state.filter) };
    vec![
        (format!("lb-app {}, up {}, {doing}", about.version, span(about.uptime_ms)), head()),
        (
            format!(
                "{} connections of {}, {} active; sorted by {}{filter}{cut}",
                count.total,
                count.capacity,
                count.active,
                state.sort.word()
            ),
            Style::new(),
        ),
    ]
}

fn bottom(state: &State) -> String {
    if state.typing {
        return format!("filter: {}_ (Enter applies, Esc discards)", state.filter);
    }
    "q quit  s sort  / filter  v servers  arrows scroll".to_owned()
}

fn services(picture: &Picture, state: &State) -> Vec<Line> {
    let mut services: Vec<(&Service, Vec<&Server>)> = Vec::new();
    for service in &picture.services {
        let contains = |text: &str| text.to_lowercase().contains(&state.filter.to_lowercase());
        let whole = contains(&service.name) || contains(&service.key.endpoint().to_string());
        let fits = |server: &&Server| whole || contains(&server.endpoint.to_string());
        let servers: Vec<&Server> = service.servers.iter().filter(fits).collect();
        if whole || !servers.is_empty() {
            services.push((service, servers));
        }
    }
    let active = |servers: &[Server]| servers.iter().map(|server| server.active).sum();
    if state.sort != Sort::Name {
        services
            .sort_by_key(|(service, _)| Reverse(key(state.sort, &service.rate, active(&service.servers))));
    }
    let mut lines = Vec::new();
    for (service, mut servers) in services {
        let name = format!("{} {} {}", service.name, service.key.protocol.upper(), service.key.endpoint());
        let (active, inactive) =
            (active(&service.servers), service.servers.iter().map(|server| server.inactive).sum());
        lines.push((line(&name, &service.scheduler, [active, inactive], &service.rate), bold()));
        if !state.servers {
            continue;
        }
        if state.sort != Sort::Name {
            servers.sort_by_key(|server| Reverse(key(state.sort, &server.rate, server.active)));
        }
        for server in servers {
            let name = format!("  -> {}", server.endpoint);
            let ill = server.state != "enabled" || server.health != "up";
            let style = if ill { Style::new().add_modifier(Modifier::DIM) } else { Style::new() };
            let weight = server.weight.to_string();
            lines.push((line(&name, &weight, [server.active, server.inactive], &server.rate), style));
        }
    }
    lines
}

fn key(sort: Sort, rate: &Rate, active: u64) -> u64 {
    match sort {
        Sort::Name => 0,
        Sort::Cps => rate.connections_per_s,
        Sort::Pps => rate.packets_in_per_s + rate.packets_out_per_s,
        Sort::Bps => rate.bytes_in_per_s + rate.bytes_out_per_s,
        Sort::Active => active,
    }
}

fn line(name: &str, weight: &str, [active, inactive]: [u64; 2], rate: &Rate) -> String {
    format!(
        "{name:<34} {weight:>7} {:>10} {:>8} {:>7} {:>7} {:>7} {:>7}",
        short(active),
        short(inactive),
        short(rate.connections_per_s),
        short(rate.packets_in_per_s),
        short(rate.bytes_in_per_s),
        short(rate.bytes_out_per_s),
    )
}

fn workers(picture: &Picture) -> Vec<Line> {
    let title = format!(
        "{:<8} {:>6} {:>7} {:>9} {:>12} {:>12} {:>12}",
        "WORKER", "LCORE", "BUSY", "PPS", "CONNECTIONS", "DROPPED", "HANDED OVER"
    );
    let mut lines = vec![(title, head())];
    for worker in &picture.workers {
        let text = format!(
            "{:<8} {:>6} {:>5.1} % {:>8} {:>12} {:>12} {:>12}",
            worker.id,
            worker.lcore,
            worker.busy_percent,
            short(worker.received_per_s),
            worker.connections,
            short(worker.dropped),
            short(worker.handed_over),
        );
        lines.push((text, Style::new()));
    }
    lines
}

fn drops(picture: &Picture) -> Vec<Line> {
    let mut lines =
        vec![(format!("{:<20} {:>8} {:>12}  WHAT HAPPENED", "DROPPED", "PER S", "PACKETS"), head())];
    let mut drops: Vec<_> = picture.drops.iter().collect();
    drops.sort_by_key(|drop| Reverse((drop.packets_per_s, drop.packets)));
    for drop in &drops {
        let (rate, packets) = (short(drop.packets_per_s), short(drop.packets));
        lines.push((format!("{:<20} {rate:>8} {packets:>12}  {}", drop.reason, drop.meaning), Style::new()));
    }
    if drops.is_empty() {
        lines.push(("nothing".to_owned(), Style::new()));
    }
    lines
}

fn head() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}
