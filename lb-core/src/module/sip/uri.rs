//! Addresses and ports in headers: of URIs, `sip:user@192.0.2.1:5060;lr` (RFC 3261 19.1), and of Via,
//! `SIP/2.0/UDP 192.0.2.1:5060;branch=...` (20.42). Names are left as they are.

use crate::{
    conn::entry::Direction,
    module::{edits::Edits, reader::Host, text::Text},
    wire::sip::Line,
};
use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The port where none is said (RFC 3261 18.2.2), but over TLS, which nobody reads.
const PORT: u16 = 5_060;

/// An address in a text, and the port behind it.
struct Place {
    address: IpAddr,
    port: Option<u16>,
    /// Bytes of both.
    len: usize,
}

/// Replaces what is to be in all URIs of a line.
pub(super) fn replace(line: &Line<'_>, direction: Direction, edits: &mut Edits, host: &mut dyn Host) {
    let text = line.text;
    let mut at = 0;
    while let Some(behind) = find(&text[at..], b"sip:").into_iter().chain(find(&text[at..], b"sips:")).min() {
        at += behind;
        let end = text[at..].iter().position(|byte| matches!(byte, b'>' | b'"' | b' ' | b'\t'));
        let uri = &text[at..end.map_or(text.len(), |end| at + end)];
        let user = uri.iter().position(|&byte| byte == b'@').map_or(0, |user| user + 1);
        replace_at(line, at + user, direction, edits, host);
    }
}

/// The same in all of a Via, which may name several.
pub(super) fn replace_via(line: &Line<'_>, direction: Direction, edits: &mut Edits, host: &mut dyn Host) {
    let text = line.text;
    let mut at = 0;
    while let Some(behind) = find(&text[at..], b"sip/2.0/") {
        at += behind;
        let Some(transport) = text[at..].iter().position(u8::is_ascii_whitespace) else { return };
        let rest = &text[at + transport..];
        let spaces = rest.len() - rest.trim_ascii_start().len();
        replace_at(line, at + transport + spaces, direction, edits, host);
    }
}

/// Where a text goes on behind a word in letters of any size, which is not the end of another word.
fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    let starts = |&at: &usize| {
        text[at..at + word.len()].eq_ignore_ascii_case(word)
            && at.checked_sub(1).is_none_or(|before| !text[before].is_ascii_alphanumeric())
    };
    (0..(text.len() + 1).saturating_sub(word.len())).find(starts).map(|at| at + word.len())
}

fn replace_at(line: &Line<'_>, at: usize, direction: Direction, edits: &mut Edits, host: &mut dyn Host) {
    let Some(place) = line.text.get(at..).and_then(place) else { return };
    let said = SocketAddr::new(place.address, place.port.unwrap_or(PORT));
    let Some(told) = host.translated(direction, said).filter(|told| *told != said) else { return };
    let mut text = Text::EMPTY;
    let written = match told.ip() {
        IpAddr::V4(address) => write!(text, "{address}"),
        IpAddr::V6(address) => write!(text, "[{address}]"),
    };
    let with_port = match place.port.is_some() || told.port() != PORT {
        true => write!(text, ":{}", told.port()),
        false => Ok(()),
    };
    if written.and(with_port).is_ok() {
        edits.replace(line.at + at, place.len, text);
    }
}

/// The address, and the port, that a text begins with.
fn place(text: &[u8]) -> Option<Place> {
    let (address, len) = match text.strip_prefix(b"[") {
        Some(inside) => {
            let len = inside.iter().position(|&byte| byte == b']')?;
            let address: Ipv6Addr = std::str::from_utf8(&inside[..len]).ok()?.parse().ok()?;
            (IpAddr::from(address), len + 2)
        }
        None => {
            let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            let len = text.iter().position(|byte| !is_of_name(byte)).unwrap_or(text.len());
            let address: Ipv4Addr = std::str::from_utf8(&text[..len]).ok()?.parse().ok()?;
            (IpAddr::from(address), len)
        }
    };
    let Some(behind) = text[len..].strip_prefix(b":") else {
        return Some(Place { address, port: None, len });
    };
    let digits = behind.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(behind.len());
    let port = std::str::from_utf8(&behind[..digits]).ok()?.parse().ok()?;
    Some(Place { address, port: Some(port), len: len + 1 + digits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_with_and_without_ports() {
        let read = |text: &str| {
            place(text.as_bytes()).map(|it| (it.address.to_string(), it.port, text[it.len..].to_owned()))
        };
        let is = |address: &str, port, rest: &str| Some((address.to_owned(), port, rest.to_owned()));
        assert_eq!(read("192.0.2.1:5080;lr"), is("192.0.2.1", Some(5_080), ";lr"));
        assert_eq!(read("192.0.2.1>"), is("192.0.2.1", None, ">"));
        assert_eq!(read("[2001:db8::1]:5060"), is("2001:db8::1", Some(5_060), ""));
        assert_eq!(read("[2001:db8::1];lr"), is("2001:db8::1", None, ";lr"));
        for none in
            ["", "192.0.2", "192.0.2.1.example.com", "192.0.2.1x", "[2001:db8::1", "192.0.2.1:", "x:5060"]
        {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(read("192.0.2.1:65536"), None);
    }

    #[test]
    fn words_are_found_where_they_begin() {
        assert_eq!(find(b"<SIP:a@b>", b"sip:"), Some(5));
        assert_eq!(find(b"xsip:a, sip:b", b"sip:"), Some(12));
        assert_eq!(find(b"sip", b"sip:"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: Vec<u8>) {
            prop_assert!(place(&text).is_none_or(|place| place.len <= text.len()));
            prop_assert!(find(&text, b"sip:").is_none_or(|at| at <= text.len()));
        }
    }
}
