//! One connection: everything the data path needs of it; of IPv4, in one cache line. What its method needs besides is
//! [aside](super::aside), what few connections need in a [second](super::second) line.

use super::{
    aside::{Aside, LocalEnd, OutwardEnd, Rewrite},
    method::Method,
    standing::{Marks, Standing},
    state::State,
};
use crate::{
    family::{Family, V4, V6},
    flow::key::{Key, Packed},
    ids::{NeighbourId, ServerId},
    time::{Duration, Stamp},
    wire::{checksum::Change, protocol::Protocol},
};
use std::net::IpAddr;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Direction {
    /// From the client to the server.
    In = 0,
    /// From the server to the client; seen only under NAT, FullNAT and SNAT.
    Out = 1,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Direction::In => Direction::Out,
            Direction::Out => Direction::In,
        }
    }
}

/// What a packet's addresses and ports are on its way on: what its receiver knows of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends<F: Family = V4> {
    /// Address and port that it comes from.
    pub source: (F::Address, u16),
    /// Address and port that it goes to.
    pub destination: (F::Address, u16),
}

/// One connection. Addresses and ports are in host byte order.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Connection<F: Family = V4> {
    // VIP, client, server, in this order: in memory, either key is then one number for its addresses and one for
    // its ports, and comparing a packet's with it takes two instructions.
    /// Address the client sends to.
    pub vip: F::Address,
    /// Client's address.
    pub client: F::Address,
    /// Real server's address, if it is of this family.
    pub server_address: F::Address,
    /// Port the client sends to.
    pub vip_port: u16,
    /// Client's port.
    pub client_port: u16,
    /// Real server's port.
    pub server_port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Where it is in its life. [`State::None`] marks an entry that is not in use.
    pub state: State,
    /// When the last packet passed.
    pub seen: Stamp,
    /// What the server has acknowledged lately, as it stands in its segments, and under SNAT the client, which is behind the
    /// director there; of SCTP, the tag that the server has told the client. Only where replies pass here.
    pub(crate) acknowledged: u32,
    /// Its real server.
    pub server: ServerId,
    /// The next hop towards the client. Only if replies pass here. That of SNAT outward is [aside](super::aside).
    pub client_neighbour: Option<NeighbourId>,
    /// How its packets reach the server.
    pub method: Method,
    /// What it was when it was scheduled, and whether it has a second line.
    pub(super) marks: Marks,
    /// Packets by [`Direction`], modulo 2^32.
    pub(super) packets: [u32; 2],
    /// Bytes of IP packets by [`Direction`], modulo 2^48: the low 32 bits.
    pub(super) bytes_low: [u32; 2],
    pub(super) bytes_high: [u16; 2],
    /// What its method needs besides.
    pub(super) aside: Aside<F>,
}

/// Packets of a client that say nothing of its existence: a SYN and an acknowledgement of what it has not seen.
const FORGEABLE_PACKETS: u32 = 2;
/// How long a client has to go on before its connection is confirmed.
const CONFIRMED_AFTER: Duration = Duration::from_secs(1);

/// How far from what the server expects a sequence number may be: one in 32,768 is as near.
const EXPECTED_WITHIN: u32 = 0xffff;

impl Rewrite {
    /// That of packets one of whose ends becomes another.
    #[inline(always)]
    pub(crate) fn of<F: Family>(old: (F::Address, u16), new: (F::Address, u16)) -> Self {
        let address = F::changed(Change::OF_NOTHING, old.0, new.0);
        Rewrite { header: address.and(F::ONE_OFF_TTL).folded(), segment: address.word(old.1, new.1).folded() }
    }
}

const _: () = assert!(size_of::<Connection<V4>>() == 64, "one cache line");
const _: () = assert!(size_of::<Connection<V6>>() == 128, "two cache lines");

impl<F: Family> Connection<F> {
    /// A connection that has seen no packet yet. One under FullNAT needs a [local end](Connection::set_local) as well.
    #[must_use]
    pub fn new(key: &Key<F>, server: ServerId, address: IpAddr, port: u16, method: Method) -> Self {
        // It has no address of this family if it is behind a tunnel of the other.
        let address = if method.hides_clients() { F::embed(address) } else { F::of(address) };
        let address = address.unwrap_or_default();
        Connection {
            client: key.source,
            vip: key.destination,
            server_address: address,
            client_port: key.source_port,
            vip_port: key.destination_port,
            server_port: port,
            protocol: key.protocol,
            state: State::None,
            seen: Stamp::default(),
            acknowledged: 0,
            server,
            client_neighbour: None,
            method,
            marks: Marks::new(),
            packets: [0; 2],
            bytes_low: [0; 2],
            bytes_high: [0; 2],
            aside: match method {
                Method::Nat => {
                    let (vip, server) = ((key.destination, key.destination_port), (address, port));
                    Aside::of_rewrites([Rewrite::of::<F>(vip, server), Rewrite::of::<F>(server, vip)])
                }
                Method::Tun | Method::Dr | Method::FullNat | Method::L3Dsr | Method::Snat => Aside::empty(),
            },
        }
    }

