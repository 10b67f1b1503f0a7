//! SIP, RFC 3261, with SDP, RFC 8866: messages say where answers, further requests and media go to.
//!
//! **Over UDP** a message is a datagram. What names the server's endpoint becomes the VIP's on the way to the client, and the
//! other way round: in the URI of a request, in Via, Contact, Route and Record-Route. In a session description of the server's,
//! its address becomes the VIP (`o=`, `c=`, `a=rtcp`), and Content-Length follows. From and To stay: they say who talks, not
//! where, and a registrar keeps what they say.
//!
//! **Media** that a server says it waits for (`m=`) is expected in pairs of ports, that of RTP and the next for RTCP, and may be
//! begun by either side. Clients are told the port as it is, unless the same client is expected there with another server.
//!
//! **Over TCP** messages are read, and media is expected, but nothing is replaced: a message is known to be as long as it says
//! before what follows from that has come. Servers say the VIP by themselves there.
//!
//! Compared with Linux (`nf_nat_sip.c`): it has From and To rewritten, and parameters of Via (`received`, `maddr`, `rport`); not
//! Route and Record-Route. It expects media from what a client says as well, which strangers could fill the table with; and
//! signalling after REGISTER, which here is the VIP's service. Like it, media of other hosts than those that signal is not
//! expected.

mod sdp;
mod uri;

use super::{
    edits::Edits,
    reader::{Host, Line, Module, Step},
    text::Text,
};
use crate::{
    conn::entry::Direction,
    wire::sip::{self, continues, lines, value},
};
use std::fmt::Write;

/// The module.
pub struct Sip;

/// Headers whose URIs say where messages go, with their short names (RFC 3261 7.3.3).
const URIS: [(&[u8], u8); 3] = [(b"contact", b'm'), (b"route", 0), (b"record-route", 0)];

// Where a direction of a connection of TCP is: what `Line::place` says.

/// In the first bytes of a line.
const BEGINNING: u8 = 0;
/// In what does not matter, until the next line.
const REST: u8 = 1;

impl Module for Sip {
    fn datagram(&self, direction: Direction, text: &[u8], edits: &mut Edits, host: &mut dyn Host) {
        let Some(first) = sip::line(text, 0).filter(|line| is_start(line.text)) else { return };
        if !first.text.starts_with(b"SIP/") {
            uri::replace(&first, direction, edits, host);
        }
        let (mut body, mut length, mut is_sdp) = (first.next, None, false);
        // What a line that goes on with another is part of.
        let mut reads = Reads::Nothing;
        for line in lines(text, first.next) {
            body = line.next;
            if !continues(&line) {
                reads = Reads::of(&line);
                if let Some((at, said)) = value(&line, b"content-length", b'l') {
                    length = number(said).map(|(place, len)| (line.at + at + place, len));
                } else if let Some((_, said)) = value(&line, b"content-type", b'c') {
                    is_sdp = is_sdp_type(said);
                }
            }
            match reads {
                Reads::Nothing => {}
                Reads::Via => uri::replace_via(&line, direction, edits, host),
                Reads::Uris => uri::replace(&line, direction, edits, host),
            }
        }
        // The empty line.
        let Some(empty) = sip::line(text, body).filter(|line| line.text.is_empty()) else { return };
        if direction == Direction::Out && is_sdp {
            let before = edits.shift_at(empty.next);
            sdp::read(text, empty.next, edits, host);
            let by = edits.shift_at(text.len()) - before;
            if let Some((at, len)) = length.filter(|_| by != 0) {
                renumber(&text[at..at + len], at, by, edits);
            }
        }
    }

    fn read(
        &self,
        line: &mut Line,
        direction: Direction,
        bytes: &[u8],
        _: bool,
        host: &mut dyn Host,
    ) -> Step {
        for &byte in bytes {
            let ends = matches!(byte, b'\r' | b'\n');
            if line.place == REST {
                line.place = if ends { BEGINNING } else { REST };
                continue;
            }
            // What is longer than there is room for has said it by then.
            if ends || !line.text.push(byte) {
                if direction == Direction::Out {
                    sdp::announce(line.text.as_bytes(), host);
                }
                *line = Line { place: if ends { BEGINNING } else { REST }, ..Line::START };
            }
        }
        Step::Read(bytes.len())
    }
}

/// What is replaced in a header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Nothing,
    Via,
    Uris,
}

impl Reads {
    fn of(line: &sip::Line<'_>) -> Self {
        let is = |name: &[u8], short: u8| value(line, name, short).is_some();
        match () {
            () if is(b"via", b'v') => Reads::Via,
            () if URIS.iter().any(|(name, short)| is(name, *short)) => Reads::Uris,
            () => Reads::Nothing,
        }
    }
}

/// Whether a message begins with that line: a status, or a request.
fn is_start(line: &[u8]) -> bool {
    line.starts_with(b"SIP/2.0 ") || line.ends_with(b" SIP/2.0")
}

fn is_sdp_type(said: &[u8]) -> bool {
    let kind = said.trim_ascii().split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii_end().eq_ignore_ascii_case(b"application/sdp")
}

/// Where a number is in a value that is one, and how long it is.
fn number(said: &[u8]) -> Option<(usize, usize)> {
    let text = said.trim_ascii();
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| (said.len() - said.trim_ascii_start().len(), text.len()))
}

/// A length becomes larger by so much.
fn renumber(old: &[u8], at: usize, by: isize, edits: &mut Edits) {
    let number = std::str::from_utf8(old).ok().and_then(|old| old.parse::<usize>().ok());
    let mut text = Text::EMPTY;
    if let Some(new) = number.and_then(|number| number.checked_add_signed(by))
        && write!(text, "{new}").is_ok()
    {
        edits.replace(at, old.len(), text);
    }
}
