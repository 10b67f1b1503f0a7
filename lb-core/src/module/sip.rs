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
//! **Over TCP** the same is done to messages of a stream, in whatever segments they come: see [`stream`].
//!
//! **Where servers answer clients themselves** they say the VIP, and nothing is replaced. What clients say of their own media
//! is all that is seen: what comes from there goes to the server that they call.
//!
//! Compared with Linux (`nf_nat_sip.c`): it has From and To rewritten, and parameters of Via (`received`, `maddr`, `rport`); not
//! Route and Record-Route. It expects media from what a client says as well, which strangers could fill the table with; and
//! signalling after REGISTER, which here is the VIP's service. Like it, media of other hosts than those that signal is not
//! expected.

mod head;
mod sdp;
mod stream;
mod uri;

use super::{
    edits::Edits,
    kept::Kept,
    reader::{Host, Line, Module, Piece, Step},
};
use crate::{
    conn::entry::Direction,
    wire::sip::{self, lines},
};
use head::{Head, is_start, replace_body};

/// The module.
pub struct Sip;

// Where a direction is whose text nobody replaces: what `Line::place` says.

/// In the first bytes of a line.
const BEGINNING: u8 = 0;
/// In what does not matter, until the next line.
const REST: u8 = 1;

impl Module for Sip {
    /// Where servers answer by themselves: lines of session descriptions are known by how they begin.
    fn read(
        &self,
        (line, _): (&mut Line, &mut Kept),
        direction: Direction,
        bytes: &[u8],
        _: bool,
        host: &mut dyn Host,
    ) -> Step {
        for &byte in bytes.iter().filter(|_| direction == Direction::In) {
            let ends = matches!(byte, b'\r' | b'\n');
            if line.place == REST {
                line.place = if ends { BEGINNING } else { REST };
                continue;
            }
            // What is longer than there is room for has said it by then.
            if ends || !line.text.push(byte) {
                let mut said = sdp::Said::of(line);
                said.hear(line.text.as_bytes(), host);
                said.keep(line);
                line.text.clear();
                line.place = if ends { BEGINNING } else { REST };
            }
        }
        Step::Read(bytes.len())
    }

    fn datagram(&self, direction: Direction, text: &[u8], edits: &mut Edits, host: &mut dyn Host) {
        let Some(first) = sip::line(text, 0).filter(|line| is_start(line.text)) else { return };
        if !first.text.starts_with(b"SIP/") {
            uri::replace(&first, direction, edits, host);
        }
        let (mut body, mut head) = (first.next, Head::default());
        for line in lines(text, first.next) {
            body = line.next;
            head.read(&line);
            head.reads.replace(&line, direction, edits, host);
        }
        // The empty line.
        let Some(empty) = sip::line(text, body).filter(|line| line.text.is_empty()) else { return };
        match direction {
            _ if head.is_sdp != Some(true) => {}
            Direction::Out => replace_body(text, empty.next, head.length, edits, host),
            Direction::In if host.rewrites() => {}
            Direction::In => {
                let mut said = sdp::Said::default();
                lines(text, empty.next).for_each(|line| said.hear(line.text, host));
            }
        }
    }

    fn messages(
        &self,
        line: &mut Line,
        direction: Direction,
        piece: Piece<'_>,
        edits: &mut Edits,
        host: &mut dyn Host,
    ) -> Option<Step> {
        Some(stream::read(line, direction, piece, edits, host))
    }
}