    /// Under FullNAT, its server sees that address and port in the place of the client's.
    pub fn set_local(&mut self, address: F::Address, port: u16) {
        let change = F::changed(Change::OF_NOTHING, self.vip, self.server_address);
        let addresses = F::changed(change, self.client, address).folded();
        if F::is_embedded(address) != F::is_embedded(self.client) {
            self.marks.translate();
        }
        self.marks.localise();
        self.aside = Aside::of_local(LocalEnd { address, port, addresses });
    }

    /// Under SNAT, packets leave with that address and port, and go to that neighbour next.
    pub fn set_outward(&mut self, (address, port): (F::Address, u16), neighbour: Option<NeighbourId>) {
        self.marks.localise();
        self.aside = Aside::of_outward(OutwardEnd { address, port, neighbour });
    }

    /// What packets leave with, and where they go next. Only under SNAT.
    #[inline(always)]
    #[must_use]
    pub fn outward_end(&self) -> OutwardEnd<F> {
        self.aside.outward()
    }

    /// The next hop outward, if it is one under SNAT.
    #[inline]
    #[must_use]
    pub fn outward_neighbour(&self) -> Option<NeighbourId> {
        if self.method.is_outward() { self.aside.outward().neighbour } else { None }
    }

    /// The direction of packets that come from behind the director: what they say is believed, and what they acknowledge is
    /// what the other side's closing segments have to fit.
    #[inline]
    #[must_use]
    pub const fn trusted(&self) -> Direction {
        if self.method.is_outward() { Direction::In } else { Direction::Out }
    }

    /// What NAT does to checksums of packets that go that way.
    #[inline(always)]
    #[must_use]
    pub fn rewrite(&self, direction: Direction) -> Rewrite {
        self.aside.rewrite(direction as usize)
    }

    /// What the server sees in the place of the client, and what that does to checksums. Only under FullNAT.
    #[inline(always)]
    #[must_use]
    pub fn local_end(&self) -> LocalEnd<F> {
        self.aside.local()
    }

    /// The address and port that the server sees in the place of the client's, if it does.
    #[must_use]
    pub fn local(&self) -> Option<(F::Address, u16)> {
        self.method.hides_clients().then(|| {
            let LocalEnd { address, port, .. } = self.aside.local();
            (address, port)
        })
    }

    /// The key of packets from the client.
    #[inline]
    #[must_use]
    pub fn forward_key(&self) -> Key<F> {
        Key {
            source: self.client,
            destination: self.vip,
            source_port: self.client_port,
            destination_port: self.vip_port,
            protocol: self.protocol,
        }
    }

    /// The key of packets from the server, as the server sends them under NAT and FullNAT.
    #[inline]
    #[must_use]
    pub fn reply_key(&self) -> Key<F> {
        if self.method.hides_clients() { self.local_reply_key() } else { self.client_reply_key() }
    }

    #[inline(always)]
    fn client_reply_key(&self) -> Key<F> {
        Key {
            source: self.server_address,
            destination: self.client,
            source_port: self.server_port,
            destination_port: self.client_port,
            protocol: self.protocol,
        }
    }

    #[inline(always)]
    fn local_reply_key(&self) -> Key<F> {
        let LocalEnd { address, port, .. } = self.aside.local();
        Key {
            source: self.server_address,
            destination: address,
            source_port: self.server_port,
            destination_port: port,
            protocol: self.protocol,
        }
    }

    /// What NAT and FullNAT make of the ends of packets that go that way.
    #[must_use]
    pub fn ends(&self, direction: Direction) -> Ends<F> {
        let client = (self.client, self.client_port);
        match direction {
            Direction::In => Ends {
                source: self.local().unwrap_or(client),
                destination: (self.server_address, self.server_port),
            },
            Direction::Out => Ends { source: (self.vip, self.vip_port), destination: client },
        }
    }

    /// Whether a packet with this key, going in this direction, belongs to the connection.
    #[inline(always)]
    #[must_use]
    pub fn owns(&self, key: Packed<F>, direction: Direction) -> bool {
        self.protocol == key.protocol
            && self.state != State::None
            && self.has_endpoints::<true>(key, direction)
    }

    /// The same, but for the protocol. `LOCAL` says whether it may be one under FullNAT.
    #[inline(always)]
    #[must_use]
    pub fn has_endpoints<const LOCAL: bool>(&self, key: Packed<F>, direction: Direction) -> bool {
        // A branch for each direction: a key is then two loads and two comparisons.
        let own = match direction {
            Direction::In => self.forward_key().packed(),
            Direction::Out if LOCAL && self.marks.is_local() => self.local_reply_key().packed(),
            Direction::Out => self.client_reply_key().packed(),
        };
        own.has_endpoints(key)
    }

    /// Whether replies come back through the director.
    #[must_use]
    pub fn sees_replies(&self) -> bool {
        self.method.sees_replies()
    }

    /// Whether it has a second line.
    #[inline(always)]
    #[must_use]
    pub fn has_second(&self) -> bool {
        self.marks.has_second()
    }

