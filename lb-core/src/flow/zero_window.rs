//! Keys with which any port that hashes addresses and ports sees one end of a flow only.
//!
//! A Toeplitz hash adds up windows of its key: input bit `i` of a packet that is set adds the key's bits from `i` to
//! `i + 31`. A redirection table of 2^k entries looks at the lowest k bits of the sum, so at the windows' last k bits.
//! Where these are zero for all bits of an end's address and port, that end does not count. So of two keys, the one for
//! ports that clients are behind has zeros for destinations, the other for sources; and as the first one's windows of
//! sources are the second one's of destinations, a client's requests and a server's replies to it come to one entry.
//!
//! Windows overlap, so zeros of one end reach into windows of the other. What stays free is drawn, so that outsiders
//! cannot choose addresses that come to one entry, and drawn again until neighbouring addresses and ports come to
//! different ones. The input is addresses, then ports, source first (Microsoft's "RSS hashing types"). IPv6 has the same
//! key with its bits elsewhere: the first one's zeros serve for both families, but the second one's windows of IPv4
//! destinations are seen by bits 32 to 63 and 80 to 95 of an IPv6 source. Servers whose bits there add up to nothing are
//! drawn for; replies of others are handed over.

use super::bits::{Equations, Linear, rank};
use crate::{cast::low16, family::Family, packet::WorkerId};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    ops::Range,
};

/// Bytes of a key: enough for two addresses of IPv6 and two ports.
pub const KEY_LEN: usize = 40;
/// Bits of the entry that are looked at if ports allow it: 8 entries or more for each of up to 16 queues.
const USUAL_BITS: u32 = 7;
/// Most bits: with more, too few bits of a key are free.
pub const MOST_BITS: u32 = 10;
/// Keys that are drawn before one set of conditions is given up. Without conditions, one in two is good, or more.
const DRAWS: u64 = 200;
/// Places in servers' addresses that are drawn for: each takes up to [`MOST_BITS`] of about 30 free bits.
const MOST_PLACES: usize = 16;
/// Where ports begin among the input bits of IPv4 and of IPv6.
const V4_PORTS: usize = 64;
const V6_PORTS: usize = 256;
/// Where the last byte of an IPv6 source begins.
const V6_LAST: usize = 120;

/// The end of a flow that a port is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// For ports that clients are behind.
    Source,
    /// For ports that servers are behind.
    Destination,
}

/// Keys of both kinds, and to which worker ports with them deliver a client.
///
/// An address comes down to one 16-bit *word*, so that the entry follows from the exclusive or of word and port: the same
/// as with [`RSS_KEY_WORD`](super::owner::RSS_KEY_WORD).
#[derive(Clone, PartialEq, Eq)]
pub struct ZeroWindow {
    bits: u32,
    queues: u32,
    /// That of ports that clients are behind, and that of those that servers are behind.
    keys: [[u8; KEY_LEN]; 2],
    /// The entry of a word.
    entry: Linear,
    /// Its inverse.
    word: Linear,
    /// What the bytes of an address add to its word.
    v4: [[u16; 256]; 4],
    v6: [[u16; 256]; 16],
}

/// How many bits of an entry ports with tables of these lengths are to look at for so many queues. `None` if a table is
/// no power of two, or too short to name each queue.
#[must_use]
pub fn bits_for(queues: u16, table_lens: impl IntoIterator<Item = u16>) -> Option<u32> {
    let least = least_bits(queues);
    let lens = table_lens.into_iter().map(|len| len.is_power_of_two().then(|| len.ilog2()));
    let shortest = lens.min().flatten()?;
    let bits = USUAL_BITS.max(least + 3).min(MOST_BITS).min(shortest);
    (bits >= least).then_some(bits)
}

/// Bits that so many queues can be told by.
const fn least_bits(queues: u16) -> u32 {
    let queues = if queues < 2 { 2 } else { queues as u32 };
    queues.next_power_of_two().ilog2()
}

impl ZeroWindow {
    /// Draws keys for tables of which `bits` bits of the entry count, as [`bits_for`] chooses them. The same seed draws the
    /// same ones. `servers` are those whose replies pass here: for as many as possible the keys are such that these
    /// come to their owner by themselves. `None` if no good keys were found.
    #[must_use]
    pub fn draw(seed: u64, bits: u32, queues: u16, servers: &[Ipv6Addr]) -> Option<ZeroWindow> {
        debug_assert!((1..=MOST_BITS).contains(&bits), "as bits_for chooses them");
        let free = Free { bits, seen: bits.min(least_bits(queues) + 1) };
        let mut conditions = Equations::default();
        let mut best = free.first_good(seed, &conditions)?;
        for place in places(servers) {
            let mut with = conditions.clone();
            let fits = free.rows(place).into_iter().all(|unknowns| with.add(unknowns, false));
            if let Some(key) = fits.then(|| free.first_good(seed, &with)).flatten() {
                (best, conditions) = (key, with);
            }
        }
        ZeroWindow::new(best, bits, queues)
    }

