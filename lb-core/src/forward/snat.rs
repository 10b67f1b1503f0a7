//! SNAT: what a server behind the director sends by itself leaves with a local address and port of the director's, and what
//! comes back goes to the server. To whoever it asks the director is who asks.

use super::{fullnat::exchange_addresses, nat};
use crate::{
    conn::{
        aside::{OutwardEnd, Rewrite},
        entry::{Connection, Direction, Ends},
    },
    counters::DropReason,
    family::Family,
    wire::{checksum::Change, get16, headers::Headers, icmp, put16, raw32, tcp},
};

/// A packet from behind, on its way outward. What it acknowledges is kept: what comes back may be forged, and closes the
/// connection only if it fits.
#[inline(always)]
pub fn outward<F: Family>(frame: &mut [u8], at: &Headers<F>, connection: &mut Connection<F>) {
    let number = usize::from(at.l4) + tcp::ACKNOWLEDGEMENT;
    if frame.len() >= number + 4 {
        connection.acknowledged = raw32(frame, number);
    }
    let change = change(connection, Direction::In);
    let OutwardEnd { address, port, .. } = connection.outward_end();
    nat::rewrite(frame, at, connection.protocol, change, (F::SOURCE, address), (tcp::SOURCE_PORT, port));
    if connection.vip_port != connection.server_port {
        put_port(frame, at, tcp::DESTINATION_PORT, connection.server_port);
    }
}

/// An answer, on its way to who asked.
#[inline(always)]
pub fn homeward<F: Family>(frame: &mut [u8], at: &Headers<F>, connection: &Connection<F>) {
    let change = change(connection, Direction::Out);
    let (address, port) = (connection.client, connection.client_port);
    nat::rewrite(
        frame,
        at,
        connection.protocol,
        change,
        (F::DESTINATION, address),
        (tcp::DESTINATION_PORT, port),
    );
    if connection.vip_port != connection.server_port {
        put_port(frame, at, tcp::SOURCE_PORT, connection.vip_port);
    }
}

/// Who has connected from outside, as a module expected it, may have another port to the server behind: one by which that
/// one's packets come to the same worker. It is over TCP.
#[cold]
#[inline(never)]
fn put_port<F: Family>(frame: &mut [u8], at: &Headers<F>, place: usize, port: u16) {
    let Some(segment) = frame.get_mut(usize::from(at.l4)..) else { return };
    if segment.len() < tcp::CHECKSUM + 2 {
        return;
    }
    let change = Change::OF_NOTHING.word(get16(segment, place), port);
    put16(segment, place, port);
    let checksum = change.apply(get16(segment, tcp::CHECKSUM));
    put16(segment, tcp::CHECKSUM, checksum);
}

/// A fragment that is not the first of its datagram: it has no ports, and no checksum of them.
pub fn later<F: Family>(frame: &mut [u8], at: &Headers<F>, connection: &Connection<F>, direction: Direction) {
    let (place, address) = match direction {
        Direction::In => (F::SOURCE, connection.outward_end().address),
        Direction::Out => (F::DESTINATION, connection.client),
    };
    let ip = &mut frame[usize::from(at.l3)..];
    F::put(ip, place, address);
    F::forward(ip, change(connection, direction).header);
}

/// An echo request on its way outward, or the reply to it: its identifier is what a port is to others (RFC 5508 3.1).
///
/// # Errors
/// What is too short has been dropped before.
#[cold]
#[inline(never)]
pub fn echo<F: Family>(
    frame: &mut [u8],
    at: &Headers<F>,
    connection: &Connection<F>,
    direction: Direction,
) -> Result<(), DropReason> {
    let Ends { source, destination } = connection.ends(direction);
    let end = at.end().min(frame.len());
    let Some((head, message)) = frame[..end].split_at_mut_checked(usize::from(at.l4)) else {
        return Err(DropReason::BadL4);
    };
    if message.len() < icmp::HEADER_LEN {
        return Err(DropReason::BadL4);
    }
    let ip = &mut head[usize::from(at.l3)..];
    let addresses = exchange_addresses::<F>(ip, (source.0, destination.0));
    let id = match direction {
        Direction::In => source.1,
        Direction::Out => destination.1,
    };
    let covered = if F::MESSAGES_COVER_ADDRESSES { addresses } else { Change::OF_NOTHING };
    let change = covered.word(get16(message, icmp::REST), id);
    put16(message, icmp::REST, id);
    icmp::change_checksum(message, change);
    Ok(())
}

/// What becomes of the checksums of packets that go that way. Computed for each, as the connection has no room for it.
#[inline(always)]
fn change<F: Family>(connection: &Connection<F>, direction: Direction) -> Rewrite {
    let OutwardEnd { address, port, .. } = connection.outward_end();
    let (behind, local) = ((connection.client, connection.client_port), (address, port));
    match direction {
        Direction::In => Rewrite::of::<F>(behind, local),
        Direction::Out => Rewrite::of::<F>(local, behind),
    }
}
