//! A segment of a connection that a [module](crate::module) reads: it is read, some of its text may give way to other text,
//! and its numbers become those of the other side. A datagram has no numbers: see [`datagram`].
//!
//! Here it is done to a packet as it arrived; what the connection's method does comes behind. The checksum is summed anew:
//! that it was right has been seen before the text was read.

use super::{
    call, datagram,
    insert::{lay_bare, set_length},
};
use crate::{
    cast::{count32, small},
    conn::{entry::Direction, state::State},
    counters::DropReason,
    family::Family,
    module::{
        edits::Edits,
        of_kind,
        reader::{Host, Module},
        talk::Talk,
    },
    packet::{Checksum, Packet},
    wire::{
        get32,
        headers::Headers,
        options::{SACK, TcpOption, options},
        protocol, put16, put32,
        tcp::{self, ACK, FIN, SYN},
    },
};

/// Bytes by which texts of one segment may grow together: room that there is in front of every packet.
const MOST_GROWTH: usize = datagram::MOST_IN_FRONT;

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is as it was: the connection's ends are the same on both sides.
    Nothing,
    /// It is as it was, but for numbers.
    Numbers,
    /// So many bytes of its text gave way to so many others.
    Text(usize, usize),
    /// Data and the wish for a fast open are taken out of a SYN.
    Bare,
    /// It is a packet of a call, whose number gave way to that one.
    Call(u16, u16),
    /// The same, and of the text only the beginning goes on, of which there are so many bytes. The sender sends the rest
    /// again.
    Cut(usize),
}

/// Reads a segment and does to it what that takes. `at` says where its headers are, before and after. `state` is the
/// connection's, with this segment, and `room` are the bytes of the largest packet that may go on.
///
/// # Errors
/// Why it cannot go on. Its sender sends it again.
pub fn apply<F: Family>(
    packet: &mut impl Packet,
    at: &mut Headers<F>,
    talk: &mut Talk,
    (direction, state, room): (Direction, State, u16),
    host: &mut dyn Host,
) -> Result<Effect, DropReason> {
    let Some(module) = of_kind(talk.kind) else { return Ok(Effect::Numbers) };
    match at.protocol {
        protocol::TCP => {}
        protocol::UDP => {
            let replaced = datagram::apply(packet, at, direction, (module, host))?;
            return Ok(replaced.map_or(Effect::Nothing, |(old, new)| Effect::Text(old, new)));
        }
        protocol::GRE if host.rewrites() => {
            let renumbered = call::renumber(packet.bytes_mut(), at, talk.calls(), direction)?;
            return Ok(renumbered.map_or(Effect::Nothing, |(old, new)| Effect::Call(old, new)));
        }
        // What goes with a connection.
        _ => return Ok(Effect::Nothing),
    }
    if !host.rewrites() {
        look(packet, at, talk, (direction, state), (module, host));
        return Ok(Effect::Nothing);
    }
    // Nobody can tell whether the text is right before all of it has come.
    if F::is_fragment(at.fragment) {
        return Err(DropReason::Fragment);
    }
    let segment = at.payload(packet.bytes());
    let Some(header_len) = tcp::header_len(segment) else { return Ok(Effect::Numbers) };
    let is_right = || tcp::checksum_is_right::<F>(at.source, at.destination, segment);
    if packet.l4_checksum() != Checksum::Good && !is_right() {
        return Err(DropReason::BadL4Checksum);
    }
    let (flags, number) = (segment[tcp::FLAGS], get32(segment, tcp::SEQUENCE));
    let begins = flags & SYN != 0;
    let start = number.wrapping_add(u32::from(begins));
    if begins && state.is_half_open() {
        talk.begins(direction, start);
    }
    let payload = &segment[header_len..];
    let reader = (module, host);
    let passes = talk.read(reader, direction, start, payload).map_err(|_| DropReason::OutOfOrder)?;
    let headers_len = usize::from(at.ip_len) - payload.len();
    let rewritten =
        rewritten(talk, direction, (start, passes), usize::from(room).saturating_sub(headers_len));
    let is_cut = rewritten.passes < payload.len();
    let effect = match rewritten.edits.bytes() {
        _ if is_cut => Effect::Cut(rewritten.passes),
        (0, 0) => Effect::Numbers,
        (old, new) => Effect::Text(old, new),
    };
    put(packet, at, header_len, &rewritten)?;

    let header = &mut packet.bytes_mut()[usize::from(at.l4)..at.end()];
    put32(header, tcp::SEQUENCE, rewritten.number.wrapping_sub(u32::from(begins)));
    if is_cut {
        header[tcp::FLAGS] &= !FIN;
    }
    if flags & ACK != 0 {
        acknowledge(&mut header[..header_len], talk, direction.reversed());
    }
    put16(header, tcp::CHECKSUM, 0);
    let sum = F::pseudo(at.source, at.destination, protocol::TCP, small(header.len())).bytes(header);
    put16(header, tcp::CHECKSUM, sum.finish());
    Ok(effect)
}

