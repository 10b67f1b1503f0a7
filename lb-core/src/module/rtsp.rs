//! RTSP, RFC 2326, and what RFC 7826 has in common with it: messages over TCP say where media over UDP goes.
//!
//! **Media**: a server's `Transport:` says at which port it waits for RTP, that of RTCP being the next, and either side may
//! begin. Clients are told the port as it is, unless the same client is expected there with another server. It is expected for
//! as long as the session lives: each message of the server's says so again, as a client that has nothing to say keeps its
//! session alive (RFC 2326 12.37); until its TEARDOWN. What flows keeps its own connection.
//!
//! **Addresses**: where the server is named to the client, it gives way to the VIP: in `source=` and `destination=`, and in the
//! URLs of `Content-Base`, `Content-Location`, `Location` and `RTP-Info`. Bodies stay as they are, as the length of a body is
//! said before it. What clients say stays, too.
//!
//! **Frames** of media within the connection, `$` and a length (RFC 2326 10.12), are skipped. What is neither a frame nor a
//! message, as TLS and HTTP, is not read on.
//!
//! What gives way is replaced where it is whole in a segment, since it takes all of it to know whether it does. Else it is held
//! back until its sender repeats it, which is in one segment then. Who sends byte by byte all the same is let through.
//!
//! Where servers answer clients themselves, the ports that a client names are all that is seen: what it sends from there, to
//! whatever port of the VIP, goes to the server that it talks to.

mod text;

use super::{
    kept::Kept,
    reader::{Host, Line, Module, Step},
    text::Text,
};
use crate::{conn::entry::Direction, limits::FIRST_LOCAL_PORT};
use text::Parameter;

/// The module.
pub struct Rtsp;

// Where a direction is: what `Line::place` says.

/// Before a message or a frame.
const BEGINNING: u8 = 0;
/// In the first line of a message, whose words are kept one by one.
const FIRST: u8 = 1;
/// At the beginning of a header: in its name, if it has one.
const NAME: u8 = 2;
/// In what does not matter, until the next header.
const REST: u8 = 3;
/// In the value of Content-Length.
const LENGTH: u8 = 4;
/// In the value of Session.
const SESSION: u8 = 5;
/// Between tokens of a header that says something, or before one, which has been held back as often as the kept text is long.
const TOKEN: u8 = 6;
/// In a token that has been read.
const INSIDE: u8 = 7;
/// In a text that is replaced.
const REPLACED: u8 = 8;
/// In a token that is kept until it is whole.
const COLLECTED: u8 = 9;
/// Behind the `$` of a frame.
const FRAME: u8 = 10;
/// In a body or a frame, of which so many bytes are left as `Line::port` says. In a message that is the length of its body.
const BODY: u8 = 11;
/// In what nobody understands, until the next line.
const LOST: u8 = 12;

// What is known of the message: the bits of `Line::note`.

/// The first word is over.
const HAS_WORD: u8 = 1;
/// It is a message of RTSP.
const IS_RTSP: u8 = 2;
/// It ends a session.
const ENDS: u8 = 4;
/// Media has been announced.
const ANNOUNCED: u8 = 8;
/// The header has URLs.
const URLS: u8 = 16;
/// Media comes from another host.
const ELSEWHERE: u8 = 32;
/// Its sender does not send tokens whole.
const GIVEN_UP: u8 = 64;

/// How often a token is held back because it has not come whole. What is doubled on its way counts as repeated.
const PATIENCE: u16 = 5;

impl Module for Rtsp {
    fn read(
        &self,
        (line, kept): (&mut Line, &mut Kept),
        direction: Direction,
        bytes: &[u8],
        may_replace: bool,
        host: &mut dyn Host,
    ) -> Step {
        // A segment often begins where a message does.
        if line.place == LOST {
            *line = Line::START;
        }
        let mut reader = Reader { line, kept, direction, may_replace, host, has_said_again: false };
        let mut at = 0;
        while at < bytes.len() {
            match reader.take(&bytes[at..]) {
                Step::Read(count) => at += count,
                Step::Replace(count, text) => return Step::Replace(at + count, text),
                Step::End(count) => return Step::End(at + count),
                Step::Wait(count) => return Step::Wait(at + count),
                Step::Sealed(count) => return Step::Sealed(at + count),
            }
        }
        Step::Read(bytes.len())
    }
}

/// Who reads a direction of a connection.
struct Reader<'a> {
    line: &'a mut Line,
    kept: &'a mut Kept,
    direction: Direction,
    may_replace: bool,
    host: &'a mut dyn Host,
    /// Media that is kept has been said to be expected: once is enough, however many messages there are.
    has_said_again: bool,
}

