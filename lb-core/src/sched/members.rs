//! The servers of a lookup table, told in a way on which all directors agree, and all services with the same servers.
//!
//! A server is known by its address. What a client did at one of an address's ports (logging in on 80, buying on 443)
//! is the business of the machine, not of the port, so ports of a service do not matter. Only under NAT can several
//! servers share an address; they are told apart by how far their ports are from the lowest of them: ports 8080 and 8081
//! are to one service what 8443 and 8444 are to another.

use super::{
    Candidate,
    hash::{Purpose, hash, with_octets},
};
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// One server that takes connections. The order is that in which members have their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Member {
    address: IpAddr,
    /// From the lowest port at this address.
    port_offset: u16,
    /// Its share; all weights of a table have no common divisor.
    pub(super) weight: u32,
}

impl Member {
    /// Its hash.
    pub(super) fn hash(&self, purpose: Purpose) -> u64 {
        with_octets(self.address, Some(self.port_offset), |octets| hash(purpose, octets))
    }
}

/// What a table is made of. Two that are equal are one table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// How many servers are configured, to the precision that matters: what size the table has.
    pub(super) slots: u32,
    /// Those that take connections, in order.
    pub(super) members: Arc<[Member]>,
}

/// A service's servers as a table has them, and back.
pub(super) struct Members {
    pub(super) key: Key,
    /// The candidate that each member is.
    pub(super) candidates: Box<[u32]>,
}

impl Members {
    /// Those of the candidates that take connections; `size` gives the slots for how many are configured.
    pub(super) fn of(candidates: &[Candidate], size: impl Fn(usize) -> u32) -> Members {
        // Of all that are configured, so that the failure of one does not give others another name.
        let mut lowest: HashMap<IpAddr, u16> = HashMap::with_capacity(candidates.len());
        for candidate in candidates {
            let port = lowest.entry(candidate.address).or_insert(candidate.port);
            *port = candidate.port.min(*port);
        }
        let divisor = candidates.iter().fold(0, |a, candidate| gcd(a, candidate.weight)).max(1);
        let member = |candidate: &Candidate| Member {
            address: candidate.address,
            port_offset: candidate.port - lowest.get(&candidate.address).copied().unwrap_or_default(),
            weight: candidate.weight / divisor,
        };
        let mut takers: Vec<(Member, u32)> = candidates
            .iter()
            .zip(0..)
            .filter(|(candidate, _)| candidate.weight > 0)
            .map(|(candidate, index)| (member(candidate), index))
            .collect();
        takers.sort_unstable();
        let slots = if takers.is_empty() { 0 } else { size(candidates.len()) };
        Members {
            key: Key { slots, members: takers.iter().map(|(member, _)| *member).collect() },
            candidates: takers.iter().map(|&(_, index)| index).collect(),
        }
    }
}

pub(super) const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(servers: &[(&str, u32)]) -> Key {
        let candidate = |(server, (endpoint, weight)): (u32, &(&str, u32))| {
            let endpoint: std::net::SocketAddrV4 = endpoint.parse().unwrap();
            Candidate {
                server: crate::ids::ServerId::new(server),
                address: (*endpoint.ip()).into(),
                port: endpoint.port(),
                weight: *weight,
            }
        };
        let candidates: Vec<_> = (0..).zip(servers).map(candidate).collect();
        let members = Members::of(&candidates, |count| count as u32);
        // Every member is the candidate it was made of.
        for (member, &index) in members.key.members.iter().zip(&members.candidates) {
            assert_eq!(member.address, candidates[index as usize].address);
        }
        members.key
    }

    #[test]
    fn the_same_addresses_are_the_same_servers() {
        let http = key(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 2), ("10.0.0.3:80", 3)]);
        assert_eq!(
            key(&[("10.0.0.3:443", 3), ("10.0.0.1:443", 1), ("10.0.0.2:443", 2)]),
            http,
            "another order"
        );
        assert_eq!(key(&[("10.0.0.1:8080", 1), ("10.0.0.2:99", 2), ("10.0.0.3:1", 3)]), http, "mapped ports");
        assert_eq!(
            key(&[("10.0.0.1:80", 10), ("10.0.0.2:80", 20), ("10.0.0.3:80", 30)]),
            http,
            "the same shares"
        );
        assert_ne!(key(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 2), ("10.0.0.4:80", 3)]), http);
        assert_ne!(key(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 2), ("10.0.0.3:80", 4)]), http);
    }

    #[test]
    fn servers_at_one_address_stay_apart_and_keep_their_names_when_one_fails() {
        let http = [("10.0.0.1:8080", 1), ("10.0.0.1:8081", 1), ("10.0.0.2:8080", 1)];
        let https = [("10.0.0.2:8443", 1), ("10.0.0.1:8444", 1), ("10.0.0.1:8443", 1)];
        assert_eq!(key(&http), key(&https));
        assert_eq!(key(&http).members.len(), 3);
        let mut failed = http;
        failed[0].1 = 0;
        let members = key(&failed).members;
        assert_eq!(*members, key(&http).members[1..]);
        assert_eq!(key(&failed).slots, key(&http).slots, "who has failed still counts");
    }
}
