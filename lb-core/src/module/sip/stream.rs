//! SIP over TCP, RFC 3261 18.3: messages follow one another, each as long as its Content-Length says.
//!
//! A text gives way where its line has come whole, and Content-Length and a session description where the message has. What has
//! not is held back: what comes before it passes, and its sender sends it again, with what belongs to it in the same segment
//! then, if a segment has room for both. Where that has been in vain, line or description go on as they are, and that is counted.
//! Lines in which nothing is replaced pass in whatever parts they come, and so do bodies that are no description.
//!
//! Only lines with LF count, so that a CR LF may come in two parts.

use super::{
    head::{Head, Reads, is_sdp_type, is_start, length_of, number, replace_body},
    sdp, uri,
};
use crate::{
    conn::entry::Direction,
    module::{
        edits::Edits,
        reader::{Host, Line, Piece, Step},
    },
    wire::sip::{self, continues, value},
};

/// How a record of TLS with a handshake begins (RFC 8446 5.1): no message does.
const TLS: [u8; 2] = [0x16, 0x03];
/// How often a text has come in part as the first of its segment before it passes as it is.
const PATIENCE: u8 = 2;

// Where a direction is: what `Line::place` says.

/// Before a message.
const START: u8 = 0;
/// In its headers, at the beginning of a line.
const HEAD: u8 = 1;
/// In a line before a message of which a part has passed.
const START_LINE: u8 = 2;
/// The same in headers.
const HEAD_LINE: u8 = 3;
/// In a body in which nothing is looked for.
const BODY: u8 = 4;
/// In a session description that passes as it is.
const SDP: u8 = 5;

// What the headers have said so far: the bits of `Line::note`.

const HAS_TYPE: u8 = 1;
const IS_SDP: u8 = 2;
const VIA: u8 = 4;
const URIS: u8 = 8;
/// How often what follows has come in part: from here on.
const HELD: u8 = 16;

/// Reads what there is of one message.
pub(super) fn read(
    line: &mut Line,
    direction: Direction,
    Piece { bytes, is_first }: Piece<'_>,
    edits: &mut Edits,
    host: &mut dyn Host,
) -> Step {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match line.place {
            BODY | SDP => {
                let len = (bytes.len() - at).min(usize::try_from(line.left).unwrap_or(usize::MAX));
                if line.place == SDP {
                    announce(line, &bytes[at..at + len], host);
                }
                line.left -= u32::try_from(len).unwrap_or(line.left);
                at += len;
                if line.left == 0 {
                    if line.place == SDP {
                        hear(line, host);
                    }
                    *line = Line::START;
                    return Step::Read(at);
                }
            }
            START_LINE | HEAD_LINE => {
                let (part, next) = match sip_line(bytes, at) {
                    Some(it) => (it.text, it.next),
                    None => (&bytes[at..], bytes.len()),
                };
                part.iter().filter(|byte| **byte != b'\r').all(|byte| line.text.push(*byte));
                at = next;
                if bytes[at - 1] == b'\n' && !line_is_over(line, direction) {
                    return Step::Sealed(at);
                }
            }
            START if matches!(byte, b'\r' | b'\n') => at += 1,
            START if bytes[at..].starts_with(&TLS) => return Step::Sealed(at),
            place => match sip_line(bytes, at) {
                Some(whole) if place == START => {
                    let begins = is_start(whole.text);
                    if begins && !whole.text.starts_with(b"SIP/") {
                        uri::replace(&whole, direction, edits, host);
                    }
                    *line = Line { place: if begins { HEAD } else { START }, ..Line::START };
                    at = whole.next;
                }
                Some(whole) => {
                    let is_length = direction == Direction::Out
                        && content_length(&whole).is_some_and(|(_, len)| len > 0)
                        && type_of(line.note) != Some(false);
                    if is_length {
                        match ahead(bytes, &whole, type_of(line.note)) {
                            Ahead::Whole(end) => {
                                replace_rest(line.note, (&bytes[..end], &whole), direction, edits, host);
                                *line = Line::START;
                                return Step::Read(end);
                            }
                            Ahead::Other => {}
                            Ahead::Partial if is_held(line, at == 0 && is_first) => return Step::Wait(at),
                            Ahead::Partial => {}
                        }
                    }
                    let (is_over, before) = (whole.text.is_empty(), line.note);
                    at = whole.next;
                    let mut head = head_of(before);
                    head.read(&whole);
                    head.reads.replace(&whole, direction, edits, host);
                    line.note = note_of(&head);
                    if let Some((_, len)) = content_length(&whole) {
                        let Ok(left) = u32::try_from(len) else { return Step::Sealed(at) };
                        line.left = left;
                    }
                    if is_over {
                        head_is_over(line, direction);
                        if line.place == START {
                            return Step::Read(at);
                        }
                    }
                }
                None => {
                    let rest = &bytes[at..];
                    let matters = match place {
                        START => rest.iter().all(|byte| byte.is_ascii_graphic() || b" \t\r".contains(byte)),
                        _ => matters(rest, direction, head_of(line.note).reads),
                    };
                    if matters && is_held(line, at == 0 && is_first) {
                        return Step::Wait(at);
                    }
                    if matters {
                        host.missed();
                    }
                    line.place = if place == START { START_LINE } else { HEAD_LINE };
                }
            },
        }
    }
    Step::Read(at)
}

