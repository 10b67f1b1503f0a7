//! Packets turned into their own refusal: a TCP reset or an ICMP error, back to where they came from.
//!
//! The answer is made in the packet's own buffer and is sent on the port it came in by, to the neighbour it came from.
//! So refusing needs no memory, no route and no ARP, however many packets want refusing.

use crate::{
    packet::Packet,
    wire::{
        checksum::Change,
        ethernet, get16,
        headers::Headers,
        icmp,
        ipv4::{self, Header},
        put16, tcp,
    },
};

/// Turns a TCP segment into the reset that answers it, RFC 9293 3.10.7.1. `false`, and no change, for a segment that
/// must not be answered: a reset.
pub fn reset(packet: &mut impl Packet, at: &Headers) -> bool {
    // Everything is read before the frame is cut: with IPv4 options, ports lie behind the end of the answer.
    let segment = at.payload(packet.bytes());
    let (Some(numbers), Some((from, to))) = (tcp::reset_for(segment), tcp::ports(segment)) else {
        return false;
    };
    let l3 = usize::from(at.l3);
    let len = ipv4::HEADER_LEN + tcp::HEADER_LEN;
    // The segment was whole, so its frame has room for two bare headers.
    if !packet.set_len(l3 + len) {
        return false;
    }
    let frame = packet.bytes_mut();
    ipv4::write(&mut frame[l3..], &answer(at, at.destination, len, ipv4::TCP), 0);
    let ends = ((at.destination, to), (at.source, from));
    tcp::write_bare(&mut frame[l3 + ipv4::HEADER_LEN..], ends.0, ends.1, numbers);
    swap_stations(frame);
    true
}

/// An ICMP error to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// The next hop's MTU, for "fragmentation needed"; else 0.
    pub mtu: u16,
}

/// Turns a packet into the ICMP error that quotes it, from `source`: as much of it as RFC 1812 4.3.2.3 allows.
/// `false`, and no change, for packets that must not be answered (RFC 1122 3.2.2): ICMP errors, later fragments.
pub fn icmp_error(packet: &mut impl Packet, at: &Headers, source: u32, error: Error) -> bool {
    const ADDED: usize = ipv4::HEADER_LEN + icmp::HEADER_LEN;
    let is_error = at.protocol == ipv4::ICMP
        && at.payload(packet.bytes()).first().is_none_or(|&kind| icmp::is_error(kind));
    let l3 = usize::from(at.l3);
    let quoted = usize::from(at.ip_len).min(icmp::MAX_ERROR_LEN - ADDED);
    if is_error || at.fragment & 0x1fff != 0 || !packet.prepend(ADDED) {
        return false;
    }
    packet.set_len(l3 + ADDED + quoted);
    let frame = packet.bytes_mut();
    frame.copy_within(ADDED..ADDED + l3, 0);
    ipv4::write(&mut frame[l3..], &answer(at, source, ADDED + quoted, ipv4::ICMP), 0);
    let message = &mut frame[l3 + ipv4::HEADER_LEN..];
    message[..icmp::HEADER_LEN].fill(0);
    (message[0], message[1]) = (error.kind, error.code);
    put16(message, icmp::MTU, error.mtu);
    icmp::set_checksum(message);
    swap_stations(frame);
    true
}

/// Turns an echo request into its reply, RFC 792.
pub fn echo_reply(packet: &mut impl Packet, at: &Headers) {
    packet.set_len(at.end());
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let frame = packet.bytes_mut();
    // Type and code are one word of the checksum, which is updated, not made anew: damage stays visible.
    let old = get16(frame, l4);
    frame[l4] = icmp::ECHO_REPLY;
    let change = Change::default().word(old, get16(frame, l4));
    icmp::change_checksum(&mut frame[l4..], change);
    // Options, if any, stay as they are; only addresses and time to live change, then the checksum over all of it.
    let header = &mut frame[l3..l4];
    header[ipv4::SOURCE..ipv4::SOURCE + 4].copy_from_slice(&at.destination.to_be_bytes());
    header[ipv4::DESTINATION..ipv4::DESTINATION + 4].copy_from_slice(&at.source.to_be_bytes());
    header[ipv4::TTL] = ipv4::DEFAULT_TTL;
    ipv4::set_checksum(header);
    swap_stations(frame);
}

/// The header of an answer. It is never fragmented on its way: it is small, or the way is the one it came by.
fn answer(at: &Headers, source: u32, total_len: usize, protocol: u8) -> Header {
    Header {
        header_len: ipv4::HEADER_LEN,
        total_len,
        fragment: ipv4::DONT_FRAGMENT,
        ttl: ipv4::DEFAULT_TTL,
        protocol,
        source,
        destination: at.source,
    }
}

/// Back to the neighbour it came from. The destination was this port's own address.
fn swap_stations(frame: &mut [u8]) {
    let (to, from) = (ethernet::source(frame), ethernet::destination(frame));
    ethernet::set_addresses(frame, to, from);
}
