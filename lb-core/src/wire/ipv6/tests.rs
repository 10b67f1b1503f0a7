use super::*;
use crate::wire::protocol::{TCP, UDP};
use proptest::prelude::*;

const A: u128 = 0x2001_0db8_0000_0000_0000_0000_0000_0001;
const B: u128 = 0x2001_0db8_0000_0000_0000_0000_0000_0002;

/// A packet with these extension headers, each with its kind, and a payload of 20 bytes.
fn packet(extensions: &[(u8, &[u8])], protocol: u8) -> Vec<u8> {
    let mut kinds: Vec<u8> = extensions.iter().map(|(kind, _)| *kind).collect();
    kinds.push(protocol);
    let behind: usize = extensions.iter().map(|(_, bytes)| bytes.len()).sum();
    let header = Header {
        header_len: HEADER_LEN,
        total_len: HEADER_LEN + behind + 20,
        fragment: 0,
        ttl: 64,
        protocol: kinds[0],
        source: A,
        destination: B,
    };
    let mut bytes = vec![0; HEADER_LEN];
    V6::write(&mut bytes, &header);
    for ((_, extension), next) in extensions.iter().zip(&kinds[1..]) {
        bytes.push(*next);
        bytes.extend(&extension[1..]);
    }
    bytes.extend([0; 20]);
    bytes
}

fn read(extensions: &[(u8, &[u8])], protocol: u8) -> Option<(u8, usize, u16)> {
    Header::read(&packet(extensions, protocol)).map(|it| (it.protocol, it.header_len, it.fragment))
}

const OPTIONS: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];
const LONG: &[u8] = &[0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn what_is_written_is_read() {
    let bytes = packet(&[], TCP);
    let header = Header::read(&bytes).unwrap();
    assert_eq!((header.source, header.destination, header.ttl), (A, B, 64));
    assert_eq!((header.protocol, header.header_len, header.total_len), (TCP, 40, 60));
    assert!(header.dont_fragment());
    assert_eq!(Header::read(&bytes[..59]), None, "shorter than it says");
    assert!(Header::read_cut(&bytes[..48]).is_some(), "quoted packets may be cut");
    let mut other = bytes;
    other[0] = 0x45;
    assert_eq!(Header::read(&other), None);
    assert!(!is_sound_but_for_extensions(&other));
}

#[test]
fn extension_headers_are_passed_over() {
    assert_eq!(read(&[(HOP_BY_HOP, OPTIONS)], UDP), Some((UDP, 48, 0)));
    assert_eq!(read(&[(HOP_BY_HOP, LONG), (DESTINATION_OPTIONS, OPTIONS)], TCP), Some((TCP, 64, 0)));
    assert_eq!(read(&[(ROUTING, OPTIONS)], TCP).map(|it| it.0), None, "one segment is left");
    assert_eq!(read(&[(ROUTING, &[0, 0, 4, 0, 0, 0, 0, 0])], TCP), Some((TCP, 48, 0)));
    assert_eq!(read(&[(DESTINATION_OPTIONS, OPTIONS), (HOP_BY_HOP, OPTIONS)], TCP), None);
    assert_eq!(read(&[], 59), Some((59, 40, 0)), "nothing behind it");
    assert!(is_sound_but_for_extensions(&packet(&[(ROUTING, OPTIONS)], TCP)));
}

#[test]
fn fragments_are_told_from_whole_packets() {
    let of = |word: [u8; 2]| read(&[(FRAGMENT, &[0, 0, word[0], word[1], 0, 0, 0, 1])], TCP);
    assert_eq!(of([0, 0]), Some((TCP, 48, 0)), "all of the packet");
    assert_eq!(of([0, 1]), Some((TCP, 48, 1)), "the first of several");
    assert_eq!(of([0x05, 0xa8]), Some((TCP, 48, 0x05a8)), "the last");
    assert!(V6::is_fragment(1) && !V6::is_later_fragment(1) && V6::is_later_fragment(0x05a8));
    let later = &[0, 0, 0x05, 0xa8, 0, 0, 0, 1];
    assert_eq!(read(&[(FRAGMENT, later)], HOP_BY_HOP), Some((HOP_BY_HOP, 48, 0x05a8)), "not looked into");
}

#[test]
fn the_walk_is_bounded() {
    let many = |count| vec![(DESTINATION_OPTIONS, OPTIONS); count];
    assert_eq!(read(&many(8), TCP), Some((TCP, 104, 0)));
    assert_eq!(read(&many(9), TCP), None);
    let long = |blocks: u8| {
        let mut bytes = vec![0; 8 + 8 * usize::from(blocks)];
        bytes[1] = blocks;
        bytes
    };
    assert_eq!(read(&[(DESTINATION_OPTIONS, &long(31))], TCP), Some((TCP, 296, 0)));
    assert_eq!(read(&[(DESTINATION_OPTIONS, &long(32))], TCP), None);
}

#[test]
fn hosts_have_other_addresses_than_groups_and_nobody() {
    let is = |text: &str| is_host(text.parse::<Ipv6Addr>().unwrap().to_bits());
    assert!(is("2001:db8::1") && is("fe80::1") && is("fd00::1"));
    assert!(!is("::") && !is("::1") && !is("ff02::1") && !is("::ffff:192.0.2.1"));
    let leaves = |text: &str| V6::leaves_link(text.parse::<Ipv6Addr>().unwrap().to_bits());
    assert!(leaves("2001:db8::1") && leaves("fd00::1") && !leaves("fe80::1") && !leaves("febf::1"));
}

#[test]
fn the_class_is_between_version_and_flow_label() {
    assert_eq!(V6::class(&[0x6a, 0xb0]), 0xab);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), fits: bool) {
        if fits && bytes.len() >= HEADER_LEN {
            bytes[0] = 0x60;
            let len = bytes.len() - HEADER_LEN;
            put16(&mut bytes, PAYLOAD_LEN, small(len));
        }
        if let Some(header) = Header::read(&bytes) {
            prop_assert!(header.header_len <= header.total_len && header.total_len <= bytes.len());
        }
        let _ = Header::read_cut(&bytes);
    }

    #[test]
    fn a_pair_is_both_addresses(a: u128, b: u128) {
        prop_assert_eq!(V6::ends(V6::pair(a, b)), (a, b));
        prop_assert_eq!(V6::difference(V6::pair(a, b), V6::pair(a, b)), 0);
        prop_assert_eq!(V6::difference(V6::pair(a, b), V6::pair(b, a)) == 0, a == b);
        let words = |address: u128| {
            let bytes = address.to_be_bytes();
            (0..8).fold(0, |words, at| words ^ get16(&bytes, 2 * at))
        };
        prop_assert_eq!(V6::words(a), words(a));
        let original = low32(low64(b));
        let embedded = V6::embed(V4::ip(original)).unwrap();
        prop_assert_eq!((V6::ip(embedded), V6::words(embedded)), (V4::ip(original), V4::words(original)));
        prop_assert!(V6::is_embedded(embedded) && !V6::is_embedded(a | 1 << 127));
    }

    #[test]
    fn a_change_of_addresses_is_as_good_as_a_new_sum(old: u128, new: u128, other in 1_u16..) {
        let sum = |address| V6::pseudo(address, B, TCP, other).finish();
        let change = V6::changed(Change::OF_NOTHING, old, new);
        prop_assert_eq!(change.apply(sum(old)), sum(new));
    }
}
