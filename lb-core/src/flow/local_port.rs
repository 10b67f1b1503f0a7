//! Which local ports of FullNAT are whose.
//!
//! A server's reply comes to a local address and port, and by these alone it is known whose it is: no table is shared.
//! So each worker opens connections from ports that are its own. What counts is one 16-bit word, the port combined with
//! the words of the address by exclusive or, because that is all that the ports' RSS hash sees of them
//! ([`RSS_KEY_WORD`]; with keys that see one end only, an address comes down to a word of [`ZeroWindow`]'s). Where ports
//! deliver replies by that hash, a worker's words are those that come to it anyway; elsewhere they are dealt out evenly,
//! and what arrives at another worker is handed over.

use super::{bits::Linear, key::Secret, owner::RSS_KEY_WORD, zero_window::ZeroWindow};
use crate::{
    cast::{count32, index, low16, low32},
    limits::FIRST_LOCAL_PORT,
    mix::{fold_multiply, scale},
    packet::WorkerId,
};

/// Words there are.
const WORDS: u32 = 1 << 16;
/// Spreads neighbouring words over workers. Any odd number has an inverse; this one, 2^16 over the golden ratio, deals out
/// any run of words most evenly.
const MIXER: u16 = 0x9e37;
const UNMIXER: u16 = inverse(MIXER);
/// Undoes the hash of a word: the key's word turned around, to the 15th power. As the 16th power of a polynomial over
/// bits with an odd number of them is 1, modulo x^16 - 1, that is its inverse.
const UNHASHER: u16 = {
    let (mut power, mut times) = (product(RSS_KEY_WORD, ONE), 1);
    while times < 15 {
        power = product(RSS_KEY_WORD, power);
        times += 1;
    }
    power
};
/// The polynomial 1.
const ONE: u16 = 0x8000;

const _: () = assert!(product(hash(ONE), UNHASHER) == ONE);
const _: () = assert!(MIXER.wrapping_mul(UNMIXER) == 1);

/// What a word's owner follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dealing {
    /// The ports' own hash, over a redirection table of so many entries, a power of two.
    Hashed(u16),
    /// The hash of ports that see one end only, of which so many bits choose the entry ([`ZeroWindow`]).
    Keyed(u32),
    /// They are dealt out evenly.
    Even,
}

/// The local ports of one worker.
#[derive(Clone, Copy, Debug)]
pub struct LocalPorts {
    dealing: Dealing,
    worker: u32,
    workers: u32,
    /// Words that are the worker's.
    count: u32,
    /// From one word that is tried to the next: every one comes once, and those that have come lie about evenly.
    stride: u32,
    /// The number of the first, and how words and entries follow from numbers and words. With keys only.
    keyed: (u32, Linear, Linear),
}

/// Where a worker's search for a port begins: it moves on with every connection that is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortTurn {
    /// Where in the worker's words.
    at: u32,
    /// How often it has been through them: then each word meets another address.
    lap: u32,
}

impl LocalPorts {
    /// Those of one of so many workers. `redirection_len` is that of the ports' tables, if they deliver replies by the
    /// local address and port.
    #[must_use]
    pub fn new(worker: WorkerId, workers: usize, redirection_len: Option<u16>) -> Self {
        let (worker, workers) = (u32::from(worker.0), count32(workers.max(1)));
        let usable = |len: &u16| len.is_power_of_two() && u32::from(*len) >= workers;
        let dealing = redirection_len.filter(usable).map_or(Dealing::Even, Dealing::Hashed);
        let count = match dealing {
            Dealing::Hashed(len) => (u32::from(len) - worker).div_ceil(workers) * (WORDS / u32::from(len)),
            Dealing::Keyed(_) | Dealing::Even => {
                first_even(worker + 1, workers) - first_even(worker, workers)
            }
        };
        LocalPorts { dealing, worker, workers, count, stride: stride(count), keyed: Default::default() }
    }

    /// Those of one worker where ports deliver replies by the local address and port because of their keys.
    #[must_use]
    pub fn keyed(worker: WorkerId, workers: usize, keys: &ZeroWindow) -> Self {
        let (worker, workers) = (u32::from(worker.0), count32(workers.max(1)));
        let numbers = keys.numbers(worker);
        let (first, count) = (numbers.start, numbers.end - numbers.start);
        let (word, entry) = keys.maps();
        let dealing = Dealing::Keyed(keys.bits());
        LocalPorts { dealing, worker, workers, count, stride: stride(count), keyed: (first, word, entry) }
    }

    /// What a word's owner follows from.
    #[must_use]
    pub const fn dealing(&self) -> Dealing {
        self.dealing
    }

