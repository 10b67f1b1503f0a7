//! Packets of connections that a [module](crate::module) reads.

use super::Worker;
use crate::{
    conn::{beside::Moved, connections::Hit, entry::Direction, reading::Reading},
    counters::DropReason,
    decide::{
        classify::Parsed,
        expecting::Desk,
        known::{Forwarded, Known},
        reading::{Of, ReadWith},
    },
    forward::{
        call,
        edit::{self, Effect},
    },
    ids::{ConnectionId, NeighbourId},
    module::{expected::Times, kind::ModuleKind, talks::Talks},
    packet::{Io, Packet},
    time::Instant,
    wire::{headers::Headers, protocol::Protocol},
};

impl<P: Packet> Worker<P> {
    /// A packet of such a connection is read, and goes on.
    #[cold]
    #[inline(never)]
    pub(super) fn forward_read<F: Forwarded>(
        &mut self,
        now: Instant,
        mut packet: P,
        (parsed, hit, reading): (&Parsed<F>, Hit, Reading),
        neighbour: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) {
        match self.read_through(now, &mut packet, (parsed, hit, reading)) {
            Ok(at) => self.forward_on(now, packet, (parsed, &at), hit, neighbour, io),
            Err(reason) => self.drop(packet, reason, io),
        }
    }

    /// Reads a packet, before anything else is done to it. Returns where its headers are then.
    fn read_through<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: &mut P,
        (parsed, hit, reading): (&Parsed<F>, Hit, Reading),
    ) -> Result<Headers<F>, DropReason> {
        let mut at = parsed.at;
        if parsed.is_call() {
            return self.renumber(packet, parsed, hit, reading).map(|()| at);
        }
        let (id, connection) = (hit.connection(), F::connections(&self.known).get(hit.connection()));
        let (of, stays) = match self.known.read_with(packet, parsed, (hit, reading), connection.state) {
            ReadWith::Talk(of, stays) => (of, stays),
            ReadWith::NothingYet(awaited) => {
                let way = (hit.direction(), connection.method.rewrites_endpoints());
                F::connections_mut(&mut self.known).set_reading(id, Reading::Awaits(awaited));
                return edit::pass_unread(packet, &mut at, way).map(|_| at);
            }
            ReadWith::Nothing => {
                F::connections_mut(&mut self.known).drop_line(id);
                self.books.counters.unread.bump();
                return Ok(at);
            }
        };
        let mut talk = self.known.talk(of);
        let room = self.known.path(connection, hit.direction()).limit;
        let mut desk = Desk::new(&self.known, now, (connection, packet.port()), false);
        let way = (hit.direction(), connection.state, room);
        let effect = edit::apply(packet, &mut at, &mut talk, way, &mut desk);
        let ([announced, lost], spent) = (desk.counts, desk.spent);
        let counters = &self.books.counters;
        counters.expected.add(announced);
        counters.expected_lost.add(lost);
        if let Ok(Effect::Text(..) | Effect::Cut(_)) = effect {
            counters.rewritten.bump();
        }
        let place = if let Of::Kept(place) = of { Some(place) } else { None };
        let kept = self.known.talks.keep(place, talk, stays);
        if place != Some(kept) {
            F::connections_mut(&mut self.known).set_reading(id, Reading::Kept(kept));
        }
        for _ in 0..spent.1 {
            self.known.budgets.take(spent.0, now);
        }
        effect.map(|_| at)
    }

    /// A packet of a call gets the number that its receiver knows, where addresses are not the same on both sides.
    fn renumber<F: Forwarded>(
        &self,
        packet: &mut P,
        parsed: &Parsed<F>,
        hit: Hit,
        reading: Reading,
    ) -> Result<(), DropReason> {
        let connection = F::connections(&self.known).get(hit.connection());
        if connection.method.rewrites_endpoints() {
            let calls = match reading {
                Reading::Kept(id) => self.known.talks.calls(id),
                Reading::Awaits(_) => [None; 2],
            };
            call::renumber(packet.bytes_mut(), &parsed.at, calls, hit.direction())?;
        }
        Ok(())
    }

    /// A module reads a connection that is opened, or goes on with numbers that have moved, unless there are too many. One whose
    /// client may not exist takes no place yet.
    #[cold]
    pub(super) fn read_from_now_on<F: Forwarded>(
        &mut self,
        id: ConnectionId,
        module: ModuleKind,
        moved: Option<Moved>,
    ) {
        let connection = F::connections(&self.known).get(id);
        let awaited = Known::awaits(connection, module, moved).map(Reading::Awaits);
        let reading = match (awaited, connection.protocol) {
            (Some(awaited), _) => Some(awaited),
            (None, Protocol::Udp) => Some(Reading::Kept(Talks::of_datagrams(module))),
            (None, Protocol::Tcp | Protocol::Sctp | Protocol::Icmp) => {
                let talk = self.known.talk(Of::Opened(module, moved));
                self.known.talks.add(talk).map(Reading::Kept)
            }
        };
        match reading {
            Some(reading) => F::connections_mut(&mut self.known).set_reading(id, reading),
            None => self.books.counters.unread.bump(),
        }
    }

    /// A connection with a second line has ended, whose number had it last.
    #[cold]
    pub(super) fn stop_reading<F: Forwarded>(&mut self, id: ConnectionId) {
        if let Some(talk) = F::connections(&self.known).talk(id) {
            self.known.talks.remove(talk);
        }
    }

    /// A connection that was expected has come.
    #[cold]
    pub(super) fn has_come<F: Forwarded>(&self, now: Instant, parsed: &Parsed<F>, direction: Direction) {
        if let Some(found) = self.known.expected(now, parsed, direction)
            && (found.expectation.times == Times::Media || self.known.team.expected.take(&found))
        {
            self.books.counters.expected_came.bump();
        }
    }
}
