//! Stage 1: what kind of packet is it, and is it sound?
//!
//! Looks at one frame and nothing else, so that a burst of them can be read one after the other without waiting for
//! memory. Nearly all packets look alike: [`common`] reads those with fixed offsets and sends everything else, also
//! whatever is wrong, to [`uncommon`], which takes the headers one by one.

use crate::{
    conn::connections::Candidate,
    counters::DropReason,
    flow::{key::Packed, table::Place},
    packet::{Checksum, Packet},
    wire::{
        ethernet::{self, Mac},
        get16, get32, get64,
        headers::Headers,
        icmp, ipv4, tcp, udp,
    },
};

/// What a packet is, as far as it tells by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// TCP or UDP with whole headers: an untagged frame, no IPv4 options.
    Common,
    /// TCP or UDP with whole headers, tagged or with IPv4 options.
    Flow,
    /// ICMP with a whole header.
    Icmp,
    /// ARP.
    Arp,
    /// Sound IPv4 with some other protocol inside.
    OtherProtocol,
    /// Not sound, or not for us.
    Drop,
}

impl Kind {
    /// Whether the packet belongs to a flow, so that its connection is worth looking for.
    #[inline(always)]
    #[must_use]
    pub fn is_flow(self) -> bool {
        self as u8 <= Kind::Flow as u8
    }
}

/// A packet on its way through the stages.
#[derive(Clone, Copy, Debug)]
pub struct Staged {
    /// Which flow it belongs to. Only of flows.
    pub key: Packed,
    /// Where its headers are. Only of IPv4.
    pub at: Headers,
    /// Where its flow is in the table. Only of flows.
    pub place: Place,
    /// Its connection, most likely. Only of flows.
    pub candidate: Option<Candidate>,
    /// What it is.
    pub kind: Kind,
    /// TCP flags; 0 for UDP.
    pub tcp_flags: u8,
    /// Why it ends here. Only of [`Kind::Drop`].
    pub reason: DropReason,
}

impl Staged {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Staged {
            key: Packed::default(),
            at: Headers::default(),
            place: Place::default(),
            candidate: None,
            kind: Kind::Arp,
            tcp_flags: 0,
            reason: DropReason::BadEthernet,
        }
    }
}

impl Default for Staged {
    fn default() -> Self {
        Self::new()
    }
}

/// What a worker knows of the port that a packet arrived on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// The port's address, as the upper 48 bits of the frame's first eight bytes.
    mac: u64,
    /// Checksums that the port did not look at are verified here.
    verify: bool,
}

impl Arrival {
    /// At a port with that address.
    #[must_use]
    pub fn new(mac: Mac, verify: bool) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        Arrival { mac: u64::from_be_bytes([a, b, c, d, e, f, 0, 0]), verify }
    }

    fn mac(self) -> Mac {
        let [a, b, c, d, e, f, ..] = self.mac.to_be_bytes();
        Mac([a, b, c, d, e, f])
    }
}

/// Where IPv4 and its payload start in a common frame, and how long its headers are.
const L3: usize = ethernet::HEADER_LEN;
const L4: usize = L3 + ipv4::HEADER_LEN;
const HEAD: usize = L4 + tcp::HEADER_LEN;

/// Reads a frame.
#[inline(always)]
pub fn classify(packet: &impl Packet, arrival: Arrival, stage: &mut Staged) {
    let sound = if arrival.verify { Checksum::Good } else { Checksum::Unknown };
    let verified = packet.ipv4_checksum().is_at_least(sound) && packet.l4_checksum().is_at_least(sound);
    if !verified || !common(packet.bytes(), arrival, stage) {
        uncommon(packet, arrival, stage);
    }
}

/// Reads a frame of the common shape. `false` for any other, sound or not.
#[inline(always)]
fn common(frame: &[u8], arrival: Arrival, stage: &mut Staged) -> bool {
    let Some(head) = frame.first_chunk::<HEAD>() else { return false };
    // Destination address, EtherType, IPv4 version and header length: one comparison each for what is nearly always
    // right. The byte behind the header length is the traffic class.
    const SHAPE: u32 = (ethernet::IPV4 as u32) << 16 | 0x4500;
    let to_us = get64(head, ethernet::DESTINATION) & !0xffff == arrival.mac;
    let shape = get32(head, ethernet::ADDRESSES_LEN) & 0xffff_ff00 == SHAPE;
    let fragment = get16(head, L3 + ipv4::FRAGMENT);
    let ip_len = get16(head, L3 + ipv4::TOTAL_LEN);
    let protocol = head[L3 + ipv4::PROTOCOL];
    let addresses = get64(head, L3 + ipv4::SOURCE);
    if !to_us
        || !shape
        || head[ethernet::SOURCE] & 1 != 0
        || fragment & ipv4::IS_FRAGMENT != 0
        || L3 + usize::from(ip_len) > frame.len()
        || !ipv4::is_host((addresses >> 32) as u32)
    {
        return false;
    }
    let Some(payload_len) = usize::from(ip_len).checked_sub(ipv4::HEADER_LEN) else { return false };
    if protocol == ipv4::TCP {
        let header_len = usize::from(head[L4 + tcp::DATA_OFFSET] >> 4) * 4;
        if header_len < tcp::HEADER_LEN || header_len > payload_len {
            return false;
        }
        stage.tcp_flags = head[L4 + tcp::FLAGS];
    } else {
        let udp_len = usize::from(get16(head, L4 + udp::LENGTH));
        if protocol != ipv4::UDP || udp_len < udp::HEADER_LEN || udp_len > payload_len {
            return false;
        }
        stage.tcp_flags = 0;
    }
    stage.kind = Kind::Common;
    stage.key = Packed { addresses, ports: get32(head, L4), protocol };
    stage.at = Headers {
        l3: L3 as u16,
        l4: L4 as u16,
        ip_len,
        fragment,
        ttl: head[L3 + ipv4::TTL],
        protocol,
        source: (addresses >> 32) as u32,
        destination: addresses as u32,
    };
    true
}

