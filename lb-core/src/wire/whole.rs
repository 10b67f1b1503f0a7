//! Checksums over whole packets, of frames that are finished: where they are, and what they come to. A port can compute them
//! while it sends; what it is asked for, and what workers do where it cannot, both follow from the places here.

use super::{ethernet, get16, gre, ipv4, protocol, put16, sctp, tcp, udp};
use crate::{
    cast::small,
    family::{Family, Header, V4, V6},
    wire::checksum::Sum,
};

/// Where the headers of a packet in a frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where its IP header begins.
    pub l3: usize,
    /// Where that ends, with its options or extension headers.
    pub l4: usize,
    /// Where the packet ends. Behind it may be Ethernet's padding.
    pub end: usize,
    /// Protocol number of what is behind the IP header.
    pub protocol: u8,
    /// Whether it is of IPv6.
    pub is_ipv6: bool,
    /// Whether it is a fragment. Nobody can compute a checksum over a part.
    pub is_fragment: bool,
}

impl Places {
    /// Those of a frame's packet, behind any VLAN tags. `None` if there is none, or it is not sound.
    #[must_use]
    pub fn of(frame: &[u8]) -> Option<Self> {
        let (ethertype, l3) = ethernet::payload(frame)?;
        Self::read(frame, l3, ethertype)
    }

    /// Those of the packet inside of this one, if it is a tunnel's by its protocol: IP in IP, or GRE. UDP does not say what it
    /// carries.
    #[must_use]
    pub fn inside(&self, frame: &[u8]) -> Option<Self> {
        let behind = frame.get(self.l4..self.end).filter(|_| !self.is_fragment)?;
        match self.protocol {
            V4::INSIDE => Self::read(frame, self.l4, ethernet::IPV4),
            V6::INSIDE => Self::read(frame, self.l4, ethernet::IPV6),
            gre::PROTOCOL => {
                let (ethertype, has_checksum) = gre::read(behind)?;
                Self::read(frame, self.l4 + gre::header_len(has_checksum), ethertype)
            }
            _ => None,
        }
    }

    fn read(frame: &[u8], l3: usize, ethertype: u16) -> Option<Self> {
        let packet = frame.get(l3..)?;
        match ethertype {
            ethernet::IPV4 => Header::<V4>::read(packet).map(|header| Self::new(l3, &header)),
            ethernet::IPV6 => Header::<V6>::read(packet).map(|header| Self::new(l3, &header)),
            _ => None,
        }
    }

    fn new<F: Family>(l3: usize, header: &Header<F>) -> Self {
        Places {
            l3,
            l4: l3 + header.header_len,
            end: l3 + header.total_len,
            protocol: header.protocol,
            is_ipv6: F::ETHERTYPE == V6::ETHERTYPE,
            is_fragment: F::is_fragment(header.fragment),
        }
    }

    /// Where the checksum of TCP, UDP or SCTP is: `None` of other protocols, of fragments, of what is too short for its header,
    /// and of a datagram with something behind it, which UDP's checksum does not cover and a port would not leave out.
    #[must_use]
    pub fn checksum(&self, frame: &[u8]) -> Option<usize> {
        let segment = frame.get(self.l4..self.end).filter(|_| !self.is_fragment)?;
        let (header_len, at) = match self.protocol {
            protocol::TCP => (tcp::HEADER_LEN, tcp::CHECKSUM),
            protocol::UDP
                if usize::from(get16(segment.get(..udp::HEADER_LEN)?, udp::LENGTH)) == segment.len() =>
            {
                (udp::HEADER_LEN, udp::CHECKSUM)
            }
            protocol::SCTP => (sctp::HEADER_LEN, sctp::CHECKSUM),
            _ => return None,
        };
        (segment.len() >= header_len).then_some(self.l4 + at)
    }

    /// Computes the checksum of TCP, UDP or SCTP, if there is one.
    pub fn compute(&self, frame: &mut [u8]) {
        let Some(at) = self.checksum(frame) else { return };
        if self.protocol == protocol::SCTP {
            return sctp::set_checksum(&mut frame[self.l4..self.end]);
        }
        put16(frame, at, 0);
        let sum = self.pseudo(frame).bytes(&frame[self.l4..self.end]).finish();
        // RFC 768: none at all is what 0 says.
        put16(frame, at, if sum == 0 && self.protocol == protocol::UDP { 0xffff } else { sum });
    }

    /// Writes what ports want to find in the checksum's place if they are to compute it: the sum of the pseudo-header, or zero
    /// in that of SCTP, which has none.
    pub fn prepare(&self, frame: &mut [u8]) {
        let Some(at) = self.checksum(frame) else { return };
        match self.protocol {
            protocol::SCTP => frame[at..at + 4].fill(0),
            _ => put16(frame, at, self.pseudo(frame).fold()),
        }
    }

    /// Writes what ports want to find in the place of an IPv4 header's checksum if they are to compute it: zero.
    pub fn prepare_header(&self, frame: &mut [u8]) {
        if !self.is_ipv6 {
            put16(frame, self.l3 + ipv4::CHECKSUM, 0);
        }
    }

    /// Computes the checksum of an IPv4 header.
    pub fn compute_header(&self, frame: &mut [u8]) {
        if !self.is_ipv6 {
            ipv4::set_checksum(&mut frame[self.l3..self.l4]);
        }
    }

