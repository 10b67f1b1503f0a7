//! A map that is built once and then only read: open addressing, at most half full.

use crate::flow::key::{fold_multiply, scale};
use crate::wire::protocol::Protocol;

/// A read-only map from numbers to small values.
#[derive(Clone, Debug)]
pub struct Lookup<V> {
    slots: Box<[Option<(u64, V)>]>,
}

impl<V: Copy> Lookup<V> {
    /// Builds the map; of two entries with one key, the first counts.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = (u64, V)>) -> Self {
        let entries: Vec<(u64, V)> = entries.into_iter().collect();
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
    pub fn get(&self, key: u64) -> Option<V> {
        self.slots[self.slot_of(key)].map(|(_, value)| value)
    }

    /// The slot that holds the key, or the free one where it would be. There always is a free one.
    #[inline]
    fn slot_of(&self, key: u64) -> usize {
        let hash = fold_multiply(key ^ 0x4528_21e6_38d0_1377, 0xbe54_66cf_34e9_0c6d);
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

/// A number for a protocol, address and port.
#[inline]
#[must_use]
pub const fn endpoint(protocol: Protocol, address: u32, port: u16) -> u64 {
    (address as u64) << 24 | (port as u64) << 8 | protocol.number() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn it_holds_what_was_put_in(model: HashMap<u64, u32>, absent: u64) {
            let map = Lookup::new(model.clone());
            for (key, value) in &model {
                prop_assert_eq!(map.get(*key), Some(*value));
            }
            prop_assert_eq!(map.get(absent), model.get(&absent).copied());
        }
    }
}