/// Reads any frame, header by header, in the order in which they lie.
#[inline(never)]
fn uncommon(packet: &impl Packet, arrival: Arrival, stage: &mut Staged) {
    stage.kind = read(packet, arrival, stage).unwrap_or_else(|reason| {
        stage.reason = reason;
        Kind::Drop
    });
}

fn read(packet: &impl Packet, arrival: Arrival, stage: &mut Staged) -> Result<Kind, DropReason> {
    let (frame, verify) = (packet.bytes(), arrival.verify);
    let (ethertype, l3) = ethernet::payload(frame).ok_or(DropReason::BadEthernet)?;
    let to = ethernet::destination(frame);
    match ethertype {
        ethernet::ARP if to == arrival.mac() || to == Mac::BROADCAST => return Ok(Kind::Arp),
        ethernet::IPV4 if to == arrival.mac() => {}
        ethernet::ARP | ethernet::IPV4 => return Err(DropReason::OtherMac),
        _ => return Err(DropReason::UnknownEthertype),
    }
    // An answer would go to a whole group.
    if ethernet::is_group(ethernet::source(frame)) {
        return Err(DropReason::BadSource);
    }
    let header = ipv4::Header::read(&frame[l3..]).ok_or(DropReason::BadIpv4)?;
    let at = Headers::new(l3, &header);
    stage.at = at;
    if is_bad(packet.ipv4_checksum(), verify, || ipv4::checksum_is_right(&frame[l3..usize::from(at.l4)])) {
        return Err(DropReason::BadIpv4Checksum);
    }
    if !ipv4::is_host(at.source) {
        return Err(DropReason::BadSource);
    }
    if at.fragment & ipv4::IS_FRAGMENT != 0 {
        return Err(DropReason::Fragment);
    }
    let payload = at.payload(frame);
    let kind = match at.protocol {
        ipv4::TCP if tcp::is_whole(payload) => Kind::Flow,
        ipv4::UDP if udp::is_whole(payload) => Kind::Flow,
        ipv4::ICMP if payload.len() >= icmp::HEADER_LEN => Kind::Icmp,
        ipv4::TCP | ipv4::UDP | ipv4::ICMP => return Err(DropReason::BadL4),
        _ => return Ok(Kind::OtherProtocol),
    };
    // No port verifies ICMP.
    let verdict = if kind == Kind::Icmp { Checksum::Unknown } else { packet.l4_checksum() };
    if is_bad(verdict, verify, || l4_is_right(&at, payload)) {
        return Err(DropReason::BadL4Checksum);
    }
    stage.key = Packed {
        addresses: u64::from(at.source) << 32 | u64::from(at.destination),
        ports: get32(payload, tcp::SOURCE_PORT),
        protocol: at.protocol,
    };
    stage.tcp_flags = if at.protocol == ipv4::TCP { payload[tcp::FLAGS] } else { 0 };
    // What only had its checksums verified here is common all the same.
    let is_common = kind == Kind::Flow && usize::from(at.l4) == L4 && frame.len() >= HEAD;
    Ok(if is_common { Kind::Common } else { kind })
}

/// Whether a checksum is known to be wrong, by the port or, if it did not look and `verify` says so, by ourselves.
fn is_bad(verdict: Checksum, verify: bool, is_right: impl FnOnce() -> bool) -> bool {
    match verdict {
        Checksum::Good => false,
        Checksum::Bad => true,
        Checksum::Unknown => verify && !is_right(),
    }
}

fn l4_is_right(at: &Headers, payload: &[u8]) -> bool {
    match at.protocol {
        ipv4::TCP => tcp::checksum_is_right(at.source, at.destination, payload),
        ipv4::UDP => udp::checksum_is_right(at.source, at.destination, payload),
        _ => icmp::checksum_is_right(payload),
    }
}
