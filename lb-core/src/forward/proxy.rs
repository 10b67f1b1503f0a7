//! The PROXY protocol's header in front of what a client sends, and what follows from it: the server's numbers of the
//! client's bytes are larger than the client's, by the length of the header.
//!
//! It goes with the client's first acknowledgement, so a server that is to speak first knows at once to whom, and again
//! with whatever begins where the client's first byte does, until the server has acknowledged it (see
//! [`second`](crate::conn::second)). Where the two do not fit into one packet it gets a segment of its own.
//!
//! Here it is done to a packet as it arrived; what the connection's method does comes behind.

use super::insert::{change_checksum, insert, lay_bare, set_length};
use crate::{
    cast::small,
    conn::{
        client_address::ClientAddress,
        entry::{Connection, Direction},
        second::{Progress, Second},
    },
    counters::DropReason,
    family::{Family, V4},
    packet::Packet,
    wire::{
        checksum::Change,
        get16, get32,
        headers::Headers,
        options::{self, SACK, TcpOption, options},
        protocol::{self, Protocol},
        proxy::{self, Header},
        put16, put32,
        tcp::{self, ACK, FIN, PSH, RST, SYN, URG},
        udp,
    },
};
use std::net::SocketAddr;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is as it was.
    Nothing,
    /// Its numbers are those of the other side.
    Numbers,
    /// Data and the wish for a fast open are taken out of a SYN, for the header goes first.
    Bare,
    /// It begins with a header of so many bytes.
    Header(u8),
    /// The same, but the header of so many bytes is to go before it, [by itself](ahead).
    Ahead(u8),
}

/// Bytes that every datagram of a connection grows by.
#[must_use]
pub const fn datagram_len<F: Family>() -> u16 {
    if F::ETHERTYPE == V4::ETHERTYPE { proxy::V2_LEN_IPV4 } else { proxy::V2_LEN_IPV6 }
}

/// The header that tells a connection's server of its client.
#[must_use]
pub fn header<F: Family>(connection: &Connection<F>, told: ClientAddress) -> Header {
    let client = SocketAddr::new(F::ip(connection.client), connection.client_port);
    let vip = SocketAddr::new(F::ip(connection.vip), connection.vip_port);
    match told {
        ClientAddress::Packets | ClientAddress::Toa => Header::new(),
        ClientAddress::ProxyV1 => proxy::v1(client, vip),
        ClientAddress::ProxyV2 => proxy::v2(connection.protocol, client, vip),
    }
}

/// Does to a packet of a connection what telling its server takes: see [`tell::apply`](super::tell::apply).
pub(super) fn apply<F: Family>(
    packet: &mut impl Packet,
    at: &mut Headers<F>,
    connection: &Connection<F>,
    second: &mut Second,
    (direction, limit): (Direction, u16),
) -> Result<Effect, DropReason> {
    // What goes with a connection of datagrams is none.
    if protocol::is_ipsec(at.protocol) {
        return Ok(Effect::Nothing);
    }
    // Only the first fragment has a header of TCP, and none can grow: the others begin where it ends.
    let (grows, is_later) = (connection.protocol == Protocol::Udp, F::is_later_fragment(at.fragment));
    if F::is_fragment(at.fragment) && grows && direction == Direction::In {
        return Err(DropReason::Fragment);
    }
    if is_later {
        return Ok(Effect::Nothing);
    }
    match (connection.protocol, direction) {
        (Protocol::Tcp, Direction::In) => from_client(packet, at, connection, second, limit),
        (Protocol::Tcp, Direction::Out) => Ok(from_server(packet, at, second)),
        (Protocol::Udp, Direction::In) => {
            let header = header(connection, second.told);
            insert(packet, at, udp::HEADER_LEN, &header)?;
            Ok(Effect::Header(second.len))
        }
        // There is no header for SCTP, nor for what servers send by themselves.
        (Protocol::Udp, Direction::Out) | (Protocol::Sctp | Protocol::Icmp, _) => Ok(Effect::Nothing),
    }
}

/// A segment from the client.
fn from_client<F: Family>(
    packet: &mut impl Packet,
    at: &mut Headers<F>,
    connection: &Connection<F>,
    second: &mut Second,
    limit: u16,
) -> Result<Effect, DropReason> {
    let segment = at.payload(packet.bytes());
    let Some(header_len) = tcp::header_len(segment) else { return Ok(Effect::Nothing) };
    let (number, flags) = (get32(segment, tcp::SEQUENCE), segment[tcp::FLAGS]);
    let is_empty = segment.len() == header_len;
    if F::is_fragment(at.fragment) && flags & RST == 0 && (flags & SYN != 0 || second.is_due_at(number)) {
        return Err(DropReason::Fragment);
    }
    if flags & SYN != 0 {
        let changed = lay_bare(packet, at, header_len);
        return Ok(if changed { Effect::Bare } else { Effect::Nothing });
    }
    if !second.is_due_at(number) {
        return Ok(renumber(packet, at, number, second.to_server(number)));
    }
    let beyond = number.wrapping_add(u32::from(second.len));
    if flags & RST != 0 {
        // It counts only with the number that the server expects.
        let expected = if second.progress == Progress::Sent { beyond } else { number };
        return Ok(renumber(packet, at, number, expected));
    }
    let len = second.len;
    let room = if second.way == 0 { limit } else { limit.min(second.way) };
    if at.ip_len + u16::from(len) > room {
        second.progress = Progress::Sent;
        renumber(packet, at, number, beyond);
        return Ok(Effect::Ahead(len));
    }
    insert(packet, at, header_len, &header(connection, second.told))?;
    let segment = &mut packet.bytes_mut()[usize::from(at.l4)..];
    if is_empty {
        // Nothing else would have the server read it at once.
        push(segment);
    }
    if flags & URG != 0 {
        move_urgent(segment, u16::from(len));
    }
    second.progress = Progress::Sent;
    Ok(Effect::Header(len))
}

