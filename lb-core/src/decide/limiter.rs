//! How often the director answers packets that it did not ask for.

use crate::time::Instant;

/// A token bucket: a number per second on average, and the same number at once.
#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    per_s: u64,
    /// Thousandths of a token, so that a millisecond's share is a whole number.
    tokens_milli: u64,
    filled: Instant,
}

impl Limiter {
    /// Allows `per_s` a second, and that many at once to begin with.
    #[must_use]
    pub const fn new(per_s: u32, now: Instant) -> Self {
        Limiter { per_s: per_s as u64, tokens_milli: per_s as u64 * 1_000, filled: now }
    }

    /// Whether one more is allowed now.
    #[must_use]
    pub fn has(&self, now: Instant) -> bool {
        self.tokens_at(now) >= 1_000
    }

    /// Whether one more is allowed now. If so, it counts.
    pub fn take(&mut self, now: Instant) -> bool {
        self.tokens_milli = self.tokens_at(now);
        self.filled = now;
        let allowed = self.tokens_milli >= 1_000;
        if allowed {
            self.tokens_milli -= 1_000;
        }
        allowed
    }

    fn tokens_at(&self, now: Instant) -> u64 {
        let gained = now.since(self.filled).as_millis().saturating_mul(self.per_s);
        self.tokens_milli.saturating_add(gained).min(self.per_s * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_allows_a_burst_and_then_the_rate() {
        let mut limiter = Limiter::new(100, Instant::ZERO);
        let allowed =
            |limiter: &mut Limiter, ms| (0..1_000).filter(|_| limiter.take(Instant::from_millis(ms))).count();
        assert_eq!(allowed(&mut limiter, 0), 100);
        assert_eq!(allowed(&mut limiter, 0), 0);
        assert_eq!(allowed(&mut limiter, 50), 5);
        assert_eq!(allowed(&mut limiter, 60_000), 100, "no more than a second's worth is saved up");
    }
}