/// The line that begins there, if it has come whole.
fn sip_line(bytes: &[u8], at: usize) -> Option<sip::Line<'_>> {
    let rest = bytes.get(at..)?;
    let len = rest.iter().position(|&byte| byte == b'\n')?;
    let text = &rest[..len];
    Some(sip::Line { at, text: text.strip_suffix(b"\r").unwrap_or(text), next: at + len + 1 })
}

/// Lines from there on up to an empty one, which is the last, or to what has not come whole.
fn head_lines(bytes: &[u8], at: usize) -> impl Iterator<Item = sip::Line<'_>> {
    std::iter::successors(sip_line(bytes, at), |before| {
        if before.text.is_empty() { None } else { sip_line(bytes, before.next) }
    })
}

/// Where the number in a line that is Content-Length is, with how long it is, and the number.
fn content_length(line: &sip::Line<'_>) -> Option<((usize, usize), usize)> {
    let (at, said) = value(line, b"content-length", b'l')?;
    let (place, len) = number(said)?;
    length_of(&said[place..place + len]).map(|number| ((line.at + at + place, len), number))
}

fn type_of(note: u8) -> Option<bool> {
    (note & HAS_TYPE != 0).then_some(note & IS_SDP != 0)
}

fn head_of(note: u8) -> Head {
    let reads = match note & (VIA | URIS) {
        VIA => Reads::Via,
        URIS => Reads::Uris,
        _ => Reads::Nothing,
    };
    Head { reads, length: None, is_sdp: type_of(note) }
}

/// What has been held back has passed.
fn note_of(head: &Head) -> u8 {
    let reads = match head.reads {
        Reads::Nothing => 0,
        Reads::Via => VIA,
        Reads::Uris => URIS,
    };
    let kind = head.is_sdp.map_or(0, |is_sdp| if is_sdp { HAS_TYPE | IS_SDP } else { HAS_TYPE });
    reads | kind
}

/// Whether a text that has not come whole is held back once more. It is not counted where more of it would not have fitted
/// into its segment.
fn is_held(line: &mut Line, is_first: bool) -> bool {
    if is_first {
        line.note = line.note.saturating_add(HELD);
    }
    line.note / HELD <= PATIENCE
}

