//! Tunnels with something between the outer IP header and the packet, GRE or UDP, and those whose outer source follows from
//! the flow: so that a server, whose own hash sees the outer headers only, spreads the director's packets over its queues.

use super::outer::{Outer, complete, make_room};
use crate::{
    cast::{low16, low32, small},
    conn::{entry::Connection, tunnel::Encapsulation},
    counters::DropReason,
    family::{Family, V4, V6},
    flow::key::Key,
    mix::fold_multiply,
    packet::Packet,
    wire::{
        checksum::Folded, get32, get64, gre, gue, headers::Headers, ipv4, ipv6, protocol::Protocol, put16,
        put32, raw32, tcp, udp,
    },
};

/// The first port of the range that RFC 6335 6 leaves to whoever needs one, and the bits that are free in it.
const DYNAMIC_PORTS: (u16, u16) = (0xc000, 0x3fff);
/// Digits of pi, by which flows are mixed. It is no secret: who knows a flow may know its source.
const PI: u64 = 0x243f_6a88_85a3_08d3;

/// What follows from a flow, for all packets from its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread(u64);

impl Spread {
    fn of<F: Family>(source: F::Address, destination: F::Address, ports: u32) -> Self {
        let ports = u64::from(ports) ^ PI.rotate_left(32);
        Spread(fold_multiply(fold_multiply(F::mix(F::pair(source, destination), PI), ports), PI | 1))
    }

    /// That of the packets of a key.
    #[must_use]
    pub fn of_key<F: Family>(key: &Key<F>) -> Self {
        let ports = u32::from(key.source_port) << 16 | u32::from(key.destination_port);
        Spread::of::<F>(key.source, key.destination, ports)
    }

    /// That of the packets of a connection, also of fragments that have no ports in them.
    #[must_use]
    pub fn of_connection<F: Family>(connection: &Connection<F>) -> Self {
        let ports = u32::from(connection.client_port) << 16 | u32::from(connection.vip_port);
        Spread::of::<F>(connection.client, connection.vip, ports)
    }

    /// That of a packet. What has no ports in it, as what ICMP says, goes by its addresses.
    fn of_packet<F: Family>(frame: &[u8], at: &Headers<F>) -> Self {
        let has_ports = Protocol::from_number(at.protocol).is_some() && !F::is_later_fragment(at.fragment);
        let ports = frame.get(usize::from(at.l4)..).filter(|l4| has_ports && l4.len() >= 4);
        Spread::of::<F>(at.source, at.destination, ports.map_or(0, |l4| get32(l4, tcp::SOURCE_PORT)))
    }

    /// The UDP port that the flow's packets come from.
    #[must_use]
    pub fn port(self) -> u16 {
        let (first, free) = DYNAMIC_PORTS;
        first | low16(low32(self.0)) & free
    }

    /// The last bits of the address that the flow's packets come from.
    fn host(self, bits: u8) -> u64 {
        // The port's come from the other end.
        self.0.reverse_bits() & 1_u64.checked_shl(u32::from(bits)).map_or(u64::MAX, |above| above - 1)
    }
}

impl Outer {
    /// Where the outer packets of a flow come from.
    #[must_use]
    pub fn source<O: Family>(&self, spread: Spread) -> O::Address {
        let mut header = self.header;
        if O::ETHERTYPE == V4::ETHERTYPE {
            put_source_v4(&mut header, spread, self.host_bits);
        } else {
            put_source_v6(&mut header, spread, self.host_bits);
        }
        O::get(&header, O::SOURCE)
    }
}

fn put_source_v4(header: &mut [u8], spread: Spread, host_bits: u8) {
    let network = get32(header, ipv4::SOURCE);
    put32(header, ipv4::SOURCE, network | low32(spread.host(host_bits)));
}

fn put_source_v6(header: &mut [u8], spread: Spread, host_bits: u8) {
    let low = ipv6::SOURCE + 8;
    let network = get64(header, low);
    header[low..low + 8].copy_from_slice(&(network | spread.host(host_bits)).to_be_bytes());
}

/// The client's packet in one of IPv4, of a flow that comes from there, if that does not follow from the packet.
pub(super) fn in_ipv4<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    (outer, spread): (&Outer, Option<Spread>),
    last_id: &mut u16,
) -> Result<(), DropReason> {
    let spread = spread.unwrap_or_else(|| Spread::of_packet(packet.bytes(), at));
    let len = ipv4::HEADER_LEN + outer.tunnel.shim_len();
    make_room::<F, V4>(packet, at, len).ok_or(DropReason::NoHeadroom)?;
    let bytes = packet.bytes_mut().get_mut(usize::from(at.l3)..).unwrap_or_default();
    let (header, behind) = bytes.split_first_chunk_mut().ok_or(DropReason::NoHeadroom)?;
    *header = outer.ipv4();
    let network = raw32(header, ipv4::SOURCE);
    put_source_v4(header, spread, outer.host_bits);
    let change = Folded::of_words(network, raw32(header, ipv4::SOURCE));
    let class = F::class(&behind[outer.tunnel.shim_len()..]);
    complete(header, at, outer, (class, at.ip_len + small(len), change), last_id);
    write::<F>(outer, spread, behind);
    sum(packet, outer);
    Ok(())
}

/// The client's packet in one of IPv6.
pub(super) fn in_ipv6<F: Family>(
    packet: &mut impl Packet,
    at: &Headers<F>,
    (outer, spread): (&Outer, Option<Spread>),
) -> Result<(), DropReason> {
    let spread = spread.unwrap_or_else(|| Spread::of_packet(packet.bytes(), at));
    let shim_len = outer.tunnel.shim_len();
    let len = ipv6::HEADER_LEN + shim_len;
    make_room::<F, V6>(packet, at, len).ok_or(DropReason::NoHeadroom)?;
    let bytes = packet.bytes_mut().get_mut(usize::from(at.l3)..).unwrap_or_default();
    let (header, behind) = bytes.split_first_chunk_mut().ok_or(DropReason::NoHeadroom)?;
    *header = outer.header;
    put_source_v6(header, spread, outer.host_bits);
    put16(header, 0, 6 << 12 | u16::from(F::class(&behind[shim_len..])) << 4);
    put16(header, ipv6::PAYLOAD_LEN, at.ip_len + small(shim_len));
    write::<F>(outer, spread, behind);
    sum(packet, outer);
    Ok(())
}

/// Writes what stands between the outer header and the packet, to the start of `bytes`, which end with the packet.
fn write<F: Family>(outer: &Outer, spread: Spread, bytes: &mut [u8]) {
    let tunnel = outer.tunnel;
    match tunnel.kind {
        Encapsulation::Ipip => return,
        Encapsulation::Gre => return gre::write(bytes, F::ETHERTYPE, tunnel.checksum),
        Encapsulation::Gue => gue::write(&mut bytes[udp::HEADER_LEN..], F::INSIDE),
        Encapsulation::Gue1 => {}
    }
    let len = small(bytes.len());
    put16(bytes, tcp::SOURCE_PORT, spread.port());
    put16(bytes, tcp::DESTINATION_PORT, tunnel.port);
    put16(bytes, udp::LENGTH, len);
    put16(bytes, udp::CHECKSUM, 0);
}

/// Has the checksum of a tunnel's datagram computed, if its packets have one: the only one of a method's that takes reading
/// all of each packet, and that ports can compute. GRE's they cannot.
fn sum(packet: &mut impl Packet, Outer { tunnel, .. }: &Outer) {
    if tunnel.checksum && tunnel.kind.is_udp() {
        packet.sum_later();
    }
}