impl Reader<'_> {
    /// Reads a byte or more, or none, and is at another place then.
    fn take(&mut self, bytes: &[u8]) -> Step {
        let byte = bytes[0];
        match self.line.place {
            BEGINNING => match byte {
                b'\r' | b'\n' => {}
                b'$' => self.go_to(FRAME),
                _ if byte.is_ascii_alphabetic() => {
                    *self.line = Line { place: FIRST, text: Text::of(&[byte]), ..Line::START };
                    self.kept.names_none(self.direction);
                }
                _ => return self.unreadable(),
            },
            FIRST => return self.first_line(byte),
            NAME => self.name(byte),
            LENGTH if byte == b'\n' => return self.length(),
            LENGTH => drop(byte.is_ascii_graphic() && self.line.text.push(byte)),
            SESSION if byte == b';' => self.go_to(REST),
            SESSION if byte == b'\n' => self.go_to(NAME),
            SESSION if byte.is_ascii_graphic() => self.kept.names(self.direction, byte),
            TOKEN | INSIDE | COLLECTED if text::is_between(byte) => {
                if self.line.place == COLLECTED {
                    self.collected();
                }
                self.go_to(if byte == b'\n' { NAME } else { TOKEN });
            }
            TOKEN if self.host.rewrites() => return self.token(bytes),
            TOKEN => {
                self.go_to(COLLECTED);
                self.line.text.push(byte);
            }
            COLLECTED => drop(self.line.text.push(byte)),
            REPLACED => {
                let end = bytes.iter().position(|&byte| text::is_behind(byte));
                let Some(end) = end else { return Step::Read(bytes.len()) };
                self.go_to(INSIDE);
                return Step::End(end);
            }
            FRAME => {
                self.line.text.push(byte);
                if let [_, high, low] = *self.line.text.as_bytes() {
                    self.skip(u16::from_be_bytes([high, low]));
                }
            }
            BODY => {
                let count = u16::try_from(bytes.len()).unwrap_or(u16::MAX).min(self.line.port);
                self.skip(self.line.port - count);
                return Step::Read(usize::from(count));
            }
            REST if byte == b'\n' => self.go_to(NAME),
            LOST if byte == b'\n' => self.go_to(BEGINNING),
            _ => {}
        }
        Step::Read(1)
    }

    /// Goes on at another place.
    fn go_to(&mut self, place: u8) {
        self.line.place = place;
        self.line.text.clear();
    }

    /// So many bytes of a body or a frame are still to come.
    fn skip(&mut self, len: u16) {
        self.line.port = len;
        self.go_to(if len == 0 { BEGINNING } else { BODY });
    }

    /// Nobody knows where the next message begins. Where all that is sent is read it is another protocol; elsewhere something
    /// may have been lost.
    fn unreadable(&mut self) -> Step {
        self.go_to(LOST);
        if self.host.rewrites() { Step::Sealed(0) } else { Step::Read(0) }
    }

    /// A byte of `SETUP rtsp://192.0.2.100/film RTSP/1.0`, or of `RTSP/1.0 200 OK`.
    fn first_line(&mut self, byte: u8) -> Step {
        if byte != b' ' && byte != b'\n' {
            self.line.text.push(byte);
            return Step::Read(1);
        }
        let (word, is_first) = (self.line.text.as_bytes(), self.line.note & HAS_WORD == 0);
        let has_version = (is_first || byte == b'\n') && word.starts_with(b"RTSP/");
        let ends = is_first && word == b"TEARDOWN";
        let said = [(true, HAS_WORD), (has_version, IS_RTSP), (ends, ENDS)];
        said.iter().filter(|(is_so, _)| *is_so).for_each(|(_, bit)| self.line.note |= bit);
        if byte == b'\n' && self.line.note & IS_RTSP == 0 {
            return self.unreadable();
        }
        self.go_to(if byte == b'\n' { NAME } else { FIRST });
        Step::Read(1)
    }

    /// A byte of a header's name, or what is there instead.
    fn name(&mut self, byte: u8) {
        match byte {
            b'\r' => {}
            b'\n' if self.line.text.is_empty() => self.message_ends(),
            b'\n' => self.go_to(NAME),
            b':' => {
                let place = self.header();
                self.go_to(place);
            }
            // What goes on with the header before has no name.
            b' ' | b'\t' if self.line.text.is_empty() => self.go_to(REST),
            _ if self.line.text.push(byte.to_ascii_lowercase()) => {}
            _ => self.go_to(REST),
        }
    }

    /// Where a header's value is read that has this name.
    fn header(&mut self) -> u8 {
        self.line.note &= !(URLS | ELSEWHERE);
        let is_told = self.direction == Direction::Out && self.host.rewrites();
        let is_asked = self.direction == Direction::In && !self.host.rewrites();
        match self.line.text.as_bytes().trim_ascii_end() {
            b"content-length" => LENGTH,
            b"session" => {
                self.kept.names_none(self.direction);
                SESSION
            }
            b"transport" if is_told || is_asked => TOKEN,
            b"content-base" | b"content-location" | b"location" | b"rtp-info" if is_told => {
                self.line.note |= URLS;
                TOKEN
            }
            _ => REST,
        }
    }

    /// A value of Content-Length is over.
    fn length(&mut self) -> Step {
        // No description is longer than a number of 16 bits says, and what is cannot be skipped here.
        let Some(len) = text::number(self.line.text.as_bytes()) else { return self.unreadable() };
        self.line.port = len;
        self.go_to(NAME);
        Step::Read(1)
    }

    /// The empty line behind a message's headers.
    fn message_ends(&mut self) {
        let session = self.kept.named(self.direction);
        let is_told = self.direction == Direction::Out;
        if is_told == self.host.rewrites() {
            self.kept.belongs_to(session);
        }
        if self.line.note & ENDS != 0 && !is_told && session != 0 {
            self.kept.end(session).for_each(|port| self.host.media_is_over(port));
        }
        if self.line.note & ANNOUNCED == 0 && !self.has_said_again {
            self.has_said_again = is_told == self.host.rewrites();
            for port in self.kept.ports() {
                match (is_told, self.host.rewrites()) {
                    (true, true) => drop(self.host.media(port, true)),
                    (false, false) => self.host.media_of_client(port),
                    _ => {}
                }
            }
        }
        self.skip(self.line.port);
    }

    /// The beginning of a token, which something of may give way.
    fn token(&mut self, bytes: &[u8]) -> Step {
        let found = match self.line.note & URLS {
            0 => text::token(bytes).map(|token| self.parameter(token, bytes)),
            _ => text::endpoint(bytes).map(|found| {
                let (at, place) = found?;
                let told = self.host.translated(self.direction, place.endpoint())?;
                Some((at, place.with(told)?))
            }),
        };
        match found {
            Some(Some(_)) if !self.may_replace => Step::Wait(0),
            Some(Some((at, text))) => {
                self.go_to(REPLACED);
                Step::Replace(at, text)
            }
            Some(None) => {
                self.go_to(INSIDE);
                Step::Read(0)
            }
            None if self.line.note & GIVEN_UP == 0 && self.line.text.len() < PATIENCE => {
                self.line.text.push(bytes[0]);
                Step::Wait(0)
            }
            None => {
                self.line.note |= GIVEN_UP;
                self.go_to(if self.line.note & URLS == 0 { COLLECTED } else { INSIDE });
                Step::Read(0)
            }
        }
    }

    /// What gives way in a parameter of a server's Transport, which is the beginning of the rest, and to what.
    fn parameter(&mut self, token: &[u8], rest: &[u8]) -> Option<(usize, Text)> {
        let (vip, server) = (self.host.vip(), self.host.server());
        let is_other = |it: &Parameter| matches!(it, Parameter::Source(_, at) if *at != server && *at != vip);
        match text::parameter(token)? {
            it @ (Parameter::Source(at, address) | Parameter::Destination(at, address)) => {
                if is_other(&it) {
                    self.comes_from_elsewhere();
                }
                (address == server && address != vip).then(|| Some((at, text::address(vip)?)))?
            }
            Parameter::ServerPort(at, port) => {
                if text::parameters(rest).any(|it| is_other(&it)) {
                    self.line.note |= ELSEWHERE;
                }
                let told = self.announce(port, false).filter(|told| *told != port)?;
                Some((at, text::pair(told)?))
            }
            Parameter::ClientPort(_) => None,
        }
    }

    /// Media of this message comes from another host, so none of it is expected, also where that is said last.
    fn comes_from_elsewhere(&mut self) {
        self.line.note |= ELSEWHERE;
        if self.line.note & ANNOUNCED != 0 {
            self.kept.end(0).for_each(|port| self.host.media_is_over(port));
        }
    }

    /// The server waits for media at that port. Returns the port that the client is to use, if it is expected. A port of
    /// everybody's is none that media comes to, whatever a server can be made to say.
    fn announce(&mut self, port: u16, fixed: bool) -> Option<u16> {
        if self.line.note & ELSEWHERE != 0 || port < FIRST_LOCAL_PORT {
            return None;
        }
        self.line.note |= ANNOUNCED;
        self.kept.add(port);
        self.host.media(port, fixed)
    }

    /// A token has come whole of which nothing gives way: that of a client whose server is not seen, or of a server that sends
    /// none whole.
    fn collected(&mut self) {
        match text::parameter(self.line.text.as_bytes()) {
            Some(Parameter::ClientPort(port)) if !self.host.rewrites() => {
                self.line.note |= ANNOUNCED;
                self.kept.add(port);
                self.host.media_of_client(port);
            }
            Some(Parameter::Source(_, at))
                if self.host.rewrites() && at != self.host.server() && at != self.host.vip() =>
            {
                self.comes_from_elsewhere();
            }
            Some(Parameter::ServerPort(_, port)) if self.host.rewrites() => drop(self.announce(port, true)),
            _ => {}
        }
    }
}
