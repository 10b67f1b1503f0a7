//! Which worker owns a flow.
//!
//! Every connection belongs to one worker, and only that worker ever touches it. Under NAT both directions pass
//! through us, and what they have in common is the client's endpoint; so the owner is a function of the client's
//! address and port alone. Under TUN and DR only one direction does, and the owner may as well be the worker that the
//! port delivers the flow to, where that can be relied on. The reasoning, and which port allows what, is in
//! `ARCHITECTURE.md`.

use super::key::{Address, Key, Secret, scale};
use crate::packet::WorkerId;

/// The owner by client endpoint, where no port's spread decides.
#[inline]
#[must_use]
pub fn by_client<A: Address>(client: A, port: u16, protocol: u8, workers: usize, secret: Secret) -> WorkerId {
    // The same address on both sides makes this a function of the client's endpoint alone.
    let key =
        Key { source: client, destination: client, source_port: port, destination_port: port, protocol };
    // Other bits than the table takes for its buckets, or each worker would fill only a part of its table.
    WorkerId(scale(key.hash(secret).rotate_left(32), workers as u64) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_spread_over_any_number_of_workers() {
        for workers in [1, 2, 3, 7, 16] {
            let mut flows = vec![0u32; workers];
            for port in 0..60_000u16 {
                flows[usize::from(by_client(0xcb00_7101u32, port, 6, workers, Secret(99)).0)] += 1;
            }
            let mean = 60_000 / workers as u32;
            assert!(flows.iter().all(|&count| count.abs_diff(mean) < mean / 10 + 1), "{flows:?}");
        }
    }
}