/// Does to a segment what it takes that it is not read. A SYN brings no bytes, which nobody would remember: its client sends
/// them again when the server has agreed.
///
/// # Errors
/// Why it cannot go on: nobody can tell what comes in fragments.
pub fn pass_unread<F: Family>(
    packet: &mut impl Packet,
    at: &mut Headers<F>,
    (direction, rewrites): (Direction, bool),
) -> Result<Effect, DropReason> {
    if !rewrites || at.protocol != protocol::TCP {
        return Ok(Effect::Nothing);
    }
    if F::is_fragment(at.fragment) {
        return Err(DropReason::Fragment);
    }
    let segment = at.payload(packet.bytes());
    match tcp::header_len(segment) {
        Some(header_len) if direction == Direction::In && segment[tcp::FLAGS] & SYN != 0 => {
            let is_changed = lay_bare(packet, at, header_len);
            Ok(if is_changed { Effect::Bare } else { Effect::Nothing })
        }
        _ => Ok(Effect::Nothing),
    }
}

/// Reads a segment that nothing is done to, and that passes whatever it is: where addresses are the same on both sides. What
/// is cut into fragments or damaged is not read.
fn look<F: Family>(
    packet: &impl Packet,
    at: &Headers<F>,
    talk: &mut Talk,
    (direction, state): (Direction, State),
    reader: (&dyn Module, &mut dyn Host),
) {
    let segment = at.payload(packet.bytes());
    let is_right = || tcp::checksum_is_right::<F>(at.source, at.destination, segment);
    if F::is_fragment(at.fragment) || packet.l4_checksum() != Checksum::Good && !is_right() {
        return;
    }
    let Some(header_len) = tcp::header_len(segment) else { return };
    let begins = segment[tcp::FLAGS] & SYN != 0;
    let start = get32(segment, tcp::SEQUENCE).wrapping_add(u32::from(begins));
    if begins && state.is_half_open() {
        talk.begins(direction, start);
    }
    // What is ahead of something else begins a line as far as anybody can tell.
    let _ = talk.read(reader, direction, start, &segment[header_len..]);
}

/// Acknowledgements become numbers of the other direction's sender.
fn acknowledge(header: &mut [u8], talk: &mut Talk, direction: Direction) {
    let blocks = options(header).find(|option| option.kind == SACK);
    if let Some(TcpOption { at, len, .. }) = blocks {
        let edges = header[at + 2..at + len].chunks_exact_mut(4);
        edges.for_each(|edge| put32(edge, 0, talk.shift(direction).back(get32(edge, 0))));
    }
    let number = talk.acknowledged(direction, get32(header, tcp::ACKNOWLEDGEMENT));
    put32(header, tcp::ACKNOWLEDGEMENT, number);
}

/// What becomes of a payload.
struct Rewritten {
    /// The receiver's number of its first byte.
    number: u32,
    /// What is replaced in it.
    edits: Edits,
    /// Bytes of the old payload that go on, or give way.
    passes: usize,
}

/// What becomes of a payload that begins at that number and of which so many bytes may pass, if there is `room`.
fn rewritten(talk: &Talk, direction: Direction, (start, most): (u32, usize), room: usize) -> Rewritten {
    let shift = talk.shift(direction);
    let edits_of = |passes: usize| shift.edits(start, start.wrapping_add(count32(passes)));
    let len_of = |passes: usize, edits: &Edits| {
        let (old, new) = edits.bytes();
        passes + new - old
    };
    let all = edits_of(most);
    // What did not fit before is cut into fragments as it would have been without this.
    let (limit, mut passes) = (room.max(most), most);
    loop {
        let edits = edits_of(passes);
        if edits.most_growth() > MOST_GROWTH {
            passes = edits.iter().last().map_or(0, |edit| edit.at);
            continue;
        }
        let excess = len_of(passes, &edits).saturating_sub(limit);
        if passes == 0 || excess == 0 {
            break;
        }
        let fits = passes.saturating_sub(excess);
        // A text goes on whole, or not at all.
        passes = all.at_cut(fits).map_or(fits, |edit| edit.at);
    }
    if passes == 0 {
        passes = most;
    }
    let edits = edits_of(passes);
    let number = match passes {
        0 => shift.end(start),
        // All of it gives way to what was sent before. A segment that is not new is answered by what has come (RFC 9293
        // 3.10.7.4), which the sender waits for.
        _ if len_of(passes, &edits) == 0 => shift.start(start).wrapping_sub(1),
        _ => shift.start(start),
    };
    Rewritten { number, edits, passes }
}

/// Gives a segment its new payload. Ethernet's padding goes.
fn put<F: Family>(
    packet: &mut impl Packet,
    at: &mut Headers<F>,
    header_len: usize,
    rewritten: &Rewritten,
) -> Result<(), DropReason> {
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let data_at = l4 + header_len;
    packet.set_len(data_at + rewritten.passes);
    datagram::splice(packet, data_at, &rewritten.edits)?;
    let ip_len = small(packet.bytes().len() - l3);
    set_length::<F>(&mut packet.bytes_mut()[l3..l4], ip_len.wrapping_sub(at.ip_len));
    at.ip_len = ip_len;
    Ok(())
}
