//! An ICMP echo request as a check (RFC 792).

use super::{
    conversation::{Conversation, Heard},
    socket::Doors,
    target::{Finding, plain},
};
use crate::config::health::Leave;
use std::net::Ipv4Addr;

/// The request's payload, which distinguishes its reply from replies to other requests.
const PAYLOAD: usize = 16;
/// Each check sends one request.
const SEQUENCE: u16 = 1;
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;

pub(super) async fn ask(doors: &Doors, leave: &Leave, to: Ipv4Addr) -> Finding {
    let (socket, raw) = doors.icmp(leave, to).await.map_err(|error| plain(&error))?;
    let payload: [u8; PAYLOAD] = rand::random();
    // The kernel puts its own identifier into those of ping sockets.
    let identifier = u16::from_be_bytes([payload[0], payload[1]]);
    socket.send(&request(identifier, payload)).await.map_err(|error| plain(&error))?;
    let mut buffer = [0; 2_048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.map_err(|error| plain(&error))?;
        // A raw socket has heard everybody until it was connected.
        let Some(message) = (from.ip() == to).then(|| message(&buffer[..length], raw)).flatten() else {
            continue;
        };
        if let Some(finding) = read(message, raw.then_some(identifier), payload) {
            return finding;
        }
    }
}

/// The same by the director's own ports.
pub(super) async fn ask_by_ports(mut talk: Conversation, to: Ipv4Addr) -> Finding {
    let payload: [u8; PAYLOAD] = rand::random();
    talk.send_echo(to, &request(talk.port(), payload)).map_err(|error| plain(&error))?;
    loop {
        match talk.hear().await {
            Heard::Refused => return Err("it is unreachable".to_owned()),
            Heard::Datagram(message) => {
                if let Some(finding) = read(&message, Some(talk.port()), payload) {
                    return finding;
                }
            }
        }
    }
}

fn request(identifier: u16, payload: [u8; PAYLOAD]) -> Vec<u8> {
    let mut bytes = vec![ECHO_REQUEST, 0, 0, 0];
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
fn message(heard: &[u8], raw: bool) -> Option<&[u8]> {
    if raw { without_ipv4(heard) } else { Some(heard) }
}

/// What a message says about our request; nothing if it is about something else. The identifier is the kernel's own with
/// its ping sockets, and it sees to it.
fn read(message: &[u8], identifier: Option<u16>, payload: [u8; PAYLOAD]) -> Option<Finding> {
    let (head, rest) = message.split_at_checked(8)?;
    match head[0] {
        ECHO_REPLY if is_ours(head, identifier) && rest == payload => Some(Ok(())),
        UNREACHABLE => {
            // It quotes our packet.
            let (head, rest) = without_ipv4(rest)?.split_at_checked(8)?;
            let is_quoted = head[0] == ECHO_REQUEST && is_ours(head, identifier) && rest == payload;
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

fn without_ipv4(packet: &[u8]) -> Option<&[u8]> {
    packet.get(usize::from(packet.first()? & 0x0f) * 4..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reply_is_told_from_others() {
        let payload = [7; PAYLOAD];
        let request = request(7, payload);
        assert_eq!(checksum(&request), 0, "its own checksum included");
        let mut reply = request.clone();
        reply[0] = ECHO_REPLY;
        for identifier in [None, Some(7)] {
            assert_eq!(read(&reply, identifier, payload), Some(Ok(())));
            assert_eq!(read(&reply, identifier, [8; PAYLOAD]), None);
            assert_eq!(read(&request, identifier, payload), None, "our own, seen on loopback");
        }
        assert_eq!(read(&reply, Some(8), payload), None, "somebody else's request");
        let mut later = reply.clone();
        later[7] += 1;
        assert_eq!(read(&later, Some(7), payload), None, "another request");
        let with_header = [&[0x45; 20][..], &reply].concat();
        assert_eq!(message(&with_header, true), Some(&reply[..]));
        assert_eq!(message(&reply, false), Some(&reply[..]));
        let mut unreachable = vec![UNREACHABLE, 1, 0, 0, 0, 0, 0, 0];
        unreachable.extend([0x45; 20]);
        unreachable.extend(&request);
        assert_eq!(read(&unreachable, Some(7), payload), Some(Err("it is unreachable".to_owned())));
        assert_eq!(read(&unreachable, Some(8), payload), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_fine(bytes in prop::collection::vec(any::<u8>(), 0..64), raw in any::<bool>()) {
            message(&bytes, raw).and_then(|message| read(message, raw.then_some(0), [0; PAYLOAD]));
        }
    }
}
