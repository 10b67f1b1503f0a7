//! IPv4 made IPv6 and back, packet by packet, without a state: RFC 7915.
//!
//! A connection whose server is of the other family than its client is one of IPv6, in which addresses of IPv4 are
//! [written as IPv6's](Family::embed): `::ffff:0:192.0.2.1`, as RFC 2765 had it. No packet on a network has these. Packets of
//! IPv4 become IPv6's as they arrive, and are made IPv4's again when they leave; in between nothing knows of another family.
//! The prefix sums to nothing, so checksums of TCP and UDP, with their pseudo-headers, stay as they are: as wrong as they were.
//!
//! Of ICMP only errors are translated, with what they quote: pings are answered in the family they come in. Options of
//! IPv4 are left out (RFC 7915 4.1), IPv6's extension headers but for that of fragments, too.

use crate::{
    cast::small,
    counters::DropReason,
    family::{Family, Header, V4, V6},
    packet::Packet,
    wire::{
        checksum::Sum,
        ethernet, get16, get32,
        headers::Headers,
        icmp, icmpv6,
        ipv4::{self, DONT_FRAGMENT, FRAGMENT_OFFSET, MORE_FRAGMENTS},
        ipv6::{self, FRAGMENT, FRAGMENT_LEN},
        protocol, put16, put32, udp,
    },
};
use arrayvec::ArrayVec;
use std::net::IpAddr;

/// Bytes of a frame's header with two tags.
const MAX_L3: usize = ethernet::HEADER_LEN + 8;
/// Bytes that an IPv6 packet without extension headers has more than IPv4's without options.
const LONGER: u16 = 20;
/// A packet of IPv4 of up to so many bytes may be fragmented by routers: what became of it as one of IPv6 fits every way there,
/// and no router of IPv4 need say so (RFC 7915 5.1).
const MAY_FRAGMENT: usize = 1_260;

/// An ICMP message with its IP header, as long as they get.
type Message = ArrayVec<u8, { icmpv6::MAX_ERROR_LEN }>;

/// A packet of IPv4 becomes one of IPv6. `at` says where its headers are; it is sound.
///
/// # Errors
/// It has no equal; it may have changed.
pub fn to_ipv6(packet: &mut impl Packet, at: &Headers<V4>) -> Result<(), DropReason> {
    let frame = packet.bytes().get(..at.end()).ok_or(DropReason::Untranslatable)?;
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let header = frame.get(l3..l4).filter(|header| header.len() >= V4::HEADER_LEN);
    let header = header.ok_or(DropReason::Untranslatable)?;
    if has_way_to_go(&header[V4::HEADER_LEN..]) {
        return Err(DropReason::Untranslatable);
    }
    if at.protocol == V4::ICMP {
        let message = error_to_ipv6(&frame[l3..], at).ok_or(DropReason::Untranslatable)?;
        return replace(packet, l3, &message, V6::ETHERTYPE);
    }
    let is_fragment = V4::is_fragment(at.fragment);
    if at.protocol == protocol::UDP && !V4::is_later_fragment(at.fragment) {
        let datagram = at.payload(frame);
        if !udp::has_checksum(datagram) && is_fragment {
            // It would take all fragments: RFC 7915 4.5.
            return Err(DropReason::Untranslatable);
        }
    }
    let mut new = ipv6_header(header, at.source, at.destination);
    if !at.dont_fragment() {
        ipv6::mark_fragmentable(&mut new);
    }
    packet.set_len(at.end());
    reshape(packet, l3, l4, &new, V6::ETHERTYPE)?;
    if at.protocol == protocol::UDP && !is_fragment {
        let segment = &mut packet.bytes_mut()[l3 + new.len()..];
        if !udp::has_checksum(segment) {
            // Here there has to be one.
            let ends = (embedded(at.source), embedded(at.destination));
            let sum = V6::pseudo(ends.0, ends.1, protocol::UDP, small(segment.len())).bytes(segment);
            let checksum = if sum.finish() == 0 { 0xffff } else { sum.finish() };
            put16(segment, udp::CHECKSUM, checksum);
        }
    }
    Ok(())
}

