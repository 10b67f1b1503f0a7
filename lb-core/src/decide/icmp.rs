//! ICMP and other protocols: echo requests are answered, errors go where the packet they quote belongs.

use super::{
    About, Act, Answer, Decision, Narrow, Origin, Relay,
    budgets::Purpose,
    classify::Parsed,
    flow::Path,
    known::{Forwarded, Known},
};
use crate::{
    conn::{
        connections::Hit,
        entry::{Connection, Direction},
        second::Second,
    },
    counters::DropReason,
    family::{Family, Message, V4, V6},
    flow::key::Key,
    forward::{
        self,
        outer::Outer,
        quote::{self, Numbers, Quote},
        shim::Spread,
        wrapped::Wrapped,
    },
    ids::ServerId,
    packet::{HandOver, Packet},
    sched::load::Load,
    service::{
        routing::NextHop,
        snapshot::{Local, Server},
    },
    time::{Duration, Instant},
    wire::{headers::Headers, icmp::HEADER_LEN},
};

/// How long ago a connection's last packet may have passed for a report to be about it.
const RECENT: Duration = Duration::from_secs(10);

impl<F: Family> Relay<F> {
    /// Rewrites the error for its receiver. What the connection's method does to the client's packets it does to errors
    /// about the server's.
    pub(crate) fn apply(
        &self,
        packet: &mut impl Packet,
        at: &Headers<F>,
        (connection, numbers): (&Connection<F>, Numbers<'_>),
        outer: &Outer,
        last_id: &mut u16,
    ) -> Result<(), DropReason> {
        if connection.method.sees_replies() || self.hit.direction() == Direction::Out {
            let way = (self.hit.direction(), numbers);
            quote::translate(packet.bytes_mut(), at, &self.quote, connection, way);
            return Ok(());
        }
        forward::steer(packet, at, connection.method, outer, last_id)
    }
}

impl<F: Forwarded> Relay<F> {
    /// Where the client is that gets the error, if nothing else goes to it from here, and so nobody need know.
    pub(crate) fn client(&self, known: &Known) -> Option<NextHop> {
        let connection = F::connections(known).get(self.hit.connection());
        let is_to_client = self.hit.direction() == Direction::Out && !connection.sees_replies();
        known.client_hop::<F>(connection.client, is_to_client).ok()?.map(|client| client.hop)
    }

    /// The way on.
    pub(crate) fn path(&self, known: &Known) -> Path {
        let direction = self.hit.direction();
        let limit = self.client(known).map(|hop| known.snapshot.interfaces[hop.interface].mtu);
        match limit {
            Some(limit) => Path { neighbour: self.neighbour, limit, most: limit },
            None => known.grown_path(F::connections(known).get(self.hit.connection()), direction),
        }
    }
}

impl<F: Family> Relay<F> {
    /// A connection's second line if the error says that the header in front of the client's bytes makes a packet too large:
    /// then it goes by itself, in packets of the size that the error tells the client.
    pub(crate) fn narrowed(&self, packet: &impl Packet, at: &Headers<F>, second: Second) -> Option<Second> {
        let way = F::too_big(at.payload(packet.bytes()))?;
        (self.hit.direction() == Direction::Out).then_some(Second { way, ..second })
    }
}

/// A router's report about a tunnel, with what it quotes.
struct Report<F: Family> {
    narrow: Narrow<F>,
    /// The tunnel's packet, which starts behind the header of the message.
    wrapped: Wrapped<F>,
}

impl<F: Family> Report<F> {
    /// Reads a report that a tunnel's packet was too large.
    fn read(message: &[u8]) -> Option<Self> {
        let wrapped = Wrapped::<F>::read(message.get(HEADER_LEN..)?)?;
        let (outer, mtu) = (&wrapped.header, F::too_big(message)?);
        let is_it = outer.dont_fragment() && outer.total_len > usize::from(mtu);
        let (source, server, carrier) = (outer.source, outer.destination, wrapped.carrier);
        is_it.then_some(Report { narrow: Narrow { source, server, carrier, mtu }, wrapped })
    }
}

impl<F: Family> Narrow<F> {
    /// Whether the way carries so little that routers have to fragment.
    #[must_use]
    pub fn takes_fragments(&self) -> bool {
        self.mtu < F::SMALLEST_PATH_MTU
    }

