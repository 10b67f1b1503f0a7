//! What a worker counts.
//!
//! Each counter has one writer, its worker, and any number of readers. It is added to with a plain load and store:
//! no read-modify-write instruction, no lock. A reader sees each counter exactly, but two counters read one after
//! the other may be a few packets apart while the worker runs.

use crate::{
    family::{Family, V6},
    ids::{InterfaceId, LocalId},
    limits::{MAX_INTERFACES, MAX_LOCAL_ADDRESSES},
    packet::HandOver,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that one thread adds to and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the owning worker may call this.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Says what it is now. Only the owning worker may call this.
    pub fn set(&self, count: u64) {
        self.0.store(count, Relaxed);
    }

    /// Takes one off. Only the owning worker may call this.
    pub fn take(&self) {
        self.add(1u64.wrapping_neg());
    }

    /// Adds one. Only the owning worker may call this.
    #[inline]
    pub fn bump(&self) {
        self.add(1);
    }

    /// Begins at 0 again. Only the owning worker may call this.
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }

    /// The current value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet ended at the director. Every dropped packet has exactly one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason { $($(#[doc = $doc])+ $variant,)+ }

        impl DropReason {
            /// Every reason, in declaration order.
            pub const ALL: [DropReason; [$($name),+].len()] = [$(DropReason::$variant),+];

            /// The name shown to operators.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)+ }
            }

            /// One sentence for operators: what happened to the packet.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(DropReason::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

