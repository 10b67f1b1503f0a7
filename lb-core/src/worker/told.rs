//! A packet of a connection whose server is told of its client: see [`tell`].

use super::{Worker, send::untag};
use crate::{
    conn::{connections::Hit, entry::Direction},
    counters::DropReason,
    decide::{
        classify::{Kind, Parsed},
        known::Forwarded,
    },
    forward::{
        self,
        proxy::{self, Effect},
        tell,
    },
    ids::NeighbourId,
    packet::{Io, Packet},
    time::Instant,
    wire::headers::Headers,
};

impl<P: Packet> Worker<P> {
    /// A packet of such a connection goes on.
    #[inline(never)]
    pub(super) fn forward_told<F: Forwarded>(
        &mut self,
        now: Instant,
        mut packet: P,
        parsed: &Parsed<F>,
        hit: Hit,
        neighbour: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) {
        if let Some(reading) = F::connections(&self.known).reading(hit.connection()) {
            return self.forward_read(now, packet, (parsed, hit, reading), neighbour, io);
        }
        match self.tell(now, &mut packet, (parsed, hit), neighbour, io) {
            Ok(at) => self.forward_on(now, packet, (parsed, &at), hit, neighbour, io),
            Err(reason) => self.drop(packet, reason, io),
        }
    }

    /// What [`tell`] does to a packet is done before anything else. Returns where its headers are then.
    fn tell<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: &mut P,
        (parsed, hit): (&Parsed<F>, Hit),
        neighbour: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) -> Result<Headers<F>, DropReason> {
        let (mut at, id) = (parsed.at, hit.connection());
        let connection = *F::connections(&self.known).get(id);
        let Some(mut second) = F::connections(&self.known).second(id) else { return Ok(at) };
        let limit = self.known.backends[connection.server].limit;
        let way = (hit.direction(), limit);
        let effect = tell::apply(packet, &mut at, &connection, &mut second, way)?;
        F::connections_mut(&mut self.known).set_second(id, second);
        let effect = match effect {
            tell::Effect::Header(effect) => effect,
            tell::Effect::Option(done) => {
                let counters = &self.books.counters;
                counters.client_addresses.add(u64::from(done.option > 0));
                counters.client_addresses_left_out.add(u64::from(done.is_left_out));
                return Ok(at);
            }
        };
        match effect {
            Effect::Header(_) => self.books.counters.client_addresses.bump(),
            Effect::Ahead(_) => {
                self.books.counters.client_addresses.bump();
                match io.allocate(packet.port()) {
                    Some(mut extra) => {
                        self.books.counters.originated.bump();
                        match proxy::ahead(packet, &at, &connection, &second, &mut extra) {
                            Some(at) => {
                                let parsed = Parsed { at, ..*parsed };
                                self.send_ahead(now, extra, (&parsed, hit), neighbour, io);
                            }
                            None => self.drop(extra, DropReason::NoHeadroom, io),
                        }
                    }
                    // The client sends what follows again, as the server does not acknowledge it.
                    None => self.books.counters.no_buffer.bump(),
                }
            }
            Effect::Nothing | Effect::Numbers | Effect::Bare => {}
        }
        Ok(at)
    }

    /// A segment of the director's own goes the way of a connection.
    fn send_ahead<F: Forwarded>(
        &mut self,
        now: Instant,
        mut packet: P,
        (parsed, hit): (&Parsed<F>, Hit),
        neighbour: Option<NeighbourId>,
        io: &mut impl Io<Packet = P>,
    ) {
        let (connections, backends, _) = F::parts(&mut self.known);
        let connection = connections.get_mut(hit.connection());
        // The connection's packets are its client's, which have something to prove.
        self.books.traffic[connection.server.index()].count(Direction::In as usize, parsed.at.ip_len);
        let (direction, outer) = (Direction::In, &backends[connection.server].outer);
        match forward::apply(&mut packet, &parsed.at, connection, direction, outer, &mut self.last_id) {
            Ok(()) => {
                if parsed.kind != Kind::Common {
                    untag(&mut packet);
                }
                self.send(now, packet, neighbour, io);
            }
            Err(reason) => self.drop(packet, reason, io),
        }
    }
}
