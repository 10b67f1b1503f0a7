//! An ICMP echo request as a check (RFC 792).

use super::{
    conversation::{Conversation, Heard},
    probe::Finding,
    socket::{Doors, plain},
};
use crate::config::health::Leave;
use std::net::Ipv4Addr;

/// What the request carries, so that a reply can be told from those to other people's requests.
const PAYLOAD: usize = 16;
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
        let length = socket.recv(&mut buffer).await.map_err(|error| plain(&error))?;
        if let Some(finding) = read(&buffer[..length], raw, payload) {
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
                if let Some(finding) = read(&message, false, payload) {
                    return finding;
                }
            }
        }
    }
}

fn request(identifier: u16, payload: [u8; PAYLOAD]) -> Vec<u8> {
    let mut bytes = vec![ECHO_REQUEST, 0, 0, 0];
    bytes.extend(identifier.to_be_bytes());
    bytes.extend([0, 1]);
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

/// What a message says about our request; nothing if it is about something else.
fn read(message: &[u8], raw: bool, payload: [u8; PAYLOAD]) -> Option<Finding> {
    let message = if raw { without_ipv4(message)? } else { message };
    let (head, rest) = message.split_at_checked(8)?;
    match head[0] {
        ECHO_REPLY if rest == payload => Some(Ok(())),
        // It quotes our packet.
        UNREACHABLE if without_ipv4(rest).is_some_and(|quoted| quoted.get(8..) == Some(&payload)) => {
            Some(Err("it is unreachable".to_owned()))
        }
        _ => None,
    }
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
        assert_eq!(read(&reply, false, payload), Some(Ok(())));
        assert_eq!(read(&reply, false, [8; PAYLOAD]), None);
        assert_eq!(read(&request, false, payload), None, "our own, seen on loopback");
        let mut with_header = vec![0x45; 20];
        with_header.extend(&reply);
        assert_eq!(read(&with_header, true, payload), Some(Ok(())));
        let mut unreachable = vec![0x45; 20];
        unreachable.extend([UNREACHABLE, 1, 0, 0, 0, 0, 0, 0]);
        unreachable.extend([0x45; 20]);
        unreachable.extend(&request);
        assert_eq!(read(&unreachable, true, payload), Some(Err("it is unreachable".to_owned())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_fine(bytes in prop::collection::vec(any::<u8>(), 0..64), raw in any::<bool>()) {
            read(&bytes, raw, [0; PAYLOAD]);
        }
    }
}
