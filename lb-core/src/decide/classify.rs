//! Stage 1: what kind of packet is it, and is it valid?
//!
//! Looks at one frame and nothing else, so that a burst of them can be read one after the other without waiting for
//! memory. Nearly all packets look alike: [`Common`] reads those with fixed offsets and sends everything else, also
//! whatever is wrong, to [`uncommon`], which takes the headers one by one.

use super::common::{Common, locate};
use crate::{
    cast::{count32, small},
    conn::state::Meaning,
    counters::DropReason,
    family::{Family, Header},
    flow::key::Packed,
    packet::{Checksum, Packet},
    service::snapshot::{Configured, Local, Snapshot},
    wire::{
        ethernet::{self, Mac},
        get32,
        headers::Headers,
        icmp, pptp,
        protocol::{self, ISAKMP, Protocol},
        sctp::{self, Chunk},
        tcp, udp,
    },
};

pub use super::parsed::{Arrival, Kind, Parsed};

/// Reads a frame.
pub fn classify<F: Common + Configured>(
    packet: &impl Packet,
    arrival: Arrival,
    snapshot: &Snapshot,
    parsed: &mut Parsed<F>,
) {
    recognise(packet, arrival, snapshot, parsed);
    locate(parsed, packet.bytes());
}

/// Reads a frame, but of a common one no more than stages 1 and 2 need.
#[inline(always)]
pub fn recognise<F: Common + Configured>(
    packet: &impl Packet,
    arrival: Arrival,
    snapshot: &Snapshot,
    parsed: &mut Parsed<F>,
) {
    let verified = F::verdict(packet).is_at_least(arrival.sound);
    if !verified || !F::recognise(packet.bytes(), arrival, parsed) {
        verify_or_read(packet, arrival, snapshot, parsed);
    }
}

/// A frame of the common shape whose checksums nobody has found right yet, or any other. Apart, so that those that a port
/// has verified do not pay for it.
#[inline(never)]
fn verify_or_read<F: Common + Configured>(
    packet: &impl Packet,
    arrival: Arrival,
    snapshot: &Snapshot,
    parsed: &mut Parsed<F>,
) {
    let frame = packet.bytes();
    if F::is_other(frame) {
        (parsed.kind, parsed.meaning) = (Kind::OtherFamily, Meaning::NONE);
        return;
    }
    let unsure = F::verdict(packet) != Checksum::Good;
    if !(unsure && F::recognise(frame, arrival, parsed) && common_is_right::<F>(frame)) {
        uncommon(packet, arrival, snapshot, parsed);
    }
}

/// Whether both checksums of a frame of the common shape are right.
#[inline(always)]
fn common_is_right<F: Common>(frame: &[u8]) -> bool {
    let Some(at) = F::headers(frame) else { return false };
    let Some(protocol) = Protocol::from_number(at.protocol) else { return false };
    F::header_is_right(&frame[ethernet::HEADER_LEN..F::L4]) && l4_is_right(protocol, &at, at.payload(frame))
}

/// Reads any frame, header by header, in the order in which they lie.
#[inline(never)]
fn uncommon<F: Common + Configured>(
    packet: &impl Packet,
    arrival: Arrival,
    snapshot: &Snapshot,
    parsed: &mut Parsed<F>,
) {
    parsed.meaning = Meaning::NONE;
    parsed.kind = read(packet, arrival, snapshot, parsed).unwrap_or_else(|reason| {
        parsed.reason = reason;
        Kind::Drop
    });
}

