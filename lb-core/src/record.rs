//! Words that are written and read without a lock: as they are under a sequence lock.
//!
//! A record's number is odd while it is written, and another one afterwards. Who wants to write takes it by compare-and-swap;
//! who reads tries a few times, and then takes it for absent.

use std::{
    array,
    hint::spin_loop,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
};

/// How often a reader tries to read a record that is being written.
const TRIES: usize = 4;

/// So many words, and their number.
#[derive(Debug)]
pub(crate) struct Record<const WORDS: usize> {
    number: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl<const WORDS: usize> Record<WORDS> {
    /// All zeros.
    pub(crate) fn vacant() -> Self {
        Record { number: AtomicU64::new(0), words: array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// The number that it has now.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Acquire)
    }

    /// Its words, all of one moment, and the number that they have; `None` while somebody writes.
    pub(crate) fn read(&self) -> Option<(u64, [u64; WORDS])> {
        for _ in 0..TRIES {
            let number = self.number();
            let words = array::from_fn(|at| self.words[at].load(Relaxed));
            fence(Acquire);
            if number.is_multiple_of(2) && self.number.load(Relaxed) == number {
                return Some((number, words));
            }
            spin_loop();
        }
        None
    }

    /// Writes, and does `also` before anybody can read it, if it has that number still; `false` if somebody else writes or
    /// has written.
    pub(crate) fn write(&self, number: u64, words: [u64; WORDS], also: impl FnOnce()) -> bool {
        let is_free = number.is_multiple_of(2)
            && self.number.compare_exchange(number, number + 1, Acquire, Relaxed).is_ok();
        if is_free {
            fence(Release);
            self.words.iter().zip(words).for_each(|(to, word)| to.store(word, Relaxed));
            also();
            self.number.store(number + 2, Release);
        }
        is_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_whole_and_by_one_writer_at_a_time() {
        let record = Record::vacant();
        assert_eq!(record.read(), Some((0, [0, 0])));
        let inside = || {
            assert_eq!(record.read(), None, "it is being written");
            assert!(!record.write(record.number(), [8, 9], || ()), "by somebody else");
        };
        assert!(record.write(0, [1, 2], inside));
        assert_eq!(record.read(), Some((2, [1, 2])));
        assert!(!record.write(0, [3, 4], || ()), "it has another number by now");
        assert_eq!(record.read(), Some((2, [1, 2])));
    }
}
