//! The key of a flow, and its hash.

use crate::{
    cast::{high16, low16},
    family::{Family, V4},
    mix::fold_multiply,
    wire::protocol::Protocol,
};
use std::net::SocketAddr;

/// A number that outsiders do not know, so that they cannot choose addresses that collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secret(pub u64);

/// One direction of a flow: the packet's own source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<F: Family = V4> {
    /// Source address.
    pub source: F::Address,
    /// Destination address.
    pub destination: F::Address,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl<F: Family> Key<F> {
    /// The key of packets to the same client from another address and port than it sends to.
    #[must_use]
    pub fn answered_by(&self, source: F::Address, source_port: u16) -> Self {
        Key { source, source_port, ..self.reversed() }
    }

    /// The key of a packet in the other direction.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Key {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
        }
    }

    /// The same, for people and for what is of either family.
    #[must_use]
    pub fn ends(&self) -> Ends {
        Ends {
            protocol: self.protocol,
            source: SocketAddr::new(F::ip(self.source), self.source_port),
            destination: SocketAddr::new(F::ip(self.destination), self.destination_port),
        }
    }

    /// A well-mixed hash: every bit of it depends on every bit of the key and the secret.
    #[inline(always)]
    #[must_use]
    pub fn hash(&self, secret: Secret) -> u64 {
        let Packed { addresses, ports, protocol } = self.packed();
        let rest = u64::from(protocol.number()) << 32 | u64::from(ports);
        fold_multiply(F::mix(addresses, secret.0), rest ^ PORTS_CONSTANT)
    }

    /// As a few numbers.
    #[inline(always)]
    #[must_use]
    pub fn packed(&self) -> Packed<F> {
        Packed {
            addresses: F::pair(self.source, self.destination),
            ports: u32::from(self.source_port) << 16 | u32::from(self.destination_port),
            protocol: self.protocol,
        }
    }
}

/// One direction of a flow of either family, for people and for what people ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Where its packets come from.
    pub source: SocketAddr,
    /// Where they go.
    pub destination: SocketAddr,
}

impl Ends {
    /// As a key of a family, if both ends are of it.
    #[must_use]
    pub fn key<F: Family>(&self) -> Option<Key<F>> {
        Some(Key {
            source: F::embed(self.source.ip())?,
            destination: F::embed(self.destination.ip())?,
            source_port: self.source.port(),
            destination_port: self.destination.port(),
            protocol: self.protocol,
        })
    }
}

/// A key as a few numbers that lie in a packet as they are: quick to read, to hash and to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed<F: Family = V4> {
    /// Both addresses.
    pub addresses: F::Pair,
    /// Source port in the upper half, destination port in the lower.
    pub ports: u32,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl<F: Family> Packed<F> {
    /// No packet's.
    #[must_use]
    pub fn none() -> Self {
        Packed { addresses: F::Pair::default(), ports: 0, protocol: Protocol::Tcp }
    }

    /// As good as the key's, for the table. The protocol does not count, which is quicker: at most four keys, one
    /// of each, have the rest in common.
    #[inline(always)]
    #[must_use]
    pub fn hash(self, secret: Secret) -> u64 {
        fold_multiply(F::mix(self.addresses, secret.0), u64::from(self.ports) ^ PORTS_CONSTANT)
    }

    /// Whether another has the same addresses and ports.
    #[inline(always)]
    #[must_use]
    pub fn has_endpoints(self, other: Self) -> bool {
        F::difference(self.addresses, other.addresses) | u64::from(self.ports ^ other.ports) == 0
    }

    /// With a name for every field.
    #[inline(always)]
    #[must_use]
    pub fn key(self) -> Key<F> {
        let (source, destination) = F::ends(self.addresses);
        Key {
            source,
            destination,
            source_port: high16(self.ports),
            destination_port: low16(self.ports),
            protocol: self.protocol,
        }
    }
}

/// Digits of pi: odd or even does not matter, no structure does.
const PORTS_CONSTANT: u64 = 0xa409_3822_299f_31d0;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(source: u32, destination: u32, source_port: u16) -> Key {
        Key { source, destination, source_port, destination_port: 80, protocol: Protocol::Tcp }
    }

    /// How evenly 65,536 keys that differ in a few bits fall into 256 bins: (fewest, most), 256 on average.
    fn spread(keys: impl Iterator<Item = Key>, shift: u32) -> (usize, usize) {
        spread_of(keys.map(|key| key.hash(SECRET)), shift)
    }

    const SECRET: Secret = Secret(0x1234_5678_9abc_def1);

    fn spread_of(hashes: impl Iterator<Item = u64>, shift: u32) -> (usize, usize) {
        let mut bins = [0; 256];
        for hash in hashes {
            bins[(hash >> shift) as usize & 255] += 1;
        }
        (*bins.iter().min().unwrap(), *bins.iter().max().unwrap())
    }

    #[test]
    fn neighbouring_keys_spread_over_all_bits() {
        for shift in [0, 8, 16, 32, 48, 56] {
            let ports = spread((0..65_536).map(|port| key(0xc000_0201u32, 0xc633_6401, port as u16)), shift);
            let addresses =
                spread((0..65_536).map(|host| key(0x0a00_0000u32 + host, 0xc633_6401, 1024)), shift);
            let packed = spread_of(
                (0..65_536u32)
                    .map(|port| key(0xc000_0201u32, 0xc633_6401, port as u16).packed().hash(SECRET)),
                shift,
            );
            for (fewest, most) in [ports, addresses, packed] {
                assert!(fewest > 150 && most < 400, "shift {shift}: {fewest} to {most}");
            }
        }
    }

    #[test]
    fn a_packed_key_is_the_same_key() {
        let key = Key::<V4> {
            source: 1,
            destination: 2,
            source_port: 3,
            destination_port: 4,
            protocol: Protocol::Udp,
        };
        assert_eq!(key.packed().key(), key);
    }
}
