//! Headers of a message, RFC 3261 20, and what they say of its body.

use super::{sdp, uri};
use crate::{
    conn::entry::Direction,
    module::{edits::Edits, reader::Host, text::Text},
    wire::sip::{self, continues, value},
};
use std::fmt::Write;

/// As long as a length can become.
const LONGEST: &[u8] = b"0000000000";

/// Headers whose URIs say where messages go, with their short names (RFC 3261 7.3.3).
const URIS: [(&[u8], u8); 3] = [(b"contact", b'm'), (b"route", 0), (b"record-route", 0)];

/// What the headers of a message have said so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Head {
    /// What the last line is part of: one that goes on with another belongs to it.
    pub(super) reads: Reads,
    /// Where Content-Length is, and how long.
    pub(super) length: Option<(usize, usize)>,
    /// Whether the body is a session description, if that has been said.
    pub(super) is_sdp: Option<bool>,
}

impl Head {
    pub(super) fn read(&mut self, line: &sip::Line<'_>) {
        if continues(line) {
            return;
        }
        self.reads = Reads::of(line);
        if let Some((at, said)) = value(line, b"content-length", b'l') {
            self.length = number(said).map(|(place, len)| (line.at + at + place, len));
        } else if let Some((_, said)) = value(line, b"content-type", b'c') {
            self.is_sdp = Some(is_sdp_type(said));
        }
    }
}

/// The body of a text, which begins there and ends with it, is a server's session description. Content-Length follows.
pub(super) fn replace_body(
    text: &[u8],
    body: usize,
    length: Option<(usize, usize)>,
    edits: &mut Edits,
    host: &mut dyn Host,
) {
    // Its place is kept, as the body must not change without it.
    if let Some((at, len)) = length
        && !edits.replace(at, len, Text::of(LONGEST))
    {
        return;
    }
    let before = edits.shift_at(body);
    sdp::read(text, body, edits, host);
    let by = edits.shift_at(text.len()) - before;
    if let Some((at, len)) = length {
        edits.amend(at, if by == 0 { None } else { renumbered(&text[at..at + len], by) });
    }
}

/// What is replaced in a header.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reads {
    #[default]
    Nothing,
    Via,
    Uris,
}

impl Reads {
    pub(super) fn of(line: &sip::Line<'_>) -> Self {
        let is = |name: &[u8], short: u8| value(line, name, short).is_some();
        match () {
            () if is(b"via", b'v') => Reads::Via,
            () if URIS.iter().any(|(name, short)| is(name, *short)) => Reads::Uris,
            () => Reads::Nothing,
        }
    }

    pub(super) fn replace(
        self,
        line: &sip::Line<'_>,
        direction: Direction,
        edits: &mut Edits,
        host: &mut dyn Host,
    ) {
        match self {
            Reads::Nothing => {}
            Reads::Via => uri::replace_via(line, direction, edits, host),
            Reads::Uris => uri::replace(line, direction, edits, host),
        }
    }
}

/// Whether a message begins with that line: a status, or a request.
pub(super) fn is_start(line: &[u8]) -> bool {
    line.starts_with(b"SIP/2.0 ") || line.ends_with(b" SIP/2.0")
}

pub(super) fn is_sdp_type(said: &[u8]) -> bool {
    let kind = said.trim_ascii().split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii_end().eq_ignore_ascii_case(b"application/sdp")
}

/// Where a number is in a value that is one, and how long it is.
pub(super) fn number(said: &[u8]) -> Option<(usize, usize)> {
    let text = said.trim_ascii();
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| (said.len() - said.trim_ascii_start().len(), text.len()))
}

/// A length that is larger by so much.
fn renumbered(old: &[u8], by: isize) -> Option<Text> {
    let mut text = Text::EMPTY;
    let new = length_of(old)?.checked_add_signed(by)?;
    write!(text, "{new}").ok().map(|()| text)
}

/// The number that a text of digits is.
pub(super) fn length_of(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
