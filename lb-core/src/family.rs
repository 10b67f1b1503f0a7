//! The two address families, and all that differs between them. Keys, connections, headers, decisions, refusals and
//! rewriting are written once over [`Family`]; what a family does in its own way stands in the file of its header,
//! `wire/ipv4.rs` or `wire/ipv6.rs`.

use crate::wire::{
    checksum::{Change, Folded, Sum},
    protocol::Protocol,
};
use std::{fmt::Debug, hash::Hash, net::IpAddr};

/// IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum V4 {}

/// IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum V6 {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::V4 {}
    impl Sealed for super::V6 {}
}

/// An address family. Only this crate has any.
pub trait Family: sealed::Sealed + Copy + Debug + Eq + Hash + Send + Sync + 'static {
    /// An address, in host byte order.
    type Address: Copy + Default + Debug + Eq + Ord + Hash + Send + Sync;
    /// Source and destination address as they lie in a header: quick to read, to hash and to compare.
    type Pair: Copy + Default + Debug + Eq + Send + Sync;
    /// Bytes in which a connection keeps what its method needs: those of an address and four more, and at least eight.
    type Aside: Copy + Default + Debug + AsRef<[u8]> + AsMut<[u8]> + Send + Sync;

    /// Ethernet's number for it.
    const ETHERTYPE: u16;
    /// Bytes of a header without options.
    const HEADER_LEN: usize;
    /// Where the length is in a header: of the packet, or of what is behind the header.
    const LENGTH: usize;
    /// Where the source address is in a header.
    const SOURCE: usize;
    /// Where the destination address is in a header.
    const DESTINATION: usize;
    /// Protocol number of its ICMP.
    const ICMP: u8;
    /// Bytes that a message of its ICMP has at most, if we make it, IP header included.
    const MAX_ERROR_LEN: usize;
    /// Protocol number of its packets inside a tunnel's.
    const INSIDE: u8;
    /// A report of less does not make packets smaller. RFC 791 3.2 has every host take 576 bytes, and clients that are told
    /// of less do not follow (Linux goes down to 552 bytes, Windows to 576); RFC 8200 5 has every link take 1280. Routers may
    /// fragment the tunnel's packets then, which harms nobody if the report is forged.
    const SMALLEST_PATH_MTU: u16;
    /// Whether fragments of one datagram are of one protocol: RFC 8200 4.5 has only the first's count.
    const FRAGMENTS_SHARE_PROTOCOL: bool;
    /// Whether a datagram without a checksum is wrong: RFC 8200 8.1.
    const DATAGRAMS_NEED_CHECKSUM: bool;
    /// What one off the time to live does to the checksum of a header.
    const ONE_OFF_TTL: Change;

    /// Both addresses of a packet.
    fn pair(source: Self::Address, destination: Self::Address) -> Self::Pair;
    /// Source and destination address.
    fn ends(pair: Self::Pair) -> (Self::Address, Self::Address);
    /// Zero if two pairs are the same.
    fn difference(a: Self::Pair, b: Self::Pair) -> u64;
    /// A number that follows from a pair and a secret, to be hashed on.
    fn mix(pair: Self::Pair, secret: u64) -> u64;

    /// All 16-bit words of an address, combined by exclusive or.
    fn words(address: Self::Address) -> u16;
    /// The address as others write it; one of IPv4 that is embedded is IPv4's.
    fn ip(address: Self::Address) -> IpAddr;
    /// The address as packets have it, if it is of this family.
    fn of(ip: IpAddr) -> Option<Self::Address>;
    /// The same; and one of IPv4 as IPv6 writes it where packets are translated: `::ffff:0:192.0.2.1`, RFC 2765.
    fn embed(ip: IpAddr) -> Option<Self::Address>;
    /// Whether it is an address of IPv4 that IPv6 writes so.
    fn is_embedded(address: Self::Address) -> bool;
    /// Whether a host may send from this address.
    fn is_host(address: Self::Address) -> bool;
    /// Whether packets with this address may go on to another link.
    fn leaves_link(address: Self::Address) -> bool;

    /// The address at a place of a header.
    fn get(bytes: &[u8], at: usize) -> Self::Address;
    /// Writes an address to a place of a header.
    fn put(bytes: &mut [u8], at: usize, address: Self::Address);
    /// Also an address changes.
    fn changed(change: Change, old: Self::Address, new: Self::Address) -> Change;
    /// The sum of the pseudo-header that TCP, UDP and ICMPv6 are summed with.
    fn pseudo(source: Self::Address, destination: Self::Address, protocol: u8, l4_len: u16) -> Sum;

    /// Whether the checksum of a header is right, if it has one. The slice is exactly the header.
    fn header_is_right(header: &[u8]) -> bool;
    /// Reads a header; `None` when version or lengths do not fit the bytes there are. The end of the packet may be missing,
    /// as of those that ICMP errors quote.
    fn read_cut(bytes: &[u8]) -> Option<Header<Self>>;
    /// Writes a header without options to the first [`Family::HEADER_LEN`] bytes.
    fn write(bytes: &mut [u8], header: &Header<Self>);
    /// Takes one off the time to live of a header; `change` is what this and other changes do to its checksum, if it has one.
    fn forward(header: &mut [u8], change: Folded);
    /// The same where `change` is that of addresses alone.
    fn forward_readdressed(header: &mut [u8], change: Folded);
    /// Takes one off the time to live of a header, and nothing else.
    #[inline(always)]
    fn decrement_ttl(header: &mut [u8]) {
        Self::forward(header, const { Self::ONE_OFF_TTL.folded() });
    }
    /// Addresses of a header have changed. Returns the words that its checksum was and is, or the same twice if it has none.
    fn update(header: &mut [u8], change: Change) -> (u16, u16);
    /// Gives a header without options the number by which routers' fragments of its packet are put together, if it has one.
    fn identify(header: &mut [u8], id: u16);
    /// Turns a header around, options included, for an answer from `source`: the time to live is one that we give.
    fn turn(header: &mut [u8], source: Self::Address, destination: Self::Address);

    /// Whether frames to a group are read that has this address: those by which the family's own neighbours are asked for.
    fn is_asked_at(group: [u8; 6]) -> bool;
    /// Whether a packet asks for a neighbour's Ethernet address, or tells it.
    fn is_about_neighbours(header: &Header<Self>, payload: &[u8]) -> bool;

    /// The service class and congestion marks of a header, as IPv4's second byte has them.
    fn class(header: &[u8]) -> u8;
    /// Puts a DSCP into the service class of a header, which keeps its congestion marks (RFC 3168 5).
    fn mark(header: &mut [u8], dscp: u8);
    /// Whether the sender forbids fragmentation, by a header's word of flags and offset.
    fn dont_fragment(fragment: u16) -> bool;
    /// Whether the sender forbids fragmentation, if `flags` say so as well: none, or IPv4's flag.
    fn has_flags(fragment: u16, flags: u16) -> bool;
    /// Whether a packet is a fragment, also the first.
    fn is_fragment(fragment: u16) -> bool;
    /// Whether a packet is a fragment, but not the first: ports are not in it.
    fn is_later_fragment(fragment: u16) -> bool;

    /// Where a fragment belongs, of a whole and sound packet; `None` if it is no fragment.
    fn piece(packet: &[u8]) -> Option<Piece>;

    /// What a message of its ICMP is, by its type.
    fn message(kind: u8) -> Message;
    /// Bytes of the largest packet that gets through, if a whole message reports that another was too large.
    fn too_big(message: &[u8]) -> Option<u16>;
    /// Type and code of a problem with `packet` in its ICMP, and the number in the rest of the header.
    fn problem(problem: Problem, packet: &[u8]) -> (u8, u8, u32);
    /// Type of an echo request.
    const ECHO_REQUEST: u8;
    /// Type of the answer to it.
    const ECHO_REPLY: u8;
    /// Whether the checksum of a message covers the addresses of its packet, by a pseudo-header.
    const MESSAGES_COVER_ADDRESSES: bool;
    /// The sum that the checksum of a message begins with.
    fn message_sum(source: Self::Address, destination: Self::Address, len: u16) -> Sum;
}

