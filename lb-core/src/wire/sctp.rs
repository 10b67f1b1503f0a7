//! The SCTP packet: a header and chunks, RFC 9260 3.

use super::{crc32c, get16, get32, put16, put32, tcp};
use crate::cast::small;

/// Bytes of the header in front of the chunks. Ports are where TCP and UDP have them.
pub const HEADER_LEN: usize = 12;
/// Where the verification tag is: what the receiver has told the sender at the beginning.
pub const TAG: usize = 4;
/// Where the checksum is; its lowest byte comes first.
pub const CHECKSUM: usize = 8;
/// Bytes of the header of a chunk: type, flags, length.
pub const CHUNK_LEN: usize = 4;
/// Where an INIT or INIT ACK, alone in its packet as it must be, says which tag its sender expects.
pub const INITIATE_TAG: usize = HEADER_LEN + CHUNK_LEN;
/// Bytes of an INIT without parameters.
const INIT_LEN: usize = 20;
/// Chunks that are looked at, at most: what means something to the state of an association is in front.
const MOST_CHUNKS: usize = 4;

/// Types of chunks.
pub mod chunk {
    /// User data.
    pub const DATA: u8 = 0;
    /// Asks for an association.
    pub const INIT: u8 = 1;
    /// Answers that, with a cookie.
    pub const INIT_ACK: u8 = 2;
    /// Acknowledges data.
    pub const SACK: u8 = 3;
    /// Asks whether an address can be reached.
    pub const HEARTBEAT: u8 = 4;
    /// Answers that.
    pub const HEARTBEAT_ACK: u8 = 5;
    /// Ends the association at once.
    pub const ABORT: u8 = 6;
    /// The sender has no more data.
    pub const SHUTDOWN: u8 = 7;
    /// Nor has the other side.
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Something was wrong with what came.
    pub const ERROR: u8 = 9;
    /// Gives the cookie back.
    pub const COOKIE_ECHO: u8 = 10;
    /// Agrees to the association.
    pub const COOKIE_ACK: u8 = 11;
    /// Reports congestion, RFC 9260 appendix A.
    pub const ECNE: u8 = 12;
    /// Answers that.
    pub const CWR: u8 = 13;
    /// The association is over.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// The flag of an ABORT or SHUTDOWN COMPLETE whose sender has no association and so reflects the tag: bit T.
const REFLECTED: u8 = 1;

/// What a packet is about: the type of one of its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk(pub u8);

impl Chunk {
    /// That of a packet of another protocol. No type that there is.
    pub const NONE: Chunk = Chunk(u8::MAX);

    /// The chunk of a packet that means most to the state of its association. `None` for a packet that no receiver
    /// takes: its header or its first chunk is not whole, or an INIT has a tag or is not alone. `is_cut` says that more of it
    /// is in later fragments.
    #[must_use]
    pub fn of(packet: &[u8], is_cut: bool) -> Option<Chunk> {
        let (first, len) = read_chunk(packet, HEADER_LEN)?;
        if HEADER_LEN + len > packet.len() && !is_cut {
            return None;
        }
        if matches!(first, Chunk(chunk::INIT | chunk::INIT_ACK)) {
            let is_alone = HEADER_LEN + padded(len) >= packet.len() && len >= INIT_LEN;
            let has_tag = get32(packet, TAG) != 0;
            let is_right = is_alone && has_tag == (first == Chunk(chunk::INIT_ACK));
            return (is_right && packet.len() >= HEADER_LEN + INIT_LEN).then_some(first);
        }
        let mut most = first;
        let mut at = HEADER_LEN + padded(len);
        for _ in 1..MOST_CHUNKS {
            let Some((next, len)) = read_chunk(packet, at) else { break };
            if matches!(next, Chunk(chunk::INIT | chunk::INIT_ACK)) {
                return None;
            }
            // What else a packet says was said before its sender gave up: 3.3.7 has an ABORT behind other chunks.
            if next == Chunk(chunk::ABORT) || most.is_traffic() && !next.is_traffic() {
                most = next;
            }
            at += padded(len);
        }
        Some(most)
    }

