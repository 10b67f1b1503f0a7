//! FTP, RFC 959 and 2428: lines of text over one connection say where the next one, for data, goes to.
//!
//! Passive: the server waits at a port of its own and says so, with its address (227) or without (229). Clients are told
//! the VIP, and the port as it is, unless they may have another connection there.
//!
//! The address gives way as soon as its first digit has come, since what takes its place does not depend on it. So it does
//! not matter how a line is cut into segments. Another port is told only where the whole of it is in one segment; else the
//! connection is not expected, if it would clash with another.

use super::reader::{Host, Line, MOST_TEXT, Module, Step, Text};
use crate::conn::entry::Direction;
use arrayvec::ArrayVec;
use std::{io::Write, net::IpAddr};

/// The module.
pub struct Ftp;

/// Bytes by which lines are told from others: a command, or a reply's code and the space that says that it is the last
/// line of it (RFC 959 4.2).
const WORD: usize = 4;

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

// What it means to do there: the bits of `Line::note`.

/// The text is replaced up to its fourth comma.
const ADDRESS_REPLACED: u8 = 1;
/// The text is replaced to its end.
const ALL_REPLACED: u8 = 2;
/// What the server says has been announced.
const ANNOUNCED: u8 = 4;

impl Module for Ftp {
    fn read(
        &self,
        line: &mut Line,
        direction: Direction,
        bytes: &[u8],
        may_replace: bool,
        host: &mut dyn Host,
    ) -> Step {
        for (at, &byte) in bytes.iter().enumerate() {
            match before(line, &bytes[at..], may_replace, host) {
                Before::Nothing => {}
                Before::Replace(text) => return Step::Replace(at, text),
                Before::End => return Step::End(at),
                Before::Wait => return Step::Wait(at),
            }
            if take(line, direction, byte) {
                return Step::Sealed(at + 1);
            }
        }
        Step::Read(bytes.len())
    }
}

/// What has to be done before a byte is read.
enum Before {
    Nothing,
    Replace(Text),
    End,
    Wait,
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
        ADDRESS if line.note & ADDRESS_REPLACED != 0 && byte == b',' && commas(line) == 3 => {
            line.note &= !ADDRESS_REPLACED;
            Before::End
        }
        ADDRESS | PORT if is_over => {
            let port = port_of(line.place, line.text.as_bytes());
            if let Some(port) = port.filter(|_| line.note & ANNOUNCED == 0) {
                host.passive(port, true);
            }
            let is_replaced = line.note & (ADDRESS_REPLACED | ALL_REPLACED) != 0;
            *line = Line { place: REST, ..Line::START };
            if is_replaced { Before::End } else { Before::Nothing }
        }
        _ => Before::Nothing,
    }
}

/// The text with the port begins. What is replaced of it, if anything is?
fn begin(line: &mut Line, place: u8, bytes: &[u8], may_replace: bool, host: &mut dyn Host) -> Before {
    if !host.rewrites() {
        *line = Line { place: REST, ..Line::START };
        return Before::Nothing;
    }
    if !may_replace {
        return Before::Wait;
    }
    let vip = match (place, host.vip()) {
        (ADDRESS, IpAddr::V4(vip)) => Some(vip.octets()),
        // No server has such an address to tell.
        (ADDRESS, IpAddr::V6(_)) => {
            *line = Line { place: REST, ..Line::START };
            return Before::Nothing;
        }
        _ => None,
    };
    (line.place, line.note) = (place, 0);
    line.text.clear();
    let whole = bytes.iter().position(|&byte| ends(place, byte)).and_then(|end| bytes.get(..end));
    let port = whole.and_then(|whole| port_of(place, whole));
    let told = port.and_then(|port| host.passive(port, false));
    if port.is_some() {
        line.note |= ANNOUNCED;
    }
    let other = told.filter(|told| Some(*told) != port);
    let (text, how) = match (vip, other) {
        (Some(vip), None) => (address(vip), ADDRESS_REPLACED),
        (Some(vip), Some(port)) => (with_port(&address(vip), port), ALL_REPLACED),
        (None, Some(port)) => (extended(bytes[0], port), ALL_REPLACED),
        (None, None) => return Before::Nothing,
    };
    let is_same = how == ADDRESS_REPLACED && whole.is_some_and(|whole| says(whole, text.as_bytes()));
    if is_same {
        return Before::Nothing;
    }
    line.note |= how;
    Before::Replace(text)
}

