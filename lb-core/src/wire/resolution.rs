//! What the director says to find neighbours and to be found, in the words of either family.

use super::{
    arp::{self, Arp, Operation},
    ethernet::{self, Mac},
    nd::{self, Nd},
};
use std::net::{IpAddr, Ipv4Addr};

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// For addresses of IPv4.
    Arp(Arp),
    /// For addresses of IPv6.
    Nd(Nd),
}

impl Resolution {
    /// The question who has `target`, from the station at `mac` with the address `own`. `None` if they are of two families.
    #[must_use]
    pub const fn question(own: IpAddr, mac: Mac, target: IpAddr) -> Option<Self> {
        match (own, target) {
            (IpAddr::V4(sender), IpAddr::V4(target)) => {
                let operation = Operation::Request;
                let target_mac = Mac([0; 6]);
                Some(Resolution::Arp(Arp { operation, sender_mac: mac, sender, target_mac, target }))
            }
            (IpAddr::V6(own), IpAddr::V6(target)) => Some(Resolution::Nd(Nd::question(own, mac, target))),
            _ => None,
        }
    }

    /// Asks whether another station has an address of one's own: RFC 5227 2.1.1, RFC 4862 5.4.2.
    #[must_use]
    pub const fn probe(address: IpAddr, mac: Mac) -> Self {
        match address {
            IpAddr::V4(target) => Resolution::Arp(Arp {
                operation: Operation::Request,
                sender_mac: mac,
                sender: Ipv4Addr::UNSPECIFIED,
                target_mac: Mac([0; 6]),
                target,
            }),
            IpAddr::V6(address) => Resolution::Nd(Nd::probe(address)),
        }
    }

    /// Tells everybody that an address is at `mac`: RFC 5227 2.3, RFC 4861 7.2.6.
    #[must_use]
    pub const fn announcement(address: IpAddr, mac: Mac) -> Self {
        match address {
            IpAddr::V4(address) => Resolution::Arp(Arp {
                operation: Operation::Request,
                sender_mac: mac,
                sender: address,
                target_mac: Mac([0; 6]),
                target: address,
            }),
            IpAddr::V6(address) => Resolution::Nd(Nd::announcement(address, mac)),
        }
    }

    /// The address that an answer, an announcement or a probe is about.
    #[must_use]
    pub const fn subject(&self) -> IpAddr {
        match self {
            Resolution::Arp(arp) if arp.sender.is_unspecified() => IpAddr::V4(arp.target),
            Resolution::Arp(arp) => IpAddr::V4(arp.sender),
            Resolution::Nd(nd) => IpAddr::V6(nd.target),
        }
    }

    /// The Ethernet address of all whom it is for, if not of one.
    #[must_use]
    pub const fn group(&self) -> Mac {
        match self {
            Resolution::Arp(_) => Mac::BROADCAST,
            Resolution::Nd(nd) => nd::group(nd.destination),
        }
    }

    /// The EtherType of its frame.
    #[must_use]
    pub const fn ethertype(&self) -> u16 {
        match self {
            Resolution::Arp(_) => ethernet::ARP,
            Resolution::Nd(_) => ethernet::IPV6,
        }
    }

    /// Bytes of it behind the Ethernet header.
    #[must_use]
    pub const fn packet_len(&self) -> usize {
        match self {
            Resolution::Arp(_) => arp::LEN,
            Resolution::Nd(nd) => nd.packet_len(),
        }
    }

    /// Writes it to the first [`Resolution::packet_len`] bytes.
    pub fn write(&self, bytes: &mut [u8]) {
        match self {
            Resolution::Arp(arp) => arp.write(bytes),
            Resolution::Nd(nd) => nd.write(bytes),
        }
    }
}
