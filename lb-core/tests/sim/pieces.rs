//! Fragments: a router before the director cuts packets, as senders allow it to, and hosts put them together.

use smoltcp::wire::{EthernetFrame, EthernetProtocol, Ipv4Packet, Ipv6Packet};
use std::collections::{BTreeMap, HashMap};

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
/// Bytes of a fragment header, and its number.
const HEADER: (usize, u8) = (8, 44);

/// Cuts the packet of a frame for a way that carries so many bytes. What fits, or is no IP, stays as it is.
pub(crate) fn cut(frame: &[u8], id: u32, most: usize) -> Vec<Vec<u8>> {
    let (ethernet, packet) = frame.split_at(ETHERNET);
    let (len, header_len, added) = match EthernetFrame::new_unchecked(frame).ethertype() {
        EthernetProtocol::Ipv4 => (Ipv4Packet::new_unchecked(packet).total_len().into(), IPV4, 0),
        EthernetProtocol::Ipv6 => (Ipv6Packet::new_unchecked(packet).total_len(), IPV6, HEADER.0),
        _ => return vec![frame.to_vec()],
    };
    if len <= most {
        return vec![frame.to_vec()];
    }
    let (header, payload) = packet[..len].split_at(header_len);
    let room = (most - header_len - added) / 8 * 8;
    let pieces = payload.chunks(room).zip((0..).step_by(room));
    let piece = |(bytes, at): (&[u8], usize)| {
        let more = at + bytes.len() < payload.len();
        let header = if added == 0 {
            header4(header, id, at, (bytes.len(), more))
        } else {
            header6(header, id, at, (bytes.len(), more))
        };
        [ethernet, &header, bytes].concat()
    };
    pieces.map(piece).collect()
}

fn header4(header: &[u8], id: u32, at: usize, (len, more): (usize, bool)) -> Vec<u8> {
    let mut bytes = header.to_vec();
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
    packet.set_total_len((IPV4 + len) as u16);
    packet.set_ident(id as u16);
    packet.set_dont_frag(false);
    packet.set_more_frags(more);
    packet.set_frag_offset(at as u16);
    packet.fill_checksum();
    bytes
}

fn header6(header: &[u8], id: u32, at: usize, (len, more): (usize, bool)) -> Vec<u8> {
    let mut bytes = header.to_vec();
    let next = std::mem::replace(&mut bytes[6], HEADER.1);
    bytes[4..6].copy_from_slice(&((HEADER.0 + len) as u16).to_be_bytes());
    bytes.extend([next, 0]);
    bytes.extend((at as u16 | u16::from(more)).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes
}

/// What tells a datagram from others.
type Key = (Vec<u8>, Vec<u8>);

/// Fragments that a host has got, by where they begin, and whether more follow.
#[derive(Default)]
pub(crate) struct Assembly(HashMap<Key, BTreeMap<usize, (Vec<u8>, bool)>>);

impl Assembly {
    /// The packet that a frame completes: its own, if it is no fragment.
    pub(crate) fn take(&mut self, frame: Vec<u8>) -> Option<Vec<u8>> {
        let (_, packet) = frame.split_at(ETHERNET);
        let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let (key, start, payload, more) = match EthernetFrame::new_unchecked(&frame[..]).ethertype() {
            EthernetProtocol::Ipv4 if word(6) & 0x3fff != 0 => {
                let end = usize::from(word(2));
                let key = (packet[12..20].to_vec(), packet[4..6].to_vec());
                (key, usize::from(word(6) & 0x1fff) * 8, packet[IPV4..end].to_vec(), word(6) & 0x2000 != 0)
            }
            EthernetProtocol::Ipv6 if packet[6] == HEADER.1 => {
                let (from, end) = (IPV6 + HEADER.0, IPV6 + usize::from(word(4)));
                let key = (packet[8..40].to_vec(), packet[44..48].to_vec());
                (key, usize::from(word(42) & 0xfff8), packet[from..end].to_vec(), word(42) & 1 != 0)
            }
            _ => return Some(frame),
        };
        let pieces = self.0.entry(key.clone()).or_default();
        pieces.insert(start, (payload, more));
        let mut whole = Vec::new();
        let is_whole = pieces.iter().all(|(start, (bytes, _))| {
            let follows = *start == whole.len();
            whole.extend_from_slice(bytes);
            follows
        });
        if !is_whole || pieces.values().last().is_none_or(|(_, more)| *more) {
            return None;
        }
        self.0.remove(&key);
        let mut header = frame[..ETHERNET].to_vec();
        if packet[0] >> 4 == 4 {
            header.extend(header4(&packet[..IPV4], 0, 0, (whole.len(), false)));
        } else {
            let mut bytes = packet[..IPV6].to_vec();
            bytes[6] = packet[IPV6];
            bytes[4..6].copy_from_slice(&(whole.len() as u16).to_be_bytes());
            header.extend(bytes);
        }
        Some([header, whole].concat())
    }
}
