//! Something that happened, as whoever notices it says it.

use lb_ctl::protocol::events::{Event, Kind};
use std::net::SocketAddr;

/// Characters of each part that are kept, at most. The log has all of them.
const LONGEST: usize = 500;
/// Details that are kept, at most.
const MOST_DETAILS: usize = 50;

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) service: Option<String>,
    pub(super) server: Option<SocketAddr>,
    pub(super) reason: Option<String>,
    pub(super) by: Option<String>,
    pub(super) details: Vec<String>,
}

impl Happened {
    /// Something of that kind.
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        let (service, server, reason, by) = (None, None, None, None);
        Happened { kind, text: text.into(), service, server, reason, by, details: Vec::new() }
    }

    /// To a service.
    pub(crate) fn service(mut self, name: impl Into<String>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// To a server.
    pub(crate) fn server(mut self, server: SocketAddr) -> Self {
        self.server = Some(server);
        self
    }

    /// For a reason.
    pub(crate) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Somebody did it.
    pub(crate) fn by(mut self, who: impl Into<String>) -> Self {
        self.by = Some(who.into());
        self
    }

    /// That became different, line by line.
    pub(crate) fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details = lines.into_iter().collect();
        self
    }

    /// What is kept of it.
    pub(super) fn event(self, seq: u64, at_ms: u64) -> Event {
        let Happened { kind, text, service, server, reason, by, details } = self;
        // A report on a file has a line for each mistake, and shows the place below it.
        let (text, rest) = text.trim_end().split_once('\n').unwrap_or((text.trim_end(), ""));
        let lines = rest.lines().chain(details.iter().map(String::as_str));
        let more = lines.clone().count().saturating_sub(MOST_DETAILS);
        let mut details: Vec<String> = lines.take(MOST_DETAILS).map(presentable).collect();
        if more > 0 {
            details.push(format!("and {more} more, which the log has"));
        }
        Event {
            seq,
            at_ms,
            kind,
            severity: kind.severity(),
            text: presentable(text),
            service,
            server,
            reason: reason.as_deref().map(presentable),
            by,
            details,
        }
    }
}

/// Text for a terminal: what servers answered may be part of it.
fn presentable(text: &str) -> String {
    text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_harmless() {
        let happened = Happened::new(Kind::Reloaded, "x".repeat(9_999))
            .because("it answered \u{1b}[2Jhello\n")
            .details((0..70).map(|line| format!("~ line {line}")));
        let report =
            Happened::new(Kind::ReloadRefused, "reload: lb.toml:1: no\n    1 | x\n1 error\n").event(1, 2);
        assert_eq!((report.text.as_str(), report.details.len()), ("reload: lb.toml:1: no", 2));
        let event = happened.event(1, 2);
        assert_eq!((event.text.len(), event.reason.as_deref()), (LONGEST, Some("it answered  [2Jhello ")));
        assert_eq!((event.details.len(), event.details[50].as_str()), (51, "and 20 more, which the log has"));
    }
}