/// A packet of IPv6 between addresses of IPv4 becomes one of IPv4. `last_id` identified the last of those that may be
/// fragmented.
///
/// # Errors
/// It has no equal; it may have changed.
pub fn to_ipv4(packet: &mut impl Packet, last_id: &mut u16) -> Result<(), DropReason> {
    let untranslatable = DropReason::Untranslatable;
    let (_, l3) = ethernet::payload(packet.bytes()).ok_or(untranslatable)?;
    let bytes = &packet.bytes()[l3..];
    let header = Header::<V6>::read(bytes).ok_or(untranslatable)?;
    let bytes = &bytes[..header.total_len];
    if header.protocol == V6::ICMP {
        let message = error_to_ipv4(bytes, &header, last_id).ok_or(untranslatable)?;
        return replace(packet, l3, &message, V4::ETHERTYPE);
    }
    let new = ipv4_header(bytes, &header, last_id).ok_or(untranslatable)?;
    packet.set_len(l3 + header.total_len);
    reshape(packet, l3, l3 + header.header_len, &new, V4::ETHERTYPE)
}

/// Whether options of IPv4 have a way chosen by the sender that is not at its end: RFC 7915 4.1 has such a packet end, as it is
/// for somebody else.
fn has_way_to_go(mut options: &[u8]) -> bool {
    /// The end of the list, and nothing.
    const BARE: [u8; 2] = [0, 1];
    /// RFC 791 3.1: loose and strict source and record route.
    const SOURCE_ROUTES: [u8; 2] = [131, 137];
    loop {
        match *options {
            [kind, ref rest @ ..] if kind == BARE[1] => options = rest,
            [kind, len, pointer, ..] if SOURCE_ROUTES.contains(&kind) => return pointer <= len,
            [kind, len, ..] if kind != BARE[0] && len >= 2 && usize::from(len) <= options.len() => {
                options = &options[usize::from(len)..];
            }
            _ => return false,
        }
    }
}

/// Whether a frame is of IPv6 and goes to an address of IPv4.
#[must_use]
pub fn goes_to_ipv4(frame: &[u8]) -> bool {
    let Some((ethernet::IPV6, l3)) = ethernet::payload(frame) else { return false };
    let end = l3 + ipv6::DESTINATION + 16;
    frame.len() >= end && V6::is_embedded(V6::get(&frame[l3..], V6::DESTINATION))
}

/// An address of IPv4 as one of IPv6.
fn embedded(address: u32) -> u128 {
    V6::embed(IpAddr::V4(address.into())).unwrap_or_default()
}

/// An address of IPv4 that is written as one of IPv6.
fn original(address: u128) -> Option<u32> {
    V4::of(V6::ip(address))
}

/// The header of IPv6, with that of a fragment, in the place of a whole one of IPv4.
fn ipv6_header(header: &[u8], source: u32, destination: u32) -> ArrayVec<u8, 48> {
    let (word, kind) = (get16(header, ipv4::FRAGMENT), header[ipv4::PROTOCOL]);
    let protocol = if kind == V4::ICMP { V6::ICMP } else { kind };
    let is_fragment = V4::is_fragment(word);
    let behind = if is_fragment { FRAGMENT_LEN } else { 0 };
    let mut new = ArrayVec::from([0; 48]);
    new.truncate(V6::HEADER_LEN + behind);
    let payload = usize::from(get16(header, ipv4::TOTAL_LEN)).saturating_sub(header.len());
    put32(&mut new, 0, 6 << 28 | u32::from(V4::class(header)) << 20);
    put16(&mut new, ipv6::PAYLOAD_LEN, small(payload + behind));
    new[ipv6::NEXT_HEADER] = if is_fragment { FRAGMENT } else { protocol };
    new[ipv6::HOP_LIMIT] = header[ipv4::TTL];
    V6::put(&mut new, V6::SOURCE, embedded(source));
    V6::put(&mut new, V6::DESTINATION, embedded(destination));
    if is_fragment {
        let fragment = &mut new[V6::HEADER_LEN..];
        fragment[0] = protocol;
        put16(fragment, 2, (word & FRAGMENT_OFFSET) << 3 | u16::from(word & MORE_FRAGMENTS != 0));
        put32(fragment, 4, u32::from(get16(header, ipv4::ID)));
    }
    new
}

