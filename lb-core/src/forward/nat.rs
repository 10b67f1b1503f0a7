//! NAT: the client's packets go to the server's address and port, the server's come from the VIP's.

use crate::{
    conn::entry::Connection,
    wire::{checksum::Change, get16, get32, headers::Headers, ipv4, put16, put32, tcp, udp},
};

/// The client's packet, on its way to the server.
#[inline(always)]
pub fn inbound(frame: &mut [u8], at: &Headers, connection: &Connection) {
    let (address, port) = (connection.server_address, connection.server_port);
    rewrite(frame, at, ipv4::DESTINATION, address, tcp::DESTINATION_PORT, port);
}

/// The server's packet, on its way to the client.
#[inline(always)]
pub fn outbound(frame: &mut [u8], at: &Headers, connection: &Connection) {
    let (address, port) = (connection.vip, connection.vip_port);
    rewrite(frame, at, ipv4::SOURCE, address, tcp::SOURCE_PORT, port);
}

/// Replaces one address and one port (which TCP and UDP have in the same places), takes one off the time to live,
/// and updates both checksums.
#[inline(always)]
fn rewrite(frame: &mut [u8], at: &Headers, address_at: usize, address: u32, port_at: usize, port: u16) {
    let (ip, l4) = frame[usize::from(at.l3)..].split_at_mut(usize::from(at.l4 - at.l3));
    // The headers are whole; saying so once spares the compiler a check for every field.
    let (Some(ip), Some((ports, rest))) =
        (ip.first_chunk_mut::<{ ipv4::HEADER_LEN }>(), l4.split_first_chunk_mut::<4>())
    else {
        return;
    };

    // The old values first: every checksum's change needs them.
    let addresses = Change::default().long(get32(ip, address_at), address);
    let both = addresses.word(get16(ports, port_at), port);
    put32(ip, address_at, address);
    put16(ports, port_at, port);

    // The pseudo-header holds the address but not the time to live, so the two checksums change differently.
    let checksum = addresses.apply(get16(ip, ipv4::CHECKSUM));
    put16(ip, ipv4::CHECKSUM, checksum);
    ipv4::decrement_ttl(ip);

    if at.protocol == ipv4::TCP {
        if let Some(checksum) = rest.get_mut(tcp::CHECKSUM - 4..tcp::CHECKSUM - 2) {
            let updated = both.apply(get16(checksum, 0));
            put16(checksum, 0, updated);
        }
    } else if let Some(checksum) = rest.get_mut(udp::CHECKSUM - 4..udp::CHECKSUM - 2) {
        let updated = both.apply_udp(get16(checksum, 0));
        put16(checksum, 0, updated);
    }
}