fn read<F: Common + Configured>(
    packet: &impl Packet,
    arrival: Arrival,
    snapshot: &Snapshot,
    parsed: &mut Parsed<F>,
) -> Result<Kind, DropReason> {
    let (frame, verify) = (packet.bytes(), arrival.verify());
    let (ethertype, l3) = ethernet::payload(frame).ok_or(DropReason::BadEthernet)?;
    let to = ethernet::destination(frame);
    let is_ours = is_here(to, packet, arrival, snapshot)?;
    let is_group = match ethertype {
        // About addresses of IPv4.
        ethernet::ARP if F::OTHER_ETHERTYPE == ethernet::IPV4 => return Ok(Kind::OtherFamily),
        ethernet::ARP if is_ours || to == Mac::BROADCAST => return Ok(Kind::Resolution),
        ethernet::ARP => return Err(DropReason::OtherMac),
        _ if ethertype == F::OTHER_ETHERTYPE => return Ok(Kind::OtherFamily),
        _ if ethertype != F::ETHERTYPE => return Err(DropReason::UnknownEthertype),
        _ if is_ours => false,
        _ if F::is_asked_at(to.0) => true,
        _ => return Err(DropReason::OtherMac),
    };
    // An answer would go to a whole group.
    if ethernet::is_group(ethernet::source(frame)) {
        return Err(DropReason::BadSource);
    }
    let header = Header::read(&frame[l3..]).ok_or_else(|| F::why_not_read(&frame[l3..]))?;
    let at = Headers::new(l3, &header);
    parsed.at = at;
    if is_bad(packet.ipv4_checksum(), verify, || F::header_is_right(&frame[l3..usize::from(at.l4)])) {
        return Err(DropReason::BadIpv4Checksum);
    }
    let payload = at.payload(frame);
    if F::is_about_neighbours(&header, payload) {
        return Ok(Kind::Resolution);
    }
    if is_group {
        return Err(DropReason::OtherMac);
    }
    if !F::is_host(at.source) {
        return Err(DropReason::BadSource);
    }
    if protocol::is_ipsec(at.protocol) {
        // Fragments as well: addresses say all there is to know.
        set_related(parsed);
        return Ok(Kind::Flow);
    }
    let call = Some(snapshot).filter(|snapshot| at.protocol == protocol::GRE && snapshot.has_calls);
    let call = call.filter(|_| !F::is_later_fragment(at.fragment)).and_then(|_| pptp::call_id(payload));
    if let Some(call) = call {
        set_call(parsed, call, snapshot);
    }
    if F::is_fragment(at.fragment) {
        return fragment(frame, parsed, call.is_some());
    }
    if call.is_some() {
        return Ok(Kind::Flow);
    }
    let Some(protocol) = Protocol::from_number(at.protocol) else {
        return other(parsed, payload, verify);
    };
    let is_whole = match protocol {
        Protocol::Tcp => tcp::is_whole(payload),
        Protocol::Udp => udp::is_whole(payload),
        // Nearly all carry data of a connection that is known, which they leave as it is: they are not read for their checksum.
        // The others are, when it is known what they do (`decide/sctp.rs`).
        Protocol::Sctp => return associated(parsed, payload, false).ok_or(DropReason::BadL4),
        // No number is read as that: see `other`.
        Protocol::Icmp => false,
    };
    if !is_whole {
        return Err(DropReason::BadL4);
    }
    // A port may think nothing of it that there is none.
    let lacks = protocol == Protocol::Udp && F::DATAGRAMS_NEED_CHECKSUM && !udp::has_checksum(payload);
    if lacks || is_bad(packet.l4_checksum(), verify, || l4_is_right(protocol, &at, payload)) {
        return Err(DropReason::BadL4Checksum);
    }
    set_flow(parsed, protocol, payload);
    Ok(Kind::Flow)
}

/// Says which flow a packet belongs to whose payload begins with that.
fn set_flow<F: Family>(parsed: &mut Parsed<F>, protocol: Protocol, payload: &[u8]) {
    parsed.key = Packed {
        addresses: F::pair(parsed.at.source, parsed.at.destination),
        ports: get32(payload, tcp::SOURCE_PORT),
        protocol,
    };
    parsed.tcp_flags = match protocol {
        Protocol::Tcp => payload[tcp::FLAGS],
        Protocol::Udp | Protocol::Sctp | Protocol::Icmp => 0,
    };
}

/// Says which connection a packet of IPsec goes with: that of the same two ends by which keys were agreed on, as in IPVS
/// (`ip_vs_proto_ah_esp.c`).
fn set_related<F: Family>(parsed: &mut Parsed<F>) {
    parsed.key = Packed {
        addresses: F::pair(parsed.at.source, parsed.at.destination),
        ports: u32::from(ISAKMP) << 16 | u32::from(ISAKMP),
        protocol: Protocol::Udp,
    };
    parsed.tcp_flags = 0;
}

/// Says which connection a packet of a call goes with: the control connection of the end that is not the director's, whose
/// port the call has on either side (`module/pptp.rs`).
#[cold]
fn set_call<F: Configured>(parsed: &mut Parsed<F>, call: u16, snapshot: &Snapshot) {
    let (call, control) = (u32::from(call), u32::from(pptp::PORT));
    let is_clients = matches!(snapshot.local::<F>(parsed.at.destination), Some(Local::Vip { .. }));
    parsed.key = Packed {
        addresses: F::pair(parsed.at.source, parsed.at.destination),
        ports: if is_clients { call << 16 | control } else { control << 16 | call },
        protocol: Protocol::Tcp,
    };
    parsed.tcp_flags = 0;
}

/// Says the same of a packet of SCTP, and what it is about; nothing of one that no receiver takes. `is_cut` says that it is a
/// first fragment.
fn associated<F: Family>(parsed: &mut Parsed<F>, payload: &[u8], is_cut: bool) -> Option<Kind> {
    parsed.chunk = Chunk::of(payload, is_cut)?;
    set_flow(parsed, Protocol::Sctp, payload);
    Some(Kind::Flow)
}

