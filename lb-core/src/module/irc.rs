//! IRC, RFC 1459 and 2812, with DCC: a client that waits for another one directly says where, in a message between the two.
//!
//! Of clients on servers behind the director, `PRIVMSG nick :\x01DCC SEND file address port size\x01` becomes one with the
//! rule's address and a port of the director's, and a connection from anybody is expected there; `CHAT`, `SCHAT`, `TSEND` and
//! `MOVE` are alike. To go on with a file the other one says `RESUME file port position`, by the port that it was told, and is
//! answered by `ACCEPT`: those ports become those of the other side. What is passive has port 0 and stays as it is, since
//! then the other one waits.
//!
//! Address and port give way to others once both have come whole. What has not is held back until its sender repeats it, which
//! is in one segment then.
//!
//! Compared with Linux (`nf_conntrack_irc.c`, `nf_nat_irc.c`): it takes ports below 1024 as well, and reads nothing of
//! `RESUME`; there a file name has no quotes.

use super::{
    kept::Kept,
    reader::{Before, Host, Line, Module, Step},
    text::{Text, number},
};
use crate::conn::entry::Direction;
use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// The module.
pub struct Irc;

/// The command of messages between people (RFC 2812 3.3.1). What programs answer by themselves is `NOTICE`, so that nobody
/// has them offer anything.
const COMMAND: &[u8] = b"PRIVMSG";
/// How a message begins that is of DCC: CTCP's delimiter, and a word.
const DCC: &[u8] = b"\x01DCC ";
/// Words that are followed by what is offered, address and port.
const OFFERS: [&[u8]; 5] = [b"SEND", b"CHAT", b"TSEND", b"SCHAT", b"MOVE"];
/// Bytes of the longest of all words, and one more.
const WORD: u16 = 8;
/// How a record of TLS with a handshake begins (RFC 8446 5.1), also after STARTTLS: no line does.
const TLS: [u8; 2] = [0x16, 0x03];
/// Bytes of an address and a port at most: an address of IPv6 in text.
const LONGEST: usize = 45;

// Where a direction is in a line: what `Line::place` says.

/// In the first bytes of it, or of what follows its tags or prefix.
const BEGINNING: u8 = 0;
/// In what does not matter, until the next line.
const REST: u8 = 1;
/// In tags or prefix.
const AHEAD: u8 = 2;
/// In whom it is for.
const TARGET: u8 = 3;
/// Before the colon of its text.
const BEFORE_TEXT: u8 = 4;
/// In the first bytes of its text.
const TEXT: u8 = 5;
/// In the word that says what it is.
const VERB: u8 = 6;
/// At the beginning of what is offered.
const BEFORE_NAME: u8 = 7;
/// In what is offered: a file, or the word chat.
const NAME: u8 = 8;
/// The same in quotes.
const QUOTED: u8 = 9;
/// Before address and port.
const NUMBERS: u8 = 10;
/// In what is replaced, of which `Line::port` bytes are left.
const REPLACED: u8 = 11;

// What is meant to be done there: the bits of `Line::note`.

/// Address and port are read; else a port alone.
const OFFERED: u8 = 1;
/// How often numbers have been held back because they had not come whole.
const HELD_BACK: u8 = 2;
/// How often that may be.
const PATIENCE: u8 = 2;

impl Module for Irc {
    fn read(
        &self,
        (line, _): (&mut Line, &mut Kept),
        direction: Direction,
        bytes: &[u8],
        may_replace: bool,
        host: &mut dyn Host,
    ) -> Step {
        for (at, &byte) in bytes.iter().enumerate() {
            match line.place {
                REPLACED if line.port == 0 => {
                    *line = Line { place: REST, ..Line::START };
                    return Step::End(at);
                }
                NUMBERS if byte != b' ' => {
                    let before = numbers(line, direction, &bytes[at..], may_replace, host);
                    if let Some(step) = before.step(at) {
                        return step;
                    }
                }
                _ => {}
            }
            if take(line, direction, byte) {
                return Step::Sealed(at + 1);
            }
        }
        Step::Read(bytes.len())
    }
}

/// What has to be done before the first byte of numbers is read.
fn numbers(
    line: &mut Line,
    direction: Direction,
    bytes: &[u8],
    may_replace: bool,
    host: &mut dyn Host,
) -> Before {
    let (is_offered, held_back) = (line.note & OFFERED != 0, line.note / HELD_BACK);
    let words = if is_offered { 2 } else { 1 };
    let rest = Line { place: REST, ..Line::START };
    let Some(old) = whole(bytes, words) else {
        // What is too long is none, and who sends byte by byte is not helped.
        if bytes.len() > LONGEST || held_back == PATIENCE || bytes.iter().any(u8::is_ascii_control) {
            *line = rest;
            return Before::Nothing;
        }
        line.note += HELD_BACK;
        return Before::Wait;
    };
    let new = if is_offered {
        match endpoint(old) {
            Some(_) if !may_replace => return Before::Wait,
            Some(client) => host.open_to_anybody(client).map(|told| offered(old, told)),
            None => None,
        }
    } else {
        number(old).and_then(|port| host.port_to_anybody(direction, port)).map(|port| written(&port))
    };
    let Some(new) = new.filter(|new| new.as_bytes() != old) else {
        *line = rest;
        return Before::Nothing;
    };
    if !may_replace {
        return Before::Wait;
    }
    *line = Line { place: REPLACED, port: u16::try_from(old.len()).unwrap_or_default(), ..Line::START };
    Before::Replace(new)
}