    /// The worker that replies to an address and port belong to. `address` is what counts of the address: its words,
    /// combined by exclusive or, or with keys its word.
    #[must_use]
    pub fn owner(&self, address: u16, port: u16) -> WorkerId {
        let word = address ^ port;
        WorkerId(low16(match self.dealing {
            Dealing::Hashed(len) => u32::from(hash(word) & (len - 1)) % self.workers,
            Dealing::Keyed(bits) => (u32::from(self.keyed.2.of(word)) * self.workers) >> bits,
            Dealing::Even => (u32::from(word.wrapping_mul(MIXER)) * self.workers) >> 16,
        }))
    }

    /// How many ports of an address the worker has, about.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.count - self.count / (WORDS / FIRST_LOCAL_PORT as u32)
    }

    /// Whether it has none, which is never so.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The turn of the first connection: another in every run, so that servers which remember connections of the last are not
    /// soon met from the same ports.
    #[must_use]
    pub fn first_turn(&self, secret: Secret) -> PortTurn {
        let hash = fold_multiply(secret.0, 0x452_821e_638d_0137 + u64::from(self.worker));
        PortTurn { at: count32(scale(hash, self.count as usize)), lap: 0 }
    }

    /// The turn of the next connection.
    #[must_use]
    pub const fn next_turn(&self, turn: PortTurn) -> PortTurn {
        if turn.at + 1 < self.count {
            PortTurn { at: turn.at + 1, ..turn }
        } else {
            PortTurn { at: 0, lap: turn.lap.wrapping_add(1) }
        }
    }

    /// The worker's words, as they are tried from a turn on: each once.
    pub fn words(&self, turn: PortTurn) -> impl Iterator<Item = u16> + use<> {
        let (ports, mut at) = (*self, turn.at);
        (0..self.count).map(move |_| {
            let word = ports.word(at);
            at += ports.stride;
            if at >= ports.count {
                at -= ports.count;
            }
            word
        })
    }

    /// One of the worker's words.
    fn word(&self, number: u32) -> u16 {
        match self.dealing {
            Dealing::Hashed(len) => {
                // How many words each entry of the table has: a power of two as well.
                let each = WORDS / u32::from(len);
                let (entry, rest) = (number >> each.trailing_zeros(), number & (each - 1));
                product(low16(self.worker + self.workers * entry + u32::from(len) * rest), UNHASHER)
            }
            Dealing::Keyed(_) => self.keyed.1.of(low16(self.keyed.0 + number)),
            Dealing::Even => low16(first_even(self.worker, self.workers) + number).wrapping_mul(UNMIXER),
        }
    }
}

impl PortTurn {
    /// One of so many addresses for the next word that is tried. The first is another one in each lap, evenly. Those that
    /// follow are as drawn: whatever goes by steps would have some words meet some addresses only.
    #[must_use]
    pub fn address(self, tried: u32, count: usize) -> usize {
        if tried == 0 {
            // Without a division: times the golden ratio, and what is behind the point tells the place.
            let fraction = u64::from(self.at.wrapping_add(self.lap).wrapping_mul(0x9e37_79b9));
            return index((fraction * count as u64) >> 32);
        }
        let turn = u64::from(self.at) << 32 | u64::from(self.lap);
        scale(fold_multiply(turn ^ 0x243f_6a88_85a3_08d3, 0x9e37_79b9_7f4a_7c15 + u64::from(tried)), count)
    }
}

/// The first of a worker's mixed words where they are dealt out evenly.
const fn first_even(worker: u32, workers: u32) -> u32 {
    (worker * WORDS).div_ceil(workers)
}

/// About the square root of two of `count`, less `count`, and without a common divisor. Not the golden part, which the mixer
/// would undo: then the words that are tried would be neighbours.
const fn stride(count: u32) -> u32 {
    let mut stride = low32((count as u64 * 0x6a0a) >> 16);
    if stride == 0 {
        stride = 1;
    }
    while divisor(count, stride) > 1 {
        stride -= 1;
    }
    stride
}

const fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// The 16 bits that the ports' hash of a word repeats.
const fn hash(word: u16) -> u16 {
    product(word, RSS_KEY_WORD)
}

/// The product of two polynomials over bits, modulo x^16 - 1, the first of them turned around. The highest bit is that of
/// x^0.
const fn product(a: u16, b: u16) -> u16 {
    let (mut sum, mut bit) = (0, 0);
    while bit < 16 {
        if a & (0x8000 >> bit) != 0 {
            // A NIC takes the key from this bit on.
            sum ^= b.rotate_left(bit);
        }
        bit += 1;
    }
    sum
}

