//! What a port does to packets while it sends them, instead of workers: checksums over whole packets, those of IPv4's headers,
//! VLAN tags.
//!
//! A worker finishes nearly every packet by itself: what NAT changes is worked into the checksums that are there, which costs
//! less than to ask for new ones. What takes reading all of a packet it [puts off](lb_core::packet::Packet::sum_later), and
//! here, when the port is known that the packet leaves by, it becomes a request to that port, or is computed after all.

use super::{
    mbuf::{self, Mbuf},
    port_info::{PortInfo, tx_offload_names},
};
use dpdk_sys::shim_request;
use lb_core::{
    packet::{Checksum, Packet},
    wire::{ethernet, ipv6, protocol, whole::Places},
};
use std::fmt;

/// How much of something is left to a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// What it does for less than workers.
    #[default]
    Auto,
    /// All that it can do.
    On,
    /// Nothing.
    Off,
}

impl Choice {
    /// Every choice.
    pub const ALL: [Choice; 3] = [Choice::Auto, Choice::On, Choice::Off];

    /// The word used in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Choice::Auto => "auto",
            Choice::On => "on",
            Choice::Off => "off",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a port is wanted to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxWish {
    /// Checksums.
    pub checksums: Choice,
    /// Whether all packets through some tunnel by this port have a checksum over all of them: what [`Choice::Auto`] is about.
    pub sums_tunnels: bool,
    /// VLAN tags.
    pub tags: Choice,
    /// Whether packets that leave by it have one.
    pub is_tagged: bool,
}

/// What a port does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxWork {
    /// As bits of `RTE_ETH_TX_OFFLOAD_*`.
    pub(super) offloads: u64,
    /// Checksums are asked for of all packets that are known to have right ones, not only of those that were put off.
    everything: bool,
}

const IPV4: u64 = dpdk_sys::SHIM_TX_OFFLOAD_IPV4_CKSUM;
const TCP: u64 = dpdk_sys::SHIM_TX_OFFLOAD_TCP_CKSUM;
const UDP: u64 = dpdk_sys::SHIM_TX_OFFLOAD_UDP_CKSUM;
const SCTP: u64 = dpdk_sys::SHIM_TX_OFFLOAD_SCTP_CKSUM;
/// That of the header around another packet's: with it, both are computed. What is behind the outer header needs no such bit:
/// to a port, a tunnel's datagram is one like any other.
const OUTER_IPV4: u64 = dpdk_sys::SHIM_TX_OFFLOAD_OUTER_IPV4_CKSUM;
const VLAN: u64 = dpdk_sys::SHIM_TX_OFFLOAD_VLAN_INSERT;
const CHECKSUMS: u64 = IPV4 | TCP | UDP | SCTP | OUTER_IPV4;

/// Drivers that compute checksums by themselves, on the worker's CPU.
const SUMS_IN_SOFTWARE: [&str; 1] = ["net_tap"];
/// Drivers that insert tags by themselves, by moving the addresses once more.
const TAGS_IN_SOFTWARE: [&str; 3] = ["net_virtio", "net_virtio_user", "net_af_packet"];

impl TxWork {
    /// What is asked of a port.
    #[must_use]
    pub fn of(wish: TxWish, info: &PortInfo) -> Self {
        let can = info.tx_offload_bits;
        let is_one_of = |drivers: &[&str]| info.drivers().any(|driver| drivers.contains(&driver));
        let checksums = match wish.checksums {
            Choice::Off => 0,
            Choice::On => can & CHECKSUMS,
            Choice::Auto if wish.sums_tunnels && !is_one_of(&SUMS_IN_SOFTWARE) => can & UDP,
            Choice::Auto => 0,
        };
        // The inner header is asked for together with the outer one.
        let checksums = if checksums & IPV4 == 0 { checksums & !OUTER_IPV4 } else { checksums };
        let tags = match wish.tags {
            Choice::Off => 0,
            Choice::On => can & VLAN,
            Choice::Auto if wish.is_tagged && !is_one_of(&TAGS_IN_SOFTWARE) => can & VLAN,
            Choice::Auto => 0,
        };
        TxWork { offloads: checksums | tags, everything: wish.checksums == Choice::On && checksums != 0 }
    }

