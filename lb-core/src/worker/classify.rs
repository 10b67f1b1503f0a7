//! Stage 1: what kind of packet is it, and is it sound?
//!
//! Looks at one frame and nothing else, so that a burst of them can be read one after the other without waiting for
//! memory. The checks are in the order in which the headers lie.

use crate::{
    conn::connections::Candidate,
    counters::DropReason,
    flow::{key::Key, table::Place},
    packet::{Checksum, Packet},
    wire::{
        ethernet::{self, Mac},
        get16,
        headers::Headers,
        icmp, ipv4, tcp, udp,
    },
};

/// What a packet is, as far as it tells by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP or UDP with whole headers.
    Flow,
    /// ICMP with a whole header.
    Icmp,
    /// ARP.
    Arp,
    /// Sound IPv4 with some other protocol inside.
    OtherProtocol,
    /// Not sound, or not for us.
    Drop(DropReason),
}

/// A packet on its way through the stages.
#[derive(Clone, Copy, Debug)]
pub struct Staged {
    /// What it is.
    pub kind: Kind,
    /// Where its headers are. Only of IPv4.
    pub at: Headers,
    /// Which flow it belongs to. Only of [`Kind::Flow`].
    pub key: Key<u32>,
    /// TCP flags; 0 for UDP.
    pub tcp_flags: u8,
    /// Where its flow is in the table.
    pub place: Place,
    /// Its connection, most likely.
    pub candidate: Option<Candidate>,
}

impl Staged {
    /// A packet of that kind, with nothing else known.
    pub(super) fn bare(kind: Kind) -> Staged {
        Staged {
            kind,
            at: Headers::default(),
            key: Key { source: 0, destination: 0, source_port: 0, destination_port: 0, protocol: 0 },
            tcp_flags: 0,
            place: Place::default(),
            candidate: None,
        }
    }
}

/// Reads a frame that arrived at the port with address `mac`. `verify`: checksums that the port did not check are
/// checked here.
#[inline(always)]
pub fn classify(packet: &impl Packet, mac: Mac, verify: bool) -> Staged {
    let frame = packet.bytes();
    let Some((ethertype, l3)) = ethernet::payload(frame) else { return dropped(DropReason::BadEthernet) };
    if ethertype != ethernet::IPV4 {
        return not_ipv4(frame, ethertype, mac);
    }
    if ethernet::destination(frame) != mac {
        return dropped(DropReason::OtherMac);
    }
    let Some(header) = ipv4::Header::read(&frame[l3..]) else { return dropped(DropReason::BadIpv4) };
    let at = Headers::new(l3, &header);
    let header_checksum = packet.ipv4_checksum();
    let software = verify && header_checksum == Checksum::Unknown;
    if header_checksum == Checksum::Bad
        || (software && !ipv4::checksum_is_right(&frame[l3..usize::from(at.l4)]))
    {
        return dropped(DropReason::BadIpv4Checksum);
    }
    if !ipv4::is_host(header.source) {
        return dropped(DropReason::BadSource);
    }
    if header.fragment & ipv4::IS_FRAGMENT != 0 {
        return dropped(DropReason::Fragment);
    }
    let payload = at.payload(frame);
    let (kind, tcp_flags) = match header.protocol {
        ipv4::TCP if tcp::is_whole(payload) => (Kind::Flow, payload[tcp::FLAGS]),
        ipv4::UDP if udp::is_whole(payload) => (Kind::Flow, 0),
        ipv4::ICMP if payload.len() >= icmp::HEADER_LEN => (Kind::Icmp, 0),
        ipv4::TCP | ipv4::UDP | ipv4::ICMP => return dropped(DropReason::BadL4),
        _ => return Staged { at, ..Staged::bare(Kind::OtherProtocol) },
    };
    let verdict = if kind == Kind::Icmp { Checksum::Unknown } else { packet.l4_checksum() };
    if verdict == Checksum::Bad || (verify && verdict == Checksum::Unknown && !l4_is_right(&at, payload)) {
        return dropped(DropReason::BadL4Checksum);
    }
    let key = Key {
        source: header.source,
        destination: header.destination,
        source_port: get16(payload, tcp::SOURCE_PORT),
        destination_port: get16(payload, tcp::DESTINATION_PORT),
        protocol: header.protocol,
    };
    Staged { kind, at, key, tcp_flags, place: Place::default(), candidate: None }
}

fn dropped(reason: DropReason) -> Staged {
    Staged::bare(Kind::Drop(reason))
}

#[cold]
fn not_ipv4(frame: &[u8], ethertype: u16, mac: Mac) -> Staged {
    let to = ethernet::destination(frame);
    if ethertype != ethernet::ARP {
        return dropped(DropReason::UnknownEthertype);
    }
    if to != mac && to != Mac::BROADCAST {
        return dropped(DropReason::OtherMac);
    }
    Staged::bare(Kind::Arp)
}

fn l4_is_right(at: &Headers, payload: &[u8]) -> bool {
    match at.protocol {
        ipv4::TCP => tcp::checksum_is_right(at.source, at.destination, payload),
        ipv4::UDP => udp::checksum_is_right(at.source, at.destination, payload),
        _ => icmp::checksum_is_right(payload),
    }
}
