//! PPTP, RFC 2637: a control connection asks for a call, each side says what number it gives it, and packets of the call come
//! as GRE, with the number that their receiver has given it and without ports.
//!
//! **Numbers** of either side become those of the control connection: clients are told their own port in the place of the
//! number that the server gives, servers the port that they know the client by. So a packet of the call has the key of its
//! control connection, goes where that goes and ends with it, whichever worker it comes to, whatever numbers two servers
//! behind a VIP, or two clients behind one address, have chosen; and nothing is expected. Linux's `nf_nat_pptp` replaces a
//! number only where another call has it, and asks a table of its own for each packet.
//!
//! All texts are as long as what they take the place of, and do not depend on it, so it does not matter how messages are
//! cut into segments. One call at a time is read of a connection: another one's numbers become 0, which none has, so that its
//! packets go nowhere rather than astray. It is told by its numbers, where these have come whole.
//!
//! **Where servers answer clients themselves** nothing is replaced, and the server's number is not seen. A request for a call
//! announces that the client's next packets of a call that is not known are for the same server.

use super::{
    kept::{Calls, Kept},
    reader::{Host, Line, Module, Step},
    text::Text,
};
use crate::{
    cast::small,
    conn::entry::Direction,
    wire::{
        get16,
        pptp::{self, CONNECTED, HEADER_LEN, kind},
    },
};

/// The module.
pub struct Pptp;

/// What takes the place of numbers of a call that is not read.
const NO_CALL: u16 = 0;

// Where a direction is in a message: what `Line::place` says.

/// In its header.
const HEADER: u8 = 0;
/// Before the numbers.
const BEFORE: u8 = 1;
/// In the numbers, or what comes of the call.
const NUMBERS: u8 = 2;
/// In what does not matter, of which there are so many bytes as `Line::port` says.
const REST: u8 = 3;

/// `Line::note` has the kind of message, and how many bytes of its numbers give way.
const SPAN: u8 = 0x10;

/// What a message says of calls behind its header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// The number that its sender gives a call it asks for.
    Asks,
    /// The same, of a call that the other side has asked for, whose number follows; and what comes of it.
    Answers,
    /// The sender's number of a call.
    Own,
    /// The same, of one that is over.
    Over,
    /// The receiver's number.
    Others,
}

impl Says {
    fn of(kind: u16) -> Option<Says> {
        match kind {
            kind::OUTGOING_CALL_REQUEST | kind::INCOMING_CALL_REQUEST => Some(Says::Asks),
            kind::OUTGOING_CALL_REPLY | kind::INCOMING_CALL_REPLY => Some(Says::Answers),
            kind::CALL_CLEAR_REQUEST => Some(Says::Own),
            kind::CALL_DISCONNECT_NOTIFY => Some(Says::Over),
            kind::INCOMING_CALL_CONNECTED | kind::WAN_ERROR_NOTIFY | kind::SET_LINK_INFO => {
                Some(Says::Others)
            }
            _ => None,
        }
    }

    /// Bytes that are read.
    const fn len(self) -> u16 {
        match self {
            Says::Answers => 5,
            Says::Asks | Says::Own | Says::Over | Says::Others => 2,
        }
    }
}

impl Module for Pptp {
    fn read(
        &self,
        (line, kept): (&mut Line, &mut Kept),
        direction: Direction,
        bytes: &[u8],
        may_replace: bool,
        host: &mut dyn Host,
    ) -> Step {
        let mut at = 0;
        while at < bytes.len() {
            match line.place {
                HEADER => {
                    line.text.push(bytes[at]);
                    at += 1;
                    let Ok(header) = line.text.as_bytes().try_into() else { continue };
                    let Some((len, kind)) = pptp::header(header) else {
                        // Whoever sends it writes whole messages, so the next segment may begin with one.
                        *line = Line::START;
                        return Step::Read(bytes.len());
                    };
                    enter(line, len, kind);
                }
                BEFORE => {
                    let new = new_numbers((line, kept.calls), direction, &bytes[at..], host);
                    if new.is_some() && !may_replace {
                        return Step::Wait(at);
                    }
                    line.place = NUMBERS;
                    if let Some(new) = new {
                        line.note |= SPAN * u8::try_from(new.len()).unwrap_or_default();
                        return Step::Replace(at, new);
                    }
                }
                NUMBERS => {
                    line.text.push(bytes[at]);
                    at += 1;
                    let read = line.text.len() - small(HEADER_LEN);
                    let is_end = read == u16::from(line.note / SPAN);
                    if Says::of(kind_of(line)).is_none_or(|says| read == says.len()) {
                        take((line, &mut kept.calls), direction, host);
                    }
                    if is_end {
                        return Step::End(at);
                    }
                }
                _ => {
                    let skipped = (bytes.len() - at).min(usize::from(line.port));
                    at += skipped;
                    skip(line, skipped);
                }
            }
        }
        Step::Read(bytes.len())
    }
}

