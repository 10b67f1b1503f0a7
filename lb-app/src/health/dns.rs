//! A DNS query as a check (RFC 1035): any answer without an error will do.

use super::{datagrams::Datagrams, target::Finding, udp::wrong};
use crate::config::health::Dns;

/// Length of a message's header.
const HEADER: usize = 12;
/// The bit that makes a message a response.
const RESPONSE: u8 = 0x80;

pub(super) async fn ask(mut socket: Datagrams, query: &Dns) -> Finding {
    let id: u16 = rand::random();
    socket.send(&message(id, query)).await.map_err(|error| wrong(&error))?;
    loop {
        let answer = socket.receive().await.map_err(|error| wrong(&error))?;
        // Answers to what others asked are not meant.
        if let Some(finding) = read(id, &answer) {
            return finding;
        }
    }
}

/// A query with recursion desired.
fn message(id: u16, query: &Dns) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in query.name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend((query.record as u16).to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// The result of a response; nothing if it is not ours.
fn read(id: u16, bytes: &[u8]) -> Option<Finding> {
    let header: &[u8; HEADER] = bytes.first_chunk()?;
    if header[..2] != id.to_be_bytes() || header[2] & RESPONSE == 0 {
        return None;
    }
    Some(match header[3] & 0x0f {
        0 => Ok(()),
        1 => Err("it answered FORMERR, format error".to_owned()),
        2 => Err("it answered SERVFAIL, server failure".to_owned()),
        3 => Err("it answered NXDOMAIN, no such name".to_owned()),
        4 => Err("it answered NOTIMP, not implemented".to_owned()),
        5 => Err("it answered REFUSED".to_owned()),
        code => Err(format!("it answered with error {code}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::health::Record;
    use proptest::prelude::*;

    #[test]
    fn a_query_on_the_wire() {
        let query = Dns { name: "www.example.org".to_owned(), record: Record::Aaaa };
        let expected =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x1c\x00\x01";
        assert_eq!(message(0x1234, &query), expected);
        let root = Dns { name: ".".to_owned(), record: Record::Soa };
        assert_eq!(message(0, &root)[HEADER..], [0, 0, 6, 0, 1]);
    }

    #[test]
    fn answers() {
        let answer = |id: u16, flags: [u8; 2]| {
            let mut bytes = id.to_be_bytes().to_vec();
            bytes.extend(flags);
            bytes.resize(HEADER, 0);
            read(7, &bytes)
        };
        assert_eq!(answer(7, [0x81, 0x80]), Some(Ok(())));
        assert_eq!(answer(7, [0x81, 0x82]), Some(Err("it answered SERVFAIL, server failure".to_owned())));
        assert_eq!(answer(8, [0x81, 0x80]), None, "somebody else's");
        assert_eq!(answer(7, [0x01, 0x00]), None, "a query");
        assert_eq!(read(7, &[0, 7, 0x81]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_fine(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            read(7, &bytes);
        }
    }
}
