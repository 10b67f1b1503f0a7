//! Cutting a packet into fragments: one of IPv4 whose sender allows it, RFC 791 3.2, the same once it is IPv6's, RFC 7915 4, and
//! a tunnel's of either family, RFC 2473 7. What is a fragment already is cut again.

use crate::{
    cast::{low16, small},
    family::{Family, Header, V4, V6},
    packet::Packet,
    wire::{ipv4, ipv6, put16, put32},
};
use std::{iter, ops::Range};

/// Bytes of the largest header of a fragment: one of IPv4 with all the options there can be.
const MAX_HEADER_LEN: usize = 60;

/// How a packet is cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Where its header begins in the frame.
    l3: usize,
    /// Bytes of its header. Places of pieces count from behind it.
    header_len: usize,
    /// Bytes behind that.
    len: usize,
    /// Bytes of the largest fragment, header included.
    most: usize,
    /// Headers of the first fragment and of the others.
    heads: [Head; 2],
    /// What offset and flags of a first fragment are that others follow.
    word: u16,
    /// Others follow behind the last.
    more: bool,
}

/// A header, without length, offset and checksum.
#[derive(Clone, Copy, Debug)]
struct Head {
    bytes: [u8; MAX_HEADER_LEN],
    len: usize,
}

impl Head {
    fn new(bytes: &[u8]) -> Self {
        let mut head = Head { bytes: [0; MAX_HEADER_LEN], len: bytes.len().min(MAX_HEADER_LEN) };
        head.bytes[..head.len].copy_from_slice(&bytes[..head.len]);
        head
    }

    fn is_ipv6(&self) -> bool {
        self.bytes[0] >> 4 == 6
    }
}

impl Cut {
    /// Of the packet of IPv4 at a place of a frame, into fragments of `most` bytes at most. `None` if that leaves no room for
    /// any of it.
    #[must_use]
    pub fn of_ipv4(packet: &impl Packet, l3: u16, most: u16) -> Option<Self> {
        let l3 = usize::from(l3);
        let bytes = packet.bytes().get(l3..)?;
        let header = Header::<V4>::read(bytes)?;
        let (head, options) = bytes[..header.header_len].split_at(ipv4::HEADER_LEN);
        let mut later = Head::new(head);
        for option in copied(options) {
            later.bytes[later.len..later.len + option.len()].copy_from_slice(option);
            later.len += option.len();
        }
        // What is left of the last word is zero, the end of options.
        later.len = later.len.next_multiple_of(4);
        let [words, _] = small(later.len / 4).to_le_bytes();
        later.bytes[0] = 4 << 4 | words;
        Cut {
            l3,
            header_len: header.header_len,
            len: header.total_len - header.header_len,
            most: usize::from(most),
            heads: [Head::new(&bytes[..header.header_len]), later],
            word: header.fragment & !(ipv4::MORE_FRAGMENTS | ipv4::DONT_FRAGMENT),
            more: header.fragment & ipv4::MORE_FRAGMENTS != 0,
        }
        .if_possible()
    }

    /// The same of a packet of IPv6 without extension headers but that of a fragment: a tunnel's, or one that was IPv4's.
    /// `id` tells its fragments from those of others, if it is none yet.
    #[must_use]
    pub fn of_ipv6(packet: &impl Packet, l3: u16, most: u16, id: u32) -> Option<Self> {
        let l3 = usize::from(l3);
        let bytes = packet.bytes().get(l3..)?;
        let header = Header::<V6>::read(bytes)?;
        let piece = V6::piece(bytes.get(..header.total_len)?);
        let (start, more) = piece.map_or((0, false), |piece| (piece.start, piece.more));
        let header_len = ipv6::HEADER_LEN + if piece.is_some() { ipv6::FRAGMENT_LEN } else { 0 };
        if header.header_len != header_len {
            return None;
        }
        let mut head = Head::new(&bytes[..header_len]);
        if piece.is_none() {
            head.len += ipv6::FRAGMENT_LEN;
            head.bytes[ipv6::HEADER_LEN] = head.bytes[ipv6::NEXT_HEADER];
            head.bytes[ipv6::NEXT_HEADER] = ipv6::FRAGMENT;
            put32(&mut head.bytes, ipv6::HEADER_LEN + 4, id);
        }
        Cut {
            l3,
            header_len,
            len: header.total_len - header_len,
            most: usize::from(most),
            heads: [head; 2],
            word: low16(start),
            more,
        }
        .if_possible()
    }

    fn if_possible(self) -> Option<Self> {
        self.heads.iter().all(|head| head.len + 8 <= self.most).then_some(self)
    }

    /// The pieces, from the first on: which bytes behind the header each has.
    pub fn pieces(&self) -> impl Iterator<Item = Range<usize>> {
        let next = |at: usize| {
            let room = self.most - self.head(at).len;
            let rest = self.len - at;
            // Only what ends the packet may end between two units of eight.
            at..at + if rest <= room { rest } else { room & !7 }
        };
        iter::successors(Some(next(0)), move |last| (last.end < self.len).then(|| next(last.end)))
    }

