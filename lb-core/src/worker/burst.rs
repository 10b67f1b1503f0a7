//! A burst on its way through the stages.

use super::{
    Origin, Worker,
    classify::{Arrival, Kind, Staged, recognise},
    connect::Decision,
};
use crate::{
    ids::ServerId,
    limits::{MAX_BURST, MAX_PORTS},
    packet::{Burst, Io, Packet, PortId},
    time::Instant,
    verdict::Verdict,
};
use arrayvec::ArrayVec;

impl<P: Packet> Worker<P> {
    /// Takes a burst through its stages.
    pub(super) fn run(
        &mut self,
        now: Instant,
        burst: &mut Burst<P>,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) {
        // Out of the worker while it works on itself; a pointer, not the stages.
        let Some(mut stages) = self.stages.take() else { return };
        self.read(burst, &mut stages);
        self.match_up(&mut stages[..burst.len()]);
        self.deal_with(now, burst, &mut stages, origin, io);
        self.stages = Some(stages);
    }

    // Each stage is a function of its own, so that the compiler keeps at hand what that stage needs, and only that.

    /// Stage 1 for a burst.
    #[inline(never)]
    fn read(&self, burst: &Burst<P>, stages: &mut [Staged; MAX_BURST]) {
        let (mut port, mut arrival) = (PortId(u16::MAX), Arrival::default());
        for (packet, stage) in burst.iter().zip(stages) {
            // Most bursts come from one port.
            if packet.port() != port {
                port = packet.port();
                arrival = self.arrivals[usize::from(port.0) % MAX_PORTS];
            }
            recognise(packet, arrival, stage);
            if stage.kind.is_flow() {
                stage.place = self.connections.place(stage.key);
                self.connections.prefetch_place(stage.place);
            }
        }
    }

    /// Stage 2 for a burst. Flows that are in their second bucket, a tenth or two where the table is full, are looked
    /// at a second time, so that their misses overlap as well. What is not a flow has the place of some earlier one,
    /// which does no harm.
    #[inline(never)]
    fn match_up(&self, stages: &mut [Staged]) {
        let mut elsewhere = ArrayVec::<u8, MAX_BURST>::new();
        for (number, stage) in (0..).zip(stages.iter_mut()) {
            match self.connections.hit(stage.place) {
                Some(hit) => stage.hit = Some(hit),
                None => elsewhere.push(number),
            }
        }
        for number in elsewhere {
            let stage = &mut stages[usize::from(number)];
            stage.hit = self.connections.second_hit(stage.place);
        }
    }

    /// Stage 3 for a burst, packet by packet.
    ///
    /// Where an opened connection's replies will be looked for is known when its server is chosen, and then has to be
    /// loaded. So it is remembered only after the next packet that is not plain has been thought about.
    #[inline(never)]
    fn deal_with(
        &mut self,
        now: Instant,
        burst: &mut Burst<P>,
        stages: &mut [Staged; MAX_BURST],
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) {
        let mut round = Round { now, origin, opening: None };
        for (mut packet, number) in burst.drain(..).zip(0..MAX_BURST) {
            match self.pass_plain(now.stamp(), &mut packet, &mut stages[number]) {
                Some(port) => io.transmit(port, packet),
                None => self.take_care_of(&mut round, packet, number, stages, io),
            }
        }
        if let Some(last) = round.opening {
            self.finish(now, last, stages, io);
        }
    }

    /// A packet that is not plain.
    #[inline(never)]
    fn take_care_of(
        &mut self,
        round: &mut Round<P>,
        mut packet: P,
        number: usize,
        stages: &mut [Staged; MAX_BURST],
        io: &mut impl Io<Packet = P>,
    ) {
        let now = round.now;
        stages[number].locate(packet.bytes());
        let this = &stages[number];
        // What must find the connection that is being opened: packets of the same flow, and all that may be about it.
        let concerns =
            |opening: &mut Opening<P>| stages[opening.number].key == this.key || !this.kind.is_flow();
        if let Some(before) = round.opening.take_if(concerns) {
            self.finish(now, before, stages, io);
        }
        let stage = &mut stages[number];
        match self.decide(now, &mut packet, stage, round.origin, io) {
            Decision::Is(verdict) => self.carry_out(now, packet, verdict, io),
            Decision::Opens(server) => {
                if let Some(before) = round.opening.replace(Opening { packet, number, server }) {
                    self.finish(now, before, stages, io);
                }
            }
        }
    }

    /// Remembers a connection, and lets the packet pass that opened it.
    fn finish(
        &mut self,
        now: Instant,
        opening: Opening<P>,
        stages: &[Staged; MAX_BURST],
        io: &mut impl Io<Packet = P>,
    ) {
        let Opening { mut packet, number, server } = opening;
        let verdict = self.complete(now, &mut packet, &stages[number], server);
        self.carry_out(now, packet, verdict, io);
    }

    fn decide(
        &mut self,
        now: Instant,
        packet: &mut P,
        stage: &mut Staged,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) -> Decision {
        Decision::Is(match stage.kind {
            Kind::Common | Kind::Flow => {
                match self.connections.find_from(stage.hit, stage.key, stage.place) {
                    Some(found) => self.pass(now, packet, stage, found),
                    None => return self.connect(now, packet, stage, origin),
                }
            }
            Kind::Icmp => self.icmp(now, packet, stage, origin, io),
            Kind::Arp => self.arp(now, packet, origin, io),
            Kind::OtherProtocol => self.other_protocol(now, packet, stage),
            Kind::Drop => Verdict::Drop(stage.reason),
        })
    }
}

/// What is the same for all packets of a burst, and what one leaves for the next.
struct Round<P> {
    now: Instant,
    origin: Origin,
    opening: Option<Opening<P>>,
}

/// A packet that opens a connection which is not remembered yet.
struct Opening<P> {
    packet: P,
    /// Of the packet in its burst.
    number: usize,
    server: ServerId,
}
