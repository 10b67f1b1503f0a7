//! What happened: each thing is said once, here, and so is in the log, in a list that clients read, and counted.
//!
//! Nobody on the path of a packet comes here: workers' notices reach the control thread, which does.

mod happened;
mod lines;
mod ring;

pub(crate) use happened::Happened;

use lb_ctl::protocol::events::{Event, Events, Kind};
use parking_lot::Mutex;
use ring::Ring;
use std::time::{Instant, SystemTime};

/// What happened in this run.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Tells this run from others.
    run: u64,
    ring: Mutex<Ring>,
}

impl Journal {
    /// Of a run that begins now.
    pub(crate) fn new() -> Self {
        // Two runs of a director do not begin within the same microsecond. Whole in JSON's numbers until 2255.
        let run = since_1970().as_micros() as u64;
        Journal { run, ring: Mutex::default() }
    }

    /// Says that something happened: logs, counts and keeps it.
    pub(crate) fn tell(&self, happened: Happened) {
        lines::log(&happened);
        let at_ms = since_1970().as_millis() as u64;
        self.keep(happened, at_ms, Instant::now());
    }

    /// The latest so many events, a page of them.
    pub(crate) fn latest(&self, count: u32) -> Events {
        let ring = self.ring.lock();
        let after = ring.last().saturating_sub(count.into()).max(ring.first().saturating_sub(1));
        self.page(&ring, after)
    }

    /// Events after one of that run, a page of them.
    pub(crate) fn after(&self, seq: u64, run: Option<u64>) -> Events {
        let ring = self.ring.lock();
        // A number that has not been given yet is another run's.
        let is_known = run.is_none_or(|run| run == self.run) && seq <= ring.last();
        self.page(&ring, if is_known { seq } else { 0 })
    }

    /// How often each kind of thing happened.
    pub(crate) fn counts(&self) -> Vec<(Kind, u64)> {
        let ring = self.ring.lock();
        Kind::ALL.iter().map(|&kind| (kind, ring.count(kind))).collect()
    }

    fn keep(&self, happened: Happened, at_ms: u64, now: Instant) {
        self.ring.lock().push(happened.kind, now, |seq| happened.event(seq, at_ms));
    }

    fn page(&self, ring: &Ring, after: u64) -> Events {
        let missed = ring.first().saturating_sub(after + 1);
        let events: Vec<Event> = ring.after(after).cloned().collect();
        let after = events.last().map_or(after + missed, |event| event.seq);
        Events { run: self.run, missed, events, after, more: after < ring.last() }
    }
}

fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_ctl::protocol::events::PAGE;
    use std::time::Duration;

    fn seqs(page: &Events) -> Vec<u64> {
        page.events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn readers_get_each_event_once_and_are_told_what_they_missed() {
        let journal = Journal::new();
        assert_eq!(journal.latest(10), Events { run: journal.run, ..Events::default() });
        let mut now = Instant::now();
        let mut tell = |count: u64| {
            for _ in 0..count {
                journal.keep(Happened::new(Kind::LinkUp, "the link of port wan is up"), 0, now);
                now += Duration::from_secs(1);
            }
        };
        tell(3);
        let page = journal.latest(2);
        assert_eq!((seqs(&page), page.after, page.missed, page.more), (vec![2, 3], 3, 0, false));
        let page = journal.after(3, Some(page.run));
        assert_eq!((seqs(&page), page.after, page.missed), (vec![], 3, 0));

        tell(ring::MOST as u64);
        let page = journal.after(3, Some(page.run));
        assert_eq!((page.events.len(), page.missed, page.more), (PAGE as usize, 0, true));
        let page = journal.after(1, Some(page.run));
        assert_eq!((page.missed, seqs(&page)[0]), (2, 4), "two of them are gone");
        let page = journal.after(2, Some(page.run + 1));
        assert_eq!((page.missed, seqs(&page)[0]), (3, 4), "of another run nothing is known");
        assert_eq!(seqs(&journal.latest(u32::MAX))[0], 4);
        assert_eq!(journal.counts().iter().map(|(_, count)| count).sum::<u64>(), ring::MOST as u64 + 3);
    }

    #[test]
    fn a_kind_that_is_too_frequent_does_not_push_others_out() {
        let journal = Journal::new();
        let start = Instant::now();
        let tell = |kind, after_s| {
            journal.keep(Happened::new(kind, "text"), 0, start + Duration::from_secs(after_s));
        };
        tell(Kind::ServerDown, 0);
        (0..5_000).for_each(|_| tell(Kind::AddressConflict, 1));
        tell(Kind::LinkUp, 2);
        let page = journal.latest(1_000);
        assert_eq!((page.events.len(), page.events[101].kind, page.missed), (102, Kind::LinkUp, 0));
        tell(Kind::AddressConflict, 11);
        let details = &journal.latest(1).events[0].details;
        assert_eq!(details[..], ["4900 events of this kind before it were counted and not kept"]);
        let counted = journal.counts().into_iter().find(|(kind, _)| *kind == Kind::AddressConflict);
        assert_eq!(counted, Some((Kind::AddressConflict, 5_001)));
    }
}