/// The number that an odd one times is 1, modulo 2^16: each of Newton's steps doubles the bits that are right.
const fn inverse(odd: u16) -> u16 {
    let (mut inverse, mut step) = (odd, 0);
    while step < 4 {
        inverse = inverse.wrapping_mul(2u16.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        family::{Family, V4},
        flow::{owner::by_client_rss, zero_window::bits_for},
        limits::MAX_WORKERS,
    };
    use proptest::{prelude::*, sample::select};
    use std::collections::HashSet;

    /// Words in the order in which they are tried that are not those of a port which can be used.
    const LOW_IN_A_ROW: usize = 8;

    proptest! {
        #[test]
        fn every_port_is_one_workers_and_every_worker_finds_its_own(
            workers in 1..=MAX_WORKERS,
            len in select(vec![None, Some(128), Some(512), Some(2048), Some(100)]),
            address: u16,
            turn in 0..512u32,
            keyed: bool,
            seed: u64,
        ) {
            let mut found = HashSet::new();
            let even = 65_536 / workers;
            let keys = keyed.then(|| ZeroWindow::draw(seed, bits_for(workers as u16, [len.unwrap_or(64)])?, workers as u16, &[]));
            for worker in (0..workers).map(|worker| WorkerId(worker as u16)) {
                let ports = match keys.iter().flatten().next() {
                    Some(keys) => LocalPorts::keyed(worker, workers, keys),
                    None => LocalPorts::new(worker, workers, len),
                };
                let words: Vec<u16> = ports.words(PortTurn { at: turn % ports.count, lap: 0 }).collect();
                prop_assert!(words.iter().all(|word| ports.owner(address, word ^ address) == worker));
                let usable = words.iter().filter(|&word| word ^ address >= FIRST_LOCAL_PORT).count();
                prop_assert!(usable.abs_diff(ports.len() as usize) <= 16 + ports.len() as usize / 8);
                let low = words.split(|word| word ^ address >= FIRST_LOCAL_PORT).map(<[u16]>::len).max();
                prop_assert!(low <= Some(LOW_IN_A_ROW), "{low:?} of {} cannot be used", words.len());
                if ports.dealing() == Dealing::Even {
                    prop_assert!(usable.abs_diff(even - even / 64) <= 8, "{} of {}", usable, even);
                }
                found.extend(words);
            }
            prop_assert_eq!(found.len(), 65_536, "each is somebody's");
        }

        #[test]
        fn ports_deliver_replies_to_the_owner_by_themselves(
            workers in 1..=64usize, len in select(vec![64u16, 128, 512, 2048]), local: u32, port: u16,
        ) {
            let ports = LocalPorts::new(WorkerId(0), workers, Some(len));
            let arrives_at = by_client_rss::<V4>(local, port, len, workers);
            prop_assert_eq!(ports.owner(V4::words(local), port), arrives_at);
        }
    }

    #[test]
    fn what_is_free_is_found_soon_wherever_it_lies() {
        let ports = LocalPorts::new(WorkerId(1), 3, None);
        // All but one in sixteen is taken, in one piece.
        for first in (0..ports.count).step_by(97) {
            let free: HashSet<u16> =
                (first..first + ports.count / 16).map(|number| ports.word(number % ports.count)).collect();
            let tries = ports.words(PortTurn::default()).position(|word| free.contains(&word)).unwrap();
            assert!(tries < 48, "{tries} from {first}");
        }
    }

    /// With each lap in the same pairs, the search went past all connections of the laps before.
    #[test]
    fn a_word_meets_other_addresses_in_other_laps() {
        const ADDRESSES: usize = 16;
        let ports = LocalPorts::new(WorkerId(0), 1, None);
        let mut turn = PortTurn::default();
        let mut pairs = HashSet::new();
        let laps = 8;
        for _ in 0..laps * ports.count {
            pairs.insert((turn.at, turn.address(0, ADDRESSES)));
            turn = ports.next_turn(turn);
        }
        assert!(pairs.len() as u32 > laps * ports.count * 3 / 4, "{} pairs", pairs.len());
    }

    #[test]
    fn addresses_take_turns() {
        let ports = LocalPorts::new(WorkerId(0), 1, None);
        let (mut turn, mut counts) = (PortTurn::default(), [0u32; 3]);
        for _ in 0..3_000 {
            counts[turn.address(0, 3)] += 1;
            turn = ports.next_turn(turn);
        }
        assert!(counts.iter().all(|count| count.abs_diff(1_000) < 5), "{counts:?}");
    }
}