/// The header of IPv4 in the place of one of IPv6 with its extension headers. `None` if its addresses are not IPv4's.
fn ipv4_header(packet: &[u8], header: &Header<V6>, last_id: &mut u16) -> Option<[u8; V4::HEADER_LEN]> {
    let total_len = V4::HEADER_LEN + header.total_len.checked_sub(header.header_len)?;
    let (id, fragment) = match V6::piece(packet) {
        // The lower half of its number: RFC 7915 5.1.1.
        Some(piece) => {
            let [_, _, high, low] = piece.id.to_be_bytes();
            (
                u16::from_be_bytes([high, low]),
                header.fragment >> 3 | if piece.more { MORE_FRAGMENTS } else { 0 },
            )
        }
        None if total_len > MAY_FRAGMENT => (0, DONT_FRAGMENT),
        None => {
            *last_id = last_id.wrapping_add(1);
            (*last_id, 0)
        }
    };
    let mut new = [0; V4::HEADER_LEN];
    (new[0], new[1]) = (4 << 4 | 5, V6::class(packet));
    put16(&mut new, ipv4::TOTAL_LEN, small(total_len));
    put16(&mut new, ipv4::ID, id);
    put16(&mut new, ipv4::FRAGMENT, fragment);
    new[ipv4::TTL] = header.ttl;
    new[ipv4::PROTOCOL] = if header.protocol == V6::ICMP { V4::ICMP } else { header.protocol };
    V4::put(&mut new, V4::SOURCE, original(header.source)?);
    V4::put(&mut new, V4::DESTINATION, original(header.destination)?);
    let checksum = Sum::default().bytes(&new).finish();
    put16(&mut new, ipv4::CHECKSUM, checksum);
    Some(new)
}

/// Puts another IP header in the place of that from `l3` to `l4`.
fn reshape(
    packet: &mut impl Packet,
    l3: usize,
    l4: usize,
    new: &[u8],
    ethertype: u16,
) -> Result<(), DropReason> {
    let mut first = [0; MAX_L3];
    let first = first.get_mut(..l3).ok_or(DropReason::Untranslatable)?;
    first.copy_from_slice(&packet.bytes()[..l3]);
    let has_room = match new.len().checked_sub(l4 - l3) {
        Some(more) => packet.prepend(more),
        None => packet.trim_front(l4 - l3 - new.len()),
    };
    if !has_room {
        return Err(DropReason::NoHeadroom);
    }
    let frame = packet.bytes_mut();
    frame[..l3].copy_from_slice(first);
    put16(frame, l3 - 2, ethertype);
    frame[l3..l3 + new.len()].copy_from_slice(new);
    Ok(())
}

/// Puts another IP packet into a frame.
fn replace(packet: &mut impl Packet, l3: usize, new: &[u8], ethertype: u16) -> Result<(), DropReason> {
    if !packet.set_len(l3 + new.len()) {
        return Err(DropReason::NoHeadroom);
    }
    let frame = packet.bytes_mut();
    put16(frame, l3 - 2, ethertype);
    frame[l3..].copy_from_slice(new);
    Ok(())
}