    /// Whether it computes checksums.
    #[must_use]
    pub fn computes_any(&self) -> bool {
        self.offloads & CHECKSUMS != 0
    }

    /// Who computes checksums of packets that leave, for operators.
    #[must_use]
    pub fn computed_by(&self) -> String {
        match self.offloads & CHECKSUMS {
            0 => "workers".to_owned(),
            _ if !self.everything => "the port (UDP of tunnels), workers (others)".to_owned(),
            bits => {
                let names = tx_offload_names(bits).into_iter();
                let names: Vec<&str> = names.map(|name| name.trim_end_matches("_CKSUM")).collect();
                format!("the port ({}), workers (others)", names.join(", "))
            }
        }
    }

    /// Who inserts VLAN tags, for operators.
    #[must_use]
    pub fn tagged_by(&self) -> &'static str {
        if self.offloads & VLAN == 0 { "workers" } else { "the port" }
    }

    /// Whether packets have to be looked at that nothing was put off of.
    #[inline]
    pub(super) fn concerns_all(&self) -> bool {
        self.everything || self.offloads & VLAN != 0
    }

    /// Whether nothing has to be done to a packet.
    fn leaves_alone(&self, packet: &Mbuf) -> bool {
        !packet.is_unsummed() && !self.concerns_all()
    }

    /// Asks the port for what it is to do to a packet, and does the rest. Returns whether anything is asked.
    pub(super) fn assign(&self, packet: &mut Mbuf) -> bool {
        if self.leaves_alone(packet) {
            return false;
        }
        let request = self.request(packet);
        packet.forget_requests();
        if request.flags == 0 {
            return false;
        }
        packet.ask(&request);
        true
    }

    /// What the port is asked for. The packet is made ready for that, and the rest is done.
    fn request(&self, packet: &mut Mbuf) -> shim_request {
        let was_put_off = packet.is_unsummed();
        let is_right = self.everything && packet.l4_checksum() == Checksum::Good;
        let vlan_tci = if self.offloads & VLAN != 0 { take_tag(packet) } else { None };
        let mut request = shim_request::default();
        if let Some(places) = Places::of(packet.bytes()) {
            request = self.sums(packet, &places, (was_put_off, is_right));
        }
        if let Some(tci) = vlan_tci {
            (request.vlan_tci, request.flags) = (tci, request.flags | dpdk_sys::SHIM_TX_VLAN);
        }
        request
    }

    fn sums(
        &self,
        packet: &mut Mbuf,
        places: &Places,
        (was_put_off, is_right): (bool, bool),
    ) -> shim_request {
        let frame = packet.bytes_mut();
        let l4 = self.l4(frame, places, (was_put_off, is_right));
        if was_put_off && l4 == 0 {
            places.compute(frame);
        }
        let ip = self.everything && self.offloads & IPV4 != 0 && !places.is_ipv6;
        if l4 == 0 && !ip {
            return shim_request::default();
        }
        if l4 != 0 {
            places.prepare(frame);
        }
        let request = self.headers(frame, places, ip, l4);
        if l4 != 0 {
            // Ports sum up to the frame's end, or take its length for the packet's. What pads short frames they add anew.
            packet.set_len(places.end);
        }
        request
    }

    /// The request for what is behind the IP header; none if nobody wants it, or the port cannot do it.
    fn l4(&self, frame: &[u8], places: &Places, (was_put_off, is_right): (bool, bool)) -> u64 {
        let Some(at) = places.checksum(frame) else { return 0 };
        // Not every port finds its way through extension headers.
        if places.is_ipv6 && places.l4 - places.l3 != ipv6::HEADER_LEN {
            return 0;
        }
        let (can, flag, is_right) = match places.protocol {
            protocol::TCP => (TCP, dpdk_sys::SHIM_TX_TCP_CKSUM, is_right),
            // A datagram without a checksum stays without.
            protocol::UDP => (UDP, dpdk_sys::SHIM_TX_UDP_CKSUM, is_right && frame[at..at + 2] != [0, 0]),
            // Ports report those of SCTP as right that they have not looked at.
            _ => (SCTP, dpdk_sys::SHIM_TX_SCTP_CKSUM, false),
        };
        if self.offloads & can != 0 && (was_put_off || is_right) { flag } else { 0 }
    }

    /// The request for headers, those around another packet's included, with what is wanted behind them.
    fn headers(&self, frame: &mut [u8], places: &Places, ip: bool, l4: u64) -> shim_request {
        let family = if places.is_ipv6 { dpdk_sys::SHIM_TX_IPV6 } else { dpdk_sys::SHIM_TX_IPV4 };
        let [l2_len, l3_len] = [places.l3, places.l4 - places.l3].map(|len| len as u16);
        let mut request = shim_request { flags: family | l4, l2_len, l3_len, ..shim_request::default() };
        if !ip {
            return request;
        }
        places.prepare_header(frame);
        request.flags |= dpdk_sys::SHIM_TX_IP_CKSUM;
        let inside = if self.offloads & OUTER_IPV4 == 0 { None } else { places.inside(frame) };
        let Some(inside) = inside.filter(|inside| !inside.is_ipv6) else { return request };
        inside.prepare_header(frame);
        let tunnel = match places.protocol {
            protocol::IPIP => dpdk_sys::SHIM_TX_TUNNEL_IPIP,
            _ => dpdk_sys::SHIM_TX_TUNNEL_GRE,
        };
        let outer = dpdk_sys::SHIM_TX_OUTER_IPV4 | dpdk_sys::SHIM_TX_OUTER_IP_CKSUM;
        shim_request {
            flags: outer | tunnel | dpdk_sys::SHIM_TX_IPV4 | dpdk_sys::SHIM_TX_IP_CKSUM,
            outer_l2_len: l2_len,
            outer_l3_len: l3_len,
            l2_len: (inside.l3 - places.l4) as u16,
            l3_len: (inside.l4 - inside.l3) as u16,
            ..request
        }
    }
}

