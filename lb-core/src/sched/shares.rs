//! Turns in proportion to weights: exact over a lap, O(log n) for each turn, no division, no clock that overflows.
//!
//! A lap is a stretch of imagined time in which a member of weight `w` (after dividing all weights by their greatest
//! common divisor) has `w` turns at even distances. Whoever is due earliest goes next. Times are kept as fractions
//! and compared by cross products, so nothing is ever rounded: after `sum(w)` turns every member has had exactly its
//! own and everything stands as it did at the start, one lap later.

use super::{Due, members::gcd, start::Start};
use crate::cast::{count32, low64};
use std::cmp::Ordering;

/// Who gets how many turns of a lap.
pub(super) struct Shares {
    members: Box<[Member]>,
}

/// Turn `k` of a member is due at `(start + k * step) / span` of a lap.
struct Member {
    start: u64,
    step: u64,
    span: u64,
}

/// Moments of a lap.
const LAP: u64 = 1 << 32;

impl Member {
    /// How many turns it has in a lap.
    const fn turns(&self) -> u64 {
        self.span / self.step
    }

    /// How many of them are due before a moment of the lap.
    const fn turns_before(&self, moment: u64) -> u64 {
        let at = low64((moment as u128 * self.span as u128).div_ceil(LAP as u128));
        at.saturating_sub(self.start).div_ceil(self.step)
    }
}

impl Shares {
    /// Turns for members with these weights, none of them 0, spread so that the turns of members of *equal* weight
    /// are at even distances too. Otherwise 100 members of weight 1 would all be due at one moment and come in one
    /// block between those of a member of weight 100.
    pub(super) fn smooth(weights: &[u32]) -> Self {
        let mut by_weight: Vec<usize> = (0..weights.len()).collect();
        by_weight.sort_by_key(|&member| weights[member]);
        let mut phases = vec![(0, 1); weights.len()];
        for group in by_weight.chunk_by(|&a, &b| weights[a] == weights[b]) {
            for (place, &member) in group.iter().enumerate() {
                phases[member] = (place as u64, group.len() as u64);
            }
        }
        Shares::new(weights, |member| phases[member])
    }

    /// Turns for members with these weights, none of them 0. The order in which any two members come does not depend
    /// on which others there are.
    pub(super) fn independent(weights: &[u32]) -> Self {
        Shares::new(weights, |_| (0, 1))
    }

    /// `phase` is a member's place among how many that share its distance. One alone is first due after half its
    /// distance: of weights 1 and 2 the second goes first, and the order is 2, 1, 2.
    fn new(weights: &[u32], phase: impl Fn(usize) -> (u64, u64)) -> Self {
        let divisor = weights.iter().fold(0, |a, &b| gcd(a, b)).max(1);
        let member = |(member, &weight): (usize, &u32)| {
            let (place, of) = phase(member);
            Member { start: 2 * place + 1, step: 2 * of, span: 2 * of * u64::from(weight / divisor) }
        };
        Shares { members: weights.iter().enumerate().map(member).collect() }
    }

    /// The queue at the start of a lap.
    pub(super) fn first(&self) -> Vec<Due> {
        self.first_from(Start::FIRST)
    }

