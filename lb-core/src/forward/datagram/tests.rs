use super::*;
use crate::{
    family::{Header, V4},
    memory::MemoryPacket,
    module::text::Text,
    packet::PortId,
};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Replaces these, whatever it reads.
struct Replaces(Vec<(usize, usize, Vec<u8>)>);

impl Module for Replaces {
    fn datagram(&self, _: Direction, text: &[u8], edits: &mut Edits, _: &mut dyn Host) {
        for (at, old, new) in &self.0 {
            if at + old <= text.len() {
                edits.replace(*at, *old, Text::of(new));
            }
        }
    }
}

/// Says whether it rewrites, and is asked nothing else.
struct Says(bool);

impl Host for Says {
    fn rewrites(&self) -> bool {
        self.0
    }

    fn vip(&self) -> IpAddr {
        Ipv4Addr::UNSPECIFIED.into()
    }

    fn client(&self) -> IpAddr {
        Ipv4Addr::UNSPECIFIED.into()
    }

    fn hides_clients(&self) -> bool {
        false
    }

    fn is_choosy(&self) -> bool {
        false
    }

    fn shown(&mut self, _: Option<u16>) -> Option<SocketAddr> {
        None
    }

    fn active(&mut self, _: SocketAddr, _: u16) {}

    fn passive_somewhere(&mut self) {}

    fn passive(&mut self, _: u16, _: bool) -> Option<u16> {
        None
    }

    fn answered_elsewhere(&mut self) {}

    fn server(&self) -> IpAddr {
        Ipv4Addr::UNSPECIFIED.into()
    }

    fn calls(&self) -> [u16; 2] {
        [0; 2]
    }

    fn called(&mut self, _: bool) {}

    fn translated(&self, _: Direction, _: SocketAddr) -> Option<SocketAddr> {
        None
    }

    fn media(&mut self, _: u16, _: bool) -> Option<u16> {
        None
    }

    fn media_is_over(&mut self, _: u16) {}

    fn media_of_client(&mut self, _: u16) {}

    fn missed(&mut self) {}
}

fn frame(text: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([203, 0, 113, 10], [192, 0, 2, 100], 64)
        .udp(4_000, 5_060);
    let mut frame = Vec::new();
    builder.write(&mut frame, text).unwrap();
    frame
}

fn headers(frame: &[u8]) -> Headers<V4> {
    Headers::new(14, &Header::read(&frame[14..]).unwrap())
}

fn read(frame: &[u8], module: &Replaces, rewrites: bool) -> (MemoryPacket, Option<(usize, usize)>) {
    let mut packet = MemoryPacket::new(PortId(0), frame);
    let mut at = headers(frame);
    let done = apply(&mut packet, &mut at, Direction::In, (module, &mut Says(rewrites))).unwrap();
    assert!(at.end() <= packet.bytes().len());
    (packet, done)
}

/// The text of a frame whose lengths and checksums are right.
fn text(packet: &MemoryPacket) -> Vec<u8> {
    let sliced = SlicedPacket::from_ethernet(packet.bytes()).unwrap();
    let ip = sliced.net.unwrap();
    let header = ip.ipv4_ref().unwrap().header();
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
    assert_eq!(usize::from(header.total_len()), packet.bytes().len() - 14);
    let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("a datagram") };
    assert_eq!(usize::from(udp.length()), udp.payload().len() + 8);
    if udp.checksum() != 0 {
        let right = udp.to_header().calc_checksum_ipv4(&header.to_header(), udp.payload()).unwrap();
        assert_eq!(udp.checksum(), right);
    }
    udp.payload().to_vec()
}

#[test]
fn what_is_padded_to_an_ethernet_frame_keeps_to_its_length() {
    let mut padded = frame(b"0123");
    padded.resize(60, 0);
    let (packet, done) = read(&padded, &Replaces(vec![(1, 2, b"abc".to_vec())]), true);
    assert_eq!((text(&packet).as_slice(), done), (b"0abc3".as_slice(), Some((2, 3))));
}

#[test]
fn what_has_no_checksum_gets_none() {
    let mut bare = frame(b"0123");
    bare[14 + 20 + 6..][..2].fill(0);
    let (packet, _) = read(&bare, &Replaces(vec![(0, 1, b"".to_vec())]), true);
    assert_eq!(text(&packet), b"123");
    assert_eq!(packet.bytes()[14 + 20 + 6..][..2], [0, 0]);
}

#[test]
fn what_is_damaged_or_not_rewritten_stays_as_it_is() {
    let replaces = Replaces(vec![(0, 4, b"abcdef".to_vec())]);
    let mut damaged = frame(b"0123");
    *damaged.last_mut().unwrap() ^= 1;
    for (frame, rewrites) in [(damaged, true), (frame(b"0123"), false)] {
        let (packet, done) = read(&frame, &replaces, rewrites);
        assert_eq!((packet.bytes(), done), (frame.as_slice(), None));
    }
}

/// What a datagram as large as a frame of Ethernet can be has room to grow by: behind it, in a buffer of 2048 bytes, and in
/// front.
#[test]
fn many_texts_may_grow_by_as_much_as_a_buffer_has_room_for() {
    let (len, most) = (1_472, 2_048 - 1_514 + MOST_IN_FRONT);
    let all: Vec<_> = (0..most / 50).map(|at| (at * 20, 10, vec![b'x'; 60])).collect();
    let mut wanted = vec![b'.'; len];
    for (at, old, new) in all.iter().rev() {
        wanted.splice(*at..at + old, new.iter().copied());
    }
    let (packet, done) = read(&frame(&vec![b'.'; len]), &Replaces(all.clone()), true);
    assert_eq!((text(&packet), done), (wanted, Some((all.len() * 10, all.len() * 60))));
    assert!(packet.bytes().len() > 2_048, "{}", packet.bytes().len());
}

#[test]
fn without_room_it_goes_nowhere() {
    let all = Replaces((0..40).map(|at| (at * 2, 1, vec![b'x'; 60])).collect());
    let frame = frame(&[b'.'; 100]);
    let mut packet = MemoryPacket::new(PortId(0), &frame);
    let mut at = headers(&frame);
    let done = apply(&mut packet, &mut at, Direction::In, (&all, &mut Says(true)));
    assert_eq!(done, Err(DropReason::NoHeadroom));
}

proptest! {
    #[test]
    fn all_texts_are_replaced_at_once(
        old in prop::collection::vec(any::<u8>(), 0..600),
        edits in prop::collection::vec((0usize..600, 0usize..40, prop::collection::vec(any::<u8>(), 0..62)), 0..16),
    ) {
        let mut wanted = old.clone();
        let mut apart: Vec<(usize, usize, Vec<u8>)> = Vec::new();
        for edit in edits {
            let is_apart = |other: &(usize, usize, Vec<u8>)| {
                edit.0 + edit.1 <= other.0 && edit.0 < other.0 || other.0 + other.1 <= edit.0 && other.0 < edit.0
            };
            if edit.0 + edit.1 <= old.len() && apart.iter().all(is_apart) {
                apart.push(edit);
            }
        }
        let mut last_first = apart.clone();
        last_first.sort_by_key(|edit| std::cmp::Reverse(edit.0));
        for (at, len, new) in last_first {
            wanted.splice(at..at + len, new);
        }
        let (packet, _) = read(&frame(&old), &Replaces(apart), true);
        prop_assert_eq!(text(&packet), wanted);
    }
}
