//! TOA: the client's address in an [option](toa) of its first segments, which nothing of the stream notices.
//!
//! A server reads it where a connection comes to be: from the client's acknowledgement of its SYN+ACK, or from the SYN.
//! Nothing tells which segment that will be, since any may be lost. So it goes into all, from the SYN on, until the server
//! shows that it has left the handshake: it acknowledges what the client says, or says something itself. Its other segments
//! do not show it, as it asks out of the handshake as well (RFC 9293 3.10.7.4). DPVS leaves the SYN out, and stops when the
//! client has heard of the server's first byte.
//!
//! The client's largest segment has to leave room for it (RFC 6691: options are part of that), so the size that the server's
//! SYN+ACK allows is lowered. Where an option does not fit, because of others or of a narrower way, the segment goes without.
//!
//! A client's own is taken out, of every segment: who could write one would be whom it likes. The director's takes its place.

use super::{
    insert::{blank, change_checksum, insert, lay_bare, overwrite},
    mss,
};
use crate::{
    cast::small,
    conn::{
        entry::{Connection, Direction},
        second::{Progress, Second},
    },
    counters::DropReason,
    family::Family,
    packet::Packet,
    wire::{
        checksum::Change,
        get16, get32,
        headers::Headers,
        protocol, put16,
        tcp::{self, ACK, FIN, RST, SYN},
        toa::{self, KIND, Toa},
    },
};
use std::net::SocketAddr;

/// What was done to a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Bytes of the option that it has now; 0 if none was inserted.
    pub option: u8,
    /// There was no room for the option.
    pub is_left_out: bool,
    /// The client's own was taken out.
    pub is_stripped: bool,
    /// Data and the wish for a fast open are taken out of a SYN: who opens fast is served before it is known.
    pub is_bare: bool,
    /// The size of segments that a SYN+ACK allowed, which has been lowered by the option's length.
    pub mss: Option<u16>,
}

/// The option that tells a connection's server of its client.
#[must_use]
pub fn option<F: Family>(connection: &Connection<F>) -> Toa {
    toa::option(SocketAddr::new(F::ip(connection.client), connection.client_port))
}

/// Does to a segment of a connection what telling its server takes: see [`tell::apply`](super::tell::apply).
pub(super) fn apply<F: Family>(
    packet: &mut impl Packet,
    at: &mut Headers<F>,
    connection: &Connection<F>,
    second: &mut Second,
    (direction, limit): (Direction, u16),
) -> Result<Done, DropReason> {
    if F::is_later_fragment(at.fragment) || at.protocol != protocol::TCP {
        return Ok(Done::default());
    }
    match direction {
        Direction::In => from_client(packet, at, connection, second, limit),
        Direction::Out => Ok(from_server(packet, at, connection, second, limit)),
    }
}

fn from_client<F: Family>(
    packet: &mut impl Packet,
    at: &mut Headers<F>,
    connection: &Connection<F>,
    second: &Second,
    limit: u16,
) -> Result<Done, DropReason> {
    let is_over = second.progress == Progress::Taken;
    // One cannot grow, and another may have a part of the header that is not seen here.
    if F::is_fragment(at.fragment) && !is_over {
        return Err(DropReason::Fragment);
    }
    let segment = at.payload(packet.bytes());
    let Some(header_len) = tcp::header_len(segment) else { return Ok(Done::default()) };
    let flags = segment[tcp::FLAGS];
    let is_bare = flags & SYN != 0 && lay_bare(packet, at, header_len);
    let header = &mut packet.bytes_mut()[usize::from(at.l4)..][..header_len];
    let own = blank(header, |_, option| option.kind == KIND);
    let done = Done { is_bare, is_stripped: own.is_some(), ..Done::default() };
    if is_over || flags & RST != 0 {
        return Ok(done);
    }
    let option = option(connection);
    let len = small(option.len());
    if let Some(own) = own.filter(|own| own.len >= option.len()) {
        overwrite(header, own, &option);
        return Ok(Done { option: option[1], ..done });
    }
    let room = if second.way == 0 { limit } else { limit.min(second.way) };
    if header_len + option.len() > tcp::MAX_HEADER_LEN || at.ip_len + len > room {
        return Ok(Done { is_left_out: true, ..done });
    }
    // Behind what every header has, before other options: there it is in the same place of every segment.
    insert(packet, at, tcp::HEADER_LEN, &option)?;
    let segment = &mut packet.bytes_mut()[usize::from(at.l4)..];
    let old = get16(segment, tcp::DATA_OFFSET);
    // In words of four bytes, in the highest four bits.
    let new = old + ((len / 4) << 12);
    put16(segment, tcp::DATA_OFFSET, new);
    change_checksum(segment, Change::OF_NOTHING.word(old, new));
    Ok(Done { option: option[1], ..done })
}

fn from_server<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    connection: &Connection<F>,
    second: &mut Second,
    limit: u16,
) -> Done {
    let segment = at.payload(packet.bytes());
    let Some(header_len) = tcp::header_len(segment) else { return Done::default() };
    let (number, flags) = (get32(segment, tcp::ACKNOWLEDGEMENT), segment[tcp::FLAGS]);
    let speaks = segment.len() > header_len || flags & FIN != 0;
    if flags & (ACK | RST) != ACK {
        return Done::default();
    }
    if flags & SYN == 0 {
        if second.progress == Progress::Due && (speaks || second.is_beyond_base(number)) {
            second.progress = Progress::Taken;
        }
        return Done::default();
    }
    second.agreed(number);
    let len = small(option(connection).len());
    // The way may carry less than the server takes.
    let most = mss::room::<F>(limit);
    let less = |size: u16| size.min(most).checked_sub(len).filter(|&size| size > 0).unwrap_or(size);
    Done { mss: mss::change(packet.bytes_mut(), at, less), ..Done::default() }
}
