//! What happened.

use super::units::moment;
use crate::protocol::events::{Event, Events};
use std::fmt::Write;

pub(super) fn page(text: &mut String, page: &Events, (first, last): (bool, bool)) {
    if page.missed > 0 {
        text.push_str(&missed(page.missed));
    }
    page.events.iter().for_each(|one| text.push_str(&event(one)));
    if first && last && page.events.is_empty() {
        let _ = writeln!(text, "nothing happened yet");
    }
}

/// An event in a line, and a line for each detail.
pub(crate) fn event(event: &Event) -> String {
    let mut text = format!(
        "{}  {:<8} {:<19} {}\n",
        moment(event.at_ms),
        event.severity.name(),
        event.kind.name(),
        event.line()
    );
    for detail in &event.details {
        let _ = writeln!(text, "{:53}{detail}", "");
    }
    text
}

/// That there was more than is listed.
pub(crate) fn missed(count: u64) -> String {
    format!("{count} earlier events are no longer kept\n")
}
