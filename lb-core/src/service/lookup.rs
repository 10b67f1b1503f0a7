//! A map that is built once and then only read: open addressing, at most half full.

use crate::{
    family::Family,
    mix::{fold_multiply, scale},
    wire::protocol::Protocol,
};

/// A read-only map from an address and a number to small values.
#[derive(Clone, Debug)]
pub struct Lookup<F: Family, V> {
    slots: Box<[Slot<F, V>]>,
}

type Slot<F, V> = Option<(Key<F>, V)>;

/// What values are found by: an address, and a number that stands for the rest.
type Key<F> = (<F as Family>::Address, u32);

impl<F: Family, V: Copy> Lookup<F, V> {
    /// Builds the map; of two entries with one key, the first counts.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = (Key<F>, V)>) -> Self {
        let entries: Vec<(Key<F>, V)> = entries.into_iter().collect();
        let mut map = Lookup { slots: vec![None; entries.len() * 2 + 1].into_boxed_slice() };
        for (key, value) in entries {
            let at = map.slot_of(key);
            if map.slots[at].is_none() {
                map.slots[at] = Some((key, value));
            }
        }
        map
    }

    /// The value of a key.
    #[inline]
    #[must_use]
    pub fn get(&self, key: Key<F>) -> Option<V> {
        self.slots[self.slot_of(key)].map(|(_, value)| value)
    }

    /// The slot that holds the key, or the free one where it would be. There always is a free one.
    #[inline]
    fn slot_of(&self, key: Key<F>) -> usize {
        let address = F::mix(F::pair(key.0, F::Address::default()), 0x4528_21e6_38d0_1377);
        let hash = fold_multiply(address ^ u64::from(key.1), 0xbe54_66cf_34e9_0c6d);
        let mut at = scale(hash, self.slots.len());
        while let Some((other, _)) = self.slots[at] {
            if other == key {
                break;
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }
}

/// A protocol and a port as one number.
#[inline]
#[must_use]
pub(super) const fn endpoint(protocol: Protocol, port: u16) -> u32 {
    (port as u32) << 8 | protocol.number() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::V4;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn it_holds_what_was_put_in(model: HashMap<(u32, u32), u32>, absent: (u32, u32)) {
            let map = Lookup::<V4, u32>::new(model.clone());
            for (key, value) in &model {
                prop_assert_eq!(map.get(*key), Some(*value));
            }
            prop_assert_eq!(map.get(absent), model.get(&absent).copied());
        }
    }
}
