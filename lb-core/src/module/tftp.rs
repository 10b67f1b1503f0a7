//! TFTP, RFC 1350: a client asks at the service's port, and the server answers from a port of its own, which the rest of the
//! transfer goes to. So what the server sends to that client's port next is expected, from whatever port it comes; where
//! servers answer clients themselves, what the client sends next from its port, to whatever port of the VIP.
//!
//! No text is replaced: datagrams name no addresses. A request that is repeated is expected anew.

use super::{
    edits::Edits,
    reader::{Host, Module},
};
use crate::conn::entry::Direction;

/// The module.
pub struct Tftp;

/// What requests begin with: to read a file, and to write one (RFC 1350 5).
const REQUESTS: [[u8; 2]; 2] = [[0, 1], [0, 2]];

impl Module for Tftp {
    fn datagram(&self, direction: Direction, text: &[u8], _: &mut Edits, host: &mut dyn Host) {
        if direction == Direction::In && text.first_chunk().is_some_and(|code| REQUESTS.contains(code)) {
            host.answered_elsewhere();
        }
    }
}