/// The fields of a header that decisions rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<F: Family = V4> {
    /// Bytes of the header, options included.
    pub header_len: usize,
    /// Bytes of the packet, header included.
    pub total_len: usize,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Source address.
    pub source: F::Address,
    /// Destination address.
    pub destination: F::Address,
}

impl<F: Family> Header<F> {
    /// Reads a header; `None` when version or lengths do not fit the bytes there are.
    #[inline]
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        F::read_cut(bytes).filter(|header| header.total_len <= bytes.len())
    }

    /// Reads the header of a packet whose end may be missing, as those quoted by ICMP errors are.
    #[inline]
    #[must_use]
    pub fn read_cut(bytes: &[u8]) -> Option<Self> {
        F::read_cut(bytes)
    }

    /// Whether the sender forbids fragmentation.
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        F::dont_fragment(self.fragment)
    }

    /// The protocol, if it has ports and they are in this packet.
    #[must_use]
    pub fn flow_protocol(&self) -> Option<Protocol> {
        Protocol::from_number(self.protocol).filter(|_| !F::is_later_fragment(self.fragment))
    }
}

/// Where a fragment belongs in its datagram. Places count from where what can be fragmented begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Tells the fragments of one datagram from those of others between the same hosts.
    pub id: u32,
    /// Where it begins, in bytes.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Whether more follow behind it.
    pub more: bool,
    /// Where a datagram ends at the latest, RFC 791 3.1 and RFC 8200 4.5.
    pub most: u32,
}

/// What an ICMP message is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Somebody asks whether we are there.
    EchoRequest,
    /// The answer to that.
    EchoReply,
    /// Tells one end of a connection something that it acts on: destination unreachable, packet too big, time exceeded,
    /// parameter problem.
    ConnectionError,
    /// Reports another error: a redirect, which is between a host and its router, or the source quench that RFC 6633
    /// abolished.
    OtherError,
    /// Anything else.
    Other,
}

impl Message {
    /// Whether it reports an error about a packet that it quotes, so that it must not be answered by another.
    #[must_use]
    pub const fn is_error(self) -> bool {
        matches!(self, Message::ConnectionError | Message::OtherError)
    }
}

/// Why a packet does not arrive, as its sender is told by an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The port is not served.
    Port,
    /// The protocol is not served.
    Protocol,
    /// It is too large for the way on, which carries that many bytes.
    TooBig(u16),
    /// Its time to live has expired.
    TimeExceeded,
}
