//! What happens to the bytes of a packet: one method, one file.
//!
//! Everything here works on one frame whose headers have been read and checked; who gets the frame is decided
//! elsewhere.

pub mod cut;
pub mod dr;
pub mod fullnat;
pub mod mss;
pub mod nat;
pub mod outer;
pub mod proxy;
pub mod quote;
pub mod reject;
pub mod shim;
pub mod tun;
pub mod wrapped;

use crate::{
    conn::{
        entry::{Connection, Direction},
        method::Method,
    },
    counters::DropReason,
    family::Family,
    packet::Packet,
    wire::headers::Headers,
};
use outer::Outer;
use shim::Spread;

/// Does to a packet of a connection what the connection's method says. `outer` is what packets to its server are wrapped
/// in, and `last_id` identified the last of those that may be fragmented.
#[inline(always)]
pub fn apply<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    connection: &mut Connection<F>,
    direction: Direction,
    outer: &Outer,
    last_id: &mut u16,
) -> Result<(), DropReason> {
    let frame = packet.bytes_mut();
    if F::is_later_fragment(at.fragment) {
        return match readdress(frame, at, connection, direction) {
            true => Ok(()),
            false => tun::fragment(packet, at, (outer, Spread::of_connection(connection)), last_id),
        };
    }
    match rewrite::<true, F>(frame, at, connection, direction) {
        true => Ok(()),
        false => tun::inbound(packet, at, outer, last_id),
    }
}

/// The same where the packet stays as long as it is; `false`, and no change, where it gets another header in front.
/// `frame` may be the headers alone. `LOCAL` says whether the connection may be one under FullNAT.
#[inline(always)]
pub fn rewrite<const LOCAL: bool, F: Family>(
    frame: &mut [u8],
    at: &Headers<F>,
    connection: &mut Connection<F>,
    direction: Direction,
) -> bool {
    match (connection.method, direction) {
        (Method::Nat, Direction::In) => nat::inbound(frame, at, connection),
        (Method::Nat, Direction::Out) => nat::outbound(frame, at, connection),
        (Method::FullNat, Direction::In) if LOCAL => fullnat::inbound(frame, at, connection),
        (Method::FullNat, Direction::Out) if LOCAL => fullnat::outbound(frame, at, connection),
        (Method::Dr, _) => dr::inbound(frame, at),
        // The second is none that there may be.
        (Method::Tun | Method::FullNat, _) => return false,
    }
    true
}

/// The same for a fragment that is not the first of its datagram: ports and checksum are in that one.
#[cold]
fn readdress<F: Family>(
    frame: &mut [u8],
    at: &Headers<F>,
    connection: &Connection<F>,
    direction: Direction,
) -> bool {
    match (connection.method, direction) {
        (Method::Nat, _) => nat::later(frame, at, connection, direction),
        (Method::FullNat, _) => fullnat::later(frame, at, connection, direction),
        (Method::Dr, _) => dr::inbound(frame, at),
        (Method::Tun, _) => return false,
    }
    true
}

/// Does to a packet for the VIP that has no connection what `method` says: it gets to the server, and stays one for the
/// VIP.
pub fn steer<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    method: Method,
    outer: &Outer,
    last_id: &mut u16,
) -> Result<(), DropReason> {
    match method {
        Method::Tun => return tun::inbound(packet, at, outer, last_id),
        Method::Dr => dr::inbound(packet.bytes_mut(), at),
        // Nobody under NAT takes packets for the VIP.
        Method::Nat | Method::FullNat => {}
    }
    Ok(())
}
