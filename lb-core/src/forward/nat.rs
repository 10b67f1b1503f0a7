//! NAT: the client's packets go to the server's address and port, the server's come from the VIP's.

use crate::{
    conn::{
        aside::Rewrite,
        entry::{Connection, Direction},
    },
    family::Family,
    wire::{headers::Headers, protocol::Protocol, put16, raw32, tcp, udp},
};

/// The client's packet, on its way to the server.
#[inline(always)]
pub fn inbound<F: Family>(frame: &mut [u8], at: &Headers<F>, connection: &Connection<F>) {
    let change = connection.rewrite(Direction::In);
    let (address, port) = (connection.server_address, connection.server_port);
    rewrite(frame, at, connection.protocol, change, (F::DESTINATION, address), (tcp::DESTINATION_PORT, port));
}

/// The server's packet, on its way to the client. What it acknowledges is kept, to know what may close the connection; a
/// datagram has something else there, which nobody asks for.
#[inline(always)]
pub fn outbound<F: Family>(frame: &mut [u8], at: &Headers<F>, connection: &mut Connection<F>) {
    let number = usize::from(at.l4) + tcp::ACKNOWLEDGEMENT;
    if frame.len() >= number + 4 {
        connection.acknowledged = raw32(frame, number);
    }
    let change = connection.rewrite(Direction::Out);
    let (address, port) = (connection.vip, connection.vip_port);
    rewrite(frame, at, connection.protocol, change, (F::SOURCE, address), (tcp::SOURCE_PORT, port));
}

/// A fragment that is not the first of its datagram: it has no ports, and no checksum of them.
pub fn later<F: Family>(frame: &mut [u8], at: &Headers<F>, connection: &Connection<F>, direction: Direction) {
    let (place, address) = match direction {
        Direction::In => (F::DESTINATION, connection.server_address),
        Direction::Out => (F::SOURCE, connection.vip),
    };
    let ip = &mut frame[usize::from(at.l3)..];
    F::put(ip, place, address);
    F::forward(ip, connection.rewrite(direction).header);
}

/// Replaces one address and one port (which TCP and UDP have in the same places), takes one off the time to live,
/// and updates both checksums. What that does to them was computed when the connection began.
#[inline(always)]
pub(super) fn rewrite<F: Family>(
    frame: &mut [u8],
    at: &Headers<F>,
    protocol: Protocol,
    change: Rewrite,
    address: (usize, F::Address),
    port: (usize, u16),
) {
    let Some((ip, l4)) = frame[usize::from(at.l3)..].split_at_mut_checked(usize::from(at.l4 - at.l3)) else {
        return;
    };
    F::put(ip, address.0, address.1);
    F::forward(ip, change.header);
    put16(l4, port.0, port.1);
    match protocol {
        Protocol::Tcp => {
            if let Some(checksum) = l4.get_mut(tcp::CHECKSUM..).and_then(|rest| rest.first_chunk_mut()) {
                change.segment.apply(checksum);
            }
        }
        // What is of SCTP or ICMP has been dealt with before: see `apply`.
        Protocol::Udp | Protocol::Sctp | Protocol::Icmp => {
            if let Some(checksum) = l4.get_mut(udp::CHECKSUM..).and_then(|rest| rest.first_chunk_mut()) {
                change.segment.apply_udp(checksum);
            }
        }
    }
}