drop_reasons! {
    /// Shorter than an Ethernet header, or with truncated VLAN tags.
    BadEthernet = "bad-ethernet",
    /// Of a VLAN that no interface of the port is in.
    UnknownVlan = "unknown-vlan",
    /// Neither IPv4, IPv6 nor ARP.
    UnknownEthertype = "unknown-ethertype",
    /// Addressed to another host's MAC address.
    OtherMac = "other-mac",
    /// Not an ARP packet for Ethernet and IPv4, truncated, or with a zero or group address as its sender's Ethernet
    /// address.
    BadArp = "bad-arp",
    /// ARP about addresses that are not the director's or that it is on standby for, or an answer that was not requested.
    ArpIgnored = "arp-ignored",
    /// A neighbour discovery message that is truncated, came from beyond a router, or is wrong in another way that RFC 4861
    /// has discarded.
    BadNd = "bad-nd",
    /// Neighbour discovery about addresses that are not the director's, or an answer that was not requested.
    NdIgnored = "nd-ignored",
    /// The IPv4 version, header length or total length does not fit the frame.
    BadIpv4 = "bad-ipv4",
    /// The IPv6 version or length does not fit the frame.
    BadIpv6 = "bad-ipv6",
    /// IPv6 extension headers that are cut off, more than 8 or than 256 bytes, in a wrong place, or that name more routers
    /// to go by.
    BadExtensions = "bad-extensions",
    /// The IPv4 header checksum is wrong.
    BadIpv4Checksum = "bad-ipv4-checksum",
    /// The source address cannot be another host's: multicast, broadcast, loopback, unspecified or the director's own.
    BadSource = "bad-source",
    /// A fragment of something that is not balanced (a ping or an ICMP error is read only if it comes whole), of what gets a
    /// header of the PROXY protocol or a TOA option, of SCTP whose ports change, or of what a module reads.
    Fragment = "fragment",
    /// A fragment that is empty, or whose length is no multiple of 8 although more follow.
    BadFragment = "bad-fragment",
    /// A fragment that reaches beyond the largest packet there can be, 65,535 bytes.
    FragmentOversize = "fragment-oversize",
    /// A first fragment without the whole header of TCP, UDP or SCTP (there with that of its first chunk), or a later one that begins inside of it.
    FragmentTiny = "fragment-tiny",
    /// A fragment that overlaps another of its datagram or contradicts where that ends, or one that comes after such a one.
    FragmentOverlap = "fragment-overlap",
    /// A fragment all of whose bytes have come before.
    FragmentDuplicate = "fragment-duplicate",
    /// One fragment more than a datagram may have, or that leaves more gaps, or one that comes after such a one.
    FragmentExcess = "fragment-excess",
    /// A fragment of a new datagram, or one that waited, but the table of fragmented datagrams is full of newer ones.
    FragmentsFull = "fragments-full",
    /// A fragment that came before the first of its datagram, but too many wait for theirs already.
    FragmentsWaiting = "fragments-waiting",
    /// A fragment that waited for the first of its datagram in vain.
    FragmentAlone = "fragment-alone",
    /// A fragment whose connection is not known, because the first of its datagram was not passed on or has been
    /// forgotten.
    FragmentOrphan = "fragment-orphan",
    /// The TCP, UDP, SCTP or ICMP header is truncated or does not fit the packet's length; or an INIT of SCTP is not alone or
    /// has a tag.
    BadL4 = "bad-l4",
    /// The TCP, UDP or ICMP checksum is wrong, or that of SCTP in a packet that opens or changes a connection, or a UDP
    /// datagram of IPv6 has none.
    BadL4Checksum = "bad-l4-checksum",
    /// Of a connection that a module reads, and ahead of bytes that have not come; its sender repeats both.
    OutOfOrder = "out-of-order",
    /// The destination is neither the director's nor part of a connection; the director is not a router.
    NotForUs = "not-for-us",
    /// From a server to somebody outside, and no rule of `[[snat]]` has its address, an address of its family to leave with, and
    /// the interface that it would leave by; or none of TCP, UDP and ping.
    NoSnat = "no-snat",
    /// From a server's address or to a local address, on a port that no server is behind, or not the one that servers of a
    /// rule of `[[snat]]` are.
    WrongPort = "wrong-port",
    /// For one of the director's own addresses, which offer nothing but ping and being found, and no health check waits for it.
    OwnAddress = "own-address",
    /// For the host side of a port, but the limit of such packets per second was reached.
    HostLimited = "host-limited",
    /// For the host side of a port, which took no more packets.
    HostFull = "host-full",
    /// To a port or protocol of a VIP that no service uses, and not answered: the VIP is configured to drop, or it is a
    /// reset.
    Unserved = "unserved",
    /// To a VIP, or from a server, and of no connection that is known here: the director is on standby for it.
    Standby = "standby",
    /// A reset or an ICMP error was due, but the limit of answers per second was reached.
    RejectLimited = "reject-limited",
    /// A TCP segment or packet of SCTP of no connection that must not be answered, such as a stray reset; or one of IPsec
    /// without a connection of UDP port 500.
    NoConnection = "no-connection",
    /// Of a connection that a peer has told of, with a server or by a method that is not configured here; not answered, as
    /// the configuration may be about to come.
    PeerServerUnknown = "peer-server-unknown",
    /// Of a connection that a peer has told of, whose local port is another worker's here, is taken, or has an address that
    /// is not configured.
    PeerLocalPort = "peer-local-port",
    /// Of a connection that a module reads and a peer has told of, and more has been said since: by how much sequence
    /// numbers have moved is not known.
    PeerMoved = "peer-moved",
    /// The service has no server that takes new connections.
    NoServer = "no-server",
    /// All servers of the service that take new connections, or the one that its hash says, are at their upper threshold.
    ServersFull = "servers-full",
    /// The connection table is full, or what is left of it is kept for services with fewer connections, and no
    /// unconfirmed connection can make room.
    TableFull = "table-full",
    /// The client uses every server of the service with the same port by way of another service, and it was not answered.
    ReplyClash = "reply-clash",
    /// Every local port towards the server is taken by a connection, or none was found among those that were tried.
    PortsExhausted = "ports-exhausted",
    /// An ICMP message other than echo that belongs to no connection.
    IcmpUnrelated = "icmp-unrelated",
    /// The time to live expired at the director, and no ICMP error is sent for such a packet.
    TtlExpired = "ttl-expired",
    /// Larger than the MTU on the way out, not to be fragmented, and no ICMP error is sent for such a packet.
    TooBig = "too-big",
    /// Larger than the MTU on the way out, and there were no packet buffers for its fragments.
    NoBuffer = "no-buffer",
    /// No room in the packet's buffer for a tunnel's header, or for text that has become longer.
    NoHeadroom = "no-headroom",
    /// Between a client and a server of different families, and without an equal in the other: an ICMP error of another kind,
    /// a fragmented datagram without a checksum, or a source route (an option of IPv4) that is not at its end.
    Untranslatable = "untranslatable",
    /// No route to the destination.
    NoRoute = "no-route",
    /// The next hop did not answer when it was asked for its Ethernet address.
    Unresolved = "unresolved",
    /// Too many packets are waiting for a next hop's Ethernet address.
    WaitingFull = "waiting-full",
    /// The neighbour table is full.
    NeighboursFull = "neighbours-full",
    /// The hand-over ring of the owning worker was full.
    RingFull = "ring-full",
    /// The port accepted no more packets to transmit.
    TxFull = "tx-full",
    /// The port it would leave by was stopped by the operator.
    PortStopped = "port-stopped",
    /// Held by the director when it stopped.
    Shutdown = "shutdown",
}

