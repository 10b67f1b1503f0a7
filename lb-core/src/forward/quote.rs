//! ICMP errors quote the packet they are about. By it they find their connection, and under NAT the quote has to look
//! as the receiver of the error knows it. RFC 5508 4.

use crate::{
    conn::{
        entry::{Connection, Direction, Ends},
        second::Second,
    },
    family::{Family, Header, V4},
    flow::key::Key,
    module::talk::Talk,
    wire::{
        checksum::Change,
        get16, get32,
        headers::Headers,
        icmp,
        protocol::{self, ISAKMP, Protocol},
        put16, put32, sctp, tcp, udp,
    },
};

/// The quoted packet of an error, as far as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote<F: Family = V4> {
    /// The key of packets that answer the quoted one: those that come from where the error comes from.
    pub answers: Key<F>,
    /// Where its IP header starts in the frame.
    l3: usize,
    /// Where its TCP, UDP or SCTP header starts.
    l4: usize,
    /// It is of IPsec, and `answers` is the key of the connection that it goes with.
    is_related: bool,
    /// Bytes that were behind its IP header before it was cut off.
    len: usize,
}

impl<F: Family> Quote<F> {
    /// Reads the quote of an ICMP error; `None` when it is too short to contain ports, or about a later fragment or
    /// a protocol that is not balanced.
    #[must_use]
    pub fn read(frame: &[u8], at: &Headers<F>) -> Option<Self> {
        let l3 = usize::from(at.l4) + icmp::HEADER_LEN;
        let (key, header) = read_packet(frame.get(l3..at.end())?)?;
        let len = header.total_len.saturating_sub(header.header_len);
        let is_related = protocol::is_ipsec(header.protocol);
        Some(Quote { answers: key.reversed(), l3, l4: l3 + header.header_len, is_related, len })
    }

    /// The key of the packet inside a quoted tunnel's packet, which starts there in the ICMP message; `None` when the quote
    /// is too short to tell.
    #[must_use]
    pub fn key_inside(message: &[u8], at: usize) -> Option<Key<F>> {
        // Nothing is translated on its way into a tunnel, and no echo is of a connection there.
        read_packet(message.get(at..)?).map(|(key, _)| key).filter(|key| key.protocol != Protocol::Icmp)
    }
}

/// The key of a packet that may be cut off, and its IP header.
fn read_packet<F: Family>(packet: &[u8]) -> Option<(Key<F>, Header<F>)> {
    let header = Header::<F>::read_cut(packet)?;
    let is_echo = header.protocol == F::ICMP && !F::is_later_fragment(header.fragment);
    let inside = || packet.get(header.header_len..);
    let (protocol, (source_port, destination_port)) = if protocol::is_ipsec(header.protocol) {
        (Protocol::Udp, (ISAKMP, ISAKMP))
    } else if is_echo {
        let inside = inside()?;
        (Protocol::Icmp, icmp::echo_ports(F::message(*inside.first()?), inside)?)
    } else {
        (header.flow_protocol()?, tcp::ports(inside()?)?)
    };
    let key = Key {
        source: header.source,
        destination: header.destination,
        source_port,
        destination_port,
        protocol,
    };
    Some((key, header))
}

