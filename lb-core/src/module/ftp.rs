//! FTP, RFC 959 and 2428: lines of text over one connection say where the next one, for data, goes to.
//!
//! **Passive**: the server waits at a port of its own and says so, with its address (227) or without (229). Clients are
//! told the VIP, and the port as it is, unless they may have another connection there.
//!
//! **Active**: the client waits and says where (PORT, EPRT), and the server connects. A server that sees another address in
//! the place of the client's is told that.
//!
//! A text gives way as soon as its first byte has come, since what takes its place does not depend on it. So it does not
//! matter how a line is cut into segments. There are two exceptions. Another port is told to a client only where the whole of it
//! is in one segment; else the connection is not expected, if it would clash with another. And which local port is told to a
//! server may depend on the client's port, as both lead to one worker: so a command that has not come whole is held back until
//! its sender repeats it, which is in one segment then. Who sends byte by byte all the same is told any port.
//!
//! Where servers answer clients themselves, what the client asks for is all that is seen.
//!
//! Of a client behind the director (SNAT) the server is told the local address, and what a server says of itself stays.

mod text;

use super::{
    kept::Kept,
    reader::{Before, Host, Line, Module, Step},
    text::Text,
};
use crate::conn::entry::Direction;
use std::net::{IpAddr, SocketAddr};

/// The module.
pub struct Ftp;

/// Bytes by which lines are told from others: a command, or a reply's code and the space that says that it is the last
/// line of it (RFC 959 4.2).
const WORD: usize = 4;
/// How a record of TLS with a handshake begins (RFC 8446 5.1): no line does.
const TLS: [u8; 2] = [0x16, 0x03];

// Where a direction is in a line: what `Line::place` says.

/// In its first bytes.
const BEGINNING: u8 = 0;
/// In what does not matter, until the next line.
const REST: u8 = 1;
/// Before the address of a reply 227: RFC 1123 4.1.2.6 has clients look for the first digit.
const BEFORE_ADDRESS: u8 = 2;
/// In address and port: six numbers.
const ADDRESS: u8 = 3;
/// Before the parenthesis of a reply 229.
const BEFORE_PORT: u8 = 4;
/// Behind it: `|||port|`, with any delimiter.
const PORT: u8 = 5;
/// Behind the word PORT.
const BEFORE_NUMBERS: u8 = 6;
/// In a client's address and port: six numbers.
const NUMBERS: u8 = 7;
/// Behind the word EPRT.
const BEFORE_FIELDS: u8 = 8;
/// In a client's address and port: `|family|address|port|`, with any delimiter.
const FIELDS: u8 = 9;

// What it means to do there: the bits of `Line::note`.

/// The text is replaced up to its fourth comma.
const ADDRESS_REPLACED: u8 = 1;
/// The text is replaced to its end.
const ALL_REPLACED: u8 = 2;
/// What the server says has been announced.
const ANNOUNCED: u8 = 4;
/// How often a text has been held back because it had not come whole.
const HELD_BACK: u8 = 8;
/// How often that may be.
const PATIENCE: u8 = 2;

impl Module for Ftp {
    fn read(
        &self,
        (line, _): (&mut Line, &mut Kept),
        direction: Direction,
        bytes: &[u8],
        may_replace: bool,
        host: &mut dyn Host,
    ) -> Step {
        for (at, &byte) in bytes.iter().enumerate() {
            if let Some(step) = before(line, &bytes[at..], may_replace, host).step(at) {
                return step;
            }
            if take(line, direction, byte, host) {
                return Step::Sealed(at + 1);
            }
        }
        Step::Read(bytes.len())
    }
}

/// What has to be done before the first of these bytes is read.
fn before(line: &mut Line, bytes: &[u8], may_replace: bool, host: &mut dyn Host) -> Before {
    let Some(&byte) = bytes.first() else { return Before::Nothing };
    let is_over = line.text.len() == Text::ROOM || ends(line.place, byte);
    match line.place {
        BEFORE_ADDRESS if byte.is_ascii_digit() => begin(line, ADDRESS, bytes, may_replace, host),
        PORT if line.text.is_empty() && line.note == 0 && !is_over => {
            begin(line, PORT, bytes, may_replace, host)
        }
        BEFORE_NUMBERS if byte.is_ascii_digit() => show(line, NUMBERS, bytes, may_replace, host),
        BEFORE_FIELDS if byte.is_ascii_graphic() => show(line, FIELDS, bytes, may_replace, host),
        ADDRESS if line.note & ADDRESS_REPLACED != 0 && byte == b',' && commas(line) == 3 => {
            line.note &= !ADDRESS_REPLACED;
            Before::End
        }
        ADDRESS | PORT | NUMBERS | FIELDS if is_over => {
            let text = line.text.as_bytes();
            match line.place {
                NUMBERS | FIELDS => {
                    if let Some(client) = client_of(line.place, text) {
                        host.active(client, line.port);
                    }
                }
                _ => {
                    if let Some(port) = port_of(line.place, text).filter(|_| line.note & ANNOUNCED == 0) {
                        host.passive(port, true);
                    }
                }
            }
            let is_replaced = line.note & (ADDRESS_REPLACED | ALL_REPLACED) != 0;
            *line = Line { place: REST, ..Line::START };
            if is_replaced { Before::End } else { Before::Nothing }
        }
        _ => Before::Nothing,
    }
}