/// An ICMP error as one of ICMPv6, with the packet that it quotes: RFC 7915 4.2, 4.3.
fn error_to_ipv6(packet: &[u8], at: &Headers<V4>) -> Option<Message> {
    let message = packet.get(usize::from(at.l4 - at.l3)..)?;
    let quote = message.get(icmp::HEADER_LEN..)?;
    let quoted = Header::<V4>::read_cut(quote)?;
    quoted.flow_protocol()?;
    let (kind, code, rest) = kind_of_icmpv6(message, quoted.total_len)?;
    let mut new = Message::new();
    append(&mut new, &ipv6_header(packet.get(..usize::from(at.l4 - at.l3))?, at.source, at.destination));
    append(&mut new, &[kind, code, 0, 0]);
    append(&mut new, &rest.to_be_bytes());
    append(&mut new, &ipv6_header(quote.get(..quoted.header_len)?, quoted.source, quoted.destination));
    append(&mut new, quote.get(quoted.header_len..)?);
    let len = small(new.len() - V6::HEADER_LEN);
    put16(&mut new, ipv6::PAYLOAD_LEN, len);
    let sum = V6::message_sum(embedded(at.source), embedded(at.destination), len);
    icmp::set_checksum(sum, &mut new[V6::HEADER_LEN..]);
    Some(new)
}

/// An error of ICMPv6 as one of ICMP, with the packet that it quotes: RFC 7915 5.2, 5.3.
fn error_to_ipv4(packet: &[u8], header: &Header<V6>, last_id: &mut u16) -> Option<Message> {
    let message = packet.get(header.header_len..)?;
    let quote = message.get(icmp::HEADER_LEN..)?;
    let quoted = Header::<V6>::read_cut(quote)?;
    quoted.flow_protocol()?;
    let (kind, code, rest) = kind_of_icmp(message)?;
    let mut new = Message::new();
    append(&mut new, &ipv4_header(packet, header, last_id)?);
    append(&mut new, &[kind, code, 0, 0]);
    append(&mut new, &rest.to_be_bytes());
    // It is nobody's next packet.
    append(&mut new, &ipv4_header(quote, &quoted, &mut 0)?);
    append(&mut new, quote.get(quoted.header_len..)?);
    new.truncate(icmp::MAX_ERROR_LEN);
    let len = small(new.len());
    put16(&mut new, ipv4::TOTAL_LEN, len);
    put16(&mut new, ipv4::CHECKSUM, 0);
    let checksum = Sum::default().bytes(&new[..V4::HEADER_LEN]).finish();
    put16(&mut new, ipv4::CHECKSUM, checksum);
    icmp::set_checksum(Sum::default(), &mut new[V4::HEADER_LEN..]);
    Some(new)
}

/// As much as there is room for: what an error quotes may be cut.
fn append(message: &mut Message, bytes: &[u8]) {
    let len = bytes.len().min(message.remaining_capacity());
    message.extend(bytes[..len].iter().copied());
}

/// Type, code and the rest of the header of ICMPv6 that stand for an error's: RFC 7915 4.2. `quoted_len` are the bytes of
/// the packet that it quotes.
fn kind_of_icmpv6(message: &[u8], quoted_len: usize) -> Option<(u8, u8, u32)> {
    /// Where a field of IPv4's header is in IPv6's: RFC 7915 4.2, figure 3.
    const fn pointer(at: u8) -> Option<u32> {
        Some(match at {
            0 => 0,
            1 => 1,
            2 | 3 => 4,
            8 => 7,
            9 => 6,
            12..=15 => 8,
            16..=19 => 24,
            _ => return None,
        })
    }
    let (kind, code) = (message[0], message[1]);
    Some(match (kind, code) {
        (icmp::UNREACHABLE, icmp::PROTOCOL_UNREACHABLE) => {
            (icmpv6::PARAMETER_PROBLEM, icmpv6::UNKNOWN_NEXT_HEADER, u32::from(V6_PROTOCOL_AT))
        }
        (icmp::UNREACHABLE, icmp::PORT_UNREACHABLE) => (icmpv6::UNREACHABLE, icmpv6::PORT_UNREACHABLE, 0),
        (icmp::UNREACHABLE, icmp::FRAGMENTATION_NEEDED) => {
            let mtu = match get16(message, icmp::MTU) {
                // A router from before RFC 1191 does not say: less than what was too large, as far as links go there.
                0 => small(quoted_len.min(1_500) / 2),
                mtu => mtu,
            };
            // Less is none that IPv6 knows, and routers of IPv4 may fragment what is so small: see `MAY_FRAGMENT`.
            (icmpv6::TOO_BIG, 0, u32::from(mtu.saturating_add(LONGER).max(ipv6::SMALLEST_MTU)))
        }
        (icmp::UNREACHABLE, 0 | 1 | 5..=8 | 11 | 12) => (icmpv6::UNREACHABLE, NO_ROUTE, 0),
        (icmp::UNREACHABLE, 9 | 10 | 13 | 15) => (icmpv6::UNREACHABLE, PROHIBITED, 0),
        (icmp::TIME_EXCEEDED, code) => (icmpv6::TIME_EXCEEDED, code, 0),
        (icmp::PARAMETER_PROBLEM, 0 | 2) => (icmpv6::PARAMETER_PROBLEM, 0, pointer(message[icmp::REST])?),
        _ => return None,
    })
}

