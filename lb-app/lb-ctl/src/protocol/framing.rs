//! Lines of JSON, within limits.

use super::{Call, Code, Outcome, Refusal, Return, VERSION};
use std::io::{self, BufRead, Read};

/// Longest request, in bytes.
pub const MAX_REQUEST: usize = 64 << 10;
/// Longest answer that a client takes, in bytes. Directors' pages are far below.
pub const MAX_REPLY: usize = 16 << 20;

/// Reads a line of at most `most` bytes without its end. `None` at the end of the stream.
///
/// # Errors
/// The reader's, and `InvalidData` for a line that is too long or ends in the middle.
pub fn read_line(reader: &mut impl BufRead, most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.by_ref().take(most as u64 + 1).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(line));
    }
    if line.is_empty() {
        return Ok(None);
    }
    let what = if line.len() > most {
        format!("a line is longer than {most} bytes")
    } else {
        "a line is cut off".to_owned()
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Reads one request. Whatever the bytes are, the answer to a bad one is a refusal with the request's `id`, if that
/// much could be made out.
///
/// # Errors
/// What to answer, and to which `id`.
pub fn parse_call(line: &[u8]) -> Result<Call, (Option<u64>, Refusal)> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        version: Option<u32>,
        id: Option<u64>,
    }
    let bad = |id, error: &serde_json::Error| {
        (id, Refusal::new(Code::BadRequest, format!("not a request: {error}")))
    };
    match serde_json::from_slice::<Call>(line) {
        Ok(call) if call.version == VERSION => Ok(call),
        Ok(call) => Err((call.id, other_version(call.version))),
        Err(error) => match serde_json::from_slice::<Envelope>(line) {
            // A request of another version may well look otherwise.
            Ok(Envelope { version: Some(version), id }) if version != VERSION => {
                Err((id, other_version(version)))
            }
            Ok(Envelope { id, .. }) => Err(bad(id, &error)),
            Err(_) => Err(bad(None, &error)),
        },
    }
}

fn other_version(version: u32) -> Refusal {
    let message =
        format!("protocol version {version} is not supported, only {VERSION}: use the lbctl of this lb-app");
    Refusal::new(Code::OtherVersion, message)
}

/// The answer as a line with its end.
#[must_use]
pub fn write_return(id: Option<u64>, outcome: Outcome) -> Vec<u8> {
    let answer = Return { version: VERSION, id, outcome };
    let mut line = serde_json::to_vec(&answer).expect("plain data becomes JSON");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Request, director};
    use proptest::prelude::*;

    #[test]
    fn lines_end_and_are_bounded() {
        let mut input = &b"one\n\ntwo\nthr"[..];
        assert_eq!(read_line(&mut input, 8).unwrap().unwrap(), b"one");
        assert_eq!(read_line(&mut input, 8).unwrap().unwrap(), b"");
        assert_eq!(read_line(&mut input, 3).unwrap().unwrap(), b"two");
        assert!(read_line(&mut input, 8).unwrap_err().to_string().contains("cut off"));
        assert_eq!(read_line(&mut input, 8).unwrap(), None);
        assert!(read_line(&mut &b"four\n"[..], 3).unwrap_err().to_string().contains("longer than 3"));
    }

    #[test]
    fn requests_are_read_or_refused() {
        let call = parse_call(br#"{"version":1,"id":7,"request":{"director":"about"}}"#).unwrap();
        assert_eq!((call.id, call.request), (Some(7), Request::Director(director::Request::About)));
        let refused = |line: &[u8]| parse_call(line).map_err(|(id, refusal)| (id, refusal.code)).unwrap_err();
        assert_eq!(refused(br#"{"version":2,"id":7,"ask":1}"#), (Some(7), Code::OtherVersion));
        assert_eq!(refused(br#"{"version":1,"id":7,"request":"about"}"#), (Some(7), Code::BadRequest));
        assert_eq!(
            refused(br#"{"version":1,"id":7,"request":{"director":"about"},"x":0}"#),
            (Some(7), Code::BadRequest)
        );
        assert_eq!(refused(b"GET / HTTP/1.1"), (None, Code::BadRequest));
        assert_eq!(refused(&[b'['; MAX_REQUEST]), (None, Code::BadRequest));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = parse_call(&bytes);
            let mut input = &bytes[..];
            while let Ok(Some(line)) = read_line(&mut input, 100) {
                prop_assert!(line.len() <= 100);
            }
        }

        #[test]
        fn requests_with_bytes_changed_are_answered(at in 0usize..200, to: u8) {
            let mut line = br#"{"version":1,"id":18446744073709551615,"request":{"connections":{"list":{"filter":{"client":"192.0.2.0/24","state":"established","packets":1},"cursor":{"of":1,"at":2},"limit":5}}}}"#.to_vec();
            prop_assert!(parse_call(&line).is_ok());
            if let Some(byte) = line.get_mut(at) {
                *byte = to;
            }
            if let Err((_, refusal)) = parse_call(&line) {
                let line = write_return(None, Outcome::Error(refusal));
                prop_assert!(line.len() < 4_096 && line.ends_with(b"\n"));
                prop_assert!(serde_json::from_slice::<Return>(&line).is_ok());
            }
        }
    }
}