/// The text with the server's port begins. What is replaced of it, if anything is?
fn begin(line: &mut Line, place: u8, bytes: &[u8], may_replace: bool, host: &mut dyn Host) -> Before {
    if !host.rewrites() {
        *line = Line { place: REST, ..Line::START };
        return Before::Nothing;
    }
    if host.is_outward() {
        // It is read, and stays as it is.
        *line = Line { place, ..Line::START };
        return Before::Nothing;
    }
    if !may_replace {
        return Before::Wait;
    }
    let vip = match (place, host.vip()) {
        (ADDRESS, IpAddr::V4(vip)) => Some(vip),
        // No server has such an address to tell.
        (ADDRESS, IpAddr::V6(_)) => {
            *line = Line { place: REST, ..Line::START };
            return Before::Nothing;
        }
        _ => None,
    };
    *line = Line { place, ..Line::START };
    let whole = whole(place, bytes);
    let port = whole.and_then(|whole| port_of(place, whole));
    let told = port.and_then(|port| host.passive(port, false));
    if port.is_some() {
        line.note |= ANNOUNCED;
    }
    let other = told.filter(|told| Some(*told) != port);
    let (text, how) = match (vip, other) {
        (Some(vip), None) => (text::address(vip), ADDRESS_REPLACED),
        (Some(vip), Some(port)) => (text::as_numbers(vip, port), ALL_REPLACED),
        (None, Some(port)) => (text::as_port(bytes[0], port), ALL_REPLACED),
        (None, None) => return Before::Nothing,
    };
    let is_same = how == ADDRESS_REPLACED && whole.is_some_and(|whole| says(whole, text.as_bytes()));
    if is_same {
        return Before::Nothing;
    }
    line.note |= how;
    Before::Replace(text)
}

/// The text with the client's address and port begins. What does the server get in its place?
fn show(line: &mut Line, place: u8, bytes: &[u8], may_replace: bool, host: &mut dyn Host) -> Before {
    let whole = whole(place, bytes);
    let client = whole.and_then(|whole| client_of(place, whole));
    let is_theirs = client.is_none_or(|client| client.ip() != host.client());
    let is_short = place == NUMBERS && host.client().is_ipv6();
    // Who names another host is not helped to reach it (RFC 2577 3).
    if is_short || whole.is_some() && is_theirs {
        *line = Line { place: REST, ..Line::START };
        return Before::Nothing;
    }
    if host.hides_clients() {
        if !may_replace {
            return Before::Wait;
        }
        if whole.is_none() && host.is_choosy() && line.note < PATIENCE * HELD_BACK {
            line.note += HELD_BACK;
            return Before::Wait;
        }
    }
    *line = Line { place, ..Line::START };
    if !host.hides_clients() {
        return Before::Nothing;
    }
    let Some(shown) = host.shown(client.map(|client| client.port())) else {
        line.place = REST;
        return Before::Nothing;
    };
    line.port = shown.port();
    line.note |= ALL_REPLACED;
    Before::Replace(match (place, shown.ip()) {
        (NUMBERS, IpAddr::V4(address)) => text::as_numbers(address, shown.port()),
        _ => text::as_fields(bytes[0], shown.ip(), shown.port()),
    })
}

/// Reads a byte. Returns whether what follows is encrypted.
fn take(line: &mut Line, direction: Direction, byte: u8, host: &mut dyn Host) -> bool {
    match line.place {
        _ if byte == b'\n' => *line = Line::START,
        BEGINNING => {
            line.text.push(byte);
            match line.text.as_bytes() {
                text if text == TLS => return true,
                text if text.len() == WORD => {
                    let mut word: [u8; WORD] = text.try_into().unwrap_or_default();
                    word.make_ascii_uppercase();
                    let place = match (direction, &word) {
                        (Direction::Out, b"227 ") => BEFORE_ADDRESS,
                        (Direction::Out, b"229 ") => BEFORE_PORT,
                        // RFC 4217 4.2.
                        (Direction::Out, b"234 ") => return true,
                        (Direction::In, b"PORT") => BEFORE_NUMBERS,
                        (Direction::In, b"EPRT") => BEFORE_FIELDS,
                        (Direction::In, b"PASV" | b"EPSV") => {
                            host.passive_somewhere();
                            REST
                        }
                        _ => REST,
                    };
                    *line = Line { place, ..Line::START };
                }
                _ => {}
            }
        }
        BEFORE_PORT if byte == b'(' => *line = Line { place: PORT, ..Line::START },
        ADDRESS | PORT | NUMBERS | FIELDS => drop(line.text.push(byte)),
        _ => {}
    }
    false
}

/// Whether a byte is behind the text with the port.
fn ends(place: u8, byte: u8) -> bool {
    match place {
        ADDRESS | NUMBERS => byte != b',' && !byte.is_ascii_digit(),
        PORT => matches!(byte, b')' | b'\r' | b'\n'),
        FIELDS => !byte.is_ascii_graphic(),
        _ => false,
    }
}

/// The whole text, if it is there to its end.
fn whole(place: u8, bytes: &[u8]) -> Option<&[u8]> {
    bytes.iter().position(|&byte| ends(place, byte)).and_then(|end| bytes.get(..end))
}

fn commas(line: &Line) -> usize {
    line.text.as_bytes().iter().filter(|&&byte| byte == b',').count()
}

/// Whether an address and a port begin with that address.
fn says(whole: &[u8], address: &[u8]) -> bool {
    whole.strip_prefix(address).is_some_and(|port| port.first() == Some(&b','))
}

/// The port that a server says.
fn port_of(place: u8, text: &[u8]) -> Option<u16> {
    match place {
        ADDRESS => text::numbers(text).map(|server| server.port()),
        _ => text::port(text),
    }
}

/// The address and port that a client says.
fn client_of(place: u8, text: &[u8]) -> Option<SocketAddr> {
    match place {
        NUMBERS => text::numbers(text),
        _ => text::fields(text),
    }
}
