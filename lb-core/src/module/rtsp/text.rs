//! Tokens of headers: parameters of Transport, `server_port=6970-6971` (RFC 2326 12.39), and URLs,
//! `url=rtsp://198.51.100.11:554/film/track1` (3.2). Names of hosts are left as they are.

use crate::module::text::Text;
use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// The port of URLs that say none (RFC 2326 3.2).
const PORT: u16 = 554;
/// Bytes in front of a URL's `://` in a token, at most: `url="rtsps`, and room.
const MOST_SCHEME: usize = 16;

/// What a parameter says, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    /// Where media comes from.
    Source(usize, IpAddr),
    /// Where it goes to.
    Destination(usize, IpAddr),
    /// The server waits for RTP at that port, and for RTCP at the next.
    ServerPort(usize, u16),
    /// The same of the client.
    ClientPort(u16),
}

/// A host's address in a URL, and its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    address: IpAddr,
    port: Option<u16>,
}

/// Whether a byte is between tokens.
pub(super) const fn is_between(byte: u8) -> bool {
    matches!(byte, b';' | b',' | b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'<' | b'>')
}

/// Whether a byte is behind an address or a port.
pub(super) const fn is_behind(byte: u8) -> bool {
    is_between(byte) || matches!(byte, b'/' | b'?' | b'#')
}

/// The token that a text begins with, if it has come whole.
pub(super) fn token(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|&byte| is_between(byte))?;
    text.get(..end)
}

/// What a token says as a parameter.
pub(super) fn parameter(token: &[u8]) -> Option<Parameter> {
    let at = token.iter().position(|&byte| byte == b'=')? + 1;
    let (name, value) = (&token[..at - 1], &token[at..]);
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    if is("source") || is("destination") {
        let address = host(value)?;
        let said = if is("source") { Parameter::Source } else { Parameter::Destination };
        return Some(said(at, address));
    }
    let mut ports = value.splitn(2, |&byte| byte == b'-').map(number);
    let port = ports.next()?.filter(|port| *port != 0);
    match ports.next() {
        Some(None) => None,
        _ if is("server_port") => Some(Parameter::ServerPort(at, port?)),
        _ if is("client_port") => Some(Parameter::ClientPort(port?)),
        _ => None,
    }
}

/// The parameters of a transport that go on there, as far as they have come.
pub(super) fn parameters(text: &[u8]) -> impl Iterator<Item = Parameter> {
    let end = text.iter().position(|byte| matches!(byte, b',' | b'\n')).unwrap_or(text.len());
    text[..end].split(|&byte| is_between(byte)).filter_map(parameter)
}

/// The host of a URL that a text begins with, and where it is. `None` if it has not come whole.
#[expect(
    clippy::option_option,
    reason = "whether there is one is not known yet, or it is known that there is none"
)]
pub(super) fn endpoint(text: &[u8]) -> Option<Option<(usize, Place)>> {
    let whole = token(text);
    let seen = whole.unwrap_or(text);
    let scheme = seen.windows(3).take(MOST_SCHEME).position(|window| window == b"://");
    let Some(scheme) = scheme else {
        return (whole.is_some() || seen.len() >= MOST_SCHEME + 3).then_some(None);
    };
    let start = scheme + 3;
    let behind = seen[start..].iter().position(|&byte| is_behind(byte));
    let end = behind.map(|len| start + len).or(whole.map(<[u8]>::len))?;
    let user = seen[start..end].iter().rposition(|&byte| byte == b'@').map_or(0, |at| at + 1);
    let is_rtsp = ["rtsp", "rtsps", "rtspu"].iter().any(|it| ends_with(&seen[..scheme], it));
    let place = place(&seen[start + user..end]).filter(|_| is_rtsp);
    Some(place.map(|place| (start + user, place)))
}

fn ends_with(text: &[u8], word: &str) -> bool {
    let Some(at) = text.len().checked_sub(word.len()) else { return false };
    text[at..].eq_ignore_ascii_case(word.as_bytes())
        && at.checked_sub(1).is_none_or(|before| !text[before].is_ascii_alphanumeric())
}

/// An address, and a port if one is said.
fn place(text: &[u8]) -> Option<Place> {
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, port) = text.split_at(text.len() - digits);
    Some(match before.strip_suffix(b":") {
        Some(address) => Place { address: host(address)?, port: Some(number(port)?) },
        None => Place { address: host(text)?, port: None },
    })
}

/// An address, that of IPv6 in brackets or without.
fn host(text: &[u8]) -> Option<IpAddr> {
    match text.strip_prefix(b"[") {
        Some(inside) => Some(IpAddr::V6(read(inside.strip_suffix(b"]")?)?)),
        None => read(text),
    }
}

/// A number of 16 bits: digits, and nothing else.
pub(super) fn number(text: &[u8]) -> Option<u16> {
    read(text).filter(|_| text.iter().all(u8::is_ascii_digit))
}

fn read<T: FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

impl Place {
    /// The endpoint.
    pub(super) fn endpoint(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port.unwrap_or(PORT))
    }

    /// Another endpoint as this one is written.
    pub(super) fn with(self, told: SocketAddr) -> Option<Text> {
        let mut text = Text::EMPTY;
        match told.ip() {
            IpAddr::V4(address) => write!(text, "{address}").ok()?,
            IpAddr::V6(address) => write!(text, "[{address}]").ok()?,
        }
        if self.port.is_some() || told.port() != PORT {
            write!(text, ":{}", told.port()).ok()?;
        }
        Some(text)
    }
}

/// An address as a parameter has it.
pub(super) fn address(address: IpAddr) -> Option<Text> {
    let mut text = Text::EMPTY;
    write!(text, "{address}").ok().map(|()| text)
}

/// Ports of RTP and RTCP as a parameter has them.
pub(super) fn pair(port: u16) -> Option<Text> {
    let mut text = Text::EMPTY;
    write!(text, "{port}-{}", port.checked_add(1)?).ok().map(|()| text)
}
