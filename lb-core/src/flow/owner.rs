//! Which worker owns a flow.
//!
//! Every connection belongs to one worker, and only that worker ever touches it. Under NAT both directions pass
//! through us, and what they have in common is the client's endpoint; so the owner is a function of the client's
//! address and port alone. Under TUN and DR only one direction does, and the owner may as well be the worker that the
//! port delivers the flow to, where that can be relied on. The reasoning, and which port allows what, is in
//! `ARCHITECTURE.md`.

use super::key::{Key, Secret};
use crate::{cast::small, family::Family, mix::scale, packet::WorkerId, wire::protocol::Protocol};

/// The owner by client endpoint, where no port's spread decides.
#[inline]
#[must_use]
pub fn by_client<F: Family>(
    client: F::Address,
    port: u16,
    protocol: Protocol,
    workers: usize,
    secret: Secret,
) -> WorkerId {
    // The same address on both sides makes this a function of the client's endpoint alone.
    let key =
        Key::<F> { source: client, destination: client, source_port: port, destination_port: port, protocol };
    // Other bits than the table takes for its buckets, or each worker would fill only a part of its table.
    WorkerId(small(scale(key.hash(secret).rotate_left(32), workers)))
}

/// The 16-bit word that, over and over, makes the key of every port's RSS hash (Toeplitz). With it a field adds the
/// same to the hash wherever among the hashed bytes it stands, so a client's address and port count the same whether
/// they are source or destination, and whether or not a NIC leaves gaps for the fields it ignores. The
/// price is that only 16 bits of the hash are independent: plenty for a redirection table of a few hundred entries.
pub const RSS_KEY_WORD: u16 = 0x6d5a;

/// The worker to which ports deliver a client that spread by the client's endpoint alone: RSS with
/// [`RSS_KEY_WORD`], over a redirection table of that length whose entries name the queues in turn.
#[must_use]
pub fn by_client_rss<F: Family>(
    client: F::Address,
    port: u16,
    redirection_len: u16,
    workers: usize,
) -> WorkerId {
    let word = F::words(client) ^ port;
    let key = u32::from(RSS_KEY_WORD) << 16 | u32::from(RSS_KEY_WORD);
    let set_bits = (0..16).filter(|bit| word & (0x8000 >> bit) != 0);
    let hash = set_bits.fold(0, |hash, bit| hash ^ key.rotate_left(bit));
    let entry = hash as usize % usize::from(redirection_len.max(1));
    WorkerId(small(entry % workers.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::V4;

    /// The hash as NICs are specified to compute it: each bit of the input that is set adds the 32 bits of the key that
    /// begin at its place.
    fn toeplitz(input: &[u8]) -> u32 {
        let key: Vec<u8> = RSS_KEY_WORD.to_be_bytes().into_iter().cycle().take(52).collect();
        let mut hash = 0;
        for (index, byte) in input.iter().enumerate() {
            let window = key[index..index + 5].iter().fold(0u64, |bits, &key| bits << 8 | u64::from(key));
            for bit in (0..8).filter(|bit| byte & (0x80 >> bit) != 0) {
                hash ^= (window >> (8 - bit)) as u32;
            }
        }
        hash
    }

    #[test]
    fn a_client_hashes_alike_in_every_place_a_nic_may_put_it() {
        for (client, port) in [(0xcb00_7105u32, 50_123u16), (0x0a01_02ff, 80), (1, 65_535)] {
            let (address, port_bytes) = (client.to_be_bytes(), port.to_be_bytes());
            let source_in_place = [&address[..], &[0; 4], &port_bytes, &[0; 2]].concat();
            let destination_in_place = [&[0; 4], &address[..], &[0; 2], &port_bytes].concat();
            let packed = [&address[..], &port_bytes].concat();
            for (table, workers) in [(128, 2), (512, 3), (64, 7)] {
                let expected = by_client_rss::<V4>(client, port, table, workers);
                for input in [&source_in_place, &destination_in_place, &packed] {
                    let entry = toeplitz(input) as usize % usize::from(table);
                    assert_eq!(usize::from(expected.0), entry % workers, "{client:#x}:{port}");
                }
            }
        }
    }

    #[test]
    fn clients_spread_over_the_queues_by_rss_as_well() {
        for workers in [2, 4, 8] {
            let mut flows = vec![0u32; workers];
            for port in 0..60_000u16 {
                flows[usize::from(by_client_rss::<V4>(0xcb00_7101, port, 512, workers).0)] += 1;
            }
            let mean = 60_000 / workers as u32;
            assert!(flows.iter().all(|&count| count.abs_diff(mean) < mean / 10 + 1), "{flows:?}");
        }
    }

    #[test]
    fn clients_spread_over_any_number_of_workers() {
        for workers in [1, 2, 3, 7, 16] {
            let mut flows = vec![0u32; workers];
            for port in 0..60_000u16 {
                flows[usize::from(
                    by_client::<V4>(0xcb00_7101u32, port, Protocol::Tcp, workers, Secret(99)).0,
                )] += 1;
            }
            let mean = 60_000 / workers as u32;
            assert!(flows.iter().all(|&count| count.abs_diff(mean) < mean / 10 + 1), "{flows:?}");
        }
    }
}
