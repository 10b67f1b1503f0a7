//! Segments of TCP with numbers and text, for what changes either.

use super::common::{frame::*, read};
use etherparse::{IpNumber, SlicedPacket, TcpHeader, TcpOptions, TransportSlice};
use std::fmt;

/// What the tests look at of a segment.
#[derive(PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) payload: Vec<u8>,
}

impl Segment {
    /// Its payload, which is text.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.payload).unwrap()
    }
}

/// Text as such.
impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: \"{}\"", self.sequence, self.acknowledgement, self.payload.escape_ascii())
    }
}

/// A segment from one end to another.
pub(crate) fn segment(
    (from, to): (&str, &str),
    flags: u8,
    (sequence, acknowledgement): (u32, u32),
    options: &[u8],
    payload: &[u8],
) -> Ip {
    let (from, to) = (endpoint(from), endpoint(to));
    let mut header = TcpHeader::new(from.port(), to.port(), sequence, 8_192);
    (header.syn, header.fin) = (flags & SYN != 0, flags & FIN != 0);
    (header.rst, header.ack) = (flags & RST != 0, flags & ACK != 0);
    header.acknowledgment_number = acknowledgement;
    header.options = TcpOptions::try_from_slice(options).unwrap();
    let ends = (from.ip().octets(), to.ip().octets());
    header.checksum = header.calc_checksum_ipv4_raw(ends.0, ends.1, payload).unwrap();
    Ip::new(IpNumber::TCP, *from.ip(), *to.ip(), [header.to_bytes().as_slice(), payload].concat())
}

/// Reads a frame whose lengths and checksums are right.
pub(crate) fn parse(frame: &[u8]) -> Segment {
    read::check_ip(read::ip_packet(frame).unwrap()).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = SlicedPacket::from_ethernet(frame).unwrap().transport else {
        panic!("a segment");
    };
    Segment {
        sequence: tcp.sequence_number(),
        acknowledgement: tcp.acknowledgment_number(),
        payload: tcp.payload().to_vec(),
    }
}
