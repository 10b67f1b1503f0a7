//! ICMP for IPv4, RFC 792, with the next-hop MTU of RFC 1191.

use super::{
    checksum::{Change, Sum},
    get16, put16,
};
use crate::family::{Message, Problem};

/// Bytes of a header; an error quotes the packet it is about behind it.
pub const HEADER_LEN: usize = 8;
/// Where the checksum is.
pub const CHECKSUM: usize = 2;
/// Where the rest of the header is: what it means depends on the type.
pub const REST: usize = 4;
/// Where "fragmentation needed" carries the next hop's MTU.
pub const MTU: usize = 6;
/// Bytes that an error we make has at most, IPv4 header included: RFC 1812 4.3.2.3.
pub const MAX_ERROR_LEN: usize = 576;

/// Type: answer to an echo request.
pub const ECHO_REPLY: u8 = 0;
/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Type: source quench, obsolete (RFC 6633) but still an error.
pub const SOURCE_QUENCH: u8 = 4;
/// Type: redirect.
pub const REDIRECT: u8 = 5;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;

/// Code of [`UNREACHABLE`]: the protocol is not served.
pub const PROTOCOL_UNREACHABLE: u8 = 2;
/// Code of [`UNREACHABLE`]: the port is not served.
pub const PORT_UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: too large for the way on, and fragmentation is forbidden.
pub const FRAGMENTATION_NEEDED: u8 = 4;

/// What a message of this type is.
#[must_use]
pub const fn message(kind: u8) -> Message {
    match kind {
        ECHO_REQUEST => Message::EchoRequest,
        ECHO_REPLY => Message::EchoReply,
        UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM => Message::ConnectionError,
        SOURCE_QUENCH | REDIRECT => Message::OtherError,
        _ => Message::Other,
    }
}

/// Bytes of the largest packet that gets through, if a message reports that another was too large.
#[must_use]
pub fn too_big(message: &[u8]) -> Option<u16> {
    let header = message.first_chunk::<HEADER_LEN>()?;
    ((header[0], header[1]) == (UNREACHABLE, FRAGMENTATION_NEEDED)).then(|| get16(header, MTU))
}

/// Type and code of a problem, and the rest of the header, which carries a next hop's MTU in its lower half.
#[must_use]
pub fn problem(problem: Problem) -> (u8, u8, u32) {
    match problem {
        Problem::Port => (UNREACHABLE, PORT_UNREACHABLE, 0),
        Problem::Protocol => (UNREACHABLE, PROTOCOL_UNREACHABLE, 0),
        Problem::TooBig(mtu) => (UNREACHABLE, FRAGMENTATION_NEEDED, u32::from(mtu)),
        Problem::TimeExceeded => (TIME_EXCEEDED, 0, 0),
    }
}

/// What stands for the ports of an echo message: who asks is known by the identifier, who is asked by none.
#[must_use]
pub fn echo_ports(message: Message, bytes: &[u8]) -> Option<(u16, u16)> {
    let id = get16(bytes.first_chunk::<HEADER_LEN>()?, REST);
    match message {
        Message::EchoRequest => Some((id, 0)),
        Message::EchoReply => Some((0, id)),
        Message::ConnectionError | Message::OtherError | Message::Other => None,
    }
}

/// Whether the checksum of a message is right. `sum` is what its family begins with.
#[must_use]
pub fn checksum_is_right(sum: Sum, message: &[u8]) -> bool {
    sum.bytes(message).fold() == 0xffff
}

/// Writes the checksum of a message. `sum` is what its family begins with.
pub fn set_checksum(sum: Sum, message: &mut [u8]) {
    put16(message, CHECKSUM, 0);
    let checksum = sum.bytes(message).finish();
    put16(message, CHECKSUM, checksum);
}

/// Changes the checksum of a message of which words have changed, so that damage stays visible.
///
/// ICMP has no pseudo-header, so a message may be nothing but zeros: the reply to an echo request without identifier,
/// number and content. Its checksum is 0xffff. An update cannot tell that from 0, which receivers then refuse.
pub fn change_checksum(message: &mut [u8], change: Change) {
    let mut checksum = change.apply(get16(message, CHECKSUM));
    if checksum == 0 {
        let (before, behind) = (&message[..CHECKSUM], &message[CHECKSUM + 2..]);
        if before.iter().chain(behind).all(|&byte| byte == 0) {
            checksum = 0xffff;
        }
    }
    put16(message, CHECKSUM, checksum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_changed_checksum_is_that_of_a_new_message(
            mut message in prop_oneof![
                prop::collection::vec(any::<u8>(), HEADER_LEN..80),
                prop::collection::vec(prop::sample::select(vec![0, 0xff]), HEADER_LEN..16),
                (HEADER_LEN..80).prop_map(|len| vec![0; len]),
            ],
            (old, new) in prop_oneof![any::<(u16, u16)>(), any::<u16>().prop_map(|old| (old, 0))],
            at in prop::sample::select(vec![0, 4, 6]),
        ) {
            put16(&mut message, at, old);
            set_checksum(Sum::default(), &mut message);
            put16(&mut message, at, new);
            let mut anew = message.clone();
            set_checksum(Sum::default(), &mut anew);
            change_checksum(&mut message, Change::OF_NOTHING.word(old, new));
            prop_assert!(checksum_is_right(Sum::default(), &message), "{:02x?}", message);
            prop_assert_eq!(message, anew);
        }
    }
}
