//! Where a service begins its round.
//!
//! If every service began with its first server, that would get the first connection of each: a hundred small services
//! over the same servers would send nearly everything there. And if a service began at the same place after each change,
//! one that changes often would never get further.

use crate::cast::{index, low32, low64};

/// How far into its round a service begins: a fraction of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start(u32);

impl Start {
    /// With the first server.
    pub const FIRST: Start = Start(0);

    /// Of the service with this number, after so many changes. Multiples of an irrational number are spread evenly, also
    /// every second or every tenth of them, whatever the length of the round: here the golden ratio and the root of two.
    #[must_use]
    pub const fn of(service: u32, changes: u64) -> Start {
        Start(service.wrapping_mul(0x9e37_79b9).wrapping_add(low32(changes).wrapping_mul(0x6a09_e667)))
    }

    /// The place in a round of so many.
    pub(super) const fn place(self, count: usize) -> usize {
        index(self.turn(count as u64))
    }

    /// The same in a round too long for places in memory.
    pub(super) const fn turn(self, turns: u64) -> u64 {
        low64((self.0 as u128 * turns as u128) >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each place of `count` comes up.
    fn places(starts: impl Iterator<Item = Start>, count: usize) -> Vec<usize> {
        let mut places = vec![0; count];
        starts.for_each(|start| places[start.place(count)] += 1);
        places
    }

    #[test]
    fn every_place_comes_up_as_often_as_others() {
        for count in [1, 2, 3, 4, 7, 10] {
            for step in [1, 2, 3, 4, 5, 8, 10] {
                let of_services = (0..100).map(|number| Start::of(number * step, 0));
                let of_changes = (0..100).map(|change| Start::of(7, change * u64::from(step)));
                for starts in [places(of_services, count), places(of_changes, count)] {
                    let (least, most) = (100 / count / 2, 100 / count * 3 / 2 + 2);
                    assert!(
                        starts.iter().all(|times| (least..=most).contains(times)),
                        "every {step}th of 100 in {count}: {starts:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_start_is_within_the_round() {
        assert_eq!((Start::FIRST.place(9), Start::FIRST.turn(9)), (0, 0));
        let last = Start(u32::MAX);
        assert_eq!(
            (last.place(9), last.place(0), last.turn(9), last.turn(1 << 40)),
            (8, 0, 8, (1 << 40) - 256)
        );
    }
}
