//! A hash table from flow keys to values of 32 bits, made for one writer and for bursts.
//!
//! A bucket is one cache line with eight slots of a 16-bit tag and a value. A key may be in either of two buckets;
//! the second follows from the first and the tag, so that an entry can be moved without knowing its key ("partial-key
//! cuckoo hashing"). The table does not store keys: a tag that matches is a hit, and the caller compares the key with
//! that of the connection which the value names. About one lookup in 2,000 meets a hit that is not its own.
//!
//! What it may lose: nothing. An insertion that finds no room within a bounded search changes nothing and reports
//! [`Full`]. Below 90 % load that practically does not happen.

use super::{
    prefetch::prefetch_at,
    tags::{SLOTS, Tags},
};
use crate::{
    cast::{count32, low16, low32, small},
    mix::scale,
};
use arrayvec::ArrayVec;

/// Most buckets looked at to make room for one entry. At 90 % load, dozens would do.
const MAX_STEPS: usize = 256;
/// The share of slots that capacity promises to use, in percent. 90 would do, but then one key in six is in its second
/// bucket and insertions have to move others: opening a connection under NAT takes 15 % longer, its packets 5 %.
const LOAD_PERCENT: usize = 70;

/// One cache line of slots. A tag of zero marks a free slot.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket<V> {
    tags: Tags,
    values: [V; SLOTS],
}

const _: () = assert!(size_of::<Bucket<u32>>() == 64);

impl<V: Copy> Bucket<V> {
    /// The value of the first slot that has this tag.
    #[inline(always)]
    fn likely(&self, tag: u16) -> Option<V> {
        self.tags.matching(tag).first().map(|slot| self.values[slot])
    }
}

/// The table has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Where a key may be: its first bucket, and the tag from which the second follows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    first: u32,
    tag: u16,
}

/// The table.
pub struct Table<V> {
    buckets: Box<[Bucket<V>]>,
    used: usize,
}

impl<V: Copy + PartialEq> Table<V> {
    /// A table that takes `capacity` entries at a load of at most 70 %. `filler` is some value for slots that are free.
    #[must_use]
    pub fn new(capacity: usize, filler: V) -> Self {
        let slots = capacity * 100 / LOAD_PERCENT + SLOTS;
        // Two buckets at least, so that a key has two.
        let buckets = slots.div_ceil(SLOTS).max(2);
        let empty = Bucket { tags: Tags([0; SLOTS]), values: [filler; SLOTS] };
        Table { buckets: vec![empty; buckets].into_boxed_slice(), used: 0 }
    }

    /// Bytes a table of that capacity occupies.
    #[must_use]
    pub const fn bytes(capacity: usize) -> usize {
        (capacity * 100 / LOAD_PERCENT + SLOTS).div_ceil(SLOTS) * size_of::<Bucket<V>>()
    }

    /// Entries in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether the table has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Where a key with this hash may be.
    #[inline(always)]
    #[must_use]
    pub fn place(&self, hash: u64) -> Place {
        // The bucket comes from the high bits, the tag from the low ones. An odd number is never zero.
        Place { first: count32(scale(hash, self.buckets.len())), tag: low16(low32(hash)) | 1 }
    }

    /// Starts loading the bucket that most likely holds the key.
    #[inline(always)]
    pub fn prefetch(&self, place: Place) {
        prefetch_at(&self.buckets, place.first);
    }

    /// The likely value in the first bucket, where most keys are. It may be another key's.
    #[inline(always)]
    #[must_use]
    pub fn likely(&self, place: Place) -> Option<V> {
        self.buckets.get(place.first as usize).and_then(|bucket| bucket.likely(place.tag))
    }

    /// Starts loading the second bucket, for a key that is not likely in its first.
    #[inline]
    pub fn prefetch_second(&self, place: Place) {
        prefetch_at(&self.buckets, self.other(place.first, place.tag));
    }

