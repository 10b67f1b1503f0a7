//! Bytes that come into a packet of a connection, or go from it: lengths and checksums stay right, and as wrong as they were.

use crate::{
    cast::small,
    counters::DropReason,
    family::Family,
    packet::{Checksum, Packet},
    wire::{
        checksum::Change,
        get16,
        headers::Headers,
        options::{self, EXPERIMENT, FAST_OPEN, FAST_OPEN_EXPERIMENT, TcpOption, options},
        protocol, put16, tcp, udp,
    },
};

/// Inserts bytes behind a segment's or datagram's header, which is so long. Ethernet's padding goes.
pub(super) fn insert<F: Family>(
    packet: &mut impl Packet,
    at: &mut Headers<F>,
    header_len: usize,
    bytes: &[u8],
) -> Result<(), DropReason> {
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    packet.set_len(at.end());
    if !packet.prepend(bytes.len()) {
        return Err(DropReason::NoHeadroom);
    }
    // What a port has found right may be computed anew: no damage is hidden by that.
    let is_sound = packet.l4_checksum() == Checksum::Good && at.protocol == protocol::TCP;
    let (by, data_at) = (small(bytes.len()), l4 + header_len);
    let frame = packet.bytes_mut();
    frame.copy_within(bytes.len()..bytes.len() + data_at, 0);
    frame[data_at..data_at + bytes.len()].copy_from_slice(bytes);
    set_length::<F>(&mut frame[l3..l4], by);
    at.ip_len += by;
    let segment = &mut frame[l4..];
    let len = small(segment.len());
    let mut change = Change::OF_NOTHING.word(len - by, len).bytes(header_len, &[], bytes);
    if by % 2 == 1 && is_sound {
        packet.sum_later();
        return Ok(());
    }
    if by % 2 == 1 {
        // What is behind it changes places within its words. Its old sum goes, so that damage on the way stays visible.
        let (old_at, new_at) = (header_len, header_len + bytes.len());
        change = change.bytes(old_at, &segment[new_at..], &[]).bytes(new_at, &[], &segment[new_at..]);
    }
    match at.protocol {
        protocol::UDP => {
            let old = get16(segment, udp::LENGTH);
            put16(segment, udp::LENGTH, old + by);
            let checksum = change.word(old, old + by).apply_udp(get16(segment, udp::CHECKSUM));
            put16(segment, udp::CHECKSUM, checksum);
        }
        _ => change_checksum(segment, change),
    }
    Ok(())
}

/// Makes the length in an IP header larger by so many bytes, modulo 2^16.
pub(super) fn set_length<F: Family>(header: &mut [u8], by: u16) {
    let old = get16(header, F::LENGTH);
    let new = old.wrapping_add(by);
    put16(header, F::LENGTH, new);
    F::update(header, Change::OF_NOTHING.word(old, new));
}

pub(super) fn change_checksum(segment: &mut [u8], change: Change) {
    let checksum = change.apply(get16(segment, tcp::CHECKSUM));
    put16(segment, tcp::CHECKSUM, checksum);
}

/// Fills options of a whole header with nothing, and updates the checksum. Returns the longest of them, if there were any.
pub(super) fn blank(header: &mut [u8], is_one: impl Fn(&[u8], &TcpOption) -> bool) -> Option<TcpOption> {
    let mut longest = None::<TcpOption>;
    loop {
        let next = options(header).find(|option| is_one(header, option));
        let Some(option) = next else { return longest };
        overwrite(header, option, &[options::NOTHING; tcp::MAX_HEADER_LEN]);
        longest = longest.filter(|longest| longest.len >= option.len).or(Some(option));
    }
}

/// Writes bytes to the place of an option, as far as it goes, and updates the checksum.
pub(super) fn overwrite(header: &mut [u8], TcpOption { at, len, .. }: TcpOption, bytes: &[u8]) {
    let len = len.min(bytes.len());
    let mut old = [0; tcp::MAX_HEADER_LEN];
    old[..len].copy_from_slice(&header[at..at + len]);
    header[at..at + len].copy_from_slice(&bytes[..len]);
    change_checksum(header, Change::OF_NOTHING.bytes(at, &old[..len], &bytes[..len]));
}

/// Takes data and the wish for a fast open out of a SYN. The client sends its data again when the server has agreed, and
/// been told whom it serves. Returns whether there was any.
pub(super) fn lay_bare<F: Family>(packet: &mut impl Packet, at: &mut Headers<F>, header_len: usize) -> bool {
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let (header, data) = packet.bytes_mut()[l4..at.end()].split_at_mut(header_len);
    let opened_fast = blank(header, |header, option| match option.kind {
        FAST_OPEN => true,
        EXPERIMENT => header[option.at + 2..option.at + option.len].starts_with(&FAST_OPEN_EXPERIMENT),
        _ => false,
    });
    let (len, data_len) = (small(header_len), small(data.len()));
    if data_len > 0 {
        let change = Change::OF_NOTHING.bytes(header_len, data, &[]).word(len + data_len, len);
        change_checksum(header, change);
        set_length::<F>(&mut packet.bytes_mut()[l3..l4], data_len.wrapping_neg());
        at.ip_len -= data_len;
        packet.set_len(at.end());
    }
    opened_fast.is_some() || data_len > 0
}
