//! A packet of TCP, UDP or SCTP: of a connection that is known, or of none.

use super::{
    About, Act, Adopt, Course, Decision, End, Ended, Open, Origin, Owner, Pass, Then,
    classify::Parsed,
    known::{Forwarded, Known},
    sctp as doubts,
};
use crate::{
    conn::{
        connections::Hit,
        entry::{Connection, Direction},
        sctp,
        state::State,
        tcp,
    },
    counters::DropReason,
    family::Family,
    flow::key::Key,
    forward::{mss, proxy},
    ids::{InterfaceId, NeighbourId, ServerId, ServiceId},
    limits::MIN_FRAGMENTED,
    packet::{HandOver, Packet, PortId},
    service::{
        plan::{Health, Unserved},
        snapshot::Local,
    },
    time::Instant,
    wire::{
        headers::Headers,
        protocol::{ESP, ISAKMP, Protocol},
        tcp::{self as tcp_header, ACK, FIN, RST, SYN},
    },
};

/// Where a connection's packets go next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Who gets them.
    pub neighbour: Option<NeighbourId>,
    /// Bytes of the largest that can go there in one piece, without what the method adds.
    pub limit: u16,
    /// Bytes of the largest whose sender is not told that it is too large, if that forbids fragmentation.
    pub most: u16,
}

/// How a packet fits the way on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// In one piece.
    Whole,
    /// In fragments, which its sender allows.
    Fragments,
    /// In a tunnel's packet that is fragmented: its sender would not send smaller ones.
    OuterFragments,
}

impl Path {
    /// How a packet can go on, if it can.
    #[inline]
    #[must_use]
    pub fn fit<F: Family>(&self, at: &Headers<F>) -> Option<Fit> {
        match () {
            () if at.ttl <= 1 => None,
            () if at.ip_len <= self.limit && !at.is_to_be_cut() => Some(Fit::Whole),
            () if !at.dont_fragment() && self.limit >= MIN_FRAGMENTED => Some(Fit::Fragments),
            () if at.ip_len <= self.most => Some(Fit::OuterFragments),
            () => None,
        }
    }

    /// The same for packets that grow by so many bytes on the way.
    #[must_use]
    pub(super) fn less(self, bytes: u16) -> Path {
        let less = |limit: u16| limit.saturating_sub(bytes);
        Path { limit: less(self.limit), most: less(self.most), ..self }
    }
}

