//! Linear algebra over bits, where adding is exclusive or: what a Toeplitz hash is made of.

use crate::cast::count32;
use arrayvec::ArrayVec;

/// Equations about up to 64 unknown bits, each of which says what some of them add up to.
#[derive(Clone, Debug, Default)]
pub(super) struct Equations {
    /// Unknowns and their sum. The lowest unknown of each is in no other.
    rows: Vec<(u64, bool)>,
}

impl Equations {
    /// Adds one. `false` if it contradicts the others; then it must not be gone on with.
    pub(super) fn add(&mut self, mut unknowns: u64, mut sum: bool) -> bool {
        for &(row, value) in &self.rows {
            if unknowns & lowest(row) != 0 {
                unknowns ^= row;
                sum ^= value;
            }
        }
        if unknowns == 0 {
            return !sum;
        }
        for (row, value) in &mut self.rows {
            if *row & lowest(unknowns) != 0 {
                *row ^= unknowns;
                *value ^= sum;
            }
        }
        self.rows.push((unknowns, sum));
        true
    }

    /// A solution: unknowns that may be anything are as in `free`.
    pub(super) fn solve(&self, free: u64) -> u64 {
        self.rows.iter().fold(free, |solution, &(row, sum)| {
            let unknown = lowest(row);
            let rest = (row & !unknown & free).count_ones() % 2 == 1;
            if sum ^ rest { solution | unknown } else { solution & !unknown }
        })
    }
}

const fn lowest(bits: u64) -> u64 {
    bits & bits.wrapping_neg()
}

/// How many of these are sums of no others.
pub(super) fn rank(vectors: impl IntoIterator<Item = u16>) -> u32 {
    let mut basis = Equations::default();
    for vector in vectors {
        basis.add(u64::from(vector), false);
    }
    count32(basis.rows.len())
}

/// A linear map of 16 bits: what each bit of the argument adds to the result, the highest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Linear(pub(super) [u16; 16]);

impl Linear {
    /// The result for a number.
    pub(super) fn of(&self, number: u16) -> u16 {
        let columns = self.0.iter().zip(0u32..);
        columns.fold(0, |sum, (column, bit)| if number & (0x8000 >> bit) == 0 { sum } else { sum ^ column })
    }

    /// What undoes a map onto numbers of so many bits: the result of the inverse for `wanted << (16 - bits) | rest` is
    /// mapped to `wanted`, and each rest gives another one. `None` if some numbers are never mapped to.
    pub(super) fn inverse(&self, bits: u32) -> Option<Linear> {
        // Results with arguments that have them. The lowest bit of each result is in no other.
        let mut basis = ArrayVec::<(u16, u16), 16>::new();
        let mut kernel = ArrayVec::<u16, 16>::new();
        let is_lowest = |of: u16, number: u16| number & of & of.wrapping_neg() != 0;
        for (&column, bit) in self.0.iter().zip(0u32..) {
            let (mut result, mut argument) = (column, 0x8000u16 >> bit);
            for &(known, with) in &basis {
                if is_lowest(known, result) {
                    result ^= known;
                    argument ^= with;
                }
            }
            if result == 0 {
                kernel.push(argument);
                continue;
            }
            for (known, with) in &mut basis {
                if is_lowest(result, *known) {
                    *known ^= result;
                    *with ^= argument;
                }
            }
            basis.push((result, argument));
        }
        // With as many as there are bits, each result is one of them.
        basis.sort_unstable_by(|a, b| b.cmp(a));
        let columns = basis.iter().map(|&(_, argument)| argument).chain(kernel.iter().copied());
        let mut inverse = Linear::default();
        inverse.0.iter_mut().zip(columns).for_each(|(place, column)| *place = column);
        (basis.len() == bits as usize).then_some(inverse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn solutions_solve(rows in prop::collection::vec((any::<u64>(), any::<bool>()), 0..40), free: u64) {
            let mut equations = Equations::default();
            let mut held = Vec::new();
            for (unknowns, sum) in rows {
                let before = equations.clone();
                if equations.add(unknowns, sum) {
                    held.push((unknowns, sum));
                } else {
                    equations = before;
                }
            }
            let solution = equations.solve(free);
            for (unknowns, sum) in held {
                prop_assert_eq!((unknowns & solution).count_ones() % 2 == 1, sum);
            }
        }

        #[test]
        fn inverses_undo(columns: [u16; 16], bits in 1..=12u32) {
            let map = Linear(columns.map(|column| column & ((1 << bits) - 1)));
            prop_assert_eq!(map.inverse(bits).is_some(), rank(map.0) == bits);
            if let Some(inverse) = map.inverse(bits) {
                prop_assert!((0..=u16::MAX).all(|number| map.of(inverse.of(number)) == number >> (16 - bits)));
                prop_assert_eq!((0..=u16::MAX).map(|number| inverse.of(number)).collect::<HashSet<_>>().len(), 1 << 16);
            }
        }
    }

    #[test]
    fn what_contradicts_is_refused() {
        let mut equations = Equations::default();
        assert!(equations.add(0b110, true) && equations.add(0b011, true));
        assert!(equations.clone().add(0b101, false), "it follows from the others");
        assert!(!equations.add(0b101, true));
    }
}