/// Translates an error about a connection under NAT, FullNAT or SNAT. `direction` is that of the error itself: `In` for one that the
/// client's side sends about the server's packets, `Out` for one that the server's side sends about the client's. `numbers`
/// says what those of TCP are on the other side.
pub fn translate<F: Family>(
    frame: &mut [u8],
    at: &Headers<F>,
    quote: &Quote<F>,
    connection: &Connection<F>,
    (direction, numbers): (Direction, Numbers<'_>),
) {
    let Ends { source, destination } = connection.ends(direction);
    let end = at.end();
    let outer = usize::from(at.l3);
    // The error comes from the VIP, whichever router on the server's side sent it: clients know of none. Nor does a server
    // know of those on the client's side, if it does not know the client.
    // Under SNAT routers outside are the server's to know (RFC 5508 REQ-4).
    let from = match direction {
        Direction::Out if connection.method.is_outward() => F::get(&frame[outer..], F::SOURCE),
        Direction::In if !connection.method.hides_clients() => F::get(&frame[outer..], F::SOURCE),
        Direction::In | Direction::Out => source.0,
    };
    let change = put_pair::<F>(&mut frame[outer..], from, destination.0);
    F::update(&mut frame[outer..], change);
    F::decrement_ttl(&mut frame[outer..]);

    // It quotes what its receiver sent. What changes in the quote also changes the checksum of the message around it.
    let (l3, l4) = (quote.l3, quote.l4);
    let addresses = put_pair::<F>(&mut frame[l3..], destination.0, source.0);
    let (old, new) = F::update(&mut frame[l3..], addresses);
    let mut message = addresses.word(old, new);
    if F::MESSAGES_COVER_ADDRESSES {
        message = message.and(change);
    }

    if quote.is_related {
        return icmp::change_checksum(&mut frame[usize::from(at.l4)..end], message);
    }
    if quote.answers.protocol == Protocol::Sctp {
        // Its checksum may be behind the end of the quote; it covers the whole packet and no address.
        let header = &mut frame[l4..end.min(l4 + sctp::HEADER_LEN)];
        let mut old = [0; sctp::HEADER_LEN];
        old[..header.len()].copy_from_slice(header);
        sctp::change_ports(header, (destination.1, source.1), quote.len);
        message = message.bytes(0, &old[..header.len()], header);
        return icmp::change_checksum(&mut frame[usize::from(at.l4)..end], message);
    }

    if quote.answers.protocol == Protocol::Icmp {
        let covered = if F::MESSAGES_COVER_ADDRESSES { addresses } else { Change::OF_NOTHING };
        // Who asked is the end that is not 0.
        let id = destination.1 | source.1;
        message = message.and(put_echo_id(&mut frame[l4..end], id, covered));
        return icmp::change_checksum(&mut frame[usize::from(at.l4)..end], message);
    }

    let mut ports = addresses;
    for (port_at, port) in [(tcp::SOURCE_PORT, destination.1), (tcp::DESTINATION_PORT, source.1)] {
        let old = get16(&frame[l4..], port_at);
        ports = ports.word(old, port);
        message = message.word(old, port);
        put16(&mut frame[l4..], port_at, port);
    }

    let is_tcp = quote.answers.protocol == Protocol::Tcp;
    if is_tcp {
        let change = numbers.put(&mut frame[l4..end], direction);
        (ports, message) = (ports.and(change), message.and(change));
    } else if let Some(second) = numbers.second {
        message = message.and(less_room::<F>(&mut frame[usize::from(at.l4)..end], second));
    }

    let checksum_at = if is_tcp { tcp::CHECKSUM } else { udp::CHECKSUM };
    // It may be behind the end of the quote.
    if l4 + checksum_at + 2 <= end {
        let old = get16(&frame[l4..], checksum_at);
        let new = if is_tcp { ports.apply(old) } else { ports.apply_udp(old) };
        put16(&mut frame[l4..], checksum_at, new);
        message = message.word(old, new);
    }
    icmp::change_checksum(&mut frame[usize::from(at.l4)..end], message);
}

/// Gives a quoted echo message another identifier. `change` is what else its checksum covers.
fn put_echo_id(echo: &mut [u8], id: u16, change: Change) -> Change {
    let old = (get16(echo, icmp::REST), get16(echo, icmp::CHECKSUM));
    put16(echo, icmp::REST, id);
    // It may be cut off, so nobody can say whether it is nothing but zeros.
    let checksum = change.word(old.0, id).apply(old.1);
    put16(echo, icmp::CHECKSUM, checksum);
    Change::OF_NOTHING.word(old.0, id).word(old.1, checksum)
}

/// What a connection's numbers of TCP are on the other side: the same, but for a header in front of the client's bytes, or a
/// module that has replaced text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers<'a> {
    /// How far the server has been told of its client, if it is.
    pub second: Option<&'a Second>,
    /// What is kept of the connection, if a module reads it.
    pub talk: Option<&'a Talk>,
}

impl Numbers<'_> {
    /// Gives a quoted segment, as far as it is there, the numbers that it had when the receiver of the error sent it.
    fn put(self, segment: &mut [u8], direction: Direction) -> Change {
        let sequence = |number: u32| match (self.talk, self.second, direction) {
            (Some(talk), ..) => talk.shift(direction.reversed()).back(number),
            (None, Some(second), Direction::Out) => second.to_client(number),
            (None, ..) => number,
        };
        let acknowledgement = |number: u32| match (self.talk, self.second, direction) {
            (Some(talk), ..) => talk.shift(direction).end(number),
            (None, Some(second), Direction::In) => second.to_server(number),
            (None, ..) => number,
        };
        let mut change = Change::OF_NOTHING;
        for (place, is_own) in [(tcp::SEQUENCE, true), (tcp::ACKNOWLEDGEMENT, false)] {
            if segment.len() < place + 4 {
                break;
            }
            let old = get32(segment, place);
            let new = if is_own { sequence(old) } else { acknowledgement(old) };
            put32(segment, place, new);
            change = change.long(old, new);
        }
        change
    }
}

/// A client's datagrams grow on the way, so what it is told of the largest leaves room for that. Behind a header in a
/// stream nothing grows: it goes by itself where the two are too large.
fn less_room<F: Family>(message: &mut [u8], second: &Second) -> Change {
    /// Where the largest packet's bytes are in both families' messages, as far as packets are smaller than 64 KiB.
    const MTU: usize = 6;
    if F::too_big(message).is_none() {
        return Change::OF_NOTHING;
    }
    let old = get16(message, MTU);
    let new = old.saturating_sub(u16::from(second.len));
    put16(message, MTU, new);
    Change::OF_NOTHING.word(old, new)
}

/// Replaces both addresses of a header.
fn put_pair<F: Family>(header: &mut [u8], source: F::Address, destination: F::Address) -> Change {
    let mut change = Change::OF_NOTHING;
    for (at, address) in [(F::SOURCE, source), (F::DESTINATION, destination)] {
        change = F::changed(change, F::get(header, at), address);
        F::put(header, at, address);
    }
    change
}
