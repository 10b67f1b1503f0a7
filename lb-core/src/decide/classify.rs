//! Stage 1: what kind of packet is it, and is it valid?
//!
//! Looks at one frame and nothing else, so that a burst of them can be read one after the other without waiting for
//! memory. Nearly all packets look alike: [`common`] reads those with fixed offsets and sends everything else, also
//! whatever is wrong, to [`uncommon`], which takes the headers one by one.

use crate::{
    conn::{connections::Hit, state::Meaning},
    counters::DropReason,
    flow::{key::Packed, table::Place},
    packet::{Checksum, Packet},
    wire::protocol::Protocol,
    wire::{
        ethernet::{self, Mac},
        get16, get32, get64,
        headers::{COMMON_LEN, Headers},
        icmp, ipv4, raw64, tcp, udp,
    },
};

/// What a packet is, from its own content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// TCP or UDP with whole headers: an untagged frame, no IPv4 options.
    Common,
    /// TCP or UDP with whole headers, tagged or with IPv4 options.
    Flow,
    /// ICMP with a whole header.
    Icmp,
    /// ARP.
    Arp,
    /// Sound IPv4 with some other protocol inside.
    OtherProtocol,
    /// Invalid, or not for us.
    Drop,
}

impl Kind {
    /// Whether the packet belongs to a flow, so that its connection is worth looking for.
    #[inline(always)]
    #[must_use]
    pub fn is_flow(self) -> bool {
        self as u8 <= Kind::Flow as u8
    }
}

/// A packet on its way through the stages. What stages 1 and 2 say of a common packet comes first, in half a cache
/// line: that is all they write.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Parsed {
    /// Which flow it belongs to. Only of flows; of a common packet its protocol not before [`Parsed::locate`].
    pub key: Packed,
    /// Where its flow is in the table. Only of flows.
    pub place: Place,
    /// Its connection, most likely. Only of flows.
    pub hit: Option<Hit>,
    /// What it means to its connection; nothing, unless it is common.
    pub meaning: Meaning,
    /// What it is.
    pub kind: Kind,
    /// TCP flags; 0 for UDP. Of a common packet not before [`Parsed::locate`].
    pub tcp_flags: u8,
    /// Why it ends here. Only of [`Kind::Drop`].
    pub reason: DropReason,
    /// Where its headers are. Only of IPv4; of a common packet not before [`Parsed::locate`].
    pub at: Headers,
}

const _: () = assert!(std::mem::offset_of!(Parsed, reason) <= 32, "half a cache line");

impl Parsed {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Parsed {
            key: Packed::NONE,
            at: Headers::default(),
            place: Place::default(),
            hit: None,
            meaning: Meaning::NONE,
            kind: Kind::Arp,
            tcp_flags: 0,
            reason: DropReason::BadEthernet,
        }
    }

    /// Whether it asks for a TCP connection.
    #[must_use]
    pub fn is_syn(&self) -> bool {
        self.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN
    }

    /// Says where the headers are, for those who need to know more than most.
    pub fn locate(&mut self, frame: &[u8]) {
        if self.kind == Kind::Common
            && let Some(head) = frame.first_chunk()
        {
            self.at = Headers::of_common(head);
            let Some(protocol) = Protocol::from_number(self.at.protocol) else { return };
            self.key.protocol = protocol;
            self.tcp_flags = match protocol {
                Protocol::Tcp => head[L4 + tcp::FLAGS],
                Protocol::Udp => 0,
            };
        }
    }
}

impl Default for Parsed {
    fn default() -> Self {
        Self::new()
    }
}

/// What a worker knows of the port that a packet arrived on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// The port's address, as a frame's first eight bytes have it.
    mac: u64,
    /// The least that must be known of checksums so that they are not verified here.
    sound: Checksum,
}

impl Arrival {
    /// At a port with that address. Where `verify` is set, checksums that the port did not look at are verified here.
    #[must_use]
    pub fn new(mac: Mac, verify: bool) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        let sound = if verify { Checksum::Good } else { Checksum::Unknown };
        Arrival { mac: u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]), sound }
    }

    fn mac(self) -> Mac {
        let [a, b, c, d, e, f, ..] = self.mac.to_ne_bytes();
        Mac([a, b, c, d, e, f])
    }

    fn verify(self) -> bool {
        self.sound == Checksum::Good
    }
}

/// Where IPv4's payload starts in a common frame.
const L4: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;

/// Reads a frame.
pub fn classify(packet: &impl Packet, arrival: Arrival, parsed: &mut Parsed) {
    recognise(packet, arrival, parsed);
    parsed.locate(packet.bytes());
}

/// Reads a frame, but of a common one no more than stages 1 and 2 need.
#[inline(always)]
pub fn recognise(packet: &impl Packet, arrival: Arrival, parsed: &mut Parsed) {
    let verified = packet.worst_checksum().is_at_least(arrival.sound);
    if !verified || !common(packet.bytes(), arrival, parsed) {
        verify_or_read(packet, arrival, parsed);
    }
}

/// A frame of the common shape whose checksums nobody has found right yet, or any other. Apart, so that those that a port
/// has verified do not pay for it.
#[inline(never)]
fn verify_or_read(packet: &impl Packet, arrival: Arrival, parsed: &mut Parsed) {
    let frame = packet.bytes();
    let unsure = packet.worst_checksum() != Checksum::Good;
    if !(unsure && common(frame, arrival, parsed) && common_is_right(frame)) {
        uncommon(packet, arrival, parsed);
    }
}