    /// The likely value in the second bucket.
    #[inline]
    #[must_use]
    pub fn likely_in_second(&self, place: Place) -> Option<V> {
        let second = self.other(place.first, place.tag);
        self.buckets.get(second as usize).and_then(|bucket| bucket.likely(place.tag))
    }

    /// The entry at `place` for which `is_it` holds.
    #[inline]
    pub fn find(&self, place: Place, mut is_it: impl FnMut(V) -> bool) -> Option<V> {
        for at in self.both(place) {
            let bucket = &self.buckets[at as usize];
            let mut matches = bucket.tags.matching(place.tag);
            while let Some(slot) = matches.first() {
                let value = bucket.values[slot];
                if is_it(value) {
                    return Some(value);
                }
                matches = matches.without_first();
            }
        }
        None
    }

    /// Adds an entry. The caller makes sure that the key has none yet.
    pub fn insert(&mut self, place: Place, value: V) -> Result<(), Full> {
        for at in self.both(place) {
            if self.put(at, place.tag, value) {
                self.used += 1;
                return Ok(());
            }
        }
        self.insert_moving(place, value)
    }

    /// Removes the entry `value` at `place`. Returns whether it was there.
    pub fn remove(&mut self, place: Place, value: V) -> bool {
        for at in self.both(place) {
            let bucket = &mut self.buckets[at as usize];
            let mut matches = bucket.tags.matching(place.tag);
            while let Some(slot) = matches.first() {
                if bucket.values[slot] == value {
                    bucket.tags.0[slot] = 0;
                    self.used -= 1;
                    return true;
                }
                matches = matches.without_first();
            }
        }
        false
    }

    #[inline(always)]
    fn both(&self, place: Place) -> [u32; 2] {
        [place.first, self.other(place.first, place.tag)]
    }

    /// The other bucket of an entry that is in `bucket` with `tag`. Its own inverse.
    #[inline(always)]
    fn other(&self, bucket: u32, tag: u16) -> u32 {
        let count = count32(self.buckets.len());
        // The two buckets of a tag add up to the same number, modulo their count. Spreading the tag over 64 bits
        // first makes all buckets possible partners.
        let spread = u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let total = count32(scale(spread, self.buckets.len()));
        if total >= bucket { total - bucket } else { total + (count - bucket) }
    }

    /// Puts an entry into a bucket if that has room.
    fn put(&mut self, at: u32, tag: u16, value: V) -> bool {
        let bucket = &mut self.buckets[at as usize];
        let Some(slot) = bucket.tags.matching(0).first() else { return false };
        bucket.tags.0[slot] = tag;
        bucket.values[slot] = value;
        true
    }

    /// Makes room by moving entries to their other buckets. A breadth-first search over the buckets that could take
    /// an entry finds the shortest chain that ends in a bucket with room; then entries move along it from its end, so
    /// that none is ever out of the table. A shortest chain does not meet a bucket twice.
    #[cold]
    fn insert_moving(&mut self, place: Place, value: V) -> Result<(), Full> {
        let mut steps = ArrayVec::<Step, MAX_STEPS>::new();
        steps.push(Step { bucket: place.first, from: None });
        steps.push(Step { bucket: self.other(place.first, place.tag), from: None });
        let mut next = 0;
        while let Some(&Step { bucket, .. }) = steps.get(next) {
            for slot in 0..SLOTS {
                let to = self.other(bucket, self.buckets[bucket as usize].tags.0[slot]);
                if self.buckets[to as usize].tags.matching(0).first().is_some() {
                    let root = self.move_along(&steps, next, slot);
                    self.put(root, place.tag, value);
                    self.used += 1;
                    return Ok(());
                }
                // When no further step can be stored, the search continues with those it has.
                let _ = steps.try_push(Step { bucket: to, from: Some((small(next), small(slot))) });
            }
            next += 1;
        }
        Err(Full)
    }