/// The same of ICMP that stand for an error's of ICMPv6: RFC 7915 5.2.
fn kind_of_icmp(message: &[u8]) -> Option<(u8, u8, u32)> {
    /// Where a field of IPv6's header is in IPv4's: RFC 7915 5.2, figure 6.
    const fn pointer(at: u32) -> Option<u32> {
        Some(match at {
            0 => 0,
            1 => 1,
            4 | 5 => 2,
            6 => 9,
            7 => 8,
            8..=23 => 12,
            24..=39 => 16,
            _ => return None,
        })
    }
    let (kind, code, rest) = (message[0], message[1], get32(message, icmp::REST));
    Some(match (kind, code) {
        (icmpv6::UNREACHABLE, NO_ROUTE | 2 | 3) => (icmp::UNREACHABLE, HOST, 0),
        (icmpv6::UNREACHABLE, PROHIBITED) => (icmp::UNREACHABLE, HOST_PROHIBITED, 0),
        (icmpv6::UNREACHABLE, icmpv6::PORT_UNREACHABLE) => (icmp::UNREACHABLE, icmp::PORT_UNREACHABLE, 0),
        (icmpv6::TOO_BIG, _) => {
            let mtu = u32::from(u16::MAX).min(rest.saturating_sub(u32::from(LONGER)));
            (icmp::UNREACHABLE, icmp::FRAGMENTATION_NEEDED, mtu)
        }
        (icmpv6::TIME_EXCEEDED, code) => (icmp::TIME_EXCEEDED, code, 0),
        (icmpv6::PARAMETER_PROBLEM, icmpv6::UNKNOWN_NEXT_HEADER) => {
            (icmp::UNREACHABLE, icmp::PROTOCOL_UNREACHABLE, 0)
        }
        (icmpv6::PARAMETER_PROBLEM, 0) => (icmp::PARAMETER_PROBLEM, 0, pointer(rest)? << 24),
        _ => return None,
    })
}