/// Whether both checksums of a frame of the common shape are right.
#[inline(always)]
fn common_is_right(frame: &[u8]) -> bool {
    let Some(head) = frame.first_chunk() else { return false };
    let at = Headers::of_common(head);
    let Some(protocol) = Protocol::from_number(at.protocol) else { return false };
    ipv4::checksum_is_right(&head[ethernet::HEADER_LEN..L4]) && l4_is_right(protocol, &at, at.payload(frame))
}

/// Reads a frame of the common shape. `false` for any other, valid or not.
///
/// That the source is a host's address is not checked here: a packet from another has no connection, and is looked at
/// again.
#[inline(always)]
fn common(frame: &[u8], arrival: Arrival, parsed: &mut Parsed) -> bool {
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
    if protocol == ipv4::TCP {
        let words = usize::from(head[L4 + tcp::DATA_OFFSET] >> 4);
        if words < tcp::HEADER_LEN / 4 || ipv4::HEADER_LEN + words * 4 > ip_len {
            return false;
        }
        parsed.meaning = Meaning::of_segment(head[L4 + tcp::FLAGS]);
    } else {
        let udp_len = usize::from(get16(head, L4 + udp::LENGTH));
        if protocol != ipv4::UDP || udp_len < udp::HEADER_LEN || ipv4::HEADER_LEN + udp_len > ip_len {
            return false;
        }
        parsed.meaning = Meaning::DATAGRAM;
    }
    parsed.kind = Kind::Common;
    parsed.key.addresses = get64(head, ethernet::HEADER_LEN + ipv4::SOURCE);
    parsed.key.ports = get32(head, L4);
    true
}

/// Reads any frame, header by header, in the order in which they lie.
#[inline(never)]
fn uncommon(packet: &impl Packet, arrival: Arrival, parsed: &mut Parsed) {
    parsed.meaning = Meaning::NONE;
    parsed.kind = read(packet, arrival, parsed).unwrap_or_else(|reason| {
        parsed.reason = reason;
        Kind::Drop
    });
}

fn read(packet: &impl Packet, arrival: Arrival, parsed: &mut Parsed) -> Result<Kind, DropReason> {
    let (frame, verify) = (packet.bytes(), arrival.verify());
    let (ethertype, l3) = ethernet::payload(frame).ok_or(DropReason::BadEthernet)?;
    let to = ethernet::destination(frame);
    match ethertype {
        ethernet::ARP if to == arrival.mac() || to == Mac::BROADCAST => return Ok(Kind::Arp),
        ethernet::IPV4 if to == arrival.mac() => {}
        ethernet::ARP | ethernet::IPV4 => return Err(DropReason::OtherMac),
        _ => return Err(DropReason::UnknownEthertype),
    }
    // An answer would go to a whole group.
    if ethernet::is_group(ethernet::source(frame)) {
        return Err(DropReason::BadSource);
    }
    let header = ipv4::Header::read(&frame[l3..]).ok_or(DropReason::BadIpv4)?;
    let at = Headers::new(l3, &header);
    parsed.at = at;
    if is_bad(packet.ipv4_checksum(), verify, || ipv4::checksum_is_right(&frame[l3..usize::from(at.l4)])) {
        return Err(DropReason::BadIpv4Checksum);
    }
    if !ipv4::is_host(at.source) {
        return Err(DropReason::BadSource);
    }
    if at.fragment & ipv4::IS_FRAGMENT != 0 {
        return Err(DropReason::Fragment);
    }
    let payload = at.payload(frame);
    let Some(protocol) = Protocol::from_number(at.protocol) else {
        return other(&at, payload, verify);
    };
    let is_whole = match protocol {
        Protocol::Tcp => tcp::is_whole(payload),
        Protocol::Udp => udp::is_whole(payload),
    };
    if !is_whole {
        return Err(DropReason::BadL4);
    }
    if is_bad(packet.l4_checksum(), verify, || l4_is_right(protocol, &at, payload)) {
        return Err(DropReason::BadL4Checksum);
    }
    parsed.key = Packed {
        addresses: u64::from(at.source) << 32 | u64::from(at.destination),
        ports: get32(payload, tcp::SOURCE_PORT),
        protocol,
    };
    parsed.tcp_flags = match protocol {
        Protocol::Tcp => payload[tcp::FLAGS],
        Protocol::Udp => 0,
    };
    Ok(Kind::Flow)
}

/// What is no flow. No port verifies ICMP.
fn other(at: &Headers, payload: &[u8], verify: bool) -> Result<Kind, DropReason> {
    if at.protocol != ipv4::ICMP {
        return Ok(Kind::OtherProtocol);
    }
    if payload.len() < icmp::HEADER_LEN {
        return Err(DropReason::BadL4);
    }
    if is_bad(Checksum::Unknown, verify, || icmp::checksum_is_right(payload)) {
        return Err(DropReason::BadL4Checksum);
    }
    Ok(Kind::Icmp)
}

/// Whether a checksum is wrong, as far as anybody looks: we do if `verify` says so and the port did not, and when the
/// port says that it is wrong. Ports say that of datagrams without a checksum (Intel's 82599 does), or of a tunnel's
/// packet because of the one inside it.
fn is_bad(verdict: Checksum, verify: bool, is_right: impl FnOnce() -> bool) -> bool {
    match verdict {
        Checksum::Good => false,
        Checksum::Bad => !is_right(),
        Checksum::Unknown => verify && !is_right(),
    }
}

fn l4_is_right(protocol: Protocol, at: &Headers, payload: &[u8]) -> bool {
    match protocol {
        Protocol::Tcp => tcp::checksum_is_right(at.source, at.destination, payload),
        Protocol::Udp => udp::checksum_is_right(at.source, at.destination, payload),
    }
}
