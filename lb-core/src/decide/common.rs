//! Frames of the common shape, as nearly all are: untagged, without IP options or extension headers, whole. Their headers
//! have fixed places.

use super::parsed::{Arrival, Kind, Parsed};
use crate::{
    cast::small,
    conn::state::Meaning,
    counters::DropReason,
    family::{Family, V4, V6},
    packet::{Checksum, Packet},
    wire::{
        ethernet, get16, get32, get64, get128,
        headers::{COMMON_LEN, Headers},
        ipv4, ipv6,
        protocol::{self, Protocol},
        raw64, tcp, udp,
    },
};

/// How frames of the common shape are read in a family.
pub trait Common: Family {
    /// Where the payload of IP starts.
    const L4: usize;
    /// Ethernet's number for the other family.
    const OTHER_ETHERTYPE: u16;

    /// Reads a frame of the common shape. `false` for any other, valid or not.
    ///
    /// That the source is a host's address is not checked here: a packet from another has no connection, and is looked at
    /// again.
    fn recognise(frame: &[u8], arrival: Arrival, parsed: &mut Parsed<Self>) -> bool;

    /// What of such a frame is rewritten: its headers, or more.
    fn head(frame: &mut [u8]) -> Option<&mut [u8]>;

    /// The headers of such a frame.
    fn headers(frame: &[u8]) -> Option<Headers<Self>>;

    /// What the port says of a packet's checksums: the worst of them.
    fn verdict(packet: &impl Packet) -> Checksum;

    /// Why a header is not read.
    fn why_not_read(packet: &[u8]) -> DropReason;

    /// Whether an untagged frame is of the other family.
    #[inline(always)]
    fn is_other(frame: &[u8]) -> bool {
        let ethertype = frame.get(ethernet::ADDRESSES_LEN..ethernet::HEADER_LEN);
        ethertype.is_some_and(|bytes| get16(bytes, 0) == Self::OTHER_ETHERTYPE)
    }
}

/// The destination address of a frame's first eight bytes, and that the source is not a group: an answer would go to all
/// of it.
const TO: u64 = 0xffff_ffff_ffff_0100u64.to_be();

impl Common for V4 {
    const L4: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
    const OTHER_ETHERTYPE: u16 = V6::ETHERTYPE;

    #[inline(always)]
    fn recognise(frame: &[u8], arrival: Arrival, parsed: &mut Parsed<Self>) -> bool {
        let Some(head) = frame.first_chunk::<COMMON_LEN>() else { return false };
        if (raw64(head, 0) ^ arrival.mac) & TO != 0
            || get16(head, ethernet::ADDRESSES_LEN) != ethernet::IPV4
            || head[ethernet::HEADER_LEN] != 0x45
        {
            return false;
        }
        // Flags and fragment offset, time to live, protocol.
        let word = get32(head, ethernet::HEADER_LEN + ipv4::FRAGMENT);
        if word >> 16 & u32::from(ipv4::IS_FRAGMENT) != 0 {
            return false;
        }
        let ip_len = usize::from(get16(head, ethernet::HEADER_LEN + ipv4::TOTAL_LEN));
        if ethernet::HEADER_LEN + ip_len > frame.len() {
            return false;
        }
        let [.., protocol] = word.to_be_bytes();
        if protocol == protocol::TCP {
            let words = usize::from(head[Self::L4 + tcp::DATA_OFFSET] >> 4);
            if words < tcp::HEADER_LEN / 4 || ipv4::HEADER_LEN + words * 4 > ip_len {
                return false;
            }
            parsed.meaning = Meaning::of_segment(head[Self::L4 + tcp::FLAGS]);
        } else {
            let udp_len = usize::from(get16(head, Self::L4 + udp::LENGTH));
            if protocol != protocol::UDP || udp_len < udp::HEADER_LEN || ipv4::HEADER_LEN + udp_len > ip_len {
                return false;
            }
            parsed.meaning = Meaning::DATAGRAM;
        }
        parsed.kind = Kind::Common;
        parsed.key.addresses = get64(head, ethernet::HEADER_LEN + ipv4::SOURCE);
        parsed.key.ports = get32(head, Self::L4);
        true
    }

    #[inline(always)]
    fn head(frame: &mut [u8]) -> Option<&mut [u8]> {
        frame.get_mut(..COMMON_LEN)
    }

    #[inline(always)]
    fn headers(frame: &[u8]) -> Option<Headers<Self>> {
        frame.first_chunk().map(Headers::of_common)
    }

