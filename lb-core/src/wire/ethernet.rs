//! Ethernet II frames with up to two VLAN tags (IEEE 802.3, 802.1Q, 802.1ad).

use super::{get16, put16};
use std::fmt;

/// Bytes of an untagged header.
pub const HEADER_LEN: usize = 14;
/// Bytes of one VLAN tag.
pub const TAG_LEN: usize = 4;
/// Bytes of an EtherType.
const ETHERTYPE_LEN: usize = 2;
/// The bits of a tag that say which VLAN it is.
const VLAN_ID: u16 = 0xfff;
/// Most tags that a frame has: a service provider's and a customer's.
pub const MAX_TAGS: usize = 2;
/// Where the destination address is.
pub const DESTINATION: usize = 0;
/// Where the source address is.
pub const SOURCE: usize = 6;
/// Bytes of both addresses.
pub const ADDRESSES_LEN: usize = 12;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of an 802.1ad service tag.
pub const SERVICE_VLAN: u16 = 0x88a8;

/// An Ethernet address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The broadcast address.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The VLAN tags of an interface's frames, as they stand in them: the outer one first.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Tags {
    bytes: [u8; MAX_TAGS * TAG_LEN],
    len: usize,
}

impl Tags {
    /// None.
    pub const NONE: Tags = Tags { bytes: [0; MAX_TAGS * TAG_LEN], len: 0 };

    /// That of a VLAN, from 1 to 4094.
    #[must_use]
    pub fn vlan(id: u16) -> Self {
        Tags::NONE.with(VLAN, id)
    }

    /// That of a customer's VLAN inside a service provider's.
    #[must_use]
    pub fn stacked(service: u16, customer: u16) -> Self {
        Tags::NONE.with(SERVICE_VLAN, service).with(VLAN, customer)
    }

    /// The same of none, one or two VLANs; the outer one first.
    #[must_use]
    pub fn of(ids: &[u16]) -> Option<Self> {
        match *ids {
            [] => Some(Tags::NONE),
            [id] => Some(Tags::vlan(id)),
            [service, customer] => Some(Tags::stacked(service, customer)),
            _ => None,
        }
    }

    /// The VLANs' numbers; the outer one first.
    pub fn ids(&self) -> impl Iterator<Item = u16> {
        self.as_bytes().chunks(TAG_LEN).map(|tag| get16(tag, 2) & VLAN_ID)
    }

    /// The same as one number.
    #[must_use]
    pub fn vlans(&self) -> Vlans {
        vlans_of(self.as_bytes())
    }

    /// As they stand in a frame.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Whether there are none.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    fn with(mut self, ethertype: u16, vlan: u16) -> Self {
        let at = self.len;
        put16(&mut self.bytes, at, ethertype);
        put16(&mut self.bytes, at + 2, vlan & VLAN_ID);
        self.len += TAG_LEN;
        self
    }
}

/// Which VLANs a frame is of, as one number: [`UNTAGGED`], or each VLAN's in 16 bits, the inner one last. Priorities do not
/// count, and neither does which EtherType a tag has: switches write either for a service provider's, and a port that takes a
/// tag off for its driver to put it back forgets which it was.
pub type Vlans = u32;

/// Of no VLAN. A tag that has a priority only (802.1Q 6.9.1, VLAN 0) says the same.
pub const UNTAGGED: Vlans = 0;

/// The VLANs of a frame. `None` when it is truncated, or has more tags than are read.
#[must_use]
pub fn vlans(frame: &[u8]) -> Option<Vlans> {
    let (_, end) = payload(frame)?;
    Some(vlans_of(&frame[ADDRESSES_LEN..end - ETHERTYPE_LEN]))
}

fn vlans_of(tags: &[u8]) -> Vlans {
    tags.chunks(TAG_LEN).fold(UNTAGGED, |vlans, tag| vlans << 16 | Vlans::from(get16(tag, 2) & VLAN_ID))
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.as_bytes())
    }
}