    /// Whether it asks for an association.
    #[inline]
    #[must_use]
    pub const fn begins(self) -> bool {
        self.0 == chunk::INIT
    }

    /// Whether it is of an association that is established, and leaves it so: data, acknowledgements, heartbeats, and
    /// what nobody here knows.
    #[must_use]
    pub const fn is_traffic(self) -> bool {
        use chunk::{CWR, DATA, ECNE, HEARTBEAT, HEARTBEAT_ACK, SACK};
        matches!(self.0, DATA | SACK | HEARTBEAT | HEARTBEAT_ACK | ECNE | CWR)
            || self.0 > chunk::SHUTDOWN_COMPLETE
    }

    /// Whether a packet about it that is of no association is answered, RFC 9260 8.4.
    ///
    /// A heartbeat is not. Who has several addresses asks with it whether another way leads here as well, and an abort would
    /// end the association that it has by the first.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        use chunk::{ABORT, COOKIE_ACK, ERROR, HEARTBEAT, HEARTBEAT_ACK, SHUTDOWN_COMPLETE};
        !matches!(self.0, ABORT | SHUTDOWN_COMPLETE | COOKIE_ACK | ERROR | HEARTBEAT | HEARTBEAT_ACK)
    }

    /// Its name in RFC 9260; nothing for a type that has none there.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            chunk::DATA => "DATA",
            chunk::INIT => "INIT",
            chunk::INIT_ACK => "INIT ACK",
            chunk::SACK => "SACK",
            chunk::HEARTBEAT => "HEARTBEAT",
            chunk::HEARTBEAT_ACK => "HEARTBEAT ACK",
            chunk::ABORT => "ABORT",
            chunk::SHUTDOWN => "SHUTDOWN",
            chunk::SHUTDOWN_ACK => "SHUTDOWN ACK",
            chunk::ERROR => "ERROR",
            chunk::COOKIE_ECHO => "COOKIE ECHO",
            chunk::COOKIE_ACK => "COOKIE ACK",
            chunk::ECNE => "ECNE",
            chunk::CWR => "CWR",
            chunk::SHUTDOWN_COMPLETE => "SHUTDOWN COMPLETE",
            _ => return None,
        })
    }
}

/// The type and length of a chunk.
fn read_chunk(packet: &[u8], at: usize) -> Option<(Chunk, usize)> {
    let header = packet.get(at..)?.first_chunk::<CHUNK_LEN>()?;
    let len = usize::from(get16(header, 2));
    (len >= CHUNK_LEN).then_some((Chunk(header[0]), len))
}

const fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// The verification tag of a packet with a whole header.
#[must_use]
pub fn tag(packet: &[u8]) -> Option<u32> {
    packet.get(..HEADER_LEN).map(|header| get32(header, TAG))
}

