//! Where the headers of an IPv4 frame are, and the fields that every later step needs.

use super::{ethernet, get16, get32, ipv4, tcp};
use crate::cast::small;

/// Bytes of the headers of a common frame: untagged, without IPv4 options, of at least a TCP header's length, which
/// shorter ones reach by Ethernet's padding. Its headers have fixed places.
pub const COMMON_LEN: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + tcp::HEADER_LEN;

/// The headers of one frame, read once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Where the IPv4 header starts: the length of the Ethernet header with its tags.
    pub l3: u16,
    /// Where the payload of the IPv4 packet starts.
    pub l4: u16,
    /// Bytes of the IPv4 packet. The frame may be longer: Ethernet pads.
    pub ip_len: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
}

impl Headers {
    /// Where the headers are, for an IPv4 header that was read at `l3`. Frames are far shorter than 64 KiB.
    #[inline(always)]
    #[must_use]
    pub const fn new(l3: usize, header: &ipv4::Header) -> Headers {
        Headers {
            l3: small(l3),
            l4: small(l3 + header.header_len),
            ip_len: small(header.total_len),
            fragment: header.fragment,
            ttl: header.ttl,
            protocol: header.protocol,
            source: header.source,
            destination: header.destination,
        }
    }

    /// Reads those of a common frame.
    #[inline(always)]
    #[must_use]
    pub fn of_common(head: &[u8; COMMON_LEN]) -> Headers {
        const L3: usize = ethernet::HEADER_LEN;
        Headers {
            l3: small(L3),
            l4: small(L3 + ipv4::HEADER_LEN),
            ip_len: get16(head, L3 + ipv4::TOTAL_LEN),
            fragment: get16(head, L3 + ipv4::FRAGMENT),
            ttl: head[L3 + ipv4::TTL],
            protocol: head[L3 + ipv4::PROTOCOL],
            source: get32(head, L3 + ipv4::SOURCE),
            destination: get32(head, L3 + ipv4::DESTINATION),
        }
    }

    /// Where the IPv4 packet ends in the frame.
    #[inline(always)]
    #[must_use]
    pub const fn end(&self) -> usize {
        self.l3 as usize + self.ip_len as usize
    }

    /// The IPv4 packet's payload.
    #[inline]
    #[must_use]
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(usize::from(self.l4)..self.end()).unwrap_or_default()
    }

    /// Whether the sender forbids fragmentation.
    #[inline(always)]
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        self.fragment & ipv4::DONT_FRAGMENT != 0
    }
}