/// The EtherType behind any tags, and where the payload starts. `None` when the frame is truncated.
#[inline]
#[must_use]
pub fn payload(frame: &[u8]) -> Option<(u16, usize)> {
    let header = frame.first_chunk::<HEADER_LEN>()?;
    let ethertype = get16(header, ADDRESSES_LEN);
    if is_tag(ethertype) { behind_tags(frame) } else { Some((ethertype, HEADER_LEN)) }
}

/// Whether a frame has VLAN tags.
#[inline(always)]
#[must_use]
pub fn is_tagged(frame: &[u8]) -> bool {
    frame.get(ADDRESSES_LEN..HEADER_LEN).is_some_and(|at| is_tag(get16(at, 0)))
}

/// The only tag of a frame, without its EtherType, which is that of 802.1Q; `None` if there is none, another or more.
#[inline]
#[must_use]
pub fn only_tag(frame: &[u8]) -> Option<u16> {
    let head = frame.first_chunk::<{ HEADER_LEN + TAG_LEN }>()?;
    let is_only =
        get16(head, ADDRESSES_LEN) == VLAN && !is_tag(get16(head, HEADER_LEN + TAG_LEN - ETHERTYPE_LEN));
    is_only.then(|| get16(head, HEADER_LEN))
}

/// Moves both addresses so many bytes back, over what is behind them.
pub fn shift_addresses(frame: &mut [u8], by: usize) {
    frame.copy_within(..ADDRESSES_LEN, by);
}

/// Puts a tag of 802.1Q into a frame that has just been made longer at its front, by as much as that takes.
pub fn put_tag(frame: &mut [u8], tci: u16) {
    frame.copy_within(TAG_LEN..TAG_LEN + ADDRESSES_LEN, 0);
    put16(frame, ADDRESSES_LEN, VLAN);
    put16(frame, HEADER_LEN, tci);
}

/// Whether what stands in the place of an EtherType begins a tag.
#[inline(always)]
fn is_tag(ethertype: u16) -> bool {
    ethertype == VLAN || ethertype == SERVICE_VLAN
}

/// The destination address.
#[inline]
#[must_use]
pub fn destination(frame: &[u8]) -> Mac {
    address(frame, DESTINATION)
}

/// The source address.
#[inline]
#[must_use]
pub fn source(frame: &[u8]) -> Mac {
    address(frame, SOURCE)
}

/// Whether an address is a group address: multicast or broadcast.
#[must_use]
pub fn is_group(mac: Mac) -> bool {
    mac.0[0] & 1 == 1
}

/// Whether it can be the address of one station.
#[must_use]
pub fn is_station(mac: Mac) -> bool {
    !is_group(mac) && mac != Mac::default()
}

/// Writes both addresses.
#[inline]
pub fn set_addresses(frame: &mut [u8], destination: Mac, source: Mac) {
    frame[DESTINATION..SOURCE].copy_from_slice(&destination.0);
    frame[SOURCE..ADDRESSES_LEN].copy_from_slice(&source.0);
}

/// Both addresses in the order of a frame: destination, source.
#[must_use]
pub fn stations(destination: Mac, source: Mac) -> [u8; ADDRESSES_LEN] {
    let mut stations = [0; ADDRESSES_LEN];
    set_addresses(&mut stations, destination, source);
    stations
}

/// Writes both addresses at once.
#[inline(always)]
pub fn set_stations(frame: &mut [u8], stations: &[u8; ADDRESSES_LEN]) {
    frame[..ADDRESSES_LEN].copy_from_slice(stations);
}

/// Writes a header, tags included; returns where the payload begins.
pub fn write_header(frame: &mut [u8], (to, from): (Mac, Mac), tags: Tags, ethertype: u16) -> usize {
    set_addresses(frame, to, from);
    let end = ADDRESSES_LEN + tags.len;
    frame[ADDRESSES_LEN..end].copy_from_slice(tags.as_bytes());
    put16(frame, end, ethertype);
    end + ETHERTYPE_LEN
}