/// Takes the tag off that a port can put back: a single one of 802.1Q. Ports write no other EtherType by themselves.
fn take_tag(packet: &mut Mbuf) -> Option<u16> {
    let tci = ethernet::only_tag(packet.bytes())?;
    ethernet::shift_addresses(packet.bytes_mut(), ethernet::TAG_LEN);
    packet.trim_front(ethernet::TAG_LEN).then_some(tci)
}

/// Does what a packet asks a port for, since the port refuses: computes its checksums and puts its tag back.
#[cold]
pub(super) fn do_instead(packet: &mut Mbuf) {
    let (flags, tci) = packet.requests();
    packet.forget_requests();
    if let Some(places) = Places::of(packet.bytes()) {
        let frame = packet.bytes_mut();
        if flags & dpdk_sys::SHIM_TX_L4_MASK != 0 {
            places.compute(frame);
        }
        if flags & (dpdk_sys::SHIM_TX_IP_CKSUM | dpdk_sys::SHIM_TX_OUTER_IP_CKSUM) != 0 {
            places.compute_header(frame);
        }
        if flags & dpdk_sys::SHIM_TX_OUTER_IP_CKSUM != 0
            && let Some(inside) = places.inside(frame)
        {
            inside.compute_header(frame);
        }
    }
    if flags & dpdk_sys::SHIM_TX_VLAN != 0 && packet.prepend(ethernet::TAG_LEN) {
        ethernet::put_tag(packet.bytes_mut(), tci);
    }
}

/// Whether something was put off of any of these.
#[inline]
pub(super) fn any_unsummed(packets: &[Mbuf]) -> bool {
    packets.iter().fold(0, |flags, packet| flags | packet.flags()) & mbuf::UNSUMMED != 0
}

#[cfg(test)]
pub(super) mod tests;