/// A segment that brings nothing but the header, before a client's segment that has its number already. `extra` is empty.
/// `None` if it has no room.
pub fn ahead<F: Family>(
    packet: &impl Packet,
    at: &Headers<F>,
    connection: &Connection<F>,
    second: &Second,
    extra: &mut impl Packet,
) -> Option<Headers<F>> {
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let segment = at.payload(packet.bytes());
    let header_len = tcp::header_len(segment)?;
    let header = header(connection, second.told);
    let (data_at, old_len) = (l4 + header_len, segment.len());
    let len = header_len + header.len();
    if !extra.set_len(l4 + len) {
        return None;
    }
    let frame = extra.bytes_mut();
    frame[..data_at].copy_from_slice(&packet.bytes()[..data_at]);
    frame[data_at..].copy_from_slice(&header);
    let ip_len = at.ip_len - small(old_len) + small(len);
    set_length::<F>(&mut frame[l3..l4], ip_len.wrapping_sub(at.ip_len));
    let segment = &mut frame[l4..];
    put32(segment, tcp::SEQUENCE, second.base);
    segment[tcp::FLAGS] = segment[tcp::FLAGS] & !(FIN | URG) | PSH;
    extra.sum_later();
    Some(Headers { ip_len, ..*at })
}

/// A segment from the server.
fn from_server<F: Family>(packet: &mut impl Packet, at: &Headers<F>, second: &mut Second) -> Effect {
    let l4 = usize::from(at.l4);
    let segment = at.payload(packet.bytes());
    let Some(header_len) = tcp::header_len(segment) else { return Effect::Nothing };
    let (number, flags) = (get32(segment, tcp::ACKNOWLEDGEMENT), segment[tcp::FLAGS]);
    if flags & ACK == 0 {
        return Effect::Nothing;
    }
    let header = &mut packet.bytes_mut()[l4..l4 + header_len];
    if flags & (SYN | RST) == SYN {
        second.agreed(number);
        // The header takes its part of the first window. None is scaled in such a segment (RFC 7323 2.2).
        let window = get16(header, tcp::WINDOW);
        let left = window.saturating_sub(u16::from(second.len));
        put16(header, tcp::WINDOW, left);
        change_checksum(header, Change::OF_NOTHING.word(window, left));
        return Effect::Numbers;
    }
    second.acknowledged(number);
    let new = second.to_client(number);
    put32(header, tcp::ACKNOWLEDGEMENT, new);
    let change = Change::OF_NOTHING.long(number, new);
    let blocks = options(header).find(|option| option.kind == SACK);
    let change = blocks.map_or(change, |option| change.and(translate_blocks(header, option, second)));
    change_checksum(header, change);
    Effect::Numbers
}

/// Selective acknowledgements in the client's numbers. Those of nothing but the header are left out.
fn translate_blocks(header: &mut [u8], option: TcpOption, second: &Second) -> Change {
    let range = option.at..option.at + option.len;
    let mut old = [0; tcp::MAX_HEADER_LEN];
    let old = &mut old[..option.len];
    old.copy_from_slice(&header[range.clone()]);
    let new = &mut header[range];
    new.fill(options::NOTHING);
    let mut end = 2;
    for block in old[2..].chunks_exact(8) {
        let edges = (get32(block, 0), get32(block, 4));
        if !second.is_of_header(edges.0, edges.1) {
            put32(new, end, second.to_client(edges.0));
            put32(new, end + 4, second.to_client(edges.1));
            end += 8;
        }
    }
    if end > 2 {
        new[..2].copy_from_slice(&[SACK, small(end).to_be_bytes()[1]]);
    }
    Change::OF_NOTHING.bytes(option.at, old, new)
}

/// Gives a client's segment another sequence number.
fn renumber<F: Family>(packet: &mut impl Packet, at: &Headers<F>, old: u32, new: u32) -> Effect {
    if old == new {
        return Effect::Nothing;
    }
    let segment = &mut packet.bytes_mut()[usize::from(at.l4)..];
    put32(segment, tcp::SEQUENCE, new);
    change_checksum(segment, Change::OF_NOTHING.long(old, new));
    Effect::Numbers
}

/// Urgent data ends so many bytes farther behind the segment's number.
fn move_urgent(segment: &mut [u8], by: u16) {
    let old = get16(segment, tcp::URGENT);
    let new = old.saturating_add(by);
    put16(segment, tcp::URGENT, new);
    change_checksum(segment, Change::OF_NOTHING.word(old, new));
}

/// The receiver need not wait for more.
fn push(segment: &mut [u8]) {
    let old = get16(segment, tcp::DATA_OFFSET);
    segment[tcp::FLAGS] |= PSH;
    change_checksum(segment, Change::OF_NOTHING.word(old, get16(segment, tcp::DATA_OFFSET)));
}
