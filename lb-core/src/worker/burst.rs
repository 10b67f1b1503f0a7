//! A burst on its way through the stages.

use super::{
    Stages, Worker,
    act::{Begin, Pending},
    witness::{Nobody, Witness},
};
use crate::{
    decide::{
        Origin,
        classify::{Arrival, Kind, Parsed, recognise},
        common::{Common, locate},
        known::Forwarded,
    },
    family::{V4, V6},
    limits::{MAX_BURST, MAX_PORTS},
    packet::{Burst, Io, Packet, PortId},
    time::Instant,
};
use arrayvec::ArrayVec;

/// A family whose packets go through the stages.
pub(super) trait Staged: Forwarded {
    /// Where a worker has what it knows of the packets of a burst.
    fn stages<P>(worker: &mut Worker<P>) -> &mut Option<Stages<Self>>;
}

impl Staged for V4 {
    fn stages<P>(worker: &mut Worker<P>) -> &mut Option<Stages<Self>> {
        &mut worker.stages
    }
}

impl Staged for V6 {
    fn stages<P>(worker: &mut Worker<P>) -> &mut Option<Stages<Self>> {
        &mut worker.stages_v6
    }
}

impl<P: Packet> Worker<P> {
    /// Takes a burst through its stages: first as if all of it were of its first packet's family, which most bursts are, and
    /// then what turned out to be of the other.
    pub(super) fn run(
        &mut self,
        now: Instant,
        burst: &mut Burst<P>,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) {
        if burst.first().is_some_and(|first| V4::is_other(first.bytes())) {
            return self.run_both::<V6, V4>(now, burst, origin, io);
        }
        self.run_both::<V4, V6>(now, burst, origin, io);
    }

    #[inline(always)]
    fn run_both<F: Staged, G: Staged>(
        &mut self,
        now: Instant,
        burst: &mut Burst<P>,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) {
        self.run_as::<F>(now, burst, origin, io);
        if !self.other_family.is_empty() {
            std::mem::swap(burst, &mut self.other_family);
            self.run_as::<G>(now, burst, origin, io);
        }
        if !self.translated.is_empty() {
            self.run_translated(now, burst, origin, io);
        }
    }

    /// Takes a burst of one family through its stages.
    #[inline(always)]
    fn run_as<F: Staged>(
        &mut self,
        now: Instant,
        burst: &mut Burst<P>,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) {
        // Out of the worker while it works on itself; a pointer, not the packets' headers.
        let Some(mut stages) = F::stages(self).take() else { return };
        self.read(burst, &mut stages);
        self.match_up(&mut stages[..burst.len()]);
        let snapshot = &self.known.snapshot;
        let are_special = snapshot.has_local_addresses()
            || snapshot.tells_clients
            || snapshot.has_modules
            || F::connections(&self.known).has_second_lines();
        match are_special {
            false => self.deal_with::<F, false>(now, burst, &mut stages, origin, io),
            true => self.deal_with::<F, true>(now, burst, &mut stages, origin, io),
        }
        *F::stages(self) = Some(stages);
    }

    /// What has become IPv6 goes through the stages as that.
    #[cold]
    #[inline(never)]
    fn run_translated(
        &mut self,
        now: Instant,
        burst: &mut Burst<P>,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) {
        std::mem::swap(burst, &mut self.translated);
        self.are_translated = true;
        self.run_as::<V6>(now, burst, origin, io);
        self.are_translated = false;
    }

    // Each stage is a function of its own, so that the compiler keeps at hand what that stage needs, and only that.

    /// Stage 1 for a burst.
    #[inline(never)]
    fn read<F: Staged>(&self, burst: &Burst<P>, stages: &mut [Parsed<F>; MAX_BURST]) {
        let (connections, snapshot) = (F::connections(&self.known), &*self.known.snapshot);
        let (mut port, mut arrival) = (PortId(u16::MAX), Arrival::default());
        for (packet, parsed) in burst.iter().zip(stages) {
            // Most bursts come from one port.
            if packet.port() != port {
                port = packet.port();
                arrival = self.known.arrivals[usize::from(port.0) % MAX_PORTS];
            }
            recognise(packet, arrival, snapshot, parsed);
            if parsed.kind.is_flow() {
                parsed.place = connections.place(parsed.key);
                connections.prefetch_place(parsed.place);
            }
        }
    }

