//! ICMPv6, RFC 4443. Where the parts of a message are is the same as in [ICMP](super::icmp).

use super::{get32, icmp::HEADER_LEN};
use crate::family::{Message, Problem};

/// Bytes that an error we make has at most, IPv6 header included: RFC 4443 2.4 (c).
pub const MAX_ERROR_LEN: usize = 1_280;

/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 1;
/// Type: packet too big.
pub const TOO_BIG: u8 = 2;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 4;
/// The first type that does not report an error.
const FIRST_INFORMATIONAL: u8 = 128;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Type: answer to an echo request.
pub const ECHO_REPLY: u8 = 129;
/// Type: who has an address? RFC 4861.
pub const NEIGHBOUR_SOLICITATION: u8 = 135;
/// Type: the sender has it, RFC 4861.
pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Type: redirect, RFC 4861. Not to be answered by an error either: RFC 4443 2.4 (e.2).
pub const REDIRECT: u8 = 137;

/// Code of [`UNREACHABLE`]: the port is not served.
pub const PORT_UNREACHABLE: u8 = 4;
/// Code of [`PARAMETER_PROBLEM`]: the protocol is not known.
pub const UNKNOWN_NEXT_HEADER: u8 = 1;

/// What a message of this type is.
#[must_use]
pub const fn message(kind: u8) -> Message {
    match kind {
        ECHO_REQUEST => Message::EchoRequest,
        ECHO_REPLY => Message::EchoReply,
        UNREACHABLE | TOO_BIG | TIME_EXCEEDED | PARAMETER_PROBLEM => Message::ConnectionError,
        REDIRECT | 0..FIRST_INFORMATIONAL => Message::OtherError,
        _ => Message::Other,
    }
}

/// Bytes of the largest packet that gets through, if a message reports that another was too large.
#[must_use]
pub fn too_big(message: &[u8]) -> Option<u16> {
    let header = message.first_chunk::<HEADER_LEN>()?;
    let mtu = u16::try_from(get32(header, super::icmp::REST)).unwrap_or(u16::MAX);
    (header[0] == TOO_BIG).then_some(mtu)
}

/// Type and code of a problem, and the number in the rest of the header. `protocol_at` is where the packet names its
/// protocol, which RFC 4443 3.4 has an error about it point at.
#[must_use]
pub fn problem(problem: Problem, protocol_at: u32) -> (u8, u8, u32) {
    match problem {
        Problem::Port => (UNREACHABLE, PORT_UNREACHABLE, 0),
        Problem::Protocol => (PARAMETER_PROBLEM, UNKNOWN_NEXT_HEADER, protocol_at),
        Problem::TooBig(mtu) => (TOO_BIG, 0, u32::from(mtu)),
        Problem::TimeExceeded => (TIME_EXCEEDED, 0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let of = |kinds: &[u8]| kinds.iter().map(|&kind| message(kind)).collect::<Vec<_>>();
        assert_eq!(of(&[128, 129]), [Message::EchoRequest, Message::EchoReply]);
        assert_eq!(of(&[1, 2, 3, 4]), [Message::ConnectionError; 4]);
        assert_eq!(of(&[0, 5, 100, 127, 137]), [Message::OtherError; 5]);
        assert_eq!(of(&[130, 133, 134, 135, 136, 143, 255]), [Message::Other; 7]);
    }

    #[test]
    fn a_report_says_what_gets_through() {
        let report = |kind, mtu: u32| {
            let mut message = [0; HEADER_LEN];
            message[0] = kind;
            message[4..].copy_from_slice(&mtu.to_be_bytes());
            too_big(&message)
        };
        assert_eq!(report(TOO_BIG, 1_280), Some(1_280));
        assert_eq!(report(TOO_BIG, 100_000), Some(u16::MAX));
        assert_eq!(report(UNREACHABLE, 1_400), None);
        assert_eq!(too_big(&[TOO_BIG, 0, 0, 0, 0, 0, 5]), None, "cut off");
    }
}