    /// Whether the report is about the tunnel to a server.
    #[must_use]
    pub fn concerns(&self, server: &Server) -> bool {
        F::of(server.plan.address) == Some(self.server)
            && server
                .tunnel
                .is_some_and(|to| self.carrier.is_of(to.tunnel) && to.comes_from(F::ip(self.source)))
    }
}

impl Known {
    #[cold]
    pub(super) fn icmp<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        origin: Origin,
    ) -> Decision<F> {
        let local = self.snapshot.local::<F>(parsed.at.destination);
        let is_own = matches!(local, Some(Local::Own(_)));
        let message =
            parsed.at.payload(packet.bytes()).first().map_or(Message::Other, |&kind| F::message(kind));
        if !self.is_station::<F>(parsed.at.source) {
            let answers = matches!(message, Message::EchoReply | Message::ConnectionError);
            let act = if is_own && answers { Act::Host } else { Act::Drop };
            return act(DropReason::BadSource).into();
        }
        let act = match message {
            Message::EchoRequest if local.is_some_and(|local| !local.is_answered()) => {
                Act::Drop(DropReason::Standby)
            }
            Message::EchoRequest if local.is_some() => {
                self.answer(now, Answer::Echo, DropReason::RejectLimited)
            }
            Message::ConnectionError if is_own || local.is_none() && self.is_tunnel_source(parsed) => {
                self.own_error(now, packet, parsed, (origin, is_own))
            }
            Message::ConnectionError => return self.icmp_error(packet, parsed, origin),
            // Where a rule is gone, its connections may still be there.
            Message::EchoRequest if self.snapshot.has_local_addresses() => {
                return self.echo(now, packet, parsed, origin);
            }
            Message::EchoReply if self.is_outward_end::<F>(parsed.at.destination) => {
                return self.echo(now, packet, parsed, origin);
            }
            Message::EchoReply if is_own => Act::Host(DropReason::IcmpUnrelated),
            Message::OtherError => Act::Drop(DropReason::IcmpUnrelated),
            _ if local.is_some() => Act::Drop(DropReason::IcmpUnrelated),
            _ => Act::Drop(self.why_nobodys::<F>(parsed.at.source)),
        };
        act.into()
    }