impl Known {
    /// A packet of a connection.
    pub fn matched<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        hit: Hit,
    ) -> Decision<F> {
        let connection = F::connections(self).get(hit.connection());
        let path = self.path(connection, hit.direction());
        let course = if path.fit(&parsed.at).is_none() {
            self.stuck(now, packet, parsed, hit, path.most)
        } else if parsed.is_related() && !goes_with(parsed, connection) {
            self.refuse(now, parsed, Unserved::Reject, DropReason::Unserved).into()
        } else if parsed.is_call()
            && let Some(course) = self.uncalled(now, packet, parsed, hit)
        {
            course
        } else if parsed.asks() && self.is_damaged(packet, parsed) {
            Act::Drop(DropReason::BadL4Checksum).into()
        } else if self.begins_anew(now, parsed, connection, hit.direction()) {
            let (connection, why) = (hit.connection(), Ended::Reopened);
            Course::End(End { connection, why, then: Then::Anew })
        } else if self.is_elsewhere(parsed, connection, hit.direction()) {
            let (connection, why) = (hit.connection(), Ended::Elsewhere);
            Course::End(End { connection, why, then: Then::Anew })
        } else if self.comes_wrongly(packet.port(), connection, hit.direction())
            && (!connection.state.is_steady(parsed.meaning)
                || F::connections(self).reading(hit.connection()).is_some())
        {
            // What changes nothing passes on the plain way, which does not look where it comes from. But what a module reads
            // says what else may reach a server, and only the server may say that.
            Act::Drop(DropReason::WrongPort).into()
        } else {
            let next = next_state(parsed, connection, hit.direction());
            let changes = next != connection.state;
            if changes && self.is_damaged(packet, parsed) {
                let course = Act::Drop(DropReason::BadL4Checksum).into();
                return Decision { about: About::Connection(hit), course };
            }
            let is_doubted = changes && is_doubtful(packet, parsed, connection, hit.direction());
            let state = if is_doubted { connection.state } else { next };
            Act::Pass(Pass { hit, state, is_doubted, neighbour: path.neighbour }).into()
        };
        Decision { about: About::Connection(hit), course }
    }

    /// Whether a packet claims to come from a server on a port that no server is behind.
    pub(super) fn is_on_wrong_port(&self, port: PortId, direction: Direction) -> bool {
        direction == Direction::Out && !self.snapshot.leads_to_servers(port)
    }

    /// Whether a packet of a connection comes by a port that its sender is not behind.
    pub(super) fn comes_wrongly<F: Family>(
        &self,
        port: PortId,
        connection: &Connection<F>,
        direction: Direction,
    ) -> bool {
        direction == connection.trusted() && !self.snapshot.leads_to_servers(port)
    }

    /// Whether a client opens a connection where an old one is over, or where nothing has come of one whose server has
    /// failed since; or a server opens one that a module expects.
    fn begins_anew<F: Forwarded>(
        &self,
        now: Instant,
        parsed: &Parsed<F>,
        connection: &Connection<F>,
        direction: Direction,
    ) -> bool {
        match direction {
            Direction::In => {
                parsed.asks()
                    && (connection.gives_way()
                        || connection.state.is_unanswered()
                            && self.snapshot.servers[connection.server].plan.health == Health::Inhibited)
            }
            Direction::Out => {
                self.snapshot.has_modules
                    && parsed.asks()
                    && connection.gives_way()
                    && self.expected(now, parsed, direction).is_some()
            }
        }
    }

    /// Whether a client goes on with a connection that a peer has told of, where its SYN or INIT came here once and the server's
    /// answer never did: a router had sent it here before it sent it there.
    fn is_elsewhere<F: Forwarded>(
        &self,
        parsed: &Parsed<F>,
        connection: &Connection<F>,
        direction: Direction,
    ) -> bool {
        connection.state.is_unanswered()
            && direction == Direction::In
            && connection.sees_replies()
            && continues(parsed)
            && self.told::<F>(&parsed.key.key()).is_some()
    }

    /// A packet of a connection which cannot go on: its server is gone, its time to live has expired, or it is too
    /// large.
    #[cold]
    fn stuck<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        hit: Hit,
        most: u16,
    ) -> Course<F> {
        let connection = F::connections(self).get(hit.connection());
        if hit.direction() == Direction::In && self.backends[connection.server].is_gone() {
            let then = if parsed.begins() { Then::Anew } else { Then::Refuse };
            return Course::End(End { connection: hit.connection(), why: Ended::Orphaned, then });
        }
        self.undeliverable(now, self.arrival(packet), parsed, most).into()
    }

    /// A packet of no connection: it is for a service, or from a server, or for nobody here.
    #[cold]
    #[must_use]
    pub fn unmatched<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        origin: Origin,
    ) -> Decision<F> {
        let key = parsed.key.key();
        let local = self.snapshot.local::<F>(key.destination);
        if matches!(local, Some(Local::Own(_))) {
            return Act::Host(self.if_nobody_waits::<F>(key.source, DropReason::OwnAddress)).into();
        }
        if !self.is_station::<F>(key.source) {
            return Act::Drop(DropReason::BadSource).into();
        }
        if !F::leaves_link(key.source) && local.is_some() {
            return Act::Drop(DropReason::BadSource).into();
        }
        if self.snapshot.has_modules
            && let Some(decision) = self.expected_packet(now, packet, parsed, (local, origin))
        {
            return decision;
        }
        match local {
            Some(Local::Vip { unserved, active, .. }) => {
                let Some(service) = self.snapshot.service_for(&key, || self.arrival(packet)) else {
                    if let Some(elsewhere) = self.data_elsewhere(packet.port(), parsed, origin) {
                        return elsewhere;
                    }
                    let refused = || self.refuse(now, parsed, unserved, DropReason::Unserved).into();
                    let course = self.if_sound(packet, parsed, refused);
                    return Decision { about: About::Nobody, course };
                };
                let owner = self.owner_of_inbound(packet.port(), &key, service);
                Decision {
                    about: About::Service(service, owner),
                    course: self.elsewhere(owner, HandOver::Client, origin).unwrap_or_else(|| {
                        let request = || self.request(now, parsed, service, (unserved, active));
                        self.if_sound(packet, parsed, request)
                    }),
                }
            }
            None if self.snapshot.is_nat_server::<F>(key.protocol, key.source, key.source_port) => {
                if self.is_on_wrong_port(packet.port(), Direction::Out) {
                    return Act::Drop(DropReason::WrongPort).into();
                }
                let owner = self.owner_of_reply(&key);
                Decision {
                    about: About::Reply(owner),
                    course: self
                        .elsewhere(owner, HandOver::Reply, origin)
                        .unwrap_or_else(|| self.if_sound(packet, parsed, || self.reply(now, packet, parsed))),
                }
            }
            Some(Local::Source { .. }) => self.to_local_address(now, packet, parsed, origin),
            None if self.snapshot.has_readers && self.snapshot.is_nat_host::<F>(key.source) => {
                self.data_reply_elsewhere(now, packet, parsed, origin)
            }
            None => self.to_outside(now, packet, parsed, origin),
            // It has been dealt with.
            Some(Local::Own(_)) => Act::Drop(DropReason::NotForUs).into(),
        }
    }

    /// The interface that a packet arrived on.
    pub(super) fn arrival(&self, packet: &impl Packet) -> InterfaceId {
        self.snapshot.interface_of(packet.port(), packet.bytes())
    }

    /// What is done with a packet of no connection, unless it is found to be damaged.
    #[inline(always)]
    pub(super) fn if_sound<F: Forwarded>(
        &self,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        course: impl FnOnce() -> Course<F>,
    ) -> Course<F> {
        if self.is_damaged(packet, parsed) { Act::Drop(DropReason::BadL4Checksum).into() } else { course() }
    }

    /// A packet to a local address, of no connection that is known.
    #[inline(never)]
    fn to_local_address<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        origin: Origin,
    ) -> Decision<F> {
        let is_outward = self.is_outward_end::<F>(parsed.key.key().destination);
        if !is_outward && self.is_on_wrong_port(packet.port(), Direction::Out) {
            return Act::Drop(DropReason::WrongPort).into();
        }
        let owner = self.owner_by_local_port(&parsed.key.key());
        Decision {
            about: About::Reply(owner),
            course: self.elsewhere(owner, HandOver::Reply, origin).unwrap_or_else(|| {
                self.if_sound(packet, parsed, || self.to_local_port(now, parsed, is_outward))
            }),
        }
    }

    /// A packet to a local port of this worker's.
    fn to_local_port<F: Forwarded>(&self, now: Instant, parsed: &Parsed<F>, is_outward: bool) -> Course<F> {
        // Nobody has asked for it, but a server may be about to: RFC 5382 REQ-4 has both ends open at once.
        if is_outward && parsed.opens() {
            return Act::Drop(DropReason::NoConnection).into();
        }
        let told = self.goes_on_from_server(parsed).then(|| self.take_told_reply(now, parsed)).flatten();
        told.filter(|_| self.snapshot.answers_for(F::ip(parsed.key.key().destination)))
            .unwrap_or_else(|| self.stray(now, parsed).into())
    }

    /// The packet goes to its owner, if that is another worker.
    pub(super) fn elsewhere<F: Family>(
        &self,
        owner: Owner,
        why: HandOver,
        origin: Origin,
    ) -> Option<Course<F>> {
        (origin == Origin::Port && owner.worker != self.id).then_some(Act::HandOver(owner.worker, why).into())
    }

    /// A client's packet for a service of which it has no connection. On standby it gets no answer: a reset would end a
    /// connection that the active director has, and a client that hears nothing sends its SYN again, to that one.
    #[inline(always)]
    fn request<F: Forwarded>(
        &self,
        now: Instant,
        parsed: &Parsed<F>,
        service: ServiceId,
        (unserved, active): (Unserved, bool),
    ) -> Course<F> {
        if !active {
            return Act::Drop(DropReason::Standby).into();
        }
        let begins = match parsed.key.protocol {
            Protocol::Tcp => parsed.opens(),
            Protocol::Udp | Protocol::Sctp | Protocol::Icmp => parsed.begins(),
        };
        let adopts = !begins && continues(parsed) && self.snapshot.services[service].adopt;
        if self.goes_on(parsed)
            && let Some(course) = self.take_told(now, parsed, (service, unserved))
        {
            return course;
        }
        if begins || adopts {
            Course::Open(Open { service, unserved, adopts, told: None })
        } else {
            self.stray(now, parsed).into()
        }
    }

    /// A NAT server's packet of a connection that is not known. Where connections are adopted it may be the first of
    /// one, as a client that only receives says nothing until it does.
    fn reply<F: Forwarded>(&self, now: Instant, packet: &impl Packet, parsed: &Parsed<F>) -> Course<F> {
        if !self.answers_for_server(parsed) {
            return Act::Drop(DropReason::Standby).into();
        }
        if self.goes_on_from_server(parsed)
            && let Some(course) = self.take_told_reply(now, parsed)
        {
            return course;
        }
        match self.adopted(parsed) {
            Some(server) => Course::Adopt(Adopt { server, teller: None }),
            None => {
                self.to_outside_from_server(packet, parsed).unwrap_or_else(|| self.stray(now, parsed).into())
            }
        }
    }

    /// Whether the director answers for the VIP that a NAT server's packet is to come from; where that is one of several, for
    /// all there are.
    fn answers_for_server<F: Forwarded>(&self, parsed: &Parsed<F>) -> bool {
        let key = parsed.key.key();
        let server = || self.snapshot.sole_nat_server::<F>(key.protocol, key.source, key.source_port);
        self.snapshot.answers_for_all
            || server().is_some_and(|server| self.snapshot.answers_for(self.snapshot.service_of(server).vip))
    }

    /// Whether peers may have told of a packet's connection, and there are any.
    #[inline]
    fn goes_on<F: Forwarded>(&self, parsed: &Parsed<F>) -> bool {
        let is_live = || parsed.key.protocol == Protocol::Udp || parsed.is_call() || continues(parsed);
        self.has_tellers() && is_live()
    }

    /// The same of a server's packet. One that has not heard the client's answer to its SYN says it again, and a reset would
    /// end what the client has begun.
    #[inline]
    fn goes_on_from_server<F: Forwarded>(&self, parsed: &Parsed<F>) -> bool {
        let is_live = match parsed.key.protocol {
            Protocol::Tcp => parsed.is_call() || parsed.tcp_flags & (RST | ACK) == ACK,
            Protocol::Udp => true,
            Protocol::Sctp => continues(parsed),
            // Peers tell of no echo.
            Protocol::Icmp => false,
        };
        self.has_tellers() && is_live
    }

    fn has_tellers(&self) -> bool {
        self.team.told.is_some() || self.team.masters.is_some()
    }

    /// The server whose connection is adopted by its packet, if its service adopts any and the client is not with
    /// another server by now. Servers that call may begin a connection themselves (`ip_vs_sip_conn_out`).
    fn adopted<F: Forwarded>(&self, parsed: &Parsed<F>) -> Option<ServerId> {
        let key = parsed.key.key();
        let server = self.snapshot.sole_nat_server::<F>(key.protocol, key.source, key.source_port)?;
        let forward = self.request_key(&key, server);
        let service = self.snapshot.service_of(server);
        let adopts = (service.adopt && continues(parsed) || service.lets_servers_begin(key.protocol))
            && self.is_station::<F>(forward.source)
            && F::connections(self).lookup(&forward).is_none()
            && self
                .snapshot
                .find_service_for(&forward, |service| service == self.snapshot.servers[server].service)
                .is_some();
        adopts.then_some(server)
    }

    /// The key of the client's packets of the connection that a server's packet belongs to.
    pub(super) fn request_key<F: Forwarded>(&self, reply: &Key<F>, server: ServerId) -> Key<F> {
        let service = self.snapshot.service_of(server);
        Key {
            source: reply.destination,
            destination: F::of(service.vip).unwrap_or_default(),
            source_port: reply.destination_port,
            // A server without a port of its own answers from the one that the client asked for.
            destination_port: service.reach().port().unwrap_or(reply.source_port),
            protocol: reply.protocol,
        }
    }

    /// A packet of a connection that is not known (any more): its sender is told that there is none.
    pub(super) fn stray<F: Forwarded>(&self, now: Instant, parsed: &Parsed<F>) -> Act<F> {
        match parsed.key.protocol {
            // Its control connection may be about to go on here.
            Protocol::Tcp if parsed.is_call() => Act::Drop(DropReason::NoConnection),
            Protocol::Tcp if parsed.tcp_flags & RST == 0 => {
                self.refuse(now, parsed, Unserved::Reject, DropReason::NoConnection)
            }
            Protocol::Sctp => self.refuse(now, parsed, Unserved::Reject, DropReason::NoConnection),
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp => Act::Drop(DropReason::NoConnection),
        }
    }

    /// What happens to the packet that ended a connection.
    #[cold]
    #[must_use]
    pub fn after<F: Forwarded>(
        &self,
        end: &End,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
    ) -> Decision<F> {
        match end.then {
            // The connection was this worker's, so the next one is.
            Then::Anew => self.unmatched(now, packet, parsed, Origin::Worker),
            Then::Refuse => {
                let refused = || self.refuse(now, parsed, Unserved::Reject, DropReason::NoConnection).into();
                Decision { about: About::Nobody, course: self.if_sound(packet, parsed, refused) }
            }
        }
    }

    /// What the maximum segment size of a SYN is lowered to, if its service wants that: what fits the way to the server, and
    /// to the client if packets to it pass here and so are limited by what that carries.
    #[cold]
    #[must_use]
    pub fn most_mss<F: Family>(&self, server: ServerId, client_mtu: u16) -> Option<u16> {
        let wants = self.snapshot.service_of(server).clamps_mss;
        wants.then(|| mss::room::<F>(self.backends[server].limit.min(client_mtu)))
    }

    /// Where a connection's packets go next.
    #[inline(always)]
    #[must_use]
    pub fn path<F: Family>(&self, connection: &Connection<F>, direction: Direction) -> Path {
        let path = self.grown_path(connection, direction);
        let has_second =
            direction == Direction::In && connection.protocol == Protocol::Udp && connection.has_second();
        // Where a module reads it, a datagram grows by what is not known before.
        let grows = has_second && self.snapshot.service_of(connection.server).client_address.is_told();
        if grows { path.less(proxy::datagram_len::<F>()) } else { path }
    }

    /// The same for packets that have grown by all that the server is told.
    #[inline(always)]
    #[must_use]
    pub fn grown_path<F: Family>(&self, connection: &Connection<F>, direction: Direction) -> Path {
        match direction {
            Direction::In if connection.method.is_outward() => {
                let neighbour = connection.outward_end().neighbour;
                // Of a rule that is gone it is 0, as of a server that is.
                let limit = self.neighbours.mtu(neighbour).min(self.backends[connection.server].limit);
                Path { neighbour, limit, most: limit }
            }
            Direction::In => {
                let backend = &self.backends[connection.server];
                Path { neighbour: backend.neighbour, limit: backend.limit, most: backend.most }
            }
            Direction::Out => {
                let neighbour = connection.client_neighbour;
                let limit = self.neighbours.mtu(neighbour);
                Path { neighbour, limit, most: limit }
            }
        }
    }
}

