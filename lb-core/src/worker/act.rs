//! Carrying a decision out.
//!
//! A packet that is not plain is decided about, and then one function here does what the decision says, whatever it is.
//! Each packet ends in exactly one of its arms, and that is why the counters add up.

use super::{Worker, cutting::Cutting, send::untag, witness::Witness};
use crate::{
    conn::{connections::Hit, entry::Direction, method::Method, state::State},
    counters::DropReason,
    decide::{
        Act, Adopt, Answer, Course, Decision, Ended, Narrow, Open, Origin, Pass, Refusal, Relay,
        classify::{Kind, Parsed},
        flow::Fit,
        known::{Forwarded, Known},
        opening::{Opener, TurnedAway},
        quic::Called,
    },
    flow::local_port::PortTurn,
    forward::{self, mss, quote::Numbers},
    ids::{NeighbourId, ServerId},
    packet::{Io, Packet},
    peers::told::Teller,
    sched::persistence::Hold,
    time::Instant,
    wire::{ethernet, headers::Headers, protocol::Protocol},
};

/// A packet that opens a connection which is not open yet.
pub(super) struct Pending<P> {
    pub(super) packet: P,
    /// Of the packet in its burst.
    pub(super) number: usize,
    /// The server that the scheduler chose, which counts the connection already.
    pub(super) server: ServerId,
    /// Where the search for a local port begins, if it takes one.
    pub(super) turn: PortTurn,
    /// Its share in what is remembered of its client.
    pub(super) hold: Option<Hold>,
}

/// With which server a connection begins.
#[derive(Clone, Copy)]
pub(super) struct Begin {
    /// Which way its first packet goes.
    pub(super) direction: Direction,
    /// The server, which counts it already.
    pub(super) server: ServerId,
    /// Where the search for a local port begins, if it takes one.
    pub(super) turn: PortTurn,
    /// Its share in what is remembered of its client.
    pub(super) hold: Option<Hold>,
    /// It ends with this packet, if it is a datagram, or with the last fragment of that. Only of methods whose replies do not
    /// pass here.
    pub(super) one_packet: bool,
    /// A peer has told of it.
    pub(super) teller: Option<Teller>,
}

impl Begin {
    /// By a client's packet, remembered nowhere else. `teller` is who has told of it, if anybody has.
    pub(super) const fn with(server: ServerId, turn: PortTurn, teller: Option<Teller>) -> Self {
        Begin { direction: Direction::In, server, turn, hold: None, one_packet: false, teller }
    }
}