/// One worker's counters. Over a worker's life, when it holds no packet:
/// `received + taken_over + originated = sent + dropped + host + handed_over`.
#[derive(Debug)]
pub struct WorkerCounters {
    /// Packets received from ports.
    pub received: Counter,
    /// Packets that other workers handed to this one.
    pub taken_over: Counter,
    /// Packets this worker made itself: ARP requests, announcements, health checks, copies for other workers,
    /// segments with nothing but a header of the PROXY protocol, fragments of a packet but for one.
    pub originated: Counter,
    /// Packets given to ports and taken by them.
    pub sent: Counter,
    /// Packets for the director itself, which it took in: answers to its ARP requests, path MTU reports for tunnels.
    pub host: Counter,
    /// Packets given to other workers, by [`HandOver`].
    pub handed_over: [Counter; HandOver::ALL.len()],
    /// Packets that ended here, by [`DropReason`].
    pub dropped: [Counter; DropReason::ALL.len()],
    /// Of the sent packets, those answered with a TCP reset.
    pub resets: Counter,
    /// Of the sent packets, those answered with an ICMP error.
    pub icmp_errors: Counter,
    /// Wanted to send a packet of its own but the pool had none.
    pub no_buffer: Counter,
    /// New connections turned away because no server of the service took any.
    pub no_server: Counter,
    /// New connections turned away because no local port towards the server was free.
    pub ports_exhausted: Counter,
    /// Headers of the PROXY protocol, and options of TCP with clients' addresses (TOA), sent to servers, repeated ones
    /// included.
    pub client_addresses: Counter,
    /// Segments without the option that they should have had: there was no room.
    pub client_addresses_left_out: Counter,
    /// Connections that a module has announced.
    pub expected: Counter,
    /// Of those, the ones that have come.
    pub expected_came: Counter,
    /// Of those, the ones that made room for others, could not be told from others, found no room, or are told to clients as
    /// servers say, which is an address that they do not reach.
    pub expected_lost: Counter,
    /// Segments in which a module had other text take the place of some, repeated ones included.
    pub rewritten: Counter,
    /// Connections that no module reads although one should, as there are too many.
    pub unread: Counter,
    /// Packets that were fragmented here.
    pub fragmented: Counter,
    /// Fragments that they were sent in.
    pub made_fragments: Counter,
    /// ARP packets in which another host claimed one of the director's addresses.
    pub address_conflicts: Counter,
    /// Connections taken over as a peer told of them.
    pub peers_adopted: Counter,
    /// Connections taken over as a director of IPVS told of them.
    pub masters_adopted: Counter,
    /// Datagrams of QUIC that no connection was known for, and that got the server that their connection ID names.
    pub quic_named: Counter,
    /// The same of connections that had begun, with a server that the scheduler chose: their connection ID names nobody who
    /// is known, or a server that is gone.
    pub quic_lost: Counter,
    /// Connections created.
    pub created: Counter,
    /// Connections ended, for whatever reason.
    pub ended: Counter,
    /// Of those created, the ones of IPv6, which have a table of their own.
    pub created_v6: Counter,
    /// Of those ended, the ones of IPv6.
    pub ended_v6: Counter,
    /// Of those ended, unconfirmed ones that made room for a new connection.
    pub evicted: Counter,
    /// Of those ended, connections of a server that was gone when a packet came for it.
    pub orphaned: Counter,
    /// Packets waiting for a neighbour now. Not a sum: it goes up and down.
    pub waiting: Counter,
    /// Fragments waiting for the first of their datagram now.
    pub waiting_fragments: Counter,
    /// Datagrams now of which fragments have come.
    pub datagrams: Counter,
    /// Connections with each local address now, by number: local ports in use.
    pub local_ports: [Counter; MAX_LOCAL_ADDRESSES],
    /// What each interface in a VLAN moved, by number.
    pub vlans: Box<[VlanTraffic]>,
}

impl Default for WorkerCounters {
    fn default() -> Self {
        let counter = Counter::default;
        WorkerCounters {
            received: counter(),
            taken_over: counter(),
            originated: counter(),
            sent: counter(),
            host: counter(),
            handed_over: std::array::from_fn(|_| counter()),
            dropped: std::array::from_fn(|_| counter()),
            resets: counter(),
            icmp_errors: counter(),
            no_buffer: counter(),
            no_server: counter(),
            ports_exhausted: counter(),
            client_addresses: counter(),
            client_addresses_left_out: counter(),
            expected: counter(),
            expected_came: counter(),
            expected_lost: counter(),
            rewritten: counter(),
            unread: counter(),
            fragmented: counter(),
            made_fragments: counter(),
            address_conflicts: counter(),
            peers_adopted: counter(),
            masters_adopted: counter(),
            quic_named: counter(),
            quic_lost: counter(),
            created: counter(),
            ended: counter(),
            created_v6: counter(),
            ended_v6: counter(),
            evicted: counter(),
            orphaned: counter(),
            waiting: counter(),
            waiting_fragments: counter(),
            datagrams: counter(),
            local_ports: std::array::from_fn(|_| counter()),
            vlans: std::iter::repeat_with(VlanTraffic::default).take(MAX_INTERFACES).collect(),
        }
    }
}