    fn pseudo(&self, frame: &[u8]) -> Sum {
        let (header, len) = (&frame[self.l3..self.l4], small(self.end - self.l4));
        match self.is_ipv6 {
            false => pseudo::<V4>(header, self.protocol, len),
            true => pseudo::<V6>(header, self.protocol, len),
        }
    }
}

fn pseudo<F: Family>(header: &[u8], protocol: u8, len: u16) -> Sum {
    F::pseudo(F::get(header, F::SOURCE), F::get(header, F::DESTINATION), protocol, len)
}

/// Computes the checksum of TCP, UDP or SCTP of a frame's packet, if it has one.
pub fn compute(frame: &mut [u8]) {
    if let Some(places) = Places::of(frame) {
        places.compute(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Ethernet2Header, IpHeaders, PacketBuilder, PacketBuilderStep};
    use proptest::prelude::*;

    const FROM: ([u8; 4], [u8; 16]) = ([192, 0, 2, 7], [0x20; 16]);
    const TO: ([u8; 4], [u8; 16]) = ([198, 51, 100, 9], [0x30; 16]);

    fn ip(before: PacketBuilderStep<Ethernet2Header>, six: bool) -> PacketBuilderStep<IpHeaders> {
        if six { before.ipv6(FROM.1, TO.1, 9) } else { before.ipv4(FROM.0, TO.0, 9) }
    }

    fn frame(six: bool, is_tcp: bool, data: &[u8]) -> Vec<u8> {
        let ip = ip(PacketBuilder::ethernet2([2; 6], [4; 6]), six);
        let mut frame = Vec::new();
        match is_tcp {
            true => ip.tcp(5, 6, 7, 8).write(&mut frame, data).unwrap(),
            false => ip.udp(5, 6).write(&mut frame, data).unwrap(),
        }
        frame
    }

    proptest! {
        #[test]
        fn checksums_come_to_what_others_compute(
            six: bool,
            is_tcp: bool,
            data in prop::collection::vec(any::<u8>(), 0..300),
            tags in 0..3_usize,
            noise: u16,
        ) {
            let mut expected = frame(six, is_tcp, &data);
            for _ in 0..tags {
                expected.splice(12..12, [0x81, 0, 0, 9]);
            }
            let places = Places::of(&expected).unwrap();
            let at = places.checksum(&expected).unwrap();
            prop_assert_eq!((places.l3, places.is_ipv6, places.end), (14 + 4 * tags, six, expected.len()));
            let mut frame = expected.clone();
            put16(&mut frame, at, noise);
            compute(&mut frame);
            prop_assert_eq!(&frame, &expected);
            // A port sums what stands in the checksum's place as well.
            places.prepare(&mut frame);
            let sum = Sum::default().bytes(&frame[places.l4..]).finish();
            let sum = if sum == 0 && !is_tcp { 0xffff } else { sum };
            prop_assert_eq!(sum, get16(&expected, at));
            if !six {
                places.prepare_header(&mut frame);
                places.compute_header(&mut frame);
                prop_assert_eq!(&frame[..places.l4], &expected[..places.l4]);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(mut frame in prop::collection::vec(any::<u8>(), 0..120), six: bool, protocol: u8) {
            if frame.len() > 24 {
                frame[12..14].copy_from_slice(if six { &[0x86, 0xdd] } else { &[8, 0] });
                frame[14] = if six { 0x60 } else { 0x45 };
                frame[if six { 20 } else { 23 }] = protocol;
                (frame[16], frame[18]) = (0, 0);
            }
            compute(&mut frame);
            if let Some(places) = Places::of(&frame) {
                places.prepare(&mut frame);
                places.prepare_header(&mut frame);
                let _ = places.inside(&frame);
            }
        }
    }

    #[test]
    fn parts_and_odd_ends_have_no_checksum_to_compute() {
        let whole = frame(false, false, b"data!");
        let at = |frame: &[u8]| Places::of(frame).unwrap().checksum(frame);
        assert_eq!(at(&whole), Some(40));
        let mut fragment = whole.clone();
        fragment[20] = 0x20;
        assert_eq!(at(&fragment), None);
        let mut short = whole.clone();
        short[38 + 1] -= 1;
        assert_eq!(at(&short), None, "something is behind the datagram");
        let mut before = short.clone();
        compute(&mut before);
        assert_eq!(before, short);
    }

    #[test]
    fn a_packet_inside_another_is_found() {
        let inner = &frame(true, true, b"inside")[14..];
        for (protocol, shim) in
            [(41, &[][..]), (47, &[0, 0, 0x86, 0xdd]), (47, &[0x80, 0, 0x86, 0xdd, 1, 2, 3, 4])]
        {
            let mut outer = Vec::new();
            let payload = [shim, inner].concat();
            PacketBuilder::ethernet2([2; 6], [4; 6])
                .ipv4(FROM.0, TO.0, 9)
                .write(&mut outer, protocol.into(), &payload)
                .unwrap();
            let places = Places::of(&outer).unwrap();
            assert_eq!(places.checksum(&outer), None);
            let inside = places.inside(&outer).unwrap();
            assert_eq!((inside.l3, inside.protocol, inside.is_ipv6), (34 + shim.len(), protocol::TCP, true));
            assert_eq!(inside.end, outer.len());
        }
        assert_eq!(
            Places::of(&frame(false, false, inner)).unwrap().inside(&frame(false, false, inner)),
            None
        );
    }
}