    #[inline(always)]
    fn verdict(packet: &impl Packet) -> Checksum {
        packet.worst_checksum()
    }

    #[cold]
    fn why_not_read(_packet: &[u8]) -> DropReason {
        DropReason::BadIpv4
    }
}

/// Bytes that a frame of IPv6 has at least: of headers up to that of a datagram. That of a segment is longer, and Ethernet's
/// padding does not make up for it.
const COMMON_LEN_V6: usize = V6::L4 + udp::HEADER_LEN;

impl Common for V6 {
    const L4: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;
    const OTHER_ETHERTYPE: u16 = V4::ETHERTYPE;

    #[inline(always)]
    fn recognise(frame: &[u8], arrival: Arrival, parsed: &mut Parsed<Self>) -> bool {
        const L3: usize = ethernet::HEADER_LEN;
        let Some(head) = frame.first_chunk::<COMMON_LEN_V6>() else { return false };
        if (raw64(head, 0) ^ arrival.mac) & TO != 0
            || get16(head, ethernet::ADDRESSES_LEN) != ethernet::IPV6
            || head[L3] >> 4 != 6
        {
            return false;
        }
        let l4_len = usize::from(get16(head, L3 + ipv6::PAYLOAD_LEN));
        if Self::L4 + l4_len > frame.len() {
            return false;
        }
        match head[L3 + ipv6::NEXT_HEADER] {
            protocol::TCP => {
                let Some(segment) = frame[Self::L4..].first_chunk::<{ tcp::HEADER_LEN }>() else {
                    return false;
                };
                let words = usize::from(segment[tcp::DATA_OFFSET] >> 4);
                if words < tcp::HEADER_LEN / 4 || words * 4 > l4_len {
                    return false;
                }
                parsed.meaning = Meaning::of_segment(segment[tcp::FLAGS]);
            }
            protocol::UDP => {
                let udp_len = usize::from(get16(head, Self::L4 + udp::LENGTH));
                if udp_len < udp::HEADER_LEN || udp_len > l4_len || !udp::has_checksum(&head[Self::L4..]) {
                    return false;
                }
                parsed.meaning = Meaning::DATAGRAM;
            }
            _ => return false,
        }
        parsed.kind = Kind::Common;
        let address = |at| [get64(head, L3 + at), get64(head, L3 + at + 8)];
        let ([a, b], [c, d]) = (address(ipv6::SOURCE), address(ipv6::DESTINATION));
        parsed.key.addresses = [a, b, c, d];
        parsed.key.ports = get32(head, Self::L4);
        true
    }

    #[inline(always)]
    fn head(frame: &mut [u8]) -> Option<&mut [u8]> {
        (frame.len() >= COMMON_LEN_V6).then_some(frame)
    }

    #[inline(always)]
    fn headers(frame: &[u8]) -> Option<Headers<Self>> {
        const L3: usize = ethernet::HEADER_LEN;
        let head = frame.first_chunk::<COMMON_LEN_V6>()?;
        let source = get128(head, L3 + ipv6::SOURCE);
        Some(Headers {
            l3: small(L3),
            l4: small(Self::L4),
            ip_len: small(ipv6::HEADER_LEN) + get16(head, L3 + ipv6::PAYLOAD_LEN),
            fragment: ipv6::noted(head[L3 + 1], source),
            ttl: head[L3 + ipv6::HOP_LIMIT],
            protocol: head[L3 + ipv6::NEXT_HEADER],
            source,
            destination: get128(head, L3 + ipv6::DESTINATION),
        })
    }

    #[inline(always)]
    fn verdict(packet: &impl Packet) -> Checksum {
        packet.l4_checksum()
    }

    #[cold]
    fn why_not_read(packet: &[u8]) -> DropReason {
        if ipv6::is_sound_but_for_extensions(packet) {
            DropReason::BadExtensions
        } else {
            DropReason::BadIpv6
        }
    }
}

/// Says of a common packet where its headers are, for those who need to know more than most.
pub fn locate<F: Common>(parsed: &mut Parsed<F>, frame: &[u8]) {
    if parsed.kind == Kind::Common
        && let Some(at) = F::headers(frame)
    {
        parsed.at = at;
        let Some(protocol) = Protocol::from_number(parsed.at.protocol) else { return };
        parsed.key.protocol = protocol;
        parsed.tcp_flags = match protocol {
            Protocol::Tcp => frame[F::L4 + tcp::FLAGS],
            // No frame of SCTP is of the common shape.
            Protocol::Udp | Protocol::Sctp | Protocol::Icmp => 0,
        };
    }
}
