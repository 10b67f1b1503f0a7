//! SCTP under NAT and FullNAT. Its checksum covers the ports and all behind them, but no address. So a packet whose ports stay
//! is changed as any IP packet is; where one changes, what that does to the checksum follows from how long the packet is.
//! The packet itself need not be read, and damage on the way stays visible.

use super::fullnat::exchange_addresses;
use crate::{
    conn::{
        entry::{Connection, Direction, Ends},
        state::State,
    },
    counters::DropReason,
    family::Family,
    wire::{
        headers::Headers,
        raw32,
        sctp::{self, chunk},
        tcp,
    },
};

/// Gives a packet the addresses and ports that its receiver knows, and takes one off its time to live. The tag that the
/// server expects of the client is kept, to know what may close the association.
///
/// # Errors
/// A first fragment whose ports change is not sent: how long its packet is, only the last one tells.
#[cold]
#[inline(never)]
pub fn rewrite<F: Family>(
    frame: &mut [u8],
    at: &Headers<F>,
    connection: &mut Connection<F>,
    direction: Direction,
) -> Result<(), DropReason> {
    let Ends { source, destination } = connection.ends(direction);
    let end = at.end().min(frame.len());
    let Some((head, packet)) = frame[..end].split_at_mut_checked(usize::from(at.l4)) else {
        return Err(DropReason::BadL4);
    };
    let ports = (source.1, destination.1);
    if F::is_fragment(at.fragment) && tcp::ports(packet) != Some(ports) {
        return Err(DropReason::Fragment);
    }
    if let Some(at) = told_tag(packet, connection.state, direction)
        && packet.len() >= at + 4
    {
        connection.acknowledged = raw32(packet, at);
    }
    sctp::change_ports(packet, ports, at.end().saturating_sub(usize::from(at.l4)));
    let ip = &mut head[usize::from(at.l3)..];
    exchange_addresses::<F>(ip, (source.0, destination.0));
    Ok(())
}

/// Where a packet says which tag the server expects of the client. A server that is asked again answers with another one
/// (RFC 9260 5.2.1), and the client takes that of the answer that comes first, which its COOKIE ECHO has. Once the server has
/// agreed to that, nobody says anything new.
fn told_tag(packet: &[u8], state: State, direction: Direction) -> Option<usize> {
    match (direction, packet.get(sctp::HEADER_LEN), state) {
        (Direction::Out, Some(&chunk::INIT_ACK), State::SctpCookieSent) => Some(sctp::INITIATE_TAG),
        (Direction::In, Some(&chunk::COOKIE_ECHO), State::SctpCookieReplied) => Some(sctp::TAG),
        _ => None,
    }
}
