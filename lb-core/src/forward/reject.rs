//! Packets turned into their own refusal: a TCP reset, an SCTP abort or an ICMP error, back to where they came from.
//!
//! The answer is made in the packet's own buffer and is sent on the port it came in by, to the neighbour it came from.
//! So refusing needs no memory, no route and no ARP, however many packets want refusing.

use crate::{
    cast::small,
    family::{Family, Header, Problem},
    packet::Packet,
    wire::{checksum::Change, ethernet, get16, headers::Headers, icmp, ipv4, protocol, put32, sctp, tcp},
};

/// Turns a TCP segment into the reset that answers it, RFC 9293 3.10.7.1. `false`, and no change, for a segment that
/// must not be answered: a reset.
pub fn reset<F: Family>(packet: &mut impl Packet, at: &Headers<F>) -> bool {
    if at.protocol == protocol::SCTP {
        return abort(packet, at);
    }
    // Everything is read before the frame is cut: with IP options, ports lie behind the end of the answer.
    let segment = at.payload(packet.bytes());
    let (Some(numbers), Some((from, to))) = (tcp::reset_for(segment), tcp::ports(segment)) else {
        return false;
    };
    let l3 = usize::from(at.l3);
    let len = F::HEADER_LEN + tcp::HEADER_LEN;
    // The segment was whole, so its frame has room for two bare headers.
    if !packet.set_len(l3 + len) {
        return false;
    }
    let frame = packet.bytes_mut();
    F::write(&mut frame[l3..], &answer(at, at.destination, len, protocol::TCP, ipv4::DONT_FRAGMENT));
    tcp::write_unsummed(&mut frame[l3 + F::HEADER_LEN..], (to, from), numbers);
    swap_stations(frame);
    packet.sum_later();
    true
}

/// Turns a packet of SCTP into the abort that answers it, or into the end of what it ends. `false`, and no change, for one
/// that must not be answered.
fn abort<F: Family>(packet: &mut impl Packet, at: &Headers<F>) -> bool {
    let received = at.payload(packet.bytes());
    let (Some(says), Some((from, to))) = (sctp::answer_to(received), tcp::ports(received)) else {
        return false;
    };
    let l3 = usize::from(at.l3);
    let len = F::HEADER_LEN + sctp::ANSWER_LEN;
    // As short as the shortest that is read.
    if !packet.set_len(l3 + len) {
        return false;
    }
    let frame = packet.bytes_mut();
    F::write(&mut frame[l3..], &answer(at, at.destination, len, protocol::SCTP, ipv4::DONT_FRAGMENT));
    sctp::write_unsummed(&mut frame[l3 + F::HEADER_LEN..], (to, from), says);
    swap_stations(frame);
    packet.sum_later();
    true
}

/// Turns a packet into the ICMP error that quotes it, from `source`: as much of it as RFC 1812 4.3.2.3 allows.
/// `false`, and no change, for packets that must not be answered (RFC 1122 3.2.2): ICMP errors, later fragments.
pub fn icmp_error<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    source: F::Address,
    problem: Problem,
) -> bool {
    let added = F::HEADER_LEN + icmp::HEADER_LEN;
    let is_error = at.protocol == F::ICMP
        && at.payload(packet.bytes()).first().is_none_or(|&kind| F::message(kind).is_error());
    let l3 = usize::from(at.l3);
    let quoted = usize::from(at.ip_len).min(F::MAX_ERROR_LEN - added);
    if is_error || F::is_later_fragment(at.fragment) || !packet.prepend(added) {
        return false;
    }
    packet.set_len(l3 + added + quoted);
    let frame = packet.bytes_mut();
    frame.copy_within(added..added + l3, 0);
    F::write(&mut frame[l3..], &answer(at, source, added + quoted, F::ICMP, 0));
    let message = &mut frame[l3 + F::HEADER_LEN..];
    let (kind, code, rest) = F::problem(problem, &message[icmp::HEADER_LEN..]);
    (message[0], message[1]) = (kind, code);
    put32(message, icmp::REST, rest);
    icmp::set_checksum(F::message_sum(source, at.source, small(message.len())), message);
    // The way back may carry less than the error takes, and routers report nothing about errors. What they then put together
    // by the message's checksum is of this message, or of one that says the same.
    let id = get16(message, icmp::CHECKSUM);
    F::identify(&mut frame[l3..], id);
    swap_stations(frame);
    true
}

/// Turns an echo request into its reply, RFC 792.
pub fn echo_reply<F: Family>(packet: &mut impl Packet, at: &Headers<F>) {
    packet.set_len(at.end());
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let frame = packet.bytes_mut();
    // Type and code are one word of the checksum, which is updated, not made anew: damage stays visible.
    let old = get16(frame, l4);
    frame[l4] = F::ECHO_REPLY;
    let change = Change::default().word(old, get16(frame, l4));
    icmp::change_checksum(&mut frame[l4..], change);
    // Options, if any, stay as they are; only addresses and time to live change, then the checksum over all of it.
    F::turn(&mut frame[l3..l4], at.destination, at.source);
    swap_stations(frame);
}

/// The header of an answer.
fn answer<F: Family>(
    at: &Headers<F>,
    source: F::Address,
    total_len: usize,
    protocol: u8,
    fragment: u16,
) -> Header<F> {
    Header {
        header_len: F::HEADER_LEN,
        total_len,
        fragment,
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
