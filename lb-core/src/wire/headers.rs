//! Where the headers of an IPv4 frame are, and the fields that every later step needs.

use super::{ethernet, ipv4};

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
            l3: l3 as u16,
            l4: (l3 + header.header_len) as u16,
            ip_len: header.total_len as u16,
            fragment: header.fragment,
            ttl: header.ttl,
            protocol: header.protocol,
            source: header.source,
            destination: header.destination,
        }
    }

    /// The same, of an untagged frame without IPv4 options, where the headers have fixed places.
    #[inline(always)]
    #[must_use]
    pub const fn of_common_frame(self) -> Headers {
        let l3 = ethernet::HEADER_LEN as u16;
        Headers { l3, l4: l3 + ipv4::HEADER_LEN as u16, ..self }
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
