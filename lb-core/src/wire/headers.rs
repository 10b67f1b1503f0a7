//! Where the headers of an IP frame are, and the fields that every later step needs.

use super::{ethernet, get16, get32, ipv4, ipv6::SMALLEST_MTU, tcp};
use crate::{
    cast::small,
    family::{Family, Header, V4, V6},
};
use std::net::IpAddr;

/// Bytes of the headers of a common frame of IPv4: untagged, without IPv4 options, of at least a TCP header's length, which
/// shorter ones reach by Ethernet's padding. Its headers have fixed places.
pub const COMMON_LEN: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + tcp::HEADER_LEN;

/// The headers of one frame, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<F: Family = V4> {
    /// Where the IP header starts: the length of the Ethernet header with its tags.
    pub l3: u16,
    /// Where the payload of the IP packet starts.
    pub l4: u16,
    /// Bytes of the IP packet. The frame may be longer: Ethernet pads.
    pub ip_len: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Source address.
    pub source: F::Address,
    /// Destination address.
    pub destination: F::Address,
}

impl Headers<V4> {
    /// Reads those of a common frame.
    #[inline(always)]
    #[must_use]
    pub fn of_common(head: &[u8; COMMON_LEN]) -> Self {
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
}

impl<F: Family> Headers<F> {
    /// Where the headers are, for an IP header that was read at `l3`. Frames are far shorter than 64 KiB.
    #[inline(always)]
    #[must_use]
    pub const fn new(l3: usize, header: &Header<F>) -> Self {
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

    /// The same, if they are of IPv4.
    #[must_use]
    pub fn of_ipv4(&self) -> Option<Headers<V4>> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (F::ip(self.source), F::ip(self.destination))
        else {
            return None;
        };
        if F::ETHERTYPE != V4::ETHERTYPE {
            return None;
        }
        let Headers { l3, l4, ip_len, fragment, ttl, protocol, .. } = *self;
        let (source, destination) = (source.to_bits(), destination.to_bits());
        Some(Headers { l3, l4, ip_len, fragment, ttl, protocol, source, destination })
    }

    /// Where the IP packet ends in the frame.
    #[inline(always)]
    #[must_use]
    pub const fn end(&self) -> usize {
        self.l3 as usize + self.ip_len as usize
    }

    /// The IP packet's payload.
    #[inline]
    #[must_use]
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(usize::from(self.l4)..self.end()).unwrap_or_default()
    }

    /// Whether it is a fragment that was IPv4's, whose sender lets routers fragment it, and larger than what every way of IPv6
    /// carries. Nobody would make it smaller when a router on the way reports that it has to be (RFC 7915 4).
    #[inline(always)]
    #[must_use]
    pub fn is_to_be_cut(&self) -> bool {
        F::ETHERTYPE == V6::ETHERTYPE
            && F::is_fragment(self.fragment)
            && !self.dont_fragment()
            && self.ip_len > SMALLEST_MTU
    }

    /// Whether the sender forbids fragmentation.
    #[inline(always)]
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        F::dont_fragment(self.fragment)
    }
}

impl<F: Family> Default for Headers<F> {
    fn default() -> Self {
        Headers {
            l3: 0,
            l4: 0,
            ip_len: 0,
            fragment: 0,
            ttl: 0,
            protocol: 0,
            source: F::Address::default(),
            destination: F::Address::default(),
        }
    }
}