/// The checksum in a packet's header.
fn checksum(packet: &[u8]) -> Option<u32> {
    packet.get(CHECKSUM..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn put_checksum(packet: &mut [u8], checksum: u32) {
    packet[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Whether the checksum of a packet is right; or zero, where two that have agreed on that may leave it out (RFC 9653 5.2):
/// not in what opens an association.
#[must_use]
pub fn checksum_is_right(packet: &[u8]) -> bool {
    let Some(stored) = checksum(packet) else { return false };
    let opens = || matches!(packet.get(HEADER_LEN), Some(&(chunk::INIT | chunk::COOKIE_ECHO)));
    stored == computed(packet) || stored == 0 && !opens()
}

/// Computes the checksum of a packet with a whole header, and writes it there.
pub fn set_checksum(packet: &mut [u8]) {
    let checksum = computed(packet);
    put_checksum(packet, checksum);
}

fn computed(packet: &[u8]) -> u32 {
    let before = crc32c::read(!0, &packet[..CHECKSUM]);
    !crc32c::read(crc32c::read_zeros(before, 4), &packet[CHECKSUM + 4..])
}

/// Replaces the ports of a packet of `len` bytes, of which the first are there, its checksum among them or not. A checksum
/// of zero stays: see [`checksum_is_right`].
pub fn change_ports(packet: &mut [u8], (source, destination): (u16, u16), len: usize) {
    let Some(old) = packet.first_chunk::<4>().copied() else { return };
    put16(packet, tcp::SOURCE_PORT, source);
    put16(packet, tcp::DESTINATION_PORT, destination);
    let new = [packet[0], packet[1], packet[2], packet[3]];
    if let Some(stored) = checksum(packet).filter(|stored| *stored != 0 && new != old) {
        put_checksum(packet, stored ^ crc32c::change_of_first(old, new, small(len)));
    }
}

/// Bytes of a packet with one chunk that has no value.
pub const ANSWER_LEN: usize = HEADER_LEN + CHUNK_LEN;

/// The tag, type and flags of the chunk that answers a packet which is of no association, RFC 9260 8.4 and 5.1; `None`
/// where it must not be answered.
#[must_use]
pub fn answer_to(packet: &[u8]) -> Option<(u32, Chunk, u8)> {
    use chunk::{ABORT, INIT, SHUTDOWN_ACK, SHUTDOWN_COMPLETE};
    match Chunk::of(packet, true)? {
        chunk if !chunk.is_answered() => None,
        Chunk(INIT) => packet.get(INITIATE_TAG..INITIATE_TAG + 4).map(|tag| (get32(tag, 0), Chunk(ABORT), 0)),
        Chunk(SHUTDOWN_ACK) => Some((tag(packet)?, Chunk(SHUTDOWN_COMPLETE), REFLECTED)),
        _ => Some((tag(packet)?, Chunk(ABORT), REFLECTED)),
    }
}

/// Writes a packet with one chunk that has no value, and without its checksum, to the first [`ANSWER_LEN`] bytes.
pub fn write_unsummed(
    bytes: &mut [u8],
    (source, destination): (u16, u16),
    (tag, chunk, flags): (u32, Chunk, u8),
) {
    bytes[..ANSWER_LEN].fill(0);
    put16(bytes, tcp::SOURCE_PORT, source);
    put16(bytes, tcp::DESTINATION_PORT, destination);
    put32(bytes, TAG, tag);
    (bytes[HEADER_LEN], bytes[HEADER_LEN + 1]) = (chunk.0, flags);
    put16(bytes, HEADER_LEN + 2, small(CHUNK_LEN));
}

/// The same with its checksum.
pub fn write_bare(bytes: &mut [u8], ports: (u16, u16), says: (u32, Chunk, u8)) {
    write_unsummed(bytes, ports, says);
    set_checksum(&mut bytes[..ANSWER_LEN]);
}

/// Bytes of a packet with an INIT that has no parameters.
pub const BARE_INIT_LEN: usize = HEADER_LEN + INIT_LEN;

/// Writes a packet that asks for an association with one stream each way to the first [`BARE_INIT_LEN`] bytes.
pub fn write_init(bytes: &mut [u8], ports: (u16, u16)) {
    bytes[..BARE_INIT_LEN].fill(0);
    write_unsummed(bytes, ports, (0, Chunk(chunk::INIT), 0));
    put16(bytes, HEADER_LEN + 2, small(INIT_LEN));
    put32(bytes, INITIATE_TAG, 1);
    // Receiver's window, streams out and in, the first number.
    put32(bytes, INITIATE_TAG + 4, 0xffff);
    put32(bytes, INITIATE_TAG + 8, 0x0001_0001);
    put32(bytes, INITIATE_TAG + 12, 1);
    set_checksum(&mut bytes[..BARE_INIT_LEN]);
}
