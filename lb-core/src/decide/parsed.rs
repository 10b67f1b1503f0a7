//! What is known of a packet by its own content.

use crate::{
    conn::{connections::Hit, state::Meaning},
    counters::DropReason,
    family::{Family, V4},
    flow::{key::Packed, table::Place},
    packet::Checksum,
    wire::{
        ethernet::Mac,
        headers::Headers,
        protocol::{self, Protocol},
        sctp::Chunk,
        tcp,
    },
};

/// What a packet is, from its own content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// TCP or UDP with whole headers: an untagged frame, no IPv4 options.
    Common,
    /// TCP or UDP with whole headers, tagged or with IPv4 options; SCTP in any frame.
    Flow,
    /// A fragment, the first of its datagram or another. Of a first one the flow is known.
    Fragment,
    /// ICMP with a whole header.
    Icmp,
    /// About a neighbour's Ethernet address: ARP, neighbour discovery.
    Resolution,
    /// Of the other family, which reads it.
    OtherFamily,
    /// Sound IP with some other protocol inside.
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
pub struct Parsed<F: Family = V4> {
    /// Which flow it belongs to. Only of flows, first fragments and echo messages; of a common packet its protocol not before [`locate`](super::common::locate).
    pub key: Packed<F>,
    /// Where its flow is in the table. Only of flows.
    pub place: Place,
    /// Its connection, most likely. Only of flows.
    pub hit: Option<Hit>,
    /// What it means to its connection; nothing, unless it is common.
    pub meaning: Meaning,
    /// What it is.
    pub kind: Kind,
    /// TCP flags; 0 for other protocols. Of a common packet not before [`locate`](super::common::locate).
    pub tcp_flags: u8,
    /// Why it ends here. Only of [`Kind::Drop`].
    pub reason: DropReason,
    /// What it is about. Only of SCTP.
    pub chunk: Chunk,
    /// Where its headers are. Only of IP; of a common packet not before [`locate`](super::common::locate).
    pub at: Headers<F>,
}

const _: () = assert!(std::mem::offset_of!(Parsed<V4>, reason) <= 32, "half a cache line");

impl<F: Family> Parsed<F> {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Parsed {
            key: Packed::none(),
            at: Headers::default(),
            place: Place::default(),
            hit: None,
            meaning: Meaning::NONE,
            kind: Kind::Resolution,
            tcp_flags: 0,
            reason: DropReason::BadEthernet,
            chunk: Chunk::NONE,
        }
    }

    /// Whether it begins a direction of a TCP connection, also in answer to another that does.
    #[inline]
    #[must_use]
    pub fn is_any_syn(&self) -> bool {
        self.tcp_flags & tcp::SYN != 0
    }

    /// Whether it asks for a TCP connection, and nothing else.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.tcp_flags & (tcp::SYN | tcp::ACK | tcp::RST) == tcp::SYN
    }

    /// Whether it asks for a TCP connection.
    #[must_use]
    pub fn is_syn(&self) -> bool {
        self.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN
    }

    /// Whether it asks for a connection, as the first packet of one does in protocols that know any: TCP's SYN, SCTP's INIT.
    #[must_use]
    pub fn asks(&self) -> bool {
        match self.key.protocol {
            Protocol::Tcp => self.is_syn(),
            Protocol::Sctp => self.chunk.begins(),
            Protocol::Udp | Protocol::Icmp => false,
        }
    }

    /// Whether it is of IPsec, and so goes with a connection of UDP, whose key it has.
    #[inline]
    #[must_use]
    pub fn is_related(&self) -> bool {
        protocol::is_ipsec(self.at.protocol)
    }

    /// Whether it is of a call, and so goes with the control connection of that, whose key it has.
    #[inline]
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.at.protocol == protocol::GRE
    }

    /// Whether it may begin a connection. Any datagram may, and who is asked for an echo is told so by port 0.
    #[must_use]
    pub fn begins(&self) -> bool {
        match self.key.protocol {
            Protocol::Udp => !self.is_related(),
            Protocol::Icmp => self.key.key().destination_port == 0,
            Protocol::Tcp | Protocol::Sctp => self.asks(),
        }
    }
}

impl<F: Family> Default for Parsed<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a worker knows of the port that a packet arrived on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// The address that most frames are for, as a frame's first eight bytes have it.
    pub(super) mac: u64,
    /// The least that must be known of checksums so that they are not verified here.
    pub(super) sound: Checksum,
}

impl Arrival {
    /// At a port with that address. Where `verify` is set, checksums that the port did not look at are verified here.
    #[must_use]
    pub fn new(mac: Mac, verify: bool) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        let sound = if verify { Checksum::Good } else { Checksum::Unknown };
        Arrival { mac: u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]), sound }
    }

    pub(super) fn mac(self) -> Mac {
        let [a, b, c, d, e, f, ..] = self.mac.to_ne_bytes();
        Mac([a, b, c, d, e, f])
    }

    pub(super) fn verify(self) -> bool {
        self.sound == Checksum::Good
    }
}
