//! What telling a server of its client does to the packets of a connection, in whichever way it is told.
//!
//! It is done to a packet as it arrived; what the connection's method does comes behind.

use super::{
    insert::change_checksum,
    proxy,
    toa::{self, Done},
};
use crate::{
    conn::{
        client_address::ClientAddress,
        entry::{Connection, Direction},
        second::{Progress, Second},
    },
    counters::DropReason,
    family::Family,
    packet::Packet,
    wire::{checksum::Change, get32, headers::Headers, protocol, put32, tcp},
};

/// What was done to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What a header in front of the client's bytes takes.
    Header(proxy::Effect),
    /// What an option takes.
    Option(Done),
}

/// Does to a packet of a connection what telling its server takes. `at` says where its headers are, before and after.
/// `limit` are the bytes of the largest packet that may go on.
pub fn apply<F: Family>(
    packet: &mut impl Packet,
    at: &mut Headers<F>,
    connection: &Connection<F>,
    second: &mut Second,
    way: (Direction, u16),
) -> Result<Effect, DropReason> {
    match second.told {
        ClientAddress::Packets => Ok(Effect::Header(proxy::Effect::Nothing)),
        ClientAddress::ProxyV1 | ClientAddress::ProxyV2 => {
            proxy::apply(packet, at, connection, second, way).map(Effect::Header)
        }
        ClientAddress::Toa => toa::apply(packet, at, connection, second, way).map(Effect::Option),
    }
}

/// The numbers of a segment that neither begins with the header nor is about it, on the plain way: the server has taken the
/// header, and no option has numbers. `false`, and no change, for any other.
#[inline(never)]
#[must_use]
pub fn shift<F: Family>(frame: &mut [u8], at: &Headers<F>, second: &Second, direction: Direction) -> bool {
    let Some(segment) = frame.get_mut(usize::from(at.l4)..at.end()) else { return false };
    let Some(header_len) = tcp::header_len(segment) else { return false };
    let has_stamps_only = header_len == tcp::HEADER_LEN
        || header_len == STAMPED_LEN && segment[tcp::HEADER_LEN..][..STAMPS.len()] == STAMPS;
    if second.progress != Progress::Taken || at.protocol != protocol::TCP || !has_stamps_only {
        return false;
    }
    let place = match direction {
        Direction::In => tcp::SEQUENCE,
        Direction::Out => tcp::ACKNOWLEDGEMENT,
    };
    let old = get32(segment, place);
    let new = match direction {
        Direction::In => second.to_server(old),
        Direction::Out => second.to_client(old),
    };
    put32(segment, place, new);
    change_checksum(segment, Change::OF_NOTHING.long(old, new));
    true
}

/// A header with time stamps as everybody writes them, and no other option: RFC 7323 A.
const STAMPED_LEN: usize = 32;
const STAMPS: [u8; 4] = [1, 1, 8, 10];