/// Reads a byte. Returns whether what follows is encrypted.
fn take(line: &mut Line, direction: Direction, byte: u8) -> bool {
    match line.place {
        _ if byte == b'\n' => *line = Line::START,
        BEGINNING => {
            line.text.push(byte);
            if line.text.as_bytes().len() == WORD {
                let place = match (direction, line.text.as_bytes()) {
                    (Direction::Out, b"227 ") => BEFORE_ADDRESS,
                    (Direction::Out, b"229 ") => BEFORE_PORT,
                    // RFC 4217 4.2.
                    (Direction::Out, b"234 ") => return true,
                    _ => REST,
                };
                *line = Line { place, ..Line::START };
            }
        }
        BEFORE_PORT if byte == b'(' => *line = Line { place: PORT, ..Line::START },
        ADDRESS | PORT => drop(line.text.push(byte)),
        _ => {}
    }
    false
}

/// Whether a byte is behind the text with the port.
fn ends(place: u8, byte: u8) -> bool {
    match place {
        ADDRESS => byte != b',' && !byte.is_ascii_digit(),
        PORT => matches!(byte, b')' | b'\r' | b'\n'),
        _ => false,
    }
}

fn commas(line: &Line) -> usize {
    line.text.as_bytes().iter().filter(|&&byte| byte == b',').count()
}

/// Whether an address and a port begin with that address.
fn says(whole: &[u8], address: &[u8]) -> bool {
    whole.strip_prefix(address).is_some_and(|port| port.first() == Some(&b','))
}

/// The port that a text says.
fn port_of(place: u8, text: &[u8]) -> Option<u16> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok().filter(|text| text.len() <= 5)?.parse().ok();
    let port: u16 = if place == ADDRESS {
        let numbers = text.split(|&byte| byte == b',').map(|text| u8::try_from(number(text)?).ok());
        // One more would not be an address.
        let numbers: ArrayVec<u8, 7> = numbers.take(7).collect::<Option<_>>()?;
        let &[_, _, _, _, high, low] = numbers.as_slice() else { return None };
        u16::from_be_bytes([high, low])
    } else {
        let (&delimiter, rest) = text.split_first()?;
        let text = rest.strip_prefix(&[delimiter, delimiter])?.strip_suffix(&[delimiter])?;
        number(text)?
    };
    (port != 0).then_some(port)
}

/// An address as replies and commands have it.
fn address([a, b, c, d]: [u8; 4]) -> Text {
    written(|out| write!(out, "{a},{b},{c},{d}"))
}

fn with_port(address: &Text, port: u16) -> Text {
    let [high, low] = port.to_be_bytes();
    written(|out| {
        out.write_all(address.as_bytes())?;
        write!(out, ",{high},{low}")
    })
}

/// A port as extended replies have it.
fn extended(delimiter: u8, port: u16) -> Text {
    written(|out| {
        out.write_all(&[delimiter; 3])?;
        write!(out, "{port}")?;
        out.write_all(&[delimiter])
    })
}

/// All of these are far shorter than there is room for.
fn written(write: impl FnOnce(&mut &mut [u8]) -> std::io::Result<()>) -> Text {
    let mut bytes = [0; MOST_TEXT];
    let mut left = &mut bytes[..];
    let is_written = write(&mut left).is_ok();
    let len = if is_written { MOST_TEXT - left.len() } else { 0 };
    Text::of(&bytes[..len])
}