impl<P: Packet> Worker<P> {
    /// Decides what is done with a packet that is not plain, and does it. One that opens a connection whose replies pass
    /// here is given back: their place in the table is being loaded.
    pub(super) fn handle<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        (parsed, number): (&Parsed<F>, usize),
        origin: Origin,
        io: &mut impl Io<Packet = P>,
        witness: &mut impl Witness<P, F>,
    ) -> Option<Pending<P>> {
        if parsed.kind != Kind::Common && origin == Origin::Port && ethernet::is_tagged(packet.bytes()) {
            self.count_tagged(&packet);
        }
        let decision = self.known.decide(now, &packet, parsed, origin);
        self.carry_out(now, packet, (parsed, number), decision, io, witness)
    }

    /// Does what has been decided about a packet, and what follows from it. Inlined, because a decision is large to pass on.
    #[inline(always)]
    pub(super) fn carry_out<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        (parsed, number): (&Parsed<F>, usize),
        mut decision: Decision<F>,
        io: &mut impl Io<Packet = P>,
        witness: &mut impl Witness<P, F>,
    ) -> Option<Pending<P>> {
        loop {
            witness.decided(self, &decision);
            match decision.course {
                Course::Act(act) => self.act(now, packet, parsed, act, io),
                Course::Fragment(fragment) => self.note(now, packet, parsed, fragment, io, witness),
                Course::Open(open) => return self.open(now, packet, (parsed, number), open, io, witness),
                Course::Adopt(Adopt { server, teller }) => {
                    self.known.count_load(server, State::None, 1);
                    let turn = self.known.port_turn;
                    let hold = match teller {
                        None => self.known.keep_call(now, (&packet, parsed), server),
                        Some(_) => None,
                    };
                    let begin =
                        Begin { direction: Direction::Out, hold, ..Begin::with(server, turn, teller) };
                    self.begin(now, packet, parsed, begin, io, witness);
                }
                Course::End(end) => {
                    if end.why == Ended::Orphaned {
                        self.books.counters.orphaned.bump();
                    }
                    self.end::<F>(end.connection);
                    decision = self.known.after(&end, now, &packet, parsed);
                    continue;
                }
            }
            return None;
        }
    }

    /// Chooses a server for a packet that opens a connection.
    fn open<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        (parsed, number): (&Parsed<F>, usize),
        open: Open,
        io: &mut impl Io<Packet = P>,
        witness: &mut impl Witness<P, F>,
    ) -> Option<Pending<P>> {
        if let Some(told) = open.told {
            self.known.count_load(told.server, State::None, 1);
            let turn = self.known.port_turn;
            let begin = Begin::with(told.server, turn, Some(told.teller));
            if told.teller == Teller::Module {
                self.known.port_turn = self.known.ports.next_turn(turn);
            }
            self.begin(now, packet, parsed, begin, io, witness);
            return None;
        }
        let turn = &mut self.turns[open.service];
        witness.chooses(&self.known, open.service, turn);
        let service = &self.known.snapshot.services[open.service];
        let (method, one_packet) = (service.method, service.one_packet);
        let called =
            service.quic.as_ref().and_then(|_| self.known.called_by_id(&packet, parsed, open.service));
        let (chosen, hold) = if let Some(server) = called.and_then(Called::server) {
            // It is no new connection, so nothing is remembered of where its client's go.
            (Some(server), None)
        } else if service.persistence.is_on() {
            self.known.choose_kept(now, (&packet, parsed, open.service), turn, &self.known.loads())
        } else {
            (self.known.choose(now, parsed, open.service, turn, &self.known.loads()), None)
        };
        if let Some(called) = called {
            self.count_called(called);
        }
        witness.chose(&self.known, open.service, chosen, &self.known.loads());
        let Some(server) = chosen else {
            self.books.counters.no_server.bump();
            let why = self.known.why_none(open.service);
            let act = self.known.refuse(now, parsed, open.unserved, why);
            witness.decided(self, &act.into());
            self.act(now, packet, parsed, act, io);
            return None;
        };
        self.known.count_load(server, State::None, 1);
        F::connections(&self.known).prefetch_free();
        let turn = self.known.port_turn;
        if method.hides_clients() {
            self.known.prefetch_local(&parsed.key.key(), server, turn);
            self.known.port_turn = self.known.ports.next_turn(turn);
            return Some(Pending { packet, number, server, turn, hold });
        }
        if let Some(reply) = self.known.reply_key(&parsed.key.key(), server, method) {
            F::connections(&self.known).prefetch_key(reply.packed());
            return Some(Pending { packet, number, server, turn, hold });
        }
        let begin = Begin { hold, one_packet, ..Begin::with(server, turn, None) };
        self.begin(now, packet, parsed, begin, io, witness);
        None
    }

    /// A datagram of QUIC got the server that its connection ID names, or another.
    #[cold]
    fn count_called(&self, called: Called) {
        if called.server().is_some() {
            self.books.counters.quic_named.bump();
        } else if called.is_lost() {
            self.books.counters.quic_lost.bump();
        }
    }

    /// Opens the connection of a packet with a server that counts it already, and lets the packet pass.
    pub(super) fn begin<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        parsed: &Parsed<F>,
        Begin { direction, server, turn, hold, one_packet, teller }: Begin,
        io: &mut impl Io<Packet = P>,
        witness: &mut impl Witness<P, F>,
    ) {
        let opener = Opener { now, packet: &packet, parsed, direction, replaces: None, turn, teller };
        let act = match self.known.opening(&opener, server) {
            Ok(opening) => {
                witness.opens(self, &opening);
                match teller {
                    Some(Teller::Peer(_)) => self.books.counters.peers_adopted.bump(),
                    Some(Teller::Ipvs) => self.books.counters.masters_adopted.bump(),
                    Some(Teller::Module) => self.has_come(now, parsed, direction),
                    None => {}
                }
                match self.remember(now, &opening, server) {
                    Ok((hit, neighbour)) => {
                        if let Some(hold) = hold {
                            F::connections_mut(&mut self.known).keep(hit.connection(), hold.raw());
                        }
                        self.forward(now, packet, parsed, hit, neighbour, io);
                        if one_packet
                            && parsed.key.protocol == Protocol::Udp
                            && !F::is_fragment(parsed.at.fragment)
                        {
                            self.end::<F>(hit.connection());
                        }
                        return;
                    }
                    Err(reason) => Act::Drop(reason),
                }
            }
            Err(TurnedAway { act, is_for_ports }) => {
                if is_for_ports {
                    self.books.counters.ports_exhausted.bump();
                }
                act
            }
        };
        self.known.count_load(server, State::None, -1);
        if let Some(hold) = hold {
            self.known.team.persistence.leave(hold, false);
        }
        if act == Act::Drop(DropReason::TableFull) {
            self.sort_unconfirmed::<F>(now);
        }
        witness.decided(self, &act.into());
        self.act(now, packet, parsed, act, io);
    }

    /// Does what a decision says that nothing follows.
    fn act<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        parsed: &Parsed<F>,
        act: Act<F>,
        io: &mut impl Io<Packet = P>,
    ) {
        match act {
            Act::Drop(reason) => self.drop(packet, reason, io),
            Act::Share(purpose, reason) => {
                self.share(now, &packet, purpose, io);
                self.drop(packet, reason, io);
            }
            Act::Host(otherwise) => match io.to_host(packet) {
                Ok(()) => self.books.counters.host.bump(),
                Err(packet) => self.give_to_kernel(now, packet, otherwise, io),
            },
            Act::HandOver(to, why) => match io.hand_over(to, packet) {
                Ok(()) => self.books.counters.handed_over[why as usize].bump(),
                Err(packet) => self.drop(packet, DropReason::RingFull, io),
            },
            Act::Refuse(refusal) => self.refuse(now, packet, parsed, refusal, io),
            Act::Hold(hold) => self.hold::<F>(now, packet, hold),
            Act::Pass(pass) => self.pass(now, packet, parsed, pass, io),
            Act::Relay(relay) => self.relay(now, packet, parsed, &relay, io),
            Act::Narrow(report) => self.narrow(now, packet, &report, io),
            Act::Conflict(conflict) => self.conflict(now, packet, &conflict, io),
            Act::Hear(hear) => self.hear(now, packet, &hear, io),
        }
    }

    /// A packet goes the way of its connection.
    fn pass<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        parsed: &Parsed<F>,
        pass: Pass,
        io: &mut impl Io<Packet = P>,
    ) {
        let Pass { hit, state, neighbour, .. } = pass;
        let connection = F::connections(&self.known).get(hit.connection());
        let (before, server) = (connection.state, connection.server);
        if state != before {
            if (before, state, hit.direction()) == (State::SynSent, State::Close, Direction::Out) {
                self.books.traffic[server.index()].refused.bump();
            }
            self.advance::<F>(now, hit.connection(), state);
        }
        self.forward(now, packet, parsed, hit, neighbour, io);
    }

    /// A packet of a connection is counted, rewritten by the connection's method, and sent.
    fn forward<F: Forwarded>(
        &mut self,
        now: Instant,
        mut packet: P,
        parsed: &Parsed<F>,
        hit: Hit,
        neighbour: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) {
        if parsed.is_any_syn() {
            self.clamp_mss(&mut packet, parsed, hit);
        }
        if F::connections(&self.known).get(hit.connection()).has_second() {
            return self.forward_told(now, packet, parsed, hit, neighbour, io);
        }
        self.forward_on(now, packet, (parsed, &parsed.at), hit, neighbour, io);
    }

    /// The same for a packet whose headers are there by now.
    #[inline(always)]
    pub(super) fn forward_on<F: Forwarded>(
        &mut self,
        now: Instant,
        mut packet: P,
        (parsed, at): (&Parsed<F>, &Headers<F>),
        hit: Hit,
        neighbour: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) {
        let direction = hit.direction();
        let (connections, backends, neighbours) = F::parts(&mut self.known);
        let connection = connections.get_mut(hit.connection());
        let server = connection.server;
        connection.seen = now.stamp();
        connection.count(direction, parsed.at.ip_len);
        self.books.traffic[server.index()].count(direction as usize, parsed.at.ip_len);
        let backend = &backends[server];
        let limit = match direction {
            Direction::In if !connection.method.is_outward() => backend.limit,
            Direction::In | Direction::Out => neighbours.mtu(neighbour),
        };
        if at.ip_len > limit || at.is_to_be_cut() {
            return self.forward_in_fragments(now, packet, at, hit, neighbour, io);
        }
        let outer = &backend.outer;
        match forward::apply(&mut packet, at, connection, direction, outer, &mut self.last_id) {
            Ok(()) => {
                if parsed.kind != Kind::Common {
                    untag(&mut packet);
                }
                self.send(now, packet, neighbour, io);
            }
            Err(reason) => self.drop(packet, reason, io),
        }
    }

    /// Lowers the maximum segment size that a SYN tells, if its service wants that.
    #[cold]
    fn clamp_mss<F: Forwarded>(&self, packet: &mut P, parsed: &Parsed<F>, hit: Hit) {
        let connection = F::connections(&self.known).get(hit.connection());
        let client_mtu = self.known.path(connection, Direction::Out).limit;
        if let Some(most) = self.known.most_mss::<F>(connection.server, client_mtu) {
            mss::clamp(packet.bytes_mut(), &parsed.at, most);
        }
    }

    /// A packet is turned into the answer to its sender.
    #[cold]
    fn refuse<F: Forwarded>(
        &mut self,
        now: Instant,
        mut packet: P,
        parsed: &Parsed<F>,
        refusal: Refusal<F>,
        io: &mut impl Io<Packet = P>,
    ) {
        if let Some(purpose) = refusal.answer.purpose() {
            self.known.budgets.take(purpose, now);
        }
        if !refusal.write(&mut packet, &parsed.at) {
            return self.drop(packet, refusal.reason, io);
        }
        if self.known.snapshot.translates
            && let Err(reason) = self.leave_as_ipv4(&mut packet)
        {
            return self.drop(packet, reason, io);
        }
        let counters = &self.books.counters;
        match refusal.answer {
            Answer::Reset => counters.resets.bump(),
            Answer::Error(..) => counters.icmp_errors.bump(),
            Answer::Echo | Answer::Silence => {}
        }
        self.known.retag(&mut packet);
        self.transmit(packet.port(), packet, io);
    }

    /// An ICMP error goes the way of the packets that it is about. Nothing is remembered of it.
    #[cold]
    fn relay<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        parsed: &Parsed<F>,
        relay: &Relay<F>,
        io: &mut impl Io<Packet = P>,
    ) {
        // Where its client is, a connection whose replies do not pass here does not know.
        let client = relay.client(&self.known).and_then(|hop| self.acquire(now, hop));
        self.relay_to(now, packet, parsed, (relay, relay.neighbour.or(client)), io);
        self.known.neighbours.release(client);
    }

    fn relay_to<F: Forwarded>(
        &mut self,
        now: Instant,
        mut packet: P,
        parsed: &Parsed<F>,
        (relay, neighbour): (&Relay<F>, Option<NeighbourId>),
        io: &mut impl Io<Packet = P>,
    ) {
        let connection = *F::connections(&self.known).get(relay.hit.connection());
        let second = F::connections(&self.known).second(relay.hit.connection());
        if let Some(second) = second.and_then(|second| relay.narrowed(&packet, &parsed.at, second)) {
            F::connections_mut(&mut self.known).set_second(relay.hit.connection(), second);
        }
        let path = relay.path(&self.known);
        let (server, method) = (connection.server, connection.method);
        let fit = path.fit(&parsed.at).unwrap_or(Fit::Whole);
        if fit == Fit::Whole || method != Method::Tun {
            let outer = &self.known.backends[server].outer;
            let talk = F::connections(&self.known).talk(relay.hit.connection());
            let talk = talk.map(|talk| self.known.talks.get(talk));
            let of = (&connection, Numbers { second: second.as_ref(), talk: talk.as_ref() });
            if let Err(reason) = relay.apply(&mut packet, &parsed.at, of, outer, &mut self.last_id) {
                return self.drop(packet, reason, io);
            }
        }
        if fit == Fit::Whole {
            untag(&mut packet);
            return self.send(now, packet, neighbour, io);
        }
        let cutting = Cutting { fit, server, limit: path.limit, spread: None, neighbour };
        self.send_in_fragments(now, packet, (&parsed.at, method), cutting, io);
    }

    /// A router's report about tunnels is believed for a while.
    #[cold]
    fn narrow<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        report: &Narrow<F>,
        io: &mut impl Io<Packet = P>,
    ) {
        let Known { snapshot, backends, .. } = &mut self.known;
        for id in snapshot.outlying::<F>(report.server).filter(|&id| report.concerns(&snapshot.servers[id])) {
            self.chores.narrow_paths += usize::from(backends[id].narrow(report, now));
        }
        self.end_at_host(packet, io);
    }
}
