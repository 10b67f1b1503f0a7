//! The network: two Ethernet segments, or one that is both, a router between them, and what goes wrong on the way.

use crate::{
    frames, pieces,
    setup::{self, Setup},
};
use lb_core::{packet::PortId, service::plan::Mac};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet,
        Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
    },
};
use std::{cmp::Reverse, collections::BinaryHeap, net::IpAddr};

/// Milliseconds that a frame takes from station to station.
const LATENCY_MS: u64 = 1;
/// Milliseconds that a late frame takes in addition, at most.
const LATE_MS: u64 = 8;
/// Bytes of the shortest frame, without its check sequence: shorter ones are padded.
const SHORTEST: usize = 60;

/// What goes wrong, in thousandths of all frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// So late that others overtake it.
    pub(crate) late: u64,
}

impl Faults {
    pub(crate) const NONE: Faults = Faults { lost: 0, doubled: 0, late: 0 };
    pub(crate) const FEW: Faults = Faults { lost: 20, doubled: 20, late: 30 };
    const MANY: Faults = Faults { lost: 40, doubled: 50, late: 200 };

    /// Few and many, from one seed to the next.
    pub(crate) const fn by_turns(seed: u64) -> Faults {
        if seed.is_multiple_of(2) { Faults::FEW } else { Faults::MANY }
    }
}

/// A source of randomness that repeats itself from its seed: SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

/// Who is attached to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Station {
    Client(usize),
    Server(usize),
    Director(PortId),
    /// By its port: 0 to the clients, 1 to the servers.
    Router(u8),
}

/// A frame on its way: when it arrives, a number that keeps equals in order, where, and its bytes.
type Flight = (u64, u64, Station, Vec<u8>);

pub(crate) struct Network {
    setup: Setup,
    stations: Vec<Station>,
    flights: BinaryHeap<Reverse<Flight>>,
    launched: u64,
    /// Identification of the last frame that may have been cut.
    cut: u32,
    /// Frames lost so far.
    pub(crate) lost: u64,
    pub(crate) faults: Faults,
    /// A client that no frame gets to, though its own get through.
    pub(crate) deaf: Option<usize>,
    random: Random,
}

impl Network {
    pub(crate) fn new(setup: &Setup) -> Self {
        let clients = (0..setup.clients).map(Station::Client);
        let servers = (0..setup.servers).map(Station::Server);
        let ports = if setup.one_arm { 0..1 } else { 0..2 };
        let director = ports.map(|port| Station::Director(PortId(port)));
        let router = [0, 1].map(Station::Router);
        Network {
            setup: *setup,
            stations: clients.chain(servers).chain(director).chain(router).collect(),
            flights: BinaryHeap::new(),
            launched: 0,
            cut: 0,
            lost: 0,
            faults: setup.faults,
            deaf: None,
            random: Random::new(setup.seed),
        }
    }

    /// When the next frame arrives.
    pub(crate) fn next_arrival(&self) -> Option<u64> {
        self.flights.peek().map(|Reverse(flight)| flight.0)
    }

    /// Frames under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// The next frame that has arrived by `now`, and where.
    pub(crate) fn arrival(&mut self, now: u64) -> Option<(Station, Vec<u8>)> {
        if self.next_arrival()? > now {
            return None;
        }
        let Reverse((_, _, station, frame)) = self.flights.pop()?;
        Some((station, frame))
    }

    /// A station sends a frame: the segment's switch gives it to whom it is for.
    pub(crate) fn send(&mut self, now: u64, from: Station, frame: &[u8]) {
        let to = frames::ethernet(frame).dst_addr();
        let segment_of = |station| if self.setup.one_arm { 0 } else { segment_of(station) };
        let segment = segment_of(from);
        let others = self.stations.iter().filter(|&&other| other != from && segment_of(other) == segment);
        let is_for_many = to.is_broadcast() || to.is_multicast();
        let others = others.copied().filter(|&other| is_for_many || mac_of(other) == to);
        let receivers: Vec<Station> = others.filter(|&other| !self.is_hidden(other, frame)).collect();
        assert!(!receivers.is_empty() || is_for_many, "{from:?} sent to {to}, which nobody has");
        let mut frame = frame.to_vec();
        // Not with zeros: nobody may take padding for anything else.
        frame.resize(frame.len().max(SHORTEST), 0xa5);
        for receiver in receivers {
            match (receiver, self.setup.fragments) {
                (Station::Director(_), Some(most)) => {
                    self.cut += 1;
                    for piece in pieces::cut(&frame, self.cut, most) {
                        self.launch(now, receiver, &piece);
                    }
                }
                _ => self.launch(now, receiver, &frame),
            }
        }
    }