/// Of ICMPv6's "destination unreachable": there is no route.
const NO_ROUTE: u8 = 0;
/// The same: it is prohibited.
const PROHIBITED: u8 = 1;
/// Of ICMP's: the host.
const HOST: u8 = 1;
/// The same: it is prohibited.
const HOST_PROHIBITED: u8 = 10;
/// Where a header of IPv6 names the protocol.
const V6_PROTOCOL_AT: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        memory::MemoryPacket,
        packet::PortId,
        wire::tcp::{self, ACK},
    };
    use proptest::prelude::*;

    const A: u32 = 0xc000_0201;
    const B: u32 = 0xc633_640b;

    fn packet(frame: &[u8]) -> MemoryPacket {
        MemoryPacket::new(PortId(0), frame)
    }

    /// A frame with tags in front of a packet of IPv4 with that payload.
    fn frame_of(tags: usize, protocol: u8, word: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x11; ethernet::HEADER_LEN - 2];
        (0..tags).for_each(|_| frame.extend([0x81, 0, 0, 7]));
        frame.extend(V4::ETHERTYPE.to_be_bytes());
        let total_len = V4::HEADER_LEN + payload.len();
        let header =
            Header { header_len: 20, total_len, fragment: word, ttl: 9, protocol, source: A, destination: B };
        let mut bytes = vec![0; V4::HEADER_LEN];
        V4::write(&mut bytes, &header);
        put16(&mut bytes, ipv4::FRAGMENT, word);
        put16(&mut bytes, ipv4::ID, 0x1234);
        bytes[1] = 0xb9;
        put16(&mut bytes, ipv4::CHECKSUM, 0);
        let checksum = Sum::default().bytes(&bytes).finish();
        put16(&mut bytes, ipv4::CHECKSUM, checksum);
        frame.extend(bytes);
        frame.extend(payload);
        frame
    }

    fn headers(frame: &[u8]) -> Option<Headers<V4>> {
        let (_, l3) = ethernet::payload(frame)?;
        Some(Headers::new(l3, &Header::<V4>::read(&frame[l3..])?))
    }

    fn segment(len: usize) -> Vec<u8> {
        let mut segment = vec![0x5a; tcp::HEADER_LEN + len];
        tcp::write_bare::<V4>(&mut segment, (A, 1), (B, 2), (3, 4, ACK));
        put16(&mut segment, tcp::CHECKSUM, 0);
        let sum = V4::pseudo(A, B, protocol::TCP, small(segment.len())).bytes(&segment);
        put16(&mut segment, tcp::CHECKSUM, sum.finish());
        segment
    }

    #[test]
    fn checksums_of_segments_hold_in_both_families() {
        for (len, tags) in [(0, 0), (1, 1), (1_400, 2)] {
            let before = frame_of(tags, protocol::TCP, 0x4000, &segment(len));
            let mut packet = packet(&before);
            to_ipv6(&mut packet, &headers(&before).unwrap()).unwrap();
            let l3 = ethernet::HEADER_LEN + 4 * tags;
            let header = Header::<V6>::read(&packet.bytes()[l3..]).unwrap();
            assert!(tcp::checksum_is_right::<V6>(
                header.source,
                header.destination,
                &packet.bytes()[l3 + 40..]
            ));
            assert_eq!((V6::ip(header.source), V6::class(&packet.bytes()[l3..])), (V4::ip(A), 0xb9));
            assert!(goes_to_ipv4(packet.bytes()));
            to_ipv4(&mut packet, &mut 76).unwrap();
            let mut expected = before;
            if len < 1_000 {
                // What is so small may be fragmented, and so has a number.
                put16(&mut expected[l3..], ipv4::FRAGMENT, 0);
                put16(&mut expected[l3..], ipv4::ID, 77);
            } else {
                put16(&mut expected[l3..], ipv4::ID, 0);
            }
            put16(&mut expected[l3..], ipv4::CHECKSUM, 0);
            let checksum = Sum::default().bytes(&expected[l3..l3 + 20]).finish();
            put16(&mut expected[l3..], ipv4::CHECKSUM, checksum);
            assert_eq!(packet.bytes(), expected);
        }
    }

    #[test]
    fn fragments_are_what_they_were() {
        for word in [MORE_FRAGMENTS, MORE_FRAGMENTS | 100, 100] {
            let before = frame_of(0, protocol::TCP, word, &segment(12));
            let mut packet = packet(&before);
            to_ipv6(&mut packet, &headers(&before).unwrap()).unwrap();
            to_ipv4(&mut packet, &mut 0).unwrap();
            assert_eq!(packet.bytes(), before, "{word:x}");
        }
    }

    #[test]
    fn every_error_that_has_an_equal_is_one() {
        let quote = frame_of(0, protocol::TCP, 0, &segment(0))[14..].to_vec();
        let translated = |kind: u8, code: u8, rest: u32| {
            let mut message = vec![kind, code, 0, 0];
            message.extend(rest.to_be_bytes());
            message.extend(&quote);
            icmp::set_checksum(Sum::default(), &mut message);
            let frame = frame_of(0, V4::ICMP, 0, &message);
            let mut packet = packet(&frame);
            to_ipv6(&mut packet, &headers(&frame).unwrap()).ok()?;
            let message = &packet.bytes()[14 + 40..];
            assert!(icmp::checksum_is_right(
                V6::message_sum(embedded(A), embedded(B), small(message.len())),
                message
            ));
            let there = (message[0], message[1], get32(message, 4));
            // Back it is the same packet that is quoted.
            to_ipv4(&mut packet, &mut 0).ok()?;
            let message = &packet.bytes()[14 + 20..];
            assert!(icmp::checksum_is_right(Sum::default(), message));
            assert_eq!(message[8 + 12..], quote[12..]);
            Some((there, (message[0], message[1], get32(message, 4))))
        };
        // RFC 7915 4.2 and 5.2, there and back.
        for (code, there, back) in
            [(0, (1, 0), (3, 1)), (1, (1, 0), (3, 1)), (3, (1, 4), (3, 3)), (10, (1, 1), (3, 10))]
        {
            assert_eq!(translated(3, code, 0), Some(((there.0, there.1, 0), (back.0, back.1, 0))));
        }
        assert_eq!(translated(3, 2, 0), Some(((4, 1, 6), (3, 2, 0))), "the protocol");
        assert_eq!(translated(3, 4, 1_400), Some(((2, 0, 1_420), (3, 4, 1_400))));
        assert_eq!(translated(3, 4, 576), Some(((2, 0, 1_280), (3, 4, 1_260))));
        assert_eq!(translated(11, 0, 0), Some(((3, 0, 0), (11, 0, 0))));
        assert_eq!(
            translated(12, 0, 8 << 24),
            Some(((4, 0, 7), (12, 0, 8 << 24))),
            "time to live, hop limit"
        );
        assert_eq!(translated(12, 0, 5 << 24), None, "nothing of IPv6 is an identification");
        assert_eq!(translated(3, 14, 0), None);
        assert_eq!(translated(8, 0, 0), None, "no error");
    }

    #[test]
    fn without_addresses_of_ipv4_it_stays() {
        let before = frame_of(0, protocol::TCP, 0, &segment(0));
        let mut packet = packet(&before);
        to_ipv6(&mut packet, &headers(&before).unwrap()).unwrap();
        packet.bytes_mut()[14 + 8] = 0x20;
        assert_eq!(to_ipv4(&mut packet, &mut 0), Err(DropReason::Untranslatable));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            mut payload in prop::collection::vec(any::<u8>(), 0..300),
            protocol in prop::sample::select(vec![1, 6, 17, 58]),
            kind in prop::sample::select(vec![3u8, 11, 12, 1, 2, 4]),
            word: u16,
            quotes: bool,
            extension in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Some(first) = payload.first_mut() {
                *first = kind;
            }
            if quotes && payload.len() > 40 {
                payload.splice(8..8, frame_of(0, 6, word, &extension)[14..].iter().copied());
            }
            let frame = frame_of(0, protocol, word, &payload);
            if let Some(at) = headers(&frame) {
                let mut there = packet(&frame);
                if to_ipv6(&mut there, &at).is_ok() {
                    prop_assert!(Header::<V6>::read(&there.bytes()[14..]).is_some());
                    let _ = to_ipv4(&mut there, &mut 0);
                }
            }
            // And any bytes behind a header of IPv6.
            let mut bytes = ipv6_header(&frame[14..34], A, B).to_vec();
            bytes[6] = extension.first().copied().unwrap_or(protocol);
            bytes.extend(&extension);
            bytes.extend(&payload);
            let len = small(bytes.len() - 40);
            put16(&mut bytes, ipv6::PAYLOAD_LEN, len);
            let frame = [&[0; 12][..], &[0x86, 0xdd], &bytes].concat();
            let mut back = packet(&frame);
            if to_ipv4(&mut back, &mut 0).is_ok() {
                prop_assert!(Header::<V4>::read(&back.bytes()[14..]).is_some());
                prop_assert!(V4::header_is_right(&back.bytes()[14..34]));
            }
        }
    }
}