/// A fragment. Its checksum is that of all its datagram, so nobody here can tell whether it is right. What the flow is
/// told by must be in the first, RFC 1858 and RFC 7112 5: else a later one could say something else, or nothing at all. Of the
/// first of a call's packet `has_flow` says that it is known.
#[cold]
fn fragment<F: Family>(frame: &[u8], parsed: &mut Parsed<F>, has_flow: bool) -> Result<Kind, DropReason> {
    let at = parsed.at;
    let piece = frame.get(usize::from(at.l3)..at.end()).and_then(F::piece).ok_or(DropReason::BadFragment)?;
    let (payload, protocol) = (at.payload(frame), Protocol::from_number(at.protocol));
    if piece.end > piece.most {
        return Err(DropReason::FragmentOversize);
    }
    if piece.end == piece.start || piece.more && !piece.end.is_multiple_of(8) {
        return Err(DropReason::BadFragment);
    }
    match protocol {
        Some(Protocol::Tcp) if piece.start > 0 && piece.start < count32(tcp::HEADER_LEN) => {
            return Err(DropReason::FragmentTiny);
        }
        Some(Protocol::Sctp) if piece.start > 0 && piece.start < count32(sctp::ANSWER_LEN) => {
            return Err(DropReason::FragmentTiny);
        }
        Some(Protocol::Sctp) if piece.start == 0 => {
            associated(parsed, payload, true).ok_or(DropReason::FragmentTiny)?;
        }
        Some(protocol) if piece.start == 0 => {
            let holds_ports = match protocol {
                Protocol::Tcp => tcp::is_whole(payload),
                Protocol::Udp => payload.len() >= udp::HEADER_LEN,
                Protocol::Sctp | Protocol::Icmp => false,
            };
            if !holds_ports {
                return Err(DropReason::FragmentTiny);
            }
            if protocol == Protocol::Udp && F::DATAGRAMS_NEED_CHECKSUM && !udp::has_checksum(payload) {
                return Err(DropReason::BadL4Checksum);
            }
            set_flow(parsed, protocol, payload);
        }
        None if has_flow => {}
        Some(_) | None => {
            (parsed.tcp_flags, parsed.key) = (0, Packed::none());
            parsed.key.addresses = F::pair(at.source, at.destination);
        }
    }
    Ok(Kind::Fragment)
}

/// Whether an Ethernet address is the director's where a frame arrived: an interface in a VLAN may have its own, and virtual
/// routers have theirs.
fn is_here(to: Mac, packet: &impl Packet, arrival: Arrival, snapshot: &Snapshot) -> Result<bool, DropReason> {
    let (port, frame) = (packet.port(), packet.bytes());
    if ethernet::is_tagged(frame) {
        let interface = snapshot.interface_of_vlan(port, frame).ok_or(DropReason::UnknownVlan)?;
        return Ok(snapshot.is_mac_of(interface, to));
    }
    let untagged = snapshot.untagged_of(port);
    let is_of_port = snapshot.interfaces.get(untagged).is_some_and(|interface| interface.port == port);
    Ok(to == arrival.mac() || is_of_port && snapshot.is_mac_of(untagged, to))
}

/// What has no ports. No port verifies ICMP. Echo messages are of a flow all the same, if anybody asks.
fn other<F: Family>(parsed: &mut Parsed<F>, payload: &[u8], verify: bool) -> Result<Kind, DropReason> {
    let at = parsed.at;
    if at.protocol != F::ICMP {
        return Ok(Kind::OtherProtocol);
    }
    if payload.len() < icmp::HEADER_LEN {
        return Err(DropReason::BadL4);
    }
    if is_bad(Checksum::Unknown, verify, || {
        let sum = F::message_sum(at.source, at.destination, small(payload.len()));
        icmp::checksum_is_right(sum, payload)
    }) {
        return Err(DropReason::BadL4Checksum);
    }
    if let Some(ports) = icmp::echo_ports(F::message(payload[0]), payload) {
        parsed.key = Packed {
            addresses: F::pair(at.source, at.destination),
            ports: u32::from(ports.0) << 16 | u32::from(ports.1),
            protocol: Protocol::Icmp,
        };
        parsed.tcp_flags = 0;
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

fn l4_is_right<F: Family>(protocol: Protocol, at: &Headers<F>, payload: &[u8]) -> bool {
    match protocol {
        Protocol::Tcp => tcp::checksum_is_right::<F>(at.source, at.destination, payload),
        Protocol::Udp => udp::checksum_is_right::<F>(at.source, at.destination, payload),
        Protocol::Sctp => sctp::checksum_is_right(payload),
        Protocol::Icmp => false,
    }
}