    /// Makes an empty packet one of the pieces of another. `false` if it has no room.
    #[must_use]
    pub fn copy(&self, whole: &impl Packet, piece: &Range<usize>, to: &mut impl Packet) -> bool {
        let (head, from) = (self.head(piece.start), self.l3 + self.header_len);
        let frame = whole.bytes();
        let (Some(l2), Some(payload)) =
            (frame.get(..self.l3), frame.get(from + piece.start..from + piece.end))
        else {
            return false;
        };
        if !to.set_len(self.l3 + head.len + payload.len()) {
            return false;
        }
        let frame = to.bytes_mut();
        frame[..self.l3].copy_from_slice(l2);
        frame[self.l3 + head.len..].copy_from_slice(payload);
        self.write_header(&mut frame[self.l3..], piece);
        true
    }

    /// Makes a packet one of its own pieces. `false` if it has no room.
    #[must_use]
    pub fn keep(&self, packet: &mut impl Packet, piece: &Range<usize>) -> bool {
        let (was, is) = (self.header_len + piece.start, self.head(piece.start).len);
        let (more, less) = (is.saturating_sub(was), was.saturating_sub(is));
        if !packet.set_len(self.l3 + self.header_len + piece.end) || !packet.prepend(more) {
            return false;
        }
        packet.bytes_mut().copy_within(more..more + self.l3, less);
        let is_cut = packet.trim_front(less);
        if is_cut {
            self.write_header(&mut packet.bytes_mut()[self.l3..], piece);
        }
        is_cut
    }

    fn head(&self, at: usize) -> &Head {
        &self.heads[usize::from(at > 0)]
    }

    fn write_header(&self, packet: &mut [u8], piece: &Range<usize>) {
        let head = self.head(piece.start);
        let header = &mut packet[..head.len];
        header.copy_from_slice(&head.bytes[..head.len]);
        let more = self.more || piece.end < self.len;
        if head.is_ipv6() {
            put16(header, ipv6::PAYLOAD_LEN, small(ipv6::FRAGMENT_LEN + piece.len()));
            let offset = self.word.wrapping_add(small(piece.start));
            put16(header, ipv6::HEADER_LEN + 2, offset | u16::from(more));
        } else {
            put16(header, ipv4::TOTAL_LEN, small(head.len + piece.len()));
            let offset = self.word.wrapping_add(small(piece.start / 8));
            put16(header, ipv4::FRAGMENT, offset | if more { ipv4::MORE_FRAGMENTS } else { 0 });
            ipv4::set_checksum(header);
        }
    }
}

