//! Fragments at a worker: it takes note of their datagrams, and those that come before the first wait for it.

use super::{
    Worker,
    act::{Begin, Pending},
    held::Waiting,
    witness::{Nobody, Witness},
};
use crate::{
    cast::small,
    conn::datagram::{Datagrams, FIRST_WITHIN, Ports, Verdict},
    counters::DropReason,
    decide::{Fragment, Hold, Side, classify::Parsed, fragment::Note, known::Forwarded},
    family::{V4, V6},
    packet::{Io, Packet},
    time::Instant,
    wire::protocol::Protocol,
};

impl<P: Packet> Worker<P> {
    /// Takes note of a fragment, and does with it what follows; then what has waited for it goes the same way.
    #[cold]
    #[inline(never)]
    pub(super) fn note<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        parsed: &Parsed<F>,
        fragment: Fragment,
        io: &mut impl Io<Packet = P>,
        witness: &mut impl Witness<P, F>,
    ) {
        let Some(note) = &self.known.note(now, &packet, parsed, fragment) else {
            return self.drop(packet, DropReason::BadFragment, io);
        };
        let place = note.finding.place;
        if let Some(place) = place.filter(|_| note.finding.begins) {
            self.drop_waiting::<F>((note.side, place), DropReason::FragmentsFull, io);
        }
        F::datagrams_mut(&mut self.known)[note.side as usize].note(
            now,
            &note.key,
            &note.piece,
            &note.finding,
        );
        let of_flow = match note.finding.verdict {
            Verdict::Follow(ports) => self.known.of_flow(parsed, ports),
            Verdict::Wait | Verdict::Drop(_) | Verdict::End(_) => *parsed,
        };
        let decision = self.known.noted(note, now, &packet, &of_flow);
        let opens = self.carry_out(now, packet, (&of_flow, 0), decision, io, witness);
        self.begin_at_once(now, opens, &of_flow, io, witness);
        if let Some(place) = place {
            match note.finding.verdict {
                Verdict::Follow(ports) => self.release(now, (note, place), ports, io),
                Verdict::End(reason) => self.drop_waiting::<F>((note.side, place), reason, io),
                Verdict::Wait | Verdict::Drop(_) => {}
            }
            if F::datagrams_mut(&mut self.known)[note.side as usize].settle(place) {
                self.end_of_one_packet(&of_flow);
            }
        }
        self.count_fragments();
    }

    /// Opens the connection of a first fragment: the others must find it.
    fn begin_at_once<F: Forwarded>(
        &mut self,
        now: Instant,
        pending: Option<Pending<P>>,
        parsed: &Parsed<F>,
        io: &mut impl Io<Packet = P>,
        witness: &mut impl Witness<P, F>,
    ) {
        if let Some(Pending { packet, server, turn, hold, .. }) = pending {
            let begin = Begin { hold, ..Begin::with(server, turn, None) };
            self.begin(now, packet, parsed, begin, io, witness);
        }
    }

    /// Ends the connection of a datagram all of whose fragments have gone on, if its service keeps none.
    fn end_of_one_packet<F: Forwarded>(&mut self, parsed: &Parsed<F>) {
        let connections = F::connections(&self.known);
        let Some(hit) = connections.find(parsed.key, parsed.place) else { return };
        let connection = connections.get(hit.connection());
        let service = self.known.snapshot.service_of(connection.server);
        if service.one_packet && connection.protocol == Protocol::Udp {
            self.end::<F>(hit.connection());
        }
    }

    /// What has waited for the first fragment of a datagram goes on.
    fn release<F: Forwarded>(
        &mut self,
        now: Instant,
        (note, place): (&Note<F>, u16),
        ports: Ports,
        io: &mut impl Io<Packet = P>,
    ) {
        while let Some(packet) = self.take_waiting::<F>(note.side, place) {
            let parsed: Parsed<F> = self.known.of_flow(&self.known.parse(&packet), ports);
            let decision = self.known.follow(note.part, now, &packet, &parsed);
            let opens = self.carry_out(now, packet, (&parsed, 0), decision, io, &mut Nobody);
            self.begin_at_once(now, opens, &parsed, io, &mut Nobody);
        }
    }

    /// A fragment begins to wait.
    #[cold]
    pub(super) fn hold<F: Forwarded>(&mut self, now: Instant, packet: P, hold: Hold) {
        let Hold { side, place } = hold;
        let bytes = small(packet.bytes().len());
        F::datagrams_mut(&mut self.known)[side as usize].hold(place, bytes);
        let until = now + FIRST_WITHIN;
        self.held.queue::<F>(side).push_back(Waiting { packet, place, bytes, until });
    }

    /// The oldest that waits for a datagram's first fragment, which waits no longer.
    fn take_waiting<F: Forwarded>(&mut self, side: Side, place: u16) -> Option<P> {
        let queue = self.held.queue::<F>(side);
        let at = queue.iter().position(|fragment| fragment.place == place)?;
        let Waiting { packet, bytes, .. } = queue.remove(at)?;
        F::datagrams_mut(&mut self.known)[side as usize].let_go(place, bytes);
        Some(packet)
    }

    fn drop_waiting<F: Forwarded>(
        &mut self,
        (side, place): (Side, u16),
        reason: DropReason,
        io: &mut impl Io<Packet = P>,
    ) {
        while let Some(packet) = self.take_waiting::<F>(side, place) {
            self.drop(packet, reason, io);
        }
    }

    /// Drops fragments whose first has not come in time.
    pub(super) fn give_up_fragments(&mut self, now: Instant, io: &mut impl Io<Packet = P>) {
        if self.held.len() > 0 {
            self.drop_held_by(DropReason::FragmentAlone, |until| until <= now, io);
        }
    }

    /// Drops all that wait.
    pub(super) fn drop_held(&mut self, io: &mut impl Io<Packet = P>) {
        self.drop_held_by(DropReason::Shutdown, |_| true, io);
    }

    #[cold]
    fn drop_held_by(
        &mut self,
        reason: DropReason,
        ends: impl Fn(Instant) -> bool + Copy,
        io: &mut impl Io<Packet = P>,
    ) {
        self.drop_held_of::<V4>(reason, ends, io);
        self.drop_held_of::<V6>(reason, ends, io);
        self.count_fragments();
    }

    fn drop_held_of<F: Forwarded>(
        &mut self,
        reason: DropReason,
        ends: impl Fn(Instant) -> bool,
        io: &mut impl Io<Packet = P>,
    ) {
        for side in [Side::Clients, Side::Servers] {
            while let Some(oldest) = self.held.queue::<F>(side).front()
                && ends(oldest.until)
            {
                let place = oldest.place;
                if let Some(packet) = self.take_waiting::<F>(side, place) {
                    self.drop(packet, reason, io);
                }
            }
        }
    }

    fn count_fragments(&self) {
        let known = self.known.datagrams.iter().map(Datagrams::len).sum::<usize>()
            + self.known.datagrams_v6.iter().map(Datagrams::len).sum::<usize>();
        self.books.counters.waiting_fragments.set(self.held.len() as u64);
        self.books.counters.datagrams.set(known as u64);
    }
}
