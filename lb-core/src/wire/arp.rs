//! ARP for Ethernet and IPv4, RFC 826.

use super::{ethernet::Mac, get16, get32, put16, put32};
use std::net::Ipv4Addr;

/// Bytes of a packet.
pub const LEN: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;
const PROTOCOL_IPV4: u16 = 0x0800;

/// The operation of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has it.
    Reply,
}

/// One ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Question or answer.
    pub operation: Operation,
    /// Sender's Ethernet address.
    pub sender_mac: Mac,
    /// Sender's IPv4 address.
    pub sender: Ipv4Addr,
    /// Target's Ethernet address; zero in a question.
    pub target_mac: Mac,
    /// Target's IPv4 address.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Reads a packet; `None` when it is truncated or about other kinds of addresses.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Arp> {
        let b = bytes.first_chunk::<LEN>()?;
        let kinds = (get16(b, 0), get16(b, 2), b[4], b[5]);
        if kinds != (HARDWARE_ETHERNET, PROTOCOL_IPV4, 6, 4) {
            return None;
        }
        let operation = match get16(b, 6) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return None,
        };
        Some(Arp {
            operation,
            sender_mac: Mac([b[8], b[9], b[10], b[11], b[12], b[13]]),
            sender: Ipv4Addr::from_bits(get32(b, 14)),
            target_mac: Mac([b[18], b[19], b[20], b[21], b[22], b[23]]),
            target: Ipv4Addr::from_bits(get32(b, 24)),
        })
    }

    /// The answer to a question: the target is at `mac`.
    #[must_use]
    pub const fn answered_by(&self, mac: Mac) -> Arp {
        Arp {
            operation: Operation::Reply,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
    }

    /// Writes the packet to the first [`LEN`] bytes.
    pub fn write(&self, bytes: &mut [u8]) {
        put16(bytes, 0, HARDWARE_ETHERNET);
        put16(bytes, 2, PROTOCOL_IPV4);
        (bytes[4], bytes[5]) = (6, 4);
        put16(bytes, 6, if self.operation == Operation::Request { 1 } else { 2 });
        bytes[8..14].copy_from_slice(&self.sender_mac.0);
        put32(bytes, 14, self.sender.to_bits());
        bytes[18..24].copy_from_slice(&self.target_mac.0);
        put32(bytes, 24, self.target.to_bits());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let arp = Arp {
            operation: Operation::Reply,
            sender_mac: Mac([2, 0, 0, 0, 0, 1]),
            sender: Ipv4Addr::new(192, 0, 2, 1),
            target_mac: Mac([2, 0, 0, 0, 0, 2]),
            target: Ipv4Addr::new(192, 0, 2, 2),
        };
        let mut bytes = [0; LEN];
        arp.write(&mut bytes);
        assert_eq!(bytes[..8], [0, 1, 8, 0, 6, 4, 0, 2]);
        assert_eq!(Arp::read(&bytes), Some(arp));
        assert_eq!(Arp::read(&bytes[..27]), None);
        bytes[7] = 9;
        assert_eq!(Arp::read(&bytes), None, "an unknown operation");
    }
}