/// The options that are in all fragments, RFC 791 3.1: those with the copied flag.
fn copied(options: &[u8]) -> impl Iterator<Item = &[u8]> {
    /// Types of the two that are one byte long.
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;
    let mut rest = options;
    iter::from_fn(move || {
        loop {
            let len = match *rest.first()? {
                END => return None,
                NO_OPERATION => 1,
                _ => usize::from(*rest.get(1)?),
            };
            let (option, behind) = rest.split_at_checked(len).filter(|_| len > 0)?;
            rest = behind;
            if option[0] & COPIED != 0 {
                return Some(option);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{memory::MemoryPacket, packet::PortId};
    use etherparse::{IpNumber, Ipv4Header, Ipv4HeaderSlice, Ipv4Options, Ipv6FragmentHeaderSlice};
    use proptest::prelude::*;

    const L3: u16 = 18;

    fn packet(header: &[u8], payload: &[u8]) -> MemoryPacket {
        let frame = [[0xee; L3 as usize].as_slice(), header, payload].concat();
        MemoryPacket::new(PortId(0), &frame)
    }

    /// All pieces, as copies and as what the packet itself becomes.
    fn pieces(cut: &Cut, whole: &MemoryPacket) -> Vec<Vec<u8>> {
        let made = cut.pieces().map(|piece| {
            let (mut copy, mut kept) = (MemoryPacket::new(PortId(0), &[0; 4_000]), whole.clone());
            assert!(cut.copy(whole, &piece, &mut copy) && cut.keep(&mut kept, &piece));
            assert_eq!(copy.bytes(), kept.bytes());
            assert_eq!(copy.bytes()[..usize::from(L3)], [0xee; L3 as usize]);
            copy.bytes()[usize::from(L3)..].to_vec()
        });
        made.collect()
    }

    /// Options as a sender may put them, and those of them that are in all fragments.
    fn options() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let option = prop_oneof![
            Just(vec![NO_OPERATION]),
            (2..127_u8, 0..6_u8)
                .prop_map(|(kind, len)| [vec![kind, len + 2], vec![0xaa; len.into()]].concat()),
            (129..=255_u8, 0..6_u8)
                .prop_map(|(kind, len)| [vec![kind, len + 2], vec![0xbb; len.into()]].concat()),
        ];
        const NO_OPERATION: u8 = 1;
        prop::collection::vec(option, 0..12).prop_map(|options| {
            let (mut all, mut copied) = (Vec::new(), Vec::new());
            for option in options {
                if all.len() + option.len() <= 40 {
                    all.extend_from_slice(&option);
                    if option[0] & 0x80 != 0 {
                        copied.extend_from_slice(&option);
                    }
                }
            }
            for it in [&mut all, &mut copied] {
                it.resize(it.len().next_multiple_of(4), 0);
            }
            (all, copied)
        })
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            (all, copied) in options(),
            payload in prop::collection::vec(any::<u8>(), 1..3_000),
            most in 68..3_200_u16,
            (offset, more) in (0..800_u16, any::<bool>()),
        ) {
            let len = if more { payload.len().next_multiple_of(8) } else { payload.len() };
            let payload: Vec<u8> = payload.iter().copied().chain(iter::repeat(7)).take(len).collect();
            let mut header = Ipv4Header::new(len as u16, 9, IpNumber::UDP, [1, 2, 3, 4], [5, 6, 7, 8]).unwrap();
            header.options = Ipv4Options::try_from(&all[..]).unwrap();
            header.set_payload_len(len).unwrap();
            header.identification = 0x1234;
            header.dont_fragment = false;
            (header.more_fragments, header.fragment_offset) = (more, offset.try_into().unwrap());
            header.header_checksum = header.calc_header_checksum();
            let whole = packet(&header.to_bytes(), &payload);
            let cut = Cut::of_ipv4(&whole, L3, most).unwrap();
            let pieces = pieces(&cut, &whole);
            let mut together = Vec::new();
            for (number, piece) in pieces.iter().enumerate() {
                prop_assert!(piece.len() <= usize::from(most));
                let read = Ipv4HeaderSlice::from_slice(piece).unwrap();
                prop_assert!(ipv4::checksum_is_right(read.slice()));
                prop_assert_eq!(usize::from(read.total_len()), piece.len());
                prop_assert_eq!(read.options(), if number == 0 { &all[..] } else { &copied[..] });
                prop_assert_eq!((read.identification(), read.ttl(), read.protocol()), (0x1234, 9, IpNumber::UDP));
                prop_assert_eq!((read.source(), read.destination()), ([1, 2, 3, 4], [5, 6, 7, 8]));
                prop_assert_eq!(usize::from(read.fragments_offset().value()) * 8, usize::from(offset) * 8 + together.len());
                prop_assert_eq!(read.more_fragments(), more || number + 1 < pieces.len());
                together.extend_from_slice(&piece[read.slice().len()..]);
            }
            prop_assert_eq!(together, payload);
        }

        #[test]
        fn of_ipv6_too(payload in prop::collection::vec(any::<u8>(), 1..3_000), most in 56..3_200_u16, id: u32) {
            let mut header = [0; ipv6::HEADER_LEN];
            header[0] = 0x6a;
            put16(&mut header, ipv6::PAYLOAD_LEN, payload.len() as u16);
            (header[ipv6::NEXT_HEADER], header[ipv6::HOP_LIMIT], header[39]) = (4, 64, 9);
            let whole = packet(&header, &payload);
            let cut = Cut::of_ipv6(&whole, L3, most, id).unwrap();
            let pieces = pieces(&cut, &whole);
            let mut together = Vec::new();
            for (number, piece) in pieces.iter().enumerate() {
                prop_assert!(piece.len() <= usize::from(most));
                let read = Ipv6FragmentHeaderSlice::from_slice(&piece[40..]).unwrap();
                prop_assert_eq!((piece[0], piece[6], piece[7], piece[39]), (0x6a, 44, 64, 9));
                prop_assert_eq!(usize::from(u16::from_be_bytes([piece[4], piece[5]])) + 40, piece.len());
                prop_assert_eq!((read.next_header(), read.identification()), (IpNumber(4), id));
                prop_assert_eq!(usize::from(read.fragment_offset().value()) * 8, together.len());
                prop_assert_eq!(read.more_fragments(), number + 1 < pieces.len());
                together.extend_from_slice(&piece[48..]);
            }
            prop_assert_eq!(together, payload);
        }
    }

    #[test]
    fn a_way_without_room_for_any_of_it_takes_nothing() {
        let mut header = Ipv4Header::new(100, 9, IpNumber::UDP, [1, 2, 3, 4], [5, 6, 7, 8]).unwrap();
        header.options = Ipv4Options::try_from(&[1; 40][..]).unwrap();
        header.set_payload_len(100).unwrap();
        header.header_checksum = header.calc_header_checksum();
        let whole = packet(&header.to_bytes(), &[7; 100]);
        assert!(Cut::of_ipv4(&whole, L3, 67).is_none());
        assert_eq!(Cut::of_ipv4(&whole, L3, 68).unwrap().pieces().next(), Some(0..8));
    }

    #[test]
    fn no_options_make_it_panic() {
        for options in [[131, 0, 0, 0], [131, 1, 0, 0], [131, 9, 0, 0], [1, 1, 1, 131], [0, 131, 3, 0]] {
            let found: Vec<&[u8]> = copied(&options).collect();
            assert!(found.iter().all(|option| !option.is_empty()), "{options:?}");
        }
    }
}
