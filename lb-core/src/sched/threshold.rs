//! Thresholds: how many connections a server may have. One that has reached its upper threshold is full, and gets no new
//! connections until it has fewer than its lower one, or than three quarters of the upper where there is no lower one:
//! IPVS's `ip_vs_dest_update_overload`, which counts active and inactive connections alike.
//!
//! Unlike there, a client that stays with its server by persistence is no connection by itself. With several workers each
//! sees its own connections at once and the others' some milliseconds later, so that a server may get a few more.

/// How many connections one server may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// As many make it full. 0: it never is.
    pub upper: u32,
    /// It is until it has fewer. 0: three quarters of the upper threshold.
    pub lower: u32,
}

impl Thresholds {
    /// Whether there are any.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.upper > 0
    }

    /// Whether a server with so many connections is full, that was or was not before.
    #[must_use]
    pub fn is_full(self, has: u64, was: bool) -> bool {
        let stays = match self.lower {
            0 => has * 4 >= u64::from(self.upper) * 3,
            lower => has >= u64::from(lower),
        };
        self.is_some() && (has >= u64::from(self.upper) || was && stays)
    }
}

/// Which candidates have room, where servers have thresholds.
#[derive(Clone, Copy)]
pub struct WithRoom<'a> {
    /// Whether a candidate has room.
    pub has: &'a dyn Fn(usize) -> bool,
    /// A scheduler that hashes chooses another where the one that the hash says is full: `sh-fallback`, `mh-fallback`.
    pub falls_back: bool,
}

/// Picks of a scheduler in a row that may be full, before any that has room is taken.
const TRIES: usize = 64;

impl WithRoom<'_> {
    /// What `pick` chooses, again and again, until one has room; else the first of all that has.
    pub(super) fn until(
        &self,
        mut pick: impl FnMut() -> Option<usize>,
        mut all: impl Iterator<Item = usize>,
    ) -> Option<usize> {
        for _ in 0..TRIES {
            let pick = pick()?;
            if (self.has)(pick) {
                return Some(pick);
            }
        }
        all.find(|&candidate| (self.has)(candidate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_from_the_upper_to_below_the_lower_threshold() {
        let both = Thresholds { upper: 10, lower: 4 };
        for (has, was, full) in [
            (9, false, false),
            (10, false, true),
            (u64::from(u32::MAX) * 2, false, true),
            (5, true, true),
            (4, true, true),
            (3, true, false),
            (5, false, false),
        ] {
            assert_eq!(both.is_full(has, was), full, "{has} {was}");
        }
        let upper = Thresholds { upper: 10, lower: 0 };
        assert!(upper.is_full(8, true) && !upper.is_full(7, true), "three quarters");
        assert!(!Thresholds::default().is_full(9, true), "there are none");
        let one = Thresholds { upper: 1, lower: 0 };
        assert!(one.is_full(1, false) && !one.is_full(0, true));
    }

    #[test]
    fn the_first_with_room_is_taken_when_turns_find_none() {
        let room = WithRoom { has: &|candidate| candidate == 7, falls_back: false };
        assert_eq!(room.until(|| Some(0), 0..9), Some(7));
        assert_eq!(room.until(|| Some(0), 0..7), None);
        let mut turn = 0;
        let mut next = || {
            turn += 1;
            Some(turn)
        };
        assert_eq!(room.until(&mut next, 0..0), Some(7));
        assert_eq!(room.until(|| None, 0..9), None, "nobody takes connections");
    }
}
