//! ICMP for IPv4, RFC 792, with the next-hop MTU of RFC 1191.

use super::{
    checksum::{Change, Sum},
    get16, put16,
};

/// Bytes of a header; an error quotes the packet it is about behind it.
pub const HEADER_LEN: usize = 8;
/// Where the checksum is.
pub const CHECKSUM: usize = 2;
/// Where "fragmentation needed" carries the next hop's MTU.
pub const MTU: usize = 6;
/// Bytes that an error we make has at most, IPv4 header included: RFC 1812 4.3.2.3.
pub const MAX_ERROR_LEN: usize = 576;

/// Type: answer to an echo request.
pub const ECHO_REPLY: u8 = 0;
/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
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

/// Whether messages of this type tell one end of a connection something that it acts on: destination unreachable, time
/// exceeded, parameter problem. Not so a redirect, which is between a host and its router, nor the source quench that RFC
/// 6633 abolished.
#[must_use]
pub const fn concerns_connection(kind: u8) -> bool {
    matches!(kind, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// Whether messages of this type report an error about a packet that they quote.
#[must_use]
pub const fn is_error(kind: u8) -> bool {
    // Unreachable, source quench (obsolete, RFC 6633, but still an error message), redirect, time exceeded,
    // parameter problem.
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// Whether the checksum of a message is right.
#[must_use]
pub fn checksum_is_right(message: &[u8]) -> bool {
    Sum::default().bytes(message).fold() == 0xffff
}

/// Writes the checksum of a message.
pub fn set_checksum(message: &mut [u8]) {
    put16(message, CHECKSUM, 0);
    let checksum = Sum::default().bytes(message).finish();
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
            set_checksum(&mut message);
            put16(&mut message, at, new);
            let mut anew = message.clone();
            set_checksum(&mut anew);
            change_checksum(&mut message, Change::OF_NOTHING.word(old, new));
            prop_assert!(checksum_is_right(&message), "{:02x?}", message);
            prop_assert_eq!(message, anew);
        }
    }
}