    /// Whether its packets take more than what is done to most: it has a second line, or they are translated.
    #[inline(always)]
    #[must_use]
    pub fn is_special(&self) -> bool {
        self.marks.is_special()
    }

    /// Whether its server is of another family than its client, so that packets are translated.
    #[inline(always)]
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.marks.is_translated()
    }

    /// Whether it was confirmed when it was last scheduled.
    #[must_use]
    pub fn was_confirmed(&self) -> bool {
        self.marks.scheduled_as() == Standing::Confirmed
    }

    /// Whether it makes room for others, and among which: see [`standing`](super::standing). `created` is when its
    /// first packet passed.
    #[must_use]
    pub(super) fn standing(&self, created: Stamp) -> Standing {
        if self.state.is_half_open() {
            Standing::HalfOpen
        } else if self.state.is_over() {
            Standing::Over
        } else if self.is_confirmed(created) {
            Standing::Confirmed
        } else if matches!(self.state, State::Udp | State::Echo) {
            Standing::Datagrams
        } else {
            Standing::Unproven
        }
    }

    /// Whether its client has shown that it exists and goes on, which takes more than forged packets.
    ///
    /// A TCP connection whose replies pass here has shown it when the server's segment has been acknowledged. Where
    /// replies are not seen, or nothing is acknowledged, what counts is that packets go on for a while.
    fn is_confirmed(&self, created: Stamp) -> bool {
        let is_answered = !self.sees_replies() || self.packets[Direction::Out as usize] > 0;
        let goes_on = self.packets[Direction::In as usize] > FORGEABLE_PACKETS
            && self.seen.since(created) >= CONFIRMED_AFTER;
        let acknowledges = self.sees_replies() && !matches!(self.state, State::Udp | State::Echo);
        is_answered && (acknowledges || goes_on)
    }

    /// Whether a segment of the side that is not [trusted](Connection::trusted), and that closes the connection, can be
    /// believed: its sequence number is one that the other expects, or near that, because more was on its way or came twice (RFC 5961 3.2, RFC 9293 3.10.7.4). Nothing is known of
    /// that before the server has acknowledged anything, and where its segments do not pass here.
    #[must_use]
    pub fn is_expected(&self, sequence: u32) -> bool {
        let beyond = sequence.wrapping_sub(u32::from_be(self.acknowledged)).cast_signed();
        self.acknowledged == 0 || beyond.unsigned_abs() <= EXPECTED_WITHIN
    }

    /// Whether a client's packet of SCTP with that tag may be of the association, as far as is known.
    #[must_use]
    pub fn is_tag(&self, tag: u32) -> bool {
        self.acknowledged == 0 || u32::from_be(self.acknowledged) == tag
    }

    /// Whether it is over, so that a new connection of the same client may take its place.
    #[must_use]
    pub fn gives_way(&self) -> bool {
        self.state.reopens(self.sees_replies())
    }

    /// Whether its client is remembered, by a share in an entry of the persistence table.
    #[inline(always)]
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.marks.is_kept()
    }

    /// Whether its client has sent more than what says nothing of its existence.
    #[must_use]
    pub fn has_gone_on(&self) -> bool {
        self.packets[Direction::In as usize] > FORGEABLE_PACKETS
    }

    /// Counts one packet of `len` bytes.
    #[inline(always)]
    pub fn count(&mut self, direction: Direction, len: u16) {
        let at = direction as usize;
        self.packets[at] = self.packets[at].wrapping_add(1);
        let (low, carry) = self.bytes_low[at].overflowing_add(u32::from(len));
        self.bytes_low[at] = low;
        self.bytes_high[at] = self.bytes_high[at].wrapping_add(u16::from(carry));
    }

    /// Packets that went in a direction, modulo 2^32.
    #[must_use]
    pub fn packets(&self, direction: Direction) -> u64 {
        u64::from(self.packets[direction as usize])
    }

    /// Bytes of IP packets that went in a direction, modulo 2^48.
    #[must_use]
    pub fn bytes(&self, direction: Direction) -> u64 {
        let at = direction as usize;
        u64::from(self.bytes_high[at]) << 32 | u64::from(self.bytes_low[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_carry_over() {
        let key = Key::<V4> {
            source: 1,
            destination: 2,
            source_port: 3,
            destination_port: 4,
            protocol: Protocol::Tcp,
        };
        let mut connection = Connection::new(&key, ServerId::new(0), V4::ip(5), 6, Method::Nat);
        assert!(!connection.owns(key.packed(), Direction::In), "it has seen no packet yet");
        connection.state = State::Established;
        for _ in 0..70_000 {
            connection.count(Direction::Out, u16::MAX);
        }
        assert_eq!(connection.bytes(Direction::Out), 70_000 * 65_535);
        assert_eq!(connection.packets(Direction::Out), 70_000);
        assert_eq!(connection.bytes(Direction::In), 0);
        assert!(connection.owns(key.packed(), Direction::In));
        assert!(connection.owns(connection.reply_key().packed(), Direction::Out));
        assert!(!connection.owns(key.reversed().packed(), Direction::Out));
    }
}
