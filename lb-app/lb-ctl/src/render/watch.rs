//! Explanations, stories of packets, captures.

use crate::protocol::{
    capture::Captures,
    explain::{Explanation, Outcome, Told},
    trace::{Stories, Story, Traces},
};
use std::fmt::Write;

pub(super) fn explanation(text: &mut String, explanation: &Explanation) {
    for (at, told) in explanation.workers.iter().enumerate() {
        if at > 0 {
            let _ = writeln!(text, "then, at worker {}:", told.worker);
        }
        steps(text, told);
    }
}

pub(super) fn stories(text: &mut String, page: &Stories, last: bool) {
    for story in &page.stories {
        let Story { at_ns, told, happened, as_told } = story;
        let _ = writeln!(text, "{} worker {}", clock(*at_ns), told.worker);
        steps(text, told);
        let happened = if *as_told { "as explained".to_owned() } else { outcome(happened) };
        let _ = writeln!(text, "  {:<10} {happened}\n", "happened");
    }
    if last && page.missed > 0 {
        let _ = writeln!(text, "{} more explanations were not read in time", page.missed);
    }
}

pub(super) fn traces(text: &mut String, list: &Traces) {
    let _ = writeln!(text, "{:>4} {:>10} {:>10} {:>8}  Filter", "Id", "Wanted", "Met", "Missed");
    for trace in &list.traces {
        let _ = writeln!(
            text,
            "{:>4} {:>10} {:>10} {:>8}  {}",
            trace.id,
            wanted(trace.count),
            trace.met,
            trace.missed,
            filter(&trace.filter),
        );
    }
}

pub(super) fn captures(text: &mut String, list: &Captures) {
    let _ = writeln!(
        text,
        "{:>4} {:<8} {:<8} {:>8} {:>10} {:>8}  File, filter",
        "Id", "Port", "State", "Wanted", "Frames", "Missed"
    );
    for capture in &list.captures {
        let _ = writeln!(
            text,
            "{:>4} {:<8} {:<8} {:>8} {:>10} {:>8}  {}, {}",
            capture.id,
            capture.port.as_deref().unwrap_or("all"),
            if capture.running { "running" } else { "ended" },
            wanted(capture.count),
            capture.written,
            capture.missed,
            capture.file.display(),
            filter(&capture.filter),
        );
    }
}

fn steps(text: &mut String, told: &Told) {
    let mut before = "";
    for step in &told.steps {
        // A stage is named once.
        let stage = if step.stage == before { "" } else { &step.stage };
        let _ = writeln!(text, "  {stage:<10} {}", step.text);
        before = &step.stage;
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sent { port, mac, bytes } => format!("sent on {port} to {mac}, {bytes} bytes"),
        Outcome::Waits { port, next_hop } => format!("waits for {next_hop} on {port}"),
        Outcome::Held => "waits for the first fragment of its datagram".to_owned(),
        Outcome::Answered { bytes } => format!("answered with {bytes} bytes"),
        Outcome::HandedOver { to, why } => format!("handed over to worker {to} ({why})"),
        Outcome::Host => "received by the director itself".to_owned(),
        Outcome::Dropped { reason } => format!("dropped: {reason}"),
    }
}

fn wanted(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn filter(filter: &str) -> &str {
    if filter.is_empty() { "all packets" } else { filter }
}

/// The time of day, UTC.
fn clock(at_ns: u64) -> String {
    let (s, us) = (at_ns / 1_000_000_000, at_ns / 1_000 % 1_000_000);
    format!("{:02}:{:02}:{:02}.{us:06}", s / 3_600 % 24, s / 60 % 60, s % 60)
}
