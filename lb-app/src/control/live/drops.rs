//! Drops above a rate: operators are told when many packets are dropped for one reason, and when that is over.

use super::running::Running;
use crate::journal::Happened;
use lb_core::counters::DropReason;
use lb_ctl::protocol::events::Kind;
use std::time::{Duration, Instant};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Packets a second, dropped for one reason by all workers, that are worth telling.
const MANY_PER_S: u64 = 1_000;
/// How long there have to be fewer until it is over.
const CALM: Duration = Duration::from_secs(10);

/// What was dropped lately.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    last: Option<Instant>,
    reasons: Vec<Reason>,
}

/// Drops for one reason.
#[derive(Clone, Copy, Debug, Default)]
struct Reason {
    count: u64,
    /// When there were many for the last time, until that is over.
    many: Option<Instant>,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// So many a second.
    Began(u64),
    Ended,
}

impl Drops {
    /// Looks, if it is time to. Called by the director every few milliseconds.
    pub(crate) fn tick(&mut self, running: &Running, now: Instant) {
        if self.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            return;
        }
        let counts = DropReason::ALL.iter().map(|&reason| {
            running.workers.iter().map(|worker| worker.counters.dropped[reason as usize].get()).sum()
        });
        for (reason, news) in self.look(counts.collect(), now) {
            let reason = DropReason::ALL[reason];
            running.journal.tell(match news {
                News::Began(rate) => {
                    let text = format!("{rate} packets a second are dropped as {}", reason.name());
                    Happened::new(Kind::DropsBegan, text).because(reason.explanation())
                }
                News::Ended => {
                    let text =
                        format!("fewer than {MANY_PER_S} packets a second are dropped as {}", reason.name());
                    Happened::new(Kind::DropsEnded, text)
                }
            });
        }
    }

    /// What there is to tell, by number of the reason.
    fn look(&mut self, counts: Vec<u64>, now: Instant) -> Vec<(usize, News)> {
        self.reasons.resize(counts.len(), Reason::default());
        let since = self.last.replace(now).map(|last| now.duration_since(last).as_millis().max(1) as u64);
        let mut news = Vec::new();
        for (at, (reason, count)) in self.reasons.iter_mut().zip(counts).enumerate() {
            let dropped = count.saturating_sub(std::mem::replace(&mut reason.count, count));
            // The first look has nothing to compare with.
            let Some(since) = since else { continue };
            let rate = dropped * 1_000 / since;
            match reason.many {
                None if rate >= MANY_PER_S => {
                    reason.many = Some(now);
                    news.push((at, News::Began(rate)));
                }
                Some(_) if rate >= MANY_PER_S => reason.many = Some(now),
                Some(last) if now.duration_since(last) >= CALM => {
                    reason.many = None;
                    news.push((at, News::Ended));
                }
                _ => {}
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_drops_are_told_once_until_they_are_over() {
        let start = Instant::now();
        let (mut drops, mut seconds, mut count) = (Drops::default(), 0, 0);
        let mut second = |more: u64| {
            count += more;
            seconds += 1;
            drops.look(vec![7, count], start + Duration::from_secs(seconds))
        };
        assert_eq!(second(1_000_000), [], "since the start, however long ago");
        assert_eq!(second(999), []);
        assert_eq!(second(1_500), [(1, News::Began(1_500))]);
        assert_eq!(second(5_000), []);
        assert_eq!((0..9).map(|_| second(0).len()).sum::<usize>(), 0);
        assert_eq!(second(0), [(1, News::Ended)]);
        assert_eq!(second(2_000), [(1, News::Began(2_000))]);
    }
}