    fn new(key: Key, bits: u32, queues: u16) -> Option<ZeroWindow> {
        let entry = Linear(std::array::from_fn(|bit| key.window(V4_PORTS + bit, bits)));
        let word = entry.inverse(bits)?;
        let words = |byte: usize| {
            std::array::from_fn(|value| {
                let set = (0..8).filter(|bit| value & (0x80 >> bit) != 0);
                let entry = set.fold(0, |sum, bit| sum ^ key.window(byte * 8 + bit, bits));
                word.of(entry << (16 - bits))
            })
        };
        Some(ZeroWindow {
            bits,
            queues: u32::from(queues.max(1)),
            keys: [key.0, key.of_servers(bits).0],
            entry,
            word,
            v4: std::array::from_fn(words),
            v6: std::array::from_fn(words),
        })
    }

    /// The key of ports that are to see that end. Longer keys go on with zeros.
    #[must_use]
    pub const fn key(&self, seen: End) -> &[u8; KEY_LEN] {
        match seen {
            End::Source => &self.keys[0],
            End::Destination => &self.keys[1],
        }
    }

    /// Bits of a table's entry that count.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// The redirection table of a port with so many entries: the queue of each. Neighbouring addresses and ports differ in
    /// the upper bits first, so these choose the queue.
    #[must_use]
    pub fn table(&self, len: u16) -> Vec<u16> {
        let mask = (1 << self.bits) - 1;
        (0..len).map(|entry| self.queue(entry & mask)).collect()
    }

    /// What counts of an address: its entry is that of the word, combined with the port by exclusive or.
    #[must_use]
    pub fn word<F: Family>(&self, address: F::Address) -> u16 {
        self.word_of(F::ip(address))
    }

    /// The worker to which ports deliver a client, whichever end it is.
    #[must_use]
    pub fn owner<F: Family>(&self, client: F::Address, port: u16) -> WorkerId {
        self.owner_of_word(self.word::<F>(client) ^ port)
    }

    /// Whether replies of a server come to their owner by themselves.
    #[must_use]
    pub fn reaches(&self, server: IpAddr) -> bool {
        match server {
            IpAddr::V4(_) => true,
            IpAddr::V6(server) => {
                let Place { address, port } = Place::of(server);
                self.entry.of(self.word_of(IpAddr::V4(address.into())) ^ port) == 0
            }
        }
    }

    /// The worker of a word.
    #[must_use]
    pub(super) fn owner_of_word(&self, word: u16) -> WorkerId {
        WorkerId(self.queue(self.entry.of(word)))
    }

    /// Numbers of the words of a worker, which follow one another.
    pub(super) fn numbers(&self, worker: u32) -> Range<u32> {
        let first = |worker: u32| (worker << self.bits).div_ceil(self.queues) << (16 - self.bits);
        first(worker)..first(worker + 1)
    }

    /// The word of a number, and the entry of a word.
    pub(super) const fn maps(&self) -> (Linear, Linear) {
        (self.word, self.entry)
    }

    fn queue(&self, entry: u16) -> u16 {
        low16((u32::from(entry) * self.queues) >> self.bits)
    }

    fn word_of(&self, address: IpAddr) -> u16 {
        let sum = |tables: &[[u16; 256]], bytes: &[u8]| {
            tables.iter().zip(bytes).fold(0, |sum, (table, &byte)| sum ^ table[usize::from(byte)])
        };
        match address {
            IpAddr::V4(address) => sum(&self.v4, &address.octets()),
            IpAddr::V6(address) => sum(&self.v6, &address.octets()),
        }
    }
}

/// The keys are nobody's business but the ports', and the tables are long.
impl fmt::Debug for ZeroWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZeroWindow").field("bits", &self.bits).finish_non_exhaustive()
    }
}

/// What the second key sees of an IPv6 source: it takes bits 32 to 63 for an IPv4 destination, and bits 80 to 95 for its
/// port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    address: u32,
    port: u16,
}

impl Place {
    fn of(address: Ipv6Addr) -> Place {
        let [_, _, a, b, _, port, ..] = address.segments();
        Place { address: u32::from(a) << 16 | u32::from(b), port }
    }
}

/// Those of servers, most frequent first.
fn places(servers: &[Ipv6Addr]) -> Vec<Place> {
    let mut counts = BTreeMap::<Place, usize>::new();
    servers.iter().for_each(|&server| *counts.entry(Place::of(server)).or_default() += 1);
    let mut places: Vec<_> = counts.into_iter().collect();
    places.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    places.into_iter().map(|(place, _)| place).take(MOST_PLACES).collect()
}

