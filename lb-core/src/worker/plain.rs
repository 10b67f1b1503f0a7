//! Stage 3 for a plain packet, as nearly all are.

use super::Worker;
use crate::{
    conn::{connections::Hit, entry::Direction},
    decide::{
        classify::{Kind, Parsed},
        known::Forwarded,
    },
    forward::{self, tell},
    packet::{Packet, PortId},
    time::Stamp,
    wire::{ethernet, headers::Headers},
};

impl<P: Packet> Worker<P> {
    /// A plain packet: of the common shape, of the likely connection, whose state it leaves as it is, and nothing keeps
    /// it from going on. Returns the port it is to leave by. Everything else is left as it was, for the general way,
    /// which does all of this for any packet. To have it apart, in one straight line, makes it half as long: the compiler
    /// need not keep at hand what only other packets need. `LOCAL` says whether there may be connections under FullNAT, or
    /// with a second line; where there are none, no packet is asked.
    #[inline(always)]
    pub(super) fn pass_plain<F: Forwarded, const LOCAL: bool>(
        &mut self,
        now: Stamp,
        packet: &mut P,
        parsed: &mut Parsed<F>,
    ) -> Option<PortId> {
        self.straight::<F, LOCAL, false>(now, packet, parsed)
    }

    /// The same for a connection with a second line; one whose packets are translated takes the general way. Apart, and cold, so
    /// that others keep at hand what they need rather than what this does.
    #[cold]
    #[inline(never)]
    fn pass_with_second<F: Forwarded>(
        &mut self,
        now: Stamp,
        packet: &mut P,
        parsed: &mut Parsed<F>,
    ) -> Option<PortId> {
        self.straight::<F, true, true>(now, packet, parsed)
    }

    /// `SECOND` says whether the connection is known to have a second line.
    #[inline(always)]
    fn straight<F: Forwarded, const LOCAL: bool, const SECOND: bool>(
        &mut self,
        now: Stamp,
        packet: &mut P,
        parsed: &mut Parsed<F>,
    ) -> Option<PortId> {
        let direction = Hit::direction_of(parsed.hit);
        let (connections, backends, neighbours) = F::parts(&mut self.known);
        let second = if SECOND { connections.second(parsed.hit?.connection()) } else { None };
        let connection = connections.plain::<LOCAL>(parsed.hit, parsed.key, parsed.meaning)?;
        if LOCAL && !SECOND && connection.is_special() {
            return self.pass_with_second(now, packet, parsed);
        }
        if SECOND && connection.is_translated() {
            return None;
        }
        let head = F::head(packet.bytes_mut())?;
        let server = connection.server;
        let (backend, traffic) = (backends.get(server)?, self.books.traffic.get(server.index())?);
        let Headers { ip_len, ttl, .. } = F::headers(head)?;
        let neighbour = match direction {
            Direction::In if ip_len > backend.limit => return None,
            Direction::In if LOCAL && connection.method.is_outward() => connection.outward_end().neighbour,
            Direction::In => backend.neighbour,
            Direction::Out => connection.client_neighbour,
        };
        let adjacency = neighbours.adjacency(neighbour)?;
        if ip_len > adjacency.limit || ttl <= 1 {
            return None;
        }
        let head = if SECOND {
            let at = F::headers(head)?;
            if !tell::shift(packet.bytes_mut(), &at, &second?, direction) {
                return None;
            }
            F::head(packet.bytes_mut())?
        } else {
            head
        };

        connection.seen = now;
        connection.count(direction, ip_len);
        traffic.count(direction as usize, ip_len);
        // Where it goes first, although the headers behind change next: it is at hand now.
        ethernet::set_stations(head, &adjacency.stations);
        let at = &F::headers(head)?;
        if !forward::rewrite::<LOCAL, _>(head, at, connection, direction)
            && let Err(reason) = forward::outfit(packet, at, &backend.outer, &mut self.last_id)
        {
            (parsed.kind, parsed.reason) = (Kind::Drop, reason);
            return None;
        }
        Some(adjacency.port)
    }
}
