//! How a port chooses the receive queue of a flow (RSS), as far as it says so. For explanations, and for fragments: they
//! have no ports, so they arrive elsewhere than the rest of their flow, and have to be brought there.

use super::key::Ends;
use crate::wire::protocol::Protocol;
use arrayvec::ArrayVec;
use std::net::{IpAddr, SocketAddr};

/// A port's hash and redirection table, as it reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashing {
    /// What is hashed, in testpmd's words.
    pub types: Vec<&'static str>,
    /// The key; `None` if the driver does not report it.
    pub key: Option<Vec<u8>>,
    /// The queue of each entry of the redirection table; `None` if the driver does not report it.
    pub table: Option<Vec<u16>>,
}

/// Only the source address and port are hashed, in testpmd's words.
pub const SOURCE_ONLY: &str = "l3-src-only l4-src-only";
/// Only the destination address and port are.
pub const DESTINATION_ONLY: &str = "l3-dst-only l4-dst-only";

/// Bytes of two addresses and two ports.
const INPUT_LEN: usize = 2 * 16 + 2 * 2;

impl Hashing {
    /// The receive queue of a flow; `None` where what the port reports is not enough.
    #[must_use]
    pub fn queue_of(&self, flow: &Ends) -> Option<u16> {
        let (key, table) = (self.key.as_ref()?, self.table.as_ref().filter(|table| !table.is_empty())?);
        let hashes = |what: &str| self.types.contains(&what);
        let (ip, tcp, udp) = match flow.source {
            SocketAddr::V4(_) => ("ipv4", "ipv4-tcp", "ipv4-udp"),
            SocketAddr::V6(_) => ("ipv6", "ipv6-tcp", "ipv6-udp"),
        };
        let with_ports = match flow.protocol {
            Protocol::Tcp => hashes(tcp),
            Protocol::Udp => hashes(udp),
            // Ports are not asked to look for those.
            Protocol::Sctp => false,
            // It has none.
            Protocol::Icmp => false,
        };
        if !with_ports && !hashes(ip) {
            return None;
        }
        let (source, destination) = (!hashes(DESTINATION_ONLY), !hashes(SOURCE_ONLY));
        // Whether a port leaves gaps for what it ignores matters, except with a key like ours.
        if !(source && destination) && key.chunks_exact(2).any(|word| word != &key[..2]) {
            return None;
        }
        let mut input = ArrayVec::<u8, INPUT_LEN>::new();
        let mut keep = |yes: bool, bytes: &[u8]| {
            input.extend(bytes.iter().map(|byte| if yes { *byte } else { 0 }));
        };
        for (yes, end) in [(source, flow.source), (destination, flow.destination)] {
            match end.ip() {
                IpAddr::V4(address) => keep(yes, &address.octets()),
                IpAddr::V6(address) => keep(yes, &address.octets()),
            }
        }
        if with_ports {
            keep(source, &flow.source.port().to_be_bytes());
            keep(destination, &flow.destination.port().to_be_bytes());
        }
        Some(table[toeplitz(key, &input)? as usize % table.len()])
    }
}

/// The hash that RSS is defined with: each bit of the input that is set adds the 32 bits of the key that begin at its place.
fn toeplitz(key: &[u8], input: &[u8]) -> Option<u32> {
    let mut hash = 0;
    for (at, byte) in input.iter().enumerate() {
        let &[a, b, c, d, e] = key.get(at..)?.first_chunk()?;
        let (mut window, next) = (u32::from_be_bytes([a, b, c, d]), u32::from(e));
        for bit in 0..8 {
            if byte & (0x80 >> bit) != 0 {
                hash ^= window;
            }
            window = window << 1 | next >> (7 - bit) & 1;
        }
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        family::V4,
        flow::owner::{self, RSS_KEY_WORD},
    };
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn hashing(types: &[&'static str], key: &[u8], table: Vec<u16>) -> Hashing {
        Hashing { types: types.to_vec(), key: Some(key.to_vec()), table: Some(table) }
    }

    #[test]
    fn the_hash_is_everybodys() {
        // Microsoft's "Verifying the RSS Hash Calculation": key and results.
        let key = [
            0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
            0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
            0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
        ];
        // 66.9.149.187:2794 to 161.142.100.80:1766.
        let input = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        assert_eq!(toeplitz(&key, &input[..8]), Some(0x323e_8fc2));
        assert_eq!(toeplitz(&key, &input), Some(0x51cc_c178));
        let flow = Ends {
            protocol: Protocol::Tcp,
            source: "66.9.149.187:2794".parse().unwrap(),
            destination: "161.142.100.80:1766".parse().unwrap(),
        };
        let table: Vec<u16> = (0..128).collect();
        let queue = |types: &[&'static str]| hashing(types, &key, table.clone()).queue_of(&flow);
        assert_eq!(queue(&["ipv4", "ipv4-tcp"]), Some(0x78));
        assert_eq!(queue(&["ipv4"]), Some(0x42));
        let flow6 = Ends {
            protocol: Protocol::Tcp,
            source: "[3ffe:2501:200:1fff::7]:2794".parse().unwrap(),
            destination: "[3ffe:2501:200:3::1]:1766".parse().unwrap(),
        };
        let queue6 = |types: &[&'static str]| hashing(types, &key, table.clone()).queue_of(&flow6);
        assert_eq!(queue6(&["ipv6", "ipv6-tcp"]), Some(0x7d3d % 128));
        assert_eq!(queue6(&["ipv6"]), Some(0x8cd5 % 128));
        assert_eq!(queue6(&["ipv4-tcp"]), None, "IPv6 is not hashed");
        assert_eq!(queue(&["ipv4-udp"]), None, "TCP is not hashed");
        assert_eq!(queue(&["ipv4-tcp", SOURCE_ONLY]), None, "gaps or none?");
        assert_eq!(Hashing::default().queue_of(&flow), None);
    }

    proptest! {
        /// The queue computed for a port is that of the owner that workers compute.
        #[test]
        fn queues_and_owners_agree(
            source: u32, destination: u32, source_port: u16, destination_port: u16,
            is_tcp: bool, workers in 1..16_usize, size in prop::sample::select(vec![64_u16, 128, 512]),
        ) {
            let ours = RSS_KEY_WORD.to_be_bytes().repeat(20);
            let protocol = if is_tcp { Protocol::Tcp } else { Protocol::Udp };
            let at = |address: u32, port| SocketAddr::new(Ipv4Addr::from_bits(address).into(), port);
            let flow = Ends { protocol, source: at(source, source_port), destination: at(destination, destination_port) };
            let table: Vec<u16> = (0..size).map(|entry| entry % workers as u16).collect();
            let queue = |side| hashing(&["ipv4-tcp", "ipv4-udp", side], &ours, table.clone()).queue_of(&flow);
            let owner = |client, port| Some(owner::by_client_rss::<V4>(client, port, size, workers).0);
            prop_assert_eq!(queue(SOURCE_ONLY), owner(source, source_port));
            prop_assert_eq!(queue(DESTINATION_ONLY), owner(destination, destination_port));
            // Both ends: the same queue for both directions, since the key is the same at each place.
            let back = Ends { source: flow.destination, destination: flow.source, ..flow };
            let both = hashing(&["ipv4-tcp", "ipv4-udp"], &ours, table.clone());
            prop_assert_eq!(both.queue_of(&flow), both.queue_of(&back));
        }
    }
}
