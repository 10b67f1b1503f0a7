//! The Point-to-Point Tunneling Protocol, RFC 2637: messages of its control connection, and the packets of GRE, which carry
//! the call.

use super::{get16, get32, put16, put32};

/// The TCP port of control connections (RFC 2637 3.1.3).
pub const PORT: u16 = 1723;

/// Bytes of a message before what its kind says (2.1): length, what kind of message it is, a number that all have, the kind
/// of control message, and two that are not used.
pub const HEADER_LEN: usize = 12;
/// Bytes of the longest message (2.7, Outgoing-Call-Request), and some.
const LONGEST: u16 = 512;
/// The kind of messages that there are: control messages.
const CONTROL: u16 = 1;
/// What every message has, to show that its reader is where it begins.
const COOKIE: u32 = 0x1a2b_3c4d;

/// Kinds of control messages that name a call (2).
pub mod kind {
    /// Outgoing-Call-Request: who has asked for the control connection asks for a call.
    pub const OUTGOING_CALL_REQUEST: u16 = 7;
    /// Outgoing-Call-Reply.
    pub const OUTGOING_CALL_REPLY: u16 = 8;
    /// Incoming-Call-Request.
    pub const INCOMING_CALL_REQUEST: u16 = 9;
    /// Incoming-Call-Reply.
    pub const INCOMING_CALL_REPLY: u16 = 10;
    /// Incoming-Call-Connected.
    pub const INCOMING_CALL_CONNECTED: u16 = 11;
    /// Call-Clear-Request.
    pub const CALL_CLEAR_REQUEST: u16 = 12;
    /// Call-Disconnect-Notify.
    pub const CALL_DISCONNECT_NOTIFY: u16 = 13;
    /// WAN-Error-Notify.
    pub const WAN_ERROR_NOTIFY: u16 = 14;
    /// Set-Link-Info.
    pub const SET_LINK_INFO: u16 = 15;
}

/// The result of a call that has been taken, in a reply to who asked for it (2.8, 2.10).
pub const CONNECTED: u8 = 1;

/// Bytes of a whole message whose first are these, and its kind. `None` if it is none.
#[must_use]
pub fn header(bytes: &[u8; HEADER_LEN]) -> Option<(u16, u16)> {
    let (len, kind) = (get16(bytes, 0), get16(bytes, 8));
    let is_message = usize::from(len) >= HEADER_LEN
        && len <= LONGEST
        && get16(bytes, 2) == CONTROL
        && get32(bytes, 4) == COOKIE;
    is_message.then_some((len, kind))
}

/// What begins packets of a call (4.1): a key that holds the length and the call, perhaps a number, version 1 of GRE, and
/// the number of PPP. Recursion and flags of the acknowledgement aside.
const CALL: u32 = 0x2001_880b;
const CALL_MASK: u32 = 0xe807_ffff;
/// Bytes of what all of them have.
const CALL_LEN: usize = 8;
/// Where the call is.
pub const CALL_ID: usize = 6;

/// The call of a packet of GRE, as its receiver numbers it. `None` if it is of no call.
#[must_use]
pub fn call_id(payload: &[u8]) -> Option<u16> {
    let header: &[u8; CALL_LEN] = payload.first_chunk()?;
    (get32(header, 0) & CALL_MASK == CALL).then(|| get16(header, CALL_ID))
}

/// Bytes of a packet of a call that has a number and nothing else.
pub const BARE_LEN: usize = CALL_LEN + 4;

/// The first packet of a call, without payload.
#[must_use]
pub fn bare(call: u16) -> [u8; BARE_LEN] {
    let mut bytes = [0; BARE_LEN];
    put32(&mut bytes, 0, CALL);
    bytes[0] |= HAS_NUMBER;
    put16(&mut bytes, CALL_ID, call);
    bytes
}

/// The flag of a packet that has a number, which follows the key.
const HAS_NUMBER: u8 = 0x10;
/// What the first packets of a call, which begin at 0 (4.3), have numbers below: a few may be lost, or out of order.
const EARLY: u32 = 16;

/// Whether a packet of a call may be one of its first.
#[must_use]
pub fn is_early(payload: &[u8]) -> bool {
    let number = || payload.get(CALL_LEN..).filter(|rest| rest.len() >= 4).map(|rest| get32(rest, 0));
    payload.first().is_some_and(|flags| flags & HAS_NUMBER != 0)
        && number().is_some_and(|number| number < EARLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_calls_are_told_from_others() {
        let packet = |word: u32| [word.to_be_bytes(), [0, 5, 0x12, 0x34]].concat();
        for word in [0x3001_880b, 0x2081_880b, 0x3081_880b] {
            assert_eq!(call_id(&packet(word)), Some(0x1234), "{word:#x}");
            assert_eq!(call_id(&packet(word)[..7]), None);
        }
        for word in
            [0x3000_880b, 0x1001_880b, 0xb001_880b, 0x3801_880b, 0x7001_880b, 0x3001_0800, 0x3002_880b]
        {
            assert_eq!(call_id(&packet(word)), None, "{word:#x}");
        }
    }

    #[test]
    fn the_first_packets_of_a_call_are_told_by_their_numbers() {
        let packet = |flags: u8, number: u32| {
            [&[flags, 1, 0x88, 0x0b, 0, 5, 0, 7], &number.to_be_bytes()[..]].concat()
        };
        assert!(is_early(&packet(0x30, 0)) && is_early(&packet(0x30, 15)));
        assert!(!is_early(&packet(0x30, 16)), "later");
        assert!(!is_early(&packet(0x20, 0)), "an acknowledgement, which has none");
        assert!(!is_early(&packet(0x30, 0)[..11]) && !is_early(&[]));
    }

    #[test]
    fn messages_begin_with_a_header() {
        let whole = [0, 168, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, 7, 0, 0];
        assert_eq!(header(&whole), Some((168, kind::OUTGOING_CALL_REQUEST)));
        for (at, value) in [(0, 255), (1, 11), (3, 2), (4, 0), (7, 0)] {
            let mut other = whole;
            other[at] = value;
            assert_eq!(header(&other), None, "byte {at}");
        }
    }
}