/// So many bytes of a message are behind.
fn skip(line: &mut Line, bytes: usize) {
    line.port = line.port.saturating_sub(u16::try_from(bytes).unwrap_or(u16::MAX));
    if line.port == 0 {
        // The next message begins.
        *line = Line::START;
    }
}

/// The header of a message has come.
fn enter(line: &mut Line, len: u16, kind: u16) {
    line.port = len - small(HEADER_LEN);
    line.place = REST;
    if let Some(says) = Says::of(kind)
        && says.len() <= line.port
    {
        line.place = BEFORE;
        line.note = u8::try_from(kind).unwrap_or_default();
    }
    skip(line, 0);
}

fn kind_of(line: &Line) -> u16 {
    u16::from(line.note % SPAN)
}

/// What takes the place of the numbers of a message that begin there, as far as they have come.
fn new_numbers(
    (line, calls): (&Line, Calls),
    direction: Direction,
    bytes: &[u8],
    host: &dyn Host,
) -> Option<Text> {
    if !host.rewrites() {
        return None;
    }
    let (own, other) = (direction as usize, direction.reversed() as usize);
    let number = |at: usize| bytes.get(at..at + 2).map(|bytes| get16(bytes, 0));
    let told = host.calls();
    // One that has not come whole is the call's.
    let or_none = |is_it: bool| if is_it { told[own] } else { NO_CALL };
    let is_own = || number(0).is_none_or(|number| calls[own].is_none_or(|own| own == number));
    let [first, second] = match Says::of(kind_of(line))? {
        Says::Asks => [Some(or_none(calls.iter().all(Option::is_none))), None],
        Says::Own | Says::Over => [Some(or_none(is_own())), None],
        Says::Others => {
            let is_it = number(0).is_none_or(|number| number == told[other]);
            [calls[other].filter(|_| is_it), None]
        }
        Says::Answers => match number(2) {
            Some(number) if number != told[other] => [Some(NO_CALL), None],
            _ => [Some(told[own]), calls[other]],
        },
    };
    let numbers = u32::from(first?) << 16 | u32::from(second.unwrap_or_default());
    Some(Text::of(&numbers.to_be_bytes()[..if second.is_some() { 4 } else { 2 }]))
}

/// The numbers of a message have come.
fn take((line, calls): (&mut Line, &mut Calls), direction: Direction, host: &mut dyn Host) {
    let (own, other) = (direction as usize, direction.reversed() as usize);
    let numbers = &line.text.as_bytes()[HEADER_LEN..];
    let number = get16(numbers, 0);
    match Says::of(kind_of(line)) {
        Some(Says::Asks) => {
            let is_first = calls.iter().all(Option::is_none);
            if is_first && host.rewrites() {
                calls[own] = Some(number);
            }
            host.called(is_first);
        }
        Some(Says::Answers) if host.rewrites() && get16(numbers, 2) == host.calls()[other] => {
            match numbers.get(4) {
                Some(&CONNECTED) => calls[own] = Some(number),
                _ => *calls = [None; 2],
            }
        }
        Some(Says::Over) if calls[own].is_none_or(|call| call == number) => *calls = [None; 2],
        _ => {}
    }
    let read = numbers.len();
    line.place = REST;
    skip(line, read);
}