    /// Stage 2 for a burst. Flows that are in their second bucket, a tenth or two where the table is full, are looked
    /// at a second time, so that their misses overlap as well. What is not a flow has the place of some earlier one,
    /// which does no harm.
    #[inline(never)]
    fn match_up<F: Staged>(&self, stages: &mut [Parsed<F>]) {
        let connections = F::connections(&self.known);
        let mut elsewhere = ArrayVec::<u8, MAX_BURST>::new();
        for (number, parsed) in (0..).zip(stages.iter_mut()) {
            parsed.hit = connections.hit(parsed.place);
            if parsed.hit.is_none() {
                elsewhere.push(number);
            }
        }
        for number in elsewhere {
            let parsed = &mut stages[usize::from(number)];
            parsed.hit = connections.second_hit(parsed.place);
        }
    }

    /// Stage 3 for a burst, packet by packet.
    ///
    /// Where an opened connection's replies will be looked for is known when its server is chosen, and then has to be
    /// loaded. So the connection is opened one packet that is not plain later, so that the load has time to finish.
    /// `LOCAL` says whether there may be connections under FullNAT, or with a second line.
    #[inline(never)]
    fn deal_with<F: Staged, const LOCAL: bool>(
        &mut self,
        now: Instant,
        burst: &mut Burst<P>,
        stages: &mut [Parsed<F>; MAX_BURST],
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) {
        let mut pending = None;
        for (mut packet, number) in burst.drain(..).zip(0..MAX_BURST) {
            match self.pass_plain::<F, LOCAL>(now.stamp(), &mut packet, &mut stages[number]) {
                Some(port) => io.transmit(port, packet),
                None => self.take_care_of(now, (packet, number), stages, origin, &mut pending, io),
            }
        }
        if let Some(last) = pending {
            self.finish(now, last, stages, io);
        }
    }

    /// A packet that is not plain.
    #[inline(never)]
    fn take_care_of<F: Staged>(
        &mut self,
        now: Instant,
        (packet, number): (P, usize),
        stages: &mut [Parsed<F>; MAX_BURST],
        origin: Origin,
        pending: &mut Option<Pending<P>>,
        io: &mut impl Io<Packet = P>,
    ) {
        locate(&mut stages[number], packet.bytes());
        let parsed = &stages[number];
        if parsed.kind == Kind::OtherFamily {
            return self.other_family.push(packet);
        }
        if self.known.snapshot.translates
            && let Some(arriving) = self.known.arriving(parsed, packet.bytes(), origin, self.are_translated)
        {
            return self.arrive(packet, arriving, origin, io);
        }
        // What must find the connection that is being opened: packets of the same flow, and all that may be about it.
        let concerns =
            |opening: &mut Pending<P>| stages[opening.number].key == parsed.key || !parsed.kind.is_flow();
        if let Some(before) = pending.take_if(concerns) {
            self.finish(now, before, stages, io);
        }
        let opening = self.handle(now, packet, (parsed, number), origin, io, &mut Nobody);
        if let Some(opening) = opening
            && let Some(before) = pending.replace(opening)
        {
            self.finish(now, before, stages, io);
        }
    }

    /// Opens a connection that had to wait.
    fn finish<F: Staged>(
        &mut self,
        now: Instant,
        pending: Pending<P>,
        stages: &[Parsed<F>; MAX_BURST],
        io: &mut impl Io<Packet = P>,
    ) {
        let Pending { packet, number, server, turn, hold } = pending;
        let begin = Begin { hold, ..Begin::with(server, turn, None) };
        self.begin(now, packet, &stages[number], begin, io, &mut Nobody);
    }

    /// Deals with one packet while somebody looks on.
    pub(crate) fn process_one<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
        witness: &mut impl Witness<P, F>,
    ) {
        let counters = &self.books.counters;
        match origin {
            Origin::Port => counters.received.bump(),
            Origin::Worker => counters.taken_over.bump(),
        }
        let parsed = self.known.parse::<F>(&packet);
        if let Some(Pending { packet, server, turn, hold, .. }) =
            self.handle(now, packet, (&parsed, 0), origin, io, witness)
        {
            let begin = Begin { hold, ..Begin::with(server, turn, None) };
            self.begin(now, packet, &parsed, begin, io, witness);
        }
    }
}
