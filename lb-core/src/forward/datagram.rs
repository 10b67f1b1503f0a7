//! A datagram that a [module](crate::module) reads: any number of its texts give way to others, and its lengths and checksum
//! follow.
//!
//! It is done to a packet as it arrived; what the connection's method does comes behind. What comes in fragments or is damaged
//! is not read, and goes on as it is.

use super::insert::set_length;
use crate::{
    cast::small,
    conn::entry::Direction,
    counters::DropReason,
    family::Family,
    module::{
        edits::Edits,
        reader::{Host, Module},
    },
    packet::{Checksum, Packet},
    wire::{get16, headers::Headers, protocol, put16, udp},
};

/// Bytes of the room in front of a packet that longer texts may take. Another family's header and the like need some of it
/// (`RTE_PKTMBUF_HEADROOM` of DPDK, 128).
pub(super) const MOST_IN_FRONT: usize = 96;

/// Reads a datagram, and replaces what is to be. `at` says where its headers are, before and after. Returns how many bytes gave
/// way to how many others, if any did.
///
/// # Errors
/// When there is no room for it, in front and behind.
pub(super) fn apply<F: Family>(
    packet: &mut impl Packet,
    at: &mut Headers<F>,
    direction: Direction,
    (module, host): (&dyn Module, &mut dyn Host),
) -> Result<Option<(usize, usize)>, DropReason> {
    let datagram = at.payload(packet.bytes());
    if F::is_fragment(at.fragment) || !udp::is_whole(datagram) {
        return Ok(None);
    }
    let is_right = || udp::checksum_is_right::<F>(at.source, at.destination, datagram);
    if packet.l4_checksum() != Checksum::Good && !is_right() {
        return Ok(None);
    }
    let has_checksum = udp::has_checksum(datagram);
    let len = usize::from(get16(datagram, udp::LENGTH));
    let mut edits = Edits::new();
    module.datagram(direction, &datagram[udp::HEADER_LEN..len], &mut edits, host);
    if edits.is_empty() || !host.rewrites() {
        return Ok(None);
    }
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    packet.set_len(l4 + len);
    splice(packet, l4 + udp::HEADER_LEN, &edits)?;
    let ip_len = small(packet.bytes().len() - l3);
    set_length::<F>(&mut packet.bytes_mut()[l3..l4], ip_len.wrapping_sub(at.ip_len));
    at.ip_len = ip_len;
    let datagram = &mut packet.bytes_mut()[l4..];
    let len = small(datagram.len());
    put16(datagram, udp::LENGTH, len);
    put16(datagram, udp::CHECKSUM, 0);
    if has_checksum {
        let sum = F::pseudo(at.source, at.destination, protocol::UDP, len).bytes(datagram).finish();
        put16(datagram, udp::CHECKSUM, if sum == 0 { 0xffff } else { sum });
    }
    Ok(Some(edits.bytes()))
}

/// Replaces texts in what begins there and ends with the frame. The room that it takes is in front of the frame, as far as other
/// headers do not need it, and behind it: headers move forward and what begins there backward, and then each text in turn to
/// where it belongs, which is never behind where it is.
pub(super) fn splice(packet: &mut impl Packet, start: usize, edits: &Edits) -> Result<(), DropReason> {
    let (room, len) = (edits.most_growth(), packet.bytes().len());
    let ahead = room.min(MOST_IN_FRONT);
    let behind = room - ahead;
    if behind > 0 && !packet.set_len(len + behind) || ahead > 0 && !packet.prepend(ahead) {
        return Err(DropReason::NoHeadroom);
    }
    let frame = packet.bytes_mut();
    frame.copy_within(ahead..ahead + start, 0);
    frame.copy_within(ahead + start..ahead + len, room + start);
    let (mut read, mut from, mut to) = (0, start + room, start);
    for edit in edits.iter() {
        let kept = edit.at - read;
        frame.copy_within(from..from + kept, to);
        let new = edit.new.as_bytes();
        frame[to + kept..to + kept + new.len()].copy_from_slice(new);
        (read, from, to) = (edit.end(), from + kept + edit.old, to + kept + new.len());
    }
    let len = frame.len();
    frame.copy_within(from.., to);
    packet.set_len(to + len - from);
    Ok(())
}

#[cfg(test)]
mod tests;
