//! The lookup table behind `sh`, `dh` and `mh`: Maglev's (Eisenbud et al., NSDI 2016, section 3.4), with weights.
//!
//! Each server walks through the table in an order of its own, which follows from its address and port alone, and
//! takes the first free slot it meets whenever it is its turn. When a server goes, its slots are shared out among
//! the others and few of theirs move; every server has its share to within a slot.
//!
//! Turns come in proportion to weights (see [`Shares`]), from servers sorted by address and port. So directors with
//! the same servers have the same table, in whatever order their configurations list them.

use super::{
    Candidate, Grounds,
    candidate::takers,
    hash::{Purpose, endpoint, hash},
    shares::Shares,
};
use crate::cast::{count32, index, low32};

/// Slots of a table: a prime, so that every step length visits all of them. Big enough for a share of 0.1 % to be
/// exact to 1.5 %, small enough to stay in a second-level cache. The Maglev paper's "small" size.
pub(super) const SLOTS: u32 = 65_537;

/// Which candidate has which slot.
pub(super) struct Maglev {
    /// Candidates by slot; no slots at all when no candidate takes connections.
    slots: Box<[u32]>,
}

impl Maglev {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        const FREE: u32 = u32::MAX;

        let mut takers = takers(candidates);
        takers.sort_by_key(|(_, candidate)| (candidate.address, candidate.port));
        if takers.is_empty() {
            return Maglev { slots: Box::default() };
        }
        let weights: Vec<u32> = takers.iter().map(|(_, candidate)| candidate.weight).collect();
        let mut walks: Vec<Walk> = takers.iter().map(|(_, candidate)| Walk::new(candidate)).collect();
        let shares = Shares::independent(&weights);
        let mut queue = shares.first();
        let mut slots = vec![FREE; SLOTS as usize];
        for _ in 0..SLOTS {
            let Some(member) = shares.next(&mut queue) else { break };
            let slot = loop {
                let slot = walks[member].step();
                if slots[slot] == FREE {
                    break slot;
                }
            };
            slots[slot] = count32(takers[member].0);
        }
        Maglev { slots: slots.into() }
    }

    /// The candidate for what these octets say about a request.
    #[inline]
    pub(super) fn pick(&self, octets: &[u8]) -> Option<usize> {
        self.slots.get(index(slot(octets))).map(|&candidate| candidate as usize)
    }

    /// The slot that such a pick looks at.
    pub(super) fn grounds(&self, octets: &[u8], hashed: &'static str) -> Grounds {
        Grounds::Slot { slot: slot(octets), of: self.slots.len() as u64, hashed }
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }
}

#[inline]
fn slot(octets: &[u8]) -> u64 {
    hash(Purpose::Request, octets) % u64::from(SLOTS)
}

/// One server's way through the table.
struct Walk {
    next: u32,
    skip: u32,
}

impl Walk {
    fn new(candidate: &Candidate) -> Self {
        let server = endpoint(candidate.address, candidate.port);
        Walk {
            next: low32(hash(Purpose::Offset, &server) % u64::from(SLOTS)),
            skip: low32(hash(Purpose::Skip, &server) % u64::from(SLOTS - 1)) + 1,
        }
    }

    fn step(&mut self) -> usize {
        let slot = self.next;
        self.next += self.skip;
        if self.next >= SLOTS {
            self.next -= SLOTS;
        }
        slot as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::candidates;
    use super::*;
    use std::{collections::HashMap, net::Ipv4Addr, time::Instant};

    fn by_address(candidates: &[Candidate]) -> Vec<Ipv4Addr> {
        Maglev::new(candidates).slots().iter().map(|&index| candidates[index as usize].address).collect()
    }

    fn load(candidates: &[Candidate]) -> HashMap<u32, u32> {
        let mut load = HashMap::new();
        Maglev::new(candidates).slots().iter().for_each(|&index| *load.entry(index).or_default() += 1);
        load
    }

    /// Percent of all slots that moved although their server is still there, averaged over several failures.
    fn moved_needlessly(servers: usize, failed: usize) -> f64 {
        const RUNS: usize = 8;
        let all = candidates(&vec![1; servers]);
        let before = by_address(&all);
        let mut moved = 0;
        for run in 0..RUNS {
            let first = run * servers / RUNS;
            let gone: Vec<Ipv4Addr> =
                (0..failed).map(|n| all[(first + n * servers / failed) % servers].address).collect();
            let mut left = all.clone();
            left.retain(|candidate| !gone.contains(&candidate.address));
            let after = by_address(&left);
            moved += before.iter().zip(&after).filter(|(old, new)| old != new && !gone.contains(old)).count();
        }
        100.0 * moved as f64 / (RUNS as f64 * f64::from(SLOTS))
    }

    #[test]
    fn few_slots_move_when_servers_fail() {
        for (servers, failed, expected) in
            [(100, 1, 0.57), (100, 10, 1.02), (1_000, 1, 0.58), (1_000, 10, 2.34), (1_000, 100, 3.55)]
        {
            let moved = moved_needlessly(servers, failed);
            println!("{servers} servers, {failed} fail: {moved:.2} % (published {expected} %)");
            assert!((moved / expected - 1.0).abs() < 0.5, "{servers} servers, {failed} fail: {moved:.2} %");
        }
    }

    #[test]
    fn equal_servers_have_equal_shares() {
        let load = load(&candidates(&vec![1; 1_000]));
        let worst = f64::from(*load.values().max().unwrap()) * 1_000.0 / f64::from(SLOTS);
        assert_eq!(format!("{worst:.4}"), "1.0071");
    }

    #[test]
    fn shares_follow_weights() {
        let weights: Vec<u32> = (0..50).map(|n| [0, 1, 2, 7, 10][n % 5]).collect();
        let load = load(&candidates(&weights));
        let total: u32 = weights.iter().sum();
        for (index, &weight) in weights.iter().enumerate() {
            let expected = f64::from(weight) * f64::from(SLOTS) / f64::from(total);
            let got = f64::from(load.get(&(index as u32)).copied().unwrap_or(0));
            assert!(
                (got - expected).abs() <= 0.02 * expected,
                "weight {weight}: {got} slots, not {expected}"
            );
        }
    }

    #[test]
    fn the_order_of_the_configuration_does_not_matter() {
        let mut servers = candidates(&(1..=97).collect::<Vec<_>>());
        let table = by_address(&servers);
        servers.reverse();
        assert_eq!(by_address(&servers), table);
        servers.sort_by_key(|candidate| candidate.weight * 41 % 97);
        assert_eq!(by_address(&servers), table);
    }

    /// Only a release build has to keep the time; this says it where it can be seen.
    #[test]
    fn built_in_no_time() {
        let servers = candidates(&vec![1; 1_000]);
        let start = Instant::now();
        Maglev::new(&servers);
        let took = start.elapsed();
        println!("1,000 servers: {took:?}");
        assert!(cfg!(debug_assertions) || took.as_millis() < 50, "{took:?}");
    }
}
