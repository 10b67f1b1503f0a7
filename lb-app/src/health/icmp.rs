//! An ICMP echo request as a check (RFC 792, RFC 4443).

use super::{
    conversation::{Conversation, Heard},
    socket::Doors,
    target::{Finding, plain},
};
use crate::config::health::Leave;
use lb_core::{
    family::{Family, Header, V4, V6},
    wire::{icmp, icmpv6},
};
use std::net::IpAddr;

/// The request's payload, which distinguishes its reply from replies to other requests.
const PAYLOAD: usize = 16;
/// Each check sends one request.
const SEQUENCE: u16 = 1;

/// A family's messages.
trait Echo: Family {
    /// Type: echo request.
    const REQUEST: u8;
    /// Type: destination unreachable.
    const UNREACHABLE: u8;
    /// Whether raw sockets hear the IP header, too.
    const RAW_HAS_HEADER: bool;
}

impl Echo for V4 {
    const REQUEST: u8 = icmp::ECHO_REQUEST;
    const UNREACHABLE: u8 = icmp::UNREACHABLE;
    const RAW_HAS_HEADER: bool = true;
}

impl Echo for V6 {
    const REQUEST: u8 = icmpv6::ECHO_REQUEST;
    const UNREACHABLE: u8 = icmpv6::UNREACHABLE;
    // RFC 3542 3.
    const RAW_HAS_HEADER: bool = false;
}

pub(super) async fn ask(doors: &Doors, leave: &Leave, to: IpAddr) -> Finding {
    match to {
        IpAddr::V4(_) => ask_of::<V4>(doors, leave, to).await,
        IpAddr::V6(_) => ask_of::<V6>(doors, leave, to).await,
    }
}

async fn ask_of<F: Echo>(doors: &Doors, leave: &Leave, to: IpAddr) -> Finding {
    let (socket, raw) = doors.icmp(leave, to).await.map_err(|error| plain(&error))?;
    let payload: [u8; PAYLOAD] = rand::random();
    // The kernel puts its own identifier into those of ping sockets.
    let identifier = u16::from_be_bytes([payload[0], payload[1]]);
    socket.send(&request::<F>(identifier, payload)).await.map_err(|error| plain(&error))?;
    let mut buffer = [0; 2_048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.map_err(|error| plain(&error))?;
        // A raw socket has heard everybody until it was connected.
        let Some(message) = (from.ip() == to).then(|| message::<F>(&buffer[..length], raw)).flatten() else {
            continue;
        };
        if let Some(finding) = read::<F>(message, raw.then_some(identifier), payload) {
            return finding;
        }
    }
}

/// The same by the director's own ports.
pub(super) async fn ask_by_ports(talk: Conversation, to: IpAddr) -> Finding {
    match to {
        IpAddr::V4(_) => ask_by_ports_of::<V4>(talk, to).await,
        IpAddr::V6(_) => ask_by_ports_of::<V6>(talk, to).await,
    }
}

async fn ask_by_ports_of<F: Echo>(mut talk: Conversation, to: IpAddr) -> Finding {
    let payload: [u8; PAYLOAD] = rand::random();
    talk.send_echo(to, &request::<F>(talk.port(), payload)).map_err(|error| plain(&error))?;
    loop {
        match talk.hear().await {
            Heard::Refused => return Err("it is unreachable".to_owned()),
            Heard::Datagram(message) => {
                if let Some(finding) = read::<F>(&message, Some(talk.port()), payload) {
                    return finding;
                }
            }
        }
    }
}