/// Writes the EtherTypes of an interface's tags into those of a frame of its VLANs; priorities stay.
pub fn set_tag_types(frame: &mut [u8], tags: &Tags) {
    let in_frame = frame[ADDRESSES_LEN..].chunks_exact_mut(TAG_LEN);
    for (own, tag) in tags.as_bytes().chunks(TAG_LEN).zip(in_frame) {
        tag[..ETHERTYPE_LEN].copy_from_slice(&own[..ETHERTYPE_LEN]);
    }
}

/// Writes the EtherType of an untagged frame.
pub fn set_ethertype(frame: &mut [u8], ethertype: u16) {
    put16(frame, ADDRESSES_LEN, ethertype);
}

fn address(frame: &[u8], at: usize) -> Mac {
    frame.get(at..).and_then(|rest| rest.first_chunk()).map_or(Mac::default(), |bytes| Mac(*bytes))
}

#[cold]
fn behind_tags(frame: &[u8]) -> Option<(u16, usize)> {
    let mut at = ADDRESSES_LEN;
    for _ in 0..=MAX_TAGS {
        let ethertype = get16(frame.get(at..at + 2)?, 0);
        if !is_tag(ethertype) {
            return Some((ethertype, at + 2));
        }
        at += TAG_LEN;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_passed_over() {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00]);
        assert_eq!(payload(&frame), Some((IPV4, 14)));
        frame.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
        assert_eq!(payload(&frame), Some((IPV4, 18)));
        frame.splice(12..12, [0x88, 0xa8, 0x00, 0x09]);
        assert_eq!(payload(&frame), Some((IPV4, 22)));
        frame.splice(12..12, [0x88, 0xa8, 0x00, 0x09]);
        assert_eq!(payload(&frame), None, "three tags");
    }

    #[test]
    fn tags_are_known_by_their_vlans() {
        let frame = |tags: &[u8]| [&[0; 12], tags, &[0x08, 0x00]].concat();
        let [none, one, other, two] = [
            frame(&[]),
            frame(&[0x81, 0x00, 0xe0, 0x07]),
            frame(&[0x81, 0x00, 0x00, 0x08]),
            frame(&[0x88, 0xa8, 0x00, 0x09, 0x81, 0x00, 0x20, 0x07]),
        ];
        let of = |tags: Tags| [&none, &one, &other, &two].map(|frame| vlans(frame) == Some(tags.vlans()));
        assert_eq!(of(Tags::NONE), [true, false, false, false]);
        assert_eq!(of(Tags::vlan(7)), [false, true, false, false], "whatever its priority");
        assert_eq!(of(Tags::stacked(9, 7)), [false, false, false, true]);
        assert_eq!(Tags::stacked(9, 7).as_bytes(), [0x88, 0xa8, 0, 9, 0x81, 0, 0, 7]);
        assert_eq!(Tags::stacked(9, 7).ids().collect::<Vec<_>>(), [9, 7]);
        assert_eq!(vlans(&frame(&[0x81, 0x00, 0xe0, 0x00])), Some(UNTAGGED), "only a priority");
        let either = frame(&[0x81, 0x00, 0x00, 0x09, 0x81, 0x00, 0x20, 0x07]);
        assert_eq!(vlans(&either), Some(Tags::stacked(9, 7).vlans()), "whatever the outer tag's EtherType");
        assert_eq!(vlans(&[0; 13]), None);
    }

    #[test]
    fn a_cut_frame_is_noticed() {
        assert_eq!(payload(&[0; 13]), None);
        let mut frame = vec![0; 12];
        frame.extend([0x81, 0x00, 0x00, 0x07, 0x08]);
        assert_eq!(payload(&frame), None);
    }
}
