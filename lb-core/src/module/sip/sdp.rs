//! Session descriptions, RFC 8866: where media goes.
//!
//! Read are `o=`, `c=` of the session and of each medium, `m=` of what goes over UDP, and `a=rtcp` (RFC 3605) where it says the
//! next port, as it would be without it. Candidates of ICE (RFC 8839) are left as they are: those that do not reach anybody
//! are tried in vain, and media's own address is one that does.

use crate::{
    module::{
        edits::Edits,
        reader::{self, Host},
        text::Text,
    },
    wire::sip::{Line, lines},
};
use std::{fmt::Write, net::IpAddr};

/// A number in a text.
#[derive(Clone, Copy)]
struct Port {
    at: usize,
    len: usize,
    port: u16,
}

/// A medium: where its sender waits for it.
#[derive(Clone, Copy)]
struct Medium {
    port: Port,
    /// Of its own, or of the session.
    address: Option<IpAddr>,
    rtcp: Option<Port>,
}

/// Reads a server's description, which begins there and ends with the text.
pub(super) fn read(text: &[u8], start: usize, edits: &mut Edits, host: &mut dyn Host) {
    let (mut session, mut medium) = (None, None::<Medium>);
    for line in lines(text, start) {
        let said = line.text;
        match said.get(..2) {
            Some(b"o=") => drop(replaced(&line, 5, edits, host)),
            Some(b"c=") => {
                let address = replaced(&line, 2, edits, host);
                match &mut medium {
                    Some(medium) => medium.address = address,
                    None => session = address,
                }
            }
            Some(b"m=") => {
                expect(medium, edits, host);
                medium = port_of(&line).map(|port| Medium { port, address: session, rtcp: None });
            }
            Some(b"a=") => {
                if let Some(medium) = &mut medium
                    && said.starts_with(b"a=rtcp:")
                {
                    medium.rtcp = number(&line, 7);
                    replaced(&line, 3, edits, host);
                }
            }
            _ => {}
        }
    }
    expect(medium, edits, host);
}

/// The address that is the field of that number, from 0. That of the server becomes the VIP.
fn replaced(line: &Line<'_>, field: usize, edits: &mut Edits, host: &mut dyn Host) -> Option<IpAddr> {
    let ((at, word), address) = address(line, field)?;
    if address == host.server() && address != host.vip() {
        let mut text = Text::EMPTY;
        if write!(text, "{}", host.vip()).is_ok() {
            edits.replace(line.at + at, word.len(), text);
        }
    }
    Some(address)
}

/// What a description has said so far in which nothing is replaced: a client's where servers answer by themselves, or a server's
/// that does not come whole.
#[derive(Clone, Copy, Default)]
pub(super) struct Said {
    /// The session's address is its sender's.
    is_senders: bool,
    /// The port of the medium whose lines come, if its address may follow.
    medium: Option<u16>,
}

/// The bits of [`reader::Line::note`]: the session's address is its sender's.
const SENDERS: u8 = 1;

impl Said {
    /// As it is kept with a line.
    pub(super) fn of(line: &reader::Line) -> Self {
        Said { is_senders: line.note & SENDERS != 0, medium: Some(line.port).filter(|port| *port != 0) }
    }

    pub(super) fn keep(self, line: &mut reader::Line) {
        line.note = if self.is_senders { SENDERS } else { 0 };
        line.port = self.medium.unwrap_or_default();
    }

    /// Reads the next line of a client's. Media of other hosts, and of clients whose address is another on its way here, is not
    /// expected.
    pub(super) fn hear(&mut self, text: &[u8], host: &mut dyn Host) {
        let client = host.client();
        if let Some(port) = self.port_in(text, |said| said == client) {
            host.media_of_client(port);
        }
    }

    /// The same of a server's, whose clients wait for it elsewhere if it says its own address.
    pub(super) fn hear_server(&mut self, text: &[u8], host: &mut dyn Host) {
        let (server, vip) = (host.server(), host.vip());
        let is_named = |line: &Line<'_>| address(line, 2).is_some_and(|(_, said)| said == server);
        if text.starts_with(b"c=") && is_named(&Line { at: 0, text, next: text.len() }) {
            host.missed();
        }
        if let Some(port) = self.port_in(text, |said| said == server || said == vip) {
            host.media(port, true);
        }
    }

    /// The port of a medium of the sender's own that is known with the next line.
    fn port_in(&mut self, text: &[u8], is_senders: impl Fn(IpAddr) -> bool) -> Option<u16> {
        let line = Line { at: 0, text, next: text.len() };
        match text.get(..2)? {
            b"v=" => *self = Said::default(),
            b"c=" => {
                let is_senders = address(&line, 2).is_some_and(|(_, said)| is_senders(said));
                match self.medium.take() {
                    Some(port) => return Some(port).filter(|_| is_senders && !self.is_senders),
                    None => self.is_senders = is_senders,
                }
            }
            b"m=" => {
                self.medium = port_of(&line).map(|port| port.port);
                return self.medium.filter(|_| self.is_senders);
            }
            _ => {}
        }
        None
    }
}

/// The address that is the field of that number, from 0, and the word.
fn address<'a>(line: &Line<'a>, field: usize) -> Option<((usize, &'a [u8]), IpAddr)> {
    let (at, word) = fields(line.text).nth(field)?;
    // A number of addresses, or a time to live, is said of multicast.
    let address = std::str::from_utf8(word).ok()?.parse().ok()?;
    Some(((at, word), address))
}

/// Media is expected where the server waits for it.
fn expect(medium: Option<Medium>, edits: &mut Edits, host: &mut dyn Host) {
    let Some(Medium { port, address: Some(address), rtcp }) = medium else { return };
    if address != host.server() && address != host.vip() {
        return;
    }
    let Some(told) = host.media(port.port, false).filter(|told| *told != port.port) else { return };
    let mut replace = |port: Port, told: u16| {
        let mut text = Text::EMPTY;
        if write!(text, "{told}").is_ok() {
            edits.replace(port.at, port.len, text);
        }
    };
    replace(port, told);
    if let Some(rtcp) = rtcp.filter(|rtcp| Some(rtcp.port) == port.port.checked_add(1)) {
        replace(rtcp, told.saturating_add(1));
    }
}

/// The port of a medium over UDP, unless it is refused: `m=audio 49170 RTP/AVP 0`.
fn port_of(line: &Line<'_>) -> Option<Port> {
    let (at, _) = fields(line.text).nth(1)?;
    let (_, transport) = fields(line.text).nth(2)?;
    let is_udp = [&b"rtp/"[..], b"udp"]
        .iter()
        .any(|known| transport.get(..known.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(known)));
    number(line, at).filter(|port| is_udp && port.port != 0)
}

/// The number that is there in a line.
fn number(line: &Line<'_>, at: usize) -> Option<Port> {
    let digits = line.text.get(at..)?;
    let len = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let port = std::str::from_utf8(&digits[..len]).ok()?.parse().ok()?;
    Some(Port { at: line.at + at, len, port })
}

/// The words of a line, and where they begin.
fn fields(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    text.split(|&byte| byte == b' ').map(move |word| {
        let begins = at;
        at += word.len() + 1;
        (begins, word)
    })
}