/// With the checksum of IPv4's; those of ICMPv6, which covers the addresses, are the kernel's or the stack's to make.
fn request<F: Echo>(identifier: u16, payload: [u8; PAYLOAD]) -> Vec<u8> {
    let mut bytes = vec![F::REQUEST, 0, 0, 0];
    bytes.extend(identifier.to_be_bytes());
    bytes.extend(SEQUENCE.to_be_bytes());
    bytes.extend(payload);
    let checksum = checksum(&bytes);
    bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The ICMP message in what a socket has heard.
fn message<F: Echo>(heard: &[u8], raw: bool) -> Option<&[u8]> {
    if raw && F::RAW_HAS_HEADER { without_ip::<F>(heard) } else { Some(heard) }
}

/// What a message says about our request; nothing if it is about something else. The identifier is the kernel's own with
/// its ping sockets, and it sees to it.
fn read<F: Echo>(message: &[u8], identifier: Option<u16>, payload: [u8; PAYLOAD]) -> Option<Finding> {
    let (head, rest) = message.split_at_checked(8)?;
    match head[0] {
        kind if kind == F::ECHO_REPLY => (is_ours(head, identifier) && rest == payload).then_some(Ok(())),
        kind if kind == F::UNREACHABLE => {
            // It quotes our packet.
            let (head, rest) = without_ip::<F>(rest)?.split_at_checked(8)?;
            let is_quoted = head[0] == F::REQUEST && is_ours(head, identifier) && rest == payload;
            is_quoted.then(|| Err("it is unreachable".to_owned()))
        }
        _ => None,
    }
}

/// Whether an echo message has the numbers of our request.
fn is_ours(head: &[u8], identifier: Option<u16>) -> bool {
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    identifier.is_none_or(|identifier| word(4) == identifier) && word(6) == SEQUENCE
}

fn without_ip<F: Family>(packet: &[u8]) -> Option<&[u8]> {
    packet.get(Header::<F>::read_cut(packet)?.header_len..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reply_is_told_from_others() {
        tells_replies_apart::<V4>();
        tells_replies_apart::<V6>();
    }

    fn tells_replies_apart<F: Echo>() {
        let payload = [7; PAYLOAD];
        let request = request::<F>(7, payload);
        assert_eq!(checksum(&request), 0, "its own checksum included");
        let mut reply = request.clone();
        reply[0] = F::ECHO_REPLY;
        for identifier in [None, Some(7)] {
            assert_eq!(read::<F>(&reply, identifier, payload), Some(Ok(())));
            assert_eq!(read::<F>(&reply, identifier, [8; PAYLOAD]), None);
            assert_eq!(read::<F>(&request, identifier, payload), None, "our own, seen on loopback");
        }
        assert_eq!(read::<F>(&reply, Some(8), payload), None, "somebody else's request");
        let mut later = reply.clone();
        later[7] += 1;
        assert_eq!(read::<F>(&later, Some(7), payload), None, "another request");
        let mut header = vec![0; F::HEADER_LEN];
        let fields = Header::<F> {
            header_len: F::HEADER_LEN,
            total_len: F::HEADER_LEN + request.len(),
            fragment: 0,
            ttl: 64,
            protocol: F::ICMP,
            source: F::Address::default(),
            destination: F::Address::default(),
        };
        F::write(&mut header, &fields);
        let heard = if F::RAW_HAS_HEADER { [&header[..], &reply].concat() } else { reply.clone() };
        assert_eq!(message::<F>(&heard, true), Some(&reply[..]));
        assert_eq!(message::<F>(&reply, false), Some(&reply[..]));
        let unreachable = [&[F::UNREACHABLE, 1, 0, 0, 0, 0, 0, 0], &header[..], &request].concat();
        assert_eq!(read::<F>(&unreachable, Some(7), payload), Some(Err("it is unreachable".to_owned())));
        assert_eq!(read::<F>(&unreachable, Some(8), payload), None);
    }

    fn read_anything<F: Echo>(bytes: &[u8], raw: bool) {
        message::<F>(bytes, raw).and_then(|message| read::<F>(message, raw.then_some(0), [0; PAYLOAD]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_fine(bytes in prop::collection::vec(any::<u8>(), 0..64), raw in any::<bool>()) {
            read_anything::<V4>(&bytes, raw);
            read_anything::<V6>(&bytes, raw);
        }
    }
}