/// Whether a packet of IPsec goes with a connection. AH covers addresses, so it takes no other ones, and servers under FullNAT
/// know the connection by another port.
fn goes_with<F: Family>(parsed: &Parsed<F>, connection: &Connection<F>) -> bool {
    !connection.method.rewrites_endpoints()
        || parsed.at.protocol == ESP && !connection.method.hides_clients() && connection.server_port == ISAKMP
}

/// The state that a packet takes its connection to.
#[inline]
pub(super) fn next_state<F: Family>(
    parsed: &Parsed<F>,
    connection: &Connection<F>,
    direction: Direction,
) -> State {
    match parsed.key.protocol {
        // A packet of a call is no segment. Where it opens a connection, the call is there.
        Protocol::Tcp if parsed.is_call() => match connection.state {
            State::None => State::Established,
            state => state,
        },
        Protocol::Tcp => tcp::next(connection.method.states(), connection.state, direction, parsed.tcp_flags),
        Protocol::Udp => State::Udp,
        Protocol::Icmp => State::Echo,
        Protocol::Sctp => {
            sctp::next(connection.method.sctp_states(), connection.state, direction, parsed.chunk)
        }
    }
}

/// Whether a segment from outside that closes a connection is not what the side behind the director expects. What that side
/// sends is believed: it comes by a port that servers are behind.
#[inline]
fn is_doubtful<F: Family>(
    packet: &impl Packet,
    parsed: &Parsed<F>,
    connection: &Connection<F>,
    direction: Direction,
) -> bool {
    if parsed.key.protocol == Protocol::Sctp {
        return doubts::is_doubtful(packet, parsed, connection, direction);
    }
    let closes = parsed.key.protocol == Protocol::Tcp && parsed.tcp_flags & (FIN | RST) != 0;
    let sequence = || tcp_header::sequence(parsed.at.payload(packet.bytes()));
    direction != connection.trusted()
        && closes
        && sequence().is_some_and(|number| !connection.is_expected(number))
}

/// Whether a segment can only be of a connection that is established, or a packet of SCTP of an association.
fn continues<F: Family>(parsed: &Parsed<F>) -> bool {
    match parsed.key.protocol {
        Protocol::Tcp => parsed.tcp_flags & (SYN | RST | ACK) == ACK,
        Protocol::Udp | Protocol::Icmp => false,
        Protocol::Sctp => sctp::continues(parsed.chunk),
    }
}