/// Whether something may be replaced in a line of the headers that has not come whole.
fn matters(rest: &[u8], direction: Direction, reads: Reads) -> bool {
    let part = sip::Line { at: 0, text: rest, next: rest.len() };
    let is = |name: &[u8], short: u8| value(&part, name, short).is_some();
    match rest.iter().position(|&byte| byte == b':') {
        _ if rest == b"\r" => false,
        _ if continues(&part) => reads != Reads::Nothing,
        None => true,
        Some(_) => {
            Reads::of(&part) != Reads::Nothing || direction == Direction::Out && is(b"content-length", b'l')
        }
    }
}

/// What is behind Content-Length.
enum Ahead {
    /// The message, which ends there.
    Whole(usize),
    /// A body in which nothing is replaced.
    Other,
    /// More has to come.
    Partial,
}

fn ahead(bytes: &[u8], line: &sip::Line<'_>, is_sdp: Option<bool>) -> Ahead {
    let mut is_sdp = is_sdp;
    let mut last = None;
    for it in head_lines(bytes, line.next) {
        if let Some((_, said)) = value(&it, b"content-type", b'c') {
            is_sdp = Some(is_sdp_type(said));
        }
        last = Some(it);
    }
    let body = last.filter(|it| it.text.is_empty()).map(|it| it.next);
    let len = content_length(line).map_or(0, |(_, len)| len);
    match (is_sdp, body) {
        (Some(false), _) | (None, Some(_)) => Ahead::Other,
        (_, Some(body)) => match body.checked_add(len) {
            Some(end) if end <= bytes.len() => Ahead::Whole(end),
            _ => Ahead::Partial,
        },
        (_, None) => Ahead::Partial,
    }
}

/// Replaces what is to be in a message with a session description from its Content-Length on.
fn replace_rest(
    note: u8,
    (text, length): (&[u8], &sip::Line<'_>),
    direction: Direction,
    edits: &mut Edits,
    host: &mut dyn Host,
) {
    let mut head = head_of(note);
    let mut body = length.next;
    for line in head_lines(text, length.next) {
        body = line.next;
        head.read(&line);
        head.reads.replace(&line, direction, edits, host);
    }
    replace_body(text, body, content_length(length).map(|(place, _)| place), edits, host);
}

/// A line has come to its end that had passed in parts. `false` if its message is too long to be one.
fn line_is_over(line: &mut Line, direction: Direction) -> bool {
    let Line { place, note, text, left, .. } = *line;
    let whole = sip::Line { at: 0, text: text.as_bytes(), next: usize::from(text.len()) };
    if place == START_LINE {
        *line = Line { place: if is_start(whole.text) { HEAD } else { START }, ..Line::START };
        return true;
    }
    let mut head = head_of(note);
    head.read(&whole);
    let left = match content_length(&whole).map(|(_, len)| u32::try_from(len)) {
        Some(Ok(left)) => left,
        Some(Err(_)) => return false,
        None => left,
    };
    *line = Line { place: HEAD, note: note_of(&head), left, ..Line::START };
    if whole.text.is_empty() {
        head_is_over(line, direction);
    }
    true
}

/// Headers have come to their end.
fn head_is_over(line: &mut Line, direction: Direction) {
    let Line { note, left, .. } = *line;
    let place = match (left, type_of(note)) {
        (0, _) => START,
        (_, Some(true)) if direction == Direction::Out => SDP,
        _ => BODY,
    };
    *line = Line { place, left, ..Line::START };
}

/// Reads lines of a description, which may come in parts. What is longer than there is room for has said it by then.
fn announce(line: &mut Line, bytes: &[u8], host: &mut dyn Host) {
    for &byte in bytes {
        if matches!(byte, b'\r' | b'\n') {
            hear(line, host);
        } else {
            line.text.push(byte);
        }
    }
}

/// A line of it has come to its end.
fn hear(line: &mut Line, host: &mut dyn Host) {
    let mut said = sdp::Said::of(line);
    said.hear_server(line.text.as_bytes(), host);
    said.keep(line);
    line.text.clear();
}
