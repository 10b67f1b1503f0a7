//! Numbers that stay with what they name, from one snapshot to the next.

use crate::ids::Id;
use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

/// Gives things their numbers: those they had, else free ones, else new ones.
#[derive(Debug)]
pub(super) struct Numbers<K, I> {
    /// Who has which number.
    known: HashMap<K, I>,
    /// Numbers that nobody has or keeps, the lowest last.
    free: Vec<I>,
    /// The lowest number that was never given.
    next: u32,
    room: usize,
}

impl<K: Eq + Hash, I: Id + Eq + Hash> Numbers<K, I> {
    /// `owners` has for every number assigned so far its owner, if any, and whether it may be assigned to somebody
    /// else. There are at most `room` numbers.
    pub(super) fn new(owners: impl IntoIterator<Item = (Option<K>, bool)>, room: usize) -> Self {
        let mut numbers = Numbers { known: HashMap::new(), free: Vec::new(), next: 0, room };
        for (owner, is_free) in owners {
            let number = I::new(numbers.next);
            if is_free {
                numbers.free.push(number);
            }
            if let Some(owner) = owner {
                numbers.known.insert(owner, number);
            }
            numbers.next += 1;
        }
        numbers.free.reverse();
        numbers
    }

    /// A number for each of `wanted`, in order; `None` when the capacity is exceeded.
    pub(super) fn give(&mut self, wanted: impl IntoIterator<Item = K>) -> Option<Vec<I>> {
        // Those that have one come first, so that nobody else gets it.
        let had: Vec<Option<I>> = wanted.into_iter().map(|key| self.known.get(&key).copied()).collect();
        let taken: HashSet<I> = had.iter().copied().flatten().collect();
        self.free.retain(|number| !taken.contains(number));
        had.into_iter().map(|had| had.or_else(|| self.fresh())).collect()
    }

    fn fresh(&mut self) -> Option<I> {
        self.free.pop().or_else(|| {
            let number = I::new(self.next);
            self.next += 1;
            (number.index() < self.room).then_some(number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ServerId;

    fn ids(numbers: &[u32]) -> Option<Vec<ServerId>> {
        Some(numbers.iter().copied().map(ServerId::new).collect())
    }

    #[test]
    fn numbers_stay_and_free_ones_are_used_before_new_ones() {
        let owners = [(Some("a"), false), (Some("gone"), true), (None, true), (Some("leaving"), false)];
        let mut numbers = Numbers::new(owners, 6);
        assert_eq!(numbers.give(["new", "a", "newer", "newest"]), ids(&[1, 0, 2, 4]));
        assert_eq!(numbers.give(["one more", "too many"]), None);
    }

    #[test]
    fn who_comes_back_gets_its_number_before_others_do() {
        let mut numbers = Numbers::new([(Some("back"), true), (None, true)], 2);
        assert_eq!(numbers.give(["new", "back"]), ids(&[1, 0]));
    }
}