/// So many words, if they are there to the end of the last.
fn whole(bytes: &[u8], words: usize) -> Option<&[u8]> {
    let ends = |byte: u8| byte == b' ' || byte.is_ascii_control();
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| ends(**byte)).map(|(at, _)| at);
    let end = ends.nth(words - 1).filter(|end| *end <= LONGEST)?;
    bytes.get(..end)
}

/// The address and port that a client says. An address of IPv4 is one number (CTCP/DCC of ircII); some write it as others do.
fn endpoint(text: &[u8]) -> Option<SocketAddr> {
    let at = text.iter().position(|byte| *byte == b' ')?;
    let (address, port) = (text.get(..at)?, text.get(at + 1..)?);
    let port = number(port).filter(|port| *port != 0)?;
    let address = std::str::from_utf8(address).ok()?;
    let is_number = address.bytes().all(|byte| byte.is_ascii_digit());
    let ip = match is_number {
        true => IpAddr::V4(Ipv4Addr::from_bits(address.parse().ok()?)),
        false => address.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

/// What takes the place of an address and a port, written in the same way.
fn offered(old: &[u8], told: SocketAddr) -> Text {
    let is_number = old.iter().all(|byte| byte.is_ascii_digit() || *byte == b' ');
    match told.ip() {
        IpAddr::V4(address) if is_number => written(&format_args!("{} {}", address.to_bits(), told.port())),
        address => written(&format_args!("{address} {}", told.port())),
    }
}

/// All of these are shorter than there is room for.
fn written(what: &dyn std::fmt::Display) -> Text {
    let mut text = Text::EMPTY;
    let _ = write!(text, "{what}");
    text
}

/// Reads a byte. Returns whether what follows is encrypted.
fn take(line: &mut Line, direction: Direction, byte: u8) -> bool {
    let next = |place: u8| Line { place, ..Line::START };
    match line.place {
        REPLACED => line.port = line.port.saturating_sub(1),
        // RFC 1459 2.3: of the two either may be missing.
        _ if byte == b'\n' || byte == b'\r' => *line = Line::START,
        BEGINNING if line.text.is_empty() && matches!(byte, b'@' | b':') => *line = next(AHEAD),
        AHEAD if byte == b' ' => *line = Line::START,
        BEGINNING if byte == b' ' => {
            let is_message = line.text.as_bytes().eq_ignore_ascii_case(COMMAND);
            *line = next(if is_message { TARGET } else { REST });
        }
        BEGINNING => {
            push(line, byte);
            return line.text.as_bytes() == TLS;
        }
        TARGET if byte == b' ' => line.place = BEFORE_TEXT,
        BEFORE_TEXT if byte == b' ' => {}
        BEFORE_TEXT => *line = next(if byte == b':' { TEXT } else { REST }),
        TEXT => {
            push(line, byte);
            let text = line.text.as_bytes();
            if text.eq_ignore_ascii_case(DCC) {
                *line = next(VERB);
            } else if !DCC.get(..text.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(text)) {
                *line = next(REST);
            }
        }
        VERB if byte == b' ' => {
            let is = |word: &[u8]| line.text.as_bytes().eq_ignore_ascii_case(word);
            *line = match direction {
                Direction::In if OFFERS.into_iter().any(is) => Line { note: OFFERED, ..next(BEFORE_NAME) },
                Direction::In if is(b"ACCEPT") => next(BEFORE_NAME),
                Direction::Out if is(b"RESUME") => next(BEFORE_NAME),
                _ => next(REST),
            };
        }
        VERB => push(line, byte),
        BEFORE_NAME if byte == b' ' => {}
        BEFORE_NAME => line.place = if byte == b'"' { QUOTED } else { NAME },
        QUOTED if byte == b'"' => line.place = NAME,
        NAME if byte == b' ' => line.place = NUMBERS,
        _ => {}
    }
    false
}

/// Keeps a byte of a word; one that is too long is none that matters.
fn push(line: &mut Line, byte: u8) {
    line.text.push(byte);
    if line.text.len() > WORD {
        *line = Line { place: REST, ..Line::START };
    }
}

#[cfg(test)]
mod tests;
