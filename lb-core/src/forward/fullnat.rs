//! FullNAT: the client's packets go to the server's address and port, and come from a local address and port of the
//! director; the server's come from the VIP's, and go to the client's. To the server the director is its client.

use crate::{
    conn::{
        aside::LocalEnd,
        entry::{Connection, Direction},
    },
    family::Family,
    wire::{
        checksum::{Change, Folded},
        headers::Headers,
        protocol::Protocol,
        put32, raw32, tcp, udp,
    },
};

/// The client's packet, on its way to the server.
#[inline(always)]
pub fn inbound<F: Family>(frame: &mut [u8], at: &Headers<F>, connection: &Connection<F>) {
    let LocalEnd { address, port, addresses } = connection.local_end();
    let ports = u32::from(port) << 16 | u32::from(connection.server_port);
    rewrite(frame, at, connection.protocol, addresses, ((address, connection.server_address), ports));
}

/// The server's packet, on its way to the client. What it acknowledges is kept, as under NAT.
#[inline(always)]
pub fn outbound<F: Family>(frame: &mut [u8], at: &Headers<F>, connection: &mut Connection<F>) {
    let number = usize::from(at.l4) + tcp::ACKNOWLEDGEMENT;
    if frame.len() >= number + 4 {
        connection.acknowledged = raw32(frame, number);
    }
    let addresses = (connection.vip, connection.client);
    // Side by side in memory, so one load and a rotation.
    let ports = (u32::from(connection.client_port) << 16 | u32::from(connection.vip_port)).rotate_left(16);
    rewrite(frame, at, connection.protocol, connection.local_end().addresses.undone(), (addresses, ports));
}

/// A fragment that is not the first of its datagram: it has no ports, and no checksum of them.
pub fn later<F: Family>(frame: &mut [u8], at: &Headers<F>, connection: &Connection<F>, direction: Direction) {
    let LocalEnd { address, addresses, .. } = connection.local_end();
    let (source, destination, addresses) = match direction {
        Direction::In => (address, connection.server_address, addresses),
        Direction::Out => (connection.vip, connection.client, addresses.undone()),
    };
    let ip = &mut frame[usize::from(at.l3)..];
    F::put(ip, F::SOURCE, source);
    F::put(ip, F::DESTINATION, destination);
    F::forward_readdressed(ip, addresses);
}

/// Gives a packet both addresses, and takes one off its time to live. Returns what the addresses do to checksums that cover
/// them.
pub(super) fn exchange_addresses<F: Family>(
    ip: &mut [u8],
    (source, destination): (F::Address, F::Address),
) -> Change {
    let change = F::changed(Change::OF_NOTHING, F::get(ip, F::SOURCE), source);
    let change = F::changed(change, F::get(ip, F::DESTINATION), destination);
    F::put(ip, F::SOURCE, source);
    F::put(ip, F::DESTINATION, destination);
    F::update(ip, change);
    F::decrement_ttl(ip);
    change
}

/// Replaces both addresses and both ports (which TCP and UDP have in the same places), takes one off the time to live, and
/// updates both checksums. What the addresses do to them was computed when the connection began.
#[inline(always)]
fn rewrite<F: Family>(
    frame: &mut [u8],
    at: &Headers<F>,
    protocol: Protocol,
    addresses: Folded,
    ((source, destination), ports): ((F::Address, F::Address), u32),
) {
    let Some((ip, l4)) = frame[usize::from(at.l3)..].split_at_mut_checked(usize::from(at.l4 - at.l3)) else {
        return;
    };
    F::put(ip, F::SOURCE, source);
    F::put(ip, F::DESTINATION, destination);
    F::forward_readdressed(ip, addresses);
    let old = raw32(l4, tcp::SOURCE_PORT);
    put32(l4, tcp::SOURCE_PORT, ports);
    let ports = Folded::of_words(old, raw32(l4, tcp::SOURCE_PORT));
    match protocol {
        Protocol::Tcp => {
            if let Some(checksum) = l4.get_mut(tcp::CHECKSUM..).and_then(|rest| rest.first_chunk_mut()) {
                addresses.apply(checksum);
                ports.apply(checksum);
            }
        }
        // What is of SCTP or ICMP has been dealt with before: see `apply`.
        Protocol::Udp | Protocol::Sctp | Protocol::Icmp => {
            if let Some(checksum) = l4.get_mut(udp::CHECKSUM..).and_then(|rest| rest.first_chunk_mut()) {
                addresses.and(ports).apply_udp(checksum);
            }
        }
    }
}
