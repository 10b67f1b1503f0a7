//! Services and their servers: what they are, in which state, and what passes.

use crate::{
    protocol::{health, keys::Reach, services::Server},
    render::{short, span},
    top::{
        data::Picture,
        line::{Line, Look, WIDE, bar, cells, left},
        rows::{Row, active},
    },
};

/// Widest name.
const NAME: usize = 44;

/// How wide columns are on a screen.
struct Widths {
    name: usize,
    share: usize,
    /// None where there is no room for it.
    remark: usize,
}

impl Widths {
    fn of(columns: usize) -> Self {
        if columns < WIDE {
            // All other columns and the gaps between them.
            return Widths { name: columns.saturating_sub(55).clamp(8, NAME), share: 8, remark: 0 };
        }
        let share = if columns >= 150 { 22 } else { 8 };
        let free = columns.saturating_sub(84 + share);
        let name = free.min(NAME);
        Widths { name, share, remark: free.saturating_sub(name + 1) }
    }
}

pub(super) fn heading(columns: usize) -> Line {
    let Widths { name, share, remark } = Widths::of(columns);
    let (name, share) = (name.cast_signed(), share.cast_signed());
    let text = if columns < WIDE {
        cells(&[
            ("SERVICE, SERVER", name),
            ("STATE", 9),
            ("WEIGHT", -6),
            ("ACTIVE", -7),
            ("CPS", -6),
            ("PPS", -6),
            ("BIT/S", -6),
            ("SHARE", share),
        ])
    } else {
        cells(&[
            ("SERVICE, SERVER", name),
            ("STATE", 9),
            ("FOR", -7),
            ("WEIGHT", -6),
            ("ACTIVE", -7),
            ("INACT", -7),
            ("CPS", -6),
            ("PPS IN", -7),
            ("PPS OUT", -7),
            ("BIT/S IN", -8),
            ("BIT/S OUT", -9),
            ("SHARE", share),
            (if remark > 0 { "REMARK" } else { "" }, remark.min(6).cast_signed()),
        ])
    };
    Line::whole(text, Look::Head)
}

pub(super) fn line(picture: &Picture, row: &Row<'_>, columns: usize) -> Line {
    let widths = Widths::of(columns);
    let (word, look) = state(row);
    let service = row.service;
    let (name, weight, rate, act, inact) = match row.server {
        Some(server) => (
            format!("  {}", server.endpoint),
            server.weight.to_string(),
            &server.rate,
            server.active,
            server.inactive,
        ),
        None => {
            let (protocol, endpoint) = Reach::shown(service.reach.as_ref(), &service.key);
            let name = format!("{} {protocol} {endpoint}", service.name);
            let inactive = service.servers.iter().map(|server| server.inactive).sum();
            (name, service.scheduler.clone(), &service.rate, active(service), inactive)
        }
    };
    let (bits_in, bits_out) = (rate.bytes_in_per_s * 8, rate.bytes_out_per_s * 8);
    let share = bar(share(picture, row), widths.share);
    let name_look = if row.server.is_none() { Look::Bold } else { Look::Plain };
    let start = Line::default()
        .then(left(&name, widths.name), name_look)
        .then(" ", Look::Plain)
        .then(left(&word, 9), look);
    if columns < WIDE {
        let rest = cells(&[
            (&weight, -6),
            (&short(act), -7),
            (&short(rate.connections_per_s), -6),
            (&short(rate.packets_in_per_s + rate.packets_out_per_s), -6),
            (&short(bits_in + bits_out), -6),
            (&share, 8),
        ]);
        return start.then(format!(" {rest}"), Look::Plain);
    }
    let since = row.checked().map_or_else(String::new, |checked| span(checked.for_ms / 1_000 * 1_000));
    let rest = cells(&[
        (&since, -7),
        (&weight, -6),
        (&short(act), -7),
        (&short(inact), -7),
        (&short(rate.connections_per_s), -6),
        (&short(rate.packets_in_per_s), -7),
        (&short(rate.packets_out_per_s), -7),
        (&short(bits_in), -8),
        (&short(bits_out), -9),
        (&share, widths.share.cast_signed()),
        (&remark(row), widths.remark.cast_signed()),
    ]);
    start.then(format!(" {rest}"), Look::Plain)
}

