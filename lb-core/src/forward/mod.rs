//! What happens to the bytes of a packet: one method, one file.
//!
//! Everything here works on one frame whose headers have been read and checked; who gets the frame is decided
//! elsewhere.

pub mod call;
pub mod cut;
mod datagram;
pub mod dr;
pub mod edit;
pub mod fullnat;
pub(crate) mod insert;
pub mod l3dsr;
pub mod mss;
pub mod nat;
pub mod outer;
pub mod proxy;
pub mod quote;
pub mod reject;
pub mod sctp;
pub mod shim;
pub mod snat;
pub mod tell;
pub mod toa;
pub mod translate;
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
    wire::{headers::Headers, ipv6, protocol},
};
use outer::{Outer, Shape};
use shim::Spread;

/// Does to a packet of a connection what the connection's method says. `outer` is what packets to its server are wrapped
/// in or marked with, and `last_id` identified the last of those that may be fragmented.
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
    if F::is_embedded(at.source) {
        ipv6::unmark_fragmentable(&mut frame[usize::from(at.l3)..]);
    }
    if F::is_later_fragment(at.fragment) || protocol::is_portless(at.protocol) {
        return match readdress(frame, at, connection, direction, outer) {
            true => Ok(()),
            false => tun::fragment(packet, at, (outer, Spread::of_connection(connection)), last_id),
        };
    }
    if at.protocol == protocol::SCTP && connection.method.rewrites_endpoints() {
        return sctp::rewrite(frame, at, connection, direction);
    }
    if at.protocol == F::ICMP {
        return snat::echo(frame, at, connection, direction);
    }
    match rewrite::<true, F>(frame, at, connection, direction) {
        true => Ok(()),
        false => outfit(packet, at, outer, last_id),
    }
}

/// The same of TUN and L3DSR, which do to a packet what its server says, whichever connection it is of.
#[inline(always)]
pub fn outfit<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    outer: &Outer,
    last_id: &mut u16,
) -> Result<(), DropReason> {
    // Numbers only: a reference that leaves here would have the headers written to memory for every packet of any method.
    match outer.shape {
        Shape::PlainIpv4 => tun::in_ipv4(packet, at, outer, last_id),
        Shape::PlainIpv6 => tun::in_ipv6::<F>(packet, (at.l3, at.ip_len), outer),
        Shape::OtherIpv4 | Shape::OtherIpv6 => tun::in_another::<F>(packet, at.l3, (outer, None), last_id),
        Shape::Marked => {
            l3dsr::inbound::<F>(packet.bytes_mut(), (at.l3, at.l4, at.protocol), outer);
            Ok(())
        }
    }
}

/// The same of the other methods, where the packet's connection says it; `false`, and no change, of these. `frame` may be
/// the headers alone, and is not of SCTP where ports change, whose checksum covers all of a packet. `LOCAL` says whether the
/// connection may be one under FullNAT or SNAT.
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
        (Method::Snat, Direction::In) if LOCAL => snat::outward(frame, at, connection),
        (Method::Snat, Direction::Out) if LOCAL => snat::homeward(frame, at, connection),
        (Method::Dr, _) => dr::inbound(frame, at),
        // The last two are none that there may be.
        (Method::Tun | Method::L3Dsr | Method::FullNat | Method::Snat, _) => return false,
    }
    true
}

/// The same for what has no ports: a fragment that is not the first of its datagram, whose checksum is in that one as well,
/// and a packet of IPsec or of a call.
#[cold]
fn readdress<F: Family>(
    frame: &mut [u8],
    at: &Headers<F>,
    connection: &Connection<F>,
    direction: Direction,
    outer: &Outer,
) -> bool {
    match (connection.method, direction) {
        (Method::Nat, _) => nat::later(frame, at, connection, direction),
        (Method::FullNat, _) => fullnat::later(frame, at, connection, direction),
        (Method::Snat, _) => snat::later(frame, at, connection, direction),
        (Method::Dr, _) => dr::inbound(frame, at),
        (Method::L3Dsr, _) => l3dsr::readdress(frame, at, outer),
        (Method::Tun, _) => return false,
    }
    true
}

/// Does to a packet for the VIP that is of no connection, or changes none, what `method` says: it gets to the server, and
/// is one for the VIP there.
pub fn steer<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    method: Method,
    outer: &Outer,
    last_id: &mut u16,
) -> Result<(), DropReason> {
    match method {
        Method::Tun => return outfit(packet, at, outer, last_id),
        Method::Dr => dr::inbound(packet.bytes_mut(), at),
        Method::L3Dsr => l3dsr::readdress(packet.bytes_mut(), at, outer),
        // Nobody under NAT takes packets for the VIP.
        Method::Nat | Method::FullNat | Method::Snat => {}
    }
    Ok(())
}
