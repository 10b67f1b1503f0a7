//! What is special about deciding on a packet of SCTP: when its checksum is looked at, and when its tag is.

use super::{
    classify::Parsed,
    known::{Forwarded, Known},
};
use crate::{
    conn::entry::{Connection, Direction},
    family::Family,
    packet::Packet,
    wire::{
        protocol::Protocol,
        sctp::{self, chunk},
    },
};

impl Known {
    /// Whether a packet of SCTP is damaged. Asked of one that opens a connection, changes the state of one, or is answered;
    /// what only passes keeps its checksum, right or wrong, and costs no reading. Ports are not believed: drivers that do
    /// not verify SCTP report all the same that the packet is good. Of a fragment nobody can tell.
    #[inline]
    pub(super) fn is_damaged<F: Forwarded>(&self, packet: &impl Packet, parsed: &Parsed<F>) -> bool {
        parsed.key.protocol == Protocol::Sctp && self.has_bad_checksum(packet, parsed)
    }

    #[cold]
    #[inline(never)]
    fn has_bad_checksum<F: Forwarded>(&self, packet: &impl Packet, parsed: &Parsed<F>) -> bool {
        self.snapshot.verify_checksums
            && !F::is_fragment(parsed.at.fragment)
            && !sctp::checksum_is_right(parsed.at.payload(packet.bytes()))
    }
}

/// Whether a client's packet that ends an association cannot be believed: it does not have the tag that the server has
/// told the client (RFC 9260 8.5). One whose sender has no association reflects another tag, which nobody here knows; its
/// connection waits for its time to be over then. What a server sends is believed: it comes by a port that servers are
/// behind.
pub(super) fn is_doubtful<F: Family>(
    packet: &impl Packet,
    parsed: &Parsed<F>,
    connection: &Connection<F>,
    direction: Direction,
) -> bool {
    let ends = matches!(
        parsed.chunk.0,
        chunk::ABORT | chunk::SHUTDOWN | chunk::SHUTDOWN_ACK | chunk::SHUTDOWN_COMPLETE | chunk::ERROR
    );
    let tag = || sctp::tag(parsed.at.payload(packet.bytes()));
    direction == Direction::In && ends && tag().is_some_and(|tag| !connection.is_tag(tag))
}
