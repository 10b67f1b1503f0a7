//! IP packets cut into fragments, and put together again.

use super::{
    frame::ethernet,
    plan::{GATEWAY_MAC, LAN, LAN_MAC, SERVER_MACS, WAN, WAN_MAC},
    read,
};
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader};
use lb_core::packet::PortId;
use std::collections::BTreeMap;

/// Cuts a packet without options or extension headers in pieces of so many bytes of its payload, multiples of 8.
pub fn cut(packet: &[u8], id: u32, sizes: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    let header_len = if packet[0] >> 4 == 6 { 40 } else { 20 };
    let (header, payload) = packet.split_at(header_len);
    let (mut pieces, mut at) = (Vec::new(), 0);
    for size in sizes {
        let end = (at + size).min(payload.len());
        pieces.push(piece(header, id, at, &payload[at..end], end < payload.len()));
        at = end;
        if at == payload.len() {
            break;
        }
    }
    assert_eq!(at, payload.len(), "sizes for all of it");
    pieces
}

/// One fragment behind a copy of a header.
pub fn piece(header: &[u8], id: u32, at: usize, bytes: &[u8], more: bool) -> Vec<u8> {
    let offset = IpFragOffset::try_new((at / 8) as u16).expect("an offset");
    if header[0] >> 4 == 6 {
        let mut base = header.to_vec();
        let next = std::mem::replace(&mut base[6], 44);
        base[4..6].copy_from_slice(&(8 + bytes.len() as u16).to_be_bytes());
        let fragment = Ipv6FragmentHeader::new(IpNumber(next), offset, more, id);
        return [base.as_slice(), &fragment.to_bytes(), bytes].concat();
    }
    let (mut header, _) = Ipv4Header::from_slice(header).expect("a header");
    header.identification = id as u16;
    header.dont_fragment = false;
    header.more_fragments = more;
    header.fragment_offset = offset;
    header.set_payload_len(bytes.len()).expect("a length");
    header.header_checksum = header.calc_header_checksum();
    [header.to_bytes().as_slice(), bytes].concat()
}

/// Fragments of so many bytes each.
pub fn even(packet: &[u8], id: u32, size: usize) -> Vec<Vec<u8>> {
    cut(packet, id, std::iter::repeat(size))
}

/// The frame of a packet that arrives on a port.
pub fn frame(port: PortId, packet: &[u8]) -> Vec<u8> {
    let (to, from) = if port == WAN { (WAN_MAC, GATEWAY_MAC) } else { (LAN_MAC, SERVER_MACS[0]) };
    assert!(port == WAN || port == LAN);
    ethernet(to, from, if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }, packet)
}

/// Where a fragment belongs: header without what differs, id, start, bytes, whether more follow.
fn read_piece(packet: &[u8]) -> (Vec<u8>, u32, usize, Vec<u8>, bool) {
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    if packet[0] >> 4 == 6 {
        assert_eq!(packet[6], 44, "a fragment");
        let mut header = packet[..40].to_vec();
        header[6] = packet[40];
        let id = u32::from_be_bytes(*packet[44..].first_chunk().expect("an id"));
        let start = usize::from(word(42) & 0xfff8);
        return (header, id, start, packet[48..].to_vec(), word(42) & 1 != 0);
    }
    read::check_ipv4_header(packet).expect("a right header");
    let mut header = packet[..20].to_vec();
    let more = header[6] & 0x20 != 0;
    header[6] &= 0x40;
    header[7] = 0;
    (header, u32::from(word(4)), usize::from(word(6) & 0x1fff) * 8, packet[20..].to_vec(), more)
}

/// Bytes of fragments by where they begin, and whether more follow.
type Pieces = BTreeMap<usize, (Vec<u8>, bool)>;

/// The packets that fragments are of, whatever their order. Panics where bytes are missing or come twice.
pub fn assemble<'a>(packets: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut datagrams: BTreeMap<(Vec<u8>, u32), Pieces> = BTreeMap::new();
    for packet in packets {
        let (mut header, id, start, bytes, more) = read_piece(packet);
        if header[0] >> 4 == 4 {
            // Length and checksum differ.
            header[2..4].fill(0);
            header[10..12].fill(0);
        } else {
            header[4..6].fill(0);
        }
        let before = datagrams.entry((header, id)).or_default().insert(start, (bytes, more));
        assert!(before.is_none(), "twice");
    }
    datagrams.into_iter().map(|((header, _), pieces)| whole(header, &pieces)).collect()
}

fn whole(mut header: Vec<u8>, pieces: &Pieces) -> Vec<u8> {
    let mut payload = Vec::new();
    for (start, (bytes, _)) in pieces {
        assert_eq!(*start, payload.len(), "no gap");
        payload.extend_from_slice(bytes);
    }
    let (last, before) =
        pieces.values().collect::<Vec<_>>().split_last().map(|(a, b)| (*a, b.to_vec())).unwrap();
    assert!(!last.1 && before.iter().all(|(_, more)| *more), "one is the last");
    if header[0] >> 4 == 6 {
        header[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
        return [header, payload].concat();
    }
    let (mut header, _) = Ipv4Header::from_slice(&header).expect("a header");
    header.set_payload_len(payload.len()).expect("a length");
    header.header_checksum = header.calc_header_checksum();
    [header.to_bytes().as_slice(), &payload].concat()
}