    /// An echo request of a server's to somebody outside, or what may be the reply to one: of a flow as TCP and UDP are.
    fn echo<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        origin: Origin,
    ) -> Decision<F> {
        match F::connections(self).lookup(&parsed.key.key()) {
            Some(hit) => self.matched(now, packet, parsed, hit),
            None => self.unmatched(now, packet, parsed, origin),
        }
    }

    /// An error that goes on to one end of a connection. It never refreshes or changes the connection: anyone who
    /// guesses four numbers can send one.
    fn icmp_error<F: Forwarded>(
        &self,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        origin: Origin,
    ) -> Decision<F> {
        let Some(quote) = Quote::read(packet.bytes(), &parsed.at) else {
            return Act::Drop(DropReason::IcmpUnrelated).into();
        };
        let Some(hit) = F::connections(self).lookup(&quote.answers) else {
            if let Some(hit) = self.marked(&quote) {
                return self.error_about_marked(parsed, quote, hit);
            }
            if let Some(decision) = self.error_for_owner(&quote, origin) {
                return decision;
            }
            // Whose it is cannot be told from the quote in every port set-up, so everyone else gets to look.
            return match origin {
                Origin::Port => Act::Share(Purpose::ShareError, DropReason::IcmpUnrelated).into(),
                Origin::Worker => Act::Drop(DropReason::IcmpUnrelated).into(),
            };
        };
        let connection = F::connections(self).get(hit.connection());
        let path = self.path(connection, hit.direction());
        let is_gone = self.backends[connection.server].is_gone();
        let act = if hit.direction() == Direction::In && is_gone {
            Act::Drop(DropReason::NoConnection)
        } else if parsed.at.ttl <= 1 {
            Act::Drop(DropReason::TtlExpired)
        } else if path.fit(&parsed.at).is_none() {
            Act::Drop(DropReason::TooBig)
        } else {
            Act::Relay(Relay { hit, quote, neighbour: path.neighbour })
        };
        Decision { about: About::Connection(hit), course: act.into() }
    }

    /// The connection under L3DSR whose packet is quoted as it was on its way from here: to the server's own address.
    fn marked<F: Forwarded>(&self, quote: &Quote<F>) -> Option<Hit> {
        let answers = &quote.answers;
        let marked = |id: &ServerId| self.snapshot.service_of(*id).method.marks();
        self.snapshot.outlying::<F>(answers.source).filter(marked).find_map(|id| {
            let vip = F::of(self.snapshot.service_of(id).vip)?;
            let hit = F::connections(self).lookup(&Key { source: vip, ..*answers }.reversed())?;
            let is_its = F::connections(self).get(hit.connection()).server == id;
            is_its.then(|| Hit::new(hit.connection(), Direction::Out))
        })
    }

    /// Routers tell the client, which has the packet's source. Where that passes here, the client gets an error that it
    /// understands.
    fn error_about_marked<F: Forwarded>(&self, parsed: &Parsed<F>, quote: Quote<F>, hit: Hit) -> Decision<F> {
        let client = F::connections(self).get(hit.connection()).client;
        let act = match self.client_hop::<F>(client, true) {
            Err(reason) => Act::Drop(reason),
            Ok(None) => Act::Drop(DropReason::NoRoute),
            Ok(_) if parsed.at.ttl <= 1 => Act::Drop(DropReason::TtlExpired),
            Ok(Some(to)) => {
                let relay = Relay { hit, quote, neighbour: to.neighbour };
                let fits = relay.path(self).fit(&parsed.at).is_some();
                if fits { Act::Relay(relay) } else { Act::Drop(DropReason::TooBig) }
            }
        };
        Decision { about: About::Connection(hit), course: act.into() }
    }

    /// An error about a packet from a local address goes to the worker that the port belongs to.
    fn error_for_owner<F: Forwarded>(&self, quote: &Quote<F>, origin: Origin) -> Option<Decision<F>> {
        self.snapshot.local_address::<F>(quote.answers.destination)?;
        let owner = self.owner_by_local_port(&quote.answers);
        let act = match origin {
            Origin::Port if owner.worker != self.id => Act::HandOver(owner.worker, HandOver::Reply),
            Origin::Port | Origin::Worker => Act::Drop(DropReason::IcmpUnrelated),
        };
        Some(Decision { about: About::Reply(owner), course: act.into() })
    }

    /// An error for the director itself: about a packet of a tunnel, or about one of its own. A router that says how
    /// large a tunnel's packet may be is believed for a while, and clients are told when they next send a larger one:
    /// the "soft state" of RFC 2003 5. But only if the packet that it quotes can be one that was sent just now.
    fn own_error<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        (origin, is_own): (Origin, bool),
    ) -> Act<F> {
        let message = parsed.at.payload(packet.bytes());
        let report = Report::<F>::read(message).filter(|report| self.is_tunnel(&report.narrow));
        let Some(report) = report else {
            return if is_own { Act::Host } else { Act::Drop }(DropReason::IcmpUnrelated);
        };
        let is_sent = match report.wrapped.inside {
            Some((V4::INSIDE, at)) => self.has_sent_inside::<V4, F>(now, message, at, &report),
            Some((V6::INSIDE, at)) => self.has_sent_inside::<V6, F>(now, message, at, &report),
            Some(_) => false,
            None => self.has_sent_anything(&report.narrow),
        };
        match origin {
            _ if is_sent => Act::Narrow(report.narrow),
            Origin::Port => Act::Share(Purpose::ShareReport, DropReason::IcmpUnrelated),
            Origin::Worker => Act::Drop(DropReason::IcmpUnrelated),
        }
    }

    /// Whether a packet is for an address that tunnels begin at, each flow's at another.
    fn is_tunnel_source<F: Forwarded>(&self, parsed: &Parsed<F>) -> bool {
        self.snapshot.tunnel_sources.iter().any(|network| network.contains(&F::ip(parsed.at.destination)))
    }

    /// Whether the director has a tunnel with these ends.
    fn is_tunnel<F: Forwarded>(&self, report: &Narrow<F>) -> bool {
        self.tunnels(report).next().is_some()
    }

    /// The servers that a report concerns.
    pub(crate) fn tunnels<'a, F: Forwarded>(
        &'a self,
        report: &'a Narrow<F>,
    ) -> impl Iterator<Item = (ServerId, &'a Server)> {
        let servers = self.snapshot.outlying::<F>(report.server).map(|id| (id, &self.snapshot.servers[id]));
        servers.filter(|(_, server)| report.concerns(server))
    }

    /// Whether a report of family `F` quotes what can have gone through the tunnel: a packet of family `I`, which starts
    /// there in what is quoted.
    fn has_sent_inside<I: Forwarded, F: Forwarded>(
        &self,
        now: Instant,
        message: &[u8],
        at: usize,
        report: &Report<F>,
    ) -> bool {
        match Quote::<I>::key_inside(message, HEADER_LEN + at) {
            Some(key) => self.has_sent(now, &key, report),
            None => self.has_sent_anything(&report.narrow),
        }
    }

    /// Whether packets go through the tunnel at all: some routers quote no more than RFC 792 asks for, which does not tell
    /// whose the packet inside is.
    fn has_sent_anything<F: Forwarded>(&self, report: &Narrow<F>) -> bool {
        self.tunnels(report).any(|(id, _)| self.team.board.own(self.id, id) != Load::default())
    }

    /// Whether a client's packet went through a tunnel a short while ago, and from where the report says.
    fn has_sent<I: Forwarded, F: Forwarded>(&self, now: Instant, key: &Key<I>, report: &Report<F>) -> bool {
        let connection =
            I::connections(self).lookup(key).map(|hit| I::connections(self).get(hit.connection()));
        let spread = Spread::of_key(key);
        connection.is_some_and(|it| {
            report.narrow.concerns(&self.snapshot.servers[it.server])
                && it.seen.age(now) <= RECENT
                && report.narrow.source == self.backends[it.server].outer.source::<F>(spread)
                && report.wrapped.comes_from(spread)
        })
    }

    /// A protocol without ports, or one that is not known: it can only be unserved.
    #[cold]
    pub(super) fn other_protocol<F: Forwarded>(&self, now: Instant, parsed: &Parsed<F>) -> Act<F> {
        if !self.is_station::<F>(parsed.at.source) {
            return Act::Drop(DropReason::BadSource);
        }
        match self.snapshot.local::<F>(parsed.at.destination) {
            Some(Local::Vip { unserved, .. }) => self.refuse(now, parsed, unserved, DropReason::Unserved),
            Some(Local::Own(_) | Local::Source { .. }) => Act::Drop(DropReason::OwnAddress),
            None => Act::Drop(self.why_nobodys::<F>(parsed.at.source)),
        }
    }
}
