//! Frames of the common shape, as nearly all are: untagged, without IP options, whole. Their headers have fixed places.

use super::parsed::{Arrival, Kind, Parsed};
use crate::{
    conn::state::Meaning,
    family::{Family, V4},
    wire::{
        ethernet, get16, get32, get64,
        headers::{COMMON_LEN, Headers},
        ipv4,
        protocol::{self, Protocol},
        raw64, tcp, udp,
    },
};

/// How frames of the common shape are read in a family.
pub trait Common: Family {
    /// Where the payload of IP starts.
    const L4: usize;

    /// Reads a frame of the common shape. `false` for any other, valid or not.
    ///
    /// That the source is a host's address is not checked here: a packet from another has no connection, and is looked at
    /// again.
    fn recognise(frame: &[u8], arrival: Arrival, parsed: &mut Parsed<Self>) -> bool;

    /// The headers of such a frame.
    fn headers(frame: &[u8]) -> Option<Headers<Self>>;
}

impl Common for V4 {
    const L4: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;

    #[inline(always)]
    fn recognise(frame: &[u8], arrival: Arrival, parsed: &mut Parsed<Self>) -> bool {
        let Some(head) = frame.first_chunk::<COMMON_LEN>() else { return false };
        // The destination address, and that the source is not a group: an answer would go to all of it.
        const TO: u64 = 0xffff_ffff_ffff_0100u64.to_be();
        if (raw64(head, 0) ^ arrival.mac) & TO != 0
            || get16(head, ethernet::ADDRESSES_LEN) != ethernet::IPV4
            || head[ethernet::HEADER_LEN] != 0x45
        {
            return false;
        }
        // Flags and fragment offset, time to live, protocol.
        let word = get32(head, ethernet::HEADER_LEN + ipv4::FRAGMENT);
        if word >> 16 & u32::from(ipv4::IS_FRAGMENT) != 0 {
            return false;
        }
        let ip_len = usize::from(get16(head, ethernet::HEADER_LEN + ipv4::TOTAL_LEN));
        if ethernet::HEADER_LEN + ip_len > frame.len() {
            return false;
        }
        let [.., protocol] = word.to_be_bytes();
        if protocol == protocol::TCP {
            let words = usize::from(head[Self::L4 + tcp::DATA_OFFSET] >> 4);
            if words < tcp::HEADER_LEN / 4 || ipv4::HEADER_LEN + words * 4 > ip_len {
                return false;
            }
            parsed.meaning = Meaning::of_segment(head[Self::L4 + tcp::FLAGS]);
        } else {
            let udp_len = usize::from(get16(head, Self::L4 + udp::LENGTH));
            if protocol != protocol::UDP || udp_len < udp::HEADER_LEN || ipv4::HEADER_LEN + udp_len > ip_len {
                return false;
            }
            parsed.meaning = Meaning::DATAGRAM;
        }
        parsed.kind = Kind::Common;
        parsed.key.addresses = get64(head, ethernet::HEADER_LEN + ipv4::SOURCE);
        parsed.key.ports = get32(head, Self::L4);
        true
    }

    #[inline(always)]
    fn headers(frame: &[u8]) -> Option<Headers<Self>> {
        frame.first_chunk().map(Headers::of_common)
    }
}

/// Says of a common packet where its headers are, for those who need to know more than most.
pub fn locate<F: Common>(parsed: &mut Parsed<F>, frame: &[u8]) {
    if parsed.kind == Kind::Common
        && let Some(at) = F::headers(frame)
    {
        parsed.at = at;
        let Some(protocol) = Protocol::from_number(parsed.at.protocol) else { return };
        parsed.key.protocol = protocol;
        parsed.tcp_flags = match protocol {
            Protocol::Tcp => frame[F::L4 + tcp::FLAGS],
            Protocol::Udp => 0,
        };
    }
}