    /// The queue at that turn of the first lap.
    pub(super) fn first_from(&self, start: Start) -> Vec<Due> {
        let turn = start.turn(self.members.iter().map(Member::turns).sum());
        // The latest moment at which no more turns than that are past, in parts of a lap.
        let (mut early, mut late) = (0, LAP);
        while late - early > 1 {
            let middle = u64::midpoint(early, late);
            let past: u64 = self.members.iter().map(|member| member.turns_before(middle)).sum();
            if past <= turn { early = middle } else { late = middle }
        }
        let due = |(number, member): (usize, &Member)| {
            let past = member.turns_before(early);
            let (lap, past) = if past < member.turns() { (0, past) } else { (1, 0) };
            Due { lap, member: count32(number), at: member.start + past * member.step }
        };
        let mut queue: Vec<Due> = self.members.iter().enumerate().map(due).collect();
        queue.sort_by(|a, b| self.compare(a, b)); // A sorted array is a heap.
        let past: u64 = self.members.iter().map(|member| member.turns_before(early)).sum();
        // Those that are due at nearly the same moment.
        for _ in past..turn {
            self.next(&mut queue);
        }
        queue
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.members)
    }

    /// Whose turn it is, and puts the member back for its next. `None` when the queue is empty.
    pub(super) fn next(&self, queue: &mut [Due]) -> Option<usize> {
        let first = queue.first_mut()?;
        let member = first.member as usize;
        let shape = &self.members[member];
        first.at += shape.step;
        if first.at >= shape.span {
            first.at = shape.start;
            first.lap = first.lap.wrapping_add(1);
        }
        self.sink(queue);
        Some(member)
    }

    /// Moves the first entry down to where the heap is in order again.
    fn sink(&self, queue: &mut [Due]) {
        let mut at = 0;
        loop {
            let mut earliest = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < queue.len() && self.compare(&queue[child], &queue[earliest]).is_lt() {
                    earliest = child;
                }
            }
            if earliest == at {
                return;
            }
            queue.swap(at, earliest);
            at = earliest;
        }
    }

    /// Who is due earlier; the first in the order of members if both are due at once.
    fn compare(&self, a: &Due, b: &Due) -> Ordering {
        if a.lap != b.lap {
            return a.lap.wrapping_sub(b.lap).cast_signed().cmp(&0);
        }
        let span = |due: &Due| u128::from(self.members[due.member as usize].span);
        let (left, right) = (u128::from(a.at) * span(b), u128::from(b.at) * span(a));
        left.cmp(&right).then(a.member.cmp(&b.member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turns(shares: &Shares, queue: &mut [Due], count: usize) -> Vec<usize> {
        (0..count).map(|_| shares.next(queue).unwrap()).collect()
    }

    #[test]
    fn light_members_come_between_the_turns_of_a_heavy_one() {
        let shares = Shares::smooth(&[1, 1, 1, 1, 4]);
        assert_eq!(turns(&shares, &mut shares.first(), 8), [0, 4, 1, 4, 2, 4, 3, 4]);
    }

    #[test]
    fn a_lap_counter_that_wraps_disturbs_nothing() {
        let shares = Shares::smooth(&[2, 3]);
        let mut queue = shares.first();
        let lap = turns(&shares, &mut queue, 5);
        queue.iter_mut().for_each(|due| due.lap = u32::MAX);
        for _ in 0..3 {
            assert_eq!(turns(&shares, &mut queue, 5), lap);
        }
        assert!(queue.iter().all(|due| due.lap == 2));
    }

    proptest! {
        #[test]
        fn every_lap_is_exact(weights in prop::collection::vec(1_u32..=60, 1..12)) {
            let divisor = weights.iter().fold(0, |a, &b| gcd(a, b));
            let lap: u32 = weights.iter().map(|weight| weight / divisor).sum();
            for shares in [Shares::smooth(&weights), Shares::independent(&weights)] {
                let mut queue = shares.first();
                let mut count = vec![0; weights.len()];
                for member in turns(&shares, &mut queue, lap as usize) {
                    count[member] += divisor;
                }
                prop_assert_eq!(&count, &weights);
                queue.iter_mut().for_each(|due| due.lap -= 1);
                queue.sort_by(|a, b| shares.compare(a, b));
                prop_assert_eq!(queue, shares.first());
            }
        }

        #[test]
        fn from_wherever_it_starts_the_order_is_the_same(
            weights in prop::collection::vec(1_u32..=60, 1..12),
            service: u32,
        ) {
            let shares = Shares::smooth(&weights);
            let started = turns(&shares, &mut shares.first_from(Start::of(service, 0)), 200);
            let divisor = weights.iter().fold(0, |a, &b| gcd(a, b));
            let lap: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
            let order = turns(&shares, &mut shares.first(), lap as usize + 200);
            prop_assert_eq!(&started, &order[Start::of(service, 0).turn(lap) as usize..][..200]);
        }

        #[test]
        fn two_members_keep_their_order_whoever_else_is_there(
            weights in prop::collection::vec(1_u32..=60, 3..8),
        ) {
            let order = |weights: &[u32]| {
                let shares = Shares::independent(weights);
                // Thirty of two members of weight 1 among six of weight 60 take 5,430 turns.
                let mut all = turns(&shares, &mut shares.first(), 6_000);
                all.retain(|&member| member < 2);
                all.truncate(30);
                all
            };
            prop_assert_eq!(order(&weights), order(&weights[..2]));
        }
    }
}