    /// The router answers for its address, and passes packets from servers to clients on.
    pub(crate) fn route(&mut self, now: u64, port: u8, mut frame: Vec<u8>) {
        if let Some(target) = frames::asked(&frame) {
            if port == 1 && target == self.setup.router() {
                self.send(now, Station::Router(1), &answer(&frame, target));
            }
            return;
        }
        let Some(to) = frames::ip(&frame).map(|packet| packet.destination) else { return };
        if to.is_multicast() {
            return;
        }
        let setup = self.setup;
        let is_to = |station: &&Station| matches!(station, Station::Client(client) if setup.client_address(*client) == to);
        let client = *self.stations.iter().find(is_to).expect("the router knows the clients only");
        frames::readdress(&mut frame, mac_of(Station::Router(0)), mac_of(client));
        self.send(now, Station::Router(0), &frame);
    }

    /// Under TUN and DR servers have the VIP, but on an interface that does not answer for it. smoltcp answers for every
    /// address it has, so the question never reaches it.
    fn is_hidden(&self, station: Station, frame: &[u8]) -> bool {
        matches!(station, Station::Server(_)) && frames::asked(frame) == Some(self.setup.vip())
    }

    fn launch(&mut self, now: u64, to: Station, frame: &[u8]) {
        if let (Station::Client(client), Some(deaf)) = (to, self.deaf)
            && client == deaf
        {
            return;
        }
        let happens = |random: &mut Random, thousandths| random.below(1000) < thousandths;
        if happens(&mut self.random, self.faults.lost) {
            self.lost += 1;
            return;
        }
        let copies = if happens(&mut self.random, self.faults.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let is_late = happens(&mut self.random, self.faults.late);
            let late = if is_late { 1 + self.random.below(LATE_MS) } else { 0 };
            self.launched += 1;
            self.flights.push(Reverse((now + LATENCY_MS + late, self.launched, to, frame.to_vec())));
        }
    }
}

/// 0: the clients' segment, 1: the servers'.
fn segment_of(station: Station) -> u16 {
    match station {
        Station::Client(_) => 0,
        Station::Server(_) => 1,
        Station::Director(port) => port.0,
        Station::Router(port) => u16::from(port),
    }
}

fn mac_of(station: Station) -> EthernetAddress {
    mac(match station {
        Station::Client(client) => setup::client_mac(client),
        Station::Server(server) => setup::server_mac(server),
        Station::Director(port) => setup::director_mac(port.0 as u8),
        Station::Router(port) => setup::router_mac(port),
    })
}

pub(crate) fn mac(mac: Mac) -> EthernetAddress {
    EthernetAddress(mac.0)
}

/// The router's answer to a question for its address on the servers' network.
fn answer(question: &[u8], own: IpAddr) -> Vec<u8> {
    let own_mac = mac(setup::router_mac(1));
    let to = frames::ethernet(question).src_addr();
    let packet = match (own, frames::arp_question(question)) {
        (IpAddr::V4(own), Some(ArpRepr::EthernetIpv4 { source_protocol_addr, .. })) => {
            let arp = ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply,
                source_hardware_addr: own_mac,
                source_protocol_addr: own,
                target_hardware_addr: to,
                target_protocol_addr: source_protocol_addr,
            };
            let mut bytes = vec![0; arp.buffer_len()];
            arp.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
            (EthernetProtocol::Arp, bytes)
        }
        (IpAddr::V6(own), _) => {
            let asks = frames::ip(question).map(|packet| packet.source);
            let Some(IpAddr::V6(asks)) = asks else { unreachable!("a question of IPv6") };
            let message = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
                flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
                target_addr: own,
                lladdr: Some(own_mac.into()),
            });
            let header = Ipv6Repr {
                src_addr: own,
                dst_addr: asks,
                next_header: IpProtocol::Icmpv6,
                payload_len: message.buffer_len(),
                hop_limit: 255,
            };
            let mut bytes = vec![0; header.buffer_len() + message.buffer_len()];
            header.emit(&mut Ipv6Packet::new_unchecked(&mut bytes[..]));
            let mut inside = Icmpv6Packet::new_unchecked(&mut bytes[header.buffer_len()..]);
            message.emit(&own, &asks, &mut inside, &ChecksumCapabilities::default());
            (EthernetProtocol::Ipv6, bytes)
        }
        _ => unreachable!("a question of the router's family"),
    };
    let mut frame = vec![0; EthernetFrame::<&[u8]>::buffer_len(packet.1.len())];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
    ethernet.set_src_addr(own_mac);
    ethernet.set_dst_addr(to);
    ethernet.set_ethertype(packet.0);
    ethernet.payload_mut().copy_from_slice(&packet.1);
    frame
}
