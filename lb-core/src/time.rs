//! Time as the load balancer sees it: an argument, in milliseconds since the director started.

use crate::cast::low32;
use std::{fmt, ops::Add};

/// A point in time: milliseconds since the director started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the director.
    pub const ZERO: Instant = Instant(0);

    /// The point `ms` milliseconds after the start.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Instant(ms)
    }

    /// Milliseconds since the start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The low 32 bits, which a connection stores; see [`Stamp`].
    #[must_use]
    pub const fn stamp(self) -> Stamp {
        Stamp(low32(self.0))
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(duration.0))
    }
}

/// An [`Instant`] modulo 2^32 milliseconds (49 days). Two stamps are compared by their wrapping difference, which
/// is right as long as they are less than that apart; every timeout is bounded far below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(pub u32);

impl Stamp {
    /// How long before `now` this was.
    #[must_use]
    pub const fn age(self, now: Instant) -> Duration {
        Duration(low32(now.0).wrapping_sub(self.0) as u64)
    }

    /// How long after `earlier` this was.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Stamp) -> Duration {
        Duration(self.0.wrapping_sub(earlier.0) as u64)
    }
}

/// A span of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);

    /// `ms` milliseconds.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Duration(ms)
    }

    /// `s` seconds.
    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Duration(s * 1_000)
    }

    /// Milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, s) = (self.0 % 1_000, self.0 / 1_000);
        match (ms, s) {
            (0, s) if s > 0 && s % 3_600 == 0 => write!(f, "{}h", s / 3_600),
            (0, s) if s > 0 && s % 60 == 0 => write!(f, "{}m", s / 60),
            (0, s) => write!(f, "{s}s"),
            _ => write!(f, "{}ms", self.0),
        }
    }
}
