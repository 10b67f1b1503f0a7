//! What the load balancer asks of a packet buffer.
//!
//! On an lcore a packet is a DPDK mbuf; in tests and the simulator it is a `Vec` of bytes with room in front.
//! A packet is a handle that is moved, never copied, and is always given back to an [`Io`]: transmitted, dropped
//! or handed over. Nothing in this crate lets one go out of scope, because an mbuf has no destructor.

use crate::{
    ids::InterfaceId,
    limits::MAX_BURST,
    wire::{ethernet::Mac, whole},
};
use arrayvec::ArrayVec;
use std::net::IpAddr;

/// Index of a port, in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

/// Index of a worker: one lcore that polls one receive queue of each port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// What the port found out about one of a received packet's checksums. The better, the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Checksum {
    /// The port reports it as wrong. Ports err, so it is verified in software.
    Bad = 0,
    /// The port did not look.
    #[default]
    Unknown = 1,
    /// The port verified it.
    Good = 2,
}

impl Checksum {
    /// Whether it is as good as `other`, or better.
    #[inline(always)]
    #[must_use]
    pub const fn is_at_least(self, other: Checksum) -> bool {
        self as u8 >= other as u8
    }

    /// The worse of two.
    #[inline(always)]
    #[must_use]
    pub const fn worse(self, other: Checksum) -> Checksum {
        if self.is_at_least(other) { other } else { self }
    }
}

/// Why a packet was handed to another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HandOver {
    /// From a client, and the port did not deliver it to the worker that owns the client's endpoint.
    Client,
    /// A real server's reply that arrived on a worker which does not own the client's endpoint (NAT) or the local port
    /// (FullNAT).
    Reply,
    /// A copy of what one worker heard and others may need: a neighbour's answer, or an ICMP error about a connection
    /// that another worker has.
    Shared,
    /// A fragment, to the worker that keeps what is known of its datagram.
    FragmentKeeper,
    /// A fragment, from there to the worker that owns its flow: the one hand-over that may follow another.
    FragmentOwner,
}

impl HandOver {
    /// Every reason, in declaration order.
    pub const ALL: [HandOver; 5] = [
        HandOver::Client,
        HandOver::Reply,
        HandOver::Shared,
        HandOver::FragmentKeeper,
        HandOver::FragmentOwner,
    ];

    /// The name shown to operators.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            HandOver::Client => "client",
            HandOver::Reply => "reply",
            HandOver::Shared => "shared",
            HandOver::FragmentKeeper => "fragment-keeper",
            HandOver::FragmentOwner => "fragment-owner",
        }
    }
}

/// A packet buffer: one contiguous frame, Ethernet header first, with spare room before and after it.
pub trait Packet {
    /// The frame.
    fn bytes(&self) -> &[u8];

    /// The frame, to be changed in place.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Lengthens the frame by `count` bytes at its front; what they hold is unspecified. `false`, and no change,
    /// when there is not that much room.
    fn prepend(&mut self, count: usize) -> bool;

    /// Removes `count` bytes from the front. `false`, and no change, when the frame is not that long.
    fn trim_front(&mut self, count: usize) -> bool;

    /// Sets the frame's length by moving its end; bytes gained are unspecified. `false`, and no change, when
    /// there is not that much room.
    fn set_len(&mut self, len: usize) -> bool;

    /// The port the packet was received on, or will be charged to.
    fn port(&self) -> PortId;

    /// Charges the packet to a port; used for packets that did not arrive on one.
    fn set_port(&mut self, port: PortId);

    /// The port's verdict on the IPv4 header checksum.
    fn ipv4_checksum(&self) -> Checksum;

    /// The port's verdict on the TCP or UDP checksum.
    fn l4_checksum(&self) -> Checksum;

    /// The worse of both verdicts: the one number that most packets are judged by.
    #[inline(always)]
    fn worst_checksum(&self) -> Checksum {
        self.ipv4_checksum().worse(self.l4_checksum())
    }

    /// The packet is finished, but for the checksum of TCP, UDP or SCTP behind its outermost IP header, which is to be computed
    /// over all of it. Done at once, or put off for the port to do: then, until it leaves, nobody knows what is in its place.
    fn sum_later(&mut self) {
        whole::compute(self.bytes_mut());
    }

    /// Computes a checksum that was put off: for who reads, cuts or translates the packet.
    fn settle(&mut self) {}

    /// Starts loading the first cache line of the frame.
    fn prefetch(&self) {}
}

/// A burst of packets: what one poll of a queue returns.
pub type Burst<P> = ArrayVec<P, MAX_BURST>;

/// An event for the operator, seen by a worker. Fixed size, so that it fits a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Another host claims one of the director's addresses.
    AddressConflict {
        /// The address.
        address: IpAddr,
        /// The other host.
        mac: Mac,
        /// The interface on whose network the claim was made.
        interface: InterfaceId,
    },
    /// Another host had one of the director's addresses before it was announced, and keeps it.
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// The other host.
        mac: Mac,
        /// The interface on whose network it is.
        interface: InterfaceId,
    },
    /// A next hop named by the configuration does not answer ARP.
    NeighbourLost {
        /// The neighbour.
        address: IpAddr,
        /// The interface on whose network it should be.
        interface: InterfaceId,
    },
    /// A next hop named by the configuration answers, or has another Ethernet address than before.
    NeighbourFound {
        /// The neighbour.
        address: IpAddr,
        /// Its Ethernet address.
        mac: Mac,
        /// The interface on whose network it is.
        interface: InterfaceId,
    },
}

/// Where packets go to and come from: the queues, rings and pools of one worker.
///
/// Every call takes its packet for good.
pub trait Io {
    /// The packet buffer it deals in.
    type Packet: Packet;

    /// Queues a finished frame for transmission on `port`.
    fn transmit(&mut self, port: PortId, packet: Self::Packet);

    /// Releases a packet that ends here. Why has been counted.
    fn release(&mut self, packet: Self::Packet);

    /// Gives the packet to another worker, which will see it through `Worker::process_handed_over`.
    /// `Err` returns the packet when that worker's ring is full.
    fn hand_over(&mut self, to: WorkerId, packet: Self::Packet) -> Result<(), Self::Packet>;

    /// Gives the director's control plane a packet for one of the director's own addresses. `Err` returns it when nobody
    /// there waits for it.
    fn to_host(&mut self, packet: Self::Packet) -> Result<(), Self::Packet> {
        Err(packet)
    }

    /// Gives the host side of the port that it arrived on a packet, unless so many eighths of its room are taken. `Err`
    /// returns it when it takes no more.
    fn to_kernel(&mut self, packet: Self::Packet, eighths: u8) -> Result<(), Self::Packet> {
        let _ = eighths;
        Err(packet)
    }

    /// Whether [`Io::to_host`] would take this frame now. Takes nothing: explanations ask.
    fn waits_for(&self, frame: &[u8]) -> bool {
        let _ = frame;
        false
    }

    /// A new, empty packet charged to `port`, or `None` when the pool is exhausted.
    fn allocate(&mut self, port: PortId) -> Option<Self::Packet>;

    /// Something for the operator. May be lost; must not block.
    fn notice(&mut self, notice: Notice);
}