impl WorkerCounters {
    /// Counts one packet dropped for `reason`.
    pub fn count_drop(&self, reason: DropReason) {
        self.dropped[reason as usize].bump();
    }

    /// Connections with a local address now.
    #[must_use]
    pub fn local_ports(&self, address: LocalId) -> u64 {
        self.local_ports.get(address.index()).map_or(0, Counter::get)
    }

    /// What an interface in a VLAN moved.
    #[must_use]
    pub fn vlan(&self, interface: InterfaceId) -> &VlanTraffic {
        &self.vlans[interface.index() % MAX_INTERFACES]
    }

    /// Packets dropped for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().map(Counter::get).sum()
    }

    /// Packets handed over for any reason.
    #[must_use]
    pub fn handed_over_total(&self) -> u64 {
        self.handed_over.iter().map(Counter::get).sum()
    }

    /// Counts a connection created.
    pub fn count_created<F: Family>(&self) {
        self.created.bump();
        if F::ETHERTYPE == V6::ETHERTYPE {
            self.created_v6.bump();
        }
    }

    /// Counts a connection ended.
    pub fn count_ended<F: Family>(&self) {
        self.ended.bump();
        if F::ETHERTYPE == V6::ETHERTYPE {
            self.ended_v6.bump();
        }
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        // In this order: if one ends in between, the difference must not become negative.
        let ended = self.ended.get();
        self.created.get().saturating_sub(ended)
    }

    /// Of the connections now, those of IPv6.
    #[must_use]
    pub fn connections_v6(&self) -> u64 {
        let ended = self.ended_v6.get();
        self.created_v6.get().saturating_sub(ended)
    }

    /// Packets that the worker holds between bursts: those that wait.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.waiting.get() + self.waiting_fragments.get()
    }

    /// What came in minus what went out, and what waits. While the worker is between bursts it is 0; anything else is a
    /// defect.
    #[must_use]
    pub fn unaccounted(&self) -> i128 {
        let entered = [&self.received, &self.taken_over, &self.originated];
        let entered: i128 = entered.iter().map(|c| i128::from(c.get())).sum();
        let left = [self.sent.get(), self.dropped_total(), self.host.get(), self.handed_over_total()];
        let left: i128 = left.iter().map(|&count| i128::from(count)).sum();
        entered - left - i128::from(self.held())
    }
}

/// What one worker received from and gave to an interface in a VLAN. All else that its port moved was untagged.
#[derive(Debug, Default)]
pub struct VlanTraffic {
    /// Frames received.
    pub received: Counter,
    /// Their bytes.
    pub received_bytes: Counter,
    /// Frames sent.
    pub sent: Counter,
    /// Their bytes.
    pub sent_bytes: Counter,
}

impl VlanTraffic {
    /// Counts a frame received.
    pub(crate) fn count_received(&self, frame: &[u8]) {
        self.received.bump();
        self.received_bytes.add(frame.len() as u64);
    }

    /// Counts a frame sent.
    pub(crate) fn count_sent(&self, frame: &[u8]) {
        self.sent.bump();
        self.sent_bytes.add(frame.len() as u64);
    }
}

/// What passed between clients and one real server through one worker. A line of its own, since workers of other
/// servers' packets must not wait for it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct ServerTraffic {
    /// Connections scheduled to it.
    pub connections: Counter,
    /// Of those under NAT, the ones it answered with a reset, or not at all until they expired.
    pub refused: Counter,
    /// Packets by direction: to the server, from the server.
    pub packets: [Counter; 2],
    /// Bytes of IPv4 packets by direction.
    pub bytes: [Counter; 2],
}

impl ServerTraffic {
    /// Counts one packet of `len` bytes; `direction` is 0 to the server, 1 from it.
    #[inline(always)]
    pub fn count(&self, direction: usize, len: u16) {
        self.packets[direction].bump();
        self.bytes[direction].add(u64::from(len));
    }

    /// Begins at 0 again, for another server. Called by the worker that counts.
    pub fn reset(&self) {
        let [to, from] = &self.packets;
        let [bytes_to, bytes_from] = &self.bytes;
        for counter in [&self.connections, &self.refused, to, from, bytes_to, bytes_from] {
            counter.reset();
        }
    }
}