/// The free bits of the first key that IPv4 sees.
struct Free {
    bits: u32,
    /// The upper bits of an entry, by which queues are told apart, and one more.
    seen: u32,
}

impl Free {
    /// Where they lie: those for addresses, and those for ports.
    fn ranges(&self) -> [Range<usize>; 2] {
        let bits = self.bits as usize;
        [31..64 - bits, 95..112 - bits]
    }

    /// The unknown of a bit of the key; 0 if that is no free one.
    fn unknown(&self, key_bit: usize) -> u64 {
        let [addresses, ports] = self.ranges();
        match key_bit {
            _ if addresses.contains(&key_bit) => 1 << (key_bit - addresses.start),
            _ if ports.contains(&key_bit) => 1 << (addresses.len() + key_bit - ports.start),
            _ => 0,
        }
    }

    /// What a place adds to each bit of the entry, as sums of unknowns.
    fn rows(&self, place: Place) -> Vec<u64> {
        let bits = self.bits as usize;
        let addresses = (0..32).filter(|bit| place.address & (1 << 31 >> bit) != 0);
        let ports = (0..16).filter(|bit| place.port & (1 << 15 >> bit) != 0).map(|bit| V4_PORTS + bit);
        let inputs: Vec<usize> = addresses.chain(ports).collect();
        let of_bit =
            |bit: usize| inputs.iter().fold(0, |sum, input| sum ^ self.unknown(input + 32 - bits + bit));
        (0..bits).map(of_bit).collect()
    }

    /// The first key drawn that meets the conditions and spreads neighbours well.
    fn first_good(&self, seed: u64, conditions: &Equations) -> Option<Key> {
        (0..DRAWS).map(|draw| self.key(seed, draw, conditions)).find(|key| self.is_good(key))
    }

    /// Whether the bits of each byte that neighbours differ in come to as many queues as there are: bytes of IPv4 addresses
    /// but the first, the last of IPv6 addresses, and the last of ports.
    fn is_good(&self, key: &Key) -> bool {
        let unseen = self.bits - self.seen;
        let rank_of = |first: usize| rank((first..first + 8).map(|bit| key.window(bit, self.bits) >> unseen));
        let mut bytes = [8, 16, 24, V4_PORTS + 8, V6_LAST].into_iter();
        bytes.all(|first| rank_of(first) == self.seen.min(8))
    }

    fn key(&self, seed: u64, draw: u64, conditions: &Equations) -> Key {
        let solution = conditions.solve(random(seed, 2 * draw));
        let bits = self.bits as usize;
        let mut key = Key([0; KEY_LEN]);
        let [addresses, ports] = self.ranges();
        for bit in addresses.chain(ports.clone()) {
            key.set(bit, solution & self.unknown(bit) != 0);
        }
        // IPv6 has the same windows for ports, and the last 32 bits of addresses for itself.
        for bit in ports {
            key.set(V6_PORTS - V4_PORTS + bit, key.has(bit));
        }
        let last = 127..160 - bits;
        let of_v6 = random(seed, 2 * draw + 1) | 1 | 1 << (last.len() - 1);
        for (nth, bit) in last.enumerate() {
            key.set(bit, of_v6 & 1 << nth != 0);
        }
        key
    }
}

/// The n-th number of a sequence: splitmix64 (Steele, Lea and Flood, 2014), since directors of any version must agree.
const fn random(seed: u64, nth: u64) -> u64 {
    let mixed = seed.wrapping_add((nth + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[derive(Clone, Copy)]
struct Key([u8; KEY_LEN]);

impl Key {
    fn has(&self, bit: usize) -> bool {
        self.0.get(bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0)
    }

    fn set(&mut self, bit: usize, on: bool) {
        if let (Some(byte), true) = (self.0.get_mut(bit / 8), on) {
            *byte |= 0x80 >> (bit % 8);
        }
    }

    /// What an input bit adds to the lowest bits of the hash.
    fn window(&self, input_bit: usize, bits: u32) -> u16 {
        let last = input_bit + 32;
        (last - bits as usize..last).fold(0, |window, bit| window << 1 | u16::from(self.has(bit)))
    }

    /// The key of ports that servers are behind: what this one has for sources, it has for destinations.
    fn of_servers(&self, bits: u32) -> Key {
        let first = 32 - bits as usize;
        let mut key = Key([0; KEY_LEN]);
        let mut shift = |input: Range<usize>, by: usize| {
            for bit in (input.start + first..input.end + 31).filter(|&bit| self.has(bit)) {
                key.set(bit + by, true);
            }
        };
        shift(0..32, 32);
        shift(V4_PORTS..V4_PORTS + 16, 16);
        shift(0..128, 128);
        shift(V6_PORTS..V6_PORTS + 16, 16);
        key
    }
}