/// The state in a word, of a server or of all of a service's.
pub(super) fn state(row: &Row<'_>) -> (String, Look) {
    let Some(server) = row.server else {
        let servers = &row.service.servers;
        let serving = servers.iter().filter(|server| server.weight > 0).count();
        let look = match serving {
            0 => Look::Bad,
            _ if serving < servers.len() => Look::Warn,
            _ => Look::Good,
        };
        let word = if serving == 0 { "NONE".to_owned() } else { format!("{serving}/{} up", servers.len()) };
        return (word, look);
    };
    let held = row.checked().is_some_and(|checked| checked.state == "held");
    let (word, look) = match (server.state.as_str(), server.health.as_str()) {
        ("drain", _) => ("drain", Look::Warn),
        ("disabled", _) => ("disabled", Look::Dim),
        _ if held => ("HELD", Look::Bad),
        (_, "up") => ("up", Look::Good),
        (_, "down") => ("DOWN", Look::Bad),
        (_, "inhibited") => ("inhibit", Look::Warn),
        (_, other) => (other, Look::Warn),
    };
    (word.to_owned(), look)
}

/// How much of its service's packets a server has, or a service of all; of active connections, where nothing moves.
fn share(picture: &Picture, row: &Row<'_>) -> f64 {
    let packets = |rate: &crate::protocol::services::Rate| rate.packets_in_per_s + rate.packets_out_per_s;
    let (own, all) = match row.server {
        Some(server) => {
            ((packets(&server.rate), server.active), (packets(&row.service.rate), active(row.service)))
        }
        None => {
            let all = picture.services.iter().map(|service| (packets(&service.rate), active(service)));
            let all = all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            ((packets(&row.service.rate), active(row.service)), all)
        }
    };
    match all {
        (0, 0) => 0.0,
        (0, active) => own.1 as f64 / active as f64,
        (packets, _) => own.0 as f64 / packets as f64,
    }
}

/// What else somebody should know, where there is room for it.
fn remark(row: &Row<'_>) -> String {
    let Some(server) = row.server else {
        let mut words = vec![row.service.method.clone()];
        words.extend(described(&row.service.description));
        if let Some(health) = row.health {
            if !health.quorum.reached {
                words.push(format!(
                    "QUORUM LOST: weight {} of {}",
                    health.quorum.weight, health.quorum.reached_at
                ));
            }
            if health.sorry_server.as_ref().is_some_and(|sorry| sorry.serves) {
                words.push("sorry server serves".to_owned());
            }
            if health.keeps_last {
                words.push("all failed, keeps the last".to_owned());
            }
        }
        return words.join(", ");
    };
    of_server(server, row.checked()).join("; ")
}

fn of_server(server: &Server, checked: Option<&health::Server>) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(left) = server.drains_within_ms {
        words.push(format!("disabled in {}", span(left / 1_000 * 1_000)));
    }
    words.extend(described(&server.description));
    let Some(checked) = checked else { return words };
    if let Some(left) = checked.held_for_ms {
        words.push(format!("held for another {}", span(left / 1_000 * 1_000)));
    }
    if checked.against > 0 {
        let what = if checked.state == "up" { "failed" } else { "passed" };
        words.push(format!("{what} {} of {} checks in a row", checked.against, checked.needed));
    }
    if checked.state != "up"
        && let Some(failure) = &checked.last_failure
    {
        words.push(failure.reason.clone());
    }
    words
}

fn described(description: &str) -> Option<String> {
    (!description.is_empty()).then(|| description.to_owned())
}
