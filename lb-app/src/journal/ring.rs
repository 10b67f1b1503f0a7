//! The latest events, bounded in number and bytes, and in how many of a kind push all others out.

use lb_ctl::protocol::events::{Event, Kind, PAGE};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Events that are kept, at most.
pub(super) const MOST: usize = 1_024;
/// Bytes of their texts, at most.
const MOST_BYTES: usize = 2 << 20;
/// How long events of one kind are counted together.
const WINDOW: Duration = Duration::from_secs(10);
/// Events of one kind that are kept in that time, at most: anybody on an attached network can claim addresses.
const MOST_OF_A_KIND: u32 = 100;

#[derive(Debug)]
pub(super) struct Ring {
    events: VecDeque<Event>,
    bytes: usize,
    last: u64,
    kinds: [Counted; Kind::ALL.len()],
}

/// What there was of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// In all.
    count: u64,
    since: Option<Instant>,
    /// Since then.
    kept: u32,
    /// Since one was kept.
    left_out: u64,
}

impl Default for Ring {
    fn default() -> Self {
        let kinds = [Counted::default(); Kind::ALL.len()];
        Ring { events: VecDeque::new(), bytes: 0, last: 0, kinds }
    }
}

impl Ring {
    /// Counts an event, and keeps it, which is told its number, unless there were too many of its kind lately.
    pub(super) fn push(&mut self, kind: Kind, now: Instant, event: impl FnOnce(u64) -> Event) {
        let of_kind = &mut self.kinds[kind as usize];
        of_kind.count += 1;
        if of_kind.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            (of_kind.since, of_kind.kept) = (Some(now), 0);
        }
        if of_kind.kept == MOST_OF_A_KIND {
            of_kind.left_out += 1;
            return;
        }
        of_kind.kept += 1;
        let left_out = std::mem::take(&mut of_kind.left_out);
        self.last += 1;
        let mut event = event(self.last);
        if left_out > 0 {
            event.details.push(format!("{left_out} events of this kind before it were counted and not kept"));
        }
        self.bytes += bytes(&event);
        self.events.push_back(event);
        while self.events.len() > MOST || self.bytes > MOST_BYTES {
            let Some(gone) = self.events.pop_front() else { break };
            self.bytes -= bytes(&gone);
        }
    }

    /// The number of the first event that is kept, or of the next one if there is none.
    pub(super) fn first(&self) -> u64 {
        self.last + 1 - self.events.len() as u64
    }

    /// The number of the last event.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// A page of those that are kept of the events after one.
    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = &Event> {
        let skip = (seq + 1).saturating_sub(self.first()) as usize;
        self.events.iter().skip(skip).take(PAGE as usize)
    }

    /// How many there were of a kind.
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.kinds[kind as usize].count
    }
}

fn bytes(event: &Event) -> usize {
    let Event { text, service, reason, by, details, .. } = event;
    let words = [service, reason, by].into_iter().flatten().map(String::len).sum::<usize>();
    text.len() + words + details.iter().map(String::len).sum::<usize>()
}