    /// Moves the entry in `slot` of step `at` to its other bucket, then fills the gap from the step before, and so
    /// on. Returns the bucket that has a gap in the end.
    fn move_along(&mut self, steps: &[Step], mut at: usize, mut slot: usize) -> u32 {
        loop {
            let Step { bucket, from } = steps[at];
            let full = self.buckets[bucket as usize];
            let to = self.other(bucket, full.tags.0[slot]);
            self.put(to, full.tags.0[slot], full.values[slot]);
            self.buckets[bucket as usize].tags.0[slot] = 0;
            match from {
                Some((before, its_slot)) => (at, slot) = (usize::from(before), usize::from(its_slot)),
                None => return bucket,
            }
        }
    }
}

/// A bucket that the search for room came to, and from which step and slot.
#[derive(Clone, Copy)]
struct Step {
    bucket: u32,
    from: Option<(u16, u16)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::fold_multiply;
    use proptest::prelude::*;
    use std::collections::hash_map::{Entry, HashMap};

    fn hash(key: u64) -> u64 {
        fold_multiply(key ^ 0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345)
    }

    #[test]
    fn the_other_bucket_is_its_own_inverse() {
        for capacity in [1, 10, 1000, 12_345] {
            let table = Table::<u32>::new(capacity, 0);
            for key in 0..10_000 {
                let place = table.place(hash(key));
                let [first, second] = table.both(place);
                assert_eq!(table.other(second, place.tag), first);
                assert!((second as usize) < table.buckets.len());
            }
        }
    }

    #[test]
    fn capacity_is_reached_and_more_than_that() {
        let mut table = Table::new(100_000, 0);
        let mut key = 0;
        while table.insert(table.place(hash(key)), key as u32).is_ok() {
            key += 1;
        }
        let load = table.len() * 100 / (table.buckets.len() * SLOTS);
        assert!(load >= 95, "full at {load} %");
        for key in 0..key {
            assert_eq!(table.find(table.place(hash(key)), |value| value == key as u32), Some(key as u32));
        }
    }

    /// Millions of operations at full load against a model that cannot be wrong.
    #[test]
    fn it_behaves_like_a_map_at_full_load() {
        const CAPACITY: usize = 50_000;
        let mut table = Table::new(CAPACITY, 0);
        let mut model = HashMap::new();
        let mut keys = Vec::new();
        let mut state = 1u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 20
        };
        for step in 0..3_000_000u32 {
            if keys.len() == CAPACITY || (random() % 64 == 0 && !keys.is_empty()) {
                let key = keys.swap_remove(random() as usize % keys.len());
                let value = model.remove(&key).unwrap();
                assert!(table.remove(table.place(hash(key)), value), "step {step}");
                assert!(!table.remove(table.place(hash(key)), value), "removed once");
            } else {
                let key = random();
                if let Entry::Vacant(entry) = model.entry(key) {
                    table.insert(table.place(hash(key)), step).expect("room below 70 %");
                    entry.insert(step);
                    keys.push(key);
                }
            }
            if !keys.is_empty() {
                let key = keys[random() as usize % keys.len()];
                let expected = model[&key];
                assert_eq!(table.find(table.place(hash(key)), |value| value == expected), Some(expected));
            }
            assert_eq!(table.len(), model.len());
        }
        assert!(keys.len() > CAPACITY * 9 / 10, "the test spent its time at full load");
    }

    proptest! {
        #[test]
        fn absent_keys_are_not_found(keys in prop::collection::hash_set(any::<u32>(), 1..500), absent: u32) {
            prop_assume!(!keys.contains(&absent));
            let mut table = Table::new(keys.len(), 0);
            for &key in &keys {
                table.insert(table.place(hash(u64::from(key))), key).unwrap();
            }
            let found = table.find(table.place(hash(u64::from(absent))), |value| value == absent);
            prop_assert_eq!(found, None);
        }
    }
}
