//! Passive checks: connections that servers reset or do not answer, counted by the workers under
//! NAT, where both directions pass.

use crate::control::live::running::Running;
use lb_core::service::key::ServerKey;
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// Time between two looks at the counters.
const EVERY: Duration = Duration::from_millis(200);

/// The counters of servers that are watched, as they were lately.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: HashMap<ServerKey, VecDeque<(Instant, u64)>>,
    next: Option<Instant>,
}

impl Watch {
    /// Looks at the counters, if it is time to, and takes servers out that have refused too much. Called by the
    /// director every few milliseconds.
    pub(crate) fn tick(&mut self, running: &Running, now: Instant) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + EVERY);
        let current = running.current();
        let mut seen = std::mem::take(&mut self.seen);
        for health in &current.config.health.services {
            let Some(passive) = health.pool.passive else { continue };
            let Some((_, service)) = current.snapshot.service(&health.key) else { continue };
            for &id in &service.servers {
                let key = health.key.server(current.snapshot.servers[id].plan.endpoint());
                let workers = running.workers.iter();
                let refused = workers.map(|worker| worker.servers[id.index()].refused.get()).sum();
                let mut samples = seen.remove(&key).unwrap_or_default();
                let within = Duration::from_millis(passive.within.as_millis());
                if let Some(failures) = record(&mut samples, (now, refused), within, passive.failures) {
                    let reason =
                        format!("{failures} connections refused or unanswered within {}", passive.within);
                    running.health.fail_passively(key, reason);
                }
                self.seen.insert(key, samples);
            }
        }
    }
}

/// Adds a sample. How many failures there were within the time, if they are too many; then counting begins anew.
fn record(
    samples: &mut VecDeque<(Instant, u64)>,
    (now, count): (Instant, u64),
    within: Duration,
    limit: u32,
) -> Option<u64> {
    // A count that is lower than before is another server's.
    if samples.back().is_some_and(|(_, last)| *last > count) {
        samples.clear();
    }
    samples.push_back((now, count));
    while samples.len() > 2 && samples.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= within) {
        samples.pop_front();
    }
    let failures = count - samples.front().map_or(count, |(_, first)| *first);
    (failures >= u64::from(limit)).then(|| {
        samples.clear();
        samples.push_back((now, count));
        failures
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_failures_within_the_time_are_too_many() {
        let start = Instant::now();
        let mut samples = VecDeque::new();
        let mut at = |s: u64, count| {
            record(&mut samples, (start + Duration::from_secs(s), count), Duration::from_secs(10), 5)
        };
        assert_eq!(at(0, 100), None, "what was before counts for nothing");
        assert_eq!(at(5, 104), None);
        assert_eq!(at(14, 104), None);
        assert_eq!(at(16, 108), None, "the first four are too long ago");
        assert_eq!(at(18, 109), Some(5));
        assert_eq!(at(19, 113), None, "counting begins anew");
        assert_eq!(at(20, 2), None, "another server");
        assert_eq!(at(21, 7), Some(5));
    }
}
